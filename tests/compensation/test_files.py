"""Spillover matrices in files: every format re-reads to the same matrix, and what is not one is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from immunoprofile.compensation import Spillover, read_spillover, write_spillover
from immunoprofile.errors import CompensationError

MATRIX = np.array([[1.0, 0.2, 0.03], [0.01, 1.0, 0.3], [0.0, -0.002, 1.0]])
NAMES = ("FITC-A", "PE-A", "PE-Cy7-A")


def read(tmp_path: Path, text: str | bytes, name: str = "m.csv", **options: str) -> Spillover:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_spillover(path, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt", ".mtx", ".xml"])
def test_every_format_re_reads(tmp_path: Path, suffix: str) -> None:
    path = write_spillover(Spillover(NAMES, MATRIX, "keyword"), tmp_path / f"matrix{suffix}")
    again = read_spillover(path)
    assert again.channels == NAMES
    assert np.array_equal(again.matrix, MATRIX)
    assert again.source == f"file matrix{suffix}"


CHANNEL = st.text("ABCPE-, 7\"';&<>é", min_size=1, max_size=8).map(lambda text: f"X{text}X")


@settings(max_examples=40)
@given(
    st.integers(1, 6).flatmap(
        lambda n: st.tuples(
            st.lists(CHANNEL, min_size=n, max_size=n, unique=True),
            st.lists(st.floats(-0.1, 0.1), min_size=n * n, max_size=n * n),
        )
    ),
    st.sampled_from([".csv", ".tsv", ".xml", ".mtx"]),
)  # fmt: skip
def test_any_names_and_numbers_re_read(tmp_path_factory: pytest.TempPathFactory, content, suffix: str) -> None:  # type: ignore[no-untyped-def]
    names, numbers = content
    matrix = np.array(numbers).reshape(len(names), -1)
    np.fill_diagonal(matrix, 1.0)
    path = tmp_path_factory.mktemp("m") / f"m{suffix}"
    try:
        write_spillover(Spillover(tuple(names), matrix, "x"), path)
    except CompensationError:
        assert not path.exists()
        return
    again = read_spillover(path)
    assert again.channels == tuple(names)
    assert np.array_equal(again.matrix, matrix)


def test_tables_as_programs_write_them(tmp_path: Path) -> None:
    expected = [[1, 0.2], [0.1, 1]]
    for text in (
        ",A,B\nA,1,0.2\nB,0.1,1\n",
        '\ufeff"","A","B"\r\n"B",0.1,1\r\n"A",1,0.2\r\n',  # rows in another order
        "A,B\nA,1,0.2\nB,0.1,1\n",  # no corner cell
        ";A;B\nA;1;0,2\nB;0,1;1\n",  # decimal comma
        ",Comp-A :: CD3,Comp-B :: CD4\nComp-A :: CD3,1,0.2\nComp-B :: CD4,0.1,1\n",
        "Acquisition-defined\n<\t>\nA\tB\n1.0\t0.2\n0.1\t1.0\n",  # FlowJo's text export
        ",A,B\nA,100,20\nB,10,100\n",  # per cent
        "fluorochrome / detector,A,B\nA,1,0.2\nB,0.1,1\n",
    ):
        found = read(tmp_path, text)
        assert found.channels == ("A", "B")
        assert found.matrix == pytest.approx(np.array(expected), abs=1e-15), text


def test_the_orientation_is_stated(tmp_path: Path) -> None:
    turned = "detector / fluorochrome,A,B\nA,1,0.1\nB,0.2,1\n"
    with pytest.raises(CompensationError, match="rows are detectors"):
        read(tmp_path, turned)
    found = read(tmp_path, turned, orientation="fluorochromes_in_columns")
    assert found.matrix.tolist() == [[1, 0.2], [0.1, 1]]


def test_xml_of_flowjo(tmp_path: Path) -> None:
    old = (
        '<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE CompensationMatrix><CompensationMatrix prefix="Comp-">'
        '<Channel name="A"><ChannelValue name="A" value="1"/><ChannelValue name="B" value="0.2"/></Channel>'
        '<Channel name="B"><ChannelValue name="A" value="0.1"/><ChannelValue name="B" value="1"/></Channel>'
        "</CompensationMatrix>"
    )
    assert read(tmp_path, old, "old.mtx").matrix.tolist() == [[1, 0.2], [0.1, 1]]
    assert read(tmp_path, old.replace("UTF-8", "UTF-16").encode("utf-16"), "wide.mtx").channels == ("A", "B")
    twice = old.replace('<ChannelValue name="B" value="0.2"/>', '<ChannelValue name="A" value="0.2"/>')
    with pytest.raises(CompensationError, match="twice"):
        read(tmp_path, twice, "twice.mtx")


@pytest.mark.outside_data
def test_matrices_of_others(outside_data: Path) -> None:
    folder = outside_data / "comp_controls_conventional"
    internal = read_spillover(folder / "Reference-Internal-Spillover-Matrix.csv")
    assert len(internal.channels) == 11
    assert internal.matrix[0, 1] == pytest.approx(0.176621621855467, abs=1e-15)
    # a workspace holds the matrix of the acquisition; the file that it belongs to carries the same one
    from immunoprofile.compensation import from_keywords
    from immunoprofile.io.fcs import read_fcs

    folder = outside_data / "wsp_flowjo_mouse_flowsom"
    document = read_spillover(folder / "gating.wsp", name="Acquisition-defined")
    carried = from_keywords(read_fcs(folder / "68983.fcs"))
    assert carried is not None
    order = [carried.channels.index(channel) for channel in document.channels]
    assert document.matrix == pytest.approx(carried.matrix[np.ix_(order, order)], abs=1e-6)


@pytest.mark.outside_data
def test_spectrum_matrices_of_the_compliance_set(outside_data: Path) -> None:
    path = outside_data / "torture_gatingml_compliance" / "gml" / "gml_matrix_rect3_gate.xml"
    found = read_spillover(path)
    assert found.channels == ("FL1-H", "FL2-H", "FL3-H")
    assert found.matrix.tolist() == [[1, 0.02, 0.06], [0.11, 1, 0.07], [0.09, 0.01, 1]]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no header"),
        ("A,B\n", "no header"),
        (",A,B\nA,1,0.2\n", "not square"),
        (",A,B\nA,1,0.2\nC,0.1,1\n", "same channels"),
        (",A,B\nA,1,x\nB,0.1,1\n", "no header|no number"),
        (",A,B\nA,1,0.2\nB,0.1,x\n", "no number"),
        (",A,B\nA,1,nan\nB,0.1,1\n", "no finite numbers"),
        (",A,B\nA,1,1\nB,1,1\n", "cannot be inverted"),
        (",A,B\nA,1.2,0.2\nB,0.1,1\n", "diagonal is not 1"),
        (",A,A\nA,1,0.2\nA,0.1,1\n", "twice"),
        ("\0\1\2", "no text"),
        ("<a/>", "no spillover matrix"),
        ("<a><b></a>", "no well-formed XML"),
        ('<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "document type or entities"),
        ('<!DOCTYPE CompensationMatrix SYSTEM "file:///etc/hostname"><CompensationMatrix/>', "document type"),
        ('<a xmlns:x="http://www.w3.org/2001/XInclude"><x:include href="b"/></a>', "includes other documents"),
        ("<a>" * 100 + "</a>" * 100, "nested more than"),
        (f'<a b="{"x" * 200_000}"/>', "more than 100000 characters"),
    ],
)
def test_what_is_no_matrix_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(CompensationError, match=reason) as raised:
        read(tmp_path, text)
    assert raised.value.where == "m.csv"


def test_missing_file_and_unknown_suffix(tmp_path: Path) -> None:
    with pytest.raises(CompensationError, match="missing"):
        read_spillover(tmp_path / "none.csv")
    with pytest.raises(CompensationError, match="no format"):
        write_spillover(Spillover(NAMES, MATRIX, "x"), tmp_path / "m.json")


@settings(max_examples=200)
@given(st.data())
def test_damaged_files_are_a_matrix_or_a_named_error(tmp_path_factory: pytest.TempPathFactory, data) -> None:  # type: ignore[no-untyped-def]
    """Bytes of every format, cut, repeated and replaced: a valid matrix or a CompensationError, nothing else."""
    suffix = data.draw(st.sampled_from([".csv", ".tsv", ".xml", ".mtx"]))
    folder = tmp_path_factory.mktemp("damaged")
    path = write_spillover(Spillover(NAMES, MATRIX, "x"), folder / f"m{suffix}")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content)))
        length = data.draw(st.integers(0, 60))
        piece = data.draw(
            st.one_of(st.binary(max_size=6), st.sampled_from([b'"', b"\n", b",", b"\t", b"<", b"1e999", b""]))
        )
        content[at : at + length] = piece
    path.write_bytes(bytes(content))
    try:
        found = read_spillover(path)
    except CompensationError as error:
        assert error.where == path.name
    else:
        assert np.all(np.isfinite(np.linalg.inv(found.matrix)))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_matrix_or_a_named_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("bytes") / "m.csv"
    path.write_bytes(content)
    try:
        found = read_spillover(path)
    except CompensationError as error:
        assert error.where == path.name
    else:
        # for example the two lines "A" and "1": a matrix of one channel
        assert all(name.isprintable() for name in found.channels)


def test_a_field_beyond_all_limits(tmp_path: Path) -> None:
    with pytest.raises(CompensationError):
        read(tmp_path, f',A,"{"B" * 200_000}"\nA,1,0.2\nB,0.1,1\n')
    with pytest.raises(CompensationError):
        read(tmp_path, ",A,B\n" * 400_000)
