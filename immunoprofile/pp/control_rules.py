"""Control values against their target: deviates, Westgard's rules, and an exponentially weighted mean beside.

Values of one control material stand in the order in which they were acquired; each belongs to a run (a batch). What is
judged is the mean of a run: with one control tube its value, with several the same false alarms and more power.
A rule that looks back is broken by the run that completes it, so that a later run never condemns an earlier one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

REJECTING: Final = ("1-3s", "2-2s", "R-4s", "4-1s", "10-x")
"""Rules by which a control fails."""
WARNING: Final = ("1-2s", "EWMA")
"""Signals that ask for a look and fail nothing: one run in 22 lies beyond 2 SD without any fault."""
RULES: Final[dict[str, str]] = {
    "1-2s": "one run more than 2 SD from its target",
    "1-3s": "one run more than 3 SD from its target",
    "2-2s": "two consecutive runs more than 2 SD from their target, on the same side",
    "R-4s": "two tubes of one run, one more than 2 SD above and one more than 2 SD below",
    "4-1s": "four consecutive runs more than 1 SD from their target, on the same side",
    "10-x": "ten consecutive runs on the same side of their target",
    "EWMA": "the exponentially weighted mean of the deviates left its limits: a small lasting shift",
}
_CONSECUTIVE: Final = (("2-2s", 2, 2.0), ("4-1s", 4, 1.0), ("10-x", 10, 0.0))
EWMA_WEIGHT: Final = 0.2
EWMA_LIMIT: Final = 2.962
"""With the weight of 0.2 one false signal in about 500 runs (Lucas and Saccucci, Technometrics 1990;32:1-12)."""
TARGET_RUNS: Final = 20
"""Runs of a lot from which a target is established where none is declared: the number usually asked for (CLSI C24)."""


@dataclass(frozen=True)
class Target:
    """What a control is expected to be.

    Attributes
    ----------
    mean
        In the unit of the value.
    sd
        Of one control tube, between runs and within together.
    within
        SD of control tubes of one run; 0 where it is not known: then a mean of several counts as one value.
    runs
        Runs from which all were established; 0 where they were declared.
    """

    mean: float
    sd: float
    within: float = 0.0
    runs: int = 0

    def sd_of(self, tubes: int) -> float:
        """SD of the mean of so many control tubes of one run."""
        shared = self.sd**2 - self.within**2 * (1 - 1 / tubes)
        return math.sqrt(max(shared, self.within**2 / tubes))


@dataclass(frozen=True)
class Run:
    """The control tubes of one run.

    Attributes
    ----------
    name
        Batch.
    values
        One a tube, at least one, all finite.
    """

    name: str
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean of its tubes."""
        return math.fsum(self.values) / len(self.values)


@dataclass(frozen=True)
class Judged:
    """A run held against its target.

    Attributes
    ----------
    z
        Deviate of its mean in SD.
    rules
        Rules that it breaks or completes, in the order of `RULES`.
    ewma
        Exponentially weighted mean of the deviates until it.
    """

    z: float
    rules: tuple[str, ...]
    ewma: float

    @property
    def failed(self) -> bool:
        """Whether a rejecting rule is broken."""
        return any(rule in REJECTING for rule in self.rules)


def established(runs: Sequence[Run], *, wanted: int = TARGET_RUNS) -> Target | None:
    """Target from the first runs of a lot.

    Parameters
    ----------
    runs
        Runs in order of acquisition.
    wanted
        Runs that a target needs; later runs do not change it.

    Returns
    -------
    Target or None
        Mean of the run means; their variance (n - 1) is that between runs with that of a mean, the pooled variance of
        tubes of one run is that within. None while there are fewer runs, or where they do not vary.
    """
    first = list(runs)[:wanted]
    if len(first) < max(wanted, 2):
        return None
    means = np.array([run.mean for run in first])
    of_means = float(means.var(ddof=1))
    if not of_means > 0:
        return None
    free = sum(len(run.values) - 1 for run in first)
    squares = math.fsum((value - run.mean) ** 2 for run in first for value in run.values)
    within = squares / free if free else 0.0
    tubes = len(first) / math.fsum(1 / len(run.values) for run in first)
    return Target(float(means.mean()), math.sqrt(of_means + within * (1 - 1 / tubes)), math.sqrt(within), len(first))


def deviate(value: float, target: Target, *, tubes: int = 1) -> float:
    """Distance of a mean of so many control tubes from its target in SD.

    With a declared target (value - mean) / SD. A target that was established from n runs is itself uncertain: its
    mean by SD / sqrt(n), its SD by a factor. A further run of an unchanged control then has
    t = (value - mean) / (SD sqrt(1 + 1/n)) with n - 1 degrees of freedom, and its deviate is the normal deviate of the
    same tail, so that "3 SD" keeps its 0.27 % of false alarms whatever n is.

    Examples
    --------
    >>> deviate(56.0, Target(50.0, 2.0))
    3.0
    >>> round(deviate(56.0, Target(50.0, 2.0, runs=20)), 3)
    2.626
    """
    from scipy.special import ndtri
    from scipy.stats import t as student

    found = (value - target.mean) / target.sd_of(tubes)
    if not target.runs:
        return found
    tail = float(student.sf(abs(found) / math.sqrt(1 + 1 / target.runs), target.runs - 1))
    return math.copysign(float(-ndtri(tail)), found)


def beyond_in_run(tubes: int) -> float:
    """SD beyond which R-4s looks for two tubes of a run: 2 for two tubes, more where there are more pairs of them.

    Any of three pairs would break the rule three times as often by chance; the limit keeps the 0.10 % of two tubes.

    Examples
    --------
    >>> [round(beyond_in_run(tubes), 2) for tubes in (2, 3, 4)]
    [2.0, 2.22, 2.35]
    """
    from scipy.special import ndtr, ndtri

    return -float(ndtri(ndtr(-2.0) * math.sqrt(2 / (tubes * (tubes - 1))))) if tubes > 1 else math.inf


def judge_runs(runs: Sequence[Run], target: Target) -> list[Judged]:
    """Every run held against its target.

    Parameters
    ----------
    runs
        Runs in order of acquisition; a run without a value is left out by the caller, and no rule counts it.
    target
        Declared, or from `established`.

    Notes
    -----
    Westgard JO, Barry PL, Hunt MR, Groth T. Clin Chem 1981;27:493-501. R-4s is looked for inside a run only, with one
    tube beyond +2 SD and another beyond -2 SD (of more than two tubes `beyond_in_run`). A lasting shift breaks a rule
    again in every run, until somebody sets it right or the lot has another target. The weighted mean
    E(t) = 0.2 z(t) + 0.8 E(t - 1) leaves its limits above 2.962 times its SD, sqrt(0.2 / 1.8 (1 - 0.8^(2t))); it finds
    lasting shifts below 2 SD that the rules find late.

    Examples
    --------
    >>> runs = [Run("B01", (50.6,)), Run("B02", (54.2,)), Run("B03", (54.8,))]
    >>> [one.rules for one in judge_runs(runs, Target(50.0, 2.0))]
    [(), ('1-2s',), ('1-2s', '2-2s', 'EWMA')]
    """
    judged: list[Judged] = []
    z: list[float] = []
    level = 0.0
    for number, run in enumerate(runs, 1):
        z.append(deviate(run.mean, target, tubes=len(run.values)))
        level = EWMA_WEIGHT * z[-1] + (1 - EWMA_WEIGHT) * level
        spread = math.sqrt(EWMA_WEIGHT / (2 - EWMA_WEIGHT) * (1 - (1 - EWMA_WEIGHT) ** (2 * number)))
        own = [deviate(value, target) for value in run.values]
        broken = {
            "1-2s": abs(z[-1]) > 2,
            "1-3s": abs(z[-1]) > 3,
            "R-4s": max(own) > beyond_in_run(len(own)) and min(own) < -beyond_in_run(len(own)),
            "EWMA": abs(level) > EWMA_LIMIT * spread,
        }
        for rule, length, beyond in _CONSECUTIVE:
            last = z[-length:]
            broken[rule] = len(last) == length and (min(last) > beyond or max(last) < -beyond)
        judged.append(Judged(z[-1], tuple(rule for rule in RULES if broken[rule]), level))
    return judged
