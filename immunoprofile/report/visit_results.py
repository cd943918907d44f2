"""Rows of a visit report besides the key table: CMV-DNA, laboratory values, exceptions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from immunoprofile import schema
from immunoprofile.io.dates import days_since
from immunoprofile.report import wording
from immunoprofile.report.source import Source
from immunoprofile.virology import drop_text

if TYPE_CHECKING:
    from immunoprofile.report.view import VisitView

LAB_WINDOW_DAYS: Final = 3.0
"""A laboratory value is shown at a visit when it was drawn at most this many days from it."""

KIND_TEXT: Final[dict[str, str]] = {
    "QUANT": "quantified",
    "BLQ": "detected, below the LLOQ: censored",
    "TND": "target not detected: censored at the LLOQ",
    "ALQ": "above the ULOQ: censored",
    "INVALID": "invalid",
}
LAB_NAMES: Final[dict[str, str]] = {
    "ANC": "Neutrophils", "WBC": "White blood cells", "ALC": "Lymphocytes", "LYMPH_PCT": "Lymphocytes, share",
    "HGB": "Haemoglobin", "PLT": "Platelets", "CREAT": "Creatinine", "ALT": "ALT", "AST": "AST", "TBIL": "Bilirubin",
    "ALP": "Alkaline phosphatase", "BUN": "Urea nitrogen", "CRP": "CRP", "EOS": "Eosinophils",
}  # fmt: skip


@dataclass(frozen=True)
class CmvRow:
    """A CMV-DNA result as the laboratory wrote it."""

    visit: str
    day: str
    result: str
    unit: str
    kind: str
    kind_text: str
    log10: str
    drop: float
    """Fall from baseline in log10, NaN where it is censored or unknown."""
    fall: str
    """Fall from baseline in log10 with its sign, a rise is negative; ``≥`` and ``≤`` are bounds."""
    change: str
    """The same as a fall or a rise without a sign."""
    of_this_visit: bool


@dataclass(frozen=True)
class LabRow:
    """A laboratory value with the limits of that laboratory."""

    test: str
    value: str
    limits: str
    mark: str
    visit: str
    day: str
    laboratory: str


@dataclass(frozen=True)
class ExceptionRow:
    """A line of exceptions.csv."""

    subject: str
    visit: str
    stage: str
    severity: str
    code: str
    message: str
    action: str


def day_text(day: float) -> str:
    """Day since the anchor, written with its unit."""
    return "" if math.isnan(day) else f"{day:g} d"


def cmv_rows(view: VisitView) -> tuple[CmvRow, ...]:
    """CMV-DNA results of a subject until the visit, oldest first."""
    source, subject = view.source, view.subject
    anchor = source.anchors.get(subject)
    found: list[tuple[float, CmvRow]] = []
    for row in source.of_subject("virology", subject):
        day = days_since(anchor, row["collected_dtc"])
        here = row["visit"] == view.visit
        # A result without a day belongs to no time, but it was reported at its visit.
        if not here and not day <= view.until:
            continue
        kind = row["kind"]
        lloq = row["lloq"]
        exact = row["log10_value"]
        height = wording.log10(exact)
        if kind in ("BLQ", "TND") and lloq > 0:
            height = f"< {wording.log10(math.log10(lloq))}"
        elif kind == "ALQ" and row["uloq"] > 0:
            height = f"> {wording.log10(math.log10(row['uloq']))}"
        bounds, fall, change = [math.nan], "", ""
        if not row["is_baseline"]:
            bounds = [row[name] for name in ("log10_drop", "log10_drop_lower", "log10_drop_upper")]
            fall, change = drop_text(*bounds), wording.fall_or_rise(*bounds)
        found.append(
            (
                day,
                CmvRow(
                    row["visit"], day_text(day), row["result_raw"], row["unit"], kind,
                    KIND_TEXT.get(kind, kind), height or "none", bounds[0], fall, change, here,
                ),
            )
        )  # fmt: skip
    found.sort(key=lambda pair: (math.isnan(pair[0]), pair[0]))
    return tuple(row for _, row in found)


def assay_note(source: Source, subject: str) -> str:
    """Assay, specimen and limits of the results of a subject."""
    seen = []
    for row in source.of_subject("virology", subject):
        assay = source.config.assays.get(row["assay_id"])
        name = assay.name if assay else row["assay_id"]
        limits = [
            f"{label} {wording.plain(row[key])} {row['unit']}"
            for label, key in (("LOD", "lod"), ("LLOQ", "lloq"), ("ULOQ", "uloq"))
            if not math.isnan(row[key])
        ]
        seen.append(f"{name}, {row['specimen']}, {', '.join(limits)}")
    return "; ".join(dict.fromkeys(seen)) or "no assay: no CMV-DNA result"


def shown_labs(view: VisitView) -> list[tuple[float, dict[str, Any]]]:
    """(day, value) of each test nearest to the visit, then the unscheduled ones since the previous visit."""
    source, here = view.source, view.until
    anchor = source.anchors.get(view.subject)
    since = source.visit_day(view.subject, view.previous_visit) if view.previous_visit else -math.inf
    nearest: dict[str, tuple[float, dict[str, Any]]] = {}
    loose: list[tuple[float, dict[str, Any]]] = []
    for row in source.labs_of(view.subject):
        day = days_since(anchor, row["collected_dtc"])
        if row["visit"].startswith("UNS") and since < day <= here:
            loose.append((day, row))
        # Later values were not known at the visit: only those of the visit itself may be drawn after it.
        elif row["visit"] == view.visit or -LAB_WINDOW_DAYS <= day - here <= 0:
            test = row["test"]
            if test not in nearest or abs(day - here) < abs(nearest[test][0] - here):
                nearest[test] = (day, row)
    order = {test: place for place, test in enumerate(schema.LAB_TESTS)}
    listed = sorted(nearest.values(), key=lambda pair: order.get(pair[1]["test"], 99))
    return listed + sorted(loose, key=lambda pair: pair[0])


def lab_row(day: float, row: dict[str, Any]) -> LabRow:
    """A laboratory value for print."""
    value, low, high = (row["value"], row["lln"], row["uln"])
    unit, test = row["unit"], row["test"]
    limits = " to ".join(wording.plain(limit) if not math.isnan(limit) else "?" for limit in (low, high))
    known = not (math.isnan(low) and math.isnan(high))
    mark = "L" if value < low else "H" if value > high else ""
    return LabRow(
        f"{LAB_NAMES.get(test, test)} ({test})", wording.measured(value, unit) or "no value",
        f"{limits} {unit}" if known else "no limits given", mark, row["visit"], day_text(day),
        row["lab_id"],
    )  # fmt: skip


def exception_rows(source: Source, view: VisitView | None = None) -> tuple[ExceptionRow, ...]:
    """Exceptions that touch a visit (or all, without one); messages are hidden when blinded.

    A message may hold a file name, a date, a drug or an arm, so that a blinded page keeps only the code.
    """
    rows = source.records["exceptions"] if view is None else source.exceptions_of(view.subject, view.sample_ids)
    return tuple(_exception(source, row) for row in rows if view is None or _touches(view, row))


def _touches(view: VisitView, row: dict[str, Any]) -> bool:
    here = row["usubjid"] == view.subject and row["visit"] in (view.visit, "")
    return here or row["sample_id"] in view.sample_ids


def _exception(source: Source, row: dict[str, Any]) -> ExceptionRow:
    place = " ".join(part for part in (row["sample_id"], row["file"]) if part)
    message = row["message"] + (f" [{place}]" if place else "")
    return ExceptionRow(
        row["usubjid"], row["visit"], row["stage"], row["severity"], row["code"],
        "(hidden in blinded mode)" if source.blinded else message, "" if source.blinded else row["action"],
    )  # fmt: skip
