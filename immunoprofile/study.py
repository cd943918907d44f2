"""A study: subjects, visits, samples and results of assays, joined and validated.

`read_study` tells all problems of all tables at once. What is valid but does not fit (a result of an unknown subject, a
sample of a visit that did not take place) is listed in `Study.exceptions` and left out, never dropped in silence.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from immunoprofile import schema
from immunoprofile.errors import Problems, StudyError
from immunoprofile.io.config import StudyConfig, read_config, write_config
from immunoprofile.io.exceptions import Exceptions
from immunoprofile.io.fcs_source import FcsSource
from immunoprofile.io.files import inside, write_bytes
from immunoprofile.io.inputs import Inputs
from immunoprofile.io.logo import read_logo
from immunoprofile.io.record_dates import check_data_cut, note_far_dates, note_visit_order
from immunoprofile.io.records import numbered, value_of
from immunoprofile.io.references import UNSCHEDULED, WITH_VISIT, check_references, check_registered_files
from immunoprofile.io.registry_checks import check_equal_content
from immunoprofile.io.table_files import find_tables
from immunoprofile.io.tables import read_table, write_study_table


@dataclass(frozen=True, eq=False)
class Study:
    """A validated study.

    Attributes
    ----------
    folder
        Where its files are.
    config
        What ``study.yaml`` says.
    tables
        One DataFrame per table of `schema.TABLES`; an absent optional table is empty.
    exceptions
        What was left out or needs a look (`schema.EXCEPTION_COLUMNS`).
    inputs
        SHA-256 of ``study.yaml``, of each table and of the logo as they were parsed, by file name.
    logo
        Picture in the header of reports, as `io.logo.clean_logo` gives it; empty without one.
    """

    folder: Path
    config: StudyConfig
    tables: Mapping[str, pd.DataFrame]
    exceptions: pd.DataFrame
    inputs: Mapping[str, str] = field(default_factory=dict)
    logo: bytes = b""

    def __getattr__(self, name: str) -> pd.DataFrame:
        # Only reached for names that are no attributes: the tables, study.labs for study.tables["labs"].
        if name in schema.TABLES:
            return self.tables[name]
        raise AttributeError(name)

    def fcs_path(self, sample_id: str) -> Path:
        """FCS file of a sample; KeyError for an unknown sample."""
        return inside(self.folder, self._paths[sample_id])

    @cached_property
    def _paths(self) -> dict[str, str]:
        samples = self.tables["samples"]
        return dict(zip(samples["sample_id"].astype(str), samples["fcs_path"].astype(str), strict=True))

    def fcs_source(self, sample_id: str) -> FcsSource:
        """FCS file of a sample, data set and amplifiers as the study states them; KeyError for an unknown sample."""
        tube_id, number = self._measured[sample_id]
        tube = self.config.tubes.get(tube_id)
        return FcsSource(self.fcs_path(sample_id), number, tuple(tube.amplifiers.items()) if tube else ())

    @cached_property
    def _measured(self) -> dict[str, tuple[str, int | None]]:
        """Tube and data set of each sample."""
        names = ("sample_id", "tube_id", "dataset")
        rows = zip(*(self.tables["samples"][name] for name in names), strict=True)
        return {str(one): (str(tube), None if value_of(n) is None else int(n)) for one, tube, n in rows}

    def subject(self, usubjid: str) -> pd.Series[Any]:
        """Row of the subjects table; ValueError for an unknown subject."""
        subjects = self.tables["subjects"]
        return subjects.iloc[subjects["usubjid"].tolist().index(usubjid)]

    def write(self, folder: Path) -> list[Path]:
        """Write the validated tables and ``study.yaml`` as a folder that `read_study` reads again; no FCS files.

        Returns
        -------
        list of Path
            Files written.
        """
        # The tables are written in the documented form, whatever form they were read in.
        logo = f"logo{Path(self.config.logo).suffix.casefold()}" if self.logo else ""
        written = [write_config(self.config.model_copy(update={"tables": {}, "logo": logo}), folder)]
        if logo:
            write_bytes(folder / logo, self.logo)
            written.append(folder / logo)
        for name, spec in schema.TABLES.items():
            if len(self.tables[name]) or spec.required:
                written.append(write_study_table(folder, spec, self.tables[name]))
        return written

    def __repr__(self) -> str:
        visits = int(self.tables["visits"]["occurred"].sum())
        samples = int((self.tables["samples"]["role"] == "sample").sum())
        return (
            f"Study({self.config.study_id!r}: {len(self.tables['subjects'])} subjects, {visits} visits, "
            f"{samples} samples, {len(self.tables['cmv_dna'])} CMV-DNA results, {len(self.exceptions)} exceptions)"
        )

    def _repr_html_(self) -> str:
        from immunoprofile.study_view import study_view

        return study_view(self)


def read_study(folder: str | Path, *, require_files: bool = True) -> Study:
    """Read and validate a study folder.

    Parameters
    ----------
    folder
        Folder with ``study.yaml`` and the tables (docs/study-folder.md).
    require_files
        A missing FCS file is a problem, unless ``study.yaml`` says ``on_missing_file: exclude``. Switch it off for
        folders that never had them, such as a results folder.

    Returns
    -------
    Study

    Raises
    ------
    StudyError
        With all problems of all tables: file, row, column, value, and what is allowed.

    Examples
    --------
    >>> study = ip.read_study("data/demo")  # doctest: +SKIP
    >>> study.exceptions  # doctest: +SKIP
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise StudyError("the study folder does not exist", (), where=str(folder))
    inputs = Inputs(folder)
    config = read_config(folder, inputs=inputs)
    problems = Problems()
    notes = Exceptions()
    files = find_tables(inputs, config.tables, problems, notes)
    tables = {}
    for name, spec in schema.TABLES.items():
        tables[name], unknown = read_table(files.get(name), spec, config.tables.get(name), problems, notes)
        for column in unknown:
            near = difflib.get_close_matches(column, spec.column_names, n=1)
            hint = f"did you mean {near[0]}?" if near else ""
            notes.add(
                "warning", "UNKNOWN_COLUMN", f"column {column} is not known and was not used", table=name, action=hint
            )
    logo = read_logo(inputs, config.logo, problems)
    check_references(tables, config, problems)
    check_data_cut(tables, config.data_cut, problems)
    if require_files:
        refuse = config.on_missing_file == "refuse"
        check_registered_files(folder, tables["samples"], problems, missing_is_problem=refuse)
        check_equal_content(folder, tables["samples"], problems)
    problems.rename({f"{name}.csv": file.where for name, file in files.items()})
    if problems:
        count = len(problems)
        raise StudyError(
            f"the study has {count} problem{'s' if count > 1 else ''}",
            problems.found,
            where=str(folder),
            todo="correct the files; docs/study-folder.md explains each table, check --all lists every row",
        )
    tables = _match(tables, config, notes)
    note_far_dates(tables, WITH_VISIT, notes)
    note_visit_order(tables["visits"], config.visit_names, notes)
    _note_gaps(tables, config, notes)
    return Study(folder, config, tables, notes.table(), inputs.hashes, logo)


def _match(tables: dict[str, pd.DataFrame], config: StudyConfig, notes: Exceptions) -> dict[str, pd.DataFrame]:
    """Give every record its subject and visit; list and leave out what has none."""
    subjects = set(tables["subjects"]["usubjid"])
    matched = dict(tables)
    for name, spec in schema.TABLES.items():
        if name == "subjects" or "usubjid" not in spec.column_names:
            continue
        table = tables[name]
        unknown = table["usubjid"].notna() & ~table["usubjid"].isin(subjects)
        for row, entry in table[unknown].iterrows():
            notes.add(
                "error",
                "UNKNOWN_SUBJECT",
                f"no subject {entry['usubjid']} in the subjects table; the row was left out",
                table=name,
                row=row,
                usubjid=entry["usubjid"],
                action="add the subject, or correct the id",
            )
        matched[name] = table[~unknown]
    occurred = matched["visits"][matched["visits"]["occurred"].fillna(value=False).astype(bool)]
    dated = occurred[occurred["start_dtc"].notna()]
    days = {(str(v.usubjid), str(v.start_dtc)[:10]): str(v.visit) for v in dated.itertuples()}
    unscheduled = _unscheduled_names(matched, days)
    held = set(zip(occurred["usubjid"], occurred["visit"], strict=True))
    for name in WITH_VISIT:
        matched[name] = _match_visits(name, matched[name], days, unscheduled, held, notes)
    return matched


def _unscheduled_names(
    tables: Mapping[str, pd.DataFrame], days: Mapping[tuple[str, str], str]
) -> dict[tuple[str, str], str]:
    """(subject, calendar day) -> UNS.nn for results that name no visit, numbered by day within the subject."""
    found: set[tuple[str, str]] = set()
    for name in WITH_VISIT:
        table = tables[name]
        loose = table[table["visit"].isna() & table["usubjid"].notna() & table["collected_dtc"].notna()]
        found |= {(str(entry.usubjid), str(entry.collected_dtc)[:10]) for entry in loose.itertuples()}
    names: dict[tuple[str, str], str] = {}
    numbers: dict[str, int] = {}
    for usubjid, day in sorted(found - set(days)):
        numbers[usubjid] = numbers.get(usubjid, 0) + 1
        names[usubjid, day] = f"{UNSCHEDULED}{numbers[usubjid]:02d}"
    return names


def _match_visits(
    name: str,
    table: pd.DataFrame,
    days: Mapping[tuple[str, str], str],
    unscheduled: Mapping[tuple[str, str], str],
    held: set[tuple[Any, Any]],
    notes: Exceptions,
) -> pd.DataFrame:
    table = table.copy()
    left_out = []
    for row, entry in numbered(table, name):
        if not entry["usubjid"]:
            continue
        place: dict[str, Any] = {"table": name, "row": row, "usubjid": entry["usubjid"], "visit": entry["visit"]}
        place |= {"sample_id": entry["sample_id"], "file": entry["fcs_path"]} if name == "samples" else {}
        if not entry["visit"]:
            key = (entry["usubjid"], entry["collected_dtc"][:10])
            visit = days.get(key) or unscheduled.get(key)
            if visit is None:
                notes.add(
                    "error",
                    "NO_VISIT",
                    "neither visit nor date; the row was left out",
                    **place,
                    action="fill visit or collected_dtc",
                )
                left_out.append(row)
            else:
                table.loc[row, "visit"] = visit
        elif not entry["visit"].startswith(UNSCHEDULED) and (entry["usubjid"], entry["visit"]) not in held:
            notes.add(
                "error",
                "VISIT_NOT_HELD",
                "belongs to a visit that did not take place; the row was left out",
                **place,
                action="correct the visit, or set occurred to Y in visits.csv",
            )
            left_out.append(row)
    return table.drop(index=left_out)


def _note_attempts(samples: pd.DataFrame, notes: Exceptions) -> None:
    """Files of one tube of a visit of which nothing says which came first: which one counts must not be an accident."""
    own = samples[(samples["role"] == "sample") & ~samples["exclude_flag"].fillna(value=False).astype(bool)]
    for (usubjid, visit, tube), group in own.groupby(["usubjid", "visit", "tube_id"], sort=True):
        if group["attempt"].fillna(0).is_unique:
            continue
        notes.add(
            "warning",
            "ATTEMPTS_ALIKE",
            f"{len(group)} files of tube {tube} have the same attempt, or none: one is used, the last by its sample_id "
            f"({', '.join(group['sample_id'])})",
            table="samples",
            usubjid=usubjid,
            visit=visit,
            sample_id=group["sample_id"].iloc[0],
            action="number them in attempt; a further tube of the same draw has role replicate",
        )


def _note_counts(samples: pd.DataFrame, config: StudyConfig, notes: Exceptions) -> None:
    """What was entered for cells/uL and gives none: half a bead record, or counts of a tube that is not counted."""
    own = samples[samples["role"] == "sample"]
    counted = own["beads_per_tube"].notna() | own["acquired_volume_ul"].notna()
    asked = [endpoint.population for endpoint in config.endpoints if endpoint.measure == "abs"]
    if config.count_tube is None:
        why = [f"endpoints in cells/uL ({', '.join(asked)})"] if asked else []
        why += ["tubes with counting beads or a volume"] if counted.any() else []
        if why:
            notes.add("warning", "NO_COUNT_TUBE", f"has {' and '.join(why)}, and no tube that is counted: there will "
                      "be no cells/uL", table="study.yaml", action="set counts: true for the tube that is")  # fmt: skip
        return
    for row, entry in numbered(own[counted], "samples"):
        place = {"table": "samples", "row": row, **{name: entry[name] for name in ("usubjid", "visit", "sample_id")}}
        missing = [] if entry["bead_lot"] else ["bead_lot"]
        missing += ["blood_volume_ul"] if math.isnan(entry["blood_volume_ul"]) else []
        if entry["tube_id"] != config.count_tube:
            notes.add("warning", "COUNTS_NOT_USED", f"beads or volume of tube {entry['tube_id']} are not used: tube "
                      f"{config.count_tube} is counted", **place)  # fmt: skip
        elif missing and not math.isnan(entry["beads_per_tube"]):
            notes.add("warning", "BEAD_RECORD_INCOMPLETE", f"the bead record lacks {' and '.join(missing)}: it gives "
                      "no cells/uL", **place, action="fill it")  # fmt: skip


def _note_gaps(tables: Mapping[str, pd.DataFrame], config: StudyConfig, notes: Exceptions) -> None:
    """What is planned and absent, run twice, or easy to confuse."""
    visits = tables["visits"]
    recorded = set(zip(visits["usubjid"], visits["visit"], strict=True))
    samples = tables["samples"][tables["samples"]["role"] == "sample"]
    measured = set(zip(samples["usubjid"], samples["visit"], samples["tube_id"], strict=True))
    planned = [visit for visit in sorted(config.visits, key=lambda v: v.visitnum)]
    for row, entry in numbered(visits, "visits"):
        if entry["occurred"]:
            continue
        notes.add(
            "note",
            "VISIT_MISSED",
            f"the visit did not take place ({entry['reason_not_done'] or 'no reason given'})",
            table="visits",
            row=row,
            usubjid=entry["usubjid"],
            visit=entry["visit"],
        )
    for usubjid in tables["subjects"]["usubjid"]:
        for visit in planned:
            if (usubjid, visit.visit) not in recorded:
                notes.add(
                    "warning",
                    "VISIT_NOT_RECORDED",
                    "planned, and not in visits.csv",
                    table="visits",
                    usubjid=usubjid,
                    visit=visit.visit,
                    action="add a row with occurred N and a reason",
                )
    baseline = config.baseline_visit
    for usubjid in tables["subjects"]["usubjid"]:
        if not any((usubjid, baseline, tube) in measured for tube in config.tubes):
            notes.add(
                "warning",
                "NO_BASELINE",
                f"no sample of the baseline visit {baseline}: nothing can be given as change from baseline",
                table="samples",
                usubjid=usubjid,
                visit=baseline,
                action="add its rows to samples.csv, or expect no change of this subject",
            )
    flow_visits = {visit.visit for visit in planned if visit.flow}
    held = visits[visits["occurred"].fillna(value=False).astype(bool) & visits["visit"].isin(flow_visits)]
    for usubjid, name in zip(held["usubjid"], held["visit"], strict=True):
        for tube in config.tubes:
            if (usubjid, name, tube) not in measured:
                notes.add(
                    "warning",
                    "TUBE_MISSING",
                    f"no {tube} tube for a visit that took place",
                    table="samples",
                    usubjid=usubjid,
                    visit=name,
                )
    _note_attempts(samples, notes)
    _note_counts(samples, config, notes)
    for row, entry in numbered(samples[samples["supersedes"].notna()], "samples"):
        attempt = "an attempt" if math.isnan(entry["attempt"]) else f"attempt {entry['attempt']:.0f}"
        notes.add(
            "note",
            "RERUN",
            f"{attempt} replaces {entry['supersedes']}; the rule of the study is '{config.attempt_rule}'",
            table="samples",
            row=row,
            usubjid=entry["usubjid"],
            visit=entry["visit"],
            sample_id=entry["sample_id"],
            file=entry["fcs_path"],
        )
    subjects = set(tables["subjects"]["usubjid"])
    for row, entry in numbered(samples, "samples"):
        others = sorted(name for name in subjects - {entry["usubjid"]} if name in entry["fcs_path"])
        if others and entry["usubjid"] not in entry["fcs_path"]:
            notes.add(
                "warning",
                "PATH_OF_ANOTHER_SUBJECT",
                f"the path of the file names {', '.join(others)}",
                table="samples",
                row=row,
                usubjid=entry["usubjid"],
                visit=entry["visit"],
                sample_id=entry["sample_id"],
                file=entry["fcs_path"],
                action="find out whose file it is",
            )
    base = samples["fcs_path"].map(lambda path: str(path).replace("\\", "/").rsplit("/", 1)[-1])
    for name, group in samples.groupby(base, sort=True):
        if len(group) > 1:
            notes.add(
                "note",
                "SAME_FILE_NAME",
                f"{len(group)} files are called {name}; they are told apart by folder and content",
                table="samples",
                file=", ".join(group["fcs_path"]),
            )
