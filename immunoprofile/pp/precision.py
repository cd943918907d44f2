"""Precision of a population from replicates: CV without counting noise, and the fewest events that suffice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

DEFAULT_CV: Final = 0.20
"""Coefficient of variation of a visit without treatment (biology and assay), where the study has no replicates."""
MOST_CV: Final = 10.0
"""Largest CV that is stated (1,000 %): beyond it replicates have nothing in common, and it is infinite."""
FEWEST_DOF: Final = 10
"""Degrees of freedom from which a CV is used. From 10 on the CV is known to about a fifth (22 %) and the widening that
keeps "within noise" at 95 % is at most 14 % (t of 2.23 in place of 1.96)."""


@dataclass(frozen=True)
class Replicate:
    """One of several measurements of the same thing.

    Attributes
    ----------
    logarithm
        Natural logarithm of the value (half an event in place of none).
    counting
        Variance of the logarithm from counting.
    """

    logarithm: float
    counting: float


@dataclass(frozen=True)
class Precision:
    """What replicates tell.

    Attributes
    ----------
    groups, values
        Groups with at least two values, and their values.
    dof
        Degrees of freedom: values less groups.
    cv, lower, upper
        CV without counting noise with its 95 % limits, as fractions.
    """

    groups: int
    values: int
    dof: int
    cv: float
    lower: float
    upper: float

    @property
    def enough(self) -> bool:
        """Whether there are `FEWEST_DOF` degrees of freedom."""
        return self.dof >= FEWEST_DOF

    @property
    def for_change(self) -> float:
        """CV with which 1.96 SD of its logarithm are as wide as the t quantile of the degrees of freedom asks for."""
        from scipy.stats import t as student

        widened = float(student.ppf(0.975, self.dof)) / float(student.ppf(0.975, math.inf))
        return log_sd_to_cv(widened * cv_to_log_sd(self.cv))


def cv_to_log_sd(cv: float) -> float:
    """SD of the natural logarithm of a log-normal quantity with a CV (a fraction): sqrt(ln(1 + CV^2))."""
    return math.sqrt(math.log1p(cv * cv))


def log_sd_to_cv(sd: float) -> float:
    """CV (a fraction) of a log-normal quantity whose natural logarithm has an SD: sqrt(exp(SD^2) - 1).

    Infinite beyond `MOST_CV`: two tubes that have nothing in common tell no number.
    """
    return math.sqrt(math.expm1(sd * sd)) if sd <= cv_to_log_sd(MOST_CV) else math.inf


def precision(groups: Sequence[Sequence[Replicate]]) -> Precision | None:
    """Pooled CV of groups of replicates without counting noise.

    Parameters
    ----------
    groups
        Measurements of one thing each; groups of one tell nothing and are left out.

    Returns
    -------
    Precision or None
        None without a group of two.

    Notes
    -----
    The sum of squares of logarithms around the mean of their group expects dof x sigma^2 + sum((1 - 1/n) counting);
    sigma^2 is what it leaves, at least 0. The limits are those of chi-squared for the whole variance, less counting.

    Examples
    --------
    >>> import math
    >>> pairs = [[Replicate(math.log(100), 0), Replicate(math.log(110), 0)]] * 10
    >>> found = precision(pairs)
    >>> found.dof, round(found.cv, 4)
    (10, 0.0675)
    """
    from scipy.stats import chi2

    own = [group for group in groups if len(group) > 1]
    if not own:
        return None
    squares = counting = 0.0
    for group in own:
        centre = math.fsum(one.logarithm for one in group) / len(group)
        squares += math.fsum((one.logarithm - centre) ** 2 for one in group)
        counting += (1 - 1 / len(group)) * math.fsum(one.counting for one in group)
    dof = sum(len(group) - 1 for group in own)
    limits = [squares / float(chi2.ppf(tail, dof)) for tail in (0.975, 0.025)]
    variances = [max(one - counting / dof, 0.0) for one in (squares / dof, *limits)]
    return Precision(len(own), sum(map(len, own)), dof, *(log_sd_to_cv(math.sqrt(one)) for one in variances))


def limit_of_quantification(cv: float, cv_limit: float) -> float:
    """Fewest events at which CV^2 + 1/n stays within the limit; infinite where the assay alone does not.

    Parameters
    ----------
    cv, cv_limit
        CV without counting noise and CV that is allowed, as fractions.

    Examples
    --------
    >>> limit_of_quantification(0.15, 0.25)
    25.0
    """
    left = cv_limit**2 - cv**2
    return float(math.ceil(round(1 / left, 9))) if left > 0 else math.inf
