"""The pure model of the cohort page: counts, tables in words, and what its figures are drawn from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from immunoprofile import schema
from immunoprofile.io.dates import first_dose
from immunoprofile.io.records import records
from immunoprofile.pl.series import CmvSeries, Measure, PanelMeasure, Series, cmv_of_table
from immunoprofile.report import cohort_figures_data as figures
from immunoprofile.report import wording
from immunoprofile.report.cohort_sections import COHORT_SECTIONS
from immunoprofile.report.cohort_view import SMALLEST_GROUP, CohortView, spread
from immunoprofile.report.content import Part, assemble
from immunoprofile.report.effect_tables import Headline, headline
from immunoprofile.report.key_table import shown_populations
from immunoprofile.report.provenance import facts
from immunoprofile.report.reviews import COHORT, Reviewed, reviews_of
from immunoprofile.report.source import Source
from immunoprofile.report.statistics_tables import Effect, methods
from immunoprofile.report.visit_results import ExceptionRow, exception_rows

if TYPE_CHECKING:
    import pandas as pd

    from immunoprofile.pl.association_panels import AssociationPanel
    from immunoprofile.pl.clearance_curves import ClearanceArm
    from immunoprofile.pl.gating_hierarchy import StrategyExample
    from immunoprofile.pl.paired_panels import PairedPanel


_NOT_CONTENT: Final = frozenset({"reviews.csv", "reviews.parquet"})
"""Inputs that may change without changing what was reviewed."""


@dataclass(frozen=True, eq=False)
class CohortModel:
    """Everything the cohort page shows."""

    study_id: str
    study_title: str
    registry_id: str
    synthetic: bool
    blinded: bool
    subjects: tuple[str, ...]
    arms: tuple[str, ...]
    arm_labels: tuple[tuple[str, str], ...]
    groups: tuple[str, ...]
    """Heads of the columns of the tables by arm."""
    primary_visit: str
    endpoints: tuple[tuple[str, str, bool], ...]
    disposition: tuple[tuple[str, tuple[str, ...]], ...]
    baseline: tuple[tuple[str, tuple[str, ...]], ...]
    states_visits: tuple[str, ...]
    tubes: tuple[str, ...]
    states: tuple[tuple[tuple[str, str, str], str], ...]
    state_counts: tuple[tuple[str, tuple[str, ...]], ...]
    trajectories: tuple[tuple[PanelMeasure, tuple[Series, ...]], ...]
    cmv: tuple[CmvSeries, ...]
    compare: tuple[Effect, ...]
    compare_table: pd.DataFrame | None
    headline: tuple[Headline, ...]
    """Declared endpoints and the time ratio of clearance, for the synopsis."""
    clearance_rule: str
    clearance: tuple[ClearanceArm, ...]
    association: tuple[AssociationPanel, ...]
    paired: tuple[PairedPanel, ...]
    strategies: tuple[StrategyExample, ...]
    """Gating strategy of each tube on one file."""
    change: tuple[Effect, ...]
    associate: tuple[Effect, ...]
    exceptions: tuple[ExceptionRow, ...]
    methods: tuple[str, ...]
    displays: tuple[tuple[str, str], ...]
    facts: tuple[tuple[str, str], ...]
    inputs: tuple[tuple[str, str], ...]
    gates: tuple[tuple[str, str, str], ...]
    smallest_arm: int
    reviews: tuple[Reviewed, ...]
    parts: tuple[Part, ...]
    """Sections of the page in order."""


def build_cohort(source: Source) -> CohortModel:
    """Model of the cohort page."""
    config = source.config
    arms = () if source.blinded else tuple(arm.code for arm in config.arms)
    view = CohortView(source)
    members = view.members
    displays = view.displays
    uns = source.visits.uns
    tables = {
        name: None if source.blinded else uns.get(name)
        for name in (schema.UNS_COMPARE, schema.UNS_CHANGE, schema.UNS_ASSOCIATE)
    }
    provenance = source.profile.provenance
    clearance_rule, clearance = figures.clearance(view)
    inputs = dict(provenance.get("inputs") or {})
    gates = dict(provenance.get("gates") or {})
    return CohortModel(
        study_id=config.study_id,
        study_title="" if source.blinded else config.title,
        registry_id="" if source.blinded else config.registry_id,
        synthetic=config.synthetic,
        blinded=source.blinded,
        subjects=tuple(source.subjects),
        arms=arms,
        arm_labels=tuple((arm, config.arm_labels.get(arm, arm)) for arm in arms),
        groups=view.groups,
        primary_visit=config.primary_visit,
        endpoints=tuple(
            (
                endpoint.label
                or f"{displays.get(endpoint.population, endpoint.population)}, "
                f"{wording.MICRO if endpoint.measure == 'abs' else '% of parent'}",
                endpoint.population,
                endpoint.primary,
            )
            for endpoint in config.endpoints
        ),
        disposition=_disposition(source, members),
        baseline=_baseline(source, members),
        states_visits=tuple(source.flow_visits),
        tubes=tuple(config.tubes),
        states=tuple(source.states.items()),
        state_counts=_state_counts(source),
        trajectories=figures.trajectories(view),
        cmv=_cmv(source, members),
        compare=view.effects(schema.UNS_COMPARE),
        compare_table=figures.declared_comparisons(view),
        headline=tuple(
            headline(one, config.arm_labels)
            for one in view.effects(schema.UNS_COMPARE)
            + view.effects(schema.UNS_COMPARE_FUNCTIONAL)
            + _time_ratio(view)
            if one.population
        ),
        clearance_rule=clearance_rule,
        clearance=clearance,
        association=figures.association(view),
        paired=figures.paired(view),
        strategies=figures.strategies(view),
        change=view.effects(schema.UNS_CHANGE),
        associate=view.effects(schema.UNS_ASSOCIATE),
        exceptions=exception_rows(source),
        methods=methods([table for table in tables.values() if table is not None]),
        displays=tuple(displays.items()),
        facts=facts(source),
        inputs=tuple(
            ("(hidden)" if source.blinded else str(path), str(sha))
            for path, sha in sorted(inputs.items())
            if path not in _NOT_CONTENT
        ),
        gates=tuple(
            (str(tube), entry.get("version") or "", entry.get("sha256") or "") for tube, entry in sorted(gates.items())
        ),
        smallest_arm=min((len(names) for names in members.values()), default=0),
        reviews=reviews_of(source, "", COHORT),
        parts=assemble(COHORT_SECTIONS, view),
    )


def _time_ratio(view: CohortView) -> tuple[Effect, ...]:
    """First model of the primary analysis of clearance."""
    return tuple(one for one in view.effects(schema.UNS_CLEARANCE_INTERVAL) if one.kind == "time ratio")[:1]


def _disposition(source: Source, members: dict[str, list[str]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
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
    return tuple(rows)


def _baseline(source: Source, members: dict[str, list[str]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Median (range) by arm. No p-values: differences at baseline of a randomised trial are chance."""
    subjects = {row["usubjid"]: row for row in source.records["subjects"]}
    rows: list[tuple[str, tuple[str, ...]]] = []
    ages = {name: row["age_y"] for name, row in subjects.items()}
    rows.append(("Age", tuple(spread([ages[name] for name in names], 0, "y") for names in members.values())))
    women = []
    for names in members.values():
        sexes = [subjects[name]["sex"] for name in names]
        known, count = sum(sex in ("F", "M") for sex in sexes), sexes.count("F")
        small = 0 < min(count, known - count) < SMALLEST_GROUP or known < SMALLEST_GROUP
        women.append(f"not shown (a group of < {SMALLEST_GROUP})" if small else f"{count} of {known} subjects")
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
    return tuple(rows)


def _state_counts(source: Source) -> tuple[tuple[str, tuple[str, ...]], ...]:
    rows = []
    for visit in source.flow_visits:
        cells = []
        for tube in source.config.tubes:
            found = [source.states.get((name, visit, tube), "MISSING") for name in source.subjects]
            words = {"NOT_EVALUABLE": "not evaluable", "MISSING": "not measured"}
            order = ("PASS", "WARN", "FAIL", "NOT_EVALUABLE", "MISSING")
            cells.append(", ".join(f"{found.count(s)} {words.get(s, s)}" for s in order if s in found))
        rows.append((visit, tuple(cells)))
    return tuple(rows)


def _cmv(source: Source, members: dict[str, list[str]]) -> tuple[CmvSeries, ...]:
    arms = {name: arm for arm, names in members.items() for name in names}
    table: Any = source.profile.virology
    return tuple(one for one in cmv_of_table(table, source.anchors, arms) if one.days) if len(table) else ()
