"""Spillover matrices: where they come from, and what they do to the events.

A spillover matrix S has one row a fluorochrome and one column a detector; the detectors see ``true @ S``, so the
compensated values are ``raw @ inv(S)`` (Bagwell and Adams 1993). Compensation happens once and is named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.errors import CompensationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from immunoprofile.io.fcs import Sample

KEYWORDS = ("spillover", "spill")
"""FCS keywords that hold a spillover matrix: ``$SPILLOVER`` (FCS 3.1) and the older ``SPILL``."""


@dataclass(frozen=True, eq=False)
class Spillover:
    """A spillover matrix and the channels (``$PnN``) that it refers to.

    Attributes
    ----------
    channels
        Detector names, in the order of the matrix.
    matrix
        float64 array, fluorochromes x detectors, unit diagonal.
    source
        Where it came from: ``keyword`` for now.
    """

    channels: tuple[str, ...]
    matrix: NDArray[np.float64]
    source: str

    def __post_init__(self) -> None:
        size = len(self.channels)
        if self.matrix.shape != (size, size):
            msg = f"the matrix is {self.matrix.shape[0]} x {self.matrix.shape[1]} for {size} channels"
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


def from_keywords(sample: Sample) -> Spillover | None:
    """Spillover matrix that the file carries, or None.

    Raises
    ------
    CompensationError
        The keyword is there but cannot be used: wrong number of values, unknown channels, singular matrix.
    """
    text = next((sample.keywords[key] for key in KEYWORDS if sample.keywords.get(key, "").strip()), None)
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    try:
        size = int(parts[0])
        names = tuple(parts[1 : 1 + size])
        values = np.array([float(part) for part in parts[1 + size :]])
    except ValueError as error:
        raise CompensationError("the spillover keyword cannot be parsed", where=sample.name) from error
    if size < 1 or values.size != size * size:
        msg = f"the spillover keyword announces {size} channels and holds {values.size} values"
        raise CompensationError(msg, where=sample.name, todo="declare comp_source none, or export the file again")
    known = {channel.pnn for channel in sample.channels}
    missing = [name for name in names if name not in known]
    if missing:
        msg = f"the spillover keyword names channels that the file does not have: {', '.join(missing)}"
        raise CompensationError(msg, where=sample.name, todo="declare comp_source none, or export the file again")
    try:
        return Spillover(names, values.reshape(size, size), "keyword")
    except CompensationError as error:
        raise CompensationError(error.what, where=sample.name) from error


def choose(sample: Sample, declared: str | None) -> tuple[Spillover | None, str]:
    """Spillover to apply and its name for reports.

    Parameters
    ----------
    sample
        The file.
    declared
        ``comp_source`` of the samples table: ``keyword``, ``none``, ``compensated`` or missing.

    Returns
    -------
    Spillover or None
        None when nothing is to be applied.
    str
        ``keyword``, ``none`` (nothing known), or ``compensated`` (declared to be compensated already).

    Raises
    ------
    CompensationError
        The study declares a matrix in the file and the file has none (decisions 10).
    """
    if declared in ("none", "compensated"):
        return None, declared
    spillover = from_keywords(sample)
    if spillover is None and declared == "keyword":
        raise CompensationError(
            "the study declares a spillover matrix in the file, and the file has none",
            where=sample.name,
            todo="set comp_source to none or compensated in samples.csv if that is what it is",
        )
    return (spillover, "keyword") if spillover is not None else (None, "none")


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
    """
    if spillover is None:
        return sample.events
    names = [channel.pnn for channel in sample.channels]
    columns = [names.index(name) for name in spillover.channels]
    events = sample.events.copy()
    events[:, columns] = np.linalg.solve(spillover.matrix.T, sample.events[:, columns].T).T
    return events
