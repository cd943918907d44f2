"""Checks of a spillover matrix itself; their limits stand in resources/quality_checks.yaml."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.errors import CompensationError
from immunoprofile.resources.checks import Check, Finding, quality_checks

if TYPE_CHECKING:
    from immunoprofile.compensation.matrix import Spillover
    from immunoprofile.resources.checks import StudyLimits


def check(
    spillover: Spillover, *, reference: Spillover | None = None, limits: StudyLimits | None = None
) -> list[Finding]:
    """Sanity of a matrix; every check has a row, also when it passes.

    Parameters
    ----------
    spillover
        The matrix.
    reference
        Matrix of the study for this panel and instrument; without one nothing is compared.
    limits
        Limits of a study, see :func:`immunoprofile.resources.checks.quality_checks`.

    Returns
    -------
    list of Finding
        ``spillover_diagonal`` (FAIL unless 1), ``spillover_identity`` (WARN: changes nothing), ``spillover_negative``
        (WARN: number of negative coefficients; small ones come from computing), ``spillover_above_one`` (WARN: another
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
    same = "the matrix changes nothing" if spillover.is_identity else "the matrix has spillover in it"
    checks = quality_checks(limits)
    return [
        checks["spillover_diagonal"].judge(worst, text=f"the diagonal differs from 1 by up to {worst:.3g}"),
        checks["spillover_identity"].judge(float(spillover.is_identity), text=same),
        checks["spillover_negative"].judge(
            float(negative),
            text=f"{negative} of {size * size - size} coefficients are negative, lowest {matrix.min():.3g}",
        ),
        checks["spillover_above_one"].judge(
            float(above), text=f"{above} coefficients are above 1: another detector sees more of the dye than its own"
        ),
        checks["spillover_condition"].judge(
            spillover.condition, text=f"condition number {spillover.condition:.3g}: so much can noise grow"
        ),
        _difference(spillover, reference, checks["spillover_difference"]),
    ]


def _difference(spillover: Spillover, reference: Spillover | None, check: Check) -> Finding:
    if reference is None:
        return check.judge(math.nan, text="the study has no reference matrix")
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
    found = check.judge(largest, text=f"largest difference from the reference {largest:.3g} ({place})")
    turned = float(np.abs(spillover.matrix.T - expected).max())
    if found.state != "PASS" and check.state(turned) == "PASS":
        return replace(found, state="FAIL", text="the matrix is transposed: turned over it fits the reference")
    return found
