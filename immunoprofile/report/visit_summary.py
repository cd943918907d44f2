"""Page one of a visit in words: the sentence, what changed, whose visit it is, what is still asked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from immunoprofile import schema
from immunoprofile.report import batch_controls, wording
from immunoprofile.report.content import Block, Table, Text, columns, row
from immunoprofile.resources.checks import check_title

if TYPE_CHECKING:
    from immunoprofile.report.view import VisitView
    from immunoprofile.report.visit_results import CmvRow

_LIMITING: Final = ("RECENT_IL2", "STEROID_PULSE", "SPECIMEN_MISMATCH", "STAIN_LATE", "TUBES_DISAGREE", "TUBE_MISSING")
_SEVERE: Final = 3
_LOW_HIGH: Final = {"L": "low", "H": "high"}
_SPECIMENS: Final = {
    "WB_EDTA": "whole blood, EDTA", "WB_HEP": "whole blood, heparin", "PBMC_FRESH": "PBMC, fresh",
    "PBMC_FROZEN": "PBMC, frozen",
}  # fmt: skip
_COUNTED_BY: Final = {
    "bead": "counting beads", "volumetric": "volume drawn by the cytometer",
    "dual_lymph": "blood count (lymphocytes)", "dual_wbc": "blood count (WBC)",
}  # fmt: skip


@dataclass(frozen=True)
class Summary:
    """The one sentence, and what it rests on."""

    level: str
    """usable, limited or unusable"""
    sentence: str


@dataclass(frozen=True)
class Query:
    """An open query."""

    record: str
    question: str
    owner: str


def summarise(view: VisitView) -> Summary:
    """Usable, limited or unusable, in one sentence.

    Held, which is unusable: the control of a batch of the visit failed and nobody released it. Unusable: no key
    population has a percentage. Limited: one of them, or its cells/uL, cannot be reported, or a flag limits the
    comparison with other visits. Warnings alone leave a visit usable; they are counted.
    """
    rows = view.rows
    if view.row is None:
        return Summary("unusable", f"Unusable: {why_not_done(view)}")
    if held := batch_controls.held(view.source, view.subject, view.visit):
        what = f"the control of batch {batch_controls.named(held)} failed"
        return Summary("unusable", f"Held: {what}. Not for use until a person releases the batch with a reason.")
    lost = [row.display for row in rows if row.lines[0].now.state != "ok"]
    reasons = list(dict.fromkeys(row.lines[0].now.words for row in rows if row.lines[0].now.state != "ok"))
    if rows and len(lost) == len(rows):
        return Summary("unusable", f"Unusable: no key population can be reported ({'; '.join(reasons)}).")
    parts = []
    if lost:
        parts.append(f"{_list(lost)} cannot be reported, {'; '.join(reasons)}")
    counts = [
        line.now.words
        for row in rows
        if row.lines[0].now.state == "ok"
        for line in row.lines
        if line.scale == "abs" and not line.confirmed and line.now.state != "ok"
    ]
    if counts:
        parts.append(f"{wording.MICRO} missing for {len(counts)} of {len(rows)} ({'; '.join(dict.fromkeys(counts))})")
    parts += [
        _disagreement(view) if code == "TUBES_DISAGREE" else schema.FLAGS[code]
        for code in view.flags
        if code in _LIMITING and not (code == "TUBE_MISSING" and (lost or counts))
    ]
    if view.baseline_visit not in ("", view.visit):
        base = batch_controls.held(view.source, view.subject, view.baseline_visit)
        if base:
            parts.append(f"the baseline is held: the control of batch {batch_controls.named(base)} failed")
    warnings = sum(check["state"] == "WARN" for check in view.judged)
    tail = f" {warnings} quality warning{'s' if warnings > 1 else ''}, see Quality." if warnings else ""
    if parts:
        return Summary("limited", f"Limited: {'; '.join(parts)}.{tail}")
    return Summary("usable", f"Usable: all {len(rows)} key populations can be reported.{tail}")


def _disagreement(view: VisitView) -> str:
    """Which population two tubes see differently, by how much, and what is allowed."""
    found = [one for one in view.judged if one["flag"] == "TUBES_DISAGREE" and one["state"] in ("WARN", "FAIL")]
    said = dict.fromkeys(
        f"{check_title(one['check'])}: {wording.measured(one['value'], one['unit'])} apart "
        f"({wording.limit_words(one['limits'], one['unit'])})"
        for one in found
    )
    return "; ".join(said) or schema.FLAGS["TUBES_DISAGREE"]


def why_not_done(view: VisitView) -> str:
    """Why a visit has no flow cytometry."""
    if view.record and view.record["occurred"] is not True:
        # A reason such as rescue treatment would tell a blinded reader more than the visit.
        reason = "hidden" if view.source.blinded else _plain(view.record["reason_not_done"]) or wording.UNKNOWN
        return f"visit not done (reason: {reason}); no values."
    planned = view.visit in view.source.flow_visits
    return "no flow cytometry was measured at this visit." if planned else "no flow cytometry is planned at this visit."


def _plain(reason: str) -> str:
    """A reason in the words of a sentence: codes such as ``LOST_TO_FOLLOWUP`` are no shouting."""
    return reason.replace("_", " ").casefold() if reason.isupper() else reason


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def statements(view: VisitView) -> tuple[str, ...]:
    """The change of every key population in one line each, the clear ones first."""
    order = {"MORE_THAN_NOISE": 0, "NOT_ASSESSABLE": 1, "WITHIN_NOISE": 2, "BASELINE": 3}
    groups: dict[str, list[str]] = {}
    rows = view.rows
    for one in sorted(rows, key=lambda one: order[one.main.verdict.level]):
        verdict = one.main.verdict
        change = "" if math.isnan(verdict.fold) else f" {wording.fold(verdict.fold)}"
        arrow = f" {verdict.symbol}" if verdict.level == "MORE_THAN_NOISE" else ""
        unit = wording.MICRO if one.main.scale == "abs" else "%"
        # What the first sentence says already is not said again.
        reason = f"; {verdict.reason}" if verdict.reason and one.main.now.state == "ok" else ""
        groups.setdefault(verdict.text, []).append(f"{one.display}{arrow}{change} ({unit}{reason})")
    if all(line.now.state != "ok" for row in rows for line in row.lines):
        groups = {}
    found = [
        f"{name[0].upper()}{name[1:]} since baseline: {', '.join(items)}."
        for name, items in groups.items()
        if name != "baseline"
    ]
    if not found and any(row.main.verdict.level == "BASELINE" for row in rows):
        found = ["Baseline visit: the values that later visits are compared with."]
    found += _outside(view)
    current = [row for row in view.virology if row.of_this_visit]
    if current:
        found.append(f"CMV-DNA: {_cmv(current[-1])}.")
    elif view.virology:
        last = view.virology[-1]
        found.append(f"CMV-DNA: not done at this visit; last at {last.visit} ({last.day} after day 0): {_cmv(last)}.")
    else:
        found.append("CMV-DNA: not done at this visit.")
    return tuple(found)


def _cmv(last: CmvRow) -> str:
    way, _, size = last.change.partition(" ")
    change = f", {way} from baseline {size} log10" if size else ""
    # "not detected" has no unit, and is what the kind says, in whatever language it was written
    if not any(letter.isdigit() for letter in last.result):
        return f"{last.kind_text}{change}"
    return f"{last.result} {last.unit} ({last.kind_text}){change}"


def _outside(view: VisitView) -> list[str]:
    """Low and high values of the visit that were judged: populations, laboratory, and grades of 3 and more."""
    found = []
    low_high = [
        f"{one.display} {line.now.words}{f' {wording.MICRO}' if line.scale == 'abs' else ''}, "
        f"{_LOW_HIGH[line.reference[-1]]} ({line.reference[:-2]})"
        for one in view.rows
        for line in one.lines
        if line.scale == one.main.scale and line.reference[-2:] in (" L", " H")
    ]
    if low_high:
        found.append(f"Outside the reference range: {'; '.join(low_high)}.")
    labs = [f"{one.test.partition(' (')[0]} {one.value}, {_LOW_HIGH[one.mark]}" for one in view.labs if one.mark]
    if labs:
        found.append(f"Laboratory outside its limits: {'; '.join(labs)}.")
    severe = [one for one in view.table("safety") or [] if one["visit"] == view.visit and one["grade"] >= _SEVERE]
    if severe:
        words = ", ".join(f"{one['term']} grade {one['grade']:.0f}" for one in severe)
        found.append(f"{severe[0]['version']}: {words}.")
    return found


def header(view: VisitView) -> tuple[tuple[str, str], ...]:
    """Label and words of what the page is about."""
    source, subject = view.source, view.subject
    day = view.obs("study_day")
    planned = f"planned {source.planned_days.get(view.visit, math.nan):g} d after day 0"
    entries: list[tuple[str, str]] = [("Study", source.config.study_id), ("Subject", subject)]
    if not source.blinded:
        arm = source.subject(subject)["arm"]
        entries.append(("Arm", source.config.arm_labels.get(arm, arm)))
    entries += [("Visit", view.visit), ("Study day", planned if math.isnan(day) else f"{day:g}")]
    specimen = view.obs("specimen_type")
    entries.append(("Specimen", _SPECIMENS.get(specimen, specimen)))
    if not source.blinded:
        entries.append(("Collected", view.obs("collected_dtc").replace("T", " ")))
        acquired = {source.sample_row(name)["acquired_dtc"].replace("T", " ") for name in view.tubes.values()}
        entries.append(("Acquired", _span(sorted(acquired - {""}))))
        if view.row is not None:
            for name, label, given in (
                ("hours_since_last_il2", "Since last IL-2", _il2_given(view)),
                ("hours_since_last_steroid", "Since steroid", view.table("steroids")),
            ):
                hours = view.obs(name)
                blank = "none recorded" if given == [] else wording.UNKNOWN
                entries.append((label, blank if math.isnan(hours) else f"{hours:.0f} h"))
    entries.append(("cells/µL from", _COUNTED_BY.get(view.obs("abs_method"), "not available")))
    blank = "not done" if view.row is None else wording.UNKNOWN
    return tuple((label, words or blank) for label, words in entries)


def _il2_given(view: VisitView) -> list[Any] | None:
    """IL-2 that the subject received until the visit; None where the run has no table of it."""
    rows = view.table("exposure")
    if rows is None:
        return None
    return [one for one in rows if one["drug"] == "IL2" and one["first_dtc"][:10] <= (view.date or one["first_dtc"])]


def _span(times: list[str]) -> str:
    """First and last of sorted times; the day once where both are of it."""
    if len(times) < 2:
        return times[0] if times else ""
    day = times[0].partition(" ")[0]
    return f"{times[0]} to {times[-1].removeprefix(f'{day} ')}"


def open_queries(view: VisitView) -> tuple[Query, ...]:
    """Open queries on the subject, the visit or one of its samples; free text is hidden when blinded."""
    subject, visit, hidden = view.subject, view.visit, view.source.blinded
    asked = {subject, f"{subject} {visit}", f"{subject}_{visit}"} | view.sample_ids
    return tuple(
        Query(
            one["record"],
            "(text hidden in blinded mode)" if hidden else one["question"],
            "" if hidden else one["owner"],
        )
        for one in view.source.queries_about(asked)
        if not one["closed"]
    )


def queries(view: VisitView) -> tuple[Block, ...]:
    """Table of the open queries."""
    rows = tuple(row(one.record, one.question, one.owner) for one in view.queries)
    return (Table(columns("Record", "Question", "Owner"), rows),) if rows else (Text("None."),)
