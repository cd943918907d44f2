"""Disposition, baseline, completeness and exceptions of the cohort."""

from __future__ import annotations

import math

from immunoprofile.io.dates import first_dose
from immunoprofile.io.records import records
from immunoprofile.pl.series import Measure
from immunoprofile.report import wording
from immunoprofile.report.addresses import page_of
from immunoprofile.report.cohort_figures import StateGrid
from immunoprofile.report.cohort_view import SMALLEST_GROUP, CohortView, spread
from immunoprofile.report.content import Block, Cell, Image, Table, Text, columns, row
from immunoprofile.report.key_table import shown_populations
from immunoprofile.report.language import Said
from immunoprofile.report.visit_quality import exception_table
from immunoprofile.report.visit_results import exception_rows


def disposition(view: CohortView) -> tuple[Block, ...]:
    """How many subjects of each arm were treated, measured and lost."""
    source, members = view.source, view.members
    dosing = records(source.profile.study.dosing, "dosing")
    people = source.records["subjects"]
    dosed = {one["usubjid"] for one in dosing} | {row["usubjid"] for row in people if first_dose(row)}
    il2 = {one["usubjid"] for one in dosing if one["drug"] == "IL2"}
    il2 |= {row["usubjid"] for row in people if row["first_il2_dtc"]}
    dead = {row["usubjid"] for row in source.records["subjects"] if row["death_dtc"]}
    primary = source.config.primary_visit
    with_cmv = {row["usubjid"] for row in source.records["virology"] if row["is_baseline"]}
    missed = [
        row["usubjid"] for row in source.records["visits"] if not row["occurred"] and row["visit"] in source.flow_visits
    ]
    sets: list[tuple[str, set[str]]] = [("In the study", set(source.subjects))]
    # Without any record of a dose nothing is said, since "0 of 5" would read as untreated.
    if not source.blinded and dosed:
        sets += [("Received any study drug", dosed), ("Received IL-2", il2)]
    sets += [
        ("Flow cytometry at baseline", set(source.baselines)),
        (f"Flow cytometry at {primary}", {name for name in source.subjects if (name, primary) in source.rows}),
        ("CMV-DNA at baseline", with_cmv),
        ("Died", dead),
    ]
    rows = [
        (label, tuple(f"{sum(name in found for name in names)} of {len(names)} subjects" for names in members.values()))
        for label, found in sets
    ]
    planned = len(source.flow_visits)
    measured = [
        f"{sum((name, visit) in source.rows for name in names for visit in source.flow_visits)} of "
        f"{planned * len(names)} visits"
        for names in members.values()
    ]
    rows.append(("Flow visits measured", tuple(measured)))
    rows.append(
        (
            "Flow visits that did not take place",
            tuple(f"{sum(name in names for name in missed)} visits" for names in members.values()),
        )
    )
    return (_by_group(view, "Subjects", rows),)


def baseline(view: CohortView) -> tuple[Block, ...]:
    """Median (range) by arm. No p-values: differences at baseline of a randomised trial are chance."""
    source, members = view.source, view.members
    subjects = {row["usubjid"]: row for row in source.records["subjects"]}
    rows: list[tuple[str, tuple[str, ...]]] = []
    ages = {name: row["age_y"] for name, row in subjects.items()}
    rows.append(("Age", tuple(spread([ages[name] for name in names], 0, "y") for names in members.values())))
    women = []
    for names in members.values():
        sexes = [subjects[name]["sex"] for name in names]
        known, count = sum(sex in ("F", "M") for sex in sexes), sexes.count("F")
        small = 0 < min(count, known - count) < SMALLEST_GROUP or known < SMALLEST_GROUP
        hidden = f"not shown (a group of < {SMALLEST_GROUP})" if known else "none recorded"
        women.append(hidden if small else f"{count} of {known} subjects")
    rows.append(("Women", tuple(women)))
    virus = {row["usubjid"]: row["log10_value"] for row in source.records["virology"] if row["is_baseline"]}
    units = {row["unit"] for row in source.records["virology"]} - {""}
    if len(units) == 1:
        unit = f"log10 {next(iter(units))}"
        label = "CMV-DNA (quantified results)"
        rows.append(
            (
                label,
                tuple(spread([virus.get(name, math.nan) for name in names], 2, unit) for names in members.values()),
            )
        )
    measures: tuple[tuple[Measure, int, str], ...] = (("pct_parent", 1, "%"), ("abs", 0, wording.MICRO))
    for population in shown_populations(source)[0]:
        for measure, decimals, unit in measures:
            values = {
                name: source.value(source.baselines.get(name), population, measure).number for name in source.subjects
            }
            parent = source.display(source.var(population, "parent"))
            what = wording.MICRO if measure == "abs" else f"% of {parent}"
            rows.append(
                (
                    f"{source.display(population)}, {what}",
                    tuple(spread([values[name] for name in names], decimals, unit) for names in members.values()),
                )
            )
    words = (
        "Median (smallest to largest). No p-values: arms of a randomised trial differ at baseline by chance only. "
        f"Groups of fewer than {SMALLEST_GROUP} subjects are not shown."
    )
    return (Text(words, small=True), _by_group(view, "At baseline", rows))


def completeness(view: CohortView) -> tuple[Block, ...]:
    """State of every tube of every visit: the picture, and subjects by state."""
    source = view.source
    tubes, visits = tuple(source.config.tubes), tuple(source.flow_visits)
    if not (tubes and visits):
        return ()
    words = {"NOT_EVALUABLE": "not evaluable", "MISSING": "not measured"}
    order = ("PASS", "WARN", "FAIL", "NOT_EVALUABLE", "MISSING")
    rows = []
    for visit in visits:
        counts = []
        for tube in tubes:
            found = [source.states.get((name, visit, tube), "MISSING") for name in source.subjects]
            counts.append(", ".join(f"{found.count(s)} {words.get(s, s)}" for s in order if s in found))
        rows.append(row(visit, *counts))
    drawn = StateGrid(tuple(source.subjects), visits, tubes, tuple(source.states.items()))
    heads = columns("Visit", *(Said("{tube} tube, number of subjects", tube=tube) for tube in tubes))
    return (
        Image("completeness", drawn, "One line a subject, one column a tube of each flow visit."),
        Table(heads, tuple(rows)),
    )


def pages(view: CohortView) -> tuple[Block, ...]:
    """Every subject with the pages of its visits and the state of each."""
    source = view.source
    visits = tuple(dict.fromkeys(visit for subject in source.subjects for visit in source.visits_of(subject)))
    rows = tuple((Cell(subject), *(_page(view, subject, visit) for visit in visits)) for subject in source.subjects)
    caption = "Each visit leads to its page, and that page back to here."
    return (Table(columns("Subject", *visits), rows, "", caption, "pages"),) if visits else ()


def _page(view: CohortView, subject: str, visit: str) -> Cell:
    source = view.source
    if visit not in source.visits_of(subject):
        return Cell("–")
    states = {source.states.get((subject, visit, tube), "") for tube in source.config.tubes}
    worst = next((state for state in ("FAIL", "WARN") if state in states), "")
    done = (subject, visit) in source.rows
    return Cell(visit, address=page_of(source, subject, visit), note=worst if done else "not done")


def exceptions(view: CohortView) -> tuple[Block, ...]:
    """Every exception of the run."""
    found = exception_rows(view.source)
    return (exception_table(found, of_all=True),) if found else (Text("None."),)


def _by_group(view: CohortView, head: str, rows: list[tuple[str, tuple[str, ...]]]) -> Table:
    return Table(columns(head, *view.groups), tuple(row(label, *words) for label, words in rows))
