"""What a run adds to exceptions.csv: files that failed or were repeated, attempts not used, odd visits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from immunoprofile.io.exceptions import Exceptions
from immunoprofile.io.records import numbered, records
from immunoprofile.profiling.outcome import Outcome
from immunoprofile.study import Study

if TYPE_CHECKING:
    import anndata


def notes_of_files(
    study: Study, outcomes: Mapping[str, Outcome], chosen: Mapping[tuple[str, str, str], Outcome]
) -> Exceptions:
    """Rows of exceptions.csv that the run adds: files that failed, repeats, attempts not used, unstable flow."""
    notes = Exceptions("gating")
    samples = {row["sample_id"]: row for row in records(study.samples, "samples")}
    used = {outcome.sample_id for outcome in chosen.values()}
    by_content: dict[str, str] = {}
    for sample_id, outcome in sorted(outcomes.items()):
        entry = samples[sample_id]
        place = {
            "table": "samples",
            "usubjid": entry["usubjid"],
            "visit": entry["visit"],
            "sample_id": sample_id,
            "file": outcome.file,
        }
        if outcome.exception is not None:
            row = outcome.exception
            notes.add("error", row["code"], row["message"], **place, action=row["action"])
            continue
        first = by_content.setdefault(outcome.sha256, sample_id)
        if first != sample_id:
            notes.add(
                "warning",
                "DUPLICATE_CONTENT",
                f"the file has the same content as that of {first}",
                **place,
                action="find out which sample the file belongs to",
            )
        for severity, code, message, action in outcome.notices:
            notes.add(severity, code, message, **place, action=action)
        if outcome.flow_pct_time is None:
            notes.add("warning", "TIME_NOT_ASSESSABLE", outcome.flow_reason, **place)
        elif outcome.flow_pct_time > 0:
            notes.add(
                "warning",
                "FLOW_RATE",
                f"unstable flow rate for {outcome.flow_pct_time:.1f} % of the acquisition time "
                f"({outcome.flow_pct_events:.1f} % of the events)",
                **place,
                action="look at the signal over time",
            )
        if entry["role"] == "sample" and sample_id not in used:
            notes.add(
                "note",
                "ATTEMPT_NOT_USED",
                f"another attempt is used by the rule '{study.config.attempt_rule}'",
                **place,
            )
    for entry in samples.values():
        if not entry["exclude_flag"]:
            continue
        notes.add(
            "warning",
            "EXCLUDED",
            f"excluded by a person: {entry['exclude_reason'] or 'no reason given'}",
            table="samples",
            usubjid=entry["usubjid"],
            visit=entry["visit"],
            sample_id=entry["sample_id"],
            file=entry["fcs_path"],
        )
    return notes


def note_visits(visits: anndata.AnnData, study: Study, notes: Exceptions) -> None:
    """Visits whose blood count or baseline is not what one would expect."""
    obs = visits.obs
    for row in records(obs[obs["cbc_ambiguous"]], "obs"):
        notes.add(
            "warning",
            "CBC_AMBIGUOUS",
            "several blood counts are equally near to the draw and disagree; none was taken",
            table="labs",
            usubjid=row["usubjid"],
            visit=row["visit"],
            action="give collected_dtc its time of day",
        )
    for usubjid in dict.fromkeys(obs["usubjid"]):
        own = obs[(obs["usubjid"] == usubjid) & obs["baseline_flag"].astype(bool)]
        name = "" if own.empty else str(own["visit"].iloc[0])
        if name != study.config.baseline_visit:
            message = (
                f"baseline is {name}"
                if name
                else "no visit was measured before the first dose: no change from baseline"
            )
            notes.add("warning", "BASELINE", message, table="samples", usubjid=usubjid, visit=name)


def note_overrides(study: Study, unused: list[int], notes: Exceptions) -> None:
    """Overrides of checks that were not made in this run, for example since the file could not be read.

    Parameters
    ----------
    study
        From `read_study`.
    unused
        Numbers of the rows, from 1, as `pp.apply_overrides` gives them.
    notes
        Takes a row for each.
    """
    overrides = list(numbered(study.overrides, "overrides"))
    for number, row in (overrides[place - 1] for place in unused):
        tube = f" of tube {row['tube_id']}" if row["tube_id"] else ""
        notes.add(
            "error",
            "OVERRIDE_NOT_USED",
            f"the check {row['check']}{tube} was not made; the override was left out",
            table="overrides",
            row=number,
            usubjid=row["usubjid"],
            visit=row["visit"],
            action="look up the check in quality.csv; a check of the visit as a whole has no tube_id",
        )
