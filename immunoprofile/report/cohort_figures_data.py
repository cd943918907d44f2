"""What the figures of comparisons on the cohort page are drawn from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from immunoprofile import schema
from immunoprofile.pl.series import text
from immunoprofile.report.cohort_view import CohortView

if TYPE_CHECKING:
    from immunoprofile.pl.association_panels import AssociationPanel
    from immunoprofile.pl.clearance_curves import ClearanceArm
    from immunoprofile.pl.paired_panels import PairedPanel


def clearance(view: CohortView) -> tuple[str, tuple[ClearanceArm, ...]]:
    """Rule and curves of time to clearance by arm; nothing when blinded or not computed."""
    times, curves = view.statistics(schema.UNS_CLEARANCE), view.statistics(schema.UNS_CLEARANCE_CURVES)
    if times is None or curves is None or not len(times) or not len(curves):
        return "", ()
    from immunoprofile.pl.clearance_curves import clearance_arms

    rule = text(curves["rule_id"].iloc[0])
    arms = {text(row["usubjid"]): text(row["arm"]) for row in view.source.records["subjects"]}
    own = times.loc[times["rule_id"].astype(str) == rule]
    if "arm" not in own:
        own = own.assign(arm=[arms.get(str(name), "") for name in own["usubjid"]])
    return rule, tuple(clearance_arms(own, curves, rule=rule, labels=view.source.config.arm_labels,
                                order=tuple(arm.code for arm in view.source.config.arms)))  # fmt: skip


def association(view: CohortView) -> tuple[AssociationPanel, ...]:
    """Panels of the repeated-measures correlation, as many as the table has rows of it (at most six)."""
    table = view.statistics(schema.UNS_ASSOCIATE)
    if table is None:
        return ()
    from immunoprofile.pl.association_panels import association_panel

    rows = [row for row in table.to_dict("records") if _is_correlation(view, row)][:6]
    return tuple(association_panel(view.source.visits, row, include_failed=False) for row in rows)


def _is_correlation(view: CohortView, row: dict[Any, Any]) -> bool:
    known = text(row["population"]) in view.source.visits.var_names
    return text(row["method_id"]) == "S8" and known and text(row.get("status")) == schema.ESTIMATED


def paired(view: CohortView) -> tuple[PairedPanel, ...]:
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
