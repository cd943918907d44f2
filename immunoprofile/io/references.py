"""Codes and files that the tables of a study name: each stands in ``study.yaml``, in another table, or on the disk."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from immunoprofile import schema
from immunoprofile.errors import ImmunoprofileError
from immunoprofile.io.files import inside
from immunoprofile.io.records import numbered

if TYPE_CHECKING:
    import pandas as pd

    from immunoprofile.errors import Problems
    from immunoprofile.io.config import StudyConfig

UNSCHEDULED: Final = "UNS."
"""Prefix of visits that stand for unscheduled results: UNS.01, UNS.02 ...; they are data, not exceptions."""
WITH_VISIT: Final = ("samples", "cmv_dna", "labs", "functional")
"""Tables whose rows belong to a visit."""

_CMV_TERMS = {"unit": schema.CMV_UNITS, "specimen": schema.CMV_SPECIMENS}


def check_references(tables: Mapping[str, pd.DataFrame], config: StudyConfig, problems: Problems) -> None:
    """Every code of the tables that stands neither in ``study.yaml`` nor in another table is a problem."""

    def must_be(table: str, column: str, allowed: tuple[str, ...]) -> None:
        for row, value in tables[table][column].dropna().items():
            if value not in allowed:
                problems.add(f"{table}.csv", f"unknown {column}", row=int(str(row)), column=column, value=value,
                             allowed=", ".join(allowed))  # fmt: skip

    arms = tuple(arm.code for arm in config.arms)
    must_be("subjects", "arm", arms)
    must_be("subjects", "actual_arm", arms)
    must_be("samples", "tube_id", tuple(config.tubes))
    must_be("cmv_dna", "assay_id", tuple(config.assays))
    for table in ("visits", *WITH_VISIT):
        for row, value in tables[table]["visit"].dropna().items():
            if value not in config.visit_names and not value.startswith(UNSCHEDULED):
                problems.add(f"{table}.csv", "unknown visit", row=int(str(row)), column="visit", value=value,
                             allowed=", ".join(config.visit_names))  # fmt: skip
    for row, entry in numbered(tables["cmv_dna"], "cmv_dna"):
        assay = config.assays.get(entry["assay_id"])
        for column in ("unit", "specimen"):
            known = entry[column] in _CMV_TERMS[column]
            if assay is not None and known and schema.linear_unit(entry[column]) != getattr(assay, column):
                problems.add("cmv_dna.csv", f"{column} differs from that of assay {entry['assay_id']}", column=column,
                             row=row, value=entry[column], allowed=getattr(assay, column))  # fmt: skip
    for row, entry in numbered(tables["labs"], "labs"):
        units = schema.LAB_UNITS.get(entry["test"], ("", {}))[1]
        if entry["unit"] and units and entry["unit"] not in units:
            problems.add("labs.csv", f"unknown unit of {entry['test']}", row=row, column="unit",
                         value=entry["unit"], allowed=", ".join(units))  # fmt: skip
    _check_samples(tables["samples"], config, problems)


def _check_samples(samples: pd.DataFrame, config: StudyConfig, problems: Problems) -> None:
    rows = list(numbered(samples, "samples"))
    known = {entry["sample_id"] for _, entry in rows}
    first: dict[str, str] = {}
    for number, entry in rows:
        told = partial(_told, problems, number, entry)
        if entry["sample_id"] and not re.match(schema.SAMPLE_ID, entry["sample_id"]):
            told("sample_id", "not a valid sample id",
                 "letters, digits, . _ and -, beginning with a letter or digit, at most 100")  # fmt: skip
        other = first.setdefault(entry["sample_id"].casefold(), entry["sample_id"])
        if other != entry["sample_id"]:
            told(
                "sample_id", f"differs from {other} in capital letters only: Windows and macOS take their files for one"
            )
        if entry["supersedes"] and entry["supersedes"] not in known:
            told("supersedes", "supersedes a sample that is not in the table")
        tube = config.tubes.get(entry["tube_id"])
        if tube is None:
            continue
        beads = not math.isnan(entry["beads_per_tube"])
        protocol = entry["staining_protocol"] or tube.staining_protocol
        if beads and protocol in ("washed", "permeabilised"):
            told("beads_per_tube", f"counting beads in a {protocol} tube: cells and beads are lost in washing, so no "
                 "concentration can come from it", "empty")  # fmt: skip
        if beads and entry["specimen_type"].startswith("PBMC"):
            told("beads_per_tube", "counting beads in PBMC give no whole-blood concentration", "empty")
        if entry["role"] == "sample" and not entry["usubjid"]:
            told("usubjid", "a sample without a subject")


def check_registered_files(
    folder: Path, samples: pd.DataFrame, problems: Problems, *, missing_is_problem: bool = True
) -> None:
    """Every FCS file of the samples table that is missing, outside the folder, or named twice is a problem.

    A study that sets ``on_missing_file: exclude`` leaves out the samples of missing files when it is run, by name.
    """
    first: dict[str, int] = {}
    for number, entry in numbered(samples, "samples"):
        path, told = entry["fcs_path"], partial(_told, problems, number, entry, "fcs_path")
        if not path:
            continue
        try:
            there = inside(folder, path).is_file()
        except ImmunoprofileError as error:
            told(error.what, error.todo)
            continue
        if missing_is_problem and not there:
            told(
                "FCS file is missing",
                "a file below the study folder; 'on_missing_file: exclude' in study.yaml leaves the sample out",
            )
        if first.setdefault(path, number) != number:
            told(f"the file is already that of row {first[path]}")


def _told(problems: Problems, row: int, entry: Mapping[str, Any], column: str, what: str, allowed: str = "") -> None:
    """Add a problem of a cell of the samples table."""
    problems.add("samples.csv", what, row=row, column=column, value=entry[column], allowed=allowed)
