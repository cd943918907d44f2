"""The analyses that run when a study declares endpoints only."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from immunoprofile.io.analysis_plan import Analysis, AnalysisFamily, AnalysisPlan
from immunoprofile.schema import (
    ABS,
    FAMILY_WORDS,
    UNS_CLEARANCE,
    UNS_COMPARE_FUNCTIONAL,
    UNS_COMPARE_GATINGS,
    UNS_RESPONSES,
    UNS_SCHEDULE,
    UNS_STUDY,
    UNS_WORST_GRADES,
)

if TYPE_CHECKING:
    from anndata import AnnData

F1, F2, F3, F4, F5, F6 = FAMILY_WORDS
CMV_CONFOUNDED = "cmv_confounded"
RULE_SENSITIVITIES = {"clearance_1": "clearance_interval_unconfirmed", "clearance_tnd": "clearance_interval_tnd"}


def default_plan(adata: AnnData, *, methods: Collection[str]) -> AnalysisPlan:
    """Analyses on the endpoints of a study, as far as the object can hold their input.

    Parameters
    ----------
    adata
        Visits x populations; ``uns['study']`` gives the endpoints.
    methods
        Method ids that can be run.

    Returns
    -------
    Declared endpoints compared between arms (F1, Holm), every population as exploration (F2 per cent, F3 cells/uL),
    change within arms (F5), associations with CMV-DNA (F4), and time to clearance, responders (F6) and worst grades
    where their tables are there or the study declares them; then the sensitivity analyses. Windows of the visits and
    the days of cumulative incidence come from ``uns['visit_schedule']``, where it is there.
    """
    study = adata.uns.get(UNS_STUDY, {})
    entries: list[dict[str, Any]] = [
        {"key": "compare", "method": "S3", "role": "primary", "family": F1},
        *_functional(study),
        {"key": "change", "method": "S1", "role": "secondary", "family": F5},
        {"key": "mmrm", "method": "S5", "role": "secondary"},
        {"key": "compare_all_pct", "method": "S3", "endpoints": ("all",), "measure": "pct_parent", "family": F2},
    ]
    if ABS in adata.layers:
        entries.append(
            {"key": "compare_all_abs", "method": "S3", "endpoints": ("all",), "measure": "abs", "family": F3}
        )
    associations = [{"key": "associate", "method": "S8", "role": "secondary"}]
    if "S10" in methods:
        associations.insert(0, {"key": "associate_censored", "method": "S10", "role": "secondary"})
    associations[0]["family"] = F4  # the censored model answers the question, the correlation beside it describes
    entries += associations
    entries += _virology(adata, study)
    if UNS_WORST_GRADES in adata.uns:
        entries += [{"key": "grade_shifts", "method": "S19_shift", "role": "secondary"},
                    {"key": "grade_rates", "method": "S19_rate", "role": "secondary"}]  # fmt: skip
    entries += [
        {"key": UNS_COMPARE_GATINGS, "method": "S3_gatings", "role": "sensitivity"},
        {"key": "compare_per_protocol", "method": "S3", "role": "sensitivity", "leave_out": ("protocol_deviation",)},
        {"key": "compare_without_qc_warn", "method": "S3", "role": "sensitivity", "leave_out": ("qc_warn",)},
        {"key": "compare_without_recent_il2", "method": "S3", "role": "sensitivity", "leave_out": ("recent_il2",)},
    ]
    entries += _without_confounders(adata, entries)
    return AnalysisPlan(
        analyses=tuple(Analysis(**entry) for entry in entries if entry["method"] in methods),
        families=(
            # no false positive among the declared endpoints, however many they are
            AnalysisFamily(name=F1, correction="Holm"),
            *(AnalysisFamily(name=name, correction="Benjamini-Hochberg") for name in (F2, F3, F5, F6)),
            # the time slope and the effect between subjects are in the same table, and other questions
            AnalysisFamily(name=F4, correction="Benjamini-Hochberg", contrast="within subjects"),
        ),
        windows=visit_windows(_schedule(adata)),
    )


def _without_confounders(adata: AnnData, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is said of CMV-DNA again without subjects whose CMV-DNA a drug changes by itself, where there are any."""
    if CMV_CONFOUNDED not in adata.obs or not adata.obs[CMV_CONFOUNDED].to_numpy(dtype=bool).any():
        return []
    asked = ("associate_censored", "clearance_interval", "responders")
    own = [entry for entry in entries if entry["key"] in asked]
    return [{"key": f"{entry['key']}_without_cmv_drugs", "method": entry["method"], "role": "sensitivity",
             "leave_out": (CMV_CONFOUNDED,)} for entry in own]  # fmt: skip


def _schedule(adata: AnnData) -> list[tuple[str, int, bool]]:
    """Visits with their planned study day and whether blood for cytometry is planned, in order of the day."""
    table = adata.uns.get(UNS_SCHEDULE)
    if table is None:
        return []
    rows = zip(table["visit"], table["day"], table["flow"], table["baseline"], strict=True)
    return sorted(((str(visit), int(day), bool(flow)) for visit, day, flow, baseline in rows if not baseline),
                  key=lambda one: one[1])  # fmt: skip


def visit_windows(schedule: Sequence[tuple[str, int, bool]]) -> dict[str, tuple[int, int]]:
    """First and last study day of each visit: half the gap to its neighbours, a tie belongs to the earlier one.

    Before the first and after the last visit the window is as wide as on its other side. A visit without neighbours has
    none; visits planned for one day share their window.

    Examples
    --------
    >>> visit_windows([("D7", 7, True), ("D14", 14, True), ("D28", 28, True)])
    {'D7': (4, 10), 'D14': (11, 21), 'D28': (22, 35)}
    >>> visit_windows([("A", 5, True), ("B", 5, True), ("C", 9, True)])
    {'A': (3, 7), 'B': (3, 7), 'C': (8, 11)}
    """
    days = sorted({day for _, day, _ in schedule})
    windows: dict[str, tuple[int, int]] = {}
    for visit, day, _ in schedule:
        place = days.index(day)
        before = day - days[place - 1] if place else None
        after = days[place + 1] - day if place + 1 < len(days) else None
        if before is None and after is None:
            continue
        first = (days[place - 1] + day) // 2 + 1 if before is not None else day - (after or 0) // 2
        last = (day + days[place + 1]) // 2 if after is not None else day + (before or 0) // 2
        windows[visit] = (first, last)
    return windows


def _functional(study: dict[str, Any]) -> list[dict[str, Any]]:
    """Functional readouts that the study declares, compared like populations and corrected with the key endpoints."""
    declared = study.get("functional_endpoints")
    if declared is None or len(declared) == 0:
        return []
    readouts = tuple(str(name) for name in declared["readout"])
    return [{"key": UNS_COMPARE_FUNCTIONAL, "method": "S3", "role": "primary", "family": F1, "endpoints": readouts,
             "measure": "functional"}]  # fmt: skip


def _virology(adata: AnnData, study: dict[str, Any]) -> list[dict[str, Any]]:
    declared = study.get("virology_endpoints")
    kinds = set() if declared is None else {str(kind) for kind in declared["kind"]}
    entries: list[dict[str, Any]] = []
    if UNS_CLEARANCE in adata.uns or "time_to_event" in kinds:
        rules = set(adata.uns[UNS_CLEARANCE]["rule_id"].astype(str)) if UNS_CLEARANCE in adata.uns else set()
        entries += [
            {"key": "clearance_interval", "method": "S13", "role": "primary"},
            {"key": "clearance_exact", "method": "S12", "role": "secondary"},
            {"key": "cumulative_incidence", "method": "S17", "role": "secondary", "options": _incidence_days(adata)},
            {"key": "landmark", "method": "S14", "role": "exploratory"},
            {"key": "time_varying", "method": "S15", "role": "exploratory"},
        ]
        entries += [
            {"key": key, "method": "S13", "role": "sensitivity", "rule": rule}
            for rule, key in RULE_SENSITIVITIES.items()
            if rule in rules and rules != {rule}
        ]
        entries.append({"key": "clearance_interval_per_protocol", "method": "S13", "role": "sensitivity",
                        "leave_out": ("protocol_deviation",)})  # fmt: skip
    if UNS_RESPONSES in adata.uns or "response" in kinds:
        entries.append({"key": "responders", "method": "S18", "role": "secondary", "family": F6})
    return entries


def _incidence_days(adata: AnnData) -> dict[str, tuple[float, ...]]:
    """Days since the first ganciclovir (day 0) of the last two visits with blood: study days begin with 1."""
    days = tuple(float(day - 1) for _, day, flow in _schedule(adata) if flow)[-2:]
    return {"days": days} if days else {}
