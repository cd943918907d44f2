"""What this room reads of a study, and the days on which a study knows a subject."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Protocol

from immunoprofile.io.records import cells, records, text_of

if TYPE_CHECKING:
    import pandas as pd

    from immunoprofile.io.config import StudyConfig

_DAY = len("2024-01-01")
_DATED = {
    "visits": "start_dtc", "labs": "collected_dtc", "cmv_dna": "collected_dtc", "samples": "collected_dtc",
    "dosing": "start_dtc", "attestations": "dtc",
}  # fmt: skip


class HasClinical(Protocol):
    """The part of a study that this room reads."""

    @property
    def config(self) -> StudyConfig:
        """Schedule and anchors."""

    @property
    def subjects(self) -> pd.DataFrame:
        """Age, sex, first doses."""

    @property
    def visits(self) -> pd.DataFrame:
        """Weight and height."""

    @property
    def samples(self) -> pd.DataFrame:
        """Draws of the flow cytometry tubes."""

    @property
    def cmv_dna(self) -> pd.DataFrame:
        """Draws of the CMV-DNA results."""

    @property
    def labs(self) -> pd.DataFrame:
        """Laboratory results."""

    @property
    def dosing(self) -> pd.DataFrame:
        """Study drugs."""

    @property
    def conmeds(self) -> pd.DataFrame:
        """Other drugs."""

    @property
    def attestations(self) -> pd.DataFrame:
        """Statements of the investigators."""

    @property
    def aes(self) -> pd.DataFrame:
        """Adverse events."""


def day_of(dtc: object) -> date | None:
    """Calendar day of an ISO date; None unless it is a full date."""
    text = text_of(dtc)
    return date.fromisoformat(text[:_DAY]) if len(text) >= _DAY else None


def observed_days(study: HasClinical) -> dict[str, tuple[date, date]]:
    """First and last day on which a study knows anything of each subject (visits, draws, study drugs, attestations).

    A subject that has nothing else has the days of its concomitant drugs. The last day is not after a recorded death.
    """
    found: dict[str, list[date]] = {}
    for name, column in _DATED.items():
        table = getattr(study, name)
        for usubjid, dtc in zip(cells(table["usubjid"], "text"), cells(table[column], "text"), strict=True):
            day = day_of(dtc)
            if day is not None and usubjid:
                found.setdefault(usubjid, []).append(day)
    for row in records(study.conmeds, "conmeds"):
        if row["usubjid"] not in found:
            days = [day for day in (day_of(row["start_dtc"]), day_of(row["end_dtc"])) if day is not None]
            if days:
                found[row["usubjid"]] = days
    deaths = {row["usubjid"]: day_of(row["death_dtc"]) for row in records(study.subjects, "subjects")}
    ends: dict[str, tuple[date, date]] = {}
    for usubjid, days in found.items():
        last, death = max(days), deaths.get(usubjid)
        ends[usubjid] = (min(days), last if death is None else max(min(days), min(last, death)))
    return ends
