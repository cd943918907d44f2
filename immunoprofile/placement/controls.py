"""The controls of a study by tube, panel and batch: aliquots that tell a shift, and FMO controls that set a cut."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from threading import RLock
from typing import TYPE_CHECKING, Any

from immunoprofile.errors import ImmunoprofileError
from immunoprofile.gate.methods import METHODS, seen_in
from immunoprofile.io.markers import same_marker
from immunoprofile.io.records import records
from immunoprofile.placement.events import SampleValues
from immunoprofile.placement.landmarks import Curve, Shift, shift_between
from immunoprofile.placement.limits import Control
from immunoprofile.placement.methods import arguments_of_axis
from immunoprofile.placement.place import Placement, compared_axes, place_values

if TYPE_CHECKING:
    from immunoprofile.gate.strategy import Dimension, Gate, Strategy
    from immunoprofile.placement.cuts import Cut
    from immunoprofile.study import Study


@dataclass(frozen=True)
class Place:
    """Where a sample belongs among the controls.

    Attributes
    ----------
    panel, batch
        As the samples table has them; empty where it says nothing.
    time
        When it was acquired, else stained or collected, as ISO text.
    """

    panel: str
    batch: str
    time: str

    def shares_batch_with(self, other: Place) -> bool:
        """Whether both are known to be of one batch: samples without a batch are not of the same."""
        return bool(self.batch) and (self.panel, self.batch) == (other.panel, other.batch)


def place_of(row: Mapping[Any, Any]) -> Place:
    """Panel, batch and time of a row of the samples table."""
    time = next((row[name] for name in ("acquired_dtc", "stained_dtc", "collected_dtc") if row[name]), "")
    return Place(row["panel_id"], row["batch_id"], time)


def attempt_of(row: Mapping[Any, Any]) -> float:
    """Number of the attempt; 0 where none is said."""
    attempt = float(row["attempt"])
    return 0.0 if attempt != attempt else attempt


@dataclass(frozen=True, eq=False)
class Aliquot:
    """The control aliquot of a batch, with the gates of the template placed on it.

    Attributes
    ----------
    name
        Its sample.
    strategy, cuts
        Its own gates, and how they were placed.
    curves
        (population, marker) -> density under them.
    """

    name: str
    strategy: Strategy
    cuts: tuple[Cut, ...]
    curves: Mapping[tuple[str, str], Curve]


def curves_under(placement: Placement) -> dict[tuple[str, str], Curve]:
    """Densities of a placed sample on every axis that tells a shift."""
    found = {}
    for gate, n in compared_axes(placement.strategy):
        dimension = gate.dimensions[n]
        arguments = arguments_of_axis(gate)
        values = placement.events.finite(seen_in(gate), dimension)
        if values.size >= arguments["events"] and values.min() < values.max():
            curve = placement.events.curve(seen_in(gate), dimension, arguments["adjust"])
            found[seen_in(gate), dimension.marker] = curve
    return found


@dataclass
class Controls:
    """Controls of one tube of a study; read when they are asked for, and once.

    Parameters
    ----------
    study, tube, strategy
        The study, the tube, its template.
    """

    study: Study
    tube: str
    strategy: Strategy
    failed: dict[str, str] = field(default_factory=dict)
    """Sample -> why a control could not be used."""
    _aliquots: dict[tuple[str, str], Aliquot | None] = field(default_factory=dict)
    _fmo: dict[str, SampleValues | None] = field(default_factory=dict)
    _shifts: dict[tuple[tuple[str, str], tuple[str, str], str, str, float], Shift] = field(default_factory=dict)
    """Found once for all gates and subjects: panel and batch of both aliquots, population, marker, farthest shift."""
    _lock: RLock = field(default_factory=RLock)

    def __post_init__(self) -> None:
        own = [
            row for row in records(self.study.samples, "samples")
            if row["tube_id"] == self.tube and not row["exclude_flag"]
        ]  # fmt: skip
        # Of several attempts the last; of several aliquots of a batch the first by name.
        self._rows = sorted(own, key=lambda row: (-attempt_of(row), row["sample_id"]))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=RLock())  # threads of another process have a lock of their own

    def read(self, row: Mapping[Any, Any]) -> SampleValues | None:
        """Values of a sample; None where it cannot be read or does not fit, with the reason in ``failed``."""
        name, declared = str(row["sample_id"]), row["comp_source"] or None
        try:
            return SampleValues(name, self.study.fcs_source(name).read(), self.strategy, declared)
        except ImmunoprofileError as error:
            self.failed[name] = error.what
            return None

    def aliquot(self, place: Place) -> Aliquot | None:
        """Control aliquot of the panel and batch of a sample."""
        key = (place.panel, place.batch)
        with self._lock:
            if key not in self._aliquots:
                self._aliquots[key] = None
                values = self._values_of(place)
                if values is not None:
                    self._settle(values, place, key)
            return self._aliquots[key]

    def _values_of(self, place: Place) -> SampleValues | None:
        for row in self._aliquot_rows(place):
            values = self.read(row)
            if values is not None:
                return values
        return None

    def _aliquot_rows(self, place: Place) -> list[Mapping[Any, Any]]:
        rows = [row for row in self._rows if row["role"] == "control"] if place.batch else []
        return [row for row in rows if (place_of(row).panel, place_of(row).batch) == (place.panel, place.batch)]

    def no_aliquot(self, place: Place) -> str:
        """Why the panel and batch of a sample have no control aliquot."""
        none = f"batch {place.batch or '(none)'} has no control aliquot of this tube and panel"
        return "; ".join((none, *self.unusable(self._aliquot_rows(place))))

    def unusable(self, rows: Iterable[Mapping[Any, Any]]) -> list[str]:
        """Which of some controls could not be used, and why."""
        names = [str(row["sample_id"]) for row in rows]
        return [f"{name} cannot be used: {self.failed[name]}" for name in names if name in self.failed]

    def _settle(self, values: SampleValues, place: Place, key: tuple[str, str]) -> None:
        """Place the gates on an aliquot; its events are let go, since a study has many."""
        first = place_values(values, self.strategy)
        curves = curves_under(first)
        self._aliquots[key] = Aliquot(values.name, first.strategy, first.cuts, curves)
        if any(METHODS[gate.method].needs == "fmo" for gate in self.strategy.gates):
            # How far the instrument moved since an earlier FMO control is told by the curves of the first pass.
            own = replace(place, time=self._time_of(values.name))
            second = place_values(values, self.strategy, control=self.finder(own))
            self._aliquots[key] = Aliquot(values.name, second.strategy, second.cuts, curves)

    def _time_of(self, name: str) -> str:
        return next(place_of(row).time for row in self._rows if row["sample_id"] == name)

    def between(self, gate: Gate, dimension: Dimension, early: Place, late: Place) -> Shift | str:
        """How far the instrument moved between two batches by their aliquots; a reason where nothing can be told."""
        if early.shares_batch_with(late):
            return Shift(0.0, 1.0, at_edge=False)
        if dimension.scale is None:
            return f"{dimension.marker} has no scale on which control aliquots are compared"
        span = dict(self.strategy.scales)[dimension.scale].top
        curves = []
        for place in (early, late):
            aliquot = self.aliquot(place)
            if aliquot is None:
                return self.no_aliquot(place)
            curve = aliquot.curves.get((seen_in(gate), dimension.marker))
            if curve is None:
                return f"the control {aliquot.name} has too few events in {seen_in(gate)}"
            curves.append(curve)
        arguments = arguments_of_axis(gate)
        bound = arguments["shift"] * span
        key = ((early.panel, early.batch), (late.panel, late.batch), seen_in(gate), dimension.marker, bound)
        if key not in self._shifts:
            self._shifts[key] = shift_between(curves[1], curves[0], bound=bound, span=span)
        found = self._shifts[key]
        if found.at_edge or found.agreement < arguments["agree"]:
            return f"the controls of batches {early.batch} and {late.batch} do not agree ({found.agreement:.2f})"
        return found

    def finder(self, place: Place) -> _Finder:
        """Finds FMO controls for samples of a panel and batch."""
        return _Finder(self, place)

    def fmo_rows(self, place: Place, marker: str, *, earlier: bool) -> list[Mapping[Any, Any]]:
        """FMO controls of a marker in the batch, or in the batches acquired before, the last of them first."""
        rows = [
            row for row in self._rows
            if row["role"] == "fmo" and place_of(row).panel == place.panel
            and same_marker(row["fmo_marker"], marker)
        ]  # fmt: skip
        if not earlier:
            return [row for row in rows if place.batch and place_of(row).batch == place.batch]
        before = [row for row in rows if place_of(row).batch != place.batch and place_of(row).time < place.time]
        return sorted(before, key=lambda row: place_of(row).time, reverse=True)

    def fmo_values(self, row: Mapping[Any, Any]) -> SampleValues | None:
        """Values of an FMO control."""
        name = str(row["sample_id"])
        with self._lock:
            if name not in self._fmo:
                self._fmo[name] = self.read(row)
            return self._fmo[name]


@dataclass(frozen=True, eq=False)
class _Finder:
    """Finds the control without a marker, inside the gates that are in place."""

    controls: Controls
    place: Place

    def __call__(self, gate: Gate, dimension: Dimension, placed: Mapping[str, Gate], *, earlier: bool) -> Control | str:
        controls = self.controls
        rows = controls.fmo_rows(self.place, dimension.marker, earlier=earlier)
        for number, row in enumerate(rows):
            values = controls.fmo_values(row)
            if values is None:
                continue
            moved, note = 0.0, ""
            if earlier:
                shift = controls.between(gate, dimension, place_of(row), self.place)
                batch = place_of(row).batch
                if isinstance(shift, str):
                    note = f"FMO control of batch {batch}, as it is: {shift}"
                else:
                    moved, note = shift.shift, f"FMO control of batch {batch}, moved by the control aliquots"
            until = seen_in(gate)
            inside = place_values(values, controls.strategy, given=placed, until=until)
            note = "; ".join(filter(None, (note, *controls.unusable(rows[:number]))))
            return Control(inside.events.finite(until, dimension), values.name, moved, note)
        which = "an earlier batch" if earlier else f"batch {self.place.batch or '(none)'}"
        return "; ".join((f"no FMO control without {dimension.marker} in {which}", *controls.unusable(rows)))
