"""Scales fitted to the events of a tube, and first gates at valleys of their densities: proposals, marked as such."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from immunoprofile.density import mindensity
from immunoprofile.gate.data_units import in_data_units, on_scale
from immunoprofile.gate.scales import Scale
from immunoprofile.gate.strategy import ROOT
from immunoprofile.io.markers import VIABILITY, is_scatter, is_time, same_marker
from immunoprofile.quality.doublets import singlet_gate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from immunoprofile.skeleton.tubes import Events

DECADES: Final = 4.5
"""M of a logicle scale."""
COFACTOR: Final = 5.0
"""Of asinh for mass cytometry (Bendall et al. 2011, doi:10.1126/science.1198704)."""
_LOW_SHARE = 5.0
"""Percentile of the values below zero that W is fitted to (Parks, Roederer, Moore 2006, doi:10.1002/cyto.a.20258)."""
_FEWEST_NEGATIVE = 50
_MOST_OF_DEBRIS = 0.45
"""Share of the forward scatter of large cells up to which a valley can be that between debris and cells."""
_FEWEST_EVENTS = 500
_MOST_WIDTH = 1.5
_TRANSFORMED_BELOW = 25.0
"""Linear intensities of a cytometer reach hundreds; values that all stay below this were transformed before."""
_LEAST_USED = 0.05
"""Share of the stated range that the brightest event of all channels reaches, at least, where the range is true."""
# Mass cytometers by their $CYT; CytoFLEX and Attune NxT are none.
_MASS = re.compile(r"cytof(?!lex)|\b(?:helios|hyperion)\b|\bdvs|^xt$", re.IGNORECASE)
_LINEAGE: Final = (
    ("t", "", (("CD3", "+"),)),
    ("cd4", "t", (("CD4", "+"), ("CD8", "-"))),
    ("cd8", "t", (("CD4", "-"), ("CD8", "+"))),
    ("b", "", (("CD3", "-"), ("CD19", "+"))),
    ("nk", "", (("CD3", "-"), ("CD56", "+"))),
)
"""Population, its parent (empty: the cells that remain), and the sides of its markers."""


@dataclass(frozen=True)
class Limit:
    """One axis of a proposed rectangle, in units of the data; None is open."""

    name: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class ProposedGate:
    """A rectangle, or a polygon with corners, in units of the data."""

    population: str
    parent: str
    limits: tuple[Limit, ...]
    note: str
    corners: tuple[tuple[float, float], ...] = ()


@dataclass
class Proposal:
    """What is proposed for one tube.

    Attributes
    ----------
    scales
        Channel name -> fitted scale.
    gates
        Parents before children.
    missing
        What could not be proposed, and why.
    """

    scales: dict[str, Scale] = field(default_factory=dict)
    gates: list[ProposedGate] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def fit_scale(values: NDArray[np.float64], top: float, *, mass: bool = False) -> Scale:
    """Scale on which the negative side of a channel is drawn without a pile-up at the axis.

    Parameters
    ----------
    values
        Linear values of one channel, compensated where the files are.
    top
        Largest value that the detector can give; a larger value in the data counts.
    mass
        Values of mass cytometry: asinh with cofactor 5.

    Returns
    -------
    Scale
        Logicle with M 4.5 and W = (M - log10(T / |r|)) / 2, r being the 5th percentile of the values below zero (Parks
        2006), between 0 and 1.5; 0.5 where fewer than 50 values lie below zero.
    """
    largest = max(float(values.max(initial=1.0)), 1.0)
    if mass:
        # asinh(x / c) is the asinh of GatingML with sinh(M ln 10) = T / c.
        high = max(largest, 10 * COFACTOR)
        return Scale.of("asinh", {"T": high, "M": float(np.arcsinh(high / COFACTOR) / np.log(10)), "A": 0.0})
    high = max(top, largest)
    below = values[values < 0]
    width = 0.5
    if below.size >= _FEWEST_NEGATIVE:
        low = abs(float(np.percentile(below, _LOW_SHARE)))
        width = float(np.clip((DECADES - np.log10(high / low)) / 2, 0.0, _MOST_WIDTH))
    return Scale.of("logicle", {"T": high, "W": round(width, 2), "M": DECADES, "A": 0.0})


def is_mass_cytometer(name: str) -> bool:
    """Whether the name of an instrument ($CYT) is that of a mass cytometer."""
    return _MASS.search(name.strip()) is not None


def propose(events: Events) -> Proposal:
    """Scales of all channels, and gates of cells, singlets, living cells and lineages at valleys of the data.

    No valley, no gate: the edge of a range is never proposed as a cut.
    """
    found = Proposal()
    mass = is_mass_cytometer(events.cytometer)
    light = [name for name in events.names if not (is_time(name) or is_scatter(name))]
    if light and not mass and all(np.percentile(events.column(n), 99.9) < _TRANSFORMED_BELOW for n in light):
        found.missing.append("all intensities are below 25: the values look transformed already; export them linear")
        return found
    top = _top(events, light)
    for name in light:
        found.scales[name] = fit_scale(events.column(name), top, mass=mass)
    keep = np.ones(len(events.values), dtype=bool)
    parent = ROOT
    for step in (_cells, _singlets, _live):
        gate, inside = step(events, found, keep, parent)
        if gate is not None:
            found.gates.append(gate)
            keep, parent = keep & inside, gate.population
    _lineages(events, found, keep, parent)
    return found


def _top(events: Events, light: Sequence[str]) -> float:
    """Top of the scales of a tube: the range of its detectors, unless the data say that the keyword is not theirs.

    Files that went through other programs carry 262144 beside values of four decades.
    """
    stated = max((events.ranges[name] for name in light), default=1.0)
    largest = max((float(events.column(name).max(initial=1.0)) for name in light), default=1.0)
    return stated if largest > _LEAST_USED * stated else 10.0 ** float(np.ceil(np.log10(largest)))


_Step = tuple[ProposedGate | None, "NDArray[np.bool_]"]


def _note(events: Events, what: str) -> str:
    return f"proposed: {what} of {events.files} files; look at it"


def _cells(events: Events, found: Proposal, keep: NDArray[np.bool_], parent: str) -> _Step:
    """Events above the debris, by forward scatter."""
    name = next((n for n in events.names if n.upper() in ("FSC-A", "FSC", "FSC-H", "FS", "FS-A")), None)
    if name is None:
        return None, keep
    values = events.column(name)
    low, high = np.percentile(values, (1, 95))
    # Higher valleys part lymphocytes from the larger cells: files that were acquired above a threshold have no debris.
    search = (float(low), _MOST_OF_DEBRIS * float(high))
    cut = mindensity(values, search) if values.size >= _FEWEST_EVENTS and search[0] < search[1] else None
    if cut is None:
        found.missing.append(f"no valley of {name} between debris and cells: the gate cells takes everything, draw it")
        note = "proposed: everything, no valley was found; draw it"
        return ProposedGate("cells", parent, (Limit(name, low=0.0),), note), keep
    cut = _rounded(cut)
    gate = ProposedGate("cells", parent, (Limit(name, low=cut),), _note(events, f"valley of {name}"))
    return gate, np.asarray(values >= cut, dtype=np.bool_)


def _singlets(events: Events, found: Proposal, keep: NDArray[np.bool_], parent: str) -> _Step:
    upper = {name.upper(): name for name in events.names}
    area, height = upper.get("FSC-A"), upper.get("FSC-H")
    if area is None or height is None:
        found.missing.append("no area and height of forward scatter (FSC-A, FSC-H): no gate of singlets")
        return None, keep
    x, y = events.column(area), events.column(height)
    fitted = singlet_gate(x, y, names=(area, height), fit_on=keep)
    if not fitted.assessable:
        found.missing.append(f"no gate of singlets: {fitted.reason}")
        return None, keep
    corners = tuple((_rounded(a), _rounded(h)) for a, h in fitted.polygon.tolist())
    note = _note(events, "robust line of height on area")
    return ProposedGate("singlets", parent, (Limit(area), Limit(height)), note, corners), ~fitted.bad_events


def _live(events: Events, found: Proposal, keep: NDArray[np.bool_], parent: str) -> _Step:
    name = next((n for n in found.scales if same_marker(n, VIABILITY)), None)
    if name is None:
        found.missing.append("no viability dye among the markers: no gate of living cells")
        return None, keep
    cut = _valley(events, found, name, keep)
    if cut is None:
        found.missing.append(f"no valley of {name}: no gate of living cells")
        return None, keep
    gate = ProposedGate("live", parent, (Limit(name, high=cut),), _note(events, f"valley of {name}"))
    return gate, np.asarray(events.column(name) < cut, dtype=np.bool_)


def _lineages(events: Events, found: Proposal, keep: NDArray[np.bool_], parent: str) -> None:
    """Lineages whose markers the panel has, each cut at a valley of the cells of its parent."""
    inside: Mapping[str, NDArray[np.bool_]] = {"": keep}
    for population, above, sides in _LINEAGE:
        names = {marker: next((n for n in found.scales if same_marker(n, marker)), None) for marker, _ in sides}
        wanted = [marker for marker, side in sides if side == "+"]
        if above not in inside or any(names[marker] is None for marker in wanted):
            continue
        used = [(names[marker], side) for marker, side in sides]
        limits, member = [], inside[above].copy()
        for name, side in used:
            if name is None:
                continue
            cut = _valley(events, found, name, inside[above])
            if cut is None:
                found.missing.append(f"no valley of {name}: {population} is not proposed")
                break
            limits.append(Limit(name, low=cut) if side == "+" else Limit(name, high=cut))
            member &= (events.column(name) >= cut) if side == "+" else (events.column(name) < cut)
        else:
            note = _note(events, f"valleys of {', '.join(limit.name for limit in limits)}")
            found.gates.append(ProposedGate(population, above or parent, tuple(limits), note))
            inside = {**inside, population: member}


def _valley(events: Events, found: Proposal, name: str, keep: NDArray[np.bool_]) -> float | None:
    """Cut of a channel in units of the data; None without a valley between the bulk of both sides."""
    values = found.scales[name].apply(events.column(name)[keep])
    values = values[np.isfinite(values)]
    if values.size < _FEWEST_EVENTS:
        return None
    low, high = np.percentile(values, (0.5, 99.5))
    cut = mindensity(values, (float(low), float(high)))
    if cut is None:
        return None
    plain = _rounded(in_data_units(found.scales[name], cut))
    return plain if np.isfinite(on_scale(found.scales[name], plain)) else None


def _rounded(value: float) -> float:
    """Three significant digits: a valley is no sharper, and a person can read it."""
    return float(f"{value:.3g}")
