"""The pure model of a visit report: everything that is printed, already in words, without drawing anything."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from immunoprofile import schema
from immunoprofile.pl.patient_timeline import LabSeries
from immunoprofile.pl.series import Bar, CmvSeries, Measure, Series
from immunoprofile.pl.thumbnails import Panel
from immunoprofile.report import visit_figures_data as figures
from immunoprofile.report import visit_results as results
from immunoprofile.report import wording
from immunoprofile.report.comments import Comment, build_comments
from immunoprofile.report.content import Part, assemble
from immunoprofile.report.key_table import Row, build_rows, shown_populations
from immunoprofile.report.provenance import Provenance, of_visit
from immunoprofile.report.reviews import Reviewed, reviews_of
from immunoprofile.report.source import Source
from immunoprofile.report.view import VisitView
from immunoprofile.report.visit_safety import flag_meaning
from immunoprofile.report.visit_sections import VISIT_SECTIONS

_LIMITING: Final = ("RECENT_IL2", "STEROID_PULSE", "SPECIMEN_MISMATCH", "STAIN_LATE", "TUBES_DISAGREE", "TUBE_MISSING")


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


@dataclass(frozen=True)
class VisitModel:
    """Everything a visit report shows."""

    subject: str
    visit: str
    study_id: str
    study_title: str
    synthetic: bool
    blinded: bool
    took_place: bool
    header: tuple[tuple[str, str], ...]
    summary: Summary
    findings: tuple[str, ...]
    baseline_visit: str
    previous_visit: str
    rows: tuple[Row, ...]
    not_measured: tuple[str, ...]
    series: tuple[Series, ...]
    series_measure: Measure
    cmv: tuple[CmvSeries, ...]
    lab_course: tuple[LabSeries, ...]
    bars: tuple[Bar, ...]
    undrawn: tuple[str, ...]
    schedule: tuple[tuple[str, float], ...]
    queries: tuple[Query, ...]
    check_places: tuple[str, ...]
    checks: tuple[results.CheckRow, ...]
    flags: tuple[tuple[str, str], ...]
    panels_now: tuple[Panel | None, ...]
    panels_before: tuple[Panel | None, ...]
    displays: tuple[tuple[str, str], ...]
    ratios: tuple[tuple[str, tuple[float, ...]], ...]
    ratio_visits: tuple[str, ...]
    ratio_days: tuple[float, ...]
    quadrants: tuple[tuple[str, tuple[float, ...]], ...]
    virology: tuple[results.CmvRow, ...]
    virology_note: str
    labs: tuple[results.LabRow, ...]
    comments: tuple[Comment, ...]
    exceptions: tuple[results.ExceptionRow, ...]
    provenance: Provenance
    reviews: tuple[Reviewed, ...]
    parts: tuple[Part, ...]
    """Sections of the page in order."""


def build_visit(source: Source, subject: str, visit: str) -> VisitModel:
    """Model of a visit report from what was known at that visit: nothing later enters.

    Raises
    ------
    NotAvailableError
        The subject or the visit is not in the study; the message lists those that are.
    """
    source.check_visit(subject, visit)
    row = source.rows.get((subject, visit))
    rows = build_rows(source, subject, visit)
    flags = source.flags(subject, visit)
    cutoff = source.visit_day(subject, visit)
    virology = results.cmv_rows(source, subject, visit, until=cutoff)
    series, measure = figures.series(source, subject, cutoff=cutoff)
    now, before, displays = figures.gating_panels(source, subject, visit)
    ratio_visits, ratio_days, ratios = figures.ratio_series(source, subject, visit)
    previous = source.previous_row(subject, visit)
    places, checks = results.check_rows(source, subject, visit)
    return VisitModel(
        subject=subject,
        visit=visit,
        study_id=source.config.study_id,
        study_title="" if source.blinded else source.config.title,
        synthetic=source.config.synthetic,
        blinded=source.blinded,
        took_place=row is not None,
        header=_header(source, subject, visit),
        summary=summarise(source, subject, visit, rows, flags),
        findings=_findings(rows, virology),
        baseline_visit=source.obs(source.baselines.get(subject), "visit") or "none",
        previous_visit=source.obs(previous, "visit") or "none",
        rows=rows,
        not_measured=tuple(shown_populations(source)[1]),
        series=series,
        series_measure=measure,
        cmv=figures.cmv(source, subject, cutoff=cutoff),
        lab_course=figures.lab_course(source, subject, cutoff=cutoff),
        bars=figures.bars(source, subject, cutoff=cutoff),
        undrawn=figures.undrawn(source, subject),
        schedule=figures.schedule(source, cutoff=cutoff),
        queries=open_queries(source, subject, visit),
        check_places=places,
        checks=checks,
        flags=tuple((code, flag_meaning(code)) for code in flags),
        panels_now=now,
        panels_before=before,
        displays=displays,
        ratios=ratios,
        ratio_visits=ratio_visits,
        ratio_days=ratio_days,
        quadrants=figures.quadrants(source, subject, visit),
        virology=virology,
        virology_note=results.assay_note(source, subject),
        labs=results.lab_rows(source, subject, visit),
        comments=build_comments(source, subject, visit, rows, flags, virology),
        exceptions=results.exception_rows(source, subject, visit),
        provenance=of_visit(source, subject, visit),
        reviews=reviews_of(source, subject, visit),
        parts=assemble(VISIT_SECTIONS, VisitView(source, subject, visit)),
    )


def summarise(source: Source, subject: str, visit: str, rows: tuple[Row, ...], flags: list[str]) -> Summary:
    """Usable, limited or unusable, in one sentence.

    Unusable: no key population has a percentage. Limited: one of them, or its cells/uL, cannot be reported, or a
    flag limits the comparison with other visits. Warnings alone leave a visit usable; they are counted.
    """
    if (subject, visit) not in source.rows:
        return Summary("unusable", f"Unusable: {why_not_done(source, subject, visit)}")
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
        if line.measure == wording.MICRO and line.now.state != "ok"
    ]
    if counts:
        parts.append(f"{wording.MICRO} missing for {len(counts)} of {len(rows)} ({'; '.join(dict.fromkeys(counts))})")
    parts += [
        schema.FLAGS[code] for code in flags if code in _LIMITING and not (code == "TUBE_MISSING" and (lost or counts))
    ]
    warnings = sum(check["state"] == "WARN" for check in source.checks.get((subject, visit), []))
    tail = f" {warnings} quality warning{'s' if warnings > 1 else ''}, see Quality." if warnings else ""
    if parts:
        return Summary("limited", f"Limited: {'; '.join(parts)}.{tail}")
    return Summary("usable", f"Usable: all {len(rows)} key populations can be reported.{tail}")


def why_not_done(source: Source, subject: str, visit: str) -> str:
    """Why a visit has no flow cytometry."""
    planned = visit in source.flow_visits
    for row in source.records["visits"]:
        if (row["usubjid"], row["visit"]) == (subject, visit) and row["occurred"] is not True:
            # A reason such as rescue treatment would tell a blinded reader more than the visit.
            reason = "hidden" if source.blinded else row["reason_not_done"] or wording.UNKNOWN
            return f"visit not done (reason: {reason}); no values."
    return "no flow cytometry was measured at this visit." if planned else "no flow cytometry is planned at this visit."


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def _findings(rows: tuple[Row, ...], virology: tuple[results.CmvRow, ...]) -> tuple[str, ...]:
    """The change of every key population in one line each, the clear ones first."""
    order = {"MORE_THAN_NOISE": 0, "NOT_ASSESSABLE": 1, "WITHIN_NOISE": 2, "BASELINE": 3}
    groups: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda row: order[row.main.verdict.level]):
        verdict = row.main.verdict
        change = "" if math.isnan(verdict.fold) else f" {wording.fold(verdict.fold)}"
        arrow = f" {verdict.symbol}" if verdict.level == "MORE_THAN_NOISE" else ""
        unit = wording.MICRO if row.main.measure == wording.MICRO else "%"
        # What the first sentence says already is not said again.
        reason = f"; {verdict.reason}" if verdict.reason and row.main.now.state == "ok" else ""
        groups.setdefault(verdict.text, []).append(f"{row.display}{arrow}{change} ({unit}{reason})")
    if all(line.now.state != "ok" for row in rows for line in row.lines):
        groups = {}
    found = [
        f"{name[0].upper()}{name[1:]} since baseline: {', '.join(items)}."
        for name, items in groups.items()
        if name != "baseline"
    ]
    if not found and any(row.main.verdict.level == "BASELINE" for row in rows):
        found = ["Baseline visit: the values that later visits are compared with."]
    current = [row for row in virology if row.of_this_visit]
    if current:
        last = current[-1]
        way, _, size = last.change.partition(" ")
        change = f", {way} from baseline {size} log10" if size else ""
        # "not detected" has no unit
        unit = f" {last.unit}" if any(letter.isdigit() for letter in last.result) else ""
        found.append(f"CMV-DNA: {last.result}{unit} ({last.kind_text}){change}.")
    else:
        found.append("CMV-DNA: not done at this visit.")
    return tuple(found)


def _header(source: Source, subject: str, visit: str) -> tuple[tuple[str, str], ...]:
    row = source.rows.get((subject, visit))
    day = source.obs(row, "study_day")
    planned = f"planned {source.planned_days.get(visit, math.nan):g} d after day 0"
    entries: list[tuple[str, Any]] = [("Study", source.config.study_id), ("Subject", subject)]
    if not source.blinded:
        arms = {one["usubjid"]: one["arm"] for one in source.records["subjects"]}
        arm = arms.get(subject, "")
        entries.append(("Arm", source.config.arm_labels.get(arm, arm)))
    entries += [
        ("Visit", visit),
        ("Study day", planned if math.isnan(day) else f"{day:g}"),
    ]
    entries.append(("Specimen", source.obs(row, "specimen_type")))
    if not source.blinded:
        entries.append(("Collected", source.obs(row, "collected_dtc").replace("T", " ")))
        acquired = sorted(
            {
                source.sample_rows[name]["acquired_dtc"].replace("T", " ")
                for name in source.samples.get((subject, visit), {}).values()
            }
            - {""}
        )
        entries.append(("Acquired", acquired[0] if len(acquired) == 1 else " to ".join(acquired[:1] + acquired[-1:])))
        for name, label in (("hours_since_last_il2", "Since last IL-2"), ("hours_since_last_steroid", "Since steroid")):
            hours = source.obs(row, name)
            entries.append((label, "unknown or none" if math.isnan(hours) else f"{hours:.0f} h"))
    method = {"bead": "counting beads", "dual_lymph": "blood count (lymphocytes)", "dual_wbc": "blood count (WBC)"}
    counted = method.get(source.obs(row, "abs_method"), "not available")
    entries.append((f"{wording.MICRO} from", counted))
    return tuple((label, value or ("not done" if row is None else wording.UNKNOWN)) for label, value in entries)


def open_queries(source: Source, subject: str, visit: str) -> tuple[Query, ...]:
    """Open queries on the subject, the visit or one of its samples; free text is hidden when blinded."""
    samples = {
        name for name, row in source.sample_rows.items()
        if (row["usubjid"], row["visit"]) == (subject, visit)
    }  # fmt: skip
    records = {subject, f"{subject} {visit}", f"{subject}_{visit}"} | samples
    return tuple(
        Query(
            row["record"],
            "(text hidden in blinded mode)" if source.blinded else row["question"],
            "" if source.blinded else row["owner"],
        )
        for row in source.records["queries"]
        if row["record"] in records and not row["closed"]
    )
