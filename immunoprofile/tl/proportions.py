"""S18: responders compared between arms, exactly and with an interval of the difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.schema import NO_RESPONSE, RESPONSE_COLUMNS, UNS_RESPONDERS, UNS_RESPONSES
from immunoprofile.tl._clearance import arms_of, refused_row
from immunoprofile.tl._frame import arm_order, statistic_row, statistic_table

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

DifferenceInterval = Literal["newcombe", "miettinen-nurminen"]
ExactTest = Literal["barnard", "fisher"]
_INTERVALS = ("newcombe", "miettinen-nurminen")


@dataclass(frozen=True)
class Difference:
    """Difference of two proportions with its interval, and the two-sided exact p-value."""

    estimate: float
    lower: float
    upper: float
    p_value: float


def proportion_difference(
    responders: tuple[int, int],
    subjects: tuple[int, int],
    *,
    interval: DifferenceInterval = "newcombe",
    test: ExactTest = "barnard",
    confidence: float = 0.95,
) -> Difference:
    """First proportion minus second.

    Parameters
    ----------
    responders, subjects
        Of the first and of the second group.
    interval
        ``newcombe`` (hybrid of the two Wilson intervals) or ``miettinen-nurminen`` (score, with their variance).
    test
        ``barnard`` (unconditional) or ``fisher``.
    confidence
        Coverage of the interval.

    Raises
    ------
    AnalysisError
        A group without subjects, more responders than subjects, or an unknown option.

    Notes
    -----
    Newcombe 1998, Stat Med 17:873 (method 10); Miettinen and Nurminen 1985, Stat Med 4:213; Barnard 1947, Biometrika
    34:123.
    """
    from scipy.stats import fisher_exact
    from statsmodels.stats.proportion import confint_proportions_2indep

    if interval not in _INTERVALS or test not in ("barnard", "fisher"):
        raise AnalysisError(f"{interval!r} with {test!r} is not known",
                            todo="newcombe or miettinen-nurminen; barnard or fisher")  # fmt: skip
    (a, b), (n, m) = responders, subjects
    if n < 1 or m < 1:
        raise AnalysisError("a group has no subject", where="difference of proportions")
    if not (0 <= a <= n and 0 <= b <= m):
        raise AnalysisError("more responders than subjects", where="difference of proportions")
    if interval == "newcombe":
        lower, upper = confint_proportions_2indep(a, n, b, m, method="newcomb", compare="diff", alpha=1 - confidence)
    else:
        lower, upper = _miettinen_nurminen((a, b), (n, m), confidence)
    table = np.array([[a, b], [n - a, m - b]])
    if a + b in (0, n + m):
        p_value = 1.0  # nobody or everybody responds: no table is less likely
    elif test == "barnard":
        p_value = _barnard((a, b), (n, m))
    else:
        p_value = float(fisher_exact(table).pvalue)
    return Difference(a / n - b / m, float(lower), float(upper), min(p_value, 1.0))


def _barnard(responders: tuple[int, int], subjects: tuple[int, int]) -> float:
    """Two-sided p of Barnard's test with the pooled score statistic.

    Own code: SciPy 1.17 compares the statistics of tables as rounded numbers, so that a mirrored table with the same
    statistic drops out of the tail (0 of 4 against 1 of 5 gives 0.520, counted as failures 0.573). Here they are
    compared as whole numbers.
    """
    from scipy.stats import binom

    (a, b), (n, m) = responders, subjects
    # score squared = (i m - j n)^2 / (s (N - s)) times a constant; crosswise products of integers are exact
    exact = np.int64 if (n * m * (n + m)) ** 2 < 2**63 else object
    i, j = np.arange(n + 1, dtype=exact)[:, None], np.arange(m + 1, dtype=exact)[None, :]
    pooled, observed = (i + j) * (n + m - i - j), (a + b) * (n + m - a - b)
    extreme = np.asarray((i * m - j * n) ** 2 * observed >= (a * m - b * n) ** 2 * pooled, dtype=bool)
    # nobody or everybody responds: no difference, whose score is 0, and the product above says nothing
    extreme[np.asarray(pooled == 0, dtype=bool)] = a * m == b * n
    first, second = np.arange(n + 1)[:, None], np.arange(m + 1)[:, None]

    def tails(chances: Floats) -> Floats:
        return np.asarray((binom.pmf(first, n, chances) * (extreme @ binom.pmf(second, m, chances))).sum(axis=0))

    grid = np.linspace(0, 1, _NUISANCE_POINTS)
    values = tails(grid)
    # the tail is a polynomial with several peaks: each that comes near the highest is followed to its top
    inner = values[1:-1]
    peaks = (inner >= values[:-2]) & (inner >= values[2:]) & (inner >= 0.9 * values.max())
    centre = grid[np.unique([int(values.argmax()), *(1 + np.flatnonzero(peaks))])]
    step, most = grid[1], float(values.max())
    for _ in range(_ZOOMS):
        points = np.clip(centre + step * np.linspace(-1, 1, 9)[:, None], 0, 1)
        found = tails(points.ravel()).reshape(points.shape)
        centre, step = points[found.argmax(axis=0), np.arange(len(centre))], step / 4
        most = max(most, float(found.max()))
    return most


_NUISANCE_POINTS = 513
_ZOOMS = 12
"""Each makes the stretch around a top four times shorter: 1e-10 in the end, where the tail is flat."""


def _miettinen_nurminen(
    responders: tuple[int, int], subjects: tuple[int, int], confidence: float
) -> tuple[float, float]:
    """Differences that the score test with the variance n / (n - 1) does not reject.

    Own code: the score interval of statsmodels 0.15 gives 0.0526 to 0.3440 for 56/70 - 48/80, the paper 0.0528 to
    0.3382.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtri

    (a, b), (n, m) = responders, subjects
    total, limit = n + m, float(ndtri(0.5 + confidence / 2))
    observed = a / n - b / m

    def score(difference: float) -> float:
        second = _restricted(a, b, n, m, difference)
        first = second + difference
        variance = (first * (1 - first) / n + second * (1 - second) / m) * total / (total - 1)
        return float((observed - difference) / np.sqrt(max(variance, 1e-300)))

    edge = 1 - 1e-9
    lower = -1.0 if score(-edge) <= limit else float(brentq(lambda d: score(d) - limit, -edge, observed))
    upper = 1.0 if score(edge) >= -limit else float(brentq(lambda d: score(d) + limit, observed, edge))
    return lower, upper


def _restricted(a: int, b: int, n: int, m: int, difference: float) -> float:
    """Likeliest proportion of the second group when the first is larger by the difference: root of a cubic."""
    total, answered = n + m, a + b
    coefficients = (
        total,
        (n + 2 * m) * difference - total - answered,
        (m * difference - total - 2 * b) * difference + answered,
        b * difference * (1 - difference),
    )
    roots = np.roots(coefficients)
    low, high = max(0.0, -difference), min(1.0, 1 - difference)
    real = np.clip(roots.real[np.abs(roots.imag) < 1e-6], low, high)
    inside = np.clip(np.concatenate([real, [low, high]]), 1e-15, 1 - 1e-15)
    first = np.clip(inside + difference, 1e-15, 1 - 1e-15)
    value = a * np.log(first) + (n - a) * np.log1p(-first) + b * np.log(inside) + (m - b) * np.log1p(-inside)
    return float(np.clip(inside[int(np.argmax(value))], low, high))


def responders(
    adata: AnnData,
    *,
    rule: str | None = None,
    reference: str | None = None,
    interval: DifferenceInterval = "newcombe",
    test: ExactTest = "barnard",
    confidence: float = 0.95,
) -> None:
    """Share of responders, arms compared (method S18).

    Parameters
    ----------
    adata
        Object with the table ``uns['responses']`` (``schema.RESPONSE_COLUMNS``).
    rule
        Rule of response; default is every rule of the table.
    reference
        Reference arm; default is that of the study.
    interval, test, confidence
        As in :func:`proportion_difference`.

    Returns
    -------
    None; writes

    ``adata.uns['responders']``
        DataFrame with ``schema.STATISTIC_COLUMNS``, one row a rule x arm against the reference: difference of the
        shares in percentage points with its interval and exact p-value. Subjects that the rule could not evaluate are
        no responders and no failures: they are left out and counted in ``exclusions``. For rules of response a second
        row, where anybody was left out, counts them as no response (``contrast`` ends with
        ``not evaluable = no response``); it is a sensitivity analysis and belongs to no family.

    Raises
    ------
    AnalysisError
        There is no such table, rule or reference arm.
    """
    table = _responses(adata, rule)
    reference_arm, others = arm_order(adata, reference)
    arms = arms_of(adata, table)
    rows = []
    for name in sorted(set(table["rule_id"].astype(str))):
        own = (table["rule_id"].astype(str) == name).to_numpy()
        known = [_count(table[own & (arms == arm)]) for arm in (reference_arm, *others)]
        for arm, counted in zip(others, known[1:], strict=True):
            pair, labels = (counted, known[0]), (arm, reference_arm)
            rows.append(_row(pair, (interval, test), confidence, _about(name, labels, pair)))
            if counted.lost + known[0].lost and counted.n and known[0].n and _is_response(name):
                everybody = (counted.all_subjects(), known[0].all_subjects())
                about = _about(name, labels, everybody)
                about["contrast"] += f", {NO_RESPONSE}"
                rows.append(_row(everybody, (interval, test), confidence, about))
    if not others:
        rows.append(refused_row("S18", "difference of proportions", AnalysisError("there is one arm only")))
    adata.uns[UNS_RESPONDERS] = statistic_table(rows)


def _responses(adata: AnnData, rule: str | None) -> pd.DataFrame:
    if UNS_RESPONSES not in adata.uns:
        raise AnalysisError("there is no table of responses", where=f"uns[{UNS_RESPONSES!r}]",
                            todo="evaluate the rules of CMV-DNA first")  # fmt: skip
    table: pd.DataFrame = adata.uns[UNS_RESPONSES]
    if missing := [name for name in RESPONSE_COLUMNS if name not in table]:
        raise AnalysisError(f"no column {', '.join(missing)}", where=f"uns[{UNS_RESPONSES!r}]")
    if rule is not None:
        table = table[table["rule_id"].astype(str) == rule]
    if len(table) == 0:
        raise AnalysisError(f"no row of rule {rule or '(any)'}", where=f"uns[{UNS_RESPONSES!r}]")
    if table.duplicated(["usubjid", "rule_id"]).any():
        raise AnalysisError("a subject has two rows of one rule", where=f"uns[{UNS_RESPONSES!r}]")
    return table.reset_index(drop=True)


class _Counted(NamedTuple):
    """Responders, evaluable subjects, and who was not evaluable: how many, and in words."""

    yes: int
    n: int
    lost: int
    reasons: str

    def all_subjects(self) -> _Counted:
        """Those who were not evaluable counted as no responders."""
        return _Counted(self.yes, self.n + self.lost, 0, "")


def _count(own: pd.DataFrame) -> _Counted:
    response = own["response"].astype("boolean")
    reasons = own.loc[response.isna(), "reason"].fillna("").astype(str)
    counts = reasons.value_counts().sort_index()
    words = [f"{number} not evaluable" + (f" ({reason})" if str(reason) else "") for reason, number in counts.items()]
    return _Counted(int(response.fillna(value=False).sum()), int(response.notna().sum()), len(reasons),
                    ", ".join(words))  # fmt: skip


def _about(rule: str, labels: tuple[str, str], pair: tuple[_Counted, _Counted]) -> dict[str, Any]:
    """What a row says beside its numbers."""
    by_arm = list(zip(labels, pair, strict=True))
    return {
        "population": rule, "measure": "response", "contrast": " - ".join(labels), "arm": labels[0],
        "scale": "percentage points", "n": pair[0].n, "n_reference": pair[1].n,
        "exclusions": "; ".join(f"{label}: {one.reasons}" for label, one in by_arm if one.reasons),
        "note": "; ".join(f"{label}: {one.yes} of {one.n}" for label, one in by_arm),
    }  # fmt: skip


def _is_response(rule: str) -> bool:
    """Whether true is what a patient hopes for: of a failure or a return, "not evaluable" is no "no"."""
    from immunoprofile.virology import rulebook

    return rule not in rulebook().rules or rule.startswith(("vr_", "clearance_"))


def _row(
    counts: tuple[_Counted, _Counted],
    options: tuple[DifferenceInterval, ExactTest],
    confidence: float,
    known: dict[str, Any],
) -> dict[str, Any]:
    (yes, n, *_), (reference_yes, reference_n, *_) = counts
    interval, test = options
    method = f"difference of proportions, {test.capitalize()} exact, {interval.title()} interval"
    try:
        found = proportion_difference((yes, reference_yes), (n, reference_n), interval=interval, test=test,
                                      confidence=confidence)  # fmt: skip
    except AnalysisError as refused:
        return refused_row("S18", method, refused, **known)
    values = {name: 100 * value for name, value in
              (("estimate", found.estimate), ("lower", found.lower), ("upper", found.upper))}  # fmt: skip
    return statistic_row(
        method_id="S18", method=method, p_value=found.p_value, effect_kind="difference, percentage points",
        effect=values["estimate"], effect_lower=values["lower"], effect_upper=values["upper"], conf_level=confidence,
        adjusted="none", **values, **known,
    )  # fmt: skip
