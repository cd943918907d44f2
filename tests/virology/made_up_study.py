"""Small studies of CMV-DNA series, written as (day, text) from the first ganciclovir at 09:00 on 2024-01-01."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import pandas as pd

from immunoprofile.io.cmv_assay import Assay
from immunoprofile.virology import rules
from immunoprofile.virology.rulebook import RuleBook

ROCHE = Assay(name="CAP/CTM", unit="IU/mL", specimen="plasma", lod=91, lloq=137, uloq=9.1e6)
BLOOD = Assay(name="in-house", unit="copies/mL", specimen="whole_blood", lloq=500)
FIRST_GCV = "2024-01-01T09:00"
GOLDEN: tuple[tuple[int, str], ...] = ((0, "10000"), (7, "12000"), (14, "800"), (21, "<137"), (28, "TND"))
"""Series whose rules and kinetics are known by hand and from R."""

Series = Iterable[tuple[int, str]]


def day_text(day: int, time: str = "T08:00") -> str:
    return (date(2024, 1, 1) + timedelta(days=day)).isoformat() + time


@dataclass
class Config:
    assays: dict[str, Assay] = field(default_factory=lambda: {"R": ROCHE, "B": BLOOD})


@dataclass
class MadeUpStudy:
    config: Config
    subjects: pd.DataFrame
    cmv_dna: pd.DataFrame
    dosing: pd.DataFrame
    events: pd.DataFrame

    def with_results(self, table: pd.DataFrame) -> MadeUpStudy:
        return replace(self, cmv_dna=table)


def made_up(series: Series, *, assay: str = "R", **subject: Any) -> MadeUpStudy:
    """One subject S1 with one series; ``subject`` sets columns of its row in subjects."""
    one = Config().assays[assay]
    rows = [
        {"usubjid": "S1", "visit": f"d{day}", "collected_dtc": day_text(day), "result_raw": text, "unit": one.unit,
         "assay_id": assay, "specimen": one.specimen, "genotype": None}
        for day, text in series
    ]  # fmt: skip
    columns = ["usubjid", "visit", "collected_dtc", "result_raw", "unit", "assay_id", "specimen", "genotype"]
    person = {"usubjid": "S1", "first_gcv_dtc": FIRST_GCV, "first_dose_dtc": FIRST_GCV, "death_dtc": None} | subject
    return MadeUpStudy(
        Config(),
        pd.DataFrame([person]),
        pd.DataFrame(rows, columns=columns),
        pd.DataFrame(columns=["usubjid", "drug", "start_dtc", "end_dtc"]),
        pd.DataFrame(columns=["usubjid", "paramcd", "start_dtc", "left_day", "right_day", "censored"]),
    )


def dosed(first: int = 0, last: int = 90, verdict: str = "TRUE", drug: str = "GCV") -> pd.DataFrame:
    """S1 appropriately dosed (or not) from day to day."""
    return pd.DataFrame(
        [("S1", first, last, drug, verdict)],
        columns=["usubjid", "from_day", "to_day", "drug", "appropriately_dosed"],
    )


def event(kind: str, day: float, *, censored: bool = False) -> pd.DataFrame:
    return pd.DataFrame(
        [("S1", kind, day_text(0, ""), None, day, censored)],
        columns=["usubjid", "paramcd", "start_dtc", "left_day", "right_day", "censored"],
    )


def antiviral(last_day: int) -> pd.DataFrame:
    return pd.DataFrame(
        [("S1", "GCV", day_text(0), day_text(13)), ("S1", "VGCV", day_text(14), day_text(last_day))],
        columns=["usubjid", "drug", "start_dtc", "end_dtc"],
    )


def judged(study: MadeUpStudy, *, adequacy: pd.DataFrame | None = None, book: RuleBook | None = None) -> pd.DataFrame:
    """Table of rules with the rule id as index."""
    return rules(study, adequacy=adequacy, book=book).set_index("rule_id")


def verdict(series: Series, rule: str, *, dose: bool = True, **subject: Any) -> str:
    table = judged(made_up(series, **subject), adequacy=dosed() if dose else None)
    return str(table.loc[rule, "result"])
