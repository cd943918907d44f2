"""S8: does a population move with CMV-DNA inside subjects, and both changes side by side."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.io.records import cells
from immunoprofile.pp.baseline import baseline_rows
from immunoprofile.schema import CMV_CHANGE_COLUMNS, UNS_ASSOCIATE, UNS_CMV_CHANGE
from immunoprofile.tl._effects import fitted_without_error, joined, left_out
from immunoprofile.tl._frame import (
    NAN,
    Endpoint,
    Measure,
    Scale,
    analysis_values,
    endpoints,
    natural_values,
    statistic_row,
    statistic_table,
)
from immunoprofile.tl.courses import course_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from anndata import AnnData
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

WHERE = "repeated-measures correlation"
ROWS_PER_PARAMETER = 3
"""An analysis with fewer rows per within-subject term is refused."""


class RepeatedCorrelation(NamedTuple):
    """Correlation inside subjects.

    Attributes
    ----------
    r, lower, upper, p_value
        Common within-subject correlation and its interval.
    df
        Residual degrees of freedom.
    n, subjects
        Rows and subjects that took part (those with at least two rows).
    words
        How p was found, where it is by permutations.
    """

    r: float
    lower: float
    upper: float
    p_value: float
    df: int
    n: int
    subjects: int
    words: str = ""


def without_means(subject: NDArray[Any], cell: NDArray[Any], values: Floats) -> tuple[Floats, int]:
    """What is left of values when the means of subjects and of cells (visits, or arm x visit) are taken out.

    Parameters
    ----------
    subject, cell
        One entry a row.
    values
        Rows x columns.

    Returns
    -------
    ndarray, int
        Residuals of least squares, rows x columns, and the rank of what was taken out.

    Notes
    -----
    The means of subjects are taken out of the cells as well (Frisch and Waugh 1933, Econometrica 1:387; Lovell 1963,
    J Am Stat Assoc 58:993): a column for each subject would take the cube of their number.
    """
    if not len(values):
        return values, 0
    _, place, rows = np.unique(subject, return_inverse=True, return_counts=True)

    def inside(table: Floats) -> Floats:
        sums = np.zeros((len(rows), table.shape[1]))
        np.add.at(sums, place, table)
        return np.asarray(table - (sums / rows[:, None])[place])

    cells, left = inside(_indicators(cell)), inside(values)
    left -= cells @ np.linalg.lstsq(cells, left, rcond=None)[0]
    return left, len(rows) + int(np.linalg.matrix_rank(cells))


def repeated_correlation(
    subject: ArrayLike,
    x: ArrayLike,
    y: ArrayLike,
    *,
    adjust: ArrayLike | None = None,
    arm: ArrayLike | None = None,
    confidence: float = 0.95,
) -> RepeatedCorrelation:
    """Repeated-measures correlation: the common within-subject slope of y on x, as a correlation.

    Parameters
    ----------
    subject, x, y
        One entry a measurement; rows with a missing number are left out, and so are subjects with one row.
    adjust
        Labels (visits) whose means are taken out of both, so that a time trend that all subjects share makes no
        correlation.
    arm
        Arm of each row; needs ``adjust``. The means of arm x visit are taken out, so that two arms with their own
        courses make no correlation, and p and interval come from whole courses dealt anew inside the arms
        (:meth:`Courses.permute`), which serial correlation does not mislead.
    confidence
        Coverage of the interval: Fisher z with variance 1 / (df - 1), or by the permutations.

    Raises
    ------
    AnalysisError
        Fewer than 3 rows per within-subject term, fewer than 2 residual degrees of freedom, or x or y does not vary
        inside subjects.

    Notes
    -----
    Bland and Altman 1995, BMJ 310:446; Bakdash and Marusich 2017, Front Psychol 8:456. r^2 is the share of the
    within-subject variation of y that x explains.
    """
    from scipy.special import ndtri, stdtr

    who, a, b = np.asarray(subject, dtype=str), np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    labels = np.zeros(len(who), dtype=str) if adjust is None else np.asarray(adjust, dtype=str)
    arms = np.zeros(len(who), dtype=str) if arm is None else np.asarray(arm, dtype=str)
    keep = ~np.isnan(a) & ~np.isnan(b)
    names, repeats = np.unique(who[keep], return_counts=True)
    keep &= np.isin(who, names[repeats > 1])
    who, a, b, labels, arms = who[keep], a[keep], b[keep], labels[keep], arms[keep]
    n, subjects = len(who), len(np.unique(who))
    cells = np.unique(np.stack([arms, labels], axis=1), axis=0, return_inverse=True)[1].reshape(-1) if n else labels
    both = np.column_stack([a, b])
    left, spent = without_means(who, cells, both)
    within_terms = spent - subjects + 1
    if n < ROWS_PER_PARAMETER * within_terms or not n:
        raise AnalysisError(f"{n} rows are fewer than {ROWS_PER_PARAMETER} for each of {within_terms} terms within "
                            "subjects", where=WHERE)  # fmt: skip
    for values, residual, what in ((a, left[:, 0], "the population"), (b, left[:, 1], "CMV-DNA")):
        if fitted_without_error(values, residual):
            raise AnalysisError(f"{what} does not vary within subjects", where=WHERE)
    df = n - spent - 1
    if df < 2:
        raise AnalysisError(f"{df} residual degrees of freedom", where=WHERE)
    products = left.T @ left
    r = float(np.clip(products[0, 1] / math.sqrt(products[0, 0] * products[1, 1]), -1.0, 1.0))
    # a correlation of one has no interval by Fisher's z
    z = math.atanh(r) if abs(r) < 1 - 1e-12 else math.copysign(math.inf, r)
    if arm is None:
        half, words = float(ndtri(0.5 + confidence / 2)) / math.sqrt(df - 1), ""
        p_value = 2 * float(stdtr(df, -abs(r) * math.sqrt(df / (1 - r**2)))) if math.isfinite(z) else 0.0
    else:
        test = course_table(who, labels, arms, left[:, 0], left[:, 1], within=True).permute(confidence=confidence)
        half, p_value, words = math.atanh(min(test.quantile, 1 - 1e-12)), test.p_value, test.words()
    return RepeatedCorrelation(r, math.tanh(z - half), math.tanh(z + half), p_value, df, n, subjects, words)


def associate(
    adata: AnnData,
    *,
    populations: Iterable[str] | None = None,
    measure: Measure | None = None,
    scale: Scale | None = None,
    confidence: float = 0.95,
    include_failed: bool = False,
) -> None:
    """Repeated-measures correlation of populations with CMV-DNA, inside the arms: adjusted for arm x visit.

    Parameters
    ----------
    adata
        Visits x populations with ``obs`` ``cmv_kind``, ``cmv_unit``, ``cmv_log10``, ``cmv_lower``, ``cmv_upper``.
    populations, measure, scale, confidence, include_failed
        As in :func:`change`.

    Returns
    -------
    None; writes

    ``adata.uns['associate']``
        DataFrame with ``schema.STATISTIC_COLUMNS``, one row an endpoint; ``estimate`` and ``effect`` are the
        within-subject correlation with log10 CMV-DNA after the means of arm x visit are taken out, ``n`` the rows. p
        and interval come from whole courses dealt anew to the subjects of each arm. ``note`` has subjects, degrees of
        freedom, permutations and the share of censored results: those stand at their bound here,
        :func:`associate_censored` uses them as bounds. A refused analysis says why.

    Raises
    ------
    AnalysisError
        The object has no CMV-DNA results, or they are in different units.

    Notes
    -----
    An association is no cause: ganciclovir lowers both viral load and activation. Assays and specimens are never mixed:
    of a subject only the series (``obs['cmv_series']``) of its first result enters.
    """
    chosen = endpoints(adata, populations, measure, scale)
    virus, censored = at_bound(*cmv_bounds(adata))
    usable = first_series(adata)
    subjects = adata.obs["usubjid"].astype(str).to_numpy()
    visits = adata.obs["visit"].astype(str).to_numpy()
    arms, known_arm = arm_labels(adata)
    rows = []
    for endpoint in chosen:
        values = analysis_values(adata, endpoint, include_failed=include_failed)
        measured = usable & ~np.isnan(values) & ~np.isnan(virus)
        used = measured & known_arm
        row = _row(adata, endpoint, values, virus, (used, censored, subjects, visits, arms), confidence)
        row["exclusions"] = joined(
            left_out(
                int((usable & ~np.isnan(virus) & ~measured).sum()), "CMV-DNA results without a value of the population"
            ),
            left_out(int((measured & ~known_arm).sum()), "rows without an arm"),
            left_out(int((~usable & ~np.isnan(virus)).sum()), "CMV-DNA results of another assay or specimen"),
            left_out(int(used.sum()) - row["n"], "rows of subjects with one row"),
        )
        rows.append(row)
    adata.uns[UNS_ASSOCIATE] = statistic_table(rows)


def join_cmv(
    adata: AnnData,
    *,
    populations: Iterable[str] | None = None,
    measure: Measure | None = None,
    include_failed: bool = False,
) -> None:
    """Change of the populations beside the fall of CMV-DNA, one row a subject, visit and endpoint.

    Parameters
    ----------
    adata
        Visits x populations with ``obs`` ``cmv_kind``, ``cmv_drop``, ``cmv_drop_lower``, ``cmv_drop_upper``.
    populations, measure, include_failed
        As in :func:`change`.

    Returns
    -------
    None; writes

    ``adata.uns['cmv_change']``
        DataFrame: ``usubjid``, ``arm``, ``visit``, ``population``, ``measure``, ``baseline`` and ``value`` (per cent of
        the parent or cells/uL), ``fold_change`` (no events count as half an event), ``cmv_kind``, ``cmv_drop`` (log10
        fall, only between two quantified results), ``cmv_drop_lower``, ``cmv_drop_upper`` (bounds, missing = open).
        Rows after baseline in the order of the object.
    """
    import pandas as pd

    references = baseline_rows(adata)
    later = [row for row in range(adata.n_obs) if references[row] >= 0 and references[row] != row]
    rows: list[tuple[object, ...]] = []
    for endpoint in endpoints(adata, populations, measure, "log2"):
        logs = analysis_values(adata, endpoint, include_failed=include_failed)
        # what failed shows no value either; a logarithm is also missing where nothing was measured
        natural = np.where(np.isnan(logs), np.nan, natural_values(adata, endpoint))
        for row in later:
            obs, start = adata.obs.iloc[row], int(references[row])
            kind = obs["cmv_kind"] if isinstance(obs.get("cmv_kind"), str) else ""
            rows.append(
                (str(obs["usubjid"]), str(obs["arm"]), str(obs["visit"]), endpoint.population, endpoint.measure,
                 natural[start], natural[row], endpoint.back(float(logs[row] - logs[start])), kind,
                 *(_float(obs.get(name)) for name in CMV_CHANGE_COLUMNS[-3:]))
            )  # fmt: skip
    numbers = ["baseline", "value", "fold_change", *CMV_CHANGE_COLUMNS[-3:]]
    table = pd.DataFrame(rows, columns=list(CMV_CHANGE_COLUMNS))
    adata.uns[UNS_CMV_CHANGE] = table.astype(dict.fromkeys(numbers, "float64"))


def arm_labels(adata: AnnData) -> tuple[NDArray[np.str_], NDArray[np.bool_]]:
    """Arm of every row, and whether it is known."""
    known = adata.obs["arm"].notna().to_numpy(dtype=bool)
    return np.where(known, adata.obs["arm"].astype(object).to_numpy(), "").astype(str), known


def adjusted_for(arms: NDArray[np.str_]) -> str:
    """What is held in an association, in words: the means of the visits, of each arm where there are several."""
    return "arm x visit" if len(set(arms.tolist()) - {""}) > 1 else "visit"


def first_series(adata: AnnData) -> NDArray[np.bool_]:
    """Rows whose CMV-DNA result is of the assay and specimen of the subject's first result."""
    if "cmv_series" not in adata.obs:
        return np.ones(adata.n_obs, dtype=bool)
    series = np.array(cells(adata.obs["cmv_series"], "text"), dtype=str)
    order = np.argsort(adata.obs["visitnum"].to_numpy(dtype=float), kind="stable")
    subjects = adata.obs["usubjid"].astype(str).to_numpy()
    first: dict[str, str] = {}
    for row in order:
        if series[row]:
            first.setdefault(subjects[row], series[row])
    return np.array([series[row] == first.get(subjects[row], "") for row in range(adata.n_obs)], dtype=bool)


def cmv_bounds(adata: AnnData, *, lod: float | Mapping[str, float] | None = None) -> tuple[Floats, Floats]:
    """Bounds of log10 CMV-DNA in every row: equal where quantified, infinite where open, NaN without a result.

    Parameters
    ----------
    adata
        With ``obs`` ``cmv_kind``, ``cmv_log10``, ``cmv_lower``, ``cmv_upper``.
    lod
        Limit of detection in the unit of the results, one or one for each ``cmv_series``: results below the LLOQ that
        were detected (BLQ) lie between it and the LLOQ, those not detected (TND) below it. Default: both lie below the
        LLOQ.

    Raises
    ------
    AnalysisError
        There are no CMV-DNA results, they are in different units, or a limit is missing or above the LLOQ.
    """
    needed = ("cmv_kind", "cmv_log10", "cmv_lower", "cmv_upper")
    if missing := [name for name in needed if name not in adata.obs]:
        raise AnalysisError(f"there are no CMV-DNA results ({', '.join(missing)})", where="obs")
    kind = np.array(cells(adata.obs["cmv_kind"], "text"), dtype=str)
    if "cmv_unit" in adata.obs:
        units = adata.obs.loc[(kind != "") & (kind != "INVALID"), "cmv_unit"].dropna().astype(str)
        if units.nunique() > 1:
            raise AnalysisError(f"CMV-DNA is in {' and '.join(sorted(units.unique()))}", where="obs cmv_unit",
                                todo="analyse subjects of one unit; units are never mixed")  # fmt: skip
    log10, lower, upper = (
        adata.obs[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in ("cmv_log10", "cmv_lower", "cmv_upper")
    )
    below, above, exact = np.isin(kind, ["BLQ", "TND"]), kind == "ALQ", kind == "QUANT"
    low = np.where(exact, log10, np.where(above, lower, np.where(below & ~np.isnan(upper), -np.inf, np.nan)))
    high = np.where(exact, log10, np.where(below, upper, np.where(above & ~np.isnan(lower), np.inf, np.nan)))
    if lod is None:
        return low, high
    limit = _detection_limits(adata, lod, below)
    if (below & (limit > high)).any():
        raise AnalysisError("a limit of detection is above the limit of quantification", where="lod")
    return np.where(kind == "BLQ", limit, low), np.where(kind == "TND", limit, high)


def _detection_limits(adata: AnnData, lod: float | Mapping[str, float], below: NDArray[np.bool_]) -> Floats:
    """log10 of the limit of detection of every row that is below the LLOQ."""
    if isinstance(lod, int | float):
        limits = np.full(adata.n_obs, float(lod))
    else:
        if "cmv_series" not in adata.obs:
            raise AnalysisError("the results name no series", where="obs cmv_series", todo="give one limit: lod=91")
        series = np.array(cells(adata.obs["cmv_series"], "text"), dtype=str)
        if missing := sorted(set(series[below]) - set(lod)):
            raise AnalysisError(f"no limit of detection for {', '.join(missing)}", where="lod")
        limits = np.array([float(lod.get(name, np.nan)) for name in series])
    if (limits[below] <= 0).any():
        raise AnalysisError("a limit of detection is not positive", where="lod")
    return np.log10(np.where(below, limits, np.nan))


def at_bound(lower: Floats, upper: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Values with censored ones at their finite bound, and which are censored."""
    return np.where(np.isfinite(upper), upper, lower), lower < upper


def _row(
    adata: AnnData,
    endpoint: Endpoint,
    values: Floats,
    virus: Floats,
    rows: tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[Any], NDArray[Any], NDArray[Any]],
    confidence: float,
) -> dict[str, Any]:
    used, censored, subjects, visits, arms = rows
    total, bounds = int(used.sum()), int((used & censored).sum())
    notes = []
    estimate = lower = upper = p_value = NAN
    n = total
    try:
        result = repeated_correlation(
            subjects[used], values[used], virus[used], adjust=visits[used], arm=arms[used], confidence=confidence
        )
        estimate, lower, upper, p_value, n = result.r, result.lower, result.upper, result.p_value, result.n
        notes.append(f"{result.subjects} subjects, df {result.df}; {result.words}")
    except AnalysisError as refused:
        notes.append(f"refused: {refused.what}")
    if bounds:
        notes.append(
            f"{bounds} of {total} CMV-DNA results ({100 * bounds / total:.0f} %) censored, taken at their bound "
            "(the censored model takes them as bounds)"
        )
    notes.append("association, not cause")
    return statistic_row(
        method_id="S8",
        method=f"repeated-measures correlation with log10 CMV-DNA, adjusted for {adjusted_for(arms)}",
        population=endpoint.population,
        measure=endpoint.measure,
        contrast="within subjects",
        visit="all",
        arm="all",
        scale=endpoint.scale,
        n=n,
        estimate=estimate,
        lower=lower,
        upper=upper,
        p_value=p_value,
        effect_kind="correlation",
        effect=estimate,
        effect_lower=lower,
        effect_upper=upper,
        median_baseline=NAN,
        median_visit=float(np.median(natural_values(adata, endpoint)[used])) if total else NAN,
        conf_level=NAN if math.isnan(lower) else confidence,
        adjusted="none",
        note="; ".join(notes),
    )


def _indicators(labels: NDArray[Any]) -> Floats:
    return np.asarray(labels[:, None] == np.unique(labels)[None, :], dtype=np.float64)


def _float(value: object) -> float:
    return float(value) if isinstance(value, int | float | np.floating) else NAN
