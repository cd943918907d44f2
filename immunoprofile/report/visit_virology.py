"""Virology box of a visit: results, the verdict of every rule and the kinetics, from what was known at the visit."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from immunoprofile.io.records import cells
from immunoprofile.report import wording
from immunoprofile.report.content import Block, Cell, Table, Text, columns, not_available, row
from immunoprofile.report.visit_results import assay_note

if TYPE_CHECKING:
    from immunoprofile.report.view import VisitView

STATUS_TEXT: Final[dict[str, str]] = {
    "REFRACTORY": "refractory",
    "RETURNED": "returned after clearance",
    "CLEARED": "cleared, confirmed",
    "PROBABLE_REFRACTORY": "probably refractory",
    "FAILURE": "fall of less than 1 log10 after two weeks",
    "RESPONDING": "responding",
    "NOT_RESPONDING": "not responding",
    "NOT_EVALUABLE": "not evaluable",
}
CLEARANCE_TEXT: Final[dict[str, str]] = {
    "NOT_CLEARED": "not cleared",
    "BELOW_LLOQ": "below the LLOQ, not confirmed",
    "CLEARED": "cleared, confirmed",
    "RETURNED": "returned after clearance",
    "NOT_EVALUABLE": "not evaluable",
}
VERDICT_TEXT: Final[dict[str, str]] = {
    "TRUE": "✓ true",
    "FALSE": "– false",
    "NOT_EVALUABLE": "? not evaluable",
    "NOT_ASSESSED": "? not assessed",
}


@cache
def caveat() -> str:
    """Sentence that stands with every verdict of a CMV rule."""
    from immunoprofile.virology import rulebook

    return rulebook().caveat


def status(view: VisitView) -> tuple[Block, ...]:
    """One sentence: status and clearance at the visit."""
    if "cmv_status" not in view.source.visits.obs:
        return not_available("Status by the CMV rules", "the run did not judge them")
    found = view.obs("cmv_status")
    if not found:
        return (Text("Status by the CMV rules: not evaluable, no CMV-DNA result at this visit."),)
    cleared = view.obs("cmv_clearance")
    words = f"{STATUS_TEXT.get(found, found)}; clearance: {CLEARANCE_TEXT.get(cleared, cleared)}"
    sentence = Text(f"Status by the CMV rules at this visit: {words} ({found}, {cleared}).")
    return (sentence, *_confounders(view))


def _confounders(view: VisitView) -> tuple[Block, ...]:
    """Drugs that change CMV-DNA by themselves and touch what is known at the visit."""
    touching = [one for course in view.courses for one in course.confounded()]
    if not touching:
        return ()
    if view.source.blinded:
        return (Text("A drug that changes CMV-DNA by itself touches these verdicts (CMV_CONFOUNDED)."),)
    drugs = {f"{one.drug}{_when(one.first, one.last)}: {one.effect}" for one in touching}
    return (Text(f"Read every verdict with care (CMV_CONFOUNDED). {'. '.join(sorted(drugs))}."),)


def _when(first: str, last: str) -> str:
    return f" ({f'from {first}' if first else 'since an unknown day'}{f', counts until {last}' if last else ''})"


def results(view: VisitView) -> tuple[Block, ...]:
    """Table of the results, as they were reported."""
    if not view.virology:
        return (Text("CMV-DNA: not done up to this visit."),)
    rows = tuple(
        row(
            f"{one.visit} (this visit)" if one.of_this_visit else one.visit, one.day, one.result,
            Cell(one.unit, look="unit"), f"{one.kind}: {one.kind_text}", Cell(one.log10), Cell(one.change, -one.drop),
        )
        for one in view.virology
    )  # fmt: skip
    heads = ("Visit", "#Day since day\N{NO-BREAK SPACE}0", "#Result as reported", "Unit", "Kind", "#log10",
             "#From baseline, log10")  # fmt: skip
    caption = f"{assay_note(view.source, view.subject)}. ≥ and ≤ are bounds from censored results."
    return (Table(columns(*heads), rows, "", caption, "results"),)


def rules(view: VisitView) -> tuple[Block, ...]:
    """Verdict of every rule from the results until the visit, with the caveat."""
    if view.source.profile.tables.get("virology_rules") is None:
        return not_available("CMV rules", "the run did not judge them (no virology_rules.csv in its results)")
    if not len(view.cmv_results):
        return ()
    rows = [_rule(view, judged) for judged in _judged(view)]
    hidden = view.source.blinded
    heads = ("Rule", "Verdict") if hidden else ("Rule", "Verdict", "#When, days since the first ganciclovir", "Why")
    caption = (
        f"By the results until this visit; id and version of each rule stand in brackets. {caveat()}"
        + (" Reasons are left out in blinded mode." if hidden else "")
    )  # fmt: skip
    return (Table(columns(*heads), tuple(rows), "CMV rules", caption, "rules"),)


def _rule(view: VisitView, judged: dict[Any, Any]) -> tuple[Cell, ...]:
    name = wording.rule_name(judged["rule_id"], judged["version"])
    result = judged["result"]
    verdict = Cell(VERDICT_TEXT.get(result, result), mark=f"RULE_{result}")
    if view.source.blinded:
        return row(name, verdict)
    lower, upper = judged["lower_day"], judged["upper_day"]
    drugs = judged["confounders"]
    why = f"{judged['reason']} [confounded by {', '.join(drugs.split())}]" if drugs else judged["reason"]
    return row(name, verdict, Cell(_interval(result, lower, upper), lower), why)


def _interval(result: str, lower: float, upper: float) -> str:
    if math.isnan(lower) or math.isnan(upper):
        return ""
    if math.isinf(upper):
        return f"not until {lower:g}"
    return f"{lower:g}" if lower == upper else f"after {lower:g}, by {upper:g}"


def _judged(view: VisitView) -> list[dict[str, Any]]:
    """Rules on the course that ends at the visit: a report of day 14 knows nothing of day 28."""
    from immunoprofile.virology import rulebook
    from immunoprofile.virology.rule_table import judge, rule_rows

    book = rulebook()
    return [row for course in view.courses for row in rule_rows(course, judge(course, book), book)]


def kinetics(view: VisitView) -> tuple[Block, ...]:
    """Slope, half-life, peak and area of the course until the visit."""
    if view.source.profile.tables.get("virology_kinetics") is None:
        return not_available("CMV-DNA kinetics", "the run did not compute them (no virology_kinetics.csv)")
    if not len(view.cmv_results):
        return ()
    from immunoprofile.virology.viral_kinetics import course_kinetics

    found = course_kinetics(view.courses[0])
    unit = f"log10 {found['unit']}"
    rows = [
        _estimate(found, "Slope from day 0", "slope", "log10 per day", found["slope_reason"]),
        _estimate(found, "Slope from the peak of week 1", "peak_slope", "log10 per day", found["peak_slope_reason"]),
        _half_life(found),
        row("Peak", Cell(wording.log10(found["peak_log10"]) or _bound(found, "peak"),
                         found["peak_log10"]), unit, found["peak_kind"]),
        row("Area, time-averaged", Cell(wording.log10(found["auc_time_averaged_log10"]) or "not estimable",
                                        found["auc_time_averaged_log10"]), unit,
            _area_remark(view, found)),
        row("Results below the LLOQ", Cell(wording.percent(found["pct_below_lloq"]) or "unknown",
                                           found["pct_below_lloq"]), "% of results",
            f"{wording.count(found['n'])} results, {wording.count(found['n_quant'])} quantified"),
    ]  # fmt: skip
    caption = (
        "Censored regression: a result below the LLOQ counts as a bound, never as a number. In the area it stands at "
        "the LLOQ. Numbers in brackets: 95 % interval."
    )
    return (
        Table(
            columns("Measure", "#Value", "Unit", "Remark"),
            tuple(rows),
            "Kinetics until this visit",
            caption,
            "kinetics",
        ),
    )


def _estimate(found: dict[str, Any], label: str, name: str, unit: str, reason: str) -> tuple[Cell, ...]:
    value, low, high = (found[key] for key in (name, f"{name}_lower", f"{name}_upper"))
    if math.isnan(value):
        return row(label, "not estimable", unit, reason)
    interval = "" if math.isnan(low) or math.isnan(high) else f" ({low:.3f} to {high:.3f})"
    return row(label, Cell(f"{value:.3f}{interval}", value), unit, reason)


def _half_life(found: dict[str, Any]) -> tuple[Cell, ...]:
    for label, name in (("Half-life", "half_life"), ("Doubling time", "doubling_time")):
        value, low, high = (found[f"{name}{part}_d"] for part in ("", "_lower", "_upper"))
        if not math.isnan(value):
            return row(label, Cell(f"{value:.1f} ({low:.1f} to {high:.1f})", value), "days", "")
    slope = found["slope"]
    why = "the interval of the slope holds 0" if not math.isnan(found["slope_lower"]) else "no interval"
    return row("Half-life", "not estimable", "days", "no slope" if math.isnan(slope) else why)


def _bound(found: dict[str, Any], name: str) -> str:
    low, high = (found[f"{name}_log10_{side}"] for side in ("lower", "upper"))
    if not math.isnan(high):
        return f"< {high:.2f}"
    return f"> {low:.2f}" if not math.isnan(low) else "not estimable"


def _area_remark(view: VisitView, found: dict[str, Any]) -> str:
    """Duration and gaps until the visit; what is still to come is no gap."""
    from immunoprofile.virology.viral_kinetics import LONGEST_GAP_D

    duration = found["auc_duration_d"]
    days = sorted(day for day in cells(view.cmv_results["virology_day"], "number") if not math.isnan(day))
    longest = max((after - before for before, after in pairwise(days)), default=0.0)
    gap = f"incomplete: a gap of {longest:g} d without a result" if longest > LONGEST_GAP_D else ""
    return "; ".join(part for part in (f"over {duration:g} d" if not math.isnan(duration) else "", gap) if part)
