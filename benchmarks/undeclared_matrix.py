"""Is the question whether a matrix was applied already answered alike by a share of the events and by all of them?

    python -m benchmarks.undeclared_matrix FOLDER

Every FCS file below the folder that carries a matrix which nobody declared is asked twice: by
`compensation.already_compensated`, which takes 5,000 of its events and 20,000 where that leaves a doubt, and by every
event of the file.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from immunoprofile.compensation import applied, decide
from immunoprofile.errors import ImmunoprofileError
from immunoprofile.io.fcs import read_fcs, read_fcs_head


def main() -> int:
    """Print a line for each file whose answers differ, and how often they agree."""
    parser = argparse.ArgumentParser(description="The question about compensated events, by a share and by all of them")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    met: Counter[str] = Counter()
    for path in sorted(options.folder.rglob("*.[fF][cC][sS]")):
        try:
            sample = read_fcs(path)
            spillover = decide(read_fcs_head(path).empty, needed=False).spillover
        except ImmunoprofileError:
            met["refused, or several data sets"] += 1
            continue
        if spillover is None or spillover.is_identity:
            met["without a matrix"] += 1
            continue
        share = applied.already_compensated(sample, spillover)
        every = applied.told_by(applied.pair_traces(sample, spillover, most=sample.n_events))
        met["same state" if share.state == every.state else "another state"] += 1
        if share.state != every.state:
            by_all = f"{every.state} {every.value:.2f} by all of its {sample.n_events:,} events"
            print(f"{path.name}: {share.state} {share.value:.2f}, {by_all}")
    print(", ".join(f"{word}: {number}" for word, number in sorted(met.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
