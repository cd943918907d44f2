"""What a population is by its gates: a definition in marker notation, and how it differs from the usual one.

A limit on a marker gives ``+`` or ``-``; where the strategy cuts the marker at two levels, ``dim`` and ``bright``. A
drawn region gives ``hi``, ``lo`` or ``dim`` for each axis that it does not leave open. Time, scatter and viability are
steps on the way to every population and stand in no definition.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.gate.strategy import ROOT
from immunoprofile.io.markers import VIABILITY, canonical_marker, same_marker
from immunoprofile.resources import populations

if TYPE_CHECKING:
    from immunoprofile.gate.gates import Dimension, Gate
    from immunoprofile.gate.scales import Scale
    from immunoprofile.gate.strategy import Strategy

_ONE_LEVEL = 0.05
"""Cuts of one marker that lie nearer than this share of its scale are one level."""

_OPEN_BELOW, _OPEN_ABOVE = 0.05, 0.9
"""A drawn region that reaches so near the zero, or the top, of an axis does not cut there (shares of the scale)."""

_MEANINGS = {"+": 1, "hi": 1, "bright": 1, "-": -1, "lo": -1, "-/lo": -1, "dim": 0, "gated": 0}
_WORD = re.compile(r"([A-Za-z][A-Za-z0-9]*?)(\+|-/lo|-|hi|lo|bright|dim)")


@dataclass(frozen=True)
class Difference:
    """A marker that an id usually looks at and these gates do not, or see the other way round.

    Attributes
    ----------
    marker
        As the registry writes it, without a sign; alternatives with ``or``.
    opposite
        The gates look at the marker and take the other side.
    """

    marker: str
    opposite: bool


def definition(strategy: Strategy, population: str, markers: Mapping[str, str] | None = None) -> str:
    """Definition of a population in marker notation, from the gates on the way to it.

    Parameters
    ----------
    strategy
        Gates of a tube.
    population
        One of its populations.
    markers
        Channel -> marker, for gates that name channels.

    Returns
    -------
    str
        For example ``CD3+CD4+CD25hiCD127lo``; for a population that only scatter or time cut out, the axes in words
        (``FSC-A x SSC-A``); of ``not`` gates ``CD3+CD4+ not (CD25hiCD127lo)``.

    Raises
    ------
    KeyError
        The strategy has no such population.
    """
    words = _Words(strategy, markers or {})
    terms = words.lineage(population)
    if terms:
        return _joined(terms)
    gate = strategy[population]
    axes = " x ".join(dict.fromkeys(words.name(d) for d in gate.dimensions))
    return axes or _joined(words.of(gate))


def differences(
    strategy: Strategy, population: str, markers: Mapping[str, str] | None = None
) -> tuple[Difference, ...]:
    """Where the gates of a population say something else than its id does in the registry.

    Markers that the registry calls optional may be missing. Gates that look at more markers are no difference.

    Returns
    -------
    tuple of Difference
        Empty for an id that the registry does not know.
    """
    entry = populations().get(population)
    if entry is None or entry.technical:
        return ()
    words = _Words(strategy, markers or {})
    seen: dict[str, set[int]] = {}
    for marker, meaning in words.signs(population):
        seen.setdefault(canonical_marker(marker), set()).add(meaning)
    optional = {canonical_marker(name) for name in entry.optional}
    found = []
    for alternatives in _registered(entry.marker_string):
        known = [
            (name, sign, seen[canonical_marker(name)]) for name, sign in alternatives if canonical_marker(name) in seen
        ]
        if not known:
            if not all(canonical_marker(name) in optional for name, _ in alternatives):
                found.append(Difference(" or ".join(name for name, _ in alternatives), opposite=False))
        elif all(_MEANINGS[sign] and signs == {-_MEANINGS[sign]} for _, sign, signs in known):
            found.append(Difference(" or ".join(name for name, _, _ in known), opposite=True))
    return tuple(found)


def markers_above(strategy: Strategy, population: str) -> tuple[str, ...]:
    """Markers of which the gate of a population takes the brighter events, those of the gates it combines among them.

    A control without such a marker (FMO) tells how many events lie in the gate though they are negative. Gates on the
    way to the population do not count, and neither does ``or``: without one marker the others still fill it.

    Examples
    --------
    >>> gates = ip.gate.load(ip.gate.shipped_folder())
    >>> markers_above(gates["effector"], "cd8_act"), markers_above(gates["treg"], "treg")
    (('HLA-DR', 'CD38'), ('CD25',))
    """
    words = _Words(strategy, {})
    return tuple(dict.fromkeys(words.above(strategy[population])))


def difference_in_words(found: tuple[Difference, ...]) -> str:
    """Differences as one phrase for a page or a message; empty when there are none."""
    missing = [one.marker for one in found if not one.opposite]
    opposite = [one.marker for one in found if one.opposite]
    parts = [f"without {_listed(missing)}, which usually define{'s' * (len(missing) == 1)} it"] if missing else []
    parts += [f"{_listed(opposite)} is on the other side than usual"] if opposite else []
    return "; ".join(parts)


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _registered(marker_string: str) -> list[list[tuple[str, str]]]:
    """Markers with their signs; one entry may have alternatives. Behind ``not`` only the marker counts."""
    plain, _, negated = marker_string.partition(" not ")
    groups = [_WORD.findall(group) for group in re.findall(r"\(([^)]*)\)", plain)]
    rest = re.sub(r"\([^)]*\)", " ", plain)
    found = [[pair] for pair in _WORD.findall(rest)] + [group for group in groups if group]
    return found + [[(name, "dim")] for name, _ in _WORD.findall(negated)]


def _joined(terms: list[str]) -> str:
    """Terms side by side; a phrase stands between blanks."""
    text = ""
    for term in dict.fromkeys(terms):
        text += f" {term}" if text and term.startswith("not ") else term
    return text


class _Words:
    """Terms of the gates of one strategy."""

    def __init__(self, strategy: Strategy, markers: Mapping[str, str]) -> None:
        self.strategy = strategy
        self.markers = markers
        self.scales: dict[str, Scale] = dict(strategy.scales)
        known = populations()
        self.steps = {name for name, entry in known.items() if entry.technical or not entry.explored}
        self.levels: dict[tuple[str, str | None], list[float]] = {}
        for gate in strategy.gates:
            if gate.kind in ("rectangle", "quadrant"):
                for d in gate.dimensions:
                    cuts = self.levels.setdefault((d.marker, d.scale), [])
                    cuts += [limit for limit in (d.minimum, d.maximum) if limit is not None]

    def name(self, dimension: Dimension) -> str:
        return self.markers.get(dimension.marker, dimension.marker)

    def lineage(self, population: str) -> list[str]:
        """Terms of a population and of what is above it, markers that a lower gate cuts again in their last form."""
        terms: list[tuple[str, str]] = []
        for gate in self._way(population):
            for marker, term in self._terms(gate):
                terms = [pair for pair in terms if not marker or pair[0] != marker] + [(marker, term)]
        return [term for _, term in terms]

    def of(self, gate: Gate) -> list[str]:
        return [term for _, term in self._terms(gate)]

    def signs(self, population: str) -> Iterator[tuple[str, int]]:
        """Markers that the gates of a population look at, with 1 (above), -1 (below) or 0 (between, or either)."""
        for gate in self._way(population):
            yield from self._signs(gate, inside=True)

    def above(self, gate: Gate) -> Iterator[str]:
        """Markers of which the gate, or one that it combines, takes the brighter side."""
        if gate.complement or gate.kind in ("not", "or"):
            return
        for operand in gate.operands:
            for own in self._beyond(operand.population, gate) if not operand.complement else ():
                yield from self.above(own)
        for d in gate.dimensions:
            if self._cuts(d) and _MEANINGS.get(self._sign(d, gate)) == 1:
                yield d.marker

    def _way(self, population: str) -> list[Gate]:
        path = [*self.strategy.path(population)[1:], population]
        return [self.strategy[name] for name in path if name == population or name not in self.steps]

    def _signs(self, gate: Gate, *, inside: bool) -> Iterator[tuple[str, int]]:
        certain = inside and not gate.complement and gate.kind not in ("or", "not")
        for operand in gate.operands:
            for own in self._beyond(operand.population, gate):
                for marker, meaning in self._signs(own, inside=certain and not operand.complement):
                    yield marker, meaning if gate.kind == "or" or certain else 0
        for d in gate.dimensions:
            if self._cuts(d) and (sign := self._sign(d, gate)):
                for part in _parts(self.name(d)):
                    yield part, _MEANINGS[sign] if certain else 0

    def _beyond(self, population: str, gate: Gate) -> list[Gate]:
        """The gates of an operand that are not on the way to the gate that refers to it."""
        above = {*self.strategy.path(gate.population), ROOT}
        return [one for one in self._way(population) if one.population not in above]

    def _terms(self, gate: Gate) -> Iterator[tuple[str, str]]:
        """(marker, term) pairs; a term of several markers has no marker."""
        if gate.operands:
            yield from self._of_operands(gate)
            return
        pairs = [(d, sign) for d in gate.dimensions if self._cuts(d) and (sign := self._sign(d, gate))]
        words = [_spelled(self.name(d), sign) for d, sign in pairs]
        if gate.complement:
            yield "", f"not ({_joined(words)})"
        else:
            yield from ((d.marker, word) for (d, _), word in zip(pairs, words, strict=True))

    def _of_operands(self, gate: Gate) -> Iterator[tuple[str, str]]:
        parts = []
        for operand in gate.operands:
            pairs = [pair for one in self._beyond(operand.population, gate) for pair in self._terms(one)]
            words = _joined([term for _, term in pairs]) or operand.population
            if gate.kind == "and" and not operand.complement:
                yield from pairs or [("", operand.population)]
                continue
            negated = operand.complement != (gate.kind == "not")
            parts.append(f"not ({words})" if negated else words)
        if gate.kind == "or":
            yield "", f"({' or '.join(parts)})"
        else:
            yield from (("", part) for part in parts)

    def _cuts(self, dimension: Dimension) -> bool:
        return not dimension.without_light and not same_marker(self.name(dimension), VIABILITY)

    def _sign(self, dimension: Dimension, gate: Gate) -> str:
        if gate.kind in ("polygon", "ellipsoid"):
            return self._drawn(dimension, gate)
        levels = self._merged(dimension)
        low, high = dimension.minimum, dimension.maximum
        if low is not None and high is not None:
            return "dim"
        if low is not None:
            return "bright" if _at(low, levels) > 0 else "+"
        if high is not None:
            return "-" if _at(high, levels) == 0 else "-/lo"
        return ""

    def _merged(self, dimension: Dimension) -> list[float]:
        """Levels at which the strategy cuts a marker, from below."""
        cuts = sorted(self.levels.get((dimension.marker, dimension.scale), []))
        scale = self.scales.get(dimension.scale or "")
        width = _ONE_LEVEL * scale.top if scale is not None else 0.0
        levels: list[float] = []
        for cut in cuts:
            if not levels or cut - levels[-1] > width:
                levels.append(cut)
        return levels

    def _drawn(self, dimension: Dimension, gate: Gate) -> str:
        scale = self.scales.get(dimension.scale or "")
        if scale is None:
            return "gated"
        low, high = _extent(gate, dimension)
        with np.errstate(divide="ignore"):
            zero = float(scale.apply(np.array([0.0]))[0])
        below = low <= max(zero, 0.0) + _OPEN_BELOW * scale.top
        above = high >= _OPEN_ABOVE * scale.top
        if below and above:
            return ""
        if not above:
            return "lo" if below else "dim"
        # Two regions that both reach to the top: the one that begins lower is the dim one
        higher = [other - low > _OPEN_BELOW * scale.top for other in self._beside(gate, dimension)]
        return "hi" if not higher else "dim" if any(higher) else "bright"

    def _beside(self, gate: Gate, dimension: Dimension) -> list[float]:
        """Where other drawn regions of the same plot that cut the same axis from below begin on it."""
        axes = [d.marker for d in gate.dimensions]
        scale = self.scales[dimension.scale or ""]
        found = []
        for other in self.strategy.gates:
            same_plot = other.parent == gate.parent and [d.marker for d in other.dimensions] == axes
            if other is not gate and same_plot and other.kind in ("polygon", "ellipsoid"):
                low, high = _extent(other, other.dimensions[axes.index(dimension.marker)])
                if high >= _OPEN_ABOVE * scale.top and low > _OPEN_BELOW * scale.top:
                    found.append(low)
        return found


def _extent(gate: Gate, dimension: Dimension) -> tuple[float, float]:
    """Lowest and highest place of a drawn region on one of its axes."""
    number = gate.dimensions.index(dimension)
    if gate.ellipsoid is not None:
        half = float(np.sqrt(gate.ellipsoid.distance_square * gate.ellipsoid.covariance[number][number]))
        return gate.ellipsoid.mean[number] - half, gate.ellipsoid.mean[number] + half
    places = [corner[number] for corner in gate.vertices]
    return min(places), max(places)


def _at(cut: float, levels: list[float]) -> int:
    return sum(level <= cut for level in levels) - 1


def _parts(marker: str) -> list[str]:
    """Markers of a channel that carries several (``CD14+CD19``)."""
    parts = marker.split("+")
    return parts if len(parts) > 1 and all(parts) else [marker]


def _spelled(marker: str, sign: str) -> str:
    """A marker with its sign; of a channel with several, all are below or any is above."""
    parts = _parts(marker)
    if sign == "gated":
        return f"{marker}(drawn)"
    if len(parts) == 1:
        # The name of a detector would run into the sign
        plain = re.fullmatch(r"[\w-]+", marker) and not re.search(r"-[AHW]$", marker)
        return f"{marker}{sign}" if plain else f"({marker}){sign}"
    if _MEANINGS[sign] < 0:
        return "".join(f"{part}{sign}" for part in parts)
    return f"({' or '.join(f'{part}{sign}' for part in parts)})"
