"""Time and size of the reports of a results folder: ``python -m benchmarks.reports RESULTS [--jobs N] [--pdf]``.

Writes every visit report (with figures and JSON twin) and the cohort report into a temporary folder, twice, and says
whether the bytes were the same. Prints the time of each round, and seconds per 60 visit reports.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from pathlib import Path

from immunoprofile import read_results, report
from immunoprofile.io.files import sha256_of


def write(profile: object, folder: Path, *, jobs: int, pdf: bool) -> tuple[float, dict[str, str], int]:
    """Seconds, hash by file and bytes of one round."""
    begin = time.perf_counter()
    paths = report.write_all(profile, folder, jobs=jobs, pdf=pdf)
    seconds = time.perf_counter() - begin
    return (
        seconds,
        {p.relative_to(folder).as_posix(): sha256_of(p) for p in paths},
        sum(p.stat().st_size for p in paths),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--pdf", action="store_true")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    profile = read_results(chosen.results)
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        rounds = [write(profile, Path(folder), jobs=chosen.jobs, pdf=chosen.pdf) for folder in (first, second)]
    pages = sum(name.endswith(".html") for name in rounds[0][1]) - 1
    for number, (seconds, files, size) in enumerate(rounds, 1):
        print(f"round {number}: {pages} visit reports and the cohort in {seconds:.1f} s with {chosen.jobs} jobs, "
              f"{60 * seconds / pages:.1f} s per 60, {size / 1e6:.1f} MB in {len(files)} files")  # fmt: skip
    print("same bytes twice:", rounds[0][1] == rounds[1][1])


if __name__ == "__main__":
    main()
