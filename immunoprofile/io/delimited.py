"""Tables as text: separators, encodings and line ends as spreadsheets and laboratory systems write them.

What a file leaves open is never guessed: the separator is the one that gives the known column names, an encoding other
than UTF-8 is named with an example, and rows that do not fit the header are problems in words.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from immunoprofile.io.table_cells import LONGEST_SHOWN, Cells, frame, named_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from immunoprofile.errors import Problems
    from immunoprofile.io.config import TableForm

SEPARATORS: Final = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}
_PLURAL = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_SEP_LINE = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)
_DIGITS = re.compile(r"[<>]?\s*\d+")


def read_delimited(
    content: bytes, where: str, known: Sequence[str], form: TableForm, problems: Problems
) -> Cells | None:
    """Read a table of text.

    Parameters
    ----------
    content
        The bytes of the file.
    where
        What problems call the file.
    known
        Column names of the table; the separator is the one that gives most of them.
    form
        What ``study.yaml`` says of the file.
    problems
        Takes what is wrong.

    Returns
    -------
    Cells or None
        None when the file cannot be read as a table.
    """
    remarks: list[str] = []
    text = _decode(content, where, form, remarks, problems)
    if text is None:
        return None
    declared = _SEP_LINE.match(text)
    separator = SEPARATORS.get(form.separator or "", "")
    if declared:
        text = text[declared.end() :]
        separator = separator or declared.group(1)
    separator = separator or _separator(text, known)
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except (csv.Error, ValueError, TypeError) as error:
        problems.add(
            where,
            f"cannot be read as a table: {str(error)[:LONGEST_SHOWN]}",
            allowed="every opening quotation mark closed, one table per file",
        )
        return None
    first = next((number for number, line in enumerate(lines) if any(cell.strip() for cell in line)), None)
    if first is None:
        problems.add(where, "cannot be read as a table: the file is empty", allowed="a line with the column names")
        return None
    header, rows = lines[first], lines[first + 1 :]
    if _header_is_mixed(header, known, where, problems) or not _rows_fit(header, rows, separator, where, problems):
        return None
    before = len(problems)
    names = named_columns(header, rows, where, problems)
    if len(problems) > before:
        return None
    cells = frame(names, list(enumerate(rows, 1)), where, problems)
    cells.documented = separator == ","
    if separator != ",":
        remarks.insert(0, f"columns separated by {_PLURAL.get(separator, repr(separator))}")
    cells.remarks = remarks
    return cells


def _decode(content: bytes, where: str, form: TableForm, remarks: list[str], problems: Problems) -> str | None:
    if form.encoding:
        try:
            return content.decode(form.encoding).removeprefix("\ufeff")
        except UnicodeError as error:
            problems.add(where, f"is not {form.encoding} text, as study.yaml says ({error})"[:LONGEST_SHOWN])
            return None
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            text = content.decode("utf-16")
        except UnicodeError as error:
            problems.add(where, f"is not UTF-16 text ({error})"[:LONGEST_SHOWN], allowed="save it as CSV UTF-8")
            return None
        if "\x00" not in text:
            remarks.append("text in UTF-16")
            return text.removeprefix("\ufeff")
    if b"\x00" in content:
        problems.add(where, "is no plain text (it holds NUL bytes)", allowed="save it as CSV UTF-8")
        return None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        bad = error
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError:
        problems.add(
            where,
            f"is neither UTF-8 nor Windows-1252 text ({bad.reason} at byte {bad.start})",
            allowed="save it as CSV UTF-8, or name its encoding in study.yaml, tables",
        )
        return None
    found = re.search(r"[^\s,;\t|\"]*[^\x00-\x7f][^\s,;\t|\"]*", text)
    example = f" (for example {found.group()[:40]!r})" if found else ""
    remarks.append(f"no UTF-8: letters read as Windows-1252{example}; another encoding is said in study.yaml, tables")
    return text


def _separator(text: str, known: Sequence[str]) -> str:
    """The mark that gives most of the known names in the first line with content, else most columns."""
    line = next((line for line in io.StringIO(text) if line.strip()), "")
    best, most = ",", (-1, -1)
    for mark in SEPARATORS.values():
        names = [name.strip().strip('"') for name in line.split(mark)]
        score = (len(set(names) & set(known)), len(names))
        if score > most:
            best, most = mark, score
    return best


def _header_is_mixed(header: Sequence[str], known: Sequence[str], where: str, problems: Problems) -> bool:
    """Whether a column name is in truth several, with another separator between them."""
    for name in header:
        parts = re.split(r"[,;\t|]", name)
        if len(parts) > 1 and len({part.strip() for part in parts} & set(known)) > 1:
            problems.add(where, "two separators in one file, or one that study.yaml does not name", value=name[:60],
                         allowed="one separator throughout")  # fmt: skip
            return True
    return False


def _rows_fit(
    header: Sequence[str], rows: Sequence[Sequence[str]], separator: str, where: str, problems: Problems
) -> bool:
    """Whether no row has more cells than the header; what the matter is where one has."""
    fits = True
    for number, row in enumerate(rows, 1):
        whole = separator.join(row)
        other = max((mark for mark in SEPARATORS.values() if mark != separator), key=whole.count)
        if len(row) != len(header) and len(header) > 1 and whole.count(other) >= len(header) - 1:
            problems.add(
                where,
                f"two separators in one file: the header has {_PLURAL.get(separator, separator)}, "
                f"other rows {_PLURAL[other]}",
                row=number,
                value=whole[:60],
                allowed="one separator throughout",
            )
            fits = False
            continue
        extra = [cell for cell in row[len(header) :] if cell.strip()]
        if not extra:
            continue
        fits = False
        pair = next(
            (
                f"{left.strip()},{right.strip()}"
                for left, right in pairwise(row)
                if _DIGITS.fullmatch(left.strip()) and right.strip().isdigit()
            ),
            "",
        )
        if separator == "," and pair:
            problems.add(
                where,
                "more cells than the header has columns: a decimal comma in a file that is separated by commas?",
                row=number,
                value=pair,
                allowed="separate by semicolons, or write decimal points",
            )
        else:
            problems.add(
                where,
                "more cells than the header has columns",
                row=number,
                value=extra[0][:60],
                allowed=f"{len(header)} cells; a value that holds the separator stands in quotation marks",
            )
    return fits
