"""Random strategies on nasty data: what the engine and FlowKit have to agree on, event for event."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from immunoprofile.compensation import Spillover
from immunoprofile.gate.gates import Dimension, Ellipsoid, Gate, Matrix, Operand, Ratio
from immunoprofile.gate.scales import Scale
from immunoprofile.gate.strategy import ROOT, Strategy
from immunoprofile.io.fcs import Channel, Sample

SCALES = (
    ("logicle", Scale.of("logicle", {"T": 262144, "W": 0.5, "M": 4.5, "A": 0})),
    ("wide", Scale.of("logicle", {"T": 262144, "W": 1.2, "M": 4.5, "A": 0.3})),
    ("narrow", Scale.of("logicle", {"T": 10000, "W": 0.1, "M": 4, "A": 0})),
    ("hyperlog", Scale.of("hyperlog", {"T": 262144, "W": 0.6, "M": 4.5, "A": 0})),
    ("asinh", Scale.of("asinh", {"T": 262144, "M": 4.5, "A": 0.5})),
    ("cofactor", Scale.of("asinh", {"T": 12000, "M": 3.6, "A": 0})),
    ("log", Scale.of("log", {"T": 262144, "M": 4.5})),
    ("linear", Scale.of("linear", {"T": 262144, "A": 1000})),
    ("biex", Scale.of("biex", {"negative": 0.5, "width": -30, "positive": 4.41854, "max_value": 262144.000029})),
    ("flowjo_log", Scale.of("flowjo_log", {"offset": 10, "decades": 4.5})),
)

KINDS = ("rectangle", "polygon", "ellipsoid", "quadrant", "boolean", "ratio")


@dataclass(frozen=True, eq=False)
class Case:
    """A strategy bound to a sample, with the spillover of the file."""

    sample: Sample
    strategy: Strategy
    spillover: Spillover | None


@dataclass(frozen=True, eq=False)
class _Reading:
    """One axis and the values that the events have on it."""

    dimension: Dimension
    values: NDArray[np.float64]


def events_of(rng: np.random.Generator, n: int, colours: int, *, kind: str) -> NDArray[np.float64]:
    """Events x (FSC-A, SSC-A, Time, colours): populations, zeros, integers, copies, limits, no numbers."""
    scatter = rng.lognormal(11, 0.6, (n, 2))
    time = np.sort(rng.random((n, 1)), axis=0) * 600
    centre = rng.normal(0, 1, (4, colours)) * 2.0 + 6.0
    light = np.exp(rng.normal(0, 0.7, (n, colours)) + centre[rng.integers(0, 4, n)]) + rng.normal(0, 120, (n, colours))
    table = np.column_stack([scatter, time, light])
    width = table.shape[1]
    if kind == "integer":
        table = np.floor(np.clip(table / 262144 * 1024, 0, 1023))
    elif kind == "single":
        table = table.astype(np.float32).astype(np.float64)
    if n == 0 or kind == "integer":
        return table
    for value in (0.0, -0.0, 262143.0, -111.0, 1e-30, 3e7):
        hit = rng.random(table.shape) < 0.01
        table[hit] = value
    whole = rng.random(n) < 0.1
    table[whole] = np.round(table[whole])
    copies = rng.integers(0, n, n // 10)
    table[rng.integers(0, n, len(copies))] = table[copies]
    if kind == "broken":
        for value in (np.nan, np.inf, -np.inf, 3e38, -1e20, 2.0**40, 1e300, 5e-324):
            table[rng.integers(0, n, 1 + n // 100), rng.integers(0, width, 1 + n // 100)] = value
    return table


def near_copies(rng: np.random.Generator, table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Some events again, each value moved to the next number above or below."""
    if not len(table):
        return table
    chosen = table[rng.integers(0, len(table), max(1, len(table) // 8))]
    with np.errstate(all="ignore"):
        moved = np.nextafter(chosen, np.where(rng.random(chosen.shape) < 0.5, np.inf, -np.inf))
    return np.vstack([table, np.where(rng.random(chosen.shape) < 0.6, moved, chosen)])


def case(seed: int, *, events: int = 400, gates: int = 12, kinds: tuple[str, ...] = KINDS) -> Case:
    """One case; everything follows from the arguments."""
    rng = np.random.default_rng(seed)
    colours = int(rng.integers(0, 9))
    kind = str(rng.choice(["single", "double", "integer", "broken"]))
    n = int(rng.choice([0, 1, 2, 3, events // 2, events, events, events, 1024, 1100]))
    table = np.ascontiguousarray(near_copies(rng, events_of(rng, n, colours, kind=kind)))
    names = ["FSC-A", "SSC-A", "Time", *(f"FL{i}-A" for i in range(1, colours + 1))]
    if rng.random() < 0.05:
        table, names = np.ascontiguousarray(table[:, :1]), names[:1]
    channels = tuple(Channel(name, "", name, 262144.0) for name in names)
    sample = Sample("case.fcs", table, channels)
    fluorescent = names[3:]
    spillover = None
    matrices: tuple[tuple[str, Matrix], ...] = ()
    if fluorescent and rng.random() < 0.8:
        spillover = Spillover(tuple(fluorescent), _spill(rng, len(fluorescent)), "keyword")
    if fluorescent and rng.random() < 0.5:
        some = tuple(str(name) for name in rng.permutation(fluorescent)[: int(rng.integers(1, len(fluorescent) + 1))])
        values = tuple(tuple(float(v) for v in row) for row in _spill(rng, len(some)))
        matrices = (("own", Matrix(some, values)),)
    draft = Strategy("t", (), scales=SCALES, channels=tuple((name, name) for name in names), matrices=matrices)
    maker = _Maker(rng, sample, draft, spillover)
    return Case(sample, maker.strategy(gates, kinds), spillover)


def case_on(sample: Sample, spillover: Spillover | None, seed: int, *, gates: int = 12) -> Case:
    """A random strategy with limits among the events of a given file."""
    names = tuple((channel.pnn, channel.pnn) for channel in sample.channels)
    draft = Strategy("t", (), scales=SCALES, channels=names)
    maker = _Maker(np.random.default_rng(seed), sample, draft, spillover)
    return Case(sample, maker.strategy(gates, KINDS), spillover)


def _spill(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    strength = float(rng.choice([0.03, 0.1, 0.3, 0.6]))
    matrix = np.eye(size) + rng.random((size, size)) * strength * (1 - np.eye(size))
    if size > 1 and rng.random() < 0.1:
        # Two dyes that look almost the same
        matrix[1] = matrix[0] + rng.random(size) * float(rng.choice([1e-2, 1e-5]))
    return matrix if np.linalg.matrix_rank(matrix) == size else np.eye(size)


class _Maker:
    def __init__(self, rng: np.random.Generator, sample: Sample, draft: Strategy, spillover: Spillover | None) -> None:
        self.rng, self.sample, self.draft, self.spillover = rng, sample, draft, spillover
        self.names = [channel.pnn for channel in sample.channels]
        self.gates: list[Gate] = []

    def strategy(self, count: int, kinds: tuple[str, ...]) -> Strategy:
        while len(self.gates) < count:
            self._add(str(self.rng.choice(kinds)))
        return replace(self.draft, gates=tuple(self.gates))

    def _chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def _parent(self) -> str:
        return str(self.rng.choice([ROOT, *(gate.population for gate in self.gates)]))

    def _add(self, kind: str) -> None:
        name, parent = f"g{len(self.gates)}", self._parent()
        if kind == "rectangle":
            axes = self._axes(int(self.rng.integers(1, min(4, len(self.names)) + 1)))
            limited = [self._limited(axis) for axis in axes]
            self.gates.append(Gate(name, parent, "rectangle", tuple(limited), complement=self._chance(0.3)))
        elif kind == "ratio" and len(self.names) > 1:
            self._ratio(name, parent)
        elif kind == "polygon" and len(self.names) > 1:
            self._polygon(name, parent)
        elif kind == "ellipsoid" and len(self.names) > 1:
            self._ellipsoid(name, parent)
        elif kind == "quadrant":
            self._quadrants(name, parent)
        elif kind == "boolean":
            self._boolean(name, parent)

    def _axes(self, count: int) -> list[_Reading]:
        columns = self.rng.permutation(len(self.names))[:count]
        matrix = str(self.rng.choice(["", *(name for name, _ in self.draft.matrices)]))
        anything = self._chance(0.7)
        axes = []
        for column in columns:
            scale = None if self._chance(0.25) else str(self.rng.choice([name for name, _ in SCALES]))
            compensated = anything and self._chance(0.85)
            axes.append((int(column), scale, compensated))
        removed = any(compensated for *_, compensated in axes) and (matrix != "" or self.spillover is not None)
        readings = []
        for column, scale, compensated in axes:
            linear = self._linear(column, matrix if removed else None)
            dimension = Dimension(self.names[column], None, None, scale, compensated, matrix=matrix * compensated)
            readings.append(_Reading(dimension, self._on_scale(linear, scale)))
        return readings

    def _linear(self, column: int, matrix: str | None) -> NDArray[np.float64]:
        if matrix is None:
            return self.sample.events[:, column]
        if matrix == "":
            assert self.spillover is not None
            channels, values = self.spillover.channels, self.spillover.matrix
        else:
            own = dict(self.draft.matrices)[matrix]
            channels, values = own.detectors, own.array
        if self.names[column] not in channels:
            return self.sample.events[:, column]
        places = [self.names.index(name) for name in channels]
        solved = np.linalg.solve(values.T, self.sample.events[:, places].T)
        return np.ascontiguousarray(solved[channels.index(self.names[column])])

    def _on_scale(self, linear: NDArray[np.float64], scale: str | None) -> NDArray[np.float64]:
        with np.errstate(all="ignore"):
            values = linear if scale is None else dict(SCALES)[scale].apply(linear)
        values = values[np.isfinite(values) & (np.abs(values) < 1e9)]
        return values if len(values) else np.array([0.0, 0.5, 1.0])

    def _limit(self, reading: _Reading) -> float:
        """The value of an event, the number next to it, or anything."""
        event = float(self.rng.choice(reading.values))
        draw = self.rng.random()
        if draw < 0.4:
            return event
        if draw < 0.5:
            return float(np.nextafter(event, np.inf if self._chance(0.5) else -np.inf))
        if draw < 0.6:
            scale = reading.dimension.scale
            with np.errstate(all="ignore"):
                zero = 0.0 if scale is None else float(dict(SCALES)[scale].apply(np.zeros(1))[0])
            return zero if np.isfinite(zero) else 0.0
        return float(np.quantile(reading.values, self.rng.random()))

    def _limited(self, reading: _Reading) -> Dimension:
        low, high = sorted((self._limit(reading), self._limit(reading)))
        draw = self.rng.random()
        if draw < 0.3 or low == high:
            return replace(reading.dimension, minimum=low)
        if draw < 0.6:
            return replace(reading.dimension, maximum=high)
        return replace(reading.dimension, minimum=low, maximum=high)

    def _ratio(self, name: str, parent: str) -> None:
        upper, lower = (self.names[i] for i in self.rng.permutation(len(self.names))[:2])
        a, b = (float(self.rng.choice([1.0, 100.0, 0.5])), float(self.rng.choice([0.0, 10.0])))
        c = float(self.rng.choice([0.0, -1000.0, 3.5]))
        ratio = Ratio(upper, lower, a, b, c)
        with np.errstate(all="ignore"):
            values = a * ((self.sample.values(upper) - b) / (self.sample.values(lower) - c))
        scale = None if self._chance(0.5) else str(self.rng.choice(["linear", "asinh", "log"]))
        axis = Dimension(f"ratio_{name}", None, None, scale, self._chance(0.3), ratio)
        reading = _Reading(axis, self._on_scale(values, scale))
        if self._chance(0.4):
            others = [r for r in self._axes(1) if not r.dimension.compensated]
            if others:
                corners = self._corners([reading, others[0]])
                axes = (replace(reading.dimension, compensated=False), others[0].dimension)
                self.gates.append(Gate(name, parent, "polygon", axes, vertices=corners))
                return
        self.gates.append(Gate(name, parent, "rectangle", (self._limited(reading),), complement=self._chance(0.2)))

    def _corners(self, readings: list[_Reading]) -> tuple[tuple[float, float], ...]:
        count = int(self.rng.integers(3, 14))
        centre = [float(np.quantile(r.values, self.rng.uniform(0.2, 0.8))) for r in readings]
        reach = [float(np.ptp(np.quantile(r.values, [0.1, 0.9]))) / 2 + 1e-3 for r in readings]
        angles = self.rng.random(count) * 2 * np.pi
        if self._chance(0.7):
            angles = np.sort(angles)
        far = self.rng.uniform(0.2, 1.1, count)
        x, y = centre[0] + reach[0] * far * np.cos(angles), centre[1] + reach[1] * far * np.sin(angles)
        corners = [(float(a), float(b)) for a, b in zip(x, y, strict=True)]
        if self._chance(0.4):
            # A corner on an event, and a level or upright edge through one
            corners[0] = (float(self.rng.choice(readings[0].values)), float(self.rng.choice(readings[1].values)))
            corners[1] = (corners[0][0], corners[1][1]) if self._chance(0.5) else (corners[1][0], corners[0][1])
        return tuple(corners)

    def _polygon(self, name: str, parent: str) -> None:
        readings = self._axes(2)
        axes = tuple(reading.dimension for reading in readings)
        corners = self._corners(readings)
        self.gates.append(Gate(name, parent, "polygon", axes, vertices=corners, complement=self._chance(0.3)))

    def _ellipsoid(self, name: str, parent: str) -> None:
        readings = self._axes(int(self.rng.integers(2, min(4, len(self.names)) + 1)))
        size = len(readings)
        reach = np.array([float(np.ptp(np.quantile(r.values, [0.1, 0.9]))) / 2 + 1e-3 for r in readings])
        turn = np.linalg.qr(self.rng.normal(size=(size, size)))[0]
        shape = turn @ np.diag(self.rng.uniform(0.05, 1.0, size)) @ turn.T
        covariance = shape * np.outer(reach, reach)
        covariance = (covariance + covariance.T) / 2
        if np.linalg.matrix_rank(covariance) < size:
            return
        mean = tuple(float(np.quantile(r.values, self.rng.uniform(0.3, 0.7))) for r in readings)
        rows = tuple(tuple(float(v) for v in row) for row in covariance)
        found = Ellipsoid(mean, rows, float(self.rng.uniform(0.2, 4.0)))
        axes = tuple(reading.dimension for reading in readings)
        self.gates.append(Gate(name, parent, "ellipsoid", axes, ellipsoid=found))

    def _quadrants(self, name: str, parent: str) -> None:
        readings = self._axes(int(self.rng.integers(1, min(2, len(self.names)) + 1)))
        dividers = [sorted({self._limit(r) for _ in range(int(self.rng.integers(1, 3)))}) for r in readings]
        cells = [list(zip([None, *d], [*d, None], strict=True)) for d in dividers]
        pairs = [(a,) for a in cells[0]] if len(cells) == 1 else [(a, b) for a in cells[0] for b in cells[1]]
        if not any(reading.dimension.compensated for reading in readings[:1]):
            pairs = pairs[: int(self.rng.integers(1, len(pairs) + 1))]
        for number, limits in enumerate(pairs):
            axes = tuple(
                replace(reading.dimension, minimum=low, maximum=high)
                for reading, (low, high) in zip(readings, limits, strict=True)
            )
            self.gates.append(Gate(f"{name}_{number}", parent, "quadrant", axes, quadrant_of=f"{name}_quadrants"))

    def _boolean(self, name: str, parent: str) -> None:
        others = [gate.population for gate in self.gates if gate.population != parent]
        if not others:
            return
        kind = str(self.rng.choice(["and", "or", "not"]))
        count = 1 if kind == "not" else int(self.rng.integers(1, min(4, len(others)) + 1))
        chosen = [str(other) for other in self.rng.permutation(others)[:count]]
        operands = tuple(Operand(other, self._chance(0.4)) for other in chosen)
        self.gates.append(Gate(name, parent, kind, operands=operands))  # type: ignore[arg-type]
