"""Does an analysis reject when there is nothing, and does its interval cover the truth?

    python -m benchmarks.statistics [--replicates 500] [--only S3 S10] [--out FILE.csv]

Simulated trials of 20 patients an arm through the functions of the package. Each row of the table is one scenario: the
share of p < 0.05 (wanted 0.03-0.07 where the truth is zero), the share of 95 % intervals that hold the truth (wanted
0.93-0.97), the Monte-Carlo standard error of a share of 5 %, and how often no estimate could be given. A scenario is a
function from a seed to an Answer, entered in SCENARIOS.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anndata
import numpy as np
import pandas as pd

from immunoprofile import tl
from immunoprofile.datasets import il2_cmv_counts
from immunoprofile.tl._frame import analysis_values, endpoints

SUBJECTS = 40
SIGNIFICANCE = 0.05
CONFIDENCE = 0.95
LOG10_LLOQ = float(np.log10(137))


@dataclass(frozen=True)
class Answer:
    """What one simulated trial gave: p, interval and truth; NaN where there is no estimate."""

    p_value: float
    lower: float
    upper: float
    truth: float


@dataclass(frozen=True)
class Scenario:
    """An analysis under a known truth."""

    analysis: str
    name: str
    null: bool
    run: Callable[[int], Answer]


def _answer(table: pd.DataFrame, truth: float, **where: str) -> Answer:
    for column, value in where.items():
        table = table[table[column] == value]
    row = table.iloc[0]
    return Answer(float(row["p_value"]), float(row["lower"]), float(row["upper"]), truth)


def _trial(seed: int, *, visits: int, effect: str) -> anndata.AnnData:
    adata = il2_cmv_counts(subjects=SUBJECTS, visits=visits, seed=seed, effect=effect)  # type: ignore[arg-type]
    adata.uns["study"] = {"reference_arm": "GCV", "primary_visit": "D14"}
    return adata


def _true_effect(adata: anndata.AnnData) -> float:
    truth = adata.uns["truth"].set_index(["population", "measure", "visit"])
    return float(truth.loc[("treg", "pct_parent", "D14"), "effect"])


def _ancova(effect: str) -> Callable[[int], Answer]:
    def run(seed: int) -> Answer:
        adata = _trial(seed, visits=2, effect=effect)
        tl.compare(adata, populations=["treg"], measure="pct_parent")
        return _answer(adata.uns["compare"], _true_effect(adata))

    return run


def _mmrm(effect: str) -> Callable[[int], Answer]:
    """The effect at D14 with one visit in ten missed after baseline."""

    def run(seed: int) -> Answer:
        adata = _trial(seed, visits=5, effect=effect)
        rng = np.random.default_rng([seed, 1])
        kept = (rng.random(adata.n_obs) > 0.1) | adata.obs["baseline_flag"].to_numpy(dtype=bool)
        adata = adata[kept].copy()
        tl.mmrm(adata, populations=["treg"], measure="pct_parent")
        return _answer(adata.uns["mmrm"], _true_effect(adata), visit="D14", method_id="S5")

    return run


def _with_virus(adata: anndata.AnnData, slope: float, rng: np.random.Generator) -> None:
    """CMV-DNA made anew: a bent course that all share, own levels and slopes, and the population inside subjects."""
    endpoint = endpoints(adata, ["treg"], "pct_parent", None)[0]
    values = pd.Series(analysis_values(adata, endpoint, include_failed=True), index=adata.obs["usubjid"].to_numpy())
    within = (values - values.groupby(level=0).transform("mean")).to_numpy()
    subject = adata.obs["usubjid"].astype("category").cat.codes.to_numpy()
    weeks = adata.obs["virology_day"].to_numpy(dtype=float) / 7
    subjects = subject.max() + 1
    log10 = (
        4 - 1.6 * (1 - np.exp(-weeks / 2))
        + 0.5 * rng.standard_normal(subjects)[subject] + 0.08 * rng.standard_normal(subjects)[subject] * weeks
        + slope * within + 0.3 * rng.standard_normal(len(weeks))
    )  # fmt: skip
    below = log10 < LOG10_LLOQ
    adata.obs["cmv_kind"] = np.where(below, "TND", "QUANT")
    adata.obs["cmv_log10"] = np.where(below, np.nan, log10)
    adata.obs["cmv_lower"] = np.where(below, np.nan, log10)
    adata.obs["cmv_upper"] = np.where(below, LOG10_LLOQ, log10)


def _censored(slope: float) -> Callable[[int], Answer]:
    """IL-2 moves Treg, CMV-DNA falls in everybody: a shared course of time, and a true slope inside subjects."""

    def run(seed: int) -> Answer:
        adata = _trial(seed, visits=5, effect="none")
        _with_virus(adata, slope, np.random.default_rng([seed, 2]))
        tl.associate_censored(adata, populations=["treg"], measure="pct_parent")
        return _answer(adata.uns["associate_censored"], slope, contrast="within subjects")

    return run


def _censored_in_the_demo(seed: int) -> Answer:
    """CMV-DNA of the synthetic trial: rebounds, humps, missed samples; Treg has no part in it."""
    adata = _trial(seed, visits=5, effect="none")
    tl.associate_censored(adata, populations=["treg"], measure="pct_parent")
    return _answer(adata.uns["associate_censored"], 0.0, contrast="within subjects")


def _correlation(r: float) -> Callable[[int], Answer]:
    """Opposite courses of time in all subjects, and a correlation of what is left."""

    def run(seed: int) -> Answer:
        rng = np.random.default_rng([seed, 3])
        subject, visit = np.repeat(np.arange(SUBJECTS), 5), np.tile(np.arange(5), SUBJECTS)
        x, own = rng.standard_normal((2, len(subject)))
        y = r * x + np.sqrt(1 - r**2) * own
        x, y = x + visit + rng.standard_normal(SUBJECTS)[subject], y - visit + rng.standard_normal(SUBJECTS)[subject]
        found = tl.repeated_correlation(subject, x, y, adjust=visit)
        return Answer(found.p_value, found.lower, found.upper, r)

    return run


def _correlation_in_the_demo(seed: int) -> Answer:
    adata = _trial(seed, visits=5, effect="none")
    tl.associate(adata, populations=["treg"], measure="pct_parent")
    return _answer(adata.uns["associate"], 0.0)


def _clearance(time_ratio: float) -> Callable[[int], Answer]:
    """Weekly PCR, one sample in ten missed: interval-censored Weibull times, likelihood-ratio test and interval."""

    def run(seed: int) -> Answer:
        scenario = tl.ClearanceScenario(time_ratio)
        found = scenario.simulate(SUBJECTS // 2, np.random.default_rng([seed, 4]))
        return Answer(found.p_value, found.lower, found.upper, found.truth)

    return run


SCENARIOS: tuple[Scenario, ...] = (
    Scenario("S3", "Treg at D14, no effect", True, _ancova("none")),
    Scenario("S3", "Treg at D14, effect of IL-2", False, _ancova("il2")),
    Scenario("S5", "Treg at D14, no effect, 10 % missed", True, _mmrm("none")),
    Scenario("S5", "Treg at D14, effect of IL-2, 10 % missed", False, _mmrm("il2")),
    Scenario("S8", "shared course, no correlation", True, _correlation(0.0)),
    Scenario("S8", "shared course, r = 0.4", False, _correlation(0.4)),
    Scenario("S8", "synthetic trial, no correlation", True, _correlation_in_the_demo),
    Scenario("S10", "shared course, no slope", True, _censored(0.0)),
    Scenario("S10", "shared course, slope 0.5", False, _censored(0.5)),
    Scenario("S10", "synthetic trial, no slope", True, _censored_in_the_demo),
    Scenario("S13", "weekly PCR, time ratio 1", True, _clearance(1.0)),
    Scenario("S13", "weekly PCR, time ratio 0.6", False, _clearance(0.6)),
)


def simulate(scenario: Scenario, replicates: int, *, first_seed: int = 0) -> dict[str, object]:
    """One row of the table; the share of rejections and of coverage is over the trials with an estimate."""
    started = time.perf_counter()
    answers = [scenario.run(first_seed + seed) for seed in range(replicates)]
    known = [answer for answer in answers if not np.isnan(answer.p_value)]
    count = max(len(known), 1)
    return {
        "analysis": scenario.analysis,
        "scenario": scenario.name,
        "null": scenario.null,
        "replicates": replicates,
        "no_estimate": replicates - len(known),
        "rejected": sum(answer.p_value < SIGNIFICANCE for answer in known) / count,
        "covered": sum(answer.lower <= answer.truth <= answer.upper for answer in known) / count,
        "monte_carlo_se": float(np.sqrt(SIGNIFICANCE * CONFIDENCE / count)),
        "ms_a_trial": round(1000 * (time.perf_counter() - started) / replicates, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Type-I error and coverage of the analyses")
    parser.add_argument("--replicates", type=int, default=500)
    parser.add_argument("--only", nargs="*", default=[], help="ids of analyses, e.g. S3 S10")
    parser.add_argument("--out", type=Path, help="store the table as CSV")
    options = parser.parse_args()
    chosen = [scenario for scenario in SCENARIOS if not options.only or scenario.analysis in options.only]
    rows = []
    for scenario in chosen:
        rows.append(simulate(scenario, options.replicates))
        print(f"done: {scenario.analysis} {scenario.name}", file=sys.stderr)
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    if options.out:
        table.to_csv(options.out, index=False, lineterminator="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
