"""S20: power and sample size by simulation, through the functions that analyse the trial."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.schema import ESTIMATED, POWER_COLUMNS, UNS_COMPARE, UNS_TRUTH
from immunoprofile.tl.aft import permutation_test, time_ratio
from immunoprofile.tl.ancova import ancova, compare

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from immunoprofile.tl._frame import Measure, Scale

NAN = math.nan
CONFIDENCE = 0.95


class Outcome(NamedTuple):
    """What the analysis of one simulated trial says; NaN where it has no answer. ``truth`` is on its scale."""

    p_value: float
    estimate: float
    lower: float
    upper: float
    truth: float


class Scenario(Protocol):
    """A trial that can be simulated and analysed."""

    @property
    def method_id(self) -> str:
        """Method of the analysis."""

    def simulate(self, n_per_arm: int, rng: np.random.Generator) -> Outcome:
        """Draw one trial and analyse it."""


@dataclass(frozen=True)
class AncovaScenario:
    """Arms compared at one visit (S3) when value = slope x baseline + difference + error, all normal.

    ``difference`` and the standard deviations are on the analysis scale, for instance log2: 1 is a doubling.
    """

    difference: float
    residual_sd: float = 0.55
    baseline_sd: float = 0.5
    slope: float = 0.7
    method_id: str = "S3"

    def simulate(self, n_per_arm: int, rng: np.random.Generator) -> Outcome:
        """Draw one trial and analyse it by :func:`ancova`."""
        arm = np.repeat(["reference", "treated"], n_per_arm)
        baseline = self.baseline_sd * rng.standard_normal(2 * n_per_arm)
        noise = self.residual_sd * rng.standard_normal(2 * n_per_arm)
        outcome = self.slope * baseline + self.difference * (arm == "treated") + noise
        fit = ancova(outcome, baseline, arm, reference="reference")
        estimate, lower, upper, p_value = fit.term("arm[treated]", confidence=CONFIDENCE)
        return Outcome(p_value, estimate, lower, upper, self.difference)


@dataclass(frozen=True)
class TrialScenario:
    """An endpoint of the synthetic trial, counting noise included, analysed by :func:`compare` (S3).

    ``effect`` ``none`` switches the effect of IL-2 off (type-I error).
    """

    population: str
    measure: Measure = "pct_parent"
    visit: str = "D14"
    effect: Literal["il2", "none"] = "il2"
    scale: Scale | None = None
    lymphocytes: int = 8000
    method_id: str = "S3"

    def simulate(self, n_per_arm: int, rng: np.random.Generator) -> Outcome:
        """Draw one trial and analyse it by :func:`compare`."""
        from immunoprofile.datasets import il2_cmv_counts

        # visits are drawn in a fixed order: two are enough for the primary visit, seven hold them all
        trial = il2_cmv_counts(subjects=2 * n_per_arm, visits=2 if self.visit == "D14" else 7,
                               seed=int(rng.integers(2**31)), effect=self.effect,
                               lymphocytes=self.lymphocytes)  # fmt: skip
        compare(trial, populations=[self.population], measure=self.measure, visit=self.visit, scale=self.scale,
                reference="GCV", confidence=CONFIDENCE)  # fmt: skip
        row = trial.uns[UNS_COMPARE].iloc[0]
        if row["status"] != ESTIMATED:
            raise AnalysisError(str(row["note"]), where="power")
        truth = self._truth(trial, str(row["scale"]))
        return Outcome(float(row["p_value"]), float(row["estimate"]), float(row["lower"]), float(row["upper"]), truth)

    def _truth(self, trial: AnnData, scale: str) -> float:
        """The declared effect, where the simulator states it on the scale of the analysis."""
        truth = trial.uns[UNS_TRUTH]
        own = truth[(truth["population"] == self.population) & (truth["measure"] == self.measure)
                    & (truth["visit"] == self.visit)]  # fmt: skip
        if len(own) == 0 or (str(own["scale"].iloc[0]), scale) not in (("log", "log2"), ("logit", "logit")):
            return NAN
        value = float(own["effect"].iloc[0])
        return value / math.log(2) if scale == "log2" else value


@dataclass(frozen=True)
class ClearanceScenario:
    """Time to clearance (S13): Weibull times looked at in intervals, some visits missed.

    Attributes
    ----------
    time_ratio
        Of the treated arm against the reference; below 1 clears earlier.
    median_days, shape
        Of the Weibull times of the reference arm.
    interval_days, last_day
        Days between samples, and day of the last one.
    missed
        Share of samples that were missed.
    permutations
        0: p-value and limits of the likelihood-ratio test of the Weibull model; else those of the permutation test.
    """

    time_ratio: float
    median_days: float = 24.0
    shape: float = 1.5
    interval_days: float = 7.0
    last_day: float = 56.0
    missed: float = 0.1
    permutations: int = 0
    method_id: str = "S13"

    def simulate(self, n_per_arm: int, rng: np.random.Generator) -> Outcome:
        """Draw one trial and analyse it by :func:`time_ratio`."""
        treated = np.repeat([False, True], n_per_arm)
        scale = self.median_days / math.log(2) ** (1 / self.shape) * np.where(treated, self.time_ratio, 1.0)
        time = scale * rng.weibull(self.shape, 2 * n_per_arm)
        samples = np.arange(self.interval_days, self.last_day + 1e-9, self.interval_days)
        seen = rng.random((len(time), len(samples))) >= self.missed
        cleared = seen & (samples[None, :] >= time[:, None])
        open_then = seen & (samples[None, :] < time[:, None])
        upper = np.where(cleared, samples[None, :], np.inf).min(axis=1)
        lower = np.where(open_then, samples[None, :], 0.0).max(axis=1)
        test = permutation_test(lower, upper, treated, permutations=self.permutations, confidence=CONFIDENCE,
                                seed=int(rng.integers(2**31))) if self.permutations else None  # fmt: skip
        estimate, low, high, p_value = time_ratio(lower, upper, treated, confidence=CONFIDENCE, test=test)
        return Outcome(p_value, estimate, low, high, math.log(self.time_ratio))


def power(
    scenario: Scenario,
    *,
    n_per_arm: Sequence[int] = (5, 10, 15, 20, 25),
    replicates: int = 1000,
    alpha: float = 0.05,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Power of a trial, by simulation through the function that analyses it (method S20).

    Parameters
    ----------
    scenario
        What is simulated and how it is analysed: :class:`AncovaScenario`, :class:`TrialScenario`,
        :class:`ClearanceScenario`, or another with ``method_id`` and ``simulate``. An effect of none gives the type-I
        error.
    n_per_arm
        Subjects in each of two arms.
    replicates
        Simulated trials for each number of subjects.
    alpha
        Two-sided level.
    seed
        Same seed, same table; the numbers of one ``n_per_arm`` do not depend on the others.
    progress
        Called with the trials done and the trials in all.

    Returns
    -------
    DataFrame with ``schema.POWER_COLUMNS``, one row a number of subjects.

    Raises
    ------
    AnalysisError
        Fewer than 2 subjects per arm, no replicate, or an alpha that is no probability.
    """
    import pandas as pd

    if not n_per_arm or min(n_per_arm) < 2:
        raise AnalysisError("an arm needs 2 subjects at least", where="n_per_arm")
    if replicates < 1 or not 0 < alpha < 1:
        raise AnalysisError("replicates must be 1 or more, alpha between 0 and 1", where="power")
    rows, total = [], len(n_per_arm) * replicates
    for place, n in enumerate(n_per_arm):
        rng = np.random.default_rng(np.random.SeedSequence([seed, n]))
        outcomes = []
        for number in range(replicates):
            outcomes.append(_outcome(scenario, n, rng))
            if progress is not None:
                progress(place * replicates + number + 1, total)
        rows.append(_summary(scenario, n, outcomes, alpha) | {"alpha": alpha, "seed": seed})
    return pd.DataFrame(rows, columns=list(POWER_COLUMNS))


def _outcome(scenario: Scenario, n: int, rng: np.random.Generator) -> Outcome:
    try:
        return scenario.simulate(n, rng)
    except AnalysisError:
        # counted below as a trial without an answer: it is not significant
        return Outcome(NAN, NAN, NAN, NAN, NAN)


def _summary(scenario: Scenario, n: int, outcomes: list[Outcome], alpha: float) -> dict[str, object]:
    p_value, estimate, lower, upper, truth = np.array(outcomes, dtype=np.float64).T
    answered = ~np.isnan(p_value)
    share = float((p_value[answered] < alpha).sum()) / len(outcomes)
    known = answered & ~np.isnan(truth)
    coverage = float(((lower <= truth) & (truth <= upper))[known].mean()) if known.any() else NAN
    return {
        "scenario": _name(scenario),
        "method_id": scenario.method_id,
        "n_per_arm": n,
        "replicates": len(outcomes),
        "not_estimable": int((~answered).sum()),
        "power": share,
        "power_mc_se": math.sqrt(share * (1 - share) / len(outcomes)),
        "truth": float(truth[known][0]) if known.any() else NAN,
        "mean_estimate": float(estimate[answered].mean()) if answered.any() else NAN,
        "coverage": coverage,
        "coverage_mc_se": math.sqrt(coverage * (1 - coverage) / int(known.sum())) if known.any() else NAN,
    }


def _name(scenario: Scenario) -> str:
    """Class and values of a scenario, as they stand in the table."""
    kind = type(scenario).__name__.removesuffix("Scenario").lower()
    values = list(vars(scenario).items())
    return f"{kind}: " + ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in values
        if name != "method_id" and value is not None
    )


def events_needed(hazard_ratio: float, *, power: float = 0.8, alpha: float = 0.05) -> int:
    """Events in two equal arms together that the log-rank test needs.

    Parameters
    ----------
    hazard_ratio
        To be found, above 0 and not 1.
    power, alpha
        Wanted power and two-sided level.

    Raises
    ------
    AnalysisError
        No such ratio or level.

    Notes
    -----
    Schoenfeld 1981, Biometrika 68:316. A check on simulations, not a replacement.
    """
    if not (hazard_ratio > 0 and hazard_ratio != 1):
        raise AnalysisError("the hazard ratio must be above 0 and not 1", where="events_needed")
    return math.ceil(4 * _quantiles(power, alpha) ** 2 / math.log(hazard_ratio) ** 2)


def smallest_correlation(subjects: int, visits: int, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """Smallest within-subject correlation that a repeated-measures correlation finds, by Fisher's z.

    Parameters
    ----------
    subjects, visits
        Subjects, and rows of each.
    power, alpha
        Wanted power and two-sided level.

    Raises
    ------
    AnalysisError
        Fewer than 2 degrees of freedom within subjects, or no such level.
    """
    df = subjects * (visits - 1) - 1
    if df < 2:
        raise AnalysisError(f"{df} degrees of freedom within subjects", where="smallest_correlation")
    return math.tanh(_quantiles(power, alpha) / math.sqrt(df - 1))


def _quantiles(power: float, alpha: float) -> float:
    from scipy.special import ndtri

    if not (0 < alpha < 1 and 0 < power < 1):
        raise AnalysisError("power and alpha must be between 0 and 1", where="power")
    return float(ndtri(1 - alpha / 2) + ndtri(power))
