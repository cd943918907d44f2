"""Spillover matrices in files: tables, FlowJo's text and XML exports, and the spectrum matrix of GatingML 2.0.

Every reader gives the same orientation: one row a fluorochrome, one column a detector.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from xml.etree import ElementTree

import numpy as np

from immunoprofile.compensation.matrix import Spillover, as_shares
from immunoprofile.errors import CompensationError
from immunoprofile.io.files import replacing
from immunoprofile.io.guarded_xml import RefusedXmlError, attribute, local, parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Orientation = Literal["fluorochromes_in_rows", "fluorochromes_in_columns"]

MAX_BYTES = 4 * 1024 * 1024
"""No matrix of a cytometer comes near this size."""

_GATING = "http://www.isac-net.org/std/Gating-ML/v2.0/gating"
_TRANSFORMS = "http://www.isac-net.org/std/Gating-ML/v2.0/transformations"
_DATA = "http://www.isac-net.org/std/Gating-ML/v2.0/datatypes"
_MATRICES = ("spilloverMatrix", "CompensationMatrix", "spectrumMatrix")
_SUFFIXES = (".csv", ".tsv", ".txt", ".mtx", ".xml")


def read_spillover(
    path: str | Path, *, name: str | None = None, orientation: Orientation = "fluorochromes_in_rows"
) -> Spillover:
    """Read a spillover matrix.

    Parameters
    ----------
    path
        ``.csv``, ``.tsv`` or ``.txt``: a square table with the channels (``$PnN``) in the header and in the first
        column; FlowJo's text export has no first column and may have lines above the header. ``.mtx``: FlowJo's text
        or XML export. ``.xml``: GatingML 2.0 with a ``spectrumMatrix``. The content decides, not the suffix.
    name
        Which matrix, where a document holds several.
    orientation
        Of a table. The usual one has a row for each fluorochrome, and in it the share of its light that every detector
        sees. A table in which a corner cell says otherwise (``detector`` before ``fluorochrome``) is refused unless
        the orientation is given; XML formats state theirs.

    Returns
    -------
    Spillover
        Rows and columns in the order of the header; ``source`` is ``file NAME``. Tables in per cent (all of the
        diagonal 100) are divided by 100.

    Raises
    ------
    CompensationError
        The file is missing, not square, names rows that are not its columns, has no unit diagonal, cannot be inverted,
        declares XML entities, or holds several matrices and none was named.
    """
    path = Path(path)
    if not path.is_file():
        raise CompensationError("file is missing", where=str(path), todo="check the path of the spillover matrix")
    if path.stat().st_size > MAX_BYTES:
        raise CompensationError(f"file is larger than {MAX_BYTES // 1024 // 1024} MB", where=path.name,
                                todo="give the file that holds the spillover matrix only")  # fmt: skip
    content = path.read_bytes()
    try:
        if _is_xml(content):
            channels, matrix = _from_xml(content, name)
        else:
            channels, matrix = _from_table(_text(content), orientation)
        shares, per_cent = as_shares(matrix)
        return Spillover(channels, shares, f"file {path.name}", per_cent)
    except CompensationError as error:
        raise CompensationError(error.what, where=path.name, todo=error.todo) from error


def write_spillover(spillover: Spillover, path: str | Path) -> Path:
    """Write a spillover matrix; what was written is read back and compared before the file takes its place.

    Parameters
    ----------
    spillover
        The matrix; numbers are written with all their digits.
    path
        ``.csv`` (table with header and first column), ``.tsv`` or ``.txt`` (the same, tab separated), ``.mtx``
        (FlowJo 10 XML) or ``.xml`` (GatingML 2.0).

    Returns
    -------
    Path
        The file.

    Raises
    ------
    CompensationError
        Another suffix, or names of channels that the format cannot hold.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise CompensationError(f"no format for {suffix or 'a file without suffix'}", where=path.name,
                                todo=f"use one of {', '.join(_SUFFIXES)}")  # fmt: skip
    if suffix == ".xml":
        content = _gatingml(spillover)
    elif suffix == ".mtx":
        content = _flowjo(spillover, path.stem)
    else:
        content = _table(spillover, "," if suffix == ".csv" else "\t")
    with replacing(path) as temporary:
        temporary.write_bytes(content)
        again = read_spillover(temporary)
        if again.channels != spillover.channels or not np.array_equal(again.matrix, spillover.matrix):
            raise CompensationError("the file does not re-read to the same matrix", where=path.name,
                                    todo="rename channels that hold separators or begin with 'Comp-'")  # fmt: skip
    return path


# --- tables ---------------------------------------------------------------------------------------


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # spreadsheets on Windows
        return content.decode("cp1252", errors="replace")


def _from_table(text: str, orientation: Orientation) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    if "\0" in text:
        raise CompensationError("is no text", todo="export the matrix as CSV")
    lines = [line for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line.strip("\t ,;")]
    separator = next((mark for mark in ("\t", ";", ",") if any(mark in line for line in lines)), ",")
    try:
        read = list(csv.reader(io.StringIO("\n".join(lines)), delimiter=separator))
    except csv.Error as error:
        raise CompensationError(f"is no table: {error}", todo="export the matrix as CSV") from error
    rows = [[cell.strip() for cell in row] for row in read]
    start = next((i for i, row in enumerate(rows[:-1]) if _is_header(row, rows[i + 1])), None)
    if start is None:
        raise CompensationError("no header with names of channels above a square of numbers",
                                todo="the header and the first column name the channels ($PnN)")  # fmt: skip
    header, body = [cell.removeprefix("# ") for cell in rows[start]], rows[start + 1 :]
    labelled = len(body[0]) == len(header) and not _is_number(body[0][0])
    if not labelled and len(body[0]) == len(header) + 1:
        header, labelled = ["", *header], True
    corner = header[0] if labelled else ""
    columns = _plain_names(header[1:] if labelled else header)
    size = len(columns)
    if len(body) != size or any(len(row) != size + labelled for row in body):
        raise CompensationError(f"the table is not square: {size} columns and {len(body)} rows",
                                todo="one row and one column for each channel")  # fmt: skip
    try:
        values = np.array([[_number(cell, separator) for cell in row[labelled:]] for row in body])
    except ValueError as error:
        raise CompensationError(f"a cell is no number: {error}") from error
    if _states_columns(corner) and orientation == "fluorochromes_in_rows":
        raise CompensationError(f"the corner of the table says {corner!r}: its rows are detectors",
                                todo="read it with orientation='fluorochromes_in_columns'")  # fmt: skip
    if len(set(columns)) < size:
        raise CompensationError("a channel stands twice in the header")
    if labelled:
        names = _plain_names([row[0] for row in body])
        if sorted(names) != sorted(columns):
            raise CompensationError("rows and columns do not name the same channels",
                                    todo="name every row by the detector of its fluorochrome")  # fmt: skip
        values = values[[names.index(column) for column in columns]]
    return tuple(columns), values.T.copy() if orientation == "fluorochromes_in_columns" else values


def _is_header(row: Sequence[str], below: Sequence[str]) -> bool:
    """Names above a row of numbers; the delimiters ``<`` and ``>`` of FlowJo's text export are no names."""
    named = [cell for cell in row if cell]
    return (
        bool(named)
        and not any(_is_number(cell) or cell in "<>" for cell in named)
        and len(below) - len(row) in (0, 1)
        and all(_is_number(cell) for cell in below[1:])
        and (len(below) > 1 or _is_number(below[0]))
    )


def _plain_names(names: Sequence[str]) -> list[str]:
    """Names of channels without what FlowJo adds: `` :: label`` behind, and ``Comp-`` or ``<>`` around all of them."""
    plain = [name.partition(" :: ")[0].strip() for name in names]
    if all(name.startswith("Comp-") for name in plain):
        plain = [name.removeprefix("Comp-") for name in plain]
    if all(name.startswith("<") and name.endswith(">") for name in plain):
        plain = [name[1:-1] for name in plain]
    if not all(name and name.isprintable() for name in plain):
        raise CompensationError("a channel of the table has no name, or one that cannot be printed")
    return plain


def _states_columns(corner: str) -> bool:
    """A corner such as ``detector / fluorochrome``: what stands first are the rows."""
    words = corner.casefold()
    detector, dye = words.find("detector"), max(words.find("fluorochrome"), words.find("fluorophore"))
    return detector >= 0 and (dye < 0 or detector < dye)


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True


def _number(cell: str, separator: str) -> float:
    # a decimal comma can only be meant where commas do not separate cells
    return float(cell if separator == "," else cell.replace(",", "."))


def _table(spillover: Spillover, separator: str) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=separator, lineterminator="\n")
    writer.writerow(["", *spillover.channels])
    for channel, row in zip(spillover.channels, spillover.matrix.tolist(), strict=True):
        writer.writerow([channel, *(repr(value) for value in row)])
    return buffer.getvalue().encode("utf-8")


# --- XML ------------------------------------------------------------------------------------------


def _is_xml(content: bytes) -> bool:
    """A document begins with ``<`` and a name, ``?`` or ``!``; FlowJo's text export may hold a line ``<`` tab ``>``."""
    # NUL bytes and byte order marks out, so that a document in UTF-16 or UTF-32 is seen through as well
    start = content[:400].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    return start[:1] == b"<" and (start[1:2].isalpha() or start[1:2] in (b"?", b"!", b"_"))


def _from_xml(content: bytes, name: str | None) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    try:
        # FlowJo up to version 9 wrote a bare document type
        root = parse(content, doctypes=("CompensationMatrix",))
    except RefusedXmlError as error:
        raise CompensationError(str(error), todo="export the matrix again, or as CSV") from error
    found = {
        attribute(element, "name") or attribute(element, "id") or f"matrix {number}": element
        for number, element in enumerate((e for e in root.iter() if local(e.tag) in _MATRICES), 1)
    }
    if not found:
        raise CompensationError("holds no spillover matrix", todo=f"one of the elements {', '.join(_MATRICES)}")
    if name is not None and name not in found:
        raise CompensationError(f"holds no matrix {name!r}", todo=f"one of: {', '.join(found)}")
    if name is None and len(found) > 1:
        raise CompensationError("holds several matrices", todo=f"name one of: {', '.join(found)}")
    element = found[name] if name is not None else next(iter(found.values()))
    try:
        if local(element.tag) == "spectrumMatrix":
            return _spectrum(element)
        if local(element.tag) == "CompensationMatrix":
            return _by_name(element, "Channel", "ChannelValue", "name")
        return _by_name(element, "spillover", "coefficient", "parameter")
    except (ValueError, TypeError) as error:
        raise CompensationError(f"a coefficient is missing or no number: {error}") from error


def _by_name(
    element: ElementTree.Element, row: str, cell: str, key: str
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """FlowJo: an element for each fluorochrome, and in it one for each detector, both by name."""
    rows: dict[str, dict[str, float]] = {}
    for part in (e for e in element if local(e.tag) == row):
        fluorochrome = attribute(part, key) or ""
        if fluorochrome in rows:
            raise CompensationError(f"{fluorochrome} stands twice in the matrix")
        cells = [(attribute(e, key) or "", float(attribute(e, "value") or "")) for e in part if local(e.tag) == cell]
        if len(dict(cells)) < len(cells):
            raise CompensationError(f"a detector stands twice in the row of {fluorochrome}")
        rows[fluorochrome] = dict(cells)
    if any(set(cells) - rows.keys() for cells in rows.values()):
        raise CompensationError("rows and columns do not name the same channels")
    if not rows or "" in rows:
        raise CompensationError("the matrix has no rows, or one without a name")
    # a coefficient that is not listed is no spillover; the diagonal is always listed by FlowJo
    channels = tuple(rows)
    matrix = np.array([[rows[one].get(two, float(one == two)) for two in channels] for one in channels])
    return tuple(_plain_names(channels)), matrix


def _spectrum(element: ElementTree.Element) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """GatingML 2.0: lists of fluorochromes and detectors, and a spectrum (a row) for each fluorochrome."""
    if (attribute(element, "matrix-inverted-already") or "false").casefold() in ("true", "1"):
        raise CompensationError("the matrix is inverted already", todo="export the spillover matrix itself")
    lists = {local(part.tag): part for part in element if local(part.tag) in ("fluorochromes", "detectors")}
    detectors = tuple(attribute(e, "name") or "" for e in lists["detectors"]) if "detectors" in lists else ()
    dyes = len(lists["fluorochromes"]) if "fluorochromes" in lists else 0
    rows = [
        [float(attribute(e, "value") or "") for e in part if local(e.tag) == "coefficient"]
        for part in element
        if local(part.tag) == "spectrum"
    ]
    if not detectors or "" in detectors or not dyes == len(rows) == len(detectors):
        shape = f"{dyes} fluorochromes, {len(detectors)} detectors and {len(rows)} spectra"
        raise CompensationError(f"{shape} are no square",
                                todo="unmixing of more detectors than fluorochromes is not supported")  # fmt: skip
    if any(len(row) != len(detectors) for row in rows):
        raise CompensationError("a spectrum has not one coefficient for each detector")
    return detectors, np.array(rows)


def _gatingml(spillover: Spillover) -> bytes:
    for prefix, address in (("gating", _GATING), ("transforms", _TRANSFORMS), ("data-type", _DATA)):
        ElementTree.register_namespace(prefix, address)
    root = ElementTree.Element(f"{{{_GATING}}}Gating-ML")
    matrix = ElementTree.SubElement(root, f"{{{_TRANSFORMS}}}spectrumMatrix", {f"{{{_TRANSFORMS}}}id": "spillover"})
    for part in ("fluorochromes", "detectors"):
        names = ElementTree.SubElement(matrix, f"{{{_TRANSFORMS}}}{part}")
        for channel in spillover.channels:
            ElementTree.SubElement(names, f"{{{_DATA}}}fcs-dimension", {f"{{{_DATA}}}name": channel})
    for row in spillover.matrix.tolist():
        spectrum = ElementTree.SubElement(matrix, f"{{{_TRANSFORMS}}}spectrum")
        for value in row:
            ElementTree.SubElement(spectrum, f"{{{_TRANSFORMS}}}coefficient", {f"{{{_TRANSFORMS}}}value": repr(value)})
    ElementTree.indent(root)
    content: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return content


def _flowjo(spillover: Spillover, name: str) -> bytes:
    for prefix, address in (("transforms", _TRANSFORMS), ("data-type", _DATA)):
        ElementTree.register_namespace(prefix, address)
    root = ElementTree.Element("MatrixCollection")
    matrix = ElementTree.SubElement(
        root, f"{{{_TRANSFORMS}}}spilloverMatrix", {"prefix": "Comp-", "suffix": "", "name": name}
    )
    parameters = ElementTree.SubElement(matrix, f"{{{_DATA}}}parameters")
    for channel in spillover.channels:
        ElementTree.SubElement(parameters, f"{{{_DATA}}}parameter", {f"{{{_DATA}}}name": channel})
    for channel, row in zip(spillover.channels, spillover.matrix.tolist(), strict=True):
        part = ElementTree.SubElement(matrix, f"{{{_TRANSFORMS}}}spillover", {f"{{{_DATA}}}parameter": channel})
        for detector, value in zip(spillover.channels, row, strict=True):
            ElementTree.SubElement(
                part,
                f"{{{_TRANSFORMS}}}coefficient",
                {f"{{{_DATA}}}parameter": detector, f"{{{_TRANSFORMS}}}value": repr(value)},
            )
    ElementTree.indent(root)
    content: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return content
