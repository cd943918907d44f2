"""Is the question whether a matrix was applied already answered alike by a share of the events and by all of them?

    python -m benchmarks.undeclared_matrix FOLDER

Every FCS file below the folder that carries a matrix which nobody declared is asked three times: by the events that a
streamed file keeps (`io.fcs_data.Survey`, up to 20,000 evenly), by `already_compensated` on the whole file (which takes
5,000 of its events, and 20,000 where that leaves a doubt), and by every event of the file.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from immunoprofile.compensation import applied, decide
from immunoprofile.errors import ImmunoprofileError
from immunoprofile.io.fcs import read_fcs, read_fcs_head
from immunoprofile.io.fcs_data import SURVEYED


def state(traces: list[applied.PairTrace]) -> tuple[str, float]:
    """State and share as `applied.already_compensated` gives them, by its rule."""
    if len(traces) < applied.MIN_PAIRS:
        return "NOT_EVALUABLE", math.nan
    share = sum(trace.light < applied.GONE for trace in traces) / len(traces)
    return ("WARN" if share >= applied.ASK else "PASS"), share


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
        step = max(1, -(-sample.n_events // SURVEYED))
        kept = replace(sample, events=np.asfortranarray(sample.events[::step]))
        streamed = applied.already_compensated(kept, spillover)
        whole = applied.already_compensated(sample, spillover)
        every, share = state(applied.pair_traces(sample, spillover, most=sample.n_events))
        same = streamed.state == whole.state == every
        met["same state" if same else "another state"] += 1
        if not same:
            print(f"{path.name}: streamed {streamed.state} {streamed.value:.2f}, whole {whole.state} {whole.value:.2f}, "
                  f"every event {every} {share:.2f}, {sample.n_events:,} events")  # fmt: skip
    print(", ".join(f"{word}: {number}" for word, number in sorted(met.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
