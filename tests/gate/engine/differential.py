"""Engine against FlowKit on random cases: ``python -m tests.gate.engine.differential --cases 2000 [--seed 0]``."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from immunoprofile.gate import _flowkit
from immunoprofile.gate.engine.evaluate import evaluate
from tests.gate.engine.cases import Case, case


@dataclass
class Outcome:
    """What a comparison found."""

    comparisons: int = 0
    gates: int = 0
    differences: list[str] = field(default_factory=list)
    tiers: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    arbiter: int = 0
    events: int = 0


def compare(one: Case, outcome: Outcome, *, name: str = "") -> None:
    """Evaluate a case both ways and note every population that differs."""
    expected = _flowkit.memberships(one.strategy, one.sample, one.spillover)
    found = evaluate(one.strategy, one.sample, one.spillover)
    outcome.tiers[found.record.tier] += 1
    if found.record.reason:
        outcome.reasons[found.record.reason.split("(")[0]] += 1
    outcome.arbiter += found.record.n_arbiter if found.record.tier == "kernel" else 0
    outcome.events += one.sample.n_events
    for gate in one.strategy.gates:
        wanted, got = expected[gate.population], found.masks[gate.population]
        outcome.gates += 1
        outcome.comparisons += len(wanted)
        if not np.array_equal(wanted, got):
            rows = np.flatnonzero(wanted != got)
            outcome.differences.append(f"{name} {found.record.tier} {gate} events {rows[:5]} of {len(wanted)}")
        if found.counts[gate.population] != np.count_nonzero(wanted):
            outcome.differences.append(f"{name} {gate.population}: count {found.counts[gate.population]}")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--events", type=int, default=400)
    parser.add_argument("--gates", type=int, default=12)
    arguments = parser.parse_args()
    outcome = Outcome()
    started = time.perf_counter()
    for seed in range(arguments.seed, arguments.seed + arguments.cases):
        compare(case(seed, events=arguments.events, gates=arguments.gates), outcome, name=f"seed {seed}")
    print(f"{arguments.cases} cases, {outcome.gates} gates, {outcome.comparisons:,} comparisons, "
          f"{len(outcome.differences)} differences, {time.perf_counter() - started:.0f} s")  # fmt: skip
    print(f"tiers {dict(outcome.tiers)}; arbiter {outcome.arbiter} of {outcome.events} events; {dict(outcome.reasons)}")
    for line in outcome.differences[:20]:
        print(line)
    return 1 if outcome.differences else 0


if __name__ == "__main__":
    raise SystemExit(main())
