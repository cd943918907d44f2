"""S19: worst grades of the safety laboratory, counted; no hypothesis is tested."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from immunoprofile.errors import AnalysisError, Problems, StudyError
from immunoprofile.schema import (
    GRADE_SHIFT_COLUMNS,
    RATE_COLUMNS,
    UNS_GRADE_RATES,
    UNS_GRADE_SHIFTS,
    UNS_WORST_GRADES,
    WORST_GRADE_COLUMNS,
)

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

HIGHEST_GRADE: Final = 5
PER_DAYS: Final = 100.0
"""Rates are per this many days under observation."""
UNKNOWN: Final = "unknown"


def grade_shifts(adata: AnnData) -> None:
    """Shift from the grade at baseline to the worst on treatment (method S19).

    Parameters
    ----------
    adata
        Object with the table ``uns['worst_grades']`` (``schema.WORST_GRADE_COLUMNS``).

    Returns
    -------
    None; writes

    ``adata.uns['grade_shifts']``
        DataFrame with ``schema.GRADE_SHIFT_COLUMNS``: subjects by test, arm, baseline and worst grade (as text,
        ``unknown`` where it is not known; cells without subjects are left out), ``per_cent`` of the arm, and the
        ``version`` of the criteria. Grades of two versions are never counted together.

    Raises
    ------
    AnalysisError
        There is no such table.
    StudyError
        A grade or an exposure is impossible, a version is missing, or a subject has two rows of a test; all at once.
    """
    adata.uns[UNS_GRADE_SHIFTS] = shift_table(_input(adata))


def grade_rates(adata: AnnData, *, threshold: int = 3, confidence: float = 0.95) -> None:
    """Subjects whose grade rose to a threshold, per 100 days under observation (method S19).

    Parameters
    ----------
    adata
        Object with the table ``uns['worst_grades']`` (``schema.WORST_GRADE_COLUMNS``).
    threshold
        Grade that counts, 1 to 5.
    confidence
        Coverage of the exact Poisson interval.

    Returns
    -------
    None; writes

    ``adata.uns['grade_rates']``
        DataFrame with ``schema.RATE_COLUMNS``, one row a test x arm.

    Raises
    ------
    AnalysisError, StudyError
        As :func:`grade_shifts`.
    """
    adata.uns[UNS_GRADE_RATES] = rate_table(_input(adata), threshold=threshold, confidence=confidence)


def shift_table(grades: pd.DataFrame) -> pd.DataFrame:
    """Shift table of a frame with ``schema.WORST_GRADE_COLUMNS``; see :func:`grade_shifts`."""
    table = _checked(grades)
    words = {name: _as_text(table[name]) for name in ("baseline_grade", "worst_grade")}
    table = table.assign(**words)
    key = ["test", "version", "arm", "baseline_grade", "worst_grade"]
    counted = table.groupby(key, sort=True).size().rename("n").reset_index()
    counted["n_arm"] = counted.groupby(["test", "version", "arm"])["n"].transform("sum")
    counted["per_cent"] = 100 * counted["n"] / counted["n_arm"]
    return counted[list(GRADE_SHIFT_COLUMNS)]


def rate_table(grades: pd.DataFrame, *, threshold: int = 3, confidence: float = 0.95) -> pd.DataFrame:
    """Exposure-adjusted rates of a frame with ``schema.WORST_GRADE_COLUMNS``; see :func:`grade_rates`.

    A subject counts whose worst grade is at least the threshold and above that at baseline. Subjects with an unknown
    grade, unknown exposure, or that started at the threshold or above and could not rise any more are told in
    ``exclusions``.

    Notes
    -----
    Exact Poisson interval: Garwood 1936, Biometrika 28:437.
    """
    import pandas as pd

    if not 1 <= threshold <= HIGHEST_GRADE:
        raise AnalysisError(f"there is no grade {threshold}", where="threshold", todo="1 to 5")
    table = _checked(grades)
    rows = []
    for (test, version, arm), own in table.groupby(["test", "version", "arm"], sort=True):
        event = f"rise to grade {threshold} or more"
        rows.append((str(test), str(arm), event, *_rate(own, threshold, confidence), str(version)))
    return pd.DataFrame(rows, columns=list(RATE_COLUMNS))


def _rate(own: pd.DataFrame, threshold: int, confidence: float) -> tuple[object, ...]:
    from scipy.stats import chi2

    baseline = own["baseline_grade"].to_numpy(dtype=np.float64, na_value=np.nan)
    worst = own["worst_grade"].to_numpy(dtype=np.float64, na_value=np.nan)
    exposure = own["exposure_days"].to_numpy(dtype=np.float64, na_value=np.nan)
    no_grade = np.isnan(baseline) | np.isnan(worst)
    no_exposure = ~no_grade & ~(exposure > 0)
    at_top = ~no_grade & ~no_exposure & (baseline == HIGHEST_GRADE)
    evaluable = ~no_grade & ~no_exposure & ~at_top
    event = evaluable & (worst >= threshold) & (worst > baseline)
    started = int((evaluable & (baseline >= threshold)).sum())
    words = [(int(no_grade.sum()), "without a grade"), (int(no_exposure.sum()), "without exposure"),
             (int(at_top.sum()), "at grade 5 from baseline")]  # fmt: skip
    told = [f"{number} {word}" for number, word in words if number]
    if started:
        told.append(f"{started} at grade {threshold} or more from baseline stay in, and count when the grade rises")
    n, days = int(event.sum()), float(exposure[evaluable].sum())
    if days <= 0:
        return n, int(evaluable.sum()), days, np.nan, np.nan, np.nan, np.nan, "; ".join(told)
    tail = (1 - confidence) / 2
    lower = float(chi2.ppf(tail, 2 * n)) / 2 if n else 0.0
    upper = float(chi2.ppf(1 - tail, 2 * n + 2)) / 2
    per = PER_DAYS / days
    return n, int(evaluable.sum()), days, n * per, lower * per, upper * per, confidence, "; ".join(told)


def _input(adata: AnnData) -> pd.DataFrame:
    if UNS_WORST_GRADES not in adata.uns:
        raise AnalysisError("there is no table of worst grades", where=f"uns[{UNS_WORST_GRADES!r}]",
                            todo="grade the safety laboratory first")  # fmt: skip
    table: pd.DataFrame = adata.uns[UNS_WORST_GRADES]
    return table


def _checked(grades: pd.DataFrame) -> pd.DataFrame:
    problems = Problems()
    for name in WORST_GRADE_COLUMNS:
        if name not in grades:
            problems.add(UNS_WORST_GRADES, "column is missing", column=name)
    if not problems:
        for name in ("baseline_grade", "worst_grade", "exposure_days"):
            values = grades[name].to_numpy(dtype=np.float64, na_value=np.nan)
            grade = name != "exposure_days"
            wrong = ~np.isnan(values) & ((values < 0) | (grade & ((values > HIGHEST_GRADE) | (values % 1 != 0))))
            for row in np.flatnonzero(wrong):
                problems.add(UNS_WORST_GRADES, "is no grade" if grade else "is below 0", row=int(row) + 1, column=name,
                             value=values[row], allowed="0 to 5" if grade else "0 or more")  # fmt: skip
        for row in np.flatnonzero(grades["version"].isna().to_numpy() | (grades["version"] == "").to_numpy()):
            problems.add(UNS_WORST_GRADES, "is empty: by which criteria was it graded?", row=int(row) + 1,
                         column="version")  # fmt: skip
        for row in np.flatnonzero(grades.duplicated(["usubjid", "test", "version"]).to_numpy()):
            problems.add(UNS_WORST_GRADES, "subject has two rows of this test", row=int(row) + 1, column="test",
                         value=grades["test"].iloc[row])  # fmt: skip
    if problems:
        raise StudyError("the worst grades cannot be counted", problems.found, where=f"uns[{UNS_WORST_GRADES!r}]")
    return grades.reset_index(drop=True)


def _as_text(column: pd.Series[Any]) -> list[str]:
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return [UNKNOWN if np.isnan(value) else f"{value:.0f}" for value in values]
