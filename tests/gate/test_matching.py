"""Which gates belong to which file: names, keywords and content decide; doubts are named, never guessed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from immunoprofile import gate
from immunoprofile.errors import GateError, ProblemListError
from immunoprofile.gate.matching import Matcher, match
from immunoprofile.io.fcs import read_fcs, read_fcs_head
from tests.gate import workspaces as w
from tests.io.fcs_files import events, spill_text, write

N = 1000


def file(path, n=N, **keywords):
    """A file whose FSC-A runs from 1 to n, so that a limit tells how many events are in the gate."""
    data = events(n)
    data[:, 0] = np.arange(1, n + 1)
    named = {"$FIL": path.name, "$SPILLOVER": spill_text()}
    return write(path, data, **{**named, **{f"${k}" if not k.startswith("$") else k: v for k, v in keywords.items()}})


def size(low, *below, name="size"):
    return w.population(name, w.rectangle(w.axis("FSC-A", low)), *below)


def sample(number, name, low, *, file_name=None, uri=None, n=N, **keywords):
    """A sample of a workspace with the gate 'size' from a limit on."""
    words = {"$FIL": file_name or name, "$TOT": n, **{f"${k}": v for k, v in keywords.items()}}
    words = {key: value for key, value in words.items() if value is not None}
    address = f"file:/C:/data/{file_name or name}" if uri is None else uri
    return w.sample(number, name, size(low), uri=address, keywords=words)


def load(tmp_path, *samples):
    path = tmp_path / "w.wsp"
    path.write_bytes(w.workspace(*samples))
    return gate.load(path)


def counts(paths, gates, **options):
    table = gate.batch(paths, gates, comp_source="keyword", **options)
    return {file: dict(zip(part["gate_path"], part["n"], strict=True)) for file, part in table.groupby("file")}


def of(path, gates):
    return counts([path], gates)[path.as_posix()]["root/size"]


def test_names_that_were_typed_in_flowjo_do_not_hide_the_file(tmp_path):
    files = [file(tmp_path / name) for name in ("run_1.fcs", "run_2.fcs")]
    gates = load(
        tmp_path, sample(1, "before", 801, file_name="run_1.fcs"), sample(2, "after", 401, file_name="run_2.fcs")
    )
    assert [of(path, gates) for path in files] == [200, 600]
    found = match(read_fcs(files[1]), gates)
    assert (found.sample.name, found.problems) == ("after", ())
    assert {"$FIL", "$TOT", "file name"} <= set(found.by)
    table = gate.reconcile(tmp_path / "w.wsp", tmp_path)
    assert table["n"].tolist() == [200, 600]


def test_a_typed_name_that_is_the_name_of_another_file_does_not_mislead(tmp_path):
    files = [file(tmp_path / name) for name in ("a.fcs", "b.fcs")]
    gates = load(tmp_path, sample(1, "b.fcs", 801, file_name="a.fcs"), sample(2, "a.fcs", 401, file_name="b.fcs"))
    assert [of(path, gates) for path in files] == [200, 600]


@pytest.mark.parametrize("told_by", ["number of events", "folder", "time", "keyword"])
def test_one_file_name_in_two_folders(tmp_path, told_by):
    n = {"number of events": (1000, 500)}.get(told_by, (1000, 1000))
    more = [{}, {}]
    if told_by == "time":
        more = [{"DATE": "01-JAN-2024", "BTIM": "10:00:00"}, {"DATE": "08-JAN-2024", "BTIM": "10:00:00"}]
    elif told_by == "keyword":
        more = [{"SRC": "day 1"}, {"SRC": "day 8"}]
    folders = ("x/1", "x/2") if told_by == "folder" else ("copied/1", "copied/2")
    uris = [f"file:/D:/trial/{f}/Tube_001.fcs" for f in ("x/1", "x/2")] if told_by == "folder" else ["", ""]
    paths = [file(tmp_path / folder / "Tube_001.fcs", n[i], **more[i]) for i, folder in enumerate(folders)]
    gates = load(
        tmp_path, *(sample(i + 1, "Tube_001.fcs", (801, 101)[i], n=n[i], uri=uris[i], **more[i]) for i in (0, 1))
    )
    expected = [n[0] - 800, n[1] - 100]
    for order in (paths, paths[::-1]):
        found = counts(order, gates)
        assert [found[path.as_posix()]["root/size"] for path in paths] == expected
    table = gate.reconcile(tmp_path / "w.wsp", tmp_path)
    assert table["n"].tolist() == expected
    assert table["sample"].tolist() == ["Tube_001.fcs", "Tube_001.fcs (2)"]


def test_samples_that_cannot_be_told_apart_are_named(tmp_path):
    path = file(tmp_path / "here" / "Tube_001.fcs")
    gates = load(tmp_path, *(sample(i, "Tube_001.fcs", 100 * i, uri=f"file:/D:/{i}/Tube_001.fcs") for i in (1, 2)))
    with pytest.raises(GateError, match="several samples of the workspace could be the file") as refused:
        match(read_fcs(path), gates, path=path)
    assert [p.where for p in refused.value.problems] == [
        "sample Tube_001.fcs (file:/D:/1/Tube_001.fcs)",
        "sample Tube_001.fcs (file:/D:/2/Tube_001.fcs)",
    ]
    with pytest.raises(ProblemListError):
        counts([path], gates)
    table = gate.reconcile(tmp_path / "w.wsp", tmp_path)
    assert set(table["verdict"]) == {"no file"}
    assert table["reason"].str.contains("several samples").all()


def test_samples_with_the_same_gates_need_not_be_told_apart(tmp_path):
    path = file(tmp_path / "Tube_001.fcs")
    gates = load(tmp_path, *(sample(i, "Tube_001.fcs", 801, uri=f"file:/D:/{i}/Tube_001.fcs") for i in (1, 2)))
    assert of(path, gates) == 200


def test_name_of_one_sample_and_fil_of_another_are_a_contradiction(tmp_path):
    path = file(tmp_path / "a.fcs", **{"$FIL": "b.fcs"})
    gates = load(tmp_path, sample(1, "a.fcs", 801), sample(2, "b.fcs", 401))
    with pytest.raises(GateError, match="several samples"):
        match(read_fcs(path), gates)


def test_content_settles_a_contradiction_of_names_and_that_is_told(tmp_path):
    time = {"DATE": "01-JAN-2024", "BTIM": "10:00:00", "ETIM": "10:05:00"}
    path = file(tmp_path / "a.fcs", **{"$FIL": "b.fcs"}, **time)
    gates = load(tmp_path, sample(1, "a.fcs", 801, BTIM="09:00:00"), sample(2, "b.fcs", 401, **time))
    found = match(read_fcs(path), gates)
    assert found.sample.name == "b.fcs"
    assert "has the file name of sample a.fcs" in found.problems[0].what


def test_a_file_without_any_of_its_names_is_known_by_its_content(tmp_path):
    time = {"DATE": "01-JAN-2024", "BTIM": "10:00:00", "ETIM": "10:05:00"}
    path = file(tmp_path / "coded_7.fcs", **{"$FIL": "coded_7.fcs"}, **time)
    gates = load(tmp_path, sample(1, "a.fcs", 801), sample(2, "b.fcs", 401, **time))
    assert match(read_fcs(path), gates).sample.name == "b.fcs"
    assert of(path, gates) == 600


def test_the_same_name_of_another_acquisition_is_refused(tmp_path):
    path = file(tmp_path / "a.fcs", 700, DATE="08-JAN-2024", BTIM="10:00:00")
    gates = load(tmp_path, sample(1, "a.fcs", 801, DATE="01-JAN-2024", BTIM="11:00:00"))
    with pytest.raises(GateError, match=r"another acquisition.*\n.*different: \$BTIM, \$DATE, \$TOT"):
        match(read_fcs(path), gates)


def test_a_thinned_file_is_its_sample_and_the_number_of_events_is_told(tmp_path, caplog):
    path = file(tmp_path / "a.fcs", 100)
    gates = load(tmp_path, sample(1, "a.fcs", 81, n=10_000))
    found = match(read_fcs(path), gates)
    assert [f.what for f in found.problems] == ["the file has 100 events, the sample of the workspace 10,000"]
    assert of(path, gates) == 20
    assert "10,000" in caplog.text


def test_of_two_files_of_one_call_only_one_can_be_a_sample(tmp_path):
    real = file(tmp_path / "1" / "Tube_001.fcs", 1000)
    other = file(tmp_path / "2" / "Tube_001.fcs", 500)
    gates = load(tmp_path, sample(1, "Tube_001.fcs", 401))
    for order in ([real, other], [other, real]):
        exceptions: list[dict[str, object]] = []
        found = counts(order, gates, exceptions=exceptions)
        assert found[real.as_posix()]["root/size"] == 600
        assert other.as_posix() not in found
        assert any("another file" in str(row["message"]) for row in exceptions)
    alone = counts([other], gates)  # nothing else claims the sample: thinned, as far as anyone can tell
    assert alone[other.as_posix()]["root/size"] == 100
    same = file(tmp_path / "3" / "Tube_001.fcs", 1000, SRC="someone else")
    with pytest.raises(ProblemListError, match="several files could be sample"):
        counts([real, same], gates)
    copy = tmp_path / "4" / "Tube_001.fcs"
    copy.parent.mkdir()
    copy.write_bytes(real.read_bytes())
    assert len(counts([real, copy], gates)) == 2  # the same content twice is no contradiction


def test_each_sample_has_its_own_tree_and_only_strangers_are_matched_by_panel(tmp_path):
    deep = size(101, w.population("bright", w.rectangle(w.axis("PE-A", 100, None))))
    words = [{"$FIL": name, "$TOT": N} for name in ("a.fcs", "b.fcs")]
    gates = load(
        tmp_path, w.sample(1, "a.fcs", size(801), keywords=words[0]), w.sample(2, "b.fcs", deep, keywords=words[1])
    )
    files = {name: file(tmp_path / name) for name in ("a.fcs", "b.fcs", "c.fcs")}
    found = counts(files.values(), gates)
    assert found[files["a.fcs"].as_posix()] == {"root/size": 200}
    assert found[files["b.fcs"].as_posix()]["root/size"] == 900
    assert list(found[files["b.fcs"].as_posix()]) == ["root/size", "root/size/bright"]
    stranger = match(read_fcs(files["c.fcs"]), gates)
    assert stranger.sample is None
    assert "is no sample of the workspace" in stranger.problems[0].what


def test_a_sample_without_gates_does_not_get_those_of_another(tmp_path):
    gates = load(tmp_path, sample(1, "a.fcs", 801), w.sample(2, "b.fcs", keywords={"$FIL": "b.fcs", "$TOT": N}))
    with pytest.raises(GateError, match="has no gates in the workspace"):
        match(read_fcs(file(tmp_path / "b.fcs")), gates)


def test_one_path_has_one_id_in_all_samples(tmp_path):
    one = w.population("CD4+", w.rectangle(w.axis("FITC-A", 1)), size(1, name="CD69+"))
    other = w.population("CD8+", w.rectangle(w.axis("PE-A", 1)), size(1, name="CD69+"))
    words = [{"$FIL": name, "$TOT": N} for name in ("a.fcs", "b.fcs")]
    gates = load(
        tmp_path, w.sample(1, "a.fcs", one, other, keywords=words[0]), w.sample(2, "b.fcs", other, keywords=words[1])
    )
    ids = {
        "/".join(strategy[p].label or p for p in (*strategy.path(name)[1:], name)): name
        for strategy in gates.values()
        for name in strategy.populations
    }
    assert ids["CD8+/CD69+"] != ids["CD4+/CD69+"]
    assert all(ids["CD8+/CD69+"] in strategy for strategy in gates.values())


@pytest.mark.parametrize("suffix", ["json", "gates.json"])
def test_what_tells_files_apart_is_kept_with_the_gates(tmp_path, suffix):
    gates = load(tmp_path, sample(1, "x", 801, file_name="a.fcs"), sample(2, "y", 401, file_name="b.fcs"))
    gate.save(gates, tmp_path / f"w.{suffix}")
    again = gate.load(tmp_path / f"w.{suffix}")
    assert again == gates
    assert of(file(tmp_path / "b.fcs"), again) == 600


def test_streamed_and_whole_files_and_single_calls_agree(tmp_path):
    paths = [file(tmp_path / str(i) / "Tube_001.fcs", 500 + 100 * i) for i in range(4)]
    gates = load(tmp_path, *(sample(i + 1, "Tube_001.fcs", 50 * (i + 1), n=500 + 100 * i, uri="") for i in range(4)))
    streamed = counts(paths, gates)
    table = gate.batch(paths, gates, jobs=3)
    whole = {f: dict(zip(part["gate_path"], part["n"], strict=True)) for f, part in table.groupby("file")}
    assert streamed == whole
    for i, path in enumerate(paths):
        n = 500 + 100 * i - 50 * (i + 1) + 1
        assert streamed[path.as_posix()] == {"root/size": n}
        assert gate.membership(read_fcs(path), gates)["size"].sum() == n
        assert match(read_fcs_head(path).empty, gates) == match(read_fcs(path), gates)


def test_order_of_samples_does_not_matter(tmp_path):
    path = file(tmp_path / "Tube_001.fcs", 700, SRC="b")
    made = [
        sample(1, "Tube_001.fcs", 801, SRC="a"),
        sample(2, "Tube_001.fcs", 101, n=700, SRC="b"),
        sample(3, "other", 301, file_name="other.fcs", n=700),
        sample(4, "x", 501, file_name="Tube_001.fcs", n=700, SRC="c"),
    ]
    for number, order in enumerate(itertools.permutations(made)):
        place = tmp_path / str(number)
        place.mkdir()
        assert of(path, load(place, *order)) == 600


def test_templates_know_no_samples():
    assert not Matcher(gate.load(gate.shipped_folder())).knows_samples
