"""A study that runs in seconds, and its results: what the fault tests break."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import immunoprofile as ip
from immunoprofile.profiling.sealing import RUN_LOG
from immunoprofile.report import pages
from tests.small_study import STUDY_YAML, TABLES, write_gates, write_study

_PLAN = "plan: {analyses: [{key: change, method: S1}]}\n"
EDITED = TABLES["labs"].replace(",900,", ",71,")
"""Another table of laboratory values."""


def make(folder: Path) -> Path:
    """Write study and gates."""
    write_study(folder / "study", config=STUDY_YAML + _PLAN)
    write_gates(folder / "gates")
    return folder


def run(folder: Path, out: Path) -> None:
    """One call, as the command line makes it; its few pages by processes, as those of a large study."""
    pages._WORTH_PROCESSES = 4
    ip.run_study(ip.read_study(folder / "study"), ip.gate.load(folder / "gates"), out=out, jobs=2)


def content(out: Path) -> dict[str, bytes]:
    """Every file of a results folder but the log of times."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != RUN_LOG
    }


def quietly() -> None:
    """Without the warnings of a study of two subjects."""
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
