"""Rules on the level: positive at entry, response, refractory infection, failure, resistance."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from immunoprofile.virology.verdicts import Predicate, Verdict, at, compared, fall, unknown

if TYPE_CHECKING:
    from immunoprofile.virology.courses import Course, Sample
    from immunoprofile.virology.rulebook import Rule

_MUTATION = re.compile(r"\b(UL\d+)\b[\s:,.p]*([A-Z]\d+(?:[A-Z*]|del|fs|stop)\b|del\w*|ins\w*)", re.IGNORECASE)
_NO_MUTATION = re.compile(
    r"^(none|no|neg(ative)?|wild[- ]?type|wt|no (resistance )?mutations?( (found|detected))?"
    r"|(not|none) (found|detected)"
    r"|野生型|未检出|未发现|阴性|无(突变|耐药突变)?)$",
    re.IGNORECASE,
)


def baseline(course: Course, rule: Rule, known: Mapping[str, Verdict]) -> Verdict:
    """There is a baseline result."""
    assert course.baseline is not None
    return at(course.baseline, "TRUE", f"baseline of {course.series}")


def positive_detect(course: Course, rule: Rule, known: Mapping[str, Verdict]) -> Verdict:
    """Anything but not detected."""
    assert course.baseline is not None
    return at(course.baseline, "FALSE" if course.baseline.negative else "TRUE", f"baseline is {course.baseline.kind}")


def positive_quant(course: Course, rule: Rule, known: Mapping[str, Verdict]) -> Verdict:
    """At or above the LLOQ."""
    assert course.baseline is not None
    return at(course.baseline, "FALSE" if course.baseline.below else "TRUE", f"baseline is {course.baseline.kind}")


def entry_registry(course: Course, rule: Rule, known: Mapping[str, Verdict]) -> Verdict:
    """Above the entry threshold in copies/mL; IU/mL only through the factor of the assay."""
    sample = course.baseline
    assert sample is not None
    threshold = rule.parameters["above_copies_per_ml"]
    if sample.unit != "copies/mL":
        if math.isnan(course.iu_factor):
            return unknown(f"the assay reports {sample.unit} and has no factor to copies/mL", sample)
        threshold *= course.iu_factor
    if sample.kind == "QUANT":
        return at(sample, "TRUE" if sample.value > threshold else "FALSE", f"limit {threshold:g} {sample.unit}")
    if sample.below and sample.lloq <= threshold:
        return at(sample, "FALSE", f"below the LLOQ of {sample.lloq:g}, limit {threshold:g} {sample.unit}")
    if not sample.below and compared(sample.lower - math.log10(threshold)) >= 0:
        return at(sample, "TRUE", f"above the range of the assay, limit {threshold:g} {sample.unit}")
    return unknown(f"the limits of the assay do not decide on {threshold:g} {sample.unit}", sample)


def significant_sle(course: Course, rule: Rule, known: Mapping[str, Verdict]) -> Verdict:
    """Plasma above a threshold in IU/mL in any result; copies/mL only through the factor of the assay."""
    threshold = rule.parameters["above_iu_per_ml"]
    if course.unit != "IU/mL":
        if math.isnan(course.iu_factor):
            return unknown(f"the assay reports {course.unit} and has no factor to IU/mL", *course.samples[:1])
        threshold /= course.iu_factor
    limit = f"limit {threshold:g} {course.unit}"
    answers = [_above(sample, threshold) for sample in course.samples]
    if True in answers:
        first = course.samples[answers.index(True)]
        return _on_course(course, at(first, "TRUE", f"above the {limit}"))
    if None in answers:
        open_results = [one for one, answer in zip(course.samples, answers, strict=True) if answer is None]
        return unknown(f"the limits of the assay do not decide on the {limit}", *open_results)
    if course.baseline is None or not course.later:
        what = "the baseline" if course.baseline is None else "a result after the baseline"
        return unknown(f"not above the {limit}, but {what} is missing", *course.samples)
    highest, last = max(course.samples, key=lambda one: one.upper), course.samples[-1]
    words = f"never above the {limit}; highest {highest.text}"
    return _on_course(course, Verdict("FALSE", words, last.day, math.inf, evidence=(highest, last)))


def _above(sample: Sample, threshold: float) -> bool | None:
    """Whether a result is above a threshold, strictly; None where the limits of the assay do not tell."""
    if sample.kind == "QUANT":
        return sample.value > threshold
    if sample.below:
        # Below the LLOQ is below every threshold that is not lower.
        return False if sample.lloq <= threshold else None
    return True if compared(sample.lower - math.log10(threshold)) >= 0 else None


def _on_course(course: Course, verdict: Verdict) -> Verdict:
    """Without a first ganciclovir samples have a date and no day."""
    return verdict if course.anchored else replace(verdict, lower=math.nan, upper=math.nan)


def response_d14(course: Course, rule: Rule, known: Mapping[str, Verdict]) -> Verdict:
    """Fall of 1 log10, or below the LLOQ, around day 14."""
    first, last, day = (rule.parameters[name] for name in ("first_day", "last_day", "day"))
    inside = [sample for sample in course.later if first <= sample.day <= last]
    if not inside:
        return unknown(f"no valid result on days {first:g} to {last:g}")
    sample = min(inside, key=lambda one: (abs(one.day - day), one.day))
    return _response(course, sample, rule.parameters["fall_log10"])


def _response(course: Course, sample: Sample, needed: float) -> Verdict:
    """TRUE for a fall of at least ``needed`` or a result below the LLOQ; not evaluable where bounds do not decide."""
    evidence = (sample,) if course.baseline is None else (course.baseline, sample)
    if sample.below:
        return at(sample, "TRUE", "below the LLOQ", *evidence)
    if course.baseline is None:
        return unknown("no baseline", sample)
    least, most = fall(course.baseline, sample)
    if least == most:
        words = f"{'fall' if least >= 0 else 'rise'} of {abs(least):.4g} log10"
    else:
        words = f"fall between {_bound(least)} and {_bound(most)} log10"
    if least >= needed:
        return at(sample, "TRUE", words, *evidence)
    if most < needed:
        return at(sample, "FALSE", words, *evidence)
    return unknown(f"{words} does not decide on {needed:g}", *evidence)


def _bound(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.4g}"


def _after_dosing(course: Course, rule: Rule) -> tuple[list[Sample], str]:
    """Results after enough appropriately dosed days, and why there is none."""
    assert course.dosing is not None
    days, ended = int(rule.parameters["dosed_days"]), int(rule.parameters["dosing_ended_within_days"])
    late = [sample for sample in course.later if sample.day >= days]
    if not late:
        return [], f"no valid result after day {days}"
    found = [sample for sample in late if course.dosing.before(sample.day, days=days, ended_within=ended)]
    why = f"no result with {days} consecutive appropriately dosed days before it"
    return found, "" if found else why


@dataclass(frozen=True)
class _Reference:
    """What a later result is compared with: the highest of some results.

    When the peak may have been missed (no baseline, or no result of the first week) it has no upper bound.
    """

    samples: tuple[Sample, ...]
    complete: bool

    def rise(self, sample: Sample) -> tuple[float, float]:
        """Bounds of the rise of a result over the reference in log10; NaN is open."""
        lowers = [one.lower for one in self.samples if not math.isnan(one.lower)]
        open_above = not self.complete or any(math.isnan(one.upper) for one in self.samples)
        highest = math.nan if open_above else max(one.upper for one in self.samples)
        return compared(sample.lower - highest), compared(sample.upper - (max(lowers) if lowers else math.nan))


def _first_week(course: Course, last_day: float) -> _Reference:
    week = [sample for sample in course.later if 0 <= sample.day <= last_day]
    start = [] if course.baseline is None else [course.baseline]
    return _Reference((*start, *week), bool(start) and any(sample.day > 0 for sample in week))


def refractory(course: Course, rule: Rule, known: Mapping[str, Verdict]) -> Verdict:
    """Rise of more than 1 log10 over the peak of the first week, in any result after enough dosing."""
    after, why = _after_dosing(course, rule)
    peak = _first_week(course, rule.parameters["peak_last_day"])
    if not after:
        return unknown(why)
    needed, week = rule.parameters["rise_log10"], peak.samples
    open_results = []
    for sample in after:
        least, most = peak.rise(sample)
        if least > needed:
            return at(sample, "TRUE", f"{least:.4g} log10 above the peak of the first week", *week, sample)
        if not (most <= needed or sample.below):
            open_results.append(sample)
    if open_results:
        why = "bounds do not decide" if peak.complete else "the peak of the first week may have been missed, no verdict"
        return unknown(f"{why} on a rise of more than {needed:g} log10", *week, *open_results)
    return at(after[-1], "FALSE", f"no rise of more than {needed:g} log10 over the first week", *week, *after)


def persistent(course: Course, rule: Rule, known: Mapping[str, Verdict]) -> Verdict:
    """At the first result after enough dosing neither below the peak of the first week nor 1 log10 above it."""
    after, why = _after_dosing(course, rule)
    peak = _first_week(course, rule.parameters["peak_last_day"])
    if not after:
        return unknown(why)
    return _no_fall(peak, after[0], "the peak of the first week", rule.parameters["rise_log10"])


def unchanged_or_higher(course: Course, rule: Rule, known: Mapping[str, Verdict]) -> Verdict:
    """At the first result after enough dosing no fall from baseline."""
    assert course.baseline is not None
    after, why = _after_dosing(course, rule)
    reference = _Reference((course.baseline,), complete=True)
    return _no_fall(reference, after[0], "the baseline", math.inf) if after else unknown(why)


def _no_fall(reference: _Reference, sample: Sample, name: str, most_rise: float) -> Verdict:
    least, most = reference.rise(sample)
    evidence = (*reference.samples, sample)
    if sample.below:
        return at(sample, "FALSE", "below the LLOQ", *evidence)
    if most < 0 or least > most_rise:
        return at(sample, "FALSE", f"{'below' if most < 0 else 'far above'} {name}", *evidence)
    if least >= 0 and (most <= most_rise or math.isinf(most_rise)):
        return at(sample, "TRUE", f"at least {least:.4g} log10 above {name}: no fall", *evidence)
    return unknown(f"bounds do not decide against {name}", *evidence)


def failure(course: Course, rule: Rule, known: Mapping[str, Verdict]) -> Verdict:
    """Evaluable after enough dosing and not responded."""
    after, why = _after_dosing(course, rule)
    if not after:
        return unknown(why)
    responded = known["vr_d14"]
    if responded.true:
        return Verdict("FALSE", f"responded: {responded.reason}", responded.lower, responded.upper, responded.date,
                       evidence=responded.evidence)  # fmt: skip
    found = _response(course, after[0], rule.parameters["fall_log10"])
    if found.result == "NOT_EVALUABLE":
        return found
    return at(after[0], "FALSE" if found.true else "TRUE", found.reason, *found.evidence)


def resistant(course: Course, rule: Rule, known: Mapping[str, Verdict]) -> Verdict:
    """Refractory, and a mutation in a gene that matters for ganciclovir."""
    found, unread = [], []
    for day, text in course.genotypes:
        named = [match for match in _MUTATION.finditer(text) if match[1].upper() in rule.genes]
        if named:
            found.append(f"{', '.join(match[0] for match in named)} (day {day})")
        elif not _NO_MUTATION.match(text.strip(" .")) and not _MUTATION.search(text):
            unread.append(f"{text!r} (day {day})")
    infection = known["refractory_2019"]
    words = "; ".join(found) if found else f"no mutation in {', '.join(rule.genes)}"
    if infection.result == "FALSE" or (not found and not unread):
        return Verdict("FALSE", f"{words}; refractory_2019 {infection.result}", infection.lower, infection.upper,
                       infection.date, evidence=infection.evidence)  # fmt: skip
    if unread and not found:
        return unknown(f"resistance test not understood: {'; '.join(unread)}", *infection.evidence)
    if not infection.true:
        return unknown(f"{words}; refractory_2019 {infection.result}: {infection.reason}", *infection.evidence)
    return Verdict("TRUE", words, infection.lower, infection.upper, infection.date, evidence=infection.evidence)


RESPONSE_PREDICATES: Final[dict[str, Predicate]] = {
    "baseline": baseline,
    "cmv_positive_detect": positive_detect,
    "cmv_positive_quant": positive_quant,
    "entry_registry": entry_registry,
    "significant_sle": significant_sle,
    "vr_d14": response_d14,
    "refractory_2019": refractory,
    "probable_refractory_2019": persistent,
    "probable_refractory_kotton2025": unchanged_or_higher,
    "failure_1log_2wk": failure,
    "resistant": resistant,
}
"""Rule id -> predicate, in the order of judging."""
