"""Study tables and paths under random and hostile content: named errors only, and no way out of the study folder."""

# ruff: noqa: E501

from __future__ import annotations

import os
import shutil
from pathlib import Path

import hypothesis
import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck
from hypothesis import strategies as st

import immunoprofile as ip
from immunoprofile.errors import ImmunoprofileError, StudyError
from immunoprofile.io.files import inside
from immunoprofile.schema import TABLES as SPECS
from tests.small_study import STUDY_YAML, TABLES, write_study

EXAMPLES = int(os.environ.get("IMMUNOPROFILE_FUZZ_EXAMPLES", "12"))
"""Examples per test; set it higher for a long run."""

fuzz = hypothesis.settings(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
text = st.text(max_size=30)
nasty = st.sampled_from([
    "", " ", "NA", "nan", "inf", "-inf", "1e999", "1e308", "-1", "0x10", "1_000", "９", "٣", "\x00", "\ufeff", "\u202e", "=1+1",
    "a,b", '"', '""', "'", "\r", "\n", "\t", "9" * 400, "0" * 400, "x" * 200_000, "2024-02-30", "0000-00-00", "9999-12-31",
    "2024-03-01T25:61", "Y", "maybe", "true", "1.0", "UNS.", "UNS.01", "None", "<script>", "${HOME}", "1e400", "--", "😀", "\ud7ff",
    "99999999999999999999", "-99999999999999999999", "1e19", "9223372036854775808",
])  # fmt: skip
cell = st.one_of(nasty, text)
table_name = st.sampled_from(sorted(TABLES))


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("valid"))


@pytest.fixture
def folder(valid, tmp_path):
    """A copy of a valid study; one folder serves all examples of a test, each example restores it."""
    shutil.copytree(valid, tmp_path / "study")
    return tmp_path / "study"


def read(folder):
    """The study, or the error that it is refused with; nothing else may come out."""
    try:
        return ip.read_study(folder)
    except ImmunoprofileError as error:
        assert str(error)
        return error


def put(folder, name, content, suffix=".csv"):
    for each in (".csv", ".parquet"):
        (folder / f"{name}{each}").unlink(missing_ok=True)
    (folder / f"{name}{suffix}").write_bytes(content)


def restored(folder, name):
    (folder / f"{name}.parquet").unlink(missing_ok=True)
    (folder / f"{name}.csv").write_text(TABLES[name], encoding="utf-8")


def test_the_study_itself_is_valid(folder):
    assert isinstance(read(folder), ip.study.Study)


@fuzz
@hypothesis.given(name=table_name, changes=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 8), cell), max_size=6))
def test_random_cells(folder, name, changes):
    lines = [line.split(",") for line in TABLES[name].replace('"10,000"', "10000").splitlines()]
    for column, row, value in changes:
        cells = lines[row % len(lines)]
        cells[column % len(cells)] = '"' + value.replace('"', '""') + '"'
    content = "\n".join(",".join(cells) for cells in lines)
    put(folder, name, content.encode("utf-8", errors="surrogatepass"))
    read(folder)
    restored(folder, name)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("99999999999999999999", "a whole number"), ("1e308", "a whole number"), ("9223372036854775807", "a whole number"),
        ("1e19", "a whole number"), ("inf", "a whole number"), ("4\x014", "control characters"),
        ("9" * 40_000, "40,000 characters"),
    ],
)  # fmt: skip
def test_numbers_and_cells_that_no_column_holds(folder, value, reason):
    """Found by fuzzing: whole numbers beyond 64 bits ended in an OverflowError of pandas."""
    put(folder, "subjects", TABLES["subjects"].replace(",44,", f",{value},").encode())
    error = read(folder)
    assert isinstance(error, StudyError)
    assert reason in str(error)
    assert "row 1, column age_y" in str(error)
    assert len(str(error)) < 2_000


def test_nul_bytes_are_refused(folder):
    """Found by fuzzing: pandas ends a cell at a NUL byte, so that 4\\x004 was read as another number."""
    put(folder, "subjects", TABLES["subjects"].replace(",44,", ",4\x004,").encode())
    assert "holds NUL bytes" in str(read(folder))
    put(folder, "subjects", TABLES["subjects"].encode("utf-16-le"))
    assert "holds NUL bytes" in str(read(folder))


@fuzz
@hypothesis.given(name=table_name, content=st.one_of(st.binary(max_size=400), text.map(str.encode)))
def test_random_bytes(folder, name, content):
    put(folder, name, content)
    read(folder)
    restored(folder, name)


@fuzz
@hypothesis.given(
    name=table_name,
    delimiter=st.sampled_from([",", ";", "\t", "|", " "]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1", "cp1252", "cp037"]),
    line_end=st.sampled_from(["\n", "\r\n", "\r", "\n\n", "\x0b", "\x85"]),
    head=st.sampled_from(["", "\ufeff", "\ufeff\ufeff", "\n", "# comment\n", "\x00", "sep=;\n"]),
    tail=st.sampled_from(["", "\n", ",,,,\n", '"open', "\x1a", "x" * 1000 + "\n", "a\nb\nc\n"]),
    columns=st.sampled_from(["", "usubjid", "usubjid,usubjid", "Unnamed: 0", " arm ", "__class__", "\x00", "index"]),
)
def test_dialects_encodings_and_columns(folder, name, delimiter, encoding, line_end, head, tail, columns):
    header, *rows = TABLES[name].splitlines()
    lines = [f"{header},{columns}" if columns else header, *rows]
    content = head + line_end.join(line.replace(",", delimiter) for line in lines) + line_end + tail
    put(folder, name, content.encode(encoding, errors="replace"))
    read(folder)
    restored(folder, name)


ODD = (
    st.lists(st.one_of(st.none(), st.booleans()), min_size=3, max_size=3),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=3, max_size=3),
    st.lists(st.floats(), min_size=3, max_size=3),
    st.lists(st.binary(max_size=8), min_size=3, max_size=3),
    st.lists(st.datetimes().map(lambda day: day.isoformat()), min_size=3, max_size=3),
    st.lists(st.lists(st.integers(0, 9), max_size=3), min_size=3, max_size=3),
    st.just([{"a": 1}, {"a": 2}, None]),
    st.just(pd.Categorical(["A", "B", "A"])),
    st.just(pd.to_datetime(["2024-03-01", None, "2024-03-04T08:00"], format="ISO8601")),
    st.just(pd.to_datetime(["2024-03-01"] * 3, utc=True)),
    st.just(pd.to_timedelta([1, 2, 3], unit="h")),
    st.just(pd.period_range("2024-01", periods=3, freq="M")),
    st.just(pd.interval_range(0, 3)),
    st.just(np.array([1, 2, 3], dtype=np.uint64) + np.uint64(2**63)),
    st.just(pd.array([1, None, 3], dtype="Int64")),
    st.just(np.array([1.5, np.nan, np.inf], dtype=np.float16)),
)


@fuzz
@hypothesis.given(name=table_name, data=st.data())
def test_parquet_with_odd_types(folder, name, data):
    good = pd.read_csv(folder / f"{name}.csv", dtype=str).head(3)
    while len(good) < 3:
        good = pd.concat([good, good.tail(1)], ignore_index=True)
    column = data.draw(st.sampled_from(list(good.columns)))
    good[column] = pd.Series(data.draw(st.one_of(*ODD)), index=good.index)
    path = folder / f"{name}.parquet"
    try:
        good.to_parquet(path)
    except (ValueError, TypeError, NotImplementedError, OverflowError):
        hypothesis.reject()
    (folder / f"{name}.csv").unlink()
    try:
        read(folder)
    finally:
        restored(folder, name)


@fuzz
@hypothesis.given(
    content=st.one_of(st.binary(max_size=200), st.binary(max_size=100).map(lambda tail: b"PAR1" + tail + b"PAR1"))
)
def test_broken_parquet(folder, content):
    put(folder, "labs", content, ".parquet")
    assert isinstance(read(folder), StudyError)
    restored(folder, "labs")


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), cell.filter(lambda value: len(value) < 1000)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(text, inner, max_size=3)), max_leaves=6,
)  # fmt: skip


@fuzz
@hypothesis.given(key=st.sampled_from(sorted(yaml.safe_load(STUDY_YAML))), value=values)
def test_study_yaml(folder, key, value):
    content = yaml.safe_load(STUDY_YAML) | {key: value}
    (folder / "study.yaml").write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8", errors="replace")
    read(folder)
    (folder / "study.yaml").write_text(STUDY_YAML, encoding="utf-8")


@fuzz
@hypothesis.given(content=st.one_of(st.binary(max_size=200), text.map(str.encode), st.sampled_from([
    b"a: &a [*a]", b"? [1]\n: 2", b"!!python/object/apply:os.system ['true']", b"- 1", b"1", b"", b"\x00", b"{" * 3000,
    b"[" * 3000, b"a: 1\na: 2", b"2024-13-45: x", b"study_id: 2024-02-30", b"<<: 1", b"<<: [[1]]", b"&a a: *b", b"%YAML 9",
])))  # fmt: skip
def test_study_yaml_bytes(folder, content):
    (folder / "study.yaml").write_bytes(content)
    assert isinstance(read(folder), StudyError)
    (folder / "study.yaml").write_text(STUDY_YAML, encoding="utf-8")


def test_a_yaml_bomb_is_refused_in_time(folder):
    """Nine levels of nine references: a billion entries if it were unfolded into text."""
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    (folder / "study.yaml").write_text("\n".join([*lines, STUDY_YAML.replace("study_id: SMALL", "study_id: *a9")]))
    assert isinstance(read(folder), StudyError)


# --- paths ----------------------------------------------------------------------------------------

OUT = (
    "../secret.fcs", "fcs/../../secret.fcs", "..\\secret.fcs", "fcs\\..\\..\\secret.fcs", "/etc/passwd", "//host/share/a.fcs",
    "\\\\host\\share\\a.fcs", "C:/a.fcs", "C:\\a.fcs", "c:a.fcs", "fcs/C:/a.fcs", "file:///etc/passwd", "fcs/a.fcs:stream",
    "a\x00.fcs", "\x00", "fcs/\x00/../../secret.fcs", "..", ".", "", "  ", "fcs/..", "./../secret.fcs", "CON", "con.fcs",
    "fcs/NUL.fcs", "fcs/com1", "LPT9.txt", "aux.fcs/x.fcs", "fcs/a.fcs.", "fcs/a.fcs ", "fcs /a.fcs", "fcs/.../a.fcs",
    "fcs/a\n.fcs", "fcs/a\x7f.fcs",    "conin$", "COM¹.fcs",
)  # fmt: skip


@pytest.mark.parametrize("path", OUT)
def test_no_way_out_by_name(folder, path):
    (folder.parent / "secret.fcs").write_bytes(b"FCS3.1 secret")
    with pytest.raises(ImmunoprofileError):
        inside(folder, path)


@pytest.mark.parametrize("path", ["link.fcs", "fcs/link.fcs", "away/secret.fcs", "fcs/away/secret.fcs", "loop/a.fcs"])
def test_no_way_out_by_link(folder, path):
    secret = folder.parent / "secret.fcs"
    secret.write_bytes(b"FCS3.1 secret")
    for parent in (folder, folder / "fcs"):
        (parent / "link.fcs").symlink_to(secret)
        (parent / "away").symlink_to(folder.parent, target_is_directory=True)
    (folder / "loop").symlink_to(folder / "loop")
    with pytest.raises(ImmunoprofileError):
        inside(folder, path)
    samples = TABLES["samples"].replace("fcs/S-1_BL.fcs", path)
    (folder / "samples.csv").write_text(samples, encoding="utf-8")
    assert isinstance(read(folder), StudyError)


@pytest.mark.parametrize("path", ["fcs/S-1_BL.fcs", "fcs\\S-1_BL.fcs", "./fcs/S-1_BL.fcs", "fcs//S-1_BL.fcs", "a..b/c.fcs",
                                  "Ωmega/ü 1.fcs", "console.fcs", "~/a.fcs", "fcs/what?.fcs", "fcs/.hidden.fcs"])  # fmt: skip
def test_ordinary_paths_stay_possible(folder, path):
    assert inside(folder, path).resolve().is_relative_to(folder.resolve())


part = st.one_of(
    st.sampled_from(["..", ".", "", "fcs", "C:", "NUL", "link", "/", "\\", "\x00", "~", "S-1_BL.fcs"]), text
)


@fuzz
@hypothesis.given(parts=st.lists(part, max_size=6), separator=st.sampled_from(["/", "\\", "//", "/../"]))
def test_random_paths_stay_inside_or_are_refused(folder, parts, separator):
    link = folder / "link"
    if not link.is_symlink():
        link.symlink_to(folder.parent, target_is_directory=True)
    path = separator.join(parts)
    try:
        found = inside(folder, path)
    except ImmunoprofileError:
        return
    assert found.resolve().is_relative_to(folder.resolve())
    assert Path(os.path.normpath(found)).is_relative_to(folder)
    found.exists()


@fuzz
@hypothesis.given(path=st.one_of(st.sampled_from(OUT), cell))
def test_paths_in_the_samples_table(folder, path):
    table = pd.read_csv(folder / "samples.csv", dtype=str)
    table.loc[0, "fcs_path"] = path
    text_of_table = table.to_csv(index=False)
    put(folder, "samples", text_of_table.encode("utf-8", errors="surrogatepass"))
    study = read(folder)
    if not isinstance(study, ImmunoprofileError):
        for sample in study.samples["sample_id"]:
            assert study.fcs_path(sample).resolve().is_relative_to(folder.resolve())
    restored(folder, "samples")


def test_specifications_are_all_read():
    """A table that a study may have and no example touches would be untested."""
    assert {"subjects", "visits", "samples", "cmv_dna", "labs"} == set(TABLES) <= set(SPECS)
