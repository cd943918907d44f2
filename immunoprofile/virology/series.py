"""The CMV-DNA results of a study as series: baseline, day, and fall from baseline."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from immunoprofile.errors import ImmunoprofileError, Problems, StudyError
from immunoprofile.io.dates import days_between, drawn_before, first_dose
from immunoprofile.io.records import numbered, records
from immunoprofile.schema import LOG10, VIROLOGY_COLUMNS, cmv_unit, linear_unit
from immunoprofile.virology.bare_logarithms import bare_logarithms
from immunoprofile.virology.result_text import parse_result
from immunoprofile.virology.results import Bounds, Censoring, CmvResult, drop_bounds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from immunoprofile.io.cmv_assay import Assay
    from immunoprofile.io.config import StudyConfig

VIROLOGY_FLAGS_COLUMN: Final = "flags"
"""Column after ``schema.VIROLOGY_COLUMNS``: CMV_BLQ, CMV_TND, ASSAY_CHANGED, BLIP (`evaluate`), joined by a blank."""

BASELINE_WINDOW_DAYS: Final = 7
NOTHING: Final = Bounds(math.nan, math.nan, math.nan)
_INVALID: Final = CmvResult("INVALID", math.nan, math.nan, math.nan)
_IF_LOGARITHM: Final = "log10 IU/mL or log10 copies/mL in the column unit if it is one, else the number with its unit"
_ORDER: Final = ("usubjid", "collected_dtc", "assay_id", "specimen", "result_raw")
_LAST_PLACE: Final = 0.01
"""Logarithms of limits stand on reports with two decimals."""


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
    study: HasCmv,
    *,
    baseline_window_days: int = BASELINE_WINDOW_DAYS,
    as_of: str = "",
    censoring: Censoring = "lloq",
    problems: Problems | None = None,
) -> pd.DataFrame:
    """All CMV-DNA results of a study: kind, value, bounds, baseline and fall from it.

    Parameters
    ----------
    study
        Anything with ``config.assays`` and the tables ``subjects`` and ``cmv_dna``.
    baseline_window_days
        Baseline is the last valid result on or before the first dose of either study drug, at most so many days
        earlier, of the same assay and specimen.
    as_of
        ISO date of the data cut (or of today): a result that was collected after it is a problem. Empty: not checked,
        the package never asks the clock.
    censoring
        ``lloq``, or ``lod`` for the sensitivity analysis of `parse_result`.
    problems
        Collects results that cannot be read; they become INVALID rows. Without it they are raised.

    Returns
    -------
    DataFrame with ``schema.VIROLOGY_COLUMNS`` and ``flags``, sorted by subject, time, assay and specimen, one row a
    result. ``unit`` is that of ``value``, also where the row declares a logarithm. ``virology_day`` is Int64, 0 on the
    day of the first ganciclovir. A series is one assay and one specimen: where a subject changes either, the row has
    the flag ASSAY_CHANGED, and no fall is computed across the change.

    Raises
    ------
    StudyError
        Results cannot be read, look like bare logarithms, name an unknown assay, or another unit, specimen or limit
        than the assay; were collected after ``as_of``, after death or before the assay was valid; all at once.
    """
    import pandas as pd

    collected = Problems() if problems is None else problems
    before = len(collected)
    table = list(numbered(study.cmv_dna, "cmv_dna"))
    samples = [row for _, row in table]
    subjects = {row["usubjid"]: row for row in reversed(records(study.subjects, "subjects"))}
    latest = _Latest(as_of, {usubjid: row["death_dtc"] for usubjid, row in subjects.items()})
    parsed = [_read(row, number, study.config, latest, censoring, collected) for number, row in table]
    for place, why in bare_logarithms(samples, study.config.assays, parsed).items():
        parsed[place] = _INVALID
        collected.add("cmv_dna", why, row=table[place][0], column="result_raw", value=samples[place]["result_raw"],
                      allowed=_IF_LOGARITHM)  # fmt: skip
    if problems is None and len(collected) > before:
        raise StudyError("CMV-DNA results cannot be used", collected.found, where="cmv_dna",
                         todo="correct the rows, or the assays in study.yaml")  # fmt: skip
    columns = [*VIROLOGY_COLUMNS, VIROLOGY_FLAGS_COLUMN]
    by_subject: dict[str, list[int]] = {}
    for number in sorted(range(len(samples)), key=lambda number: tuple(samples[number][name] for name in _ORDER)):
        by_subject.setdefault(samples[number]["usubjid"], []).append(number)
    rows: list[dict[str, object]] = []
    for usubjid, numbers in by_subject.items():
        rows += _subject_rows(samples, numbers, parsed, subjects.get(usubjid, {}), study.config, baseline_window_days)
    frame = pd.DataFrame(rows, columns=columns)
    numeric = [
        "value", "log10_value", "log10_lower", "log10_upper", "lloq", "lod", "uloq", "log10_drop", "log10_drop_lower",
        "log10_drop_upper",
    ]  # fmt: skip
    return frame.astype(dict.fromkeys(numeric, "float64") | {"virology_day": "Int64", "is_baseline": "bool"})


class _Latest(NamedTuple):
    """Dates that no result can come after."""

    as_of: str
    deaths: Mapping[str, str]


def _read(
    row: dict[Any, Any], number: int, config: StudyConfig, latest: _Latest, censoring: Censoring, problems: Problems
) -> CmvResult:
    """One result; INVALID when anything about its row is a problem, and every problem is noted."""
    before = len(problems)
    assay_id = row["assay_id"]
    assay = config.assays.get(assay_id)
    _check_date(row, number, assay, latest, problems)
    if assay is None:
        problems.add("cmv_dna", "unknown assay", row=number, column="assay_id", value=assay_id,
                     allowed=", ".join(config.assays))  # fmt: skip
        return _INVALID
    if row["specimen"] != assay.specimen:
        problems.add("cmv_dna", f"the assay is registered for {assay.specimen}", row=number, column="specimen",
                     value=row["specimen"], allowed=assay.specimen)  # fmt: skip
    for name in ("lod", "lloq", "uloq"):
        stated, registered = row[name], getattr(assay, name)
        if not math.isnan(stated) and not _same_limit(stated, registered, row):
            limit = "no limit" if registered is None else f"{registered:g}"
            problems.add("cmv_dna", f"contradicts the {name} of assay {assay_id} in study.yaml", row=number,
                         column=name, value=stated,
                         allowed=f"{limit}; correct the cell, or register the assay with its limits")  # fmt: skip
    try:
        result = parse_result(row["result_raw"], assay, unit=row["unit"], censoring=censoring)
    except ImmunoprofileError as error:
        problems.add("cmv_dna", str(error), row=number, column="result_raw", value=row["result_raw"])
    return result if len(problems) == before else _INVALID


def _same_limit(stated: float, registered: float | None, row: Mapping[Any, Any]) -> bool:
    """Whether a limit on a report is that of the assay; in a row of logarithms it is one, to two decimals."""
    if registered is None or not cmv_unit(row["unit"]).startswith(LOG10):
        return stated == registered
    return abs(stated - math.log10(registered)) <= _LAST_PLACE


def _shown_result(source: Mapping[str, Any]) -> str:
    """The result as the laboratory wrote it; a bare logarithm says that it is one."""
    raw, unit = source["result_raw"], cmv_unit(source["unit"])
    bare = unit.startswith(LOG10) and "log" not in raw.casefold() and any(sign.isdigit() for sign in raw)
    return f"{raw} {unit}" if bare else raw


def _check_date(row: dict[Any, Any], number: int, assay: Assay | None, latest: _Latest, problems: Problems) -> None:
    collected = row["collected_dtc"]
    death = latest.deaths.get(row["usubjid"], "")
    limits = (
        (latest.as_of, "collected after the data cut", "on or before"),
        (death, "collected after the death of the subject", "on or before"),
    )
    for limit, what, allowed in limits:
        days = days_between(limit, collected)
        if days is not None and days > 0:
            problems.add("cmv_dna", what, row=number, column="collected_dtc", value=collected,
                         allowed=f"{allowed} {limit}: correct the date")  # fmt: skip
    days = None if assay is None else days_between(assay.valid_from, collected)
    if assay is not None and days is not None and days < 0:
        problems.add("cmv_dna", f"assay {row['assay_id']} is valid from {assay.valid_from}", row=number,
                     column="collected_dtc", value=collected,
                     allowed="a later date, or the assay in use on that day registered in study.yaml")  # fmt: skip


def _subject_rows(
    samples: Sequence[Mapping[str, Any]],
    numbers: list[int],
    parsed: list[CmvResult],
    subject: Mapping[Any, Any],
    config: StudyConfig,
    window: int,
) -> list[dict[str, object]]:
    dose = first_dose(subject)
    first_gcv = subject.get("first_gcv_dtc", "")
    dates = {number: samples[number]["collected_dtc"] for number in numbers}
    series = {number: (samples[number]["assay_id"], samples[number]["specimen"]) for number in numbers}
    baselines: dict[tuple[str, str], int] = {}
    for number in numbers:
        if parsed[number].valid and _is_before(dates[number], dose, window):
            baselines[series[number]] = number
    rows: list[dict[str, object]] = []
    seen: set[tuple[str, str]] = set()
    previous: tuple[str, str] | None = None
    for number in numbers:
        result, source = parsed[number], samples[number]
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
            source["usubjid"], source["visit"], dates[number], days_between(first_gcv, dates[number]),
            own[0], own[1], linear_unit(cmv_unit(source["unit"])), _shown_result(source), result.kind, result.value,
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
