"""Controls of the batches on reports: what is held, released and why, charts, and precision from replicates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from immunoprofile.pp.precision import DEFAULT_CV
from immunoprofile.profiling.control_runs import batch_of
from immunoprofile.report import wording
from immunoprofile.report.content import Block, Bullets, Cell, Fold, Image, Table, Text, columns, row
from immunoprofile.report.language import Said
from immunoprofile.schema import CONTROL_STATES

if TYPE_CHECKING:
    from immunoprofile.report.cohort_view import CohortView
    from immunoprofile.report.source import Source
    from immunoprofile.report.view import VisitView

_STATE_WORDS: Final = {
    "PASS": "passed", "WARN": "look at it", "HELD": "held", "RELEASED": "released", "NOT_EVALUABLE": "not evaluable",
    "NO_CONTROL": "no control",
}  # fmt: skip
_MARKS: Final = {"HELD": "FAIL", "WARN": "WARN", "RELEASED": "WARN", "PASS": "PASS"}
_KINDS: Final = {"tube": "tubes of one draw", "draw": "draws without treatment"}


@dataclass(frozen=True)
class ControlChart:
    """Charts of the controls of one tube."""

    rows: tuple[Mapping[str, Any], ...]
    charts: tuple[tuple[str, str], ...]
    displays: tuple[tuple[str, str], ...]


def batches_of(source: Source, subject: str, visit: str) -> list[dict[str, Any]]:
    """Rows of control_batches.csv about the acquisitions that were used at a visit."""
    batches = source.records.get("control_batches", ())
    if not batches:
        return []
    used = source.samples.get((subject, visit), {}).values()
    own = {batch_of(source.sample_row(name)) for name in used}
    return [one for one in batches if (one["batch_id"], one["tube"], one["panel_id"]) in own]


def held(source: Source, subject: str, visit: str) -> list[dict[str, Any]]:
    """Batches of a visit whose reports are held."""
    return [one for one in batches_of(source, subject, visit) if one["state"] == "HELD"]


def named(batches: list[dict[str, Any]]) -> str:
    """Batches and tubes in words."""
    return ", ".join(f"{one['batch_id'] or '(none)'} (tube {one['tube']})" for one in batches)


def page_one(view: VisitView) -> tuple[Block, ...]:
    """Held and released batches of the visit and of its baseline; blinded without free text and dates."""
    source = view.source
    items: list[str] = []
    waiting = False
    for visit in dict.fromkeys((view.visit, view.baseline_visit)):
        for one in batches_of(source, view.subject, visit):
            what = f"{visit}, control of batch {one['batch_id']}, tube {one['tube']}"
            if one["state"] == "HELD":
                items.append(f"{what} failed: {one['why']}.")
                waiting = True
            elif one["state"] == "RELEASED":
                when = "" if source.blinded else f" on {one['dtc'][:10]}"
                why = "reason hidden in blinded mode" if source.blinded else one["reason"]
                items.append(f"{what} failed: {one['why']}. Released by {one['author']}{when}: {why}.")
    if not items:
        return ()
    how = "Until a person releases the batch with a reason (control_releases of the study), nothing here is for use."
    return (Bullets((*items, how) if waiting else tuple(items), "Controls of the batch", "FAIL" if waiting else ""),)


def of_visit(view: VisitView) -> tuple[Block, ...]:
    """What the control said of every tube of the visit; nothing for a study without controls."""
    found = batches_of(view.source, view.subject, view.visit)
    if not found:
        return ()
    rows = tuple(
        row(one["tube"], one["batch_id"], Cell(_STATE_WORDS[one["state"]], mark=_MARKS.get(one["state"], "")),
            one["why"] or CONTROL_STATES[one["state"]])
        for one in found
    )  # fmt: skip
    return (Text("Controls of the batch", heading=True), Table(columns("Tube", "Batch", "Control", "Why"), rows))


def of_cohort(view: CohortView) -> tuple[Block, ...]:
    """Charts of the controls of each tube, batches with their state, and precision from replicates."""
    source = view.source
    batches = source.records.get("control_batches", ())
    if not batches:
        said = "No control aliquots in this study: nothing is known of instrument and reagents between its batches."
        return (Text(said), *precision(source))
    visits = [key for key in source.rows if held(source, *key)]
    waiting = [one for one in batches if one["state"] == "HELD"]
    first = "No batch is held."
    if waiting:
        first = (
            f"{len(waiting)} {'batch is' if len(waiting) == 1 else 'batches are'} held: {named(waiting)}. "
            f"{len(visits)} of {len(source.rows)} visits rest on them and are not for use until a person releases "
            "them; the statistics of this page hold them."
        )
    heads = columns("Batch", "Tube", "#Visits", "Control", "Why", "Released by", "Reason")
    rows = tuple(
        row(
            one["batch_id"], one["tube"], Cell(f"{one['visits']:.0f}", one["visits"]),
            Cell(_STATE_WORDS[one["state"]], mark=_MARKS.get(one["state"], "")),
            one["why"] or CONTROL_STATES[one["state"]], one["author"],
            "hidden in blinded mode" if view.blinded and one["reason"] else one["reason"],
        )
        for one in batches
    )  # fmt: skip
    caption = (
        "Rules: Westgard 1981 (1-3s, 2-2s, R-4s, 4-1s, 10-x fail; 1-2s and the weighted mean ask for a look). "
        "Populations on which the endpoints rest hold the reports of a batch; the others are in controls.csv."
    )
    return (Text(first), *_charts(view), Table(heads, rows, "", caption), *precision(source))


def _charts(view: CohortView) -> tuple[Block, ...]:
    source = view.source
    every = source.records.get("controls", ())
    blocks = []
    for tube in dict.fromkeys(one["tube"] for one in every):
        own = tuple(one for one in every if one["tube"] == tube)
        known = dict.fromkeys((one["population"], one["measure"]) for one in own if one["holds"])
        charts = tuple(known) or tuple(dict.fromkeys((one["population"], one["measure"]) for one in own))[:6]
        displays = tuple((name, source.display(name)) for name, _ in charts)
        drawn = ControlChart(_undated(own) if view.blinded else own, charts, displays)
        blocks.append(Image(f"controls_{tube}", drawn, title=Said("Controls of tube {tube}", tube=tube)))
    return tuple(blocks)


def _undated(rows: tuple[Mapping[str, Any], ...]) -> tuple[Mapping[str, Any], ...]:
    """The runs in their order, without dates and names of samples: the day of a batch is that of its visits."""
    keys = [(row["acquired_dtc"], row["batch_id"], row["samples"]) for row in rows]
    places = {key: f"{place:06d}" for place, key in enumerate(sorted(set(keys)), 1)}
    hidden = zip(rows, keys, strict=True)
    return tuple({**row, "acquired_dtc": places[key], "samples": ""} for row, key in hidden)


def precision(source: Source) -> tuple[Block, ...]:
    """CV and limit of quantification of every population with replicates."""
    found = source.records.get("precision", ())
    if not found:
        return ()
    heads = columns(
        "Population", "Measure", "Replicates", "#Groups", "#CV, %", "#95 % limits", "#LoQ, events", "#LoQ",
        "Used for changes",
    )  # fmt: skip
    rows = tuple(
        row(
            source.display(one["population"]), "cells/µL" if one["measure"] == "abs" else "% of parent",
            _KINDS[one["kind"]], Cell(f"{one['groups']:.0f}", one["groups"]), _number(one["cv"], "{:.1f}"),
            _span(one["cv_lower"], one["cv_upper"]), _number(one["loq_events"], "{:.0f}"),
            _number(one["loq"], "{:.3g}"), f"yes, CV {one['cv_used']:.1f} %" if one["used"] else f"no: {one['note']}",
        )
        for one in found
    )  # fmt: skip
    caption = (
        "CV without counting noise. LoQ: fewest events at which the CV with counting stays within "
        f"{100 * source.config.controls.cv_limit:.0f} %, and in the unit of the measure; –: not reached at any number."
    )
    return (Fold("Precision from replicates", (Table(heads, rows, "", caption),)),)


def _number(value: float, form: str) -> Cell:
    return Cell(form.format(value), value) if math.isfinite(value) else Cell("–")


def noise_of(source: Source, population: str, measure: str) -> tuple[float, str]:
    """CV by which changes of a population are judged, a fraction, and where it comes from in words."""
    for one in source.records.get("precision", ()):
        if (one["population"], one["measure"]) == (population, measure) and one["used"]:
            what = f"{one['tubes']:.0f} {_KINDS[one['kind']]} in {one['groups']:.0f} groups"
            return one["cv_used"] / 100, f"{what}{', ' if one['note'] else ''}{one['note']}"
    return DEFAULT_CV, ""


def noise_words(source: Source) -> str:
    """CVs of this study that judge changes, for the provenance."""
    used = [one for one in source.records.get("precision", ()) if one["used"]]
    default = f"CV {DEFAULT_CV:.2f} of a visit (default, no replicates of this study)"
    if not used:
        return f"asymmetric reference change value, {default} plus counting noise of both visits"
    own = "; ".join(
        f"{source.display(one['population'])} {wording.MICRO if one['measure'] == 'abs' else '%'} "
        f"CV {one['cv_used'] / 100:.2f} from {one['tubes']:.0f} {_KINDS[one['kind']]}"
        for one in used
    )
    return (
        f"asymmetric reference change value, by replicates of this study {own}; all others CV {DEFAULT_CV:.2f} "
        "of a visit (default); plus counting noise of both visits"
    )


def _span(lower: float, upper: float) -> str:
    """Limits of a CV in per cent; of few replicates that differ much no upper one is known."""
    return f"{lower:.1f} to {upper:.1f}" if math.isfinite(upper) else f"{lower:.1f} or more"
