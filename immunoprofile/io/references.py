"""Codes and files that the tables of a study name: each stands in ``study.yaml``, in another table, or on the disk."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

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
                problems.add(
                    f"{table}.csv",
                    f"unknown {column}",
                    row=int(str(row)),
                    column=column,
                    value=value,
                    allowed=", ".join(allowed),
                )

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
    known = set(samples["sample_id"].dropna())
    for row, value in samples["sample_id"].dropna().items():
        if not re.match(schema.SAMPLE_ID, value):
            problems.add(
                "samples.csv",
                "not a valid sample id",
                row=int(str(row)),
                column="sample_id",
                value=value,
                allowed="letters, digits, . _ and -, beginning with a letter or digit, at most 100",
            )
    for row, value in samples["supersedes"].dropna().items():
        if value not in known:
            problems.add(
                "samples.csv",
                "supersedes a sample that is not in the table",
                row=int(str(row)),
                column="supersedes",
                value=value,
            )
    for number, entry in numbered(samples, "samples"):
        tube = config.tubes.get(entry["tube_id"])
        if tube is None:
            continue
        protocol = entry["staining_protocol"] or tube.staining_protocol
        if protocol in ("washed", "permeabilised") and not math.isnan(entry["beads_per_tube"]):
            problems.add(
                "samples.csv",
                f"counting beads in a {protocol} tube: cells and beads are lost in washing, so no "
                "concentration can come from it",
                row=number,
                column="beads_per_tube",
                value=entry["beads_per_tube"],
                allowed="empty",
            )
        if entry["specimen_type"].startswith("PBMC") and not math.isnan(entry["beads_per_tube"]):
            problems.add(
                "samples.csv",
                "counting beads in PBMC give no whole-blood concentration",
                row=number,
                column="beads_per_tube",
                value=entry["beads_per_tube"],
                allowed="empty",
            )
        if entry["role"] == "sample" and not entry["usubjid"]:
            problems.add("samples.csv", "a sample without a subject", row=number, column="usubjid")


def check_registered_files(
    folder: Path, samples: pd.DataFrame, problems: Problems, *, missing_is_problem: bool = True
) -> None:
    """Every FCS file of the samples table that is missing, outside the folder, or named twice is a problem.

    A study that sets ``on_missing_file: exclude`` leaves out the samples of missing files when it is run, by name.
    """
    paths: dict[str, int] = {}
    for row, value in samples["fcs_path"].dropna().items():
        try:
            path = inside(folder, value)
        except ImmunoprofileError as error:
            problems.add(
                "samples.csv", error.what, row=int(str(row)), column="fcs_path", value=value, allowed=error.todo
            )
            continue
        if missing_is_problem and not path.is_file():
            problems.add(
                "samples.csv",
                "FCS file is missing",
                row=int(str(row)),
                column="fcs_path",
                value=value,
                allowed="a file below the study folder; 'on_missing_file: exclude' in study.yaml leaves the sample out",
            )
        first = paths.setdefault(value, int(str(row)))
        if first != row:
            problems.add(
                "samples.csv",
                f"the file is already that of row {first}",
                row=int(str(row)),
                column="fcs_path",
                value=value,
            )
