"""Tables of a visit report besides the key table: checks, CMV-DNA, laboratory values, exceptions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from immunoprofile import schema
from immunoprofile.io.dates import days_since
from immunoprofile.report import wording
from immunoprofile.report.source import Source
from immunoprofile.virology import drop_text

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
class CheckCell:
    """Outcome of a check in one tube, or for the whole visit; ``figures`` is ``value`` without its unit."""

    state: str
    value: str
    flag: str
    figures: str = ""

    @property
    def state_text(self) -> str:
        """State for people."""
        return self.state.replace("_", " ").lower() if self.state == "NOT_EVALUABLE" else self.state


@dataclass(frozen=True)
class CheckRow:
    """A quality check with its outcome at each place; None where it was not made.

    Values carry their unit; ``limits`` end with it. ``remark`` holds the flags that were raised, with their places
    when these differ.
    """

    check: str
    limits: str
    cells: tuple[CheckCell | None, ...]
    unit: str = ""
    remark: str = ""

    @property
    def passed(self) -> bool:
        """Whether it passed wherever it was made."""
        return all(cell is None or cell.state == "PASS" for cell in self.cells)


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


def check_rows(source: Source, subject: str, visit: str) -> tuple[tuple[str, ...], tuple[CheckRow, ...]]:
    """Places (tubes, then the whole visit) and the checks of a visit, those with a FAIL or WARN first."""
    own = source.checks.get((subject, visit), [])
    order = [*source.config.tubes, "visit"]
    places = tuple(place for place in order if any((row["tube"] or "visit") == place for row in own))
    found: dict[tuple[str, str, str], dict[str, CheckCell]] = {}
    for row in own:
        unit, limits = row["unit"], row["limits"]
        with_unit = f"{limits} {unit}" if limits and unit and not limits.endswith(unit) else limits
        key = (row["check"].replace("_", " "), with_unit, unit)
        value = wording.measured(row["value"], unit)
        place = row["tube"] or "visit"
        cell = CheckCell(row["state"], value, row["flag"], value.removesuffix(unit).rstrip())
        # Of two acquisitions of one tube the worse outcome is shown; both stand in quality.csv.
        former = found.setdefault(key, {}).get(place)
        if former is None or _SEVERITY[cell.state] < _SEVERITY[former.state]:
            found[key][place] = cell
    rows = [
        CheckRow(name, limits, tuple(cells.get(place) for place in places), unit, _flagged(cells))
        for (name, limits, unit), cells in found.items()
    ]
    rows.sort(key=lambda row: min(_SEVERITY[cell.state] for cell in row.cells if cell is not None))
    return places, tuple(rows)


def _flagged(cells: dict[str, CheckCell]) -> str:
    """Flags of a check; with the places of each when they are not those of all its outcomes that did not pass."""
    codes: dict[str, list[str]] = {}
    for place, cell in cells.items():
        if cell.flag:
            codes.setdefault(cell.flag, []).append(place)
    raised = {place for place, cell in cells.items() if cell.state != "PASS"}
    if len(codes) == 1 and set(next(iter(codes.values()))) == raised:
        return next(iter(codes))
    return "; ".join(f"{code} ({', '.join(where)})" for code, where in codes.items())


_SEVERITY: Final = {"FAIL": 0, "WARN": 1, "NOT_EVALUABLE": 2, "PASS": 3}


def cmv_rows(source: Source, subject: str, visit: str, *, until: float) -> tuple[CmvRow, ...]:
    """CMV-DNA results of a subject up to a day, oldest first."""
    anchor = source.anchors.get(subject)
    found: list[tuple[float, CmvRow]] = []
    for row in source.records["virology"]:
        if row["usubjid"] != subject:
            continue
        day = days_since(anchor, row["collected_dtc"])
        here = row["visit"] == visit
        # A result without a day belongs to no time, but it was reported at its visit.
        if not here and not day <= until:
            continue
        kind = row["kind"]
        lloq = row["lloq"]
        exact = row["log10_value"]
        height = wording.log10(exact)
        if kind in ("BLQ", "TND") and lloq > 0:
            height = f"< {wording.log10(math.log10(lloq))}"
        elif kind == "ALQ" and row["uloq"] > 0:
            height = f"> {wording.log10(math.log10(row['uloq']))}"
        fall, change = "", ""
        if not row["is_baseline"]:
            bounds = [row[name] for name in ("log10_drop", "log10_drop_lower", "log10_drop_upper")]
            fall, change = drop_text(*bounds), wording.fall_or_rise(*bounds)
        found.append(
            (
                day,
                CmvRow(
                    row["visit"], day_text(day), row["result_raw"], row["unit"], kind,
                    KIND_TEXT.get(kind, kind), height or "none", fall, change, here,
                ),
            )
        )  # fmt: skip
    found.sort(key=lambda pair: (math.isnan(pair[0]), pair[0]))
    return tuple(row for _, row in found)


def assay_note(source: Source, subject: str) -> str:
    """Assay, specimen and limits of the results of a subject."""
    seen = []
    for row in source.records["virology"]:
        if row["usubjid"] == subject:
            assay = source.config.assays.get(row["assay_id"])
            name = assay.name if assay else row["assay_id"]
            limits = [
                f"{label} {wording.plain(row[key])} {row['unit']}"
                for label, key in (("LOD", "lod"), ("LLOQ", "lloq"), ("ULOQ", "uloq"))
                if not math.isnan(row[key])
            ]
            seen.append(f"{name}, {row['specimen']}, {', '.join(limits)}")
    return "; ".join(dict.fromkeys(seen)) or "no assay: no CMV-DNA result"


def shown_labs(source: Source, subject: str, visit: str) -> list[tuple[float, dict[str, Any]]]:
    """(day, value) of each test nearest to the visit, then the unscheduled ones since the previous visit."""
    anchor = source.anchors.get(subject)
    here = source.visit_day(subject, visit)
    before = source.previous_row(subject, visit)
    since = -math.inf if before is None else source.visit_day(subject, source.obs(before, "visit"))
    nearest: dict[str, tuple[float, dict[str, Any]]] = {}
    loose: list[tuple[float, dict[str, Any]]] = []
    for row in source.labs_of(subject):
        day = days_since(anchor, row["collected_dtc"])
        if row["visit"].startswith("UNS") and since < day <= here:
            loose.append((day, row))
        # Later values were not known at the visit: only those of the visit itself may be drawn after it.
        elif row["visit"] == visit or -LAB_WINDOW_DAYS <= day - here <= 0:
            test = row["test"]
            if test not in nearest or abs(day - here) < abs(nearest[test][0] - here):
                nearest[test] = (day, row)
    order = {test: place for place, test in enumerate(schema.LAB_TESTS)}
    listed = sorted(nearest.values(), key=lambda pair: order.get(pair[1]["test"], 99))
    return listed + sorted(loose, key=lambda pair: pair[0])


def lab_rows(source: Source, subject: str, visit: str) -> tuple[LabRow, ...]:
    """Laboratory values near the visit (nearest of each test), and unscheduled ones since the previous visit."""
    return tuple(_lab(row, day) for day, row in shown_labs(source, subject, visit))


def _lab(row: dict[str, Any], day: float) -> LabRow:
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


def exception_rows(source: Source, subject: str = "", visit: str = "") -> tuple[ExceptionRow, ...]:
    """Exceptions that touch a visit (or all, without a subject); messages are hidden when blinded.

    A message may hold a file name, a date, a drug or an arm, so that a blinded page keeps only the code.
    """
    samples = {
        name for name, row in source.sample_rows.items()
        if (row["usubjid"], row["visit"]) == (subject, visit)
    }  # fmt: skip
    found = []
    for row in source.records["exceptions"]:
        touches = (
            not subject or (row["usubjid"] == subject and row["visit"] in (visit, "")) or row["sample_id"] in samples
        )
        if not touches:
            continue
        place = " ".join(part for part in (row["sample_id"], row["file"]) if part)
        message = row["message"] + (f" [{place}]" if place else "")
        found.append(
            ExceptionRow(
                row["usubjid"], row["visit"], row["stage"], row["severity"], row["code"],
                "(hidden in blinded mode)" if source.blinded else message,
                "" if source.blinded else row["action"],
            )
        )  # fmt: skip
    return tuple(found)
