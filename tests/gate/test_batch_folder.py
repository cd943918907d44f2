"""Many files into a folder: the same bytes for any jobs and after a kill, and memory that does not grow with files."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
import weakref
from pathlib import Path

import pandas as pd
import pytest

from immunoprofile import gate, schema
from immunoprofile.errors import FcsError, GateError, ResultsError
from immunoprofile.gate import batch_folder
from immunoprofile.gate.batch_folder import Extras, batch_to_folder
from immunoprofile.io import fcs
from immunoprofile.io.fcs import read_fcs
from immunoprofile.io.files import sha256_of, write_table
from immunoprofile.workers import in_order
from tests.folders import content
from tests.gate.test_evaluate import strategy
from tests.io.fcs_files import events, spill_text, write


def make_files(folder, number, n_events=300):
    """Files of different content, one of them cut off."""
    files = [
        write(folder / f"{place:03d}.fcs", events(n_events, seed=place), **{"$SPILLOVER": spill_text()})
        for place in range(number)
    ]
    (folder / "bad.fcs").write_bytes(files[0].read_bytes()[:3000])
    return [*files[:2], folder / "bad.fcs", *files[2:]]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("fcs"), 6)


@pytest.fixture(scope="module")
def whole(files, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    summary = batch_to_folder(files, strategy(), out, extras=Extras(cells=True))
    assert (summary.gated, summary.resumed, len(summary.exceptions)) == (6, 0, 1)
    return content(out)


@pytest.mark.parametrize("jobs", [2, 3])
def test_same_bytes_whatever_the_jobs(files, whole, tmp_path, jobs):
    batch_to_folder(files, strategy(), tmp_path, extras=Extras(cells=True), jobs=jobs)
    assert content(tmp_path) == whole


def test_the_bytes_are_those_of_the_table_that_batch_returns(files, whole, tmp_path):
    exceptions: list[dict] = []
    write_table(tmp_path / "counts.csv", gate.batch(files, strategy(), exceptions=exceptions))
    write_table(tmp_path / "exceptions.csv", pd.DataFrame(exceptions, columns=list(schema.EXCEPTION_COLUMNS)))
    for name in ("counts.csv", "exceptions.csv"):
        assert whole[name] == (tmp_path / name).read_bytes()
    gated = {sha256_of(file) for file in files if file.stem != "bad"}
    assert set(whole) == {"counts.csv", "exceptions.csv", *(f"cells/{digest}.h5ad" for digest in gated)}


def test_cells_and_counts_agree(whole, tmp_path):
    import anndata

    (tmp_path / "counts.csv").write_bytes(whole["counts.csv"])
    counts = pd.read_csv(tmp_path / "counts.csv").set_index(["sample_id", "population"])["n"]
    for name, stored in whole.items():
        if name.startswith("cells/"):
            (tmp_path / "one.h5ad").write_bytes(stored)
            cells = anndata.read_h5ad(tmp_path / "one.h5ad")
            for population, n in counts[name[6:-5]].items():
                assert int(cells.obs[f"gate_{population}"].sum()) == n


_RUN = """
import sys, time
from pathlib import Path
from immunoprofile.gate import batch_folder
from tests.gate.test_evaluate import strategy
slow = batch_folder._Worker._counts
def with_pause(self, path):
    time.sleep(0.3)
    return slow(self, path)
batch_folder._Worker._counts = with_pause
extras = batch_folder.Extras(cells=True)
batch_folder.batch_to_folder(sys.argv[2:], strategy(), Path(sys.argv[1]), jobs=2, extras=extras)
"""


def test_killed_batch_goes_on_and_ends_with_the_same_bytes(files, whole, tmp_path, monkeypatch):
    out = tmp_path / "out"
    process = subprocess.Popen([sys.executable, "-c", _RUN, str(out), *map(str, files)])
    while process.poll() is None and len(list((out / ".batch").glob("*.json"))) < 3:
        time.sleep(0.01)
    process.kill()
    assert process.wait() != 0, "the batch ended before it was killed"
    done = len(list((out / ".batch").glob("*.json")))
    assert 3 <= done < len(files)
    assert not (out / "counts.csv").exists()
    # What a process leaves that is killed while it writes.
    (out / ".batch" / ".half.4242.tmp.json").write_text("{")
    (out / ".counts.4242.tmp.csv").write_text("sample_id")
    gated = []
    counts = batch_folder._Worker._counts
    monkeypatch.setattr(batch_folder._Worker, "_counts", lambda self, path: gated.append(path) or counts(self, path))
    summary = batch_to_folder(files, strategy(), out, extras=Extras(cells=True))
    assert summary.resumed == done
    assert len(gated) == len(files) - done
    assert content(out) == whole


def stop_before_the_join(monkeypatch, files, gates, out, **options):
    """A batch that is stopped when all files are gated and nothing is joined."""

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(batch_folder, "_join", stop)
        with pytest.raises(KeyboardInterrupt):
            batch_to_folder(files, gates, out, **options)


def test_cells_that_were_placed_before_the_kill_are_not_made_again(files, whole, tmp_path, monkeypatch):
    stop_before_the_join(monkeypatch, files, strategy(), tmp_path, extras=Extras(cells=True))
    assert batch_to_folder(files, strategy(), tmp_path, extras=Extras(cells=True)).resumed == len(files)
    assert content(tmp_path) == whole


def test_records_of_other_content_gates_or_options_are_not_taken(files, tmp_path, monkeypatch):
    own = [tmp_path / file.name for file in files[:2]]
    for source, target in zip(files, own, strict=False):
        target.write_bytes(source.read_bytes())
    out = tmp_path / "out"
    stop_before_the_join(monkeypatch, own, strategy(), out)
    own[0].write_bytes(files[3].read_bytes())
    assert batch_to_folder(own, strategy(), out).resumed == 1
    assert pd.read_csv(out / "counts.csv")["sample_id"].unique().tolist() == [sha256_of(file) for file in own]
    for change in ({"comp_source": "none"}, {"extras": Extras(cells=True)}):
        stop_before_the_join(monkeypatch, own, strategy(), out)
        assert batch_to_folder(own, strategy(), out, **change).resumed == 0
    stop_before_the_join(monkeypatch, own, strategy(), out)
    assert batch_to_folder(own, strategy("other"), out).resumed == 0
    assert set(pd.read_csv(out / "counts.csv")["tube"]) == {"other"}


def test_a_record_that_is_damaged_is_made_again(files, whole, tmp_path, monkeypatch):
    stop_before_the_join(monkeypatch, files, strategy(), tmp_path, extras=Extras(cells=True))
    sorted((tmp_path / ".batch").glob("*.json"))[0].write_text("{")
    # Names are hashes of paths: the second may be that of the damaged file, which has no rows
    others = sorted((tmp_path / ".batch").glob("*.json"))[1:]
    record = next(path for path in others if json.loads(path.read_text())["record"]["rows"])
    stored = json.loads(record.read_text())
    count = stored["record"]["rows"][0][-3]
    stored["record"]["rows"][0][-3] = str(int(count) + 1)
    record.write_text(json.dumps(stored))
    assert batch_to_folder(files, strategy(), tmp_path, extras=Extras(cells=True)).resumed == len(files) - 2
    assert content(tmp_path) == whole


def test_files_that_are_named_twice_or_have_the_same_content(files, tmp_path):
    twin = tmp_path / "twin.fcs"
    twin.write_bytes(files[0].read_bytes())
    out = tmp_path / "out"
    again = files[0].parent / "." / ".." / files[0].parent.name / files[0].name
    summary = batch_to_folder([files[0], twin, again], strategy(), out, extras=Extras(cells=True), jobs=3)
    assert summary.gated == 2
    told = {row["code"]: row for row in summary.exceptions}
    assert set(told) == {"FILE_TWICE", "DUPLICATE_CONTENT"}
    assert (told["FILE_TWICE"]["file"], told["DUPLICATE_CONTENT"]["file"]) == (again.as_posix(), twin.as_posix())
    table = pd.read_csv(out / "counts.csv")
    assert table["file"].drop_duplicates().tolist() == [files[0].as_posix(), twin.as_posix()]
    assert len(table) == 2 * len(strategy().gates)
    assert [path.name for path in (out / "cells").iterdir()] == [f"{sha256_of(twin)}.h5ad"]


def test_a_file_in_the_place_of_the_folder_is_refused(files, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ResultsError, match="not a folder"):
        batch_to_folder(files, strategy(), tmp_path / "out")


@pytest.mark.parametrize("to_folder", [True, False])
def test_only_as_many_files_are_in_memory_as_there_are_threads(tmp_path, monkeypatch, to_folder):
    """Live `Sample` objects while 10 and 60 files are gated, every third of which fails after it was read."""
    most = {}
    one = make_files(tmp_path / "fcs", 1)[0]
    read = fcs.read_fcs
    for number in (10, 60):
        living: weakref.WeakSet = weakref.WeakSet()
        seen, paths = [], set()

        def counted(path, living=living, seen=seen, paths=paths, **options):
            paths.add(path)
            sample = read(path, **options)
            living.add(sample)
            gc.collect()
            seen.append(len(living))
            if Path(path).stem.endswith("bad"):
                raise FcsError("a failure whose traceback holds the sample")
            return sample

        names = [tmp_path / f"{number}_{place}{'bad' if place % 3 == 0 else ''}.fcs" for place in range(number)]
        for place, name in enumerate(names):
            name.write_bytes(one.read_bytes() + bytes([place]))
        with monkeypatch.context() as patch:
            patch.setattr(sys.modules["immunoprofile.io.fcs_source"], "read_fcs", counted)
            if to_folder:
                batch_to_folder(names, strategy(), tmp_path / f"out{number}", jobs=2)
            else:
                gate.batch(names, strategy(), jobs=2, exceptions=[])
        assert len(paths) == number
        most[number] = max(seen)
    assert most[60] <= 4  # one a thread, and the one that is just let go of
    assert most[10] <= 4


def test_in_order_takes_no_more_than_it_needs():
    taken = []

    def items():
        for item in range(20):
            taken.append(item)
            yield item

    results = in_order(lambda item: item * item, items(), jobs=2)
    assert next(results) == 0
    assert len(taken) == 4
    results.close()
    assert len(taken) == 4
    assert list(in_order(lambda item: item * item, range(7), jobs=3)) == [0, 1, 4, 9, 16, 25, 36]
    with pytest.raises(ZeroDivisionError):
        list(in_order(lambda item: 1 // item, range(7), jobs=3))


def test_fcs_and_intensities_of_each_file(files, tmp_path):
    good = [path for path in files if path.stat().st_size > 5000][:2]
    extras = Extras(fcs=True, statistics=("median", "geomean"))
    summary = batch_to_folder(good, strategy(), tmp_path, extras=extras, jobs=2)
    assert summary.gated == len(good)
    table = pd.read_csv(tmp_path / "intensities.csv")
    assert set(table["statistic"]) == {"median", "geomean"}
    counts = pd.read_csv(tmp_path / "counts.csv")
    for path in good:
        written = read_fcs(tmp_path / "fcs" / path.name)
        own = counts[counts["file"] == path.as_posix()]
        for row in own.itertuples():
            inside = written.values(str(row.population))
            assert inside.sum() == row.n
            rows = table[(table["file"] == path.as_posix()) & (table["population"] == row.population)]
            assert set(rows["n"]) == {row.n}
    assert not (tmp_path / ".batch").exists()


def test_an_unknown_statistic_is_refused_before_a_file_is_gated(files, tmp_path):
    with pytest.raises(GateError, match="mode"):
        batch_to_folder(files, strategy(), tmp_path, extras=Extras(statistics=("mode",)))
    assert not list(tmp_path.iterdir())
