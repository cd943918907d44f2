"""Do the tests hold their level and the intervals their confidence where trials are awkward?

    python -m benchmarks.campaign --out DIR [--replicates 1000] [--only S8 S10] [--sizes 5 10 15 40] [--shard 1/2]
    python -m benchmarks.campaign --out DIR --table

Six situations, four sizes, six analyses, through the functions of the package. Trials are counted in blocks of 50, each
a row of a file in DIR with its seed: a campaign that was stopped goes on where it stood, and two shards can share the
work. ``--table`` writes what was run as Markdown: of the trials with a p-value the share below 0.05, of those with an
interval the share that holds the truth, and how many trials had no p-value (the analysis was refused).
"""

from __future__ import annotations

import argparse
import csv
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import anndata
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from immunoprofile import tl
from immunoprofile.errors import AnalysisError

Floats = NDArray[np.float64]

BLOCK: Final = 50
SIZES: Final = (5, 10, 15, 40)
SIGNIFICANCE: Final = 0.05
INVERTED: Final = 50
"""Of 1,000 trials of a cell of S10 those whose interval is made, and held to the test that it inverts."""

VISITS: Final = ("BL", "D7", "D14", "D28", "W8")
DAYS: Final = np.array([1, 7, 14, 28, 56])
LOG10_LLOQ: Final = float(np.log10(137))
SHARED_X: Final = np.array([0, 0.5, 1, 1.2, 1.0])
SHARED_VIRUS: Final = np.array([0, -0.3, -1.2, -2.0, -2.6])
ARM_X: Final = np.array([0, 0.7, 1, 0.2, 0])
ARM_VIRUS: Final = np.array([0, -0.5, -1, -0.7, -0.4])
COLUMNS: Final = ("first_seed", "replicates", "with_p", "rejected", "with_interval", "covered")


@dataclass(frozen=True)
class Situation:
    """What is awkward about a trial."""

    letter: str
    name: str
    unequal: bool = False
    arms: bool = False
    serial: float = 0.0
    censored: float = 0.0
    dropout: bool = False
    skewed: bool = False


SITUATIONS: Final = (
    Situation("a", "arms of 8 to 3", unequal=True),
    Situation("b", "each arm has its own course, no link inside", arms=True),
    Situation("c", "serial correlation of 0.8 a visit", serial=0.8),
    Situation("d", "80 % censored", censored=0.8),
    Situation("e", "dropout depends on the response", dropout=True),
    Situation("f", "zeros and skew", skewed=True),
)


@dataclass(frozen=True)
class Answer:
    """p, interval and truth of one trial; NaN where the analysis gave none."""

    p_value: float
    lower: float
    upper: float
    truth: float


def arms_of(size: int, situation: Situation) -> tuple[int, int]:
    """Subjects of the treated arm and of the control."""
    treated = round(16 * size / 11) + (size == 5) if situation.unequal else size
    return treated, (3 if size == 5 else 2 * size - treated) if situation.unequal else size


def errors(rng: np.random.Generator, subjects: int, situation: Situation) -> Floats:
    """Deviations of a subject over the visits, of unit variance."""
    shape = (subjects, len(VISITS))
    if situation.skewed:
        return np.asarray((rng.exponential(size=shape) ** 1.5 - 1.3293) / 2.0)
    noise = rng.standard_normal(shape)
    for k in range(1, len(VISITS)):
        noise[:, k] = situation.serial * noise[:, k - 1] + np.sqrt(1 - situation.serial**2) * noise[:, k]
    return noise


def trial(rng: np.random.Generator, size: int, situation: Situation, *, course: bool = True) -> anndata.AnnData:
    """A trial in which nothing ties population and CMV-DNA inside subjects; ``x`` is a readout on log2."""
    treated, control = arms_of(size, situation)
    subjects, bent = treated + control, float(situation.arms)
    arm = np.repeat([1.0, 0.0], [treated, control])[:, None]
    x = 6 + 0.8 * rng.standard_normal((subjects, 1)) + 0.5 * errors(rng, subjects, situation)
    x += course * (SHARED_X + bent * arm * ARM_X)
    virus = 4.2 + 0.6 * rng.standard_normal((subjects, 1)) + 0.45 * errors(rng, subjects, situation)
    virus += SHARED_VIRUS + bent * arm * ARM_VIRUS
    # a laboratory whose limit lies so high that four in five results are below it
    limit = 4.0 if situation.censored else LOG10_LLOQ
    value = 2.0**x
    if situation.skewed:
        value = np.where(rng.random(value.shape) < 0.1, 0.0, np.round(value, -1))
    gone = np.zeros(value.shape, dtype=bool)
    if situation.dropout:
        # who responds badly at a visit may not come to the next: x still low, or CMV-DNA still high
        for k in range(2, len(VISITS)):
            bad = (x[:, k - 1] - x[:, 0] < SHARED_X[k - 1] * course) | (virus[:, k - 1] > 4.2 + SHARED_VIRUS[k - 1])
            gone[:, k] = gone[:, k - 1] | (bad & (rng.random(subjects) < 0.15))
    return visits_object(value, np.where(arm[:, 0] == 1, "IL2", "GCV"), virus, limit, ~gone)


def visits_object(
    value: Floats, arm: NDArray[np.str_], virus: Floats, limit: float, kept: NDArray[np.bool_]
) -> anndata.AnnData:
    """Visits with one functional readout and CMV-DNA."""
    n, v = value.shape
    below = virus.ravel() < limit
    exact = np.where(below, np.nan, virus.ravel())
    obs = pd.DataFrame({
        "usubjid": np.repeat([f"P{i:03d}" for i in range(n)], v), "visit": np.tile(VISITS, n),
        "visitnum": np.tile(np.arange(1.0, v + 1), n), "study_day": pd.array(np.tile(DAYS, n), "Int64"),
        "virology_day": pd.array(np.tile(DAYS - 1, n), "Int64"), "arm": np.repeat(arm, v),
        "cmv_kind": np.where(below, "BLQ", "QUANT"), "cmv_unit": "IU/mL", "cmv_series": "A", "cmv_log10": exact,
        "cmv_lower": exact, "cmv_upper": np.where(below, limit, virus.ravel()), "qc_status": "PASS",
        "specimen_type": "WB_EDTA",
    })  # fmt: skip
    obs["baseline_flag"] = obs["visit"] == "BL"
    obs.index = [f"r{i}" for i in range(len(obs))]
    adata = anndata.AnnData(np.zeros((len(obs), 1)), obs=obs, var=pd.DataFrame(index=["none"]))
    adata.obsm["functional"] = pd.DataFrame({"x": value.ravel()}, index=obs.index)
    adata = adata[kept.ravel()].copy()
    adata.uns["study"] = {"reference_arm": "GCV", "primary_visit": "D14"}
    return adata


def _answer(table: pd.DataFrame, truth: float, **where: str) -> Answer:
    for column, value in where.items():
        table = table[table[column] == value]
    if not len(table):
        return Answer(np.nan, np.nan, np.nan, truth)
    row = table.iloc[0]
    return Answer(float(row["p_value"]), float(row["lower"]), float(row["upper"]), truth)


def signed_rank(rng: np.random.Generator, size: int, situation: Situation) -> Answer:
    """S1 in the smaller arm, where nothing changes; an interval of less than 90 % (four or fewer) is none of 95 %."""
    adata = trial(rng, size, situation, course=False)
    tl.change(adata, populations=["x"], measure="functional")
    table = adata.uns["change"]
    table.loc[table["conf_level"] < 0.9, ["lower", "upper"]] = np.nan
    return _answer(table, 0.0, arm="GCV")


def ancova(rng: np.random.Generator, size: int, situation: Situation) -> Answer:
    """S3 at D14."""
    adata = trial(rng, size, situation)
    tl.compare(adata, populations=["x"], measure="functional")
    return _answer(adata.uns["compare"], float(situation.arms) * ARM_X[2])


def mmrm(rng: np.random.Generator, size: int, situation: Situation) -> Answer:
    """S5 at D14, one visit in ten missed besides; where the model gives way, the analysis that it gives way to."""
    adata = trial(rng, size, situation)
    kept = (rng.random(adata.n_obs) > 0.1) | adata.obs["baseline_flag"].to_numpy(dtype=bool)
    adata = adata[kept].copy()
    tl.mmrm(adata, populations=["x"], measure="functional")
    return _answer(adata.uns["mmrm"], float(situation.arms) * ARM_X[2], visit="D14")


def correlation(rng: np.random.Generator, size: int, situation: Situation) -> Answer:
    """S8."""
    adata = trial(rng, size, situation)
    tl.associate(adata, populations=["x"], measure="functional")
    return _answer(adata.uns["associate"], 0.0)


def censored_model(rng: np.random.Generator, size: int, situation: Situation, *, interval: bool) -> Answer:
    """S10, the association within subjects.

    Its interval holds the values that its own test does not reject. Where it is made (most of the time of a trial), it
    is held to that; where it is not, a test that does not reject zero stands for an interval that holds it.
    """
    adata = trial(rng, size, situation)
    tl.associate_censored(adata, populations=["x"], measure="functional", interval=interval)
    answer = _answer(adata.uns["associate_censored"], 0.0, contrast="within subjects")
    rejected = answer.p_value < SIGNIFICANCE
    if not interval and not np.isnan(answer.p_value):
        return replace(answer, lower=np.inf if rejected else -np.inf, upper=-np.inf if rejected else np.inf)
    if not np.isnan(answer.lower) and rejected == (answer.lower <= 0 <= answer.upper):
        raise AssertionError(f"S10 in {situation.name}, {size} an arm: the interval is not its test inverted: {answer}")
    return answer


def clearance(rng: np.random.Generator, size: int, situation: Situation) -> Answer:
    """S13: weekly PCR, one in ten missed. Skew: log-normal times. Dropout: slow clearance leaves more often."""
    treated, control = arms_of(size, situation)
    subjects = treated + control
    scale = 90.0 if situation.censored else 24.0
    noise = 0.9 * rng.standard_normal(subjects) if situation.skewed else np.log(rng.weibull(1.5, subjects))
    time = scale * np.exp(noise)
    samples = np.arange(7.0, 56.5, 7.0)
    seen = rng.random((subjects, len(samples))) >= 0.1
    if situation.dropout:
        last = np.where((time > 28) & (rng.random(subjects) < 0.5), rng.choice(samples[2:5], subjects), np.inf)
        seen &= samples <= last[:, None]
    cleared, before = seen & (samples >= time[:, None]), seen & (samples < time[:, None])
    lower = np.where(before, samples, 0.0).max(axis=1)
    upper = np.where(cleared, samples, np.inf).min(axis=1)
    group = np.repeat([True, False], [treated, control])
    try:
        for arm in (group, ~group):
            if not np.isfinite(upper[arm]).any():
                raise AnalysisError("no clearance was seen in an arm")
        test = tl.permutation_test(lower, upper, group, seed=0)
    except AnalysisError:
        return Answer(np.nan, np.nan, np.nan, 0.0)
    try:
        _, low, high, _ = tl.time_ratio(lower, upper, group, test=test)
    except AnalysisError:
        low = high = np.nan
    return Answer(test.p_value, low, high, 0.0)


ANALYSES: Final[dict[str, tuple[Callable[[np.random.Generator, int, Situation], Answer], str]]] = {
    "S10": (partial(censored_model, interval=False), "abcdef"),
    "S8": (correlation, "abcdef"),
    "S5": (mmrm, "abcef"),
    "S13": (clearance, "adef"),
    "S3": (ancova, "abcef"),
    "S1": (signed_rank, "acef"),
}
"""Analysis -> its trial, and the situations that can touch it (the others do not: S1 looks into one arm)."""


DIFFER: Final = ("S3", "S5")
"""Analyses of what differs between arms that have their own courses: there only coverage says something."""


def block(analysis: str, situation: Situation, size: int, first_seed: int, replicates: int = BLOCK) -> dict[str, int]:
    """Counts over the trials of one block."""
    run, cell = ANALYSES[analysis][0], zlib.crc32(f"{analysis}{situation.letter}{size}".encode())
    if analysis == "S10" and first_seed % 1000 < INVERTED:
        run = partial(censored_model, interval=True)
    answers = [run(np.random.default_rng([cell, first_seed + k]), size, situation) for k in range(replicates)]
    printed = [one for one in answers if not np.isnan(one.p_value)]
    bounded = [one for one in answers if not np.isnan(one.lower)]
    return {
        "first_seed": first_seed, "replicates": replicates, "with_p": len(printed),
        "rejected": int(sum(one.p_value < SIGNIFICANCE for one in printed)), "with_interval": len(bounded),
        "covered": int(sum(one.lower <= one.truth <= one.upper for one in bounded)),
    }  # fmt: skip


def cells(only: list[str], sizes: list[int]) -> list[tuple[str, Situation, int]]:
    """Cells of the campaign."""
    return [(analysis, situation, size) for size in sizes for analysis, (_, letters) in ANALYSES.items()
            for situation in SITUATIONS if situation.letter in letters and (not only or analysis in only)]  # fmt: skip


def place(out: Path, analysis: str, situation: Situation, size: int) -> Path:
    """File of a cell."""
    return out / f"{analysis}_{situation.letter}_{size}.csv"


def run(out: Path, chosen: list[tuple[str, Situation, int]], replicates: int, shard: tuple[int, int]) -> None:
    """All cells, a block of each in turn, so that a stopped campaign has about as many trials of each."""
    out.mkdir(parents=True, exist_ok=True)
    for first_seed in range(0, replicates, BLOCK):
        for number, (analysis, situation, size) in enumerate(chosen):
            path = place(out, analysis, situation, size)
            done = {int(row["first_seed"]) for row in csv.DictReader(path.open())} if path.exists() else set()
            if number % shard[1] != shard[0] - 1 or first_seed in done:
                continue
            row = block(analysis, situation, size, first_seed)
            fresh = not path.exists()
            with path.open("a", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS)
                if fresh:
                    writer.writeheader()
                writer.writerow(row)
        print(f"done: {first_seed + BLOCK} trials of each cell", file=sys.stderr, flush=True)


def table(out: Path) -> str:
    """What was run, as a Markdown table: one line an analysis and situation, one pair of columns a size."""
    lines = ["| analysis | situation | " + " | ".join(f"{size} an arm" for size in SIZES) + " |",
             "|---|---|" + "---|" * len(SIZES)]  # fmt: skip
    for analysis, (_, letters) in ANALYSES.items():
        for situation in (one for one in SITUATIONS if one.letter in letters):
            words = []
            for size in SIZES:
                path = place(out, analysis, situation, size)
                null = analysis not in DIFFER or not situation.arms
                words.append(_cell(pd.read_csv(path).sum(), null=null) if path.exists() else "not run")
            lines.append(f"| {analysis} | ({situation.letter}) {situation.name} | {' | '.join(words)} |")
    return "\n".join(lines)


def _cell(counts: pd.Series[int], *, null: bool) -> str:
    n, printed, bounded = (int(counts[name]) for name in ("replicates", "with_p", "with_interval"))
    if printed < 0.02 * n:
        return f"refused ({n})"
    level = f"{counts['rejected'] / printed:.3f}" if null else "-"
    level += f", {counts['covered'] / bounded:.3f}" if bounded else ", no interval"
    return level + (f" ({printed} of {n})" if printed < n else f" ({n})")


def main() -> int:
    """Run a shard, or write the table."""
    parser = argparse.ArgumentParser(description="Level and coverage of the analyses in awkward trials")
    parser.add_argument("--out", type=Path, required=True, help="folder of the counts")
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--only", nargs="*", default=[], help="ids of analyses, e.g. S8 S10")
    parser.add_argument("--sizes", nargs="*", type=int, default=list(SIZES), help="subjects an arm")
    parser.add_argument("--shard", default="1/1", help="which part of the cells, e.g. 2/3")
    parser.add_argument("--table", action="store_true", help="print what was run")
    options = parser.parse_args()
    if options.table:
        print(table(options.out))
        return 0
    part, parts = (int(number) for number in options.shard.split("/"))
    run(options.out, cells(options.only, options.sizes), options.replicates, (part, parts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
