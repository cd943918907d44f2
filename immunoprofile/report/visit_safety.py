"""Safety box of a visit: CTCAE grades, creatinine clearance, doses of antivirals and corticosteroids."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final

from immunoprofile.report import wording
from immunoprofile.report.content import Block, Cell, Table, Text, columns, not_available, row

if TYPE_CHECKING:
    from immunoprofile.report.view import VisitView

_CLEARANCE_TEST: Final = "CRCL"
ADEQUACY_TEXT: Final[dict[str, str]] = {
    "UNDER": "below the label dose",
    "ADEQUATE": "within the label dose",
    "ABOVE": "above the label dose",
    "UNKNOWN": "not known",
}


def laboratory(view: VisitView) -> tuple[Block, ...]:
    """Values with the limits of their laboratory."""
    if not view.labs:
        return (Text("Laboratory values", heading=True), Text("Not done: no laboratory value near this visit."))
    rows = tuple(
        row(one.test, one.value, one.mark, one.limits, one.visit, one.day, one.laboratory) for one in view.labs
    )
    heads = ("Test", "#Value", "Below or above", "#Limits of the laboratory", "Visit", "#Day since day 0", "Laboratory")
    caption = (
        "Nearest value of each test (of the visit, or drawn at most 3 d before), and unscheduled ones since the "
        "previous visit. L and H refer to the limits of that laboratory."
    )
    return (Table(columns(*heads), rows, "Laboratory values", caption, "labs"),)


def _graded(view: VisitView) -> list[dict[str, Any]] | None:
    """Grades of the laboratory results that the report shows; a clearance belongs to its creatinine."""
    table = view.table("safety")
    if table is None:
        return None
    shown = {(lab["collected_dtc"], lab["lab_id"], lab["test"]) for _, lab in view.shown_labs}
    found = []
    for graded in table:
        test = "CREAT" if graded["test"] == _CLEARANCE_TEST else graded["test"]
        if (graded["collected_dtc"], graded["lab_id"], test) in shown:
            found.append(graded)
    return found


def grades(view: VisitView) -> tuple[Block, ...]:
    """CTCAE grade at baseline and now of every term that is not grade 0 at both."""
    graded = _graded(view)
    if graded is None:
        return not_available("CTCAE grades", "the run did not grade laboratory values (no safety.csv in its results)")
    if not graded:
        return (Text("CTCAE grades: not done, no laboratory value near this visit."),)
    version = ", ".join(dict.fromkeys(one["version"] for one in graded))
    missing = not_in_version(view.source.config.ctcae, {str(lab["test"]) for _, lab in view.shown_labs})
    shown = [one for one in graded if one["grade"] != 0 or one["baseline_grade"] > 0]
    others = len(graded) - len(shown)
    rest = f"{others} other term{'s' if others != 1 else ''} {'are' if others != 1 else 'is'} grade 0."
    if not shown:
        return (Text(f"CTCAE grades ({version}): all {len(graded)} graded terms are grade 0.{missing}"),)
    rows = tuple(_grade_row(one) for one in shown)
    caption = (
        f"{version}. Baseline: grade of the last value before the first dose. New: higher than at baseline and "
        f"after the first dose. Laboratory values only; clinical criteria are not graded. {rest}{missing}"
    )
    heads = ("Term", "#Baseline grade", "#Grade now", "#Value", "Visit", "Criterion of the grade", "Remark")
    return (Table(columns(*heads), rows, "CTCAE grades", caption, "ctcae"),)


def not_in_version(version: str, tests: Collection[str]) -> str:
    """Sentence that names the terms of results which the version of CTCAE does not hold; empty when there are none."""
    from immunoprofile.clinical.ctcae import ctcae_name, terms_without_criteria

    terms = [f"{term.term} ({term.test})" for term in terms_without_criteria(version) if term.test in tests]
    return f" Without criteria in {ctcae_name(version)}, not graded: {', '.join(terms)}." if terms else ""


def _grade_row(one: dict[str, Any]) -> tuple[Cell, ...]:
    now, before = one["grade"], one["baseline_grade"]
    remarks = [
        "new" if one["treatment_emergent"] else "",
        "provisional: graded without a baseline" if one["grade_provisional"] else "",
        one["reason"],
    ]
    return row(
        one["term"], Cell(grade_text(before), before),
        Cell(grade_text(now), now, mark="GRADE_HIGH" if now >= 3 else ""),
        Cell(wording.measured(one["value"], one["unit"]), one["value"]), one["visit"],
        one["criterion_text"], "; ".join(part for part in remarks if part),
    )  # fmt: skip


def grade_text(grade: float) -> str:
    """Grade for people; a missing one is unknown, not 0."""
    return "not graded" if math.isnan(grade) else f"{grade:.0f}"


def renal_and_doses(view: VisitView) -> tuple[Block, ...]:
    """Creatinine clearance; then antivirals, corticosteroids and cell-changing drugs of the day."""
    rows = list(_clearance(view))
    if view.source.blinded:
        note = Text("Doses and concomitant drugs are left out in blinded mode.", small=True)
        return (Table(columns("Item", "#Value", "Remark"), tuple(rows), "Kidney", ""), note) if rows else (note,)
    rows += [*_antiviral(view), *_steroids(view), *_haematology_limit(view), *_immunosuppressants(view)]
    caption = (
        "Dose adequacy: dose given over the label dose for the clearance; 0.8 to 1.25 is within. The label table is "
        "shown for orientation and is no recommendation. Steroids: systemic routes only."
    )
    return (
        Table(columns("Item", "#Value", "Remark"), tuple(rows), "Kidney, doses and drugs of the day", caption, "doses"),
    )


def _clearance(view: VisitView) -> list[tuple[Cell, ...]]:
    label = "Creatinine clearance (Cockcroft and Gault)"
    table = view.table("clearance")
    if table is None:
        return [row(label, "not available", "no clearance.csv in the results")]
    drawn = {(lab["collected_dtc"], lab["lab_id"]) for _, lab in view.shown_labs if lab["test"] == "CREAT"}
    own = [one for one in table if (one["collected_dtc"], one["lab_id"]) in drawn]
    if not own:
        return [row(label, "not done", "no creatinine near this visit")]
    return [_clearance_row(label, one) for one in own]


def _clearance_row(label: str, one: dict[str, Any]) -> tuple[Cell, ...]:
    value, low, high = (one[name] for name in ("crcl", "crcl_low", "crcl_high"))
    kind, weight = one["weight_kind"], one["weight_kg"]
    remarks = [
        one["reason"],
        f"{kind} weight {weight:g} kg" if kind and not math.isnan(weight) else "",
        "unreliable: creatinine changed by more than 50 % within 48 h" if one["unstable"] else "",
    ]
    words = f"{value:.1f} mL/min" if not math.isnan(value) else "unknown"
    if math.isnan(value) and not math.isnan(low + high):
        words = f"{low:.1f} to {high:.1f} mL/min"
    return row(label, Cell(words, value), "; ".join(part for part in remarks if part))


def _antiviral(view: VisitView) -> list[tuple[Cell, ...]]:
    label = "Ganciclovir dose adequacy"
    table = view.table("dose_adequacy")
    if table is None:
        return [row(label, "not available", "no dose_adequacy.csv in the results")]
    own = [one for one in table if view.date and one["from_date"] <= view.date <= one["to_date"]]
    if not own:
        why = (
            "no ganciclovir or valganciclovir recorded on this day" if view.date else "the date of the visit is missing"
        )
        return [row(label, "none" if view.date else "unknown", why)]
    return [_adequacy_row(label, one) for one in own]


def _adequacy_row(label: str, one: dict[str, Any]) -> tuple[Cell, ...]:
    ratio, actual, needed = (one[name] for name in ("adequacy", "actual_dose", "label_dose"))
    state = one["adequacy_state"]
    dose = "" if math.isnan(actual) else f"{actual:g} of {needed:g} {one['dose_unit']}"
    remarks = [
        f"{one['drug']} {one['phase'].lower()}".strip(), dose, ADEQUACY_TEXT.get(state, state),
        f"appropriately dosed: {one['appropriately_dosed']}", one["reason"],
    ]  # fmt: skip
    words = f"{ratio:.2f} × label dose" if not math.isnan(ratio) else "unknown"
    return row(label, Cell(words, ratio), "; ".join(part for part in remarks if part))


def _steroids(view: VisitView) -> list[tuple[Cell, ...]]:
    label = "Corticosteroids as prednisone"
    table = view.table("steroids")
    if table is None:
        return [row(label, "not available", "no steroids.csv in the results")]
    own = next((one for one in table if one["date"][:10] == view.date), None)
    if own is None or not view.date:
        return [row(label, "no record", "no systemic corticosteroid is recorded for this day; no record is not zero")]
    total, by_weight = own["ped_mg"], own["ped_mg_kg"]
    words = f"{total:.4g} mg/d" if not math.isnan(total) else "unknown"
    least = own["ped_mg_at_least"]
    if math.isnan(total) and least > 0:
        words = f"≥ {least:.4g} mg/d"
    remarks = [
        f"{by_weight:.3f} mg/kg/d" if not math.isnan(by_weight) else "mg/kg/d unknown", own["drugs"],
        "pulse" if own["pulse"] else "", own["reason"],
    ]  # fmt: skip
    return [row(label, Cell(words, total), "; ".join(part for part in remarks if part))]


def _flags(view: VisitView, code: str) -> list[str] | None:
    table = view.table("safety_flags")
    if table is None:
        return None
    return [one["detail"] for one in table if (one["visit"], one["flag"]) == (view.visit, code)]


def _haematology_limit(view: VisitView) -> list[tuple[Cell, ...]]:
    label = "Blood count at a limit of the ganciclovir label"
    found = _flags(view, "GCV_HAEM_LIMIT")
    if found is None:
        return [row(label, "not available", "no safety_flags.csv in the results")]
    if found:
        return [row(label, Cell("yes", mark="GRADE_HIGH"), "; ".join(found))]
    counted = {lab["test"] for _, lab in view.shown_labs}
    missing = [name for name in ("ANC", "PLT", "HGB") if name not in counted]
    return [row(label, "no" if not missing else "not known", f"not measured: {', '.join(missing)}" if missing else "")]


def _immunosuppressants(view: VisitView) -> list[tuple[Cell, ...]]:
    label = "Drugs that change cells or hide epitopes"
    found = _flags(view, "IMMUNOSUPPRESSANT")
    if found is None:
        return [row(label, "not available", "no safety_flags.csv in the results")]
    return [row(label, "recorded" if found else "none recorded", _named(view, found))]


def _named(view: VisitView, details: list[str]) -> str:
    """The details with the names of populations for people."""
    words = "; ".join(details)
    head, colon, populations = words.partition(": ")
    if not colon or ";" in populations:
        return words
    return f"{head}: {', '.join(view.source.display(name) for name in populations.split(', '))}"
