"""Rules on clearance and return: clearance, blip, rebound, recurrence, late onset, and the composite failure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from immunoprofile.virology.verdicts import Predicate, Verdict, at, unknown

if TYPE_CHECKING:
    from immunoprofile.virology.courses import Course, Sample
    from immunoprofile.virology.rulebook import Rule


def clearance(
    samples: tuple[Sample, ...], cleared: Callable[[Sample], bool], *, days_apart: float, name: str = "below the LLOQ"
) -> Verdict:
    """First result of the first run of cleared results that spans ``days_apart`` days.

    The run must follow a result that is not cleared: what was never there cannot be cleared. Not cleared until now: the
    interval begins at the last result that is not cleared, because a run at the end may still be confirmed.
    """
    run: list[Sample] = []
    last: Sample | None = None
    for sample in samples:
        if not cleared(sample):
            last, run = sample, []
            continue
        if last is None:
            continue
        run.append(sample)
        if sample.day - run[0].day >= days_apart:
            confirmed = sample.date if days_apart else ""
            words = f"confirmed on {sample.date} (day {sample.day})" if days_apart else "unconfirmed"
            evidence = dict.fromkeys((last, run[0], sample))
            return Verdict("TRUE", f"first {name}, {words}", max(last.day, 0), run[0].day, run[0].date, confirmed,
                           tuple(evidence))  # fmt: skip
    if last is None:
        return unknown(f"every result is {name}: there was nothing to clear")
    once = f'no {"confirmed " if days_apart else ""}"{name}" until day {last.day}'
    words = f"first {name} on day {run[0].day}, not confirmed" if run else once
    return Verdict("FALSE", words, max(last.day, 0), math.inf, evidence=(last, *run))


def clearance_two(course: Course, rule: Rule, known: Mapping[str, Verdict]) -> Verdict:
    """Two below the LLOQ."""
    return clearance(course.samples, lambda one: one.below, days_apart=rule.parameters["days_apart"])


def clearance_not_detected(course: Course, rule: Rule, known: Mapping[str, Verdict]) -> Verdict:
    """Two not detected."""
    days = rule.parameters["days_apart"]
    return clearance(course.samples, lambda one: one.negative, days_apart=days, name="not detected")


def clearance_one(course: Course, rule: Rule, known: Mapping[str, Verdict]) -> Verdict:
    """The first below the LLOQ."""
    return clearance(course.samples, lambda one: one.below, days_apart=0)


def _after_negative(samples: tuple[Sample, ...]) -> list[tuple[Sample, Sample, Sample]]:
    """Detected results after a negative one that another result follows, with their neighbours."""
    threes = zip(samples, samples[1:], samples[2:], strict=False)
    return [(before, one, after) for before, one, after in threes if before.negative and not one.negative]


def blips(samples: tuple[Sample, ...], *, within_days: float) -> list[tuple[Sample, Sample, Sample]]:
    """Every blip of a course with the negative results before and after it."""
    judged = _after_negative(samples)
    return [three for three in judged if three[2].negative and three[2].day - three[1].day <= within_days]


def blip(course: Course, rule: Rule, known: Mapping[str, Verdict]) -> Verdict:
    """A single detected result between two negative ones, the second soon after it."""
    follow = course.samples
    for before, sample, after in blips(follow, within_days=rule.parameters["next_within_days"]):
        return at(sample, "TRUE", f"negative again on day {after.day}", before, sample, after)
    judged = _after_negative(follow)
    pending = len(follow) > 1 and follow[-2].negative and not follow[-1].negative
    if pending:
        return unknown("the result after the positive one is not there yet", *follow[-2:])
    if judged:
        return Verdict("FALSE", "no single positive result between negatives", evidence=judged[-1])
    if any(before.negative for before, _ in pairwise(follow)):
        return Verdict("FALSE", "no positive result after a negative one")
    return unknown("not applicable: no negative result that another one follows")


def _after_clearance(course: Course, known: Mapping[str, Verdict]) -> tuple[list[Sample], Verdict | None]:
    """Results after the confirmed clearance, or the verdict that there is nothing to judge."""
    cleared = known["clearance_2"]
    if not cleared.true:
        return [], unknown(f"no clearance (clearance_2 {cleared.result})")
    later = [sample for sample in course.samples if sample.date > cleared.confirmed]
    return later, None if later else unknown(f"no valid result after the clearance confirmed on {cleared.confirmed}")


def rebound(course: Course, rule: Rule, known: Mapping[str, Verdict]) -> Verdict:
    """After clearance a run of results at or above the LLOQ that is long enough."""
    later, nothing = _after_clearance(course, known)
    if nothing:
        return nothing
    run: list[Sample] = []
    for sample in later:
        run = [] if sample.below else [*run, sample]
        if run and sample.day - run[0].day >= rule.parameters["days_apart"]:
            before = max((one for one in course.samples if one.date < run[0].date), key=lambda one: one.date)
            words = f"confirmed on {sample.date} (day {sample.day})"
            evidence = (before, run[0], sample)
            return Verdict("TRUE", words, before.day, run[0].day, run[0].date, sample.date, evidence)
    if run:
        return unknown(f"at or above the LLOQ since day {run[0].day}, not confirmed yet", *run)
    return Verdict("FALSE", f"no rebound until day {later[-1].day}", later[-1].day, math.inf, evidence=(later[-1],))


def possible_rebound(course: Course, rule: Rule, known: Mapping[str, Verdict]) -> Verdict:
    """The last results after clearance are at or above the LLOQ and are no rebound yet."""
    later, nothing = _after_clearance(course, known)
    if nothing:
        return nothing
    if known["rebound"].true:
        return at(later[-1], "FALSE", "rebound is confirmed", *known["rebound"].evidence)
    if later[-1].below:
        return at(later[-1], "FALSE", "the last result is below the LLOQ")
    first = known["rebound"].evidence[0]
    return at(first, "TRUE", f"at or above the LLOQ since day {first.day}, not confirmed", *known["rebound"].evidence)


def recurrence(course: Course, rule: Rule, known: Mapping[str, Verdict]) -> Verdict:
    """The first return after clearance comes late, and surveillance had no long gap until then."""
    later, nothing = _after_clearance(course, known)
    if nothing:
        return nothing
    cleared, needed, gap = known["clearance_2"], rule.parameters["after_days"], rule.parameters["longest_gap_days"]
    back = next((sample for sample in later if not sample.below), None)
    watched = [one for one in course.samples if cleared.date <= one.date and (back is None or one.date <= back.date)]
    last = watched[-1]
    if back is not None and back.day - cleared.upper < needed:
        return at(back, "FALSE", f"back {back.day - cleared.upper:g} days after clearance, before day {needed:g} of it")
    if last.day - cleared.upper < needed:
        return unknown(f"followed for {last.day - cleared.upper:g} days after clearance, {needed:g} are needed", last)
    longest = max(after.day - before.day for before, after in pairwise(watched))
    if back is None:
        words = f"no return until day {last.day}"
        if longest > gap:
            return unknown(f"{words}, but a gap of {longest} days without a result", last)
        return Verdict("FALSE", words, last.day, math.inf, evidence=(last,))
    if longest > gap:
        return unknown(f"back on day {back.day}, but a gap of {longest} days without a result", back)
    words = f"back {back.day - cleared.upper:g} days after clearance"
    return Verdict("TRUE", words, watched[-2].day, back.day, back.date, evidence=(watched[-2], back))


def recurrence_two_negatives(course: Course, rule: Rule, known: Mapping[str, Verdict]) -> Verdict:
    """Detected again after two results that were not, in somebody in whom it had been detected before."""
    apart = rule.parameters["days_apart"]
    gone = clearance(course.samples, lambda one: one.negative, days_apart=apart, name="not detected")
    if not gone.true:
        why = gone.reason if gone.result == "FALSE" else "no detected result before a negative one"
        return unknown(f"no two results not detected {apart:g} days apart: {why}", *gone.evidence)
    later = [sample for sample in course.samples if sample.date > gone.confirmed]
    if not later:
        return unknown(f"no valid result after the second negative one of {gone.confirmed}", *gone.evidence)
    for before, sample in pairwise((gone.evidence[-1], *later)):
        if not sample.negative:
            words = f"detected again {sample.day - gone.upper:g} days after the first of the negative results"
            return Verdict("TRUE", words, before.day, sample.day, sample.date, evidence=(*gone.evidence, sample))
    return Verdict("FALSE", f"not detected again until day {later[-1].day}", later[-1].day, math.inf,
                   evidence=(*gone.evidence, later[-1]))  # fmt: skip


def late_onset(course: Course, rule: Rule, known: Mapping[str, Verdict]) -> Verdict:
    """A recurrence long after the last dose of the antiviral."""
    assert course.stop_day is not None
    first, needed = known["recurrence"], rule.parameters["after_days"]
    if first.true:
        days = first.upper - course.stop_day
        words = f"recurrence {days:g} days after the last dose of the antiviral"
        return replace(first, result="TRUE" if days > needed else "FALSE", reason=words)
    if first.result == "FALSE" and math.isinf(first.upper) and first.lower - course.stop_day > needed:
        return first
    if first.result == "FALSE" and not math.isinf(first.upper):
        return replace(first, reason=f"no recurrence: {first.reason}")
    return unknown(f"not followed for more than {needed:g} days after the last dose of the antiviral")


def virologic_failure(course: Course, rule: Rule, known: Mapping[str, Verdict]) -> Verdict:
    """Any of its parts; unknown parts leave it open unless another one is met."""
    week8 = rule.parameters["week8_day"]
    window = rule.parameters["window_days"]
    cleared = known["clearance_2"]
    parts = {name: known[name] for name in ("refractory_2019", "failure_1log_2wk")}
    if course.rescue_day is not None:
        parts["switch of the antiviral"] = Verdict("TRUE", "rescue", course.rescue_day, course.rescue_day)
    elif course.rescue_known:
        parts["switch of the antiviral"] = Verdict("FALSE", "none recorded")
    else:
        parts["switch of the antiviral"] = unknown("no record (events, RESCUE)")
    name = "no clearance by week 8"
    if cleared.upper <= week8 + window:
        parts[name] = Verdict("FALSE", cleared.reason, evidence=cleared.evidence)
    elif cleared.lower >= week8 - window:
        parts[name] = Verdict("TRUE", cleared.reason, cleared.lower, cleared.lower, evidence=cleared.evidence[:1])
    else:
        parts[name] = unknown("clearance by week 8 is not known", *cleared.evidence)
    met = {part: verdict for part, verdict in parts.items() if verdict.true}
    if met:
        first = min(met.values(), key=lambda one: one.upper)
        evidence = dict.fromkeys(sample for one in met.values() for sample in one.evidence)
        return Verdict("TRUE", ", ".join(met), first.lower, first.upper, first.date, evidence=tuple(evidence))
    open_parts = [f"{part}: {verdict.reason}" for part, verdict in parts.items() if verdict.result != "FALSE"]
    if open_parts:
        return unknown("; ".join(open_parts))
    return Verdict("FALSE", "none of its parts is met", evidence=cleared.evidence)


CLEARANCE_PREDICATES: Final[dict[str, Predicate]] = {
    "clearance_2": clearance_two,
    "clearance_tnd": clearance_not_detected,
    "clearance_1": clearance_one,
    "blip": blip,
    "rebound": rebound,
    "possible_rebound": possible_rebound,
    "recurrence": recurrence,
    "recurrence_two_negatives": recurrence_two_negatives,
    "late_onset": late_onset,
    "virologic_failure": virologic_failure,
}
"""Rule id -> predicate, in the order of judging."""
