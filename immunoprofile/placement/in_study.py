"""Which samples place the gates of a study: those before the first dose and controls; then the gates are frozen.

The gates of a subject are placed on the first sample of the tube that was drawn before the first dose. Later samples
get the same gates, moved by nothing but the difference of the control aliquots of both batches. Nothing that arrives
later changes what was placed, so that replaying the visits in order of arrival gives the same counts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from immunoprofile.errors import GateError, Problems
from immunoprofile.gate.methods import is_placed, seen_in
from immunoprofile.gate.study_gates import GATED_ROLES, StudyGates, study_gates
from immunoprofile.io.dates import drawn_before, first_dose
from immunoprofile.io.exceptions import Exceptions
from immunoprofile.io.records import records
from immunoprofile.placement.controls import Controls, Place, attempt_of, curves_under, place_of
from immunoprofile.placement.cuts import Cut
from immunoprofile.placement.landmarks import shift_between
from immunoprofile.placement.methods import again, arguments_of_axis, chosen_axes
from immunoprofile.placement.place import place_values
from immunoprofile.placement.records import NOTHING_PLACED, Rows, note_cuts
from immunoprofile.workers import Threads, Workers

if TYPE_CHECKING:
    import pandas as pd

    from immunoprofile.gate.strategy import Gate, GateSet, Strategy
    from immunoprofile.placement.events import SampleValues
    from immunoprofile.placement.landmarks import Curve
    from immunoprofile.study import Study

MOVED = 0.02
"""Shift of a density, as a share of the scale, that is told where no control says that the instrument moved: on a
logicle scale of 4.5 decades it is 23 % in intensity."""

_Row = Mapping[Any, Any]


@dataclass(frozen=True, eq=False)
class StudyPlacement:
    """Gates of every sample of a study.

    Attributes
    ----------
    strategies
        Sample -> its gates, for tubes whose template has methods; the others have none here.
    table
        `schema.PLACEMENT_COLUMNS`, one row a cut and sample.
    notes
        Rows of exceptions.csv.
    """

    strategies: Mapping[str, Strategy]
    table: pd.DataFrame
    notes: Sequence[Mapping[str, str]]


@dataclass(frozen=True, eq=False)
class _Settled:
    """Gates of one sample with their records."""

    sample_id: str
    strategy: Strategy
    cuts: tuple[Cut, ...]
    notes: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, eq=False)
class _Anchor:
    """The sample on which the gates of a subject were placed."""

    name: str
    place: Place
    strategy: Strategy
    cuts: tuple[Cut, ...]
    curves: Mapping[tuple[str, str], Curve]


def place_study(
    study: Study,
    gates: StudyGates,
    workers: Workers | None = None,
    *,
    only: Collection[str] | None = None,
    progress: bool = False,
) -> StudyPlacement:
    """Place the gates of every sample of a study, as the templates say.

    Parameters
    ----------
    study, gates
        The study and the gates of its tubes. A tube whose template has no methods is left alone, and nothing of it is
        read.
    workers
        Where they are placed; None is this process.
    only
        Samples; what is settled together with none of them is left out. None is all.
    progress
        Show a progress bar.
    """
    from tqdm import tqdm

    from immunoprofile.io.progress import hidden

    work = [item for tube in gates if _has_methods(gates[tube]) for item in _work(study, tube, gates[tube])]
    if only is not None:
        work = [item for item in work if any(str(row["sample_id"]) in only for row in item.rows)]
    if not work:
        return StudyPlacement({}, NOTHING_PLACED, ())
    alike = {id(one): one for item in work for one in (study, item.controls)}
    results = (workers or Threads()).results(
        _settle, work, shared=tuple(alike.values()), name=lambda item: item.usubjid or str(item.rows[0]["sample_id"])
    )
    done = list(tqdm(results, total=len(work), desc="placing", unit="subject", disable=hidden(wanted=progress)))
    settled = sorted((one for found in done for one in found), key=lambda one: one.sample_id)
    rows = Rows()
    for one in settled:
        rows.add(one.sample_id, one.strategy, one.cuts)
    notes = [note for one in settled for note in one.notes]
    notes += [note for tube in gates if _has_methods(gates[tube]) for note in _follows(tube, gates[tube])]
    return StudyPlacement({one.sample_id: one.strategy for one in settled}, rows.table(), notes)


def gates_of(gates: GateSet | StudyGates, study: Study, sample: str) -> Strategy:
    """Gates that a run places for one sample, without those that people drew for it.

    Parameters
    ----------
    gates
        From `gate.load`, or checked with the study (`gate.check`).
    study
        The study; the samples of the subject before its first dose and the controls are read.
    sample
        A ``sample_id`` of the study.

    Returns
    -------
    Strategy
        The gates of its tube where none is placed.

    Raises
    ------
    GateError
        The study has no such sample, or the gates do not fit it.

    Examples
    --------
    >>> placed = ip.placement.gates_of(gates, study, "S-1_D14_treg")  # doctest: +SKIP
    >>> drawn = placed["treg"].moved(lambda axis, value: value + 0.02)  # doctest: +SKIP
    """
    rows = study.samples[study.samples["sample_id"] == sample]
    if rows.empty or str(rows["role"].iloc[0]) not in GATED_ROLES:
        problems = Problems()
        problems.add("sample", "is no sample, control or replicate of the study", value=sample)
        raise GateError("its gates cannot be placed", problems.found, where=study.config.study_id)
    own = gates if isinstance(gates, StudyGates) else study_gates(replace(gates, overrides=()), study)
    tube = str(rows["tube_id"].iloc[0])
    if not _has_methods(own[tube]):
        source = study.fcs_source(sample)
        return own.match(source.read(), tube, source.path).strategy
    settled = [
        one
        for item in _work(study, tube, own[tube])
        if sample in {str(row["sample_id"]) for row in item.rows}
        for one in item.settle()
        if one.sample_id == sample
    ]
    return settled[0].strategy if settled else own[tube]


def _has_methods(strategy: Strategy) -> bool:
    return not strategy.samples and any(is_placed(gate) for gate in strategy.gates)


def _follows(tube: str, strategy: Strategy) -> list[Mapping[str, str]]:
    """Gates on markers that are placed on every sample by itself: the reader has to know."""
    names = [g.population for g in strategy.gates if is_placed(g) and g.group_by == "sample" and g.method != "singlet"]
    if not names:
        return []
    notes = Exceptions("placement")
    notes.add("note", "GATE_FOLLOWS_SAMPLE",
              f"tube {tube}: {', '.join(names)} placed on each sample by itself: an effect of the drug on its markers "
              "would be hidden", table="gates",
              action="group_by subject holds the gate of the first pre-dose sample")  # fmt: skip
    return list(notes.rows)


def _work(study: Study, tube: str, strategy: Strategy) -> list[_Subject]:
    """What is settled together: the samples of a subject, and each control by itself."""
    controls = Controls(study, tube, strategy)
    own = [
        row for row in records(study.samples, "samples")
        if row["tube_id"] == tube and row["role"] in GATED_ROLES and not row["exclude_flag"]
    ]  # fmt: skip
    groups: dict[tuple[str, str], list[_Row]] = {}
    for row in sorted(own, key=lambda row: str(row["sample_id"])):
        subject = "" if row["role"] == "control" else str(row["usubjid"] or "")
        groups.setdefault((subject, "" if subject else str(row["sample_id"])), []).append(row)
    return [_Subject(study, controls, subject, tuple(rows)) for (subject, _), rows in groups.items()]


def _settle(subject: _Subject) -> list[_Settled]:
    return subject.settle()


@dataclass(frozen=True, eq=False)
class _Subject:
    """The samples of one subject and tube; a control has no subject and is settled by itself."""

    study: Study
    controls: Controls
    usubjid: str
    rows: tuple[_Row, ...]

    @property
    def template(self) -> Strategy:
        return self.controls.strategy

    def settle(self) -> list[_Settled]:
        """Gates of every sample."""
        if not self.usubjid:
            return [self._by_itself(row) for row in self.rows]
        anchor = self._anchor()
        settled = [self._of(row, anchor) for row in self.rows]
        # Most visits have the very gates of the first: one object, whose hash and checks are made once.
        alike: dict[tuple[Gate, ...], Strategy] = {}
        return [replace(one, strategy=alike.setdefault(one.strategy.gates, one.strategy)) for one in settled]

    def _by_itself(self, row: _Row) -> _Settled:
        """A control: the gates of its batch are placed on it."""
        own = self.controls.aliquot(place_of(row))
        if own is not None and own.name == row["sample_id"]:
            return _Settled(own.name, own.strategy, own.cuts, self._told(row, own.cuts))
        values = self.controls.read(row)
        if values is None:
            return _Settled(str(row["sample_id"]), self.template, ())
        found = place_values(values, self.template, control=self.controls.finder(place_of(row)))
        return _Settled(values.name, found.strategy, found.cuts, self._told(row, found.cuts))

    def _anchor(self) -> _Anchor | None:
        """The first readable sample before the first dose, with its gates."""
        dose = first_dose(self.study.subject(self.usubjid).to_dict())
        days = {visit.visit: visit.day for visit in self.study.config.visits}
        last = days.get(self.study.config.baseline_visit)

        def early(row: _Row) -> bool:
            if dose:
                return drawn_before(row["collected_dtc"], dose)
            day = days.get(str(row["visit"]))
            return day is not None and last is not None and day <= last

        def order(row: _Row) -> tuple[str, str, float, str]:
            return row["collected_dtc"], row["visit"], -attempt_of(row), row["sample_id"]

        for row in sorted((row for row in self.rows if row["role"] == "sample" and early(row)), key=order):
            values = self.controls.read(row)
            if values is not None:
                place = place_of(row)
                given, borrowed = self._of_batch(place)
                found = place_values(values, self.template, given=given, control=self.controls.finder(place))
                return _Anchor(values.name, place, found.strategy, (*borrowed, *found.cuts), curves_under(found))
        return None

    def _of_batch(self, place: Place) -> tuple[dict[str, Gate], list[Cut]]:
        """Gates that the control aliquot of the batch settles; of the template, with a reason, where there is none."""
        wanted = [gate for gate in self.template.gates if is_placed(gate) and gate.group_by == "batch"]
        if not wanted:
            return {}, []
        aliquot = self.controls.aliquot(place)
        if aliquot is not None:
            found = {gate.population: aliquot.strategy[gate.population] for gate in wanted}
            return found, [replace(cut, frozen=True) for cut in aliquot.cuts if cut.population in found]
        reason = self.controls.no_aliquot(place)
        return {gate.population: gate for gate in wanted}, [_kept(gate, reason) for gate in wanted]

    def _of(self, row: _Row, anchor: _Anchor | None) -> _Settled:
        """Gates of one sample of the subject."""
        name, place = str(row["sample_id"]), place_of(row)
        if anchor is not None and anchor.name == name:
            return _Settled(name, anchor.strategy, anchor.cuts, self._told(row, anchor.cuts))
        given, cuts = self._of_batch(place)
        notes = Exceptions("placement")
        unmoved: dict[str, list[str]] = {}
        for gate in self.template.gates:
            if not is_placed(gate) or gate.group_by in ("batch", "sample"):
                continue
            if anchor is None:
                given[gate.population] = gate
                cuts.append(_kept(gate, "no sample before the first dose could place it"))
                continue
            held, own, reasons = self._held(gate, anchor, place)
            given[gate.population] = held
            cuts += own
            for reason in reasons:
                unmoved.setdefault(reason, []).append(gate.population)
        where = _where(row)
        for reason, names in unmoved.items():
            notes.add("warning", "GATE_HELD", f"frozen gates were not moved: {reason} ({', '.join(names)})", **where,
                      action="look at the peaks of this sample; run a control aliquot with every batch")  # fmt: skip
        follows = any(is_placed(g) and g.group_by == "sample" for g in self.template.gates)
        values: SampleValues | None = self.controls.read(row) if follows or (unmoved and anchor) else None
        strategy = replace(self.template, gates=_settled(self.template, given))
        if values is not None:
            found = place_values(values, self.template, given=given, control=self.controls.finder(place))
            strategy, cuts = found.strategy, [*cuts, *found.cuts]
            if unmoved and anchor is not None:
                _note_moved(curves_under(found), anchor, self.template, notes, where)
        return _Settled(name, strategy, tuple(cuts), (*self._told(row, tuple(cuts)), *notes.rows))

    def _held(self, gate: Gate, anchor: _Anchor, place: Place) -> tuple[Gate, list[Cut], list[str]]:
        """A frozen gate, moved by what the control aliquots of both batches differ by."""
        held = anchor.strategy[gate.population]
        own = [replace(cut, frozen=True) for cut in anchor.cuts if cut.population == gate.population]
        if gate.method == "singlet" or anchor.place.shares_batch_with(place):
            return held, own, []
        shifts: dict[str, float] = {}
        reasons: dict[str, str] = {}
        for n in chosen_axes(gate):
            dimension = gate.dimensions[n]
            found = self.controls.between(gate, dimension, anchor.place, place)
            if isinstance(found, str):
                reasons[dimension.marker] = found
            else:
                shifts[dimension.marker] = found.shift
        chosen = {gate.dimensions[n].marker for n in chosen_axes(gate)}
        moved = held.moved(lambda d, at: at + shifts.get(d.marker, 0.0) if d.marker in chosen else at)
        cuts = [
            replace(cut, value=cut.value + shifts[cut.marker], later_shift=shifts[cut.marker])
            if cut.marker in shifts
            else replace(cut, note="; ".join(filter(None, (cut.note, reasons.get(cut.marker, "")))),
                         held=cut.marker in reasons)
            for cut in own
        ]  # fmt: skip
        return moved, cuts, list(dict.fromkeys(reasons.values()))

    def _told(self, row: _Row, cuts: Sequence[Cut]) -> tuple[Mapping[str, str], ...]:
        """What of the cuts of a sample a person should see; those of a control, or of the frozen gates, stand there."""
        own = [cut for cut in cuts if not cut.frozen]
        return tuple(note_cuts(own, **_where(row)))


def _settled(template: Strategy, given: Mapping[str, Gate]) -> tuple[Gate, ...]:
    """The gates of a template with those that are settled in their place; ``ref`` follows the gate that it names."""
    found: dict[str, Gate] = {}
    for gate in template.gates:
        own = given.get(gate.population, gate)
        found[gate.population] = again(own, found) if own.method == "ref" else own
    return tuple(found.values())


def _where(row: _Row) -> dict[str, Any]:
    return {"table": "samples", "usubjid": row["usubjid"], "visit": row["visit"], "sample_id": row["sample_id"],
            "file": row["fcs_path"]}  # fmt: skip


def _kept(gate: Gate, reason: str) -> Cut:
    """Record of a gate that stays as the template has it."""
    markers = " x ".join(d.marker for d in gate.dimensions)
    return Cut(gate.population, seen_in(gate), markers, "gate", gate.method, "template", "", 0.0, 0.0, reason=reason,
               review=True)  # fmt: skip


def _note_moved(
    curves: Mapping[tuple[str, str], Curve], anchor: _Anchor, template: Strategy, notes: Exceptions, where: _Row
) -> None:
    """Densities that lie elsewhere than in the anchor, where no control says whether the instrument moved."""
    scales = dict(template.scales)
    found = []
    for gate in template.gates:
        if not is_placed(gate) or gate.group_by in ("batch", "sample"):
            continue
        for n in chosen_axes(gate):
            dimension = gate.dimensions[n]
            key = (seen_in(gate), dimension.marker)
            if dimension.scale is None or key not in curves or key not in anchor.curves:
                continue
            span = scales[dimension.scale].top
            bound = arguments_of_axis(gate)["shift"] * span
            moved = shift_between(curves[key], anchor.curves[key], bound=bound, span=span)
            if abs(moved.shift) > MOVED * span:
                found.append(f"{dimension.marker} in {key[0]} by {moved.shift / span:+.1%} of the scale")
    if found:
        notes.add("warning", "PEAKS_MOVED",
                  f"against {anchor.name} the peaks moved, and no control tells why: {'; '.join(dict.fromkeys(found))}",
                  **where, action="look at the gates of this sample before its numbers are used")  # fmt: skip
