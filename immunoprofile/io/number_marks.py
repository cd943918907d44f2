"""Decimal commas, decimal points and marks of thousands in the cells of one table.

``12,400`` is 12.4 in one country and 12400 in the next. A file is read with decimal commas only when its own cells
prove them, or ``study.yaml`` says so; a cell that can be read in two ways is a problem with both readings, not a guess.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from immunoprofile.io.table_cells import Cells, Written

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from immunoprofile.errors import Problems
    from immunoprofile.schema import TableSpec

Decimal = Literal["comma", "point"]
Proof = Literal["comma", "point", "open", "none", "other"]

PLAIN_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
"""A number as the documented form has it."""

_GAP = "[ \u00a0\u202f'\u2019]"
_MARKS = {
    "comma": (",", rf"\.|{_GAP}"),
    "point": (r"\.", rf",|{_GAP}"),
}
_POWER = r"(?:[eE][+-]?\d{1,4})?"
_GRAMMAR = {
    name: re.compile(
        rf"[+-]?(?:\d+(?:{mark}\d*)?{_POWER}|[1-9]\d{{0,2}}(?:(?:{group})\d{{3}})+(?:{mark}\d*)?)", re.ASCII
    )
    for name, (mark, group) in _MARKS.items()
}
_OPEN = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}", re.ASCII)
_INSIDE_TEXT = re.compile(r"(?<![\w.,])\d[\d.,]*(?:[eE][+-]?\d{1,4})?(?![\w])", re.ASCII)
_EXPONENT = re.compile(r"\s*[x*×·]\s*10", re.ASCII)


def proof_of(text: str) -> Proof:
    """What one number says about the decimal mark of its file.

    ``comma`` or ``point`` where the other reading is impossible, ``open`` where both are possible (12.400), ``none``
    for a number without marks, ``other`` for what is no number in either reading.
    """
    if "," not in text and "." not in text:
        return "none" if _GRAMMAR["point"].fullmatch(text) else "other"
    if _OPEN.fullmatch(text):
        return "open"
    comma, point = (_GRAMMAR[name].fullmatch(text) is not None for name in ("comma", "point"))
    return "other" if comma == point else "comma" if comma else "point"


def in_points(text: str, decimal: Decimal) -> str | None:
    """The number in the documented form, without marks of thousands; None when it is none in this reading."""
    if not _GRAMMAR[decimal].fullmatch(text):
        return None
    bare = re.sub(_MARKS[decimal][1], "", text)
    return bare.replace(",", ".") if decimal == "comma" else bare


@dataclass(frozen=True)
class _Number(Written):
    start: int
    proof: Proof
    result: bool = False
    """It stands in the text of a result (`schema.Column.holds_number`)."""


def settle_numbers(
    cells: Cells, spec: TableSpec, declared: Decimal | None, where: str, problems: Problems
) -> set[tuple[int, str]]:
    """Bring the numbers of a table into the documented form, in place.

    Parameters
    ----------
    cells
        Gets the numbers with decimal points, and a remark when they were rewritten.
    spec
        Table; its columns of numbers count, and those of text that hold the number of a laboratory.
    declared
        What ``study.yaml`` says; None: what the cells prove.
    where
        What problems call the file.
    problems
        Takes what is mixed or can be read in two ways.

    Returns
    -------
    set of (int, str)
        Cells that were problems and are now empty; when commas and points are mixed, all that have a mark.
    """
    found = list(_numbers(cells, spec, with_text=not cells.documented or declared is not None))
    decimal = declared or _proven(found, where, problems)
    if decimal == "mixed":
        marked = {one.place for one in found if one.proof != "none"}
        cells.empty(marked)
        return marked
    # In the documented form 12.400 has one meaning; in every other, and with a comma in any, it has two.
    in_doubt = [one for one in found if one.proof == "open" and declared is None and _two_readings(one, cells, decimal)]
    for one in in_doubt:
        _add_open(one, where, problems)
    bad = {one.place for one in in_doubt}
    cells.empty(bad)
    example = ""
    if decimal == "comma" or declared is not None or not cells.documented:
        for one in reversed(found):
            untouched = one.place in bad or (one.result and decimal is None)
            plain = None if untouched else in_points(one.text, decimal or "point")
            if plain is not None and plain != one.text:
                text = str(cells.table.loc[one.place])
                cells.table.loc[one.place] = text[: one.start] + plain + text[one.start + len(one.text) :]
                example = f" ({one.text} is {plain})"
    if decimal == "comma":
        cells.remarks.append(f"decimal commas{example}")
    return bad


def _two_readings(one: _Number, cells: Cells, decimal: Decimal | None) -> bool:
    if decimal == "comma":
        return True
    if one.result and cells.stored:
        return False  # results are judged as in the documented form, unless the workbook shows decimal commas
    return not cells.documented or "," in one.text


def _numbers(cells: Cells, spec: TableSpec, *, with_text: bool) -> Iterator[_Number]:
    for row, column, value in cells.texts(spec.columns):
        place = (row, column.name)
        if place in cells.exact:
            continue
        if column.kind in ("float", "int"):
            yield _Number(*place, value, 0, proof_of(value))
        elif column.holds_number and with_text:
            for hit in _INSIDE_TEXT.finditer(value):
                text = hit.group().rstrip(".,")
                proof = proof_of(text)
                if proof == "open" and _EXPONENT.match(value[hit.start() + len(text) :]):
                    proof = "comma" if "," in text else "point"
                yield _Number(*place, text, hit.start(), proof, result=True)


def _proven(found: Sequence[_Number], where: str, problems: Problems) -> Decimal | Literal["mixed"] | None:
    commas = [one for one in found if one.proof == "comma"]
    points = [one for one in found if one.proof == "point"]
    if commas and points:
        comma, point = commas[0], points[0]
        problems.add(
            where,
            f"decimal commas and decimal points in one file: {comma.text} in row {comma.row}, column {comma.column}, "
            f"and {point.text} in row {point.row}, column {point.column}",
            allowed="one of them throughout",
        )
        return "mixed"
    return "comma" if commas else "point" if points else None


def _add_open(one: _Number, where: str, problems: Problems) -> None:
    readings = [in_points(one.text, "comma"), in_points(one.text, "point")]
    both = " or ".join(f"{float(text):.15g}" for text in readings if text is not None)
    remedy = "write it without marks of thousands, or say decimal: comma or decimal: point in study.yaml, tables"
    one.refuse(problems, where, "a number that can be read in two ways", f"{both}: {remedy}")
