"""Figures of the cohort page: what they are drawn from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from immunoprofile import schema
from immunoprofile.io.records import cells, records
from immunoprofile.pl.series import CmvSeries, PanelMeasure, Series
from immunoprofile.report.cohort_view import CohortView
from immunoprofile.report.content import Block, Image, Text
from immunoprofile.report.drawn_gates import MARK
from immunoprofile.report.language import Said

if TYPE_CHECKING:
    import pandas as pd

    from immunoprofile.pl.association_panels import AssociationPanel
    from immunoprofile.pl.clearance_curves import ClearanceArm
    from immunoprofile.pl.gating_hierarchy import StrategyExample
    from immunoprofile.pl.paired_panels import PairedPanel


_MOST_POPULATIONS: Final = 5
_MOST_READOUTS: Final = 2


@dataclass(frozen=True)
class StateGrid:
    """State of every tube: (subject, visit, tube) and its state."""

    subjects: tuple[str, ...]
    visits: tuple[str, ...]
    tubes: tuple[str, ...]
    states: tuple[tuple[tuple[str, str, str], str], ...]


@dataclass(frozen=True)
class ArmCourses:
    """Endpoints, each in its measure, and CMV-DNA by arm over time."""

    panels: tuple[tuple[PanelMeasure, tuple[Series, ...]], ...]
    cmv: tuple[CmvSeries, ...]
    arms: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Clearance:
    """Curves of time to clearance by one rule."""

    rule: str
    curves: tuple[ClearanceArm, ...]
    arms: tuple[str, ...]


@dataclass(frozen=True)
class Association:
    """Panels of the repeated-measures correlation."""

    panels: tuple[AssociationPanel, ...]


@dataclass(frozen=True)
class Paired:
    """Baseline against the primary visit."""

    panels: tuple[PairedPanel, ...]
    arms: tuple[str, ...]


@dataclass(frozen=True)
class Strategy:
    """Gating strategy of one tube on one file."""

    example: StrategyExample
    displays: tuple[tuple[str, str], ...]


@dataclass(frozen=True, eq=False)
class Forest:
    """Comparisons of the declared endpoints."""

    table: pd.DataFrame
    displays: tuple[tuple[str, str], ...]


def trajectories(view: CohortView) -> tuple[Block, ...]:
    """Course of the endpoints by arm."""
    panels = endpoint_courses(view)
    caption = "n under each panel: subjects with a value. Values of failed tubes are left out."
    if any(view.gates.mark(one.population, one.measure) for one in view.source.config.endpoints):
        caption += f" {MARK} gates to know of, see below."
    return (Image("trajectories", ArmCourses(panels, view.cmv, view.arms, view.labels), caption),) if panels else ()


def cmv(view: CohortView) -> tuple[Block, ...]:
    """CMV-DNA of every subject."""
    if not view.cmv:
        return (Text("No CMV-DNA result."),)
    return (Image("cmv", ArmCourses((), view.cmv, view.arms, view.labels)),)


def clearance(view: CohortView) -> tuple[Block, ...]:
    """Time to clearance by arm."""
    found = clearance_curves(view)
    return (Image("clearance", Clearance(view.clearance_rule, found, view.arms)),) if found else ()


def association(view: CohortView) -> tuple[Block, ...]:
    """Populations against CMV-DNA inside subjects."""
    found = association_panels(view)
    return (Image("association", Association(found)),) if found else ()


def paired(view: CohortView) -> tuple[Block, ...]:
    """Baseline against the primary visit, subject by subject."""
    found = paired_panels(view)
    return (Image("paired", Paired(found, view.arms)),) if found else ()


def forest(view: CohortView) -> tuple[Block, ...]:
    """Comparisons of the declared endpoints."""
    table = declared_comparisons(view)
    if table is None or not len(table) or table["effect"].isna().all():
        return ()
    return (Image("forest", Forest(table, tuple(view.marked_displays.items()))),)


def gating(view: CohortView) -> tuple[Block, ...]:
    """Gating strategy of every tube."""
    displays = tuple(view.displays.items())
    found = tuple(
        Image(f"gating_{one.tube}", Strategy(one, displays), title=Said("Tube {tube}", tube=one.tube), style="wide")
        for one in strategy_examples(view)
    )
    return found or (
        Text("Not available: the results folder holds no gating pictures of a baseline file that passed."),
    )


def endpoint_courses(view: CohortView) -> tuple[tuple[PanelMeasure, tuple[Series, ...]], ...]:
    """Declared endpoints over time, each in its measure: at most five populations, then at most two readouts."""
    source = view.source
    places: dict[str, list[tuple[float, int]]] = {}
    for subject in source.subjects:
        rows = [source.rows[subject, visit] for visit in source.flow_visits if (subject, visit) in source.rows]
        days = [(source.course_day(row), row) for row in rows]
        places[subject] = [(day, row) for day, row in days if not math.isnan(day)]

    def group(name: str, display: str, values: dict[int, float], unit: str = "") -> tuple[Series, ...]:
        return tuple(
            Series(
                name, display, subject, view.arm_of[subject], tuple(source.obs(row, "visit") for _, row in own),
                tuple(day for day, _ in own), tuple(values[row] for _, row in own), unit=unit,
            )
            for subject, own in places.items()
        )  # fmt: skip

    every = [row for own in places.values() for _, row in own]
    found: list[tuple[PanelMeasure, tuple[Series, ...]]] = []
    populations = [endpoint for endpoint in source.config.endpoints if source.has(endpoint.population)]
    for endpoint in populations[:_MOST_POPULATIONS]:
        name, measure = endpoint.population, endpoint.measure
        values = {row: source.value(row, name, measure).number for row in every}
        found.append((measure, group(name, f"{source.display(name)}{view.gates.mark(name, measure)}", values)))
    table = source.obsm.get(schema.FUNCTIONAL_READOUTS)
    known = source.visits.uns.get(schema.UNS_READOUTS)
    if table is not None and known is not None:
        units = dict(zip(known["id"].astype(str), known["unit"].astype(str), strict=True))
        declared = [one for one in source.config.functional_endpoints if one.readout in table]
        for readout in declared[:_MOST_READOUTS]:
            name = readout.readout
            values = dict(enumerate(cells(table[name], "number")))
            display = readout.label or view.displays.get(name, name)
            found.append(("functional", group(name, display, values, units.get(name, ""))))
    return tuple(found)


def strategy_examples(view: CohortView) -> tuple[StrategyExample, ...]:
    """Gating strategy of every tube, on the baseline of the first subject whose file of that tube did not fail."""
    from immunoprofile.pl.gating_hierarchy import StrategyExample, place_tree

    source = view.source
    counts = source.profile.counts
    found = []
    for tube in source.config.tubes:
        for subject in source.subjects:
            visit = source.obs(source.baselines.get(subject), "visit")
            sample_id = source.samples.get((subject, visit), {}).get(tube)
            if sample_id is None or source.states.get((subject, visit, tube)) == "FAIL":
                continue
            rasters = source.profile.rasters(sample_id)
            if not rasters:
                continue
            own = counts[counts["sample_id"] == sample_id]
            names = cells(own["population"], "text")
            nodes = place_tree(
                rasters, dict(zip(names, cells(own["pct_parent"], "number"), strict=True)),
                dict(zip(names, cells(own["parent"], "text"), strict=True)),
            )  # fmt: skip
            who = "one subject" if view.blinded else subject
            found.append(StrategyExample(tube, f"Example: tube {tube}, baseline ({visit}) of {who}.", nodes))
            break
    return tuple(found)


def declared_comparisons(view: CohortView) -> pd.DataFrame | None:
    """Comparisons of the declared endpoints, populations and functional readouts, as the forest plot shows them."""
    tables = [view.statistics(key) for key in (schema.UNS_COMPARE, schema.UNS_COMPARE_FUNCTIONAL)]
    found = [table for table in tables if table is not None and len(table)]
    if len(found) < 2:
        return found[0] if found else tables[0]
    import pandas as pd

    return pd.concat(found, ignore_index=True)


def clearance_curves(view: CohortView) -> tuple[ClearanceArm, ...]:
    """Curves of time to clearance by arm; nothing when blinded or not computed."""
    times, curves = view.statistics(schema.UNS_CLEARANCE), view.statistics(schema.UNS_CLEARANCE_CURVES)
    if not view.clearance_rule or times is None or curves is None:
        return ()
    from immunoprofile.pl.clearance_curves import clearance_arms

    rule, config = view.clearance_rule, view.source.config
    own = times.loc[times["rule_id"].astype(str) == rule]
    if "arm" not in own:
        own = own.assign(arm=[view.arm_of.get(str(name), "") for name in own["usubjid"]])
    return tuple(
        clearance_arms(own, curves, rule=rule, labels=config.arm_labels, order=tuple(arm.code for arm in config.arms))
    )


def association_panels(view: CohortView) -> tuple[AssociationPanel, ...]:
    """Panels of the repeated-measures correlation, as many as the table has rows of it (at most six)."""
    table = view.statistics(schema.UNS_ASSOCIATE)
    if table is None:
        return ()
    from immunoprofile.pl.association_panels import association_panel

    rows = [row for row in records(table, schema.STATISTICS) if _is_correlation(view, row)][:6]
    return tuple(association_panel(view.source.visits, row, include_failed=False) for row in rows)


def _is_correlation(view: CohortView, row: dict[Any, Any]) -> bool:
    known = row["population"] in view.source.visits.var_names
    return row["method_id"] == "S8" and known and row["status"] == schema.ESTIMATED


def paired_panels(view: CohortView) -> tuple[PairedPanel, ...]:
    """Baseline against the primary visit of the declared endpoints (at most four)."""
    table = view.statistics(schema.UNS_CHANGE)
    source = view.source
    visit = source.config.primary_visit
    if table is None or visit not in set(source.visits.obs["visit"].astype(str)):
        return ()
    at_visit = (source.visits.obs["visit"].astype(str) == visit).to_numpy()
    if at_visit[list(source.baselines.values())].any():
        return ()  # a study of one visit, or one whose primary visit is somebody's baseline: nothing to pair
    from immunoprofile.pl.paired_panels import paired_panel

    endpoints = [endpoint for endpoint in source.config.endpoints if source.has(endpoint.population)][:4]
    return tuple(
        paired_panel(
            source.visits, endpoint.population, visit, measure=endpoint.measure, effects=table, by_arm=True,
            labels=source.config.arm_labels,
        )
        for endpoint in endpoints
    )  # fmt: skip
