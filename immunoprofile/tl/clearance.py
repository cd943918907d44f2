"""S12, S13, S17: time to clearance of CMV-DNA, arms compared."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.schema import (
    ESTIMATED,
    PERMUTATION_METHOD,
    UNS_CLEARANCE_EXACT,
    UNS_CLEARANCE_INTERVAL,
    UNS_CUMULATIVE_INCIDENCE,
)
from immunoprofile.tl._clearance import CLEARED, Clearance, clearance_times, exp, put_curves, ratio_row, refused_row
from immunoprofile.tl._effects import joined
from immunoprofile.tl._enough import LEAST_IN_AN_ARM
from immunoprofile.tl._frame import NAN, arm_order, statistic_row, statistic_table
from immunoprofile.tl.aft import DISTRIBUTIONS, Permutation, interval_aft, permutation_test, time_ratio
from immunoprofile.tl.survival import Curve, cox, cumulative_incidence, kaplan_meier, log_rank
from immunoprofile.tl.turnbull import turnbull

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    from immunoprofile.tl.aft import Distribution

_WHAT = {"population": "CMV-DNA", "measure": "time to clearance"}
PERMUTATIONS = 999


def clearance_exact(
    adata: AnnData, *, rule: str | None = None, reference: str | None = None, confidence: float = 0.95
) -> None:
    """Time to clearance as if it were known to the day: Kaplan-Meier, log-rank, Cox (method S12).

    The day is that of the first sample of clearance, later than the clearance itself: the interval-censored analysis
    (:func:`clearance_interval`) is the primary one.

    Parameters
    ----------
    adata
        Object with the table ``uns['clearance']`` (``schema.TIME_TO_CLEARANCE_COLUMNS``).
    rule
        Clearance rule; default is the only one of the table, else ``clearance_2``.
    reference
        Reference arm; default is that of the study.
    confidence
        Coverage of the intervals; those of the curves are pointwise on the log-log scale.

    Returns
    -------
    None; writes

    ``adata.uns['clearance_exact']``
        DataFrame with ``schema.STATISTIC_COLUMNS``: the median of each arm in days, and for each arm against the
        reference the log-rank test and the hazard ratio (Cox, Efron; above 1: cleared earlier). What cannot be
        estimated is NOT_ESTIMABLE with the reason in ``note``, which also warns where the arms were sampled at unlike
        gaps: the arm with fewer samples then seems to clear later. Competing events are censored (cause-specific
        hazard). Where half had cleared for exactly a while, the median is the middle of it, as in R.
    ``adata.uns['clearance_curves']``
        DataFrame with ``schema.CURVE_COLUMNS``; rows of method S12 are replaced.

    Raises
    ------
    AnalysisError
        There is no such table, rule or reference arm.
    """
    times = clearance_times(adata, rule)
    reference_arm, others = arm_order(adata, reference)
    rows, curves = [], []
    for arm in (reference_arm, *others):
        own = times.among(times.arms == arm)
        row, curve = _median(own, arm, confidence)
        rows.append(row)
        curves += _curve_rows("S12", "Kaplan-Meier", own, arm, CLEARED, curve)
    for arm in others:
        pair = times.among(np.isin(times.arms, [arm, reference_arm]))
        uneven = _uneven_sampling(pair, (arm, reference_arm))
        rows += [row | {"note": joined(uneven, row["note"])} for row in
                 (_log_rank(pair, arm, reference_arm), _hazard(pair, arm, reference_arm, confidence))]  # fmt: skip
    if not others:
        rows.append(_one_arm("S12", "log-rank test; Cox model", times))
    adata.uns[UNS_CLEARANCE_EXACT] = statistic_table(rows)
    put_curves(adata, "S12", curves)


def clearance_interval(
    adata: AnnData,
    *,
    rule: str | None = None,
    reference: str | None = None,
    confidence: float = 0.95,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> None:
    """Time to clearance between two samples: Turnbull, accelerated failure time, permutation test (method S13).

    Parameters
    ----------
    adata
        Object with the table ``uns['clearance']`` (``schema.TIME_TO_CLEARANCE_COLUMNS``).
    rule, reference, confidence
        As in :func:`clearance_exact`.
    permutations
        Permutations of the arms; all of them where there are no more.
    seed
        Of the random permutations.

    Returns
    -------
    None; writes

    ``adata.uns['clearance_interval']``
        DataFrame with ``schema.STATISTIC_COLUMNS``: for each arm the first sample by which half had cleared (Turnbull),
        and for each arm against the reference the time ratio of the Weibull model (below 1: cleared earlier), the same
        as a row of the permutation test, and the time ratio of the log-logistic model. p and limits of the ratios come
        from the likelihood ratio over permutations of the arms, which holds in arms of five as well. What cannot be
        estimated is NOT_ESTIMABLE with the reason in ``note``. Competing events are censored at the last valid result.
    ``adata.uns['clearance_curves']``
        DataFrame with ``schema.CURVE_COLUMNS``; rows of method S13 are replaced.

    Raises
    ------
    AnalysisError
        There is no such table, rule or reference arm.

    Notes
    -----
    The clearance lies in (last result not cleared, first result of clearance]. Turnbull 1976, J R Stat Soc B 38:290;
    Wei 1992, Stat Med 11:1871.
    """
    times = clearance_times(adata, rule)
    reference_arm, others = arm_order(adata, reference)
    rows, curves = [], []
    for arm in (reference_arm, *others):
        row, own_curve = _turnbull(times.among(times.arms == arm), arm)
        rows.append(row)
        curves += own_curve
    for arm in others:
        pair = times.among(np.isin(times.arms, [arm, reference_arm]))
        rows += _time_ratio_rows(pair, (arm, reference_arm), confidence, permutations, seed)
    if not others:
        rows.append(_one_arm("S13", "accelerated failure time", times))
    adata.uns[UNS_CLEARANCE_INTERVAL] = statistic_table(rows)
    put_curves(adata, "S13", curves)


def clearance_incidence(
    adata: AnnData,
    *,
    rule: str | None = None,
    days: Sequence[float] = (28, 56),
    reference: str | None = None,
    confidence: float = 0.95,
) -> None:
    """Cumulative incidence of clearance beside death and rescue (Aalen and Johansen, method S17).

    Parameters
    ----------
    adata
        Object with the table ``uns['clearance']`` (``schema.TIME_TO_CLEARANCE_COLUMNS``).
    rule, reference, confidence
        As in :func:`clearance_exact`.
    days
        Days since the first ganciclovir at which the incidence is printed.

    Returns
    -------
    None; writes

    ``adata.uns['cumulative_incidence']``
        DataFrame with ``schema.STATISTIC_COLUMNS``, one row an arm x event x day: per cent of the arm with the event by
        then. A day after the last one under observation of the arm is NOT_ESTIMABLE.
    ``adata.uns['clearance_curves']``
        DataFrame with ``schema.CURVE_COLUMNS``; rows of method S17 are replaced.

    Raises
    ------
    AnalysisError
        There is no such table, rule or reference arm.
    """
    times = clearance_times(adata, rule)
    reference_arm, others = arm_order(adata, reference)
    events = [CLEARED, *sorted(set(times.cause.tolist()) - {"", CLEARED})]
    rows, curves = [], []
    for arm in (reference_arm, *others):
        own = times.among(times.arms == arm)
        for event in events:
            found, curve = _incidences(own, arm, event, (days, confidence))
            rows += found
            curves += _curve_rows("S17", "Aalen-Johansen", own, arm, event, curve)
    adata.uns[UNS_CUMULATIVE_INCIDENCE] = statistic_table(rows)
    put_curves(adata, "S17", curves)


def _about(times: Clearance, arm: str, reference: str = "") -> dict[str, Any]:
    known: dict[str, Any] = _WHAT | {
        "contrast": f"{arm} - {reference}" if reference else arm,
        "visit": "all",
        "arm": arm,
        "scale": "log" if reference else "days",
        "n": int((times.arms == arm).sum()),
        "exclusions": times.exclusions,
    }
    return known | ({"n_reference": int((times.arms == reference).sum())} if reference else {})


def _counts(times: Clearance, *arms: str) -> str:
    """What was seen in each arm, in words."""
    words = []
    for arm in arms:
        own = times.cause[times.arms == arm]
        competing = int((own != "").sum() - (own == CLEARED).sum())
        words.append(f"{arm}: {int((own == CLEARED).sum())} of {len(own)} cleared"
                     + (f", {competing} with a competing event" if competing else ""))  # fmt: skip
    return "; ".join(words) + f"; rule {times.rule}"


def _curve_rows(
    method_id: str, method: str, times: Clearance, arm: str, event: str, curve: Curve | None
) -> list[dict[str, Any]]:
    if curve is None:
        return []
    columns = (curve.time, curve.at_risk, curve.events, curve.value, curve.lower, curve.upper)
    return [
        {
            "method_id": method_id, "method": method, "rule_id": times.rule, "arm": arm, "event": event,
            "lower_day": time, "upper_day": time, "at_risk": at_risk, "events": events, "value": value,
            "lower": lower, "upper": upper,
        }
        for time, at_risk, events, value, lower, upper in zip(*columns, strict=True)
    ]  # fmt: skip


def _median(own: Clearance, arm: str, confidence: float) -> tuple[dict[str, Any], Curve | None]:
    method = "Kaplan-Meier, log-log interval"
    known = _about(own, arm) | {"note": _counts(own, arm)}
    try:
        curve = kaplan_meier(own.day, own.cleared, confidence=confidence)
    except AnalysisError as refused:
        return refused_row("S12", method, refused, **known), None
    middle, low, high = curve.median()
    if math.isinf(middle):
        reason = AnalysisError("fewer than half are known to have cleared, there is no median")
        return refused_row("S12", method, reason, **known), curve
    values = {"estimate": middle, "lower": low, "upper": high}
    row = statistic_row(method_id="S12", method=method, effect_kind="median days", conf_level=confidence,
                        adjusted="none", **values, **{_EFFECT[key]: value for key, value in values.items()},
                        **known)  # fmt: skip
    return row, curve


_EFFECT = {"estimate": "effect", "lower": "effect_lower", "upper": "effect_upper"}


UNEVEN_GAPS = 1.5
"""Ratio of the mean gaps between samples from which the arms count as sampled unequally."""


def _uneven_sampling(pair: Clearance, arms: tuple[str, str]) -> str:
    """Says when the gaps between the last sample before and the first of clearance differ between arms."""
    gaps = [(pair.upper - pair.lower)[pair.cleared & (pair.arms == arm)] for arm in arms]
    if min(len(own) for own in gaps) < LEAST_IN_AN_ARM:
        return ""
    means = [float(own.mean()) for own in gaps]
    if max(means) < UNEVEN_GAPS * min(means):
        return ""
    words = " and ".join(f"{mean:.3g} days in {arm}" for arm, mean in zip(arms, means, strict=True))
    return (f"the arms were sampled unequally (mean gap before the first sample of clearance {words}): the day of "
            "clearance is later where samples are fewer, the interval-censored analysis decides")  # fmt: skip


def _log_rank(pair: Clearance, arm: str, reference: str) -> dict[str, Any]:
    known = _about(pair, arm, reference) | {"note": _counts(pair, arm, reference)}
    try:
        test = log_rank(pair.day, pair.cleared, pair.arms)
    except AnalysisError as refused:
        return refused_row("S12", "log-rank test", refused, **known)
    known["note"] = f"chi-squared {test.chi_squared:.4g}, df {test.df}; {known['note']}"
    return statistic_row(method_id="S12", method="log-rank test", p_value=test.p_value, adjusted="none", **known)


def _hazard(pair: Clearance, arm: str, reference: str, confidence: float) -> dict[str, Any]:
    method = "Cox model, Efron ties"
    known = _about(pair, arm, reference) | {
        "note": f"above 1: {arm} cleared earlier; {_counts(pair, arm, reference)}"
    }  # fmt: skip
    try:
        fit = cox(pair.day, pair.cleared, {"arm": pair.arms == arm})
    except AnalysisError as refused:
        return refused_row("S12", method, refused, **known)
    return ratio_row("S12", method, "hazard ratio", fit.term("arm", confidence=confidence), confidence, known)


def _turnbull(own: Clearance, arm: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    method = "Turnbull, nonparametric maximum likelihood"
    known = _about(own, arm) | {"note": _counts(own, arm)}
    try:
        fit = turnbull(own.lower, own.upper)
    except AnalysisError as refused:
        return refused_row("S13", method, refused, **known), []
    curves: list[dict[str, Any]] = [
        {
            "method_id": "S13", "method": "Turnbull", "rule_id": own.rule, "arm": arm, "event": CLEARED,
            "lower_day": low, "upper_day": high, "at_risk": NAN, "events": NAN, "value": value, "lower": NAN,
            "upper": NAN,
        }
        for low, high, value in zip(fit.lower, fit.upper, fit.survival, strict=True)
    ]  # fmt: skip
    low, high = fit.quantile(0.5)
    if math.isinf(high):
        reason = AnalysisError("fewer than half are known to have cleared, there is no median")
        return refused_row("S13", method, reason, **known), curves
    known["note"] = f"half had cleared within ({low:g}, {high:g}] days; {known['note']}"
    row = statistic_row(method_id="S13", method=method, estimate=high, effect_kind="median days", effect=high,
                        adjusted="none", **known)  # fmt: skip
    return row, curves


def _time_ratio_rows(
    pair: Clearance, arms: tuple[str, str], confidence: float, permutations: int, seed: int
) -> list[dict[str, Any]]:
    """Weibull model, its permutation test, and the log-logistic model as a check."""
    known = _about(pair, *arms) | {"note": f"below 1: {arms[0]} cleared earlier; {_counts(pair, *arms)}"}
    member, rows = pair.arms == arms[0], []
    for distribution in DISTRIBUTIONS:
        method = (f"accelerated failure time, {distribution.capitalize()}, interval-censored, likelihood ratio by "
                  "permutation")  # fmt: skip
        tested = {method: "time ratio"} | ({PERMUTATION_METHOD: ""} if distribution == "weibull" else {})
        try:
            for arm in arms:
                if not pair.cleared[pair.arms == arm].any():
                    raise AnalysisError(f"no clearance was seen in arm {arm}, the time ratio is not finite",
                                        where="AFT")  # fmt: skip
            test = permutation_test(pair.lower, pair.upper, member, distribution=distribution,
                                    permutations=permutations, confidence=confidence, seed=seed)  # fmt: skip
            effect, words = _time_ratio(pair, member, distribution, confidence, test)
        except AnalysisError as refused:
            rows += [refused_row("S13", name, refused, **known) for name in tested]
            continue
        own = known | {"note": joined(words, _permutation_words(test, seed), known["note"])}
        rows.append(ratio_row("S13", method, "time ratio", effect, confidence, own))
        if distribution == "weibull":
            rows.append(statistic_row(
                method_id="S13", method=PERMUTATION_METHOD, status=ESTIMATED, estimate=effect[0],
                p_value=test.p_value, effect_kind="time ratio", effect=exp(effect[0]), adjusted="none",
                **known | {"note": f"{_permutation_words(test, seed)}; {_counts(pair, *arms)}"},
            ))  # fmt: skip
    return rows


def _time_ratio(
    pair: Clearance, member: NDArray[np.bool_], distribution: Distribution, confidence: float, test: Permutation
) -> tuple[tuple[float, float, float, float], str]:
    """Estimate, limits and p; where the likelihood does not bound the ratio there are no limits."""
    try:
        found = time_ratio(pair.lower, pair.upper, member, distribution=distribution, confidence=confidence, test=test)
    except AnalysisError as refused:
        fit = interval_aft(pair.lower, pair.upper, {"arm": member}, distribution=distribution)
        return (float(fit.coefficients[1]), NAN, NAN, test.p_value), f"no interval: {refused.what}"
    return found, ""


def _permutation_words(test: Permutation, seed: int) -> str:
    words = f"all {test.permutations} permutations" if test.exact else (
        f"{test.permutations} permutations, seed {seed}, Monte-Carlo SE of p "
        f"{math.sqrt(test.p_value * (1 - test.p_value) / test.permutations):.2g}"
    )  # fmt: skip
    return words + (f", {test.diverged} without a finite maximum" if test.diverged else "")


def _incidences(
    own: Clearance, arm: str, event: str, options: tuple[Sequence[float], float]
) -> tuple[list[dict[str, Any]], Curve | None]:
    days, confidence = options
    method = f"cumulative incidence (Aalen-Johansen) of: {event}"
    known = _about(own, arm) | {"scale": "per cent", "note": _counts(own, arm)}
    try:
        curve = cumulative_incidence(own.day, own.cause, of=event, confidence=confidence)
    except AnalysisError as refused:
        return [refused_row("S17", method, refused, **known)], None
    rows = []
    for day in days:
        at = known | {"visit": f"day {day:g}"}
        if day > own.day.max() and curve.value[-1] < 1 and (own.cause[own.day == own.day.max()] == "").any():
            reason = AnalysisError(f"nobody of the arm was under observation on day {day:g}")
            rows.append(refused_row("S17", method, reason, **at))
            continue
        values = [100 * value for value in curve.at(day, start=0.0)]
        known_width = not math.isnan(values[1]) and values[2] > values[1]
        lower, upper = (values[1], values[2]) if known_width else (NAN, NAN)
        rows.append(statistic_row(method_id="S17", method=method, estimate=values[0], lower=lower, upper=upper,
                                  effect_kind="per cent", effect=values[0], effect_lower=lower, effect_upper=upper,
                                  conf_level=confidence if known_width else NAN, adjusted="none", **at))  # fmt: skip
    return rows, curve


def _one_arm(method_id: str, method: str, times: Clearance) -> dict[str, Any]:
    reason = AnalysisError("there is one arm only")
    return refused_row(method_id, method, reason, **_WHAT, n=len(times.subjects), exclusions=times.exclusions)
