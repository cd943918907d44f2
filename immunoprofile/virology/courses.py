"""The course of one subject as the rules and kinetics see it: one series, dated, one result a day, and its inputs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from immunoprofile.errors import AnalysisError
from immunoprofile.io.dates import days_between, first_dose
from immunoprofile.io.records import records
from immunoprofile.schema import CONFOUNDED_COLUMNS, DOSE_ADEQUACY_COLUMNS
from immunoprofile.virology.series import HasCmv

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

ANTIVIRALS: Final = ("GCV", "VGCV")
_BELOW: Final = ("BLQ", "TND")


class HasCourses(HasCmv, Protocol):
    """The part of a study that the rules read: results, first doses, deaths, doses and events."""

    @property
    def dosing(self) -> pd.DataFrame:
        """Ganciclovir and valganciclovir with their dates."""

    @property
    def events(self) -> pd.DataFrame:
        """Rescue antiviral and death."""


@dataclass(frozen=True)
class Sample:
    """A valid result of a course: when, what, and its bounds on the log10 scale (NaN is open).

    ``day`` counts from the first ganciclovir; it is meaningless while ``Course.anchored`` is false.
    """

    date: str
    day: int
    kind: str
    value: float
    lower: float
    upper: float
    lloq: float
    unit: str
    row: int
    """Place of the result in the table of results."""

    @property
    def below(self) -> bool:
        """Below the limit of quantification, detected or not."""
        return self.kind in _BELOW

    @property
    def negative(self) -> bool:
        """Not detected."""
        return self.kind == "TND"

    @property
    def text(self) -> str:
        """For people: date, day and result."""
        shown = {"QUANT": f"{self.value:g} {self.unit}", "BLQ": f"<{self.lloq:g} {self.unit}", "TND": ""}
        words = f"{self.date} (day {self.day}) {self.kind} {shown.get(self.kind, f'>{10**self.lower:g} {self.unit}')}"
        return words.rstrip()


@dataclass(frozen=True)
class Dosing:
    """Days on which an antiviral was appropriately dosed, was not, or where it is not known."""

    good: frozenset[int]
    bad: frozenset[int]

    def before(self, day: int, *, days: int, ended_within: int) -> bool:
        """So many consecutive good days lie before ``day`` and ended at most ``ended_within`` days before it."""
        run = 0
        for one in range(min(self.good, default=day), day):
            run = run + 1 if one in self.good else 0
            if run >= days and one >= day - 1 - ended_within:
                return True
        return False


@dataclass(frozen=True)
class Confounder:
    """A drug or procedure that changes CMV-DNA by itself, and the ISO dates in which it counts; empty is open."""

    agent: str
    drug: str
    first: str
    last: str
    effect: str

    def touches(self, first: str, last: str) -> bool:
        """Whether it was, or may have been, active between two dates, both included."""
        return (not self.first or self.first <= last) and (not self.last or self.last >= first)


@dataclass(frozen=True)
class Course:
    """One subject.

    Attributes
    ----------
    anchored
        The first ganciclovir is known: samples have a day.
    dosed
        The first dose of either study drug is known.
    series, specimen
        Assay and specimen of the samples, and the specimen alone; others are never mixed in.
    baseline
        Of that series.
    samples
        Baseline and what follows it (without one: from day 0 on), in order of time, the highest of each day.
    left_out
        What the course could not use, in words.
    dosing
        None without a table of dose adequacy for the subject.
    rescue_known, rescue_day
        Whether it is recorded that the antiviral was switched for efficacy or not, and when it was.
    death_day
        Day of death, None when alive or unknown.
    stop_day
        Last day of ganciclovir or valganciclovir; None while it goes on or when it is not known.
    genotypes
        (day, text) of resistance tests.
    confounders
        Drugs that change CMV-DNA by themselves.
    """

    usubjid: str
    anchored: bool
    dosed: bool
    series: str = ""
    specimen: str = ""
    unit: str = ""
    baseline: Sample | None = None
    samples: tuple[Sample, ...] = ()
    left_out: tuple[str, ...] = ()
    dosing: Dosing | None = None
    rescue_known: bool = False
    rescue_day: int | None = None
    death_day: int | None = None
    stop_day: int | None = None
    genotypes: tuple[tuple[int, str], ...] = ()
    iu_factor: float = math.nan
    confounders: tuple[Confounder, ...] = ()

    def confounded(self, until: str = "") -> tuple[Confounder, ...]:
        """Confounders that were, or may have been, active from the first sample to a date (the last sample)."""
        if not self.samples:
            return ()
        last = until or self.samples[-1].date
        return tuple(one for one in self.confounders if one.touches(self.samples[0].date, last))

    @property
    def later(self) -> tuple[Sample, ...]:
        """Samples after the baseline."""
        return tuple(sample for sample in self.samples if sample is not self.baseline)

    def has(self, name: str) -> bool:
        """Whether an input that rules name is there."""
        return {
            "first_dose": self.dosed,
            "first_gcv": self.anchored,
            "baseline": self.baseline is not None,
            "results": bool(self.later),
            "any_result": bool(self.samples),
            "plasma": self.specimen == "plasma",
            "adequacy": self.dosing is not None,
            "genotype": bool(self.genotypes),
            "antiviral_stop": self.stop_day is not None,
            "rescue": self.rescue_known,
            "iu_factor": not math.isnan(self.iu_factor),
        }[name]

    def until(self, day: int) -> Course:
        """What was known of the course on a day (results of that day included)."""
        return replace(
            self,
            samples=tuple(sample for sample in self.samples if sample.day <= day),
            rescue_day=self.rescue_day if self.rescue_day is not None and self.rescue_day <= day else None,
            stop_day=self.stop_day if self.stop_day is not None and self.stop_day <= day else None,
            genotypes=tuple(one for one in self.genotypes if one[0] <= day),
        )


def courses(
    study: HasCourses,
    results: pd.DataFrame,
    adequacy: pd.DataFrame | None = None,
    *,
    confounders: pd.DataFrame | None = None,
) -> list[Course]:
    """Courses of all subjects of a study, in the order of their ids; also of subjects without any result.

    Parameters
    ----------
    study
        Subjects, doses, events, resistance tests.
    results
        Table of `cmv_results`.
    adequacy
        ``schema.DOSE_ADEQUACY_COLUMNS`` (more columns do not matter), from the doses; None: not known.
    confounders
        ``schema.CONFOUNDED_COLUMNS`` (more columns do not matter): drugs that change CMV-DNA by themselves.

    Raises
    ------
    AnalysisError
        ``adequacy`` or ``confounders`` lacks a column, or ``adequacy`` holds another word than TRUE, FALSE or UNKNOWN.
    """
    doses, others = _dosing(adequacy), _confounders(confounders)
    subjects = study.subjects.drop_duplicates("usubjid").sort_values("usubjid")
    of_subject: dict[str, list[dict[str, Any]]] = {}
    for place, row in enumerate(records(results, "virology")):
        of_subject.setdefault(row["usubjid"], []).append({**row, "row": place})
    found = []
    for subject in records(subjects, "subjects"):
        usubjid, anchor = subject["usubjid"], subject["first_gcv_dtc"]
        anchored = days_between(anchor, anchor) is not None
        rescue_known, rescue_day, died = _events(study, usubjid, anchor)
        death_day = days_between(anchor, subject["death_dtc"])
        course = Course(
            usubjid, anchored, bool(first_dose(subject)), dosing=doses.get(usubjid), rescue_known=rescue_known,
            rescue_day=rescue_day, death_day=died if death_day is None else death_day,
            stop_day=_stop_day(study, usubjid, anchor), genotypes=_genotypes(study, usubjid, anchor),
            confounders=others.get(usubjid, ()),
        )  # fmt: skip
        found.append(_with_samples(course, of_subject.get(usubjid, []), study))
    return found


def _with_samples(course: Course, rows: list[dict[str, Any]], study: HasCourses) -> Course:
    """The series of the baseline, and words for what is not in it.

    Of several, the one whose assay stands first in study.yaml: chosen before any result is seen. Without a baseline,
    the one that begins first.
    """
    valid = [row for row in rows if row["kind"] != "INVALID"]
    dated = [row for row in valid if days_between(row["collected_dtc"], row["collected_dtc"]) is not None]
    notes = []
    if len(valid) < len(rows):
        notes.append(f"{len(rows) - len(valid)} invalid")
    if len(dated) < len(valid):
        notes.append(f"{len(valid) - len(dated)} without a full date")
    if not dated:
        return replace(course, left_out=tuple(notes))
    by_series: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in dated:
        by_series.setdefault((row["assay_id"], row["specimen"]), []).append(row)

    registered = list(study.config.assays)

    def rank(key: tuple[str, str]) -> tuple[bool, int, str, tuple[str, str]]:
        own, place = by_series[key], registered.index(key[0])
        has_baseline = any(row["is_baseline"] for row in own)
        first = min(row["collected_dtc"] for row in own)
        return not has_baseline, place if has_baseline else 0, first, key

    chosen = min(by_series, key=rank)
    own = by_series[chosen]
    if len(own) < len(dated):
        notes.append(f"{len(dated) - len(own)} of another assay or specimen")
    base_row = next((row for row in own if row["is_baseline"]), None)
    baseline = None if base_row is None else _sample(base_row)
    days: dict[str, Sample] = {}
    for row in sorted(own, key=lambda row: row["collected_dtc"]):
        sample = _sample(row)
        if row is base_row or (baseline is None and (not course.anchored or sample.day < 0)):
            continue
        if baseline is not None and row["collected_dtc"][:10] <= baseline.date:
            continue
        held = days.get(sample.date)
        days[sample.date] = sample if held is None or _height(sample) > _height(held) else held
    samples = tuple(days[date] for date in sorted(days))
    assay = study.config.assays[chosen[0]]
    return replace(
        course, series=", ".join(chosen), specimen=chosen[1], unit=assay.unit, baseline=baseline, left_out=tuple(notes),
        samples=samples if baseline is None else (baseline, *samples),
        iu_factor=math.nan if assay.iu_factor is None else assay.iu_factor,
    )  # fmt: skip


def _sample(row: Mapping[str, Any]) -> Sample:
    day = row["virology_day"]
    return Sample(
        row["collected_dtc"][:10], 0 if math.isnan(day) else int(day), row["kind"], row["value"], row["log10_lower"],
        row["log10_upper"], row["lloq"], row["unit"], row["row"],
    )  # fmt: skip


def _height(sample: Sample) -> tuple[int, float]:
    """Order of two results of one day: what is positive is not undone by what is not."""
    order = ("TND", "BLQ", "QUANT", "ALQ").index(sample.kind)
    return order, sample.value if sample.kind == "QUANT" else 0.0


def _dosing(adequacy: pd.DataFrame | None) -> dict[str, Dosing]:
    if adequacy is None:
        return {}
    missing = [name for name in DOSE_ADEQUACY_COLUMNS if name not in adequacy.columns]
    if missing:
        raise AnalysisError(f"no column {', '.join(missing)}", where="table of dose adequacy",
                            todo=f"columns: {', '.join(DOSE_ADEQUACY_COLUMNS)}")  # fmt: skip
    good: dict[str, set[int]] = {}
    bad: dict[str, set[int]] = {}
    for row in records(adequacy, "dose_adequacy"):
        usubjid, verdict = row["usubjid"], row["appropriately_dosed"].upper()
        if verdict not in ("TRUE", "FALSE", "UNKNOWN"):
            raise AnalysisError(f"appropriately_dosed is {row['appropriately_dosed']!r}", where=usubjid,
                                todo="TRUE, FALSE or UNKNOWN")  # fmt: skip
        good.setdefault(usubjid, set())
        bad.setdefault(usubjid, set())
        limits = [row["from_day"], row["to_day"]]
        if row["drug"] not in ANTIVIRALS or any(math.isnan(limit) for limit in limits):
            continue  # a day that is not known stays a day that nothing is known about
        days = range(int(limits[0]), int(limits[1]) + 1)
        (good if verdict == "TRUE" else bad)[usubjid].update(days)
    return {name: Dosing(frozenset(good[name] - bad[name]), frozenset(bad[name])) for name in good}


def _confounders(table: pd.DataFrame | None) -> dict[str, tuple[Confounder, ...]]:
    if table is None:
        return {}
    missing = [name for name in CONFOUNDED_COLUMNS if name not in table.columns]
    if missing:
        raise AnalysisError(f"no column {', '.join(missing)}", where="table of drugs that change CMV-DNA",
                            todo=f"columns: {', '.join(CONFOUNDED_COLUMNS)}")  # fmt: skip
    found: dict[str, tuple[Confounder, ...]] = {}
    for row in records(table, "cmv_confounders"):
        usubjid, agent, drug, first, last, effect = (row[name] for name in CONFOUNDED_COLUMNS)
        found[usubjid] = (*found.get(usubjid, ()), Confounder(agent, drug, first, last, effect))
    return found


def _events(study: HasCourses, usubjid: str, anchor: str) -> tuple[bool, int | None, int | None]:
    """Whether rescue is known, its day, and the day of a death; days count from the first ganciclovir."""
    table = getattr(study, "events", None)
    if table is None or not len(table):
        return False, None, None
    days: dict[str, list[int]] = {}
    known = True
    for row in records(table[table["usubjid"] == usubjid], "events"):
        if row["censored"] or row["paramcd"] not in ("RESCUE", "DEATH"):
            continue
        start = days_between(anchor, row["start_dtc"])
        if start is None or math.isnan(row["right_day"]):
            # It happened, but when is not known: the rule cannot be answered, and nothing is made up.
            known = known and row["paramcd"] != "RESCUE"
            continue
        days.setdefault(row["paramcd"], []).append(start + int(row["right_day"]))
    return known, min(days.get("RESCUE", []), default=None), min(days.get("DEATH", []), default=None)


def _stop_day(study: HasCourses, usubjid: str, anchor: str) -> int | None:
    table = getattr(study, "dosing", None)
    if table is None or not len(table):
        return None
    own = table[(table["usubjid"] == usubjid) & table["drug"].isin(ANTIVIRALS)]
    ends = [days_between(anchor, end) for end in own["end_dtc"]]
    known = [end for end in ends if end is not None]
    return max(known) if known and len(known) == len(ends) else None


def _genotypes(study: HasCourses, usubjid: str, anchor: str) -> tuple[tuple[int, str], ...]:
    table = study.cmv_dna
    if "genotype" not in table.columns:
        return ()
    own = records(table[(table["usubjid"] == usubjid) & table["genotype"].notna()], "cmv_dna")
    found = [(days_between(anchor, row["collected_dtc"]), row["genotype"]) for row in own]
    return tuple(sorted((day, text) for day, text in found if day is not None and text))
