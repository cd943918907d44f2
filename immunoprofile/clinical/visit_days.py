"""The day of every visit of a study, the unscheduled ones too."""

from __future__ import annotations

from typing import Final

from immunoprofile.clinical.tables import HasClinical, day_of
from immunoprofile.io.records import records

_DRAWN: Final = ("samples", "labs", "cmv_dna")


def visit_days(study: HasClinical) -> dict[tuple[str, str], str]:
    """(subject, visit) -> ISO date with time where it is known, in the order of subject, date and visit.

    The date of a visit is that of its first flow cytometry draw, else of its first laboratory draw, else of its first
    CMV-DNA draw, else the start in the visits table. Visits that did not take place are not among them; the date is
    empty when no source gives a full one.
    """
    found: dict[tuple[str, str], str] = {}
    for row in records(study.visits, "visits"):
        if row["occurred"]:
            found[row["usubjid"], row["visit"]] = _full(row["start_dtc"])
    drawn: dict[tuple[str, str], str] = {}
    for name in _DRAWN:
        first: dict[tuple[str, str], str] = {}
        for row in records(getattr(study, name), name):
            key, dtc = (row["usubjid"], row["visit"]), _full(row["collected_dtc"])
            if all(key) and dtc:
                first[key] = min(first.get(key, dtc), dtc)
        drawn = first | drawn
    found |= drawn
    return dict(sorted(found.items(), key=lambda item: (item[0][0], item[1], item[0][1])))


def _full(dtc: str) -> str:
    return dtc if day_of(dtc) is not None else ""
