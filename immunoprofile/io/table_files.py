"""Which file of a study folder is which table, and which files look like tables and are none."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from immunoprofile import schema
from immunoprofile.io.config import CONFIG_NAME
from immunoprofile.io.inputs import reason
from immunoprofile.io.workbook import Workbook, open_workbook, sheet_of

if TYPE_CHECKING:
    from immunoprofile.errors import Problems
    from immunoprofile.io.config import TableForm
    from immunoprofile.io.exceptions import Exceptions
    from immunoprofile.io.inputs import Inputs

TEXT_SUFFIXES: Final = (".csv", ".tsv", ".txt")
EXCEL_SUFFIXES: Final = (".xlsx", ".xlsm")
SUFFIXES: Final = (*TEXT_SUFFIXES, *EXCEL_SUFFIXES, ".parquet")
WORKBOOK_NAME: Final = "study.xlsx"
"""A workbook with one sheet per table, each called like its table."""
SHEETS_OF_HELP: Final = ("read me", "columns", "lists")
"""Sheets of that workbook that explain it and hold no data."""

_OTHER_TABLES = (".xls", ".xlsb", ".ods", ".feather", ".sav", ".sas7bdat", ".xpt")
"""Formats of tables that are not read."""
_ALSO_CALLED: Final[Mapping[str, tuple[str, ...]]] = {
    "subjects": ("patients", "participants", "demographics", "dm", "enrolment"),
    "visits": ("schedule", "appointments", "sv"),
    "samples": ("manifest", "tubes", "files", "fcs"),
    "cmv_dna": ("cmv", "viral_load", "virology", "pcr", "cmv_pcr", "viraemia", "viremia"),
    "labs": ("laboratory", "chemistry", "haematology", "hematology", "blood_counts", "cbc", "lb"),
    "dosing": ("doses", "exposure", "treatment", "study_drug", "ex"),
    "conmeds": ("medication", "concomitant_medication", "drugs", "cm"),
    "screening_tests": ("screening", "infection_tests", "serology"),
    "medical_history": ("history", "diagnoses", "mh"),
    "aes": ("adverse_events", "ae"),
    "functional": ("elispot", "ics", "functional_assays"),
}
_CLOSE = 0.6


@dataclass(frozen=True)
class TableFile:
    """Where a table stands.

    Attributes
    ----------
    path
        The file.
    content
        Its bytes, read once.
    workbook, sheet
        Of an Excel workbook; None and empty for other files.
    """

    path: Path
    content: bytes
    workbook: Workbook | None = None
    sheet: str = ""

    @property
    def where(self) -> str:
        """What problems call it."""
        shared = self.path.name.casefold() == WORKBOOK_NAME
        return f"{self.path.name}, sheet {self.sheet}" if shared else self.path.name


def find_tables(
    inputs: Inputs, forms: Mapping[str, TableForm], problems: Problems, notes: Exceptions
) -> dict[str, TableFile]:
    """Find the file of every table of a study folder.

    Parameters
    ----------
    inputs
        Study folder; only its own files count, not those of sub-folders. Each is read once and hashed.
    forms
        What ``study.yaml`` says of tables; it may name the sheet of a workbook.
    problems
        Takes tables that stand twice, that a study must have, or that cannot be opened.
    notes
        Takes a warning for every file or sheet that looks like a table and was not read, with the nearest known name.

    Returns
    -------
    dict
        Table name -> its file. Names count as they are written, on every operating system.
    """
    files = [path for path in sorted(inputs.folder.iterdir()) if not path.name.startswith((".", "~$"))]
    places: dict[str, list[TableFile]] = {}
    unread: list[tuple[Path, str]] = []
    for path in files:
        if path.name == WORKBOOK_NAME:
            _sheets_of_workbook(path, inputs, problems, places, notes)
        elif path.stem in schema.TABLES and path.suffix in SUFFIXES:
            places.setdefault(path.stem, []).append(TableFile(path, b""))
        elif path.name != CONFIG_NAME and path.is_file():
            unread.append((path, _nearest(path.stem, guess=path.suffix != ".txt")))
    _note_unread(unread, notes)
    found = {}
    for name, spec in schema.TABLES.items():
        held = places.get(name, [])
        if len(held) > 1:
            problems.add(name, "stands in two files", value=", ".join(one.where for one in held), allowed="one of them")
        elif held:
            opened = held[0] if held[0].sheet else _opened(held[0].path, name, forms, inputs, problems, notes)
            if opened is not None:
                found[name] = opened
        elif spec.required:
            near = next((path.name for path, nearest in unread if nearest == name and path.suffix in SUFFIXES), "")
            problems.add(f"{name}.csv", "file is missing", value=near, allowed=f"rename it to {name}" if near else "")
    return found


def _content(path: Path, inputs: Inputs, problems: Problems) -> bytes | None:
    try:
        return inputs.read(path.name)
    except OSError as error:
        problems.add(path.name, f"cannot be read: {reason(error)}")
        return None


def _opened(
    path: Path, name: str, forms: Mapping[str, TableForm], inputs: Inputs, problems: Problems, notes: Exceptions
) -> TableFile | None:
    content = _content(path, inputs, problems)
    if content is None:
        return None
    if path.suffix not in EXCEL_SUFFIXES:
        return TableFile(path, content)
    workbook = open_workbook(content, path.name, problems)
    if workbook is None:
        return None
    if not workbook.sheets:
        problems.add(path.name, "cannot be read as a table: no sheet holds anything")
        return None
    asked = forms[name].sheet if name in forms else ""
    if asked and asked not in workbook.sheets:
        problems.add(path.name, "has no such sheet", value=asked, allowed=", ".join(workbook.sheets))
        return None
    sheet = asked or sheet_of(workbook.sheets, name) or workbook.sheets[0]
    others = [one for one in workbook.sheets if one != sheet]
    if others and not asked:
        notes.add(
            "warning",
            "UNREAD_TABLE",
            f"only sheet {sheet} was read, not {', '.join(others)}",
            table=name,
            file=path.name,
            action=f"another one is named in study.yaml: tables: {{{name}: {{sheet: NAME}}}}",
        )
    return TableFile(path, content, workbook, sheet)


def _sheets_of_workbook(
    path: Path, inputs: Inputs, problems: Problems, places: dict[str, list[TableFile]], notes: Exceptions
) -> None:
    content = _content(path, inputs, problems)
    workbook = None if content is None else open_workbook(content, path.name, problems)
    if content is None or workbook is None:
        return
    taken = set()
    for name in schema.TABLES:
        if (sheet := sheet_of(workbook.sheets, name)) is not None:
            taken.add(sheet)
            places.setdefault(name, []).append(TableFile(path, content, workbook, sheet))
    for sheet in workbook.sheets:
        if sheet not in taken and sheet.strip().casefold() not in SHEETS_OF_HELP:
            near = _nearest(sheet)
            hint = f"if it is the table {near}, call it so" if near else f"tables are {', '.join(schema.TABLES)}"
            notes.add(
                "warning",
                "UNREAD_TABLE",
                f"sheet {sheet} is no known table and was not read",
                file=path.name,
                action=hint,
            )


def _note_unread(unread: Iterable[tuple[Path, str]], notes: Exceptions) -> None:
    for path, near in unread:
        suffix = path.suffix.casefold()
        table = suffix in SUFFIXES or suffix in _OTHER_TABLES
        if not table or (suffix == ".txt" and not near):
            continue
        right = f"{near}{suffix if suffix in SUFFIXES else '.xlsx'}"
        if suffix in _OTHER_TABLES:
            what = f"{path.name} has a format that is not read"
            hint = f"save it as {near or 'NAME'}.xlsx or {near or 'NAME'}.csv"
        else:
            what = f"{path.name} is no known table and was not read"
            hint = (
                f"if it is the table {near}, rename it to {right}"
                if near
                else (f"tables are {', '.join(schema.TABLES)}; move other files into a sub-folder")
            )
        notes.add("warning", "UNREAD_TABLE", what, file=path.name, action=hint)


def _nearest(stem: str, *, guess: bool = True) -> str:
    """The table that a name most likely means, empty for none; without ``guess`` only one that it spells out."""
    plain = re.sub(r"[\W_]+", "_", stem.casefold()).strip("_")
    names = {name: name for name in schema.TABLES}
    names |= {other: name for name, others in _ALSO_CALLED.items() for other in others}
    if plain in names:
        return names[plain]
    parts = f"_{plain}_"
    inside = [name for name in names if f"_{name}_" in parts and len(name) > 3]
    if inside:
        return names[max(inside, key=len)]
    near = [] if not guess else difflib.get_close_matches(plain, list(names), n=1, cutoff=_CLOSE)
    return names[near[0]] if near else ""
