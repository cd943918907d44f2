"""I3: the highest prednisone equivalent of the days before treatment."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

from immunoprofile.clinical.screening.kleene import when_met
from immunoprofile.clinical.screening.records import Case, Evidence, Statement, Verdict, statement
from immunoprofile.clinical.screening.rules import Criterion
from immunoprofile.clinical.screening.wording import listed, shown
from immunoprofile.clinical.tables import day_of
from immunoprofile.clinical.units import significant

STEROID = "conmeds.corticosteroid"
NONE_STATED = "attestations.systemic_corticosteroid"


def corticosteroid_below(case: Case, criterion: Criterion) -> Verdict:
    """I3: every day of the window is below the limit; without a record an explicit "none" of the investigator."""
    limit = case.rules.number("i3_ped_mg_kg_d") or 0.0
    shown_limit = f"< {shown(limit)} mg/kg/d"
    last = day_of(case.reference)
    if last is None:
        found = case.find(criterion, NONE_STATED)
        return Verdict("UNKNOWN", found.absent, limit=shown_limit, missing=(STEROID,))
    window = criterion.lookback(STEROID) or 0
    days = [(last - timedelta(days=back)).isoformat() for back in range(window, 0, -1)]
    rows = [case.steroids[day] for day in days if day in case.steroids]
    said = statement(case, criterion, NONE_STATED)
    if not rows:
        return _without_record(said, days, shown_limit)
    evidence = (*(_evidence(row) for row in rows), *said.evidence)
    # Part of a day may be known to reach the limit whatever the rest is.
    reached = [row for row in rows if significant(row["ped_mg_kg_at_least"]) >= limit]
    unknown = [row for row in rows if math.isnan(row["ped_mg_kg"])]
    if reached:
        top = max(reached, key=lambda row: (row["ped_mg_kg_at_least"], row["date"]))
        return _told(top, "ped_mg_kg_at_least", limit, evidence)
    if unknown:
        reasons = listed(_why(row) for row in unknown)
        missing = [STEROID] if any(not math.isnan(row["weight_kg"]) for row in unknown) else []
        missing += ["visits.weight_kg"] if any(math.isnan(row["weight_kg"]) for row in unknown) else []
        span = f"{unknown[0]['date']} to {unknown[-1]['date']}"
        return Verdict("UNKNOWN", f"prednisone equivalent of {span} is not known ({reasons})", unit="mg/kg/d",
                       limit=shown_limit, missing=tuple(missing), evidence=evidence)  # fmt: skip
    return _told(max(rows, key=lambda row: (row["ped_mg_kg"], row["date"])), "ped_mg_kg", limit, evidence)


def _without_record(said: Statement, days: list[str], limit: str) -> Verdict:
    span = f"no systemic corticosteroid on record from {days[0]} to {days[-1]}" if days else "no days before"
    if said.truth is False:
        return Verdict("PASS", f"{span}, none stated on {said.date}", "none", "mg/kg/d", said.date, limit,
                       evidence=said.evidence)  # fmt: skip
    missing: tuple[str, ...]
    if said.truth:
        because, missing = f"but one is stated on {said.date}; enter it in conmeds", (STEROID,)
    else:
        because, missing = f"and {said.why}", (STEROID, NONE_STATED)
    return Verdict("UNKNOWN", f"{span}, {because}", "", "mg/kg/d", said.date, limit, missing, said.evidence)


def _told(row: Any, column: str, limit: float, evidence: tuple[Evidence, ...]) -> Verdict:
    value = row[column]
    least = "at least " if column.endswith("at_least") and not math.isclose(value, row["ped_mg_kg"]) else ""
    state = when_met(significant(value) < limit)
    weight = f"{shown(row['weight_kg'])} kg"
    because = (
        f"prednisone equivalent {least}{shown(value, limit)} mg/kg/d on {row['date']} ({row['drugs']}, {weight}), "
        f"limit below {shown(limit)}"
    )
    return Verdict(state, because, f"{value:.10g}", "mg/kg/d", row["date"], f"< {shown(limit)} mg/kg/d",
                   evidence=evidence)  # fmt: skip


def _why(row: Any) -> str:
    weight = "no weight within 30 d before" if math.isnan(row["weight_kg"]) else ""
    return listed([str(row["reason"]), weight])


def _evidence(row: Any) -> Evidence:
    numbers = {key: row[key] for key in ("ped_mg", "weight_kg") if not math.isnan(row[key])}
    value = row["ped_mg_kg"]
    return Evidence(STEROID, None if math.isnan(value) else value, "mg/kg/d", row["date"], "conmeds",
                    numbers | {"drugs": row["drugs"]})  # fmt: skip
