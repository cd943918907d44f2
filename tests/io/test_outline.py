"""One parser of TEXT for events, outlines, copies and manifests: the same bounds, and irregular files refused."""

import os

import numpy as np
import pytest

import immunoprofile as ip
from immunoprofile import gate
from immunoprofile.errors import FcsError
from immunoprofile.io.deidentify import deidentify_file
from immunoprofile.io.fcs import read_fcs_head
from immunoprofile.io.fcs_outline import read_outline
from immunoprofile.io.fcs_text import integer
from immunoprofile.io.manifest import propose_manifest
from immunoprofile.io.panels import harmonise
from tests.io import fcs_bytes


def claims(parameters):
    """A file of one event whose $PAR claims so many channels."""
    words = {"$BYTEORD": "1,2,3,4", "$DATATYPE": "F", "$MODE": "L", "$NEXTDATA": 0, "$TOT": 1, "$PAR": parameters,
             "$P1N": "FSC-A", "$P1B": 32, "$P1E": "0,0", "$P1R": 1024}  # fmt: skip
    text = ("|" + "".join(f"{name}|{value}|" for name, value in words.items())).encode()
    last = 57 + len(text)
    fields = (58, last, last + 1, last + 4, 0, 0)
    return b"FCS3.1    " + b"".join(b"%8d" % field for field in fields) + text + bytes(4)


READERS = {
    "read_fcs": ip.read_fcs,
    "read_fcs_head": read_fcs_head,
    "read_outline": read_outline,
    "deidentify": lambda path: deidentify_file(path, out=path.parent / "out"),
    "harmonise": lambda path: harmonise([path]),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("parameters", [100_000, 10**9, 10**17])
def test_every_reader_refuses_more_channels_than_keywords(tmp_path, reader, parameters):
    path = tmp_path / "a.fcs"
    path.write_bytes(claims(parameters))
    with pytest.raises(ip.errors.ImmunoprofileError, match=r"\$PAR promises [\d,]+ channels"):
        READERS[reader](path)


def test_a_manifest_lists_a_file_that_claims_too_much(tmp_path):
    (tmp_path / "S_BL.fcs").write_bytes(claims(10**9))
    found = propose_manifest(tmp_path, pattern="{subject}_{visit}.fcs")
    assert any("$PAR promises" in problem.what for problem in found.problems)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are made on Unix")
@pytest.mark.parametrize("reader", READERS)
def test_a_pipe_is_refused_by_name(tmp_path, reader):
    os.mkfifo(tmp_path / "pipe.fcs")
    with pytest.raises(ip.errors.ImmunoprofileError, match="is a pipe, not a regular file"):
        READERS[reader](tmp_path / "pipe.fcs")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are made on Unix")
def test_a_manifest_names_a_pipe_and_goes_on(tmp_path):
    os.mkfifo(tmp_path / "S_D7.fcs")
    (tmp_path / "S_BL.fcs").write_bytes(fcs_bytes.fcs(np.ones((2, 2)), ("FSC-A", "CD3")))
    found = propose_manifest(tmp_path, pattern="{subject}_{visit}.fcs")
    assert list(found.table["fcs_path"]) == ["S_BL.fcs"]
    assert [problem.where for problem in found.problems if "no regular file" in problem.what] == ["S_D7.fcs"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are made on Unix")
def test_a_batch_goes_on_past_a_pipe_and_a_folder(tmp_path):
    os.mkfifo(tmp_path / "pipe.fcs")
    (tmp_path / "folder.fcs").mkdir()
    (tmp_path / "good.fcs").write_bytes(fcs_bytes.fcs(np.arange(6.0).reshape(3, 2), ("FSC-A", "CD3")))
    (tmp_path / "t.csv").write_text(
        "# tube: t\n# compensated: false\npopulation,parent,gate,method,dim_1,min_1,max_1\n"
        "all,root,rectangle,fixed,FSC-A,0,\n", encoding="utf-8",
    )  # fmt: skip
    exceptions = []
    files = [tmp_path / name for name in ("pipe.fcs", "folder.fcs", "good.fcs")]
    counts = gate.batch(files, gate.load(tmp_path / "t.csv"), exceptions=exceptions)
    assert list(counts["n"]) == [3]
    assert [row["code"] for row in exceptions] == ["FILE_UNREADABLE"] * 2
    assert ["a pipe" in exceptions[0]["message"], "a folder" in exceptions[1]["message"]] == [True, True]


def test_many_keywords_take_no_quadratic_time(tmp_path):
    """Eight thousand channels and two thousand private keywords are looked up by name, not by walking through."""
    n = 8_000
    words = {"$BYTEORD": "1,2,3,4", "$DATATYPE": "F", "$MODE": "L", "$NEXTDATA": 0, "$TOT": 1, "$PAR": n}
    for k in range(1, n + 1):
        words |= {f"$P{k}N": f"C{k}", f"$P{k}B": 32, f"$P{k}E": "0,0", f"$P{k}R": 1024, f"$P{k}S": f"label of {k}"}
    words |= {f"PRIVATE {'x' * (k % 7)}{chr(65 + k % 26)}{k}": f"secret text {k}" for k in range(2_000)}
    text = ("|" + "".join(f"{name}|{value}|" for name, value in words.items())).encode()
    last = 57 + len(text)
    header = b"FCS3.1    " + b"".join(b"%8d" % field for field in (58, last, last + 1, last + 4 * n, 0, 0))
    path = tmp_path / "wide.fcs"
    path.write_bytes(header + text + bytes(4 * n))
    outline = read_outline(path)
    labels = [outline.get(f"P{k}N") for k in range(1, n + 1)]
    assert labels[-1] == f"C{n}"
    report = deidentify_file(path, out=tmp_path / "out")
    assert len(report.kept) > 5 * n


@pytest.mark.parametrize(
    ("text", "value"),
    [("00000000000000000256", 256), ("0" * 40 + "7", 7), ("0", 0), ("00", 0), ("9" * 18, int("9" * 18)),
     ("1" * 19, None), ("", None), ("1_0", None), ("٣", None), ("+5", 5), ("-5", -5)],
)  # fmt: skip
def test_whole_numbers(text, value):
    assert integer(text) == value


def test_offsets_of_twenty_digits(tmp_path):
    events = np.arange(12.0).reshape(4, 3)
    content = fcs_bytes.fcs(events, ("FSC-A", "SSC-A", "CD3"))
    for width in (20, 30):
        path = _written(tmp_path / f"{width}.fcs", _with_wide_offsets(content, width))
        sample = ip.read_fcs(path)
        np.testing.assert_array_equal(sample.events, events)
        assert sample.repairs == ()
        copy = deidentify_file(path, out=tmp_path / "out")
        np.testing.assert_array_equal(ip.read_fcs(copy.path).events, events)


def _written(path, content):
    path.write_bytes(content)
    return path


def _with_wide_offsets(content, width):
    """The same file with $BEGINDATA and $ENDDATA filled with zeros, and no offsets in the header."""
    begin, end, first, last = (int(content[at : at + 8]) for at in (10, 18, 26, 34))
    mark = content[begin : begin + 1]
    parts = content[begin + 1 : end].split(mark)
    words = dict(zip(parts[::2], parts[1::2], strict=True))
    shift = 0
    for _ in range(3):
        words[b"$BEGINDATA"], words[b"$ENDDATA"] = (b"%0*d" % (width, place + shift) for place in (first, last))
        made = mark + b"".join(name + mark + value + mark for name, value in words.items())
        shift = begin + len(made) - first
    fields = (begin, begin + len(made) - 1, first + shift, last + shift, 0, 0)
    return content[:10] + b"".join(b"%8d" % field for field in fields) + made + content[first : last + 1]


def test_outline_and_reader_agree_on_every_keyword(outside_data):
    """Both views of a real file hold the same keywords, also where values are empty or encodings differ."""
    seen = 0
    for path in sorted((outside_data / "torture_fcs_readers").rglob("*")):
        if path.suffix.lower() != ".fcs" and path.suffix != ".B08":
            continue
        try:
            head, outline = read_fcs_head(path, dataset=1), read_outline(path)
        except FcsError:
            continue
        seen += 1
        assert {k.bare.lower(): k.text for k in outline.keywords} == dict(head.empty.keywords), path
        assert outline.channels == len(head.empty.channels), path
    assert seen > 25


def test_an_empty_value_joins_no_keywords_in_a_copy(outside_data, tmp_path):
    """Empty $PnS of a FACSCalibur file: eight channels keep their names in the copy, $P6N among them."""
    (path,) = (outside_data / "torture_fcs_readers").rglob("0877408774.B08")
    copy = deidentify_file(path, out=tmp_path)
    assert "$P6N" in copy.kept
    assert ip.read_fcs(copy.path).labels == ip.read_fcs(path).labels


def test_a_displaced_keyword_is_reported_as_dropped(tmp_path):
    path = _written(
        tmp_path / "a.fcs",
        fcs_bytes.fcs(np.ones((2, 2)), ("FSC-A", "CD3"), keywords={"$DATE": "01-JAN-2024", "DATE": "Smith"}),
    )
    report = deidentify_file(path, out=tmp_path / "out")
    assert b"Smith" not in report.path.read_bytes()
    assert "DATE" in report.dropped
