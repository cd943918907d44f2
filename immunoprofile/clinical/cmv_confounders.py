"""Drugs and procedures that change CMV-DNA by themselves, or what can be said of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from immunoprofile.clinical.courses import Course, dose_tables, read_course
from immunoprofile.clinical.drug_names import misspelled, names_agent
from immunoprofile.clinical.immunosuppressants import agents as immunosuppressive_agents
from immunoprofile.clinical.tables import HasClinical, day_of, observed_days
from immunoprofile.io.dates import first_dose
from immunoprofile.io.records import numbered, records
from immunoprofile.resources import load_yaml
from immunoprofile.schema import CMV_CONFOUNDER_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

    from immunoprofile.io.exceptions import Exceptions

SEROLOGY = "serology"


@cache
def confounding_agents() -> Mapping[str, Mapping[str, Any]]:
    """Agents of resources/cmv_confounders.yaml: names, ATC codes, what they do, days after the last dose."""
    found: Mapping[str, Mapping[str, Any]] = load_yaml("cmv_confounders.yaml")["agents"]
    return found


@cache
def _known_words() -> frozenset[str]:
    entries = [*confounding_agents().values(), *immunosuppressive_agents().values()]
    words = {name for entry in entries for name in entry["names"]}
    return frozenset(words | set(dose_tables()["antivirals"]["names"]) | set(dose_tables()["corticosteroids"]["drugs"]))


def confounders_of(drug: object, atc: object) -> tuple[tuple[str, str], ...]:
    """Agents that a row of conmeds names, each with the name that was perhaps meant where the text misses it.

    Examples
    --------
    >>> confounders_of("Arava 20 mg", None), confounders_of("paracetamol", None)
    ((('leflunomide', ''),), ())
    >>> confounders_of("leflunamide", None)
    (('leflunomide', 'leflunomide'),)
    """
    agents = confounding_agents()
    found = tuple((agent, "") for agent, entry in agents.items() if names_agent(drug, atc, entry))
    if found:
        return found
    meant = ((agent, misspelled(drug, [entry], _known_words())) for agent, entry in agents.items())
    return tuple((agent, name) for agent, name in meant if name)


@dataclass(frozen=True)
class Recognised:
    """A row of conmeds that names an agent; ``meant`` is the name that its text misses by a letter, or empty."""

    usubjid: str
    row: int
    agent: str
    meant: str
    course: Course
    cells: Mapping[str, Any]

    def given_between(self, first: str, last: str) -> bool | None:
        """Whether a dose fell between two ISO dates, both included; None where its own dates or name do not tell.

        An empty ``first`` is any time before ``last``.
        """
        start_low, start_high, end_low, end_high = (
            "" if day is None else day.isoformat()
            for day in (self.course.start_low, self.course.start_high, self.course.end_low, self.course.end_high)
        )
        if (start_low and start_low > last) or (first and end_high and end_high < first):
            return False
        begun = bool(start_high) and start_high <= last
        until = not first or (bool(end_low) and end_low >= first)
        return True if begun and until and not self.meant else None


def recognised(study: HasClinical) -> Iterator[Recognised]:
    """Rows of conmeds that name an agent of resources/cmv_confounders.yaml, in the order of the table."""
    spans = observed_days(study)
    for number, row in numbered(study.conmeds, "conmeds"):
        usubjid = row["usubjid"]
        for agent, meant in confounders_of(row["drug"], row["atc"]):
            course = read_course(row["start_dtc"], row["end_dtc"], row["freq"], ongoing=row["ongoing"],
                                 last_day=spans[usubjid][1] if usubjid in spans else None)  # fmt: skip
            yield Recognised(usubjid, number, agent, meant, course, row)


def cmv_confounders(study: HasClinical, *, notes: Exceptions | None = None) -> pd.DataFrame:
    """Rows of conmeds that change CMV-DNA by themselves, or what is said of it, and the days on which they count.

    Parameters
    ----------
    study
        Tables ``conmeds`` and ``subjects``.
    notes
        Takes names that were perhaps misspelled, and a CMV serology after immunoglobulins.

    Returns
    -------
    DataFrame
        ``schema.CMV_CONFOUNDER_COLUMNS``, one row per row of conmeds and agent, sorted. It counts from ``from_date`` to
        ``until_date`` (the last possible dose and the days after it of the agent); empty dates are open. ``certain`` is
        false where a date is not known to the day or the name was perhaps misspelled.

    Notes
    -----
    resources/cmv_confounders.yaml names the sources. CMV rules carry the agents that touch them (`virology.rules`);
    nothing is left out.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for one in recognised(study):
        number, row, agent, meant, course = one.row, one.cells, one.agent, one.meant, one.course
        usubjid, entry = one.usubjid, confounding_agents()[one.agent]
        until = None if course.end_high is None else course.end_high + timedelta(days=entry["days_after"])
        going_on = bool(row["ongoing"]) and not row["end_dtc"]
        dated = course.start_low is not None and course.start_low == course.start_high
        certain = dated and not meant and (going_on or (until is not None and course.end_low == course.end_high))
        remarks = [f"perhaps {meant}, spelled otherwise" if meant else "",
                 "" if certain or meant else "start or end is not known to the day"]  # fmt: skip
        rows.append({
            "usubjid": usubjid, "agent": agent, "drug": row["drug"], "kind": entry["kind"], "row": number,
            "start_dtc": row["start_dtc"], "end_dtc": row["end_dtc"],
            "from_date": "" if course.start_low is None else course.start_low.isoformat(),
            "until_date": "" if until is None else until.isoformat(), "certain": certain,
            "effect": entry["effect"], "evidence": entry["evidence"], "note": "; ".join(filter(None, remarks)),
        })  # fmt: skip
        if notes is not None and meant:
            what = f"{row['drug']} is taken for {meant}, which changes CMV-DNA"
            notes.add("warning", "DRUG_NAME", what, table="conmeds", row=number, usubjid=usubjid,
                      action="correct the name of the drug")  # fmt: skip
    rows.sort(key=lambda one: (one["usubjid"], one["from_date"], one["agent"], one["drug"], one["row"]))
    frame = pd.DataFrame(rows, columns=list(CMV_CONFOUNDER_COLUMNS)).astype({"certain": "bool", "row": "int64"})
    if notes is not None:
        _note_serology(study, frame, notes)
    return frame


def _note_serology(study: HasClinical, confounders: pd.DataFrame, notes: Exceptions) -> None:
    """A CMV IgG that immunoglobulins may have brought."""
    passive = confounders[confounders["agent"].isin(("immunoglobulin", "cmv_immunoglobulin"))]
    for number, subject in numbered(study.subjects, "subjects"):
        usubjid, dose = subject["usubjid"], day_of(first_dose(subject))
        if subject["cmv_igg_baseline"] != "POS":
            continue
        day = "" if dose is None else dose.isoformat()
        for row in records(passive[passive["usubjid"] == usubjid], "cmv_confounders"):
            if not day or (row["from_date"] <= day and (not row["until_date"] or day <= row["until_date"])):
                notes.add("warning", "SEROLOGY_PASSIVE", f"CMV IgG at baseline may come from {row['drug']}",
                          table="subjects", row=number, usubjid=usubjid,
                          action="take the serology from before it, or say UNK")  # fmt: skip
