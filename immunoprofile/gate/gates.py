"""One gate as an immutable value: its axes, its shape, and what makes it valid by itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from immunoprofile.io.markers import is_scatter, is_time

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from immunoprofile.io.fcs import Sample

GateKind = Literal["rectangle", "polygon", "ellipsoid", "quadrant", "and", "or", "not"]
BOOLEAN_KINDS: tuple[GateKind, ...] = ("and", "or", "not")

ROOT = "root"
"""Parent of the first gates: all recorded events."""


@dataclass(frozen=True)
class Ratio:
    """Ratio of two channels, ``a * (numerator - b) / (denominator - c)`` (fratio of GatingML 2.0).

    Of the recorded values; of compensated ones where its dimension is compensated (`compensated_ratios`).

    Attributes
    ----------
    numerator, denominator
        Markers or channels.
    a, b, c
        Factor and offsets.
    """

    numerator: str
    denominator: str
    a: float = 1.0
    b: float = 0.0
    c: float = 0.0


@dataclass(frozen=True)
class Ellipsoid:
    """Points whose squared Mahalanobis distance from a centre is at most a limit.

    Attributes
    ----------
    mean
        Centre, one number a dimension, on the scales of the dimensions.
    covariance
        Covariance matrix, one row a dimension.
    distance_square
        Largest squared distance; the boundary belongs to the gate.
    """

    mean: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    distance_square: float


@dataclass(frozen=True)
class Matrix:
    """A compensation matrix that belongs to a strategy, as a value that can be compared and hashed.

    Attributes
    ----------
    detectors
        Channels ($PnN): the columns.
    values
        One row a fluorochrome, one column a detector. Fewer rows than columns: spectral, solved by least squares; row
        i then gives the unmixed value of ``detectors[i]``.
    fluorochromes
        Names of the rows, by which a gate may call the unmixed values; empty where nobody named them.
    """

    detectors: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    fluorochromes: tuple[str, ...] = ()

    @property
    def spectral(self) -> bool:
        """Whether there are more detectors than fluorochromes."""
        return len(self.values) < len(self.detectors)

    @property
    def in_per_cent(self) -> bool:
        """Whether the diagonal of a square matrix is 100 all along."""
        return not self.spectral and all(abs(row[n] - 100) < 1e-4 for n, row in enumerate(self.values))

    @property
    def array(self) -> NDArray[np.float64]:
        """The values, fluorochromes x detectors."""
        return np.array(self.values, dtype=np.float64)

    def compensate(self, sample: Sample) -> NDArray[np.float64]:
        """Events of a file with the spillover removed: float64, n x p, linear; other channels as they were."""
        names = [channel.pnn for channel in sample.channels]
        columns = [names.index(detector) for detector in self.detectors]
        events = sample.events.copy()
        raw = sample.events[:, columns].T
        if self.spectral:
            events[:, columns[: len(self.values)]] = np.linalg.lstsq(self.array.T, raw, rcond=-1)[0].T
        else:
            events[:, columns] = np.linalg.solve(self.array.T, raw).T
        return events

    def faults(self) -> Iterator[str]:
        """What makes the matrix unusable."""
        rows, columns = len(self.values), len(self.detectors)
        if not rows or any(len(row) != columns for row in self.values):
            yield f"does not have {columns} numbers, one a detector, in each row"
            return
        if rows > columns:
            yield f"has more fluorochromes ({rows}) than detectors ({columns})"
        if len(set(self.detectors)) != columns:
            yield "names a detector twice"
        if self.fluorochromes and len(self.fluorochromes) != rows:
            yield "does not name each of its rows"
        if not np.all(np.isfinite(self.array)):
            yield "holds values that are no finite numbers"
        elif np.linalg.matrix_rank(self.array) < rows:
            yield "cannot be inverted: two fluorochromes look the same to the detectors"


@dataclass(frozen=True)
class Dimension:
    """One axis of a gate.

    Attributes
    ----------
    marker
        Marker, scatter channel or ``Time``; a channel name ($PnN) where the strategy came from GatingML; of a ratio its
        id.
    minimum, maximum
        Limits on the scale of the axis: minimum inclusive, maximum exclusive; None is open. Unused by polygons and
        ellipsoids.
    scale
        Name of a scale of the strategy; None is linear.
    compensated
        Whether spillover is removed first.
    ratio
        Ratio of two channels that this axis shows, or None.
    matrix
        Name of the matrix of the strategy that is removed; empty is the spillover of the file or of the study.
    """

    marker: str
    minimum: float | None = None
    maximum: float | None = None
    scale: str | None = None
    compensated: bool = False
    ratio: Ratio | None = None
    matrix: str = ""

    @property
    def channels(self) -> tuple[str, ...]:
        """Markers or channels that the axis needs: one, or the two of a ratio."""
        return (self.marker,) if self.ratio is None else (self.ratio.numerator, self.ratio.denominator)

    @property
    def without_limits(self) -> Dimension:
        """The axis alone."""
        return replace(self, minimum=None, maximum=None)

    @property
    def without_light(self) -> bool:
        """Whether the axis is scatter or time, which no spillover reaches."""
        return self.ratio is None and (is_scatter(self.marker) or is_time(self.marker))


@dataclass(frozen=True)
class Operand:
    """A population that a Boolean gate refers to, or its complement."""

    population: str
    complement: bool = False


@dataclass(frozen=True)
class Gate:
    """One population: how it is cut out of its parent.

    Attributes
    ----------
    population
        Id, unique in the strategy.
    parent
        Id of the parent, or ``root``.
    kind
        ``rectangle`` (1 or more dimensions), ``polygon`` (2 dimensions), ``ellipsoid`` (2 or more), ``quadrant`` (one
        cell of a grid of dividers), ``and``, ``or``, ``not``.
    dimensions
        Axes; the first two are those of the plot.
    vertices
        Corners of a polygon on the scales of its dimensions.
    operands
        Populations that a Boolean gate combines.
    method
        How the limits were placed; ``fixed`` is the value of the template.
    arguments
        (name, value) pairs of the method, as far as the template sets them (`methods.METHODS`).
    group_by, fallback, note
        Columns of the template that placement methods and people use.
    label
        Name that the gate came with, where that is no population id.
    complement
        The events of the parent that are *outside* a rectangle or polygon.
    ellipsoid
        Shape of an ellipsoid on the scales of its dimensions.
    quadrant_of
        Id of the quadrant gate that a quadrant belongs to: the quadrants of one gate have it and their parent in
        common, and each limit of one is a divider for all.
    """

    population: str
    parent: str
    kind: GateKind
    dimensions: tuple[Dimension, ...] = ()
    vertices: tuple[tuple[float, float], ...] = ()
    operands: tuple[Operand, ...] = ()
    method: str = "fixed"
    arguments: tuple[tuple[str, float | str], ...] = ()
    group_by: str = ""
    fallback: str = ""
    note: str = ""
    label: str = ""
    complement: bool = False
    ellipsoid: Ellipsoid | None = None
    quadrant_of: str = ""

    def moved(self, move: Callable[[Dimension, float], float]) -> Gate:
        """The same gate with every limit and every corner passed through a function of its axis and its place."""
        dimensions = tuple(_with_limits(d, *(None if at is None else move(d, at) for at in (d.minimum, d.maximum)))
                           for d in self.dimensions)  # fmt: skip
        if len(self.dimensions) != 2:
            return replace(self, dimensions=dimensions)
        x_axis, y_axis = self.dimensions
        vertices = tuple((move(x_axis, x), move(y_axis, y)) for x, y in self.vertices)
        return replace(self, dimensions=dimensions, vertices=vertices)

    def faults(self) -> tuple[tuple[str, object], ...]:
        """What is wrong with the gate by itself, with the value found: (fault, value)."""
        return self._faults

    @cached_property
    def _faults(self) -> tuple[tuple[str, object], ...]:
        return tuple(self._found_faults())

    def _found_faults(self) -> Iterator[tuple[str, object]]:
        markers = [dimension.marker for dimension in self.dimensions]
        for marker in sorted({marker for marker in markers if markers.count(marker) > 1}):
            yield f"{marker} stands twice among its dimensions", ""
        for dimension in self.dimensions:
            low, high = dimension.minimum, dimension.maximum
            if low is not None and high is not None and not low < high:
                yield f"minimum of {dimension.marker} is not below its maximum", f"{low} .. {high}"
            if any(limit is not None and math.isnan(limit) for limit in (low, high)):
                yield f"a limit of {dimension.marker} is no number", ""
            if dimension.matrix and not dimension.compensated:
                yield f"{dimension.marker} names a matrix and is not compensated", dimension.matrix
        if len({dimension.matrix for dimension in self.dimensions if dimension.compensated}) > 1:
            yield "its dimensions are compensated with different matrices", ""
        if sum(dimension.ratio is not None for dimension in self.dimensions) > 1:
            yield "has two ratios; gate one after the other", ""
        if self.complement and self.kind not in ("rectangle", "polygon"):
            yield f"a gate '{self.kind}' has no complement; add a gate 'not' that refers to it", ""
        if self.quadrant_of and self.kind != "quadrant":
            yield "belongs to a quadrant gate and is no quadrant", self.quadrant_of
        if self.ellipsoid is not None and self.kind != "ellipsoid":
            yield "has the shape of an ellipsoid and is none", self.kind
        yield from self._shape_faults()

    def _shape_faults(self) -> Iterator[tuple[str, object]]:
        limits = [d.minimum is not None or d.maximum is not None for d in self.dimensions]
        if self.kind in ("rectangle", "quadrant"):
            if not limits:
                yield f"a {self.kind} needs at least one dimension", ""
            elif not any(limits) or (self.kind == "quadrant" and not all(limits)):
                yield f"a {self.kind} needs at least one limit{' on each axis' * (self.kind == 'quadrant')}", ""
            if self.kind == "quadrant" and not self.quadrant_of:
                yield "a quadrant needs the id of its quadrant gate", ""
            if self.kind == "quadrant" and any(d.ratio is not None for d in self.dimensions):
                yield "a quadrant cannot divide a ratio; use rectangles", ""
        elif self.kind == "polygon":
            if len(self.dimensions) != 2:
                yield "a polygon needs two dimensions", len(self.dimensions)
            if len(self.vertices) < 3:
                yield "a polygon needs at least three vertices", len(self.vertices)
            if not np.all(np.isfinite(np.array(self.vertices))):
                yield "a vertex is no pair of finite numbers", ""
        elif self.kind == "ellipsoid":
            yield from self._ellipsoid_faults()
        elif not self.operands or (self.kind == "not" and len(self.operands) != 1):
            yield f"a gate '{self.kind}' needs {'one operand' if self.kind == 'not' else 'operands'}", ""

    def _ellipsoid_faults(self) -> Iterator[tuple[str, object]]:
        size = len(self.dimensions)
        if size < 2:
            yield "an ellipsoid needs at least two dimensions", size
        shape = self.ellipsoid
        if shape is None:
            yield "an ellipsoid needs a centre, a covariance matrix and a distance", ""
            return
        if len(shape.mean) != size or len(shape.covariance) != size or any(len(r) != size for r in shape.covariance):
            yield f"centre and covariance matrix do not have {size} dimensions", ""
            return
        if not np.all(np.isfinite(shape.mean)) or not np.all(np.isfinite(np.array(shape.covariance))):
            yield "centre or covariance matrix holds values that are no finite numbers", ""
        elif np.linalg.matrix_rank(np.array(shape.covariance)) < size:
            yield "the covariance matrix cannot be inverted", ""
        if not math.isfinite(shape.distance_square) or shape.distance_square < 0:
            yield "the squared distance is not zero or more", shape.distance_square


def _with_limits(dimension: Dimension, minimum: float | None, maximum: float | None) -> Dimension:
    if (minimum, maximum) == (dimension.minimum, dimension.maximum):
        return dimension
    return replace(dimension, minimum=minimum, maximum=maximum)


def ellipse_corners(shape: Ellipsoid, corners: int = 64) -> tuple[tuple[float, float], ...]:
    """Corners on the section of an ellipsoid with the plot of its first two axes, the others at the centre."""
    precision = np.linalg.inv(np.array(shape.covariance))[:2, :2]
    angles = np.linspace(0.0, 2.0 * np.pi, corners, endpoint=False)
    circle = np.sqrt(shape.distance_square) * np.array([np.cos(angles), np.sin(angles)])
    x, y = np.linalg.solve(np.linalg.cholesky(precision).T, circle)
    return tuple((float(a + shape.mean[0]), float(b + shape.mean[1])) for a, b in zip(x, y, strict=True))


def describe(gate: Gate) -> str:
    """Axes or operands of a gate in a few words."""
    if gate.operands:
        return " ".join([gate.kind, *(f"{'not ' if o.complement else ''}{o.population}" for o in gate.operands)])
    axes = " x ".join(
        d.marker if d.ratio is None else f"{d.ratio.numerator}/{d.ratio.denominator}" for d in gate.dimensions
    )
    outside = "outside " if gate.complement else ""
    kind = f" {gate.kind}" if gate.kind == "ellipsoid" else f" of {gate.quadrant_of}" if gate.quadrant_of else ""
    return f"{outside}{axes}{kind}"


def parents_first(gates: list[Gate]) -> list[Gate]:
    """Order of evaluation: the order given, except that parents and operands come before the gates that need them."""
    done: dict[str, Gate] = {}
    waiting = list(gates)
    while waiting:
        later = []
        for gate in waiting:
            if gate.parent in (ROOT, *done) and all(operand.population in done for operand in gate.operands):
                done[gate.population] = gate
            else:
                later.append(gate)
        if len(later) == len(waiting):
            return [*done.values(), *later]
        waiting = later
    return list(done.values())
