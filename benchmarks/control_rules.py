"""How often the rules of controls alarm falsely, and how soon they find a shift.

    python -m benchmarks.control_rules [TRIALS]
    python -m benchmarks.control_rules --established [TRIALS]      targets from the first runs of the lot

Target known, SD of one tube 1. A shift of 2 SD of one tube begins after 20 runs. ``shared`` is the share of the
variance that tubes of one run have in common. The bound is the most powerful test of two runs at 1 % false alarms.
"""

from __future__ import annotations

import math
import random
import sys

from scipy.stats import norm

from immunoprofile.pp.control_rules import Run, Target, established, judge_runs

SHIFT = 2.0
BEFORE, AFTER = 20, 12
QUIET = 40


def simulate(trials: int, tubes: int, shared: float, seed: int) -> tuple[float, float, float, list[float]]:
    """False alarms a run by the rules and by the weighted mean, found within two runs, found within n runs."""
    draw = random.Random(seed)
    target = Target(0.0, 1.0, within=math.sqrt(1 - shared))
    failed = ewma = runs = 0
    first: list[int] = []
    for _ in range(trials):
        series = []
        for number in range(BEFORE + AFTER):
            common = draw.gauss(0, math.sqrt(shared)) + (SHIFT if number >= BEFORE else 0.0)
            own = tuple(common + draw.gauss(0, math.sqrt(1 - shared)) for _ in range(tubes))
            series.append(Run(str(number), own))
        judged = judge_runs(series, target)
        quiet = judged[10:BEFORE]
        failed += sum(one.failed for one in quiet)
        ewma += sum("EWMA" in one.rules for one in quiet)
        runs += len(quiet)
        first.append(next((n for n, one in enumerate(judged[BEFORE:], 1) if one.failed), AFTER + 1))
    found = [sum(one <= n for one in first) / trials for n in range(1, AFTER + 1)]
    return failed / runs, ewma / runs, found[1], found


def simulate_established(trials: int, wanted: int, seed: int) -> tuple[float, float, float, float, float, float]:
    """One tube a run, target from the first runs: false alarms, their 90th percentile over targets, shifts found.

    Returns
    -------
    tuple of float
        False alarms a run over 40 quiet runs, the same of the targets at the 90th percentile, share of targets with
        none at all; 2 SD found within two, five and ten runs.
    """
    draw = random.Random(seed)
    rates: list[float] = []
    first: list[int] = []
    for _ in range(trials):
        runs = [Run(str(number), (draw.gauss(0, 1),)) for number in range(wanted + QUIET)]
        target = established(runs, wanted=wanted)
        if target is None:
            raise RuntimeError("normal deviates vary: there is a target")
        rates.append(sum(one.failed for one in judge_runs(runs[wanted:], target)) / QUIET)
        shifted = [Run(str(number), (draw.gauss(SHIFT, 1),)) for number in range(AFTER)]
        # ten quiet runs before it, as the rules look back
        judged = judge_runs(runs[wanted : wanted + 10] + shifted, target)[10:]
        first.append(next((n for n, one in enumerate(judged, 1) if one.failed), AFTER + 1))
    rates.sort()
    found = [sum(one <= n for one in first) / trials for n in (2, 5, 10)]
    return sum(rates) / trials, rates[int(0.9 * trials)], sum(rate == 0 for rate in rates) / trials, *found


def main_established(trials: int) -> None:
    heads = ("runs of the target", "false alarms a run", "of the worst tenth of targets", "targets without any",
             "2 SD found within 2 runs", "5", "10")  # fmt: skip
    print(f"| {' | '.join(heads)} |")
    print("|---|---|---|---|---|---|---|")
    for wanted in (5, 10, 20, 40):
        alarms, worst, none, two, five, ten = simulate_established(trials, wanted, seed=2)
        print(f"| {wanted} | {alarms:.2%} | {worst:.1%} | {none:.0%} | {two:.1%} | {five:.1%} | {ten:.1%} |")


def main() -> None:
    if "--established" in sys.argv:
        main_established(int(sys.argv[2]) if len(sys.argv) > 2 else 10_000)
        return
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    print(
        "| tubes a run | shared variance | false alarms a run | by EWMA | 2 SD found within 2 runs | 5 | 10 | bound |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for tubes in (1, 2, 3, 4):
        for shared in (0.0, 0.5) if tubes > 1 else (0.0,):
            alarms, ewma, two, found = simulate(trials, tubes, shared, seed=1)
            sd = math.sqrt(shared + (1 - shared) / tubes)
            bound = norm.sf(norm.isf(0.005) - SHIFT / sd * math.sqrt(2))
            parts = (f"{alarms:.2%}", f"{ewma:.2%}", f"{two:.1%}", f"{found[4]:.1%}", f"{found[9]:.1%}", f"{bound:.1%}")
            print(f"| {tubes} | {shared:.0%} | {' | '.join(parts)} |")


if __name__ == "__main__":
    main()
