"""First screen of the cohort page: did the cells move, did CMV-DNA follow, was it safe, in one table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from immunoprofile import schema
from immunoprofile.io.records import records
from immunoprofile.report import wording
from immunoprofile.report.cohort_view import subgroup
from immunoprofile.report.content import Block, Cell, Table, Text, columns, row
from immunoprofile.report.drawn_gates import MARK
from immunoprofile.report.effect_tables import contrast_words
from immunoprofile.report.key_table import WITHOUT_CD25, confirming
from immunoprofile.report.wording import rule_name

if TYPE_CHECKING:
    from immunoprofile.report.cohort_view import CohortView
    from immunoprofile.report.content import Row
    from immunoprofile.report.statistics_tables import Effect

_SEVERE: Final = 3
_FIRST_LOOK: Final = 14
"""Day since the first ganciclovir by which an early clearance is counted."""


_STEPS: Final = {
    "doubling": "when the cells double", "unit of logit": "when the odds of the percentage rise 2.72-fold",
    "unit": "when the value rises by 1",
}  # fmt: skip
"""Steps of an association (`tl.censored`) in words."""


def synopsis(view: CohortView) -> tuple[Block, ...]:
    """One row an answer, with the caveat that touches it."""
    if view.blinded:
        return (Text("Comparisons are left out in blinded mode."),)
    moved = _moved(view)
    rows = [*moved, *_virus(view), *_responses(view), *_association(view), *_safety(view)]
    blocks: list[Block] = []
    if view.why_no_comparison or not moved:
        blocks.append(Text(view.why_no_comparison or "The arms were not compared in these results."))
    if rows:
        heads = ("Question", "Found", "Effect", "#95 % interval", "#n", "Reading", "Caveat")
        contrasts = dict.fromkeys(contrast_words(one, view.source.config.arm_labels)[0] for one in _compared(view))
        arms = f"{'; '.join(filter(None, contrasts))}. " if contrasts else ""
        caption = (
            f'{arms}Found: medians at baseline → {view.source.config.primary_visit}, or subjects. "cannot conclude": '
            'the interval holds "no difference", or the p-value corrected within the family is 0.05 or more. Terms: '
            "Glossary."
        )
        blocks.append(Table(columns(*heads), tuple(rows), "", caption, "synopsis"))
    return tuple(blocks)


def _compared(view: CohortView) -> list[Effect]:
    shown = view.effects(schema.UNS_COMPARE) + view.effects(schema.UNS_COMPARE_FUNCTIONAL)
    return [one for one in shown if one.population]


def _moved(view: CohortView) -> list[Row]:
    found = _compared(view)
    if not found:
        found = [one for one in view.effects(schema.UNS_CHANGE) if one.population
                 and one.visit == view.source.config.primary_visit]  # fmt: skip
    several = len({contrast_words(one, view.source.config.arm_labels)[0] for one in found}) > 1
    return [_effect(f"Did {one.population} move?", _medians(view, one, arms=several), one, _caveat(view, one))
            for one in found]  # fmt: skip


def _effect(question: str, said: str, one: Effect, caveat: str) -> Row:
    refused = "not estimated" + (f" ({one.note})" if one.note else "")
    reading = (one.conclusion or "describes one arm") if one.effect else refused
    return (
        Cell(question), Cell(said), Cell(f"{one.kind} {one.effect}" if one.effect else "none", one.value),
        Cell(one.interval or "none", note="" if one.level == 95 or not one.interval else f"{one.level:.4g} %"),
        Cell(one.n), Cell(reading, look="reading"), Cell(caveat),
    )  # fmt: skip


def _medians(view: CohortView, one: Effect, *, arms: bool) -> str:
    unit = "%" if one.measure.startswith("% of") else one.measure if one.measure == wording.MICRO else ""
    who = f"{contrast_words(one, view.source.config.arm_labels)[0]}: " if arms else ""
    if not one.medians:
        return f"{who}{one.measure}"
    against = f" against {one.medians_reference} {unit}".rstrip() if one.medians_reference else ""
    of = f" ({one.measure})" if unit == "%" else ""
    return f"{who}{one.medians} {unit}".rstrip() + f"{against}{of}"


def _caveat(view: CohortView, one: Effect) -> str:
    """What must be known to read this row, no other."""
    found = []
    if one.population_id == "treg":
        found.append(_shift_of_cd25(view))
    known = view.gates.of(one.population_id, "abs" if one.measure == wording.MICRO else "pct_parent")
    if known.marked:
        found.append(f"{MARK} {known.marked} of {known.visits} visits hang on gates to know of (Immune change)")
    if "several methods" in one.note:
        said = next(part for part in one.note.split("; ") if "several methods" in part)
        found.append(said.replace("dual_lymph", "blood count").replace("dual_wbc", "blood count"))
    return "; ".join(found)


def _shift_of_cd25(view: CohortView) -> str:
    """What FoxP3 says of the CD25 gate between arms, or why it says nothing."""
    second = confirming(view.source)
    if not second:
        return "a CD25 shift cannot be excluded: FoxP3 was not stained"
    what = "FoxP3+ CD127lo cells, without CD25" if second == WITHOUT_CD25 else "share of the gate that is FoxP3+"
    same = next((one for one in view.effects("compare_all_pct") if one.population_id == second and one.effect), None)
    between = f"{same.kind} {same.effect} ({same.interval or 'no interval'})" if same else "not estimated"
    return f"CD25 rises with IL-2 and may shift cells into the gate; {what}, between arms: {between}"


def _virus(view: CohortView) -> list[Row]:
    """Clearance by day 14 and by the end in every arm, and the time ratio."""
    times = view.statistics(schema.UNS_CLEARANCE)
    if not view.has_cmv:
        return [row("Did CMV-DNA follow?", "no CMV-DNA result in this study", "", "", "", "not measured", "")]
    counts = ""
    if times is not None and view.clearance_rule:
        own = [one for one in records(times, "clearance_times") if one["rule_id"] == view.clearance_rule]
        cleared = {one["usubjid"]: one["upper_day"] for one in own if one["observed"]}
        known = {one["usubjid"] for one in own if one["lower_day"] == one["lower_day"]}
        counts = "; ".join(
            f"{label}: "
            + " against ".join(
                f"{sum(cleared.get(name, limit + 1) <= limit for name in names)} of {len(known & set(names))}"
                for names in view.members.values()
            )
            for label, limit in ((f"by day {_FIRST_LOOK}", float(_FIRST_LOOK)), ("by the end", 1e9))
        )
        counts = f"Cleared {counts}"
    ratio = next((one for one in view.effects(schema.UNS_CLEARANCE_INTERVAL) if one.kind == "time ratio"), None)
    caveat = f"Rule: {rule_name(view.clearance_rule)}" if view.clearance_rule else ""
    if ratio is None:
        said = counts or "no analysis of the time to clearance"
        return [row("Did CMV-DNA follow?", said, "", "", "", "not compared", caveat)]
    return [_effect("Did CMV-DNA follow?", counts, ratio, caveat)]


def _responses(view: CohortView) -> list[Row]:
    """Rules of response that the study declares as endpoints, of those who could be judged."""
    rules = {one.rule for one in view.source.config.virology_endpoints if one.kind == "response"}
    found = [one for one in view.effects(schema.UNS_RESPONDERS)
             if one.population_id in rules and not one.contrast.endswith(schema.NO_RESPONSE)]  # fmt: skip
    return [_effect("Did they respond?", one.note, one, f"Rule: {rule_name(one.population_id)}") for one in found]


def _association(view: CohortView) -> list[Row]:
    """Endpoints against CMV-DNA inside subjects, one row for all of them."""
    found = [one for one in view.effects(schema.UNS_ASSOCIATE_CENSORED)
             if one.contrast == "within subjects" and one.effect and one.population]  # fmt: skip
    if not found:
        return []
    clear = [one.population for one in found if not one.conclusion.startswith("cannot conclude")]
    corrected = any(one.conclusion.endswith("after correction") for one in found)
    reading = f"{', '.join(clear)}: associated" if clear else f"cannot conclude{' after correction' * corrected}"
    groups: dict[str, list[str]] = {}
    for one in found:
        step = _STEPS.get(one.kind.rpartition(" per ")[2], one.kind)
        groups.setdefault(step, []).append(f"{one.population} ×{one.effect} ({one.interval or 'no interval'})")
    parts = [f"{step}: {', '.join(changes)}" for step, changes in groups.items()]
    return [
        row(
            "Inside subjects, did CMV-DNA go with the cells?", f"CMV-DNA changes {'; '.join(parts)}", "", "",
            "", Cell(reading, look="reading"), "association, not causation; time is in the model",
        )
    ]  # fmt: skip


def _safety(view: CohortView) -> list[Row]:
    """Subjects with a new grade of 3 or more, adverse events and deaths in every arm."""
    worst, events = view.table("safety_worst"), view.table("safety_events")
    parts = []
    graded = bool(view.table("safety")) or bool(worst)
    if worst is not None and graded:
        severe = {one["usubjid"] for one in worst if one["treatment_emergent"] and one["worst_grade"] >= _SEVERE}
        counts = " against ".join(
            f"{subgroup(len(severe & set(names)))} of {len(names)}" for names in view.members.values()
        )
        parts.append(f"new laboratory grade ≥ {_SEVERE}: {counts}")
    else:
        parts.append("no laboratory value was graded")
    if events is not None and not events:
        parts.append("adverse events: none recorded")
    elif events is not None:
        totals = (sum(one["n_events"] for one in events if one["arm"] == arm) for arm in view.members)
        parts.append(f"adverse events: {' against '.join(wording.count(total) for total in totals)}")
    dead = {one["usubjid"] for one in view.source.records["subjects"] if one["death_dtc"]}
    parts.append(f"deaths recorded: {' against '.join(str(len(dead & set(names))) for names in view.members.values())}")
    order = " against ".join(label for _, label in view.labels)
    return [
        row(
            "Was it safe?", f"{'; '.join(parts)} ({order})", "", "", "", "described, not tested",
            "clinical criteria are not graded" if graded else "",
        )
    ]  # fmt: skip
