"""A few small files are gated without the compiled kernel, with the same counts."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pandas as pd

import immunoprofile as ip
from tests.small_study import write_gates, write_study

module = importlib.import_module("immunoprofile.gate.batch")


def test_counts_do_not_depend_on_the_kernel(tmp_path: Path, monkeypatch) -> None:
    write_study(tmp_path / "study")
    gates = ip.gate.load(write_gates(tmp_path / "gates"))
    files = sorted((tmp_path / "study" / "fcs").glob("*.fcs"))
    assert not module.worth_compiling(files)
    small = ip.gate.batch(files, gates)
    monkeypatch.setattr(module, "SMALL_BATCH_BYTES", 1)
    assert module.worth_compiling(files)
    pd.testing.assert_frame_equal(small, ip.gate.batch(files, gates))


def test_one_small_file_loads_neither_flowkit_nor_numba(tmp_path: Path) -> None:
    write_study(tmp_path / "study")
    write_gates(tmp_path / "gates")
    code = f"""
import sys
from immunoprofile.cli import app
try:
    app(["gate", {str(tmp_path / "study" / "fcs" / "S-1_BL.fcs")!r}, "--gates", {str(tmp_path / "gates")!r},
         "--out", {str(tmp_path / "out")!r}, "--quiet"])
except SystemExit as end:
    assert not end.code, end.code
assert "flowkit" not in sys.modules
assert "numba" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "counts.csv").is_file()
