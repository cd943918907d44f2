"""The CMV-DNA results of a study as series: baseline, day, and fall from baseline."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Protocol

from immunoprofile.errors import ImmunoprofileError, Problems, StudyError
from immunoprofile.io.dates import days_between, drawn_before, first_dose
from immunoprofile.schema import VIROLOGY_COLUMNS
from immunoprofile.virology.results import Bounds, CmvResult, drop_bounds, parse_result

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from immunoprofile.io.config import StudyConfig

VIROLOGY_FLAGS_COLUMN: Final = "flags"
"""Column after ``schema.VIROLOGY_COLUMNS``: CMV_BLQ, CMV_TND, ASSAY_CHANGED, joined by a blank."""

BASELINE_WINDOW_DAYS: Final = 7
NOTHING: Final = Bounds(math.nan, math.nan, math.nan)
_INVALID: Final = CmvResult("INVALID", math.nan, math.nan, math.nan)


class HasCmv(Protocol):
    """The part of a study that this room reads."""

    @property
    def config(self) -> StudyConfig:
        """Assays."""

    @property
    def subjects(self) -> pd.DataFrame:
        """Dates of the first doses."""

    @property
    def cmv_dna(self) -> pd.DataFrame:
        """Results as the laboratory wrote them."""


def cmv_results(
    study: HasCmv, *, baseline_window_days: int = BASELINE_WINDOW_DAYS, problems: Problems | None = None
) -> pd.DataFrame:
    """All CMV-DNA results of a study: kind, value, bounds, baseline and fall from it.

    Parameters
    ----------
    study
        Anything with ``config.assays`` and the tables ``subjects`` and ``cmv_dna``.
    baseline_window_days
        Baseline is the last valid result on or before the first dose of either study drug, at most so many days
        earlier, of the same assay and specimen.
    problems
        Collects results that cannot be read; they become INVALID rows. Without it they are raised.

    Returns
    -------
    DataFrame with ``schema.VIROLOGY_COLUMNS`` and ``flags``, sorted by subject, time, assay and specimen, one row a
    result. ``virology_day`` is Int64, 0 on the day of the first ganciclovir. A series is one assay and one specimen:
    where a subject changes either, the row has the flag ASSAY_CHANGED, and no fall is computed across the change.

    Raises
    ------
    StudyError
        Results cannot be read, name an unknown assay, or another unit or specimen than the assay; all at once.
    """
    import pandas as pd

    collected = Problems() if problems is None else problems
    before = len(collected)
    table = study.cmv_dna
    records = zip(table.index, table.to_dict("records"), strict=True)
    parsed = [_read(row, int(number), study.config, collected) for number, row in records]
    if problems is None and len(collected) > before:
        raise StudyError("CMV-DNA results cannot be used", collected.found, where="cmv_dna",
                         todo="correct the rows, or the assays in study.yaml")  # fmt: skip
    columns = [*VIROLOGY_COLUMNS, VIROLOGY_FLAGS_COLUMN]
    subjects = study.subjects.drop_duplicates("usubjid").set_index("usubjid")
    order = sorted(range(len(table)), key=lambda number: _sort_key(table, number))
    by_subject: dict[str, list[int]] = {}
    for number in order:
        by_subject.setdefault(str(table["usubjid"].iloc[number]), []).append(number)
    rows: list[dict[str, object]] = []
    for usubjid, numbers in by_subject.items():
        subject = dict(subjects.loc[usubjid]) if usubjid in subjects.index else {}
        rows += _subject_rows(table, numbers, parsed, subject, study.config, baseline_window_days)
    frame = pd.DataFrame(rows, columns=columns)
    numeric = [
        "value", "log10_value", "log10_lower", "log10_upper", "lloq", "lod", "uloq", "log10_drop", "log10_drop_lower",
        "log10_drop_upper",
    ]  # fmt: skip
    return frame.astype(dict.fromkeys(numeric, "float64") | {"virology_day": "Int64", "is_baseline": "bool"})


def _read(row: dict[Any, Any], number: int, config: StudyConfig, problems: Problems) -> CmvResult:
    assay_id = str(row["assay_id"])
    assay = config.assays.get(assay_id)
    if assay is None:
        problems.add("cmv_dna", "unknown assay", row=number, column="assay_id", value=assay_id,
                     allowed=", ".join(config.assays))  # fmt: skip
        return _INVALID
    if row["specimen"] != assay.specimen:
        problems.add("cmv_dna", f"the assay is registered for {assay.specimen}", row=number, column="specimen",
                     value=row["specimen"], allowed=assay.specimen)  # fmt: skip
        return _INVALID
    try:
        return parse_result(_text(row["result_raw"]), assay, unit=_text(row["unit"]))
    except ImmunoprofileError as error:
        problems.add("cmv_dna", str(error), row=number, column="result_raw", value=row["result_raw"])
        return _INVALID


def _subject_rows(
    table: pd.DataFrame,
    numbers: list[int],
    parsed: list[CmvResult],
    subject: Mapping[Any, Any],
    config: StudyConfig,
    window: int,
) -> list[dict[str, object]]:
    dose = first_dose(subject)
    first_gcv = _text(subject.get("first_gcv_dtc"))
    dates = {number: _text(table["collected_dtc"].iloc[number]) for number in numbers}
    series = {number: (str(table["assay_id"].iloc[number]), str(table["specimen"].iloc[number])) for number in numbers}
    baselines: dict[tuple[str, str], int] = {}
    for number in numbers:
        if parsed[number].valid and _is_before(dates[number], dose, window):
            baselines[series[number]] = number
    rows: list[dict[str, object]] = []
    seen: set[tuple[str, str]] = set()
    previous: tuple[str, str] | None = None
    for number in numbers:
        result, source = parsed[number], table.iloc[number]
        own = series[number]
        baseline = baselines.get(own)
        fall = NOTHING
        if baseline is not None and result.valid and numbers.index(number) >= numbers.index(baseline):
            fall = Bounds(0.0, 0.0, 0.0) if number == baseline else drop_bounds(parsed[baseline], result)
            if number == baseline and result.kind != "QUANT":
                fall = NOTHING
        changed = bool(seen) and own != previous
        seen.add(own)
        previous = own
        codes = [{"BLQ": "CMV_BLQ", "TND": "CMV_TND"}.get(result.kind, ""), "ASSAY_CHANGED" if changed else ""]
        assay = config.assays.get(own[0])
        entry: tuple[object, ...] = (
            str(source["usubjid"]), _text(source.get("visit")), dates[number], days_between(first_gcv, dates[number]),
            own[0], own[1], _text(source["unit"]), _text(source["result_raw"]), result.kind, result.value,
            result.log10_value, result.log10_lower, result.log10_upper, *_assay_limits(assay), number == baseline,
            fall.point, fall.lower, fall.upper, " ".join(code for code in codes if code),
        )  # fmt: skip
        rows.append(dict(zip([*VIROLOGY_COLUMNS, VIROLOGY_FLAGS_COLUMN], entry, strict=True)))
    return rows


def _assay_limits(assay: object) -> tuple[float, float, float]:
    limits = (getattr(assay, name, None) for name in ("lloq", "lod", "uloq"))
    lloq, lod, uloq = (math.nan if limit is None else float(limit) for limit in limits)
    return lloq, lod, uloq


def _is_before(date: str, dose: str, window: int) -> bool:
    """Drawn before the dose, and not longer before it than the window."""
    days = days_between(dose, date)
    return days is not None and days >= -window and drawn_before(date, dose)


def _sort_key(table: pd.DataFrame, number: int) -> tuple[str, ...]:
    names = ("usubjid", "collected_dtc", "assay_id", "specimen", "result_raw")
    return tuple(_text(table[name].iloc[number]) for name in names)


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""
