"""The spillover matrix as a value, and its removal from the events."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.errors import CompensationError
from immunoprofile.io.fcs import neighbours

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from immunoprofile.io.fcs import Sample


_AT_ONCE = 1 << 11
"""Events that are compensated in one call, at least."""
_NEAR = 1e-6
"""A diagonal may differ from 1, or from 100 per cent, by what rounding to text leaves."""


@dataclass(frozen=True, eq=False)
class Spillover:
    """A spillover matrix and the channels (``$PnN``) that it refers to.

    Attributes
    ----------
    channels
        Detector names, in the order of the matrix.
    matrix
        float64 array, fluorochromes x detectors; a share of 1 on the diagonal (see `findings.check`).
    source
        Where it came from: ``keyword``, ``file NAME``, ``controls (median)`` or ``controls (regression)``.
    per_cent
        Whether it was given in per cent (all of the diagonal 100); ``matrix`` holds shares either way.
    """

    channels: tuple[str, ...]
    matrix: NDArray[np.float64]
    source: str
    per_cent: bool = False

    def __post_init__(self) -> None:
        size = len(self.channels)
        if size == 0:
            raise CompensationError("the matrix has no channels")
        if self.matrix.shape != (size, size):
            found = " x ".join(str(number) for number in self.matrix.shape)
            msg = f"the matrix is {found} for {size} channels"
            raise CompensationError(msg)
        if not np.all(np.isfinite(self.matrix)):
            raise CompensationError("the matrix holds values that are no finite numbers")
        if len(set(self.channels)) != size:
            raise CompensationError("a channel stands twice in the matrix")
        if np.linalg.matrix_rank(self.matrix) < size:
            raise CompensationError("the matrix cannot be inverted: two fluorochromes look the same to the detectors")

    @property
    def is_identity(self) -> bool:
        """Whether the matrix changes nothing."""
        return bool(np.array_equal(self.matrix, np.eye(len(self.channels))))

    @property
    def condition(self) -> float:
        """Condition number (2-norm): by how much errors of the detectors may grow; real matrices have about 3 to 9."""
        return float(np.linalg.cond(self.matrix))

    def positions(self, sample: Sample) -> list[int]:
        """Columns of a file that the matrix refers to, in its order.

        Raises
        ------
        CompensationError
            The file has not all of the channels, or one of them twice.
        """
        names = [channel.pnn for channel in sample.channels]
        if missing := [name for name in self.channels if names.count(name) != 1]:
            msg = f"the matrix ({self.source}) names channels that the file does not have once: {', '.join(missing)}"
            raise CompensationError(
                msg, where=sample.name, todo=f"the file has: {', '.join(names)}; use the matrix of this panel"
            )
        return [names.index(name) for name in self.channels]


def as_shares(matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], bool]:
    """The matrix as shares, and whether it was in per cent (all of the diagonal 100).

    Raises
    ------
    CompensationError
        The diagonal is neither 1 nor 100 all along: every value would be off by that factor.
    """
    diagonal = np.diag(matrix)
    if np.all(np.abs(diagonal - 100) < _NEAR * 100):
        return matrix / 100, True
    if not np.all(np.abs(diagonal - 1) < _NEAR):
        raise CompensationError(
            f"the diagonal is not 1 (it runs from {diagonal.min():g} to {diagonal.max():g})",
            todo="give the spillover matrix (not its inverse), every row divided by its diagonal",
        )
    return matrix, False


def compensate(sample: Sample, spillover: Spillover | None) -> NDArray[np.float64]:
    """Events with the spillover removed.

    Parameters
    ----------
    sample
        The file, n events x p channels.
    spillover
        None gives the raw events.

    Returns
    -------
    numpy.ndarray
        float64, n x p, linear; scatter, Time and channels outside the matrix as they were. A new array, except that
        without a matrix it is ``sample.events`` itself.

    Raises
    ------
    CompensationError
        The matrix names channels that the file does not have.
    """
    if spillover is None:
        return sample.events
    columns = neighbours(spillover.positions(sample))
    events = sample.events.copy(order="K")
    recorded = sample.events.T
    # In parts that stay within the cache. None is of a single event, which would be solved with other roundings.
    ends = np.linspace(0, sample.n_events, max(1, sample.n_events // _AT_ONCE) + 1).astype(np.int64).tolist()
    for begin, end in pairwise(ends):
        part = slice(begin, end)
        events.T[columns, part] = np.linalg.solve(spillover.matrix.T, recorded[columns, part])
    return events
