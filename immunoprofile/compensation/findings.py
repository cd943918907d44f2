"""What is found about a spillover matrix, and the checks of the matrix itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from immunoprofile.errors import CompensationError

if TYPE_CHECKING:
    from immunoprofile.compensation.matrix import Spillover

State = Literal["PASS", "WARN", "FAIL", "NOT_EVALUABLE"]

MAX_DIFFERENCE = 0.05
"""Largest difference of a coefficient from the reference matrix of the study that passes."""
MAX_CONDITION = 10.0
"""Condition numbers of real matrices were seen from 3.2 to 8.3; beyond this one noise grows tenfold."""
_DIAGONAL_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Finding:
    """One thing that was checked about the compensation of a file or about a matrix.

    Attributes
    ----------
    check
        Name of the check.
    state
        PASS, WARN, FAIL or NOT_EVALUABLE; what could not be judged is never a pass.
    value, unit, limits
        What was measured, and what passes.
    flag
        Code that the state sets, empty for none.
    text
        The finding in one sentence, with what to do.
    confidence
        0 to 1, how clear the finding is; 1 for what is simply true, NaN when nothing could be judged.
    """

    check: str
    state: State
    value: float
    unit: str
    limits: str
    text: str
    flag: str = ""
    confidence: float = 1.0


def check(spillover: Spillover, *, reference: Spillover | None = None) -> list[Finding]:
    """Sanity of a matrix; every check has a row, also when it passes.

    Parameters
    ----------
    spillover
        The matrix.
    reference
        Matrix of the study for this panel and instrument; without one nothing is compared.

    Returns
    -------
    list of Finding
        ``spillover_diagonal`` (FAIL unless 1), ``spillover_identity`` (WARN: changes nothing), ``spillover_negative``
        (WARN: share of negative coefficients; small ones come from computing), ``spillover_above_one`` (WARN: another
        detector sees a dye brighter than its own), ``spillover_condition`` (recorded; WARN above 10) and
        ``spillover_difference`` (WARN above 0.05; FAIL when the transposed matrix fits the reference instead;
        NOT_EVALUABLE without reference).

    Raises
    ------
    CompensationError
        The reference is for other channels.
    """
    matrix = spillover.matrix
    size = len(spillover.channels)
    off = ~np.eye(size, dtype=bool)
    worst = float(np.max(np.abs(np.diag(matrix) - 1)))
    negative = int(np.sum(matrix[off] < 0))
    above = int(np.sum(matrix[off] > 1))
    findings = [
        Finding("spillover_diagonal", "PASS" if worst <= _DIAGONAL_TOLERANCE else "FAIL", worst, "share",
                "diagonal 1", f"the diagonal differs from 1 by up to {worst:.3g}"),
        Finding("spillover_identity", "WARN" if spillover.is_identity else "PASS", float(spillover.is_identity), "",
                "not the identity",
                "the matrix changes nothing" if spillover.is_identity else "the matrix has spillover in it",
                "COMP_NONE" if spillover.is_identity else ""),
        Finding("spillover_negative", "WARN" if negative else "PASS", float(negative), "coefficients", "none",
                f"{negative} of {size * size - size} coefficients are negative, lowest {matrix.min():.3g}"),
        Finding("spillover_above_one", "WARN" if above else "PASS", float(above), "coefficients", "none",
                f"{above} coefficients are above 1: another detector sees more of the dye than its own"),
        Finding("spillover_condition", "PASS" if spillover.condition <= MAX_CONDITION else "WARN",
                spillover.condition, "", f"pass up to {MAX_CONDITION:g}",
                f"condition number {spillover.condition:.3g}"),
    ]  # fmt: skip
    findings.append(_difference(spillover, reference))
    return findings


def _difference(spillover: Spillover, reference: Spillover | None) -> Finding:
    name, limits = "spillover_difference", f"pass up to {MAX_DIFFERENCE:g}"
    if reference is None:
        return Finding(name, "NOT_EVALUABLE", math.nan, "share", limits, "the study has no reference matrix",
                       confidence=math.nan)  # fmt: skip
    if set(reference.channels) != set(spillover.channels):
        different = sorted(set(reference.channels) ^ set(spillover.channels))
        raise CompensationError(f"the reference matrix is for other channels: {', '.join(different)}",
                                where=reference.source, todo="give the reference of this panel")  # fmt: skip
    order = [reference.channels.index(channel) for channel in spillover.channels]
    expected = reference.matrix[np.ix_(order, order)]
    distance = np.abs(spillover.matrix - expected)
    largest = float(distance.max())
    row, column = (int(i) for i in np.unravel_index(int(distance.argmax()), distance.shape))
    place = f"{spillover.channels[row]} into {spillover.channels[column]}"
    turned = float(np.abs(spillover.matrix.T - expected).max())
    if largest > MAX_DIFFERENCE and turned <= MAX_DIFFERENCE:
        return Finding(name, "FAIL", largest, "share", limits,
                       "the matrix is transposed: turned over it fits the reference", "COMP_MATRIX")  # fmt: skip
    state: State = "PASS" if largest <= MAX_DIFFERENCE else "WARN"
    return Finding(name, state, largest, "share", limits,
                   f"largest difference from the reference {largest:.3g} ({place})",
                   "" if state == "PASS" else "COMP_MATRIX")  # fmt: skip
