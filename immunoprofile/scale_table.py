"""A scale as a table of cubic pieces: for figures, statistics and checks, never for gates.

A logicle scale costs more to evaluate than all gates of a file. It is smooth, and odd about the value at zero; 512
pieces an octave of ``|x| + shift`` follow it to a few times the rounding error of its own evaluation, which is checked
between the nodes when a table is made. What the table does not reach is evaluated.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from immunoprofile import event_loops

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Curve = Callable[[NDArray[np.float64]], NDArray[np.float64]]

LEAST_VALUES = 1 << 13
"""Fewer values are evaluated sooner than a table is made."""
BOUND = 1e-12
"""A table that differs by more from its scale, where the scale is 0 to 1 over the detector, is not used."""
_OCTAVES_BEYOND = 6
"""The table reaches so many octaves beyond the top of the scale."""
_DROPPED_BITS = 43
"""Of the 52 bits of a fraction; the other nine number the 512 pieces of an octave."""
_CHUNK = 1 << 12


@dataclass(frozen=True, eq=False)
class ScaleTable:
    """Cubic pieces of a scale.

    Attributes
    ----------
    curve
        The scale itself.
    shift
        Added to the absolute value, so that the pieces are narrow but few about zero.
    first
        Number of the first piece: the upper bits of ``shift``.
    pieces
        Pieces x 4: coefficients by rising power of the distance from the left end.
    centre
        Value at zero.
    error
        Largest difference from the scale that was seen when the table was made.
    """

    curve: Curve
    shift: float
    first: int
    pieces: NDArray[np.float64]
    centre: float
    error: float

    @classmethod
    def of(cls, curve: Curve, *, top: float, linear: float) -> ScaleTable | None:
        """Table of a scale that is odd about its value at zero, or None where it cannot follow it to `BOUND`.

        Parameters
        ----------
        curve
            The scale: linear values to places, elementwise.
        top
            Linear value at the top of the scale.
        linear
            Linear value up to which the scale is nearly a straight line; the narrowest piece is about this / 10,000.
        """
        shift = float(2.0 ** np.floor(np.log2(linear / 16)))
        first, last = (int(np.array([end]).view(np.int64)[0] >> _DROPPED_BITS)
                       for end in (shift, top * 2.0**_OCTAVES_BEYOND + shift))  # fmt: skip
        edges = (np.arange(first, last + 2, dtype=np.int64) << _DROPPED_BITS).view(np.float64)
        left, width = edges[:-1], np.diff(edges)
        nodes = np.array([0.0, 1 / 3, 2 / 3, 1.0])
        places = left[:, None] + width[:, None] * nodes
        with np.errstate(all="ignore"):
            heights = curve((places - shift).ravel()).reshape(places.shape)
        pieces = heights @ np.linalg.inv(np.vander(nodes, 4, increasing=True)).T / width[:, None] ** np.arange(4)
        centre = float(curve(np.zeros(1))[0])
        table = cls(curve, shift, first, np.ascontiguousarray(pieces), centre, float("nan"))
        between = (left[:, None] + width[:, None] * np.array([0.13, 0.5, 0.87])).ravel() - shift
        seen = 0.0
        for points in (between, -between):
            with np.errstate(all="ignore"):
                seen = max(seen, float(np.max(np.abs(table._pieces(points) - curve(points)))))
        return cls(curve, shift, first, table.pieces, centre, seen) if seen <= BOUND else None

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Places of linear values, same shape; beyond the table, and of what is no number, as the scale has it."""
        flat = np.ascontiguousarray(values, dtype=np.float64).ravel()
        out = self._pieces(flat)
        beyond = np.flatnonzero(np.isnan(out))
        if beyond.size:
            out[beyond] = self.curve(flat[beyond])
        return out.reshape(np.shape(values))

    def _pieces(self, flat: NDArray[np.float64]) -> NDArray[np.float64]:
        out = np.empty(flat.size)
        if event_loops.loaded():
            event_loops.loops().cubic_pieces(flat, self.shift, self.first, self.pieces, self.centre, _DROPPED_BITS, out)
            return out
        coefficients = self.pieces.T
        for start in range(0, flat.size, _CHUNK):
            value = flat[start : start + _CHUNK]
            away = np.abs(value) + self.shift
            code = away.view(np.int64) >> _DROPPED_BITS
            # NaN and infinity have the highest codes of all.
            known = (code - self.first < len(self.pieces)) & (away < 1e300)
            code = np.where(known, code, self.first)
            c0, c1, c2, c3 = (one[code - self.first] for one in coefficients)
            d = away - (code << _DROPPED_BITS).view(np.float64)
            y = c0 + d * (c1 + d * (c2 + d * c3))
            out[start : start + _CHUNK] = np.where(known, np.where(value < 0, 2 * self.centre - y, y), np.nan)
        return out


@dataclass(frozen=True)
class Biexponential:
    """A logicle or hyperlog scale for figures and checks: by its table where there are many values.

    Attributes
    ----------
    kind
        Which of the two.
    t, w, m, a
        Parameters of GatingML 2.0.
    """

    kind: Literal["logicle", "hyperlog"]
    t: float
    w: float
    m: float
    a: float

    def apply(self, values: NDArray[np.float64], *, by_table: bool = False) -> NDArray[np.float64]:
        """Places of linear values, same shape, at most `BOUND` from the scale itself.

        Parameters
        ----------
        values
            Linear values.
        by_table
            Also where they are few: who asks again and again for a few has the table made once.
        """
        flat = np.ascontiguousarray(values, dtype=np.float64).ravel()
        table = _table(self) if by_table or flat.size >= LEAST_VALUES else None
        return (self.exactly if table is None else table)(flat).reshape(np.shape(values))

    def exactly(self, flat: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same, evaluated."""
        from flowutils import transforms

        transform = transforms.logicle if self.kind == "logicle" else transforms.hyperlog
        return np.asarray(transform(flat, None, t=self.t, m=self.m, w=self.w, a=self.a), dtype=np.float64)


@lru_cache(maxsize=64)
def _table(scale: Biexponential) -> ScaleTable | None:
    return ScaleTable.of(scale.exactly, top=scale.t, linear=0.8 * scale.t * 10.0 ** -(scale.m - 2 * scale.w))
