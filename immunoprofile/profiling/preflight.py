"""Everything that can be known to be wrong before the first file is gated."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from immunoprofile import pp
from immunoprofile.gate.check import check
from immunoprofile.gate.definition import definition, difference_in_words, differences
from immunoprofile.gate.intensities import check_statistics
from immunoprofile.gate.strategy import GateSet
from immunoprofile.io.exceptions import Exceptions
from immunoprofile.io.record_dates import dates_after
from immunoprofile.io.records import records
from immunoprofile.io.registry_checks import note_acquisitions
from immunoprofile.placement.place import unreferenced
from immunoprofile.profiling.clinical_half import ClinicalHalf, evaluate_clinical
from immunoprofile.profiling.decisions import check_decisions
from immunoprofile.profiling.locking import hold_to_cut
from immunoprofile.profiling.unchanged import content_of
from immunoprofile.resources import reference_ranges
from immunoprofile.study import Study

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from immunoprofile.gate.strategy import Strategy
    from immunoprofile.gate.study_gates import StudyGates


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a run works with after all checks.

    Attributes
    ----------
    gates
        The gates of each tube.
    clinical
        CMV-DNA, safety, doses and eligibility.
    cut
        The last data cut of the study (`locking.hold_to_cut`); empty where it was never locked.
    content
        Hash of study and gates as they were given (`unchanged.content_of`).
    """

    gates: StudyGates
    clinical: ClinicalHalf
    cut: Mapping[str, Any]
    content: str


def prepare(study: Study, gates: GateSet) -> Prepared:
    """Check gates, overrides, CMV-DNA results, decisions of people, limits and reference ranges against each other.

    A study that is locked is held against its cut.

    Raises
    ------
    GateError, StudyError, AnalysisError, NotAvailableError
        What does not fit; nothing was written.
    """
    content = content_of(study, gates)
    own = check(gates, study)
    cut = hold_to_cut(study, own)
    check_decisions(study, own)
    half = evaluate_clinical(study)
    for limits in (study.config.check_limits, *study.config.tube_check_limits.values()):
        pp.quality_checks(limits)
    check_statistics(study.config.intensity_statistics)
    if study.config.reference_ranges:
        reference_ranges(study.config.reference_ranges)
    return Prepared(own, half, cut, content)


def check_files(study: Study, *, progress: bool = False) -> pd.DataFrame:
    """Open every FCS file of a study and compare its content with its registry.

    Returns
    -------
    pandas.DataFrame
        `schema.EXCEPTION_COLUMNS`, one row for each file that cannot be read or is not what ``samples.csv`` says.
    """
    from tqdm import tqdm

    from immunoprofile.errors import ImmunoprofileError
    from immunoprofile.io.progress import hidden

    notes = Exceptions("check")
    rows = records(study.samples, "samples")
    for row in tqdm(rows, desc="files", unit="file", disable=hidden(wanted=progress)):
        place = {"table": "samples", "sample_id": row["sample_id"], "file": row["fcs_path"], "usubjid": row["usubjid"]}
        place["visit"] = row["visit"]
        try:
            sample = study.fcs_source(row["sample_id"]).read()
        except ImmunoprofileError as error:
            notes.add("error", "FILE_UNREADABLE", error.what, **place, action=error.todo)
            continue
        if row["sha256"] and sample.sha256 != row["sha256"]:
            notes.add("error", "CONTENT_CHANGED", "the content is not what samples.csv says (sha256)", **place)
    return notes.table()


def acquisition_notes(study: Study) -> pd.DataFrame:
    """Files whose dates, order, attempts or panels disagree with the tables, by their keywords.

    Returns
    -------
    pandas.DataFrame
        `schema.EXCEPTION_COLUMNS`, see `io.registry_checks.note_acquisitions`.
    """
    notes = Exceptions("intake")
    note_acquisitions(study.folder, study.samples, study.config, notes)
    return notes.table()


def definition_notes(gates: Mapping[str, Strategy]) -> pd.DataFrame:
    """Populations whose gates say something else than their ids usually mean.

    Returns
    -------
    pandas.DataFrame
        `schema.EXCEPTION_COLUMNS`, one warning ``DEFINITION_DIFFERS`` for each population of a tube.
    """
    notes = Exceptions("check")
    for tube, strategy in gates.items():
        for population in strategy.populations:
            if words := difference_in_words(differences(strategy, population)):
                notes.add("warning", "DEFINITION_DIFFERS",
                          f"tube {tube}: {population} is {definition(strategy, population)}, {words}", table="gates",
                          action="keep it if that is meant: reports print it so; else change gate or id")  # fmt: skip
    return notes.table()


def reference_notes(gates: Mapping[str, Strategy]) -> pd.DataFrame:
    """Gates that a run cannot place, since the density of the template sample is not stored with the template.

    Returns
    -------
    pandas.DataFrame
        `schema.EXCEPTION_COLUMNS`, one warning ``REFERENCE_MISSING`` for each tube with such gates.
    """
    notes = Exceptions("check")
    for tube, strategy in gates.items():
        if names := unreferenced(strategy):
            notes.add("warning", "REFERENCE_MISSING",
                      f"tube {tube}: {', '.join(names)} cannot be placed, the values of the template will hold: the "
                      "density of the template sample is not beside the template", table="gates",
                      action=f"bring back {tube}.reference.csv, or write it with ip.placement.with_references and "
                      "ip.gate.save")  # fmt: skip
    return notes.table()


def future_dates(study: Study, today: date) -> pd.DataFrame:
    """Dates of a study that lie after a day.

    A run never asks the clock, so that its results are the same tomorrow; a person who checks a folder wants to know
    all the same. What a run refuses is a date after ``data_cut`` of ``study.yaml``.

    Parameters
    ----------
    study
        From `read_study`.
    today
        The day of the check; the day itself is not after it.

    Returns
    -------
    pandas.DataFrame
        `schema.EXCEPTION_COLUMNS`, one warning ``FUTURE_DATE`` for each cell.
    """
    notes = Exceptions("check")
    for late in dates_after(study.tables, today.isoformat()):
        notes.add("warning", "FUTURE_DATE", f"{late.column} is {late.value}, after today ({today.isoformat()})",
                  table=late.table, row=late.row, usubjid=late.usubjid,
                  action="correct the date; set data_cut in study.yaml so that a run refuses it")  # fmt: skip
    return notes.table()
