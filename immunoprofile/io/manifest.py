"""A proposal for ``samples.csv`` from file names and keywords, with everything that disagrees, repeats or is unknown.

Nothing is inferred that neither the name, nor a keyword, nor a person says: an unknown field stays empty and is listed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from immunoprofile.errors import FcsError, ImmunoprofileError, Problem, Problems
from immunoprofile.io import keywords as kw
from immunoprofile.io.fcs_outline import Outline, read_outline
from immunoprofile.io.file_names import FIELDS, NamePattern
from immunoprofile.io.files import inside, sha256_of, write_table
from immunoprofile.io.manifest_checks import check_dates, check_panels, check_repeats, order_attempts
from immunoprofile.schema import ROLES, SAMPLES

if TYPE_CHECKING:
    import pandas as pd

    from immunoprofile.io.config import StudyConfig

SUFFIXES = (".fcs", ".lmd")
_COLUMN = {
    "subject": "usubjid", "visit": "visit", "tube": "tube_id", "role": "role", "attempt": "attempt",
    "replicate": "replicate", "batch": "batch_id", "site": "site", "fmo_marker": "fmo_marker", "panel": "panel_id",
}  # fmt: skip
_SERIAL_KEYWORDS = ("CYTSN", "CYTNUM")
_TOLD_BY_KEYWORDS = ("TUBE NAME", "EXPERIMENT NAME", "SAMPLE ID", "PATIENT ID")


@dataclass(frozen=True, eq=False)
class Manifest:
    """A proposed samples table.

    Attributes
    ----------
    table
        One row per FCS file in the order of their paths, columns of `schema.SAMPLES`; what is not known is empty.
    problems
        What disagrees, repeats or is not known.
    """

    table: pd.DataFrame
    problems: tuple[Problem, ...]

    def text(self) -> str:
        """The outcome in words, as the command line prints it."""
        known = [name for name in self.table.columns if self.table[name].notna().any()]
        lines = [f"{len(self.table)} files; columns filled: {', '.join(known) or 'none'}"]
        if self.problems:
            lines.append(f"{len(self.problems)} to look at:")
            lines += [f"  {number}. {problem}" for number, problem in enumerate(self.problems, 1)]
        else:
            lines.append("nothing disagrees, repeats or is missing")
        return "\n".join(lines)


def propose_manifest(
    folder: str | Path,
    *,
    pattern: str | Sequence[str],
    config: StudyConfig | None = None,
    fill: Mapping[str, str] | None = None,
    markers: Mapping[str, Sequence[str]] | None = None,
    study_folder: str | Path | None = None,
) -> Manifest:
    """Propose ``samples.csv`` for the FCS files below a folder.

    Parameters
    ----------
    folder
        Searched with its subfolders for ``.fcs`` and ``.lmd`` files.
    pattern
        How file names are built: ``{subject}_{visit}_{tube}[_{attempt}].fcs`` (what stands in ``[]`` may be absent, a
        field never holds the character that ends it, ``{}`` matches anything), or a regular expression with named
        groups. With a ``/`` it is matched against the path below the folder. Fields: subject, visit, tube, role,
        attempt, replicate, batch, site, fmo_marker, panel, date. Of several patterns the one counts that reads a
        name with known codes only.
    config
        ``study.yaml``: names of visits and tubes are then checked, and panels filled in.
    fill
        Column -> value that holds for all files (``{"specimen_type": "WB_EDTA"}``), or a keyword in braces
        (``{"batch_id": "{EXPERIMENT NAME}"}``). It fills cells that the name leaves empty.
    markers
        Tube -> markers that its template needs. With it the panel of a file is compared with its tube, and a file
        whose name says no tube gets the only one that fits.
    study_folder
        Folder that ``fcs_path`` is relative to; ``folder`` lies in it. Default: ``folder``.

    Returns
    -------
    Manifest
        The same for the same files, in whatever order the disk lists them.

    Raises
    ------
    ImmunoprofileError
        The folder holds no FCS file, or the pattern or ``fill`` cannot be understood.

    Examples
    --------
    >>> found = propose_manifest("fcs", pattern="{subject}_{visit}_{tube}.fcs")  # doctest: +SKIP
    >>> print(found.text())  # doctest: +SKIP
    """
    import pandas as pd

    folder = Path(folder)
    base = Path(study_folder) if study_folder is not None else folder
    patterns = [NamePattern(text) for text in ([pattern] if isinstance(pattern, str) else pattern)]
    fill = dict(fill or {})
    _check_fill(fill)
    problems = Problems()
    found = [_File(path, folder, base) for path in fcs_files(folder, problems)]
    if not found:
        raise ImmunoprofileError(
            "no FCS file below this folder", where=str(folder), todo="name the folder of the files"
        )
    for file in found:
        file.read(problems)
        _from_name(file, patterns, config, problems)
        _from_keywords(file, config, problems)
        _from_fill(file, fill)
    check_panels(found, markers or {}, problems)
    if config is not None:
        for file in found:
            tube = config.tubes.get(str(file.row.get("tube_id")))
            if tube is not None:
                file.row.setdefault("panel_id", tube.panel)
    _name_samples(found)
    order_attempts(found, problems)
    check_repeats(found, problems)
    check_dates(found, config, problems)
    _check_missing(found, problems)
    table = pd.DataFrame([file.row for file in found], columns=list(SAMPLES.column_names))
    for column in SAMPLES.columns:
        if column.kind == "int":
            table[column.name] = table[column.name].astype("Int64")
    return Manifest(table, tuple(problems.found))


def write_manifest(manifest: Manifest, path: str | Path, *, replace: bool = False) -> Path:
    """Write the proposal as CSV, with the columns that samples.csv has.

    Raises
    ------
    ImmunoprofileError
        The file exists and ``replace`` is not set: it may hold corrections by a person.
    """
    path = Path(path)
    if path.exists() and not replace:
        raise ImmunoprofileError("file exists already", where=str(path), todo="write to another file and compare")
    write_table(path, manifest.table)
    return path


class _File:
    """One file on its way to a row of the table."""

    def __init__(self, path: Path, folder: Path, base: Path) -> None:
        self.path = path
        self.where = path.relative_to(folder).as_posix()
        self.row: dict[str, Any] = {}
        self.named: dict[str, str] = {}
        self.outline: Outline | None = None
        try:
            self.row["fcs_path"] = path.resolve().relative_to(base.resolve()).as_posix()
        except ValueError:
            raise ImmunoprofileError(
                "the files lie outside the study folder", where=str(path), todo="move them into the study folder"
            ) from None

    def read(self, problems: Problems) -> None:
        """Hash and keywords; a file that cannot be taken apart stays in the table and is listed."""
        self.row["sha256"] = sha256_of(self.path)
        try:
            self.outline = read_outline(self.path)
        except FcsError as error:
            problems.add(self.where, error.what)

    def keyword(self, bare: str) -> str:
        """Value of a keyword, empty when the file has none."""
        return self.outline.get(bare) if self.outline is not None else ""


def fcs_files(folder: Path, problems: Problems) -> list[Path]:
    """FCS files below a folder in the order of their paths; a link that leaves it is a problem."""
    found = []
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        if path.suffix.lower() not in SUFFIXES or path.is_dir() or path.name.startswith("."):
            continue
        relative = path.relative_to(folder).as_posix()
        if not path.is_file():
            problems.add(relative, "is no regular file (a pipe, a device or a broken link) and was left out")
            continue
        try:
            inside(folder, relative)
        except ImmunoprofileError as error:
            problems.add(relative, error.what)
            continue
        found.append(path)
    return found


def _check_fill(fill: Mapping[str, str]) -> None:
    for name, value in fill.items():
        if name not in SAMPLES.column_names:
            raise ImmunoprofileError(f"samples.csv has no column {name!r}", where="fill", todo="see docs/manifest.md")
        allowed = SAMPLES.column(name).allowed
        if allowed and value not in allowed and not value.startswith("{"):
            raise ImmunoprofileError(f"{name} cannot be {value!r}", where="fill", todo=f"one of {', '.join(allowed)}")


_Complaint = tuple[str, str, str]
"""What, the value found, and what is allowed."""


def _from_name(file: _File, patterns: Sequence[NamePattern], config: StudyConfig | None, problems: Problems) -> None:
    """Fill the row from the name, when exactly one reading of it holds only known codes."""
    matches = [fields for pattern in patterns if (fields := pattern.match(file.where)) is not None]
    readings = [_reading(fields, config) for fields in matches]
    good = [(fields, row) for fields, (row, wrong) in zip(matches, readings, strict=True) if not wrong]
    if good and all(row == good[0][1] for _, row in good):
        file.named = good[0][0]
        file.row |= good[0][1]
    elif good:
        problems.add(file.where, "several patterns match and read the name differently")
    elif readings:
        for what, value, allowed in readings[0][1]:
            problems.add(file.where, what, value=value, allowed=allowed)
    else:
        problems.add(file.where, "the name does not match the pattern",
                     allowed=" or ".join(pattern.text for pattern in patterns))  # fmt: skip


def _reading(fields: Mapping[str, str], config: StudyConfig | None) -> tuple[dict[str, Any], list[_Complaint]]:
    row: dict[str, Any] = {}
    wrong: list[_Complaint] = []
    codes = {"visit": config.visit_names, "tube": tuple(config.tubes)} if config is not None else {}
    for field, value in fields.items():
        if field in codes:
            _known(row, _COLUMN[field], value, codes[field], wrong)
        elif field == "role":
            _role(row, value, wrong)
        elif field in ("attempt", "replicate"):
            _number(row, field, value, wrong)
        elif field in _COLUMN:
            row[_COLUMN[field]] = value
    return row, wrong


def _known(row: dict[str, Any], column: str, value: str, allowed: tuple[str, ...], wrong: list[_Complaint]) -> None:
    """A code of study.yaml, whatever its case; no other likeness counts."""
    hits = [value] if value in allowed else [name for name in allowed if name.casefold() == value.casefold()]
    if len(hits) == 1:
        row[column] = hits[0]
    else:
        wrong.append((f"unknown {column} in the name", value, ", ".join(allowed)))


def _role(row: dict[str, Any], value: str, wrong: list[_Complaint]) -> None:
    """A role, or ``fmo-CD25`` and ``single_stain-CD4``."""
    plain = value.casefold().replace("-", "_").replace(" ", "_")
    found = re.fullmatch(r"(fmo|single_stain)[-_ ](.+)", value, re.IGNORECASE)
    if plain in ROLES:
        row["role"] = plain
    elif found:
        row |= {"role": found.group(1).lower(), "fmo_marker": found.group(2)}
    else:
        wrong.append(("unknown role in the name", value, ", ".join(ROLES)))


def _number(row: dict[str, Any], field: str, value: str, wrong: list[_Complaint]) -> None:
    found = re.fullmatch(r"(?:attempt|run|rep|replicate|[arv])?[-_ ]?0*([1-9]\d{0,3})", value, re.IGNORECASE | re.ASCII)
    if found:
        row[field] = int(found.group(1))
    else:
        wrong.append((f"{field} in the name is no number", value, ""))


def _from_keywords(file: _File, config: StudyConfig | None, problems: Problems) -> None:
    if file.outline is None:
        return
    row = file.row
    if cytometer := file.keyword("CYT"):
        row["instrument"] = cytometer
    if serial := next((text for name in _SERIAL_KEYWORDS if (text := file.keyword(name))), ""):
        row["cytometer_sn"] = serial
    if (total := file.keyword("TOT")).isdigit() and total.isascii():
        row["n_events_recorded"] = int(total)
    text = file.keyword("DATE")
    day = kw.parse_date(text)
    if day is not None:
        clock = re.match(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?", file.keyword("BTIM"))
        row["acquired_dtc"] = f"{day.isoformat()}T{clock.group()}" if clock else day.isoformat()
    elif text:
        problems.add(file.where, "keyword $DATE is not understood", value=text, allowed="dd-mmm-yyyy")
    if file.keyword("NEXTDATA").strip("0"):
        problems.add(file.where, "holds several data sets", column="dataset", allowed="the number of the one to gate")
    _tube_keyword(file, config, problems)


def _tube_keyword(file: _File, config: StudyConfig | None, problems: Problems) -> None:
    """TUBE NAME against the name of the file: they may agree, disagree, or only one of them say something."""
    said = file.keyword("TUBE NAME")
    if not said or config is None:
        return
    hits = [tube for tube in config.tubes if tube.casefold() == said.casefold()]
    if len(hits) != 1:
        return
    named = file.row.get("tube_id")
    if named is None and "tube" not in file.named:
        file.row["tube_id"] = hits[0]
    elif named != hits[0]:
        problems.add(file.where, f"the name says tube {named or file.named.get('tube')}, keyword TUBE NAME says {said}")


def _from_fill(file: _File, fill: Mapping[str, str]) -> None:
    for column, value in fill.items():
        asked = re.fullmatch(r"\{(.+)\}", value)
        text = file.keyword(asked.group(1).replace("$", "").strip().upper()) if asked else value
        if text:
            file.row.setdefault(column, text)


def _name_samples(found: Sequence[_File]) -> None:
    """``sample_id`` from what is known of a file; its name where two would be called the same."""
    wanted = []
    for file in found:
        row = file.row
        parts = [row.get(name) for name in ("usubjid", "visit", "tube_id")]
        whole = all(parts) and row.get("role") in (None, "sample")
        extra = [f"a{row['attempt']}"] if row.get("attempt", 1) != 1 else []
        extra += [f"r{row['replicate']}"] if "replicate" in row else []
        wanted.append("_".join([*map(str, parts), *extra]) if whole else file.path.stem)
    for file, name in zip(found, wanted, strict=True):
        if wanted.count(name) > 1:
            name = f"{name}_{file.row['sha256'][:8]}" if wanted.count(name) > 1 else name
        file.row["sample_id"] = name
    taken: dict[str, int] = {}
    for file in found:
        name = file.row["sample_id"]
        taken[name] = taken.get(name, 0) + 1
        if taken[name] > 1:
            file.row["sample_id"] = f"{name}_{taken[name]}"


def _check_missing(found: Sequence[_File], problems: Problems) -> None:
    """Required columns with empty cells, and what could fill them."""
    for column in SAMPLES.columns:
        of_subject = column.name in ("usubjid", "visit")
        if not column.required and not of_subject:
            continue
        asked = [f for f in found if not of_subject or f.row.get("role") in (None, "sample", "replicate")]
        empty = [file for file in asked if file.row.get(column.name) in (None, "")]
        if empty and len(empty) == len(asked):
            problems.add("samples.csv", "is not known for any file", column=column.name,
                         allowed=", ".join(column.allowed) or column.meaning)  # fmt: skip
        else:
            for file in empty:
                problems.add(file.where, "is not known", column=column.name)
    for keyword in _TOLD_BY_KEYWORDS:
        values = sorted({text for file in found if (text := file.keyword(keyword))})
        target = {"TUBE NAME": "tube_id", "EXPERIMENT NAME": "batch_id"}.get(keyword, "usubjid")
        if values and not any(target in file.row for file in found):
            shown = ", ".join(values[:3]) + (" ..." if len(values) > 3 else "")
            problems.add(
                "samples.csv", f"keyword {keyword} has {len(values)} values ({shown}); if it is the {target}, say so",
                column=target, allowed=f'fill {target} with "{{{keyword}}}"',
            )  # fmt: skip


__all__ = ["FIELDS", "Manifest", "fcs_files", "propose_manifest", "write_manifest"]
