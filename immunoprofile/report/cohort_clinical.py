"""Kinetics of CMV-DNA by arm, safety and exposure of the cohort."""

from __future__ import annotations

import math
from typing import Any, Final

from immunoprofile import schema
from immunoprofile.io.records import records
from immunoprofile.report import wording
from immunoprofile.report.cohort_view import SMALLEST_GROUP, CohortView, spread, subgroup
from immunoprofile.report.content import Block, Bullets, Cell, Column, Table, Text, columns, not_available, row
from immunoprofile.report.statistics_tables import measure_words
from immunoprofile.report.visit_safety import grade_text, not_in_version
from immunoprofile.virology import drop_text

_KINETICS: Final = (
    ("slope", "Slope from day 0", 3, "log10 per day"),
    ("half_life_d", "Half-life", 1, "d"),
    ("peak_log10", "Peak", 2, "log10"),
    ("time_to_peak_d", "Time to peak", 0, "d"),
    ("auc_time_averaged_log10", "Area until week 4, time-averaged", 2, "log10"),
    ("pct_below_lloq", "Results below the LLOQ", 0, "%"),
)


def kinetics(view: CohortView) -> tuple[Block, ...]:
    """Distribution of the kinetic summaries by arm."""
    if not view.has_cmv:
        return ()
    table = view.table("virology_kinetics")
    if table is None:
        return not_available("CMV-DNA kinetics", "the run did not compute them (no virology_kinetics.csv)")
    found = {one["usubjid"]: one for one in table}
    rows = []
    for name, label, decimals, unit in _KINETICS:
        cells = []
        for subjects in view.members.values():
            values = [found[one][name] for one in subjects if one in found]
            missing = sum(math.isnan(value) for value in values)
            lost = f"; {missing} not estimable" if missing else ""
            cells.append(f"{spread(values, decimals, unit)}{lost}")
        rows.append(row(label, *cells))
    caption = (
        f"Median (smallest to largest); fewer than {SMALLEST_GROUP} subjects with a value are not shown. A half-life "
        "is there only where the interval of the slope excludes 0, so that its median leaves out those without."
    )
    head = (Column("Summary"), *(Column(group) for group in view.groups))
    return (Table(head, tuple(rows), "Kinetics", caption),)


def immune_beside_virus(view: CohortView) -> tuple[Block, ...]:
    """Change of every endpoint beside the fall of CMV-DNA, one row a subject, at the primary visit."""
    if not view.has_cmv:
        return ()
    table = view.statistics(schema.UNS_CMV_CHANGE)
    if table is None:
        return ()
    visit = view.source.config.primary_visit
    found: dict[str, dict[tuple[str, str], dict[Any, Any]]] = {}
    for one in records(table, "cmv_change"):
        if one["visit"] == visit:
            found.setdefault(one["usubjid"], {})[one["population"], one["measure"]] = one
    endpoints = list(dict.fromkeys(endpoint for own in found.values() for endpoint in own))
    rows = []
    for subject, own in found.items():
        first = next(iter(own.values()))
        changes = [own[name]["fold_change"] if name in own else math.nan for name in endpoints]
        drop = [first[name] for name in ("cmv_drop", "cmv_drop_lower", "cmv_drop_upper")]
        rows.append(row(
            subject, view.source.config.arm_labels.get(first["arm"], first["arm"]),
            *(Cell(wording.fold(change) or "not done", change) for change in changes),
            first["cmv_kind"] or "not done", Cell(drop_text(*drop) or "unknown", drop[0]),
        ))  # fmt: skip
    heads = [f"{view.displays.get(name, name)}, {measure_words(name, what, view.parents)}" for name, what in endpoints]
    head = columns("Subject", "Arm", *(f"#{words}" for words in heads), "CMV-DNA kind", "#Fall, log10")
    caption = (
        f"At {visit}, {len(rows)} subjects. ×: value over that at baseline. Fall of CMV-DNA from baseline, negative "
        "where it rose; ≥ and ≤ are bounds from censored results."
    )
    return (Table(head, tuple(rows), "Immune change beside CMV-DNA", caption, "effects"),) if rows else ()


def rule_definitions(view: CohortView) -> tuple[Block, ...]:
    """The rules by id and version, and the caveat that stands with every verdict."""
    if not view.has_cmv:
        return ()
    from immunoprofile.virology import rulebook

    book = rulebook()
    rows = tuple(row(wording.rule_name(rule.id, rule.version), rule.text, rule.source) for rule in book.rules.values())
    if view.blinded:
        return (Text(book.caveat),)
    reasons = dict.fromkeys(book.reserved.values())
    missing = tuple(
        Text(f"Without a rule: {', '.join(name for name, why in book.reserved.items() if why == reason)} ({reason}).")
        for reason in reasons
    )
    return (Text(book.caveat), Table(columns("Rule", "Definition", "Source"), rows, "CMV rules", ""), *missing)


def rule_agreement(view: CohortView) -> tuple[Block, ...]:
    """Definitions of one thing held against each other."""
    if not view.has_cmv:
        return ()
    table = view.table("virology_agreement")
    if not table:
        return ()
    rows = []
    for one in table:
        known = one["both"] + one["only_rule"] + one["only_other"] + one["neither"]
        if not known:
            continue
        cells = (subgroup(one[name]) for name in ("both", "only_rule", "only_other", "neither"))
        few = 0 < known < SMALLEST_GROUP
        share = "not shown" if few else Cell(f"{one['agree_pct']:.0f} %", one["agree_pct"])
        rows.append(
            row(one["concept"], one["rule"], one["other_rule"], *cells, share, subgroup(one["n_not_evaluable"]))
        )
    caption = (
        "Subjects by the verdicts of two definitions of the same thing. Agree: of those whom both can judge. Where "
        "definitions differ, so does what the study concludes: name the one that was declared beforehand."
    )
    heads = ("Of", "Rule", "Other rule", "#Both", "#Rule only", "#Other only", "#Neither", "#Agree", "#Not evaluable")
    return (Table(columns(*heads), tuple(rows), "Agreement of the CMV definitions", caption),) if rows else ()


def worst_grades(view: CohortView) -> tuple[Block, ...]:
    """Baseline grade to worst grade on treatment, subjects by arm."""
    table = view.table("safety_shift")
    if table is None:
        return not_available("Worst grades", "the run did not grade laboratory values (no safety_shift.csv)")
    arms = tuple(view.members)
    found: dict[str, dict[tuple[float, float], dict[str, float]]] = {}
    for one in table:
        arm = "" if view.blinded else one["arm"]
        key = (_order(one["baseline_grade"]), _order(one["worst_grade"]))
        cells = found.setdefault(one["term"], {}).setdefault(key, dict.fromkeys(arms, 0.0))
        if arm in cells:
            cells[arm] += one["n_subjects"]
    rows, quiet = [], []
    for term, shifts in found.items():
        if all(key == (0.0, 0.0) for key in shifts):
            quiet.append(term)
            continue
        for (before, worst), counts in sorted(shifts.items()):
            rows.append(row(
                term, _grade(before), Cell(_grade(worst).words, _grade(worst).number,
                                           mark="GRADE_HIGH" if 3 <= worst < _NOT_GRADED else ""),
                *(Cell(subgroup(counts[arm])) for arm in arms),
            ))  # fmt: skip
    versions = ", ".join(dict.fromkeys(one["version"] for one in table))
    missing = not_in_version(view.source.config.ctcae, set(view.source.profile.study.labs["test"]))
    caption = (
        f"{versions}; number of subjects.{missing} A cell of 1 or 2 subjects is printed as such, without the exact "
        "number. not graded: unknown, never grade 0. No hypothesis is tested."
    )
    groups = tuple(Column(group, numeric=True) for group in view.groups)
    head = (Column("Term"), Column("Baseline grade", numeric=True), Column("Worst grade", numeric=True), *groups)
    blocks: list[Block] = [Table(head, tuple(rows), "Worst grade on treatment", caption)] if rows else []
    if quiet:
        blocks.append(Text(f"Grade 0 throughout in every subject: {', '.join(quiet)}.", small=True))
    return tuple(blocks)


_NOT_GRADED: Final = 9.0


def _order(grade: Any) -> float:
    """Grade as a key; a missing one sorts behind all."""
    value = grade
    return _NOT_GRADED if math.isnan(value) else value


def _grade(value: float) -> Cell:
    known = math.nan if value == _NOT_GRADED else value
    return Cell(grade_text(known), known)


def adverse_events(view: CohortView) -> tuple[Block, ...]:
    """Adverse events over the days of observation, by arm."""
    if view.blinded:
        return ()
    table = view.table("safety_events")
    if table is None:
        return not_available("Adverse events", "no safety_events.csv in the results")
    if not table:
        return (Text("Adverse events: none recorded."),)
    labels = view.source.config.arm_labels
    rows = []
    for one in table:
        few = 0 < one["n_with_event"] < SMALLEST_GROUP
        rate = one["events_per_100_days"]
        rows.append(row(
            one["term"], labels.get(one["arm"], one["arm"]),
            f"{subgroup(one['n_with_event'])} of {one['n_subjects']:.0f}",
            "not shown" if few or math.isnan(rate) else Cell(f"{rate:.2f}", rate),
        ))  # fmt: skip
    caption = "Began on or after the first dose. Rates of 1 or 2 subjects are not shown."
    heads = ("Adverse event", "Arm", "#Subjects with the event", "#Events per 100 days")
    return (Table(columns(*heads), tuple(rows), "Adverse events", caption),)


def exposure(view: CohortView) -> tuple[Block, ...]:
    """Doses given, by arm and drug."""
    if view.blinded:
        return ()
    table = view.table("exposure")
    if table is None:
        return not_available("Exposure", "no exposure.csv in the results")
    rows = []
    labels = view.source.config.arm_labels
    for arm in view.members:
        for drug in dict.fromkeys(one["drug"] for one in table):
            own = [one for one in table if (one["arm"], one["drug"]) == (arm, drug)]
            if not own:
                continue
            units = dict.fromkeys(one["cumulative_unit"] for one in own)
            cumulative = spread([one["cumulative"] for one in own], 1, next(iter(units)))
            rows.append(row(
                drug, labels.get(arm, arm), f"{len(own)}", spread([one["pct_given"] for one in own], 0, "%"),
                cumulative if len(units) == 1 else "several units",
            ))  # fmt: skip
    caption = "Median (smallest to largest) over subjects with that drug."
    heads = ("Drug", "Arm", "#Subjects", "Doses given of those planned", "Cumulative dose")
    return (
        (Table(columns(*heads), tuple(rows), "Exposure", caption),) if rows else (Text("Exposure: no dose recorded."),)
    )


def limits(view: CohortView) -> tuple[Block, ...]:
    """What this page cannot say."""
    items = [
        "Small groups: with 5 subjects an arm nearly every test is underpowered; absence of evidence is no evidence of "
        "absence.",
        "Open label; intervals of single values hold counting noise only, not biology.",
        "CMV-DNA below the LLOQ is censored; it is drawn at the LLOQ; an analysis that takes it at its bound says so.",
        "A held CD25 gate counts more Treg when treatment raises CD25: read Treg together with the FoxP3+ CD127lo "
        "cells, which are counted without CD25, or with the FoxP3-confirmed cells of the gate.",
        "Definitions of virologic response come from transplantation and are applied here to rheumatology.",
        "CTCAE grades come from laboratory values only; clinical criteria are not graded.",
        "Analyses without a declared correction are exploratory; see the methods for families and corrections.",
    ]
    if view.source.config.synthetic:
        benefit = "" if view.blinded else ", a benefit of IL-2 is an assumption for demonstration and no result"
        items.append(f"The data are synthetic: what they show was put in{benefit}.")
    return (Bullets(tuple(items)),)
