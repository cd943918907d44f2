"""Table "file x outcome" over a folder of difficult FCS files.

    python -m benchmarks.torture [FOLDER]            print the table
    python -m benchmarks.torture [FOLDER] --write    store it as tests/io/torture_expected.csv

FOLDER defaults to ``torture_fcs_readers`` in the outside test data (IMMUNOPROFILE_TEST_DATA). One row a data set; a
file that is refused has one row with the reason. The stored table was judged row by row: docs/fcs-reader.md.
"""

from __future__ import annotations

import argparse
import csv
import io
import logging
import os
import sys
from pathlib import Path

import numpy as np

from immunoprofile.errors import FcsError
from immunoprofile.io.fcs import Sample, read_fcs_datasets

ROOT = Path(__file__).resolve().parent.parent
EXPECTED = ROOT / "tests" / "io" / "torture_expected.csv"
COLUMNS = ("file", "data_set", "outcome", "detail", "version", "events", "channels", "datatype", "lowest", "highest")


def torture_folder() -> Path:
    named = os.environ.get("IMMUNOPROFILE_TEST_DATA")
    return (Path(named) if named else ROOT.parent / "shared" / "data") / "torture_fcs_readers"


def rows(folder: Path) -> list[dict[str, str]]:
    """One row a data set of every file under ``folder``, sorted by path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix.lower() not in (".md", ".txt"))
    table = []
    for path in files:
        name = path.relative_to(folder).as_posix()
        try:
            samples = read_fcs_datasets(path)
        except FcsError as error:
            table.append(dict.fromkeys(COLUMNS, "") | {"file": name, "outcome": "refused", "detail": error.what})
            continue
        for number, sample in enumerate(samples, 1):
            table.append(_row(name, f"{number} of {len(samples)}", sample))
    return table


def _row(name: str, data_set: str, sample: Sample) -> dict[str, str]:
    repairs = " ".join(repair.partition(":")[0] for repair in sample.repairs)
    finite = sample.events[np.isfinite(sample.events)]
    assert sample.layout is not None
    return {
        "file": name,
        "data_set": data_set,
        "outcome": "repaired" if repairs else "read",
        "detail": repairs,
        "version": sample.version,
        "events": str(sample.n_events),
        "channels": str(len(sample.channels)),
        "datatype": sample.layout.datatype,
        "lowest": f"{finite.min():.6g}" if finite.size else "",
        "highest": f"{finite.max():.6g}" if finite.size else "",
    }


def as_csv(table: list[dict[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


def main() -> int:
    parser = argparse.ArgumentParser(description="Table of files and outcomes of the FCS reader")
    parser.add_argument("folder", nargs="?", type=Path, default=torture_folder())
    parser.add_argument("--write", action="store_true", help=f"store as {EXPECTED.relative_to(ROOT)}")
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # the repairs stand in the table
    if not options.folder.is_dir():
        print(f"no such folder: {options.folder}", file=sys.stderr)
        return 2
    table = rows(options.folder)
    widths = {column: max(len(column), *(len(row[column]) for row in table)) for column in COLUMNS}
    widths["detail"] = min(widths["detail"], 100)
    for row in [dict(zip(COLUMNS, COLUMNS, strict=True)), *table]:
        print("  ".join(row[column].ljust(widths[column]) for column in COLUMNS).rstrip())
    if options.write:
        EXPECTED.write_text(as_csv(table), encoding="utf-8", newline="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
