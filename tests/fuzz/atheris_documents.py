"""Coverage-guided fuzzing of gates (GatingML, templates) and study tables with atheris (not part of the suite).

    python tests/fuzz/atheris_documents.py gates CORPUS -max_total_time=600 -timeout=5 -rss_limit_mb=2048
    python tests/fuzz/atheris_documents.py tables CORPUS -max_total_time=600 -timeout=5 -rss_limit_mb=2048

CORPUS is a folder; it is filled with the shipped gates or the tables of data/demo when it is empty. docs/fuzzing.md
says what was seen.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

with atheris.instrument_imports(include=["immunoprofile.io", "immunoprofile.gate", "immunoprofile.study"]):
    import immunoprofile.gate.exchange as exchange
    import immunoprofile.study as study

from immunoprofile.errors import ImmunoprofileError  # noqa: E402

TABLES = ("subjects", "visits", "samples", "labs", "cmv_dna", "study.yaml")
WORK = Path(tempfile.mkdtemp(prefix="atheris-"))


def gates(content: bytes) -> None:
    """The first byte chooses GatingML or a template; anything but a result or a named error ends the run."""
    path = WORK / ("gates.csv" if content[:1] == b"#" else "gates.xml")
    path.write_bytes(content)
    try:
        exchange.load(path)
    except ImmunoprofileError:
        pass


def tables(content: bytes) -> None:
    """The first byte chooses the file of a valid study that is replaced by the rest."""
    name = TABLES[content[0] % len(TABLES)] if content else TABLES[0]
    path = WORK / (name if name.endswith(".yaml") else f"{name}.csv")
    valid = path.read_bytes()
    path.write_bytes(content[1:])
    try:
        study.read_study(WORK, require_files=False)
    except ImmunoprofileError:
        pass
    finally:
        path.write_bytes(valid)


def main() -> None:
    target: Callable[[bytes], None] = {"gates": gates, "tables": tables}[sys.argv.pop(1)]
    logging.disable(logging.WARNING)
    demo = ROOT / "data" / "demo"
    seeds = [path.read_bytes() for path in sorted((ROOT / "gating").glob("*.[cx][sm][vl]"))]
    if target is tables:
        for path in (*demo.glob("*.csv"), demo / "study.yaml"):
            (WORK / path.name).write_bytes(path.read_bytes())
        names = [name if name.endswith(".yaml") else f"{name}.csv" for name in TABLES]
        seeds = [bytes([number]) + (demo / name).read_bytes() for number, name in enumerate(names)]
    folders = [Path(argument) for argument in sys.argv[1:] if not argument.startswith("-")]
    if folders:
        folders[0].mkdir(parents=True, exist_ok=True)
        if not any(folders[0].iterdir()):
            for number, content in enumerate(seeds):
                (folders[0] / f"seed{number:02d}").write_bytes(content)
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
