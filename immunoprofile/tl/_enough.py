"""Enough observations for a model: with fewer, the analysis is refused with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from immunoprofile.errors import AnalysisError

LEAST_RESIDUAL_DF: Final = 3
"""Fewest residual degrees of freedom over subjects that terms between subjects may leave."""

LEAST_ROWS_PER_PARAMETER: Final = 3
"""Fewest rows (or events) for each parameter of a term within subjects."""


LEAST_IN_AN_ARM: Final = 2
"""Fewest subjects of an arm: one alone has no spread of its own."""


def require_in_each_arm(counts: Mapping[str, int], *, where: str) -> None:
    """Refuse a comparison of arms of which one has a single subject.

    Parameters
    ----------
    counts
        Arm -> its subjects in the analysis.
    where
        Name of the analysis, for the message.

    Raises
    ------
    AnalysisError
        An arm has fewer than 2.
    """
    if any(number < LEAST_IN_AN_ARM for number in counts.values()):
        numbers = " and ".join(f"{number} in {arm}" for arm, number in counts.items())
        raise AnalysisError(f"subjects: {numbers}; {LEAST_IN_AN_ARM} are needed in each arm", where=where)


def require_subjects(subjects: int, parameters: int, *, where: str) -> int:
    """Residual degrees of freedom over subjects.

    Parameters
    ----------
    subjects
        Subjects in the model.
    parameters
        Parameters of terms between subjects, with the intercept.
    where
        Name of the model, for the message.

    Raises
    ------
    AnalysisError
        Fewer than 3 are left.
    """
    left = subjects - parameters
    if left < LEAST_RESIDUAL_DF:
        raise AnalysisError(
            f"{subjects} subjects for {parameters} parameters leave fewer than {LEAST_RESIDUAL_DF} residual degrees of "
            "freedom",
            where=where,
        )
    return left


def require_rows(rows: int, parameters: int, *, where: str, of: str = "rows") -> None:
    """Refuse a model with fewer than 3 rows for each parameter of its terms within subjects.

    Parameters
    ----------
    rows
        Rows (``of`` says of what: rows, events) in the model.
    parameters
        Parameters of terms within subjects.
    where
        Name of the model, for the message.
    of
        What is counted.

    Raises
    ------
    AnalysisError
        There are fewer.
    """
    if rows < LEAST_ROWS_PER_PARAMETER * parameters:
        raise AnalysisError(
            f"{rows} {of} are fewer than {LEAST_ROWS_PER_PARAMETER} for each of {parameters} parameters", where=where
        )
