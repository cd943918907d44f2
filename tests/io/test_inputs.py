"""Files that a study is read from: each once, with the hash of what was parsed; nothing that need not end."""

from __future__ import annotations

import hashlib
import os

import pytest

import immunoprofile as ip
from immunoprofile.errors import GateError, ImmunoprofileError, StudyError
from immunoprofile.io import inputs as inputs_module
from immunoprofile.io.config import load_plain_yaml
from immunoprofile.io.inputs import Inputs, read_plain
from tests.small_study import STUDY_YAML, TEMPLATE, write_gates, write_study


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_the_hash_is_of_the_bytes_that_were_given_out(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"one")
    inputs = Inputs(tmp_path)
    assert inputs.read("a.csv") == b"one"
    (tmp_path / "a.csv").write_bytes(b"two")
    assert inputs.hashes == {"a.csv": sha(b"one")}


def test_a_study_knows_the_hash_of_each_file_that_it_was_parsed_from(tmp_path):
    folder = write_study(tmp_path / "study")
    before = {path.name: sha(path.read_bytes()) for path in folder.iterdir() if path.is_file()}
    study = ip.read_study(folder)
    (folder / "labs.csv").write_text("usubjid,visit\n", encoding="utf-8")
    assert study.inputs == before
    assert "labs.csv" in before


def test_a_parquet_table_is_hashed_as_it_was_parsed(tmp_path):
    folder = write_study(tmp_path / "study")
    ip.read_study(folder).labs.drop(columns=[]).to_parquet(folder / "labs.parquet")
    (folder / "labs.csv").unlink()
    study = ip.read_study(folder)
    assert study.inputs["labs.parquet"] == sha((folder / "labs.parquet").read_bytes())
    assert len(study.labs) == 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["labs.csv", "subjects.csv", "study.yaml", "conmeds.parquet"])
def test_a_pipe_among_the_tables_is_refused_by_name(tmp_path, name):
    folder = write_study(tmp_path / "study")
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(StudyError, match=f"{name}: cannot be read: is a pipe, not a regular file"):
        ip.read_study(folder)


def test_a_folder_or_a_dangling_link_in_place_of_a_table_is_refused_by_name(tmp_path):
    folder = write_study(tmp_path / "study")
    (folder / "conmeds.csv").mkdir()
    (folder / "dosing.csv").symlink_to(tmp_path / "nowhere.csv")
    with pytest.raises(StudyError) as refused:
        ip.read_study(folder)
    assert "conmeds.csv: cannot be read: is a folder, not a regular file" in str(refused.value)
    assert "dosing.csv: cannot be read: No such file" in str(refused.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["t.csv", "t.xml", "t.wsp", "t.json", "t.vertices.csv"])
def test_a_pipe_among_the_gates_is_refused_by_name(tmp_path, name):
    folder = write_gates(tmp_path / "gates")
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(GateError, match="is a pipe, not a regular file"):
        ip.gate.load(folder if name.endswith("vertices.csv") else folder / name)


def test_a_file_above_the_bound_is_refused(tmp_path, monkeypatch):
    (tmp_path / "large").write_bytes(b"x" * 11)
    with pytest.raises(OSError, match="more than 10 bytes"):
        read_plain(tmp_path / "large", largest=10)
    assert read_plain(tmp_path / "large", largest=11) == b"x" * 11
    folder = write_study(tmp_path / "study")
    monkeypatch.setattr("immunoprofile.io.config.LARGEST_YAML", 20)
    with pytest.raises(StudyError, match=r"study.yaml: cannot be read: has more than 20 bytes"):
        ip.read_study(folder)
    assert inputs_module.LARGEST_TABLE > 10**8


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a: 1\nb: 2\na: 3\n", "key 'a' stands twice (lines 1 and 3)"),
        ("a: {x: 1, y: 2, x: 1}", "key 'x' stands twice (lines 1 and 1)"),
        ("- {k: [{u: 1, 'u': 2}]}", "key 'u' stands twice"),
        ("1: a\n0x1: b\n", "key '0x1' stands twice"),
        ("<<: {a: 1, a: 2}\n", "key 'a' stands twice"),
        ("a: 1\na: 2\nb: 1\nb: 2\n", "key 'b' stands twice (lines 3 and 4)"),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_its_lines(text, named):
    with pytest.raises(Exception, match="stands twice") as refused:
        load_plain_yaml(text)
    assert named in str(refused.value)


def test_yaml_without_a_key_twice_is_taken_as_before():
    assert load_plain_yaml("<<: {a: 1}\nb: {a: 2}\nc: [{a: 3}, {a: 4}]\n'1': x\n1: y\n") == {
        "a": 1, "b": {"a": 2}, "c": [{"a": 3}, {"a": 4}], "1": "x", 1: "y",
    }  # fmt: skip
    assert load_plain_yaml("") is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("title: A small study\n", "title: A small study\ntitle: Another\n"),
        ("lod: 91,", "lod: 91, lod: 20,"),
        ("assays:", "quality_limits:\n  doublets: {pass: [null, 15]}\n  doublets: {pass: [null, 99]}\nassays:"),
    ],
)
def test_a_study_and_a_template_with_a_key_twice_are_refused(tmp_path, old, new):
    folder = write_study(tmp_path / "study", config=STUDY_YAML.replace(old, new))
    with pytest.raises(ImmunoprofileError, match="stands twice"):
        ip.read_study(folder)
    gates = write_gates(tmp_path / "gates")
    (gates / "t.csv").write_text(TEMPLATE.replace("# panel", '# version: "1"\n# version: "2"\n# panel', 1))
    with pytest.raises(GateError, match="key 'version' stands twice"):
        ip.gate.load(gates)
