"""Whole courses dealt anew to the subjects of an arm: a test that serial correlation does not mislead."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations, product
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from immunoprofile.errors import AnalysisError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

PERMUTATIONS: Final = 1999
"""Random permutations; all are tried where there are no more."""

SEED: Final = 2020

LEAST_PERMUTATIONS: Final = 20
"""With fewer ways to deal the courses no p below 0.05 is possible: none is given."""

WHERE: Final = "permutation of courses"


class CoursePermutation(NamedTuple):
    """Outcome of the test.

    Attributes
    ----------
    p_value
        Two-sided; NaN where fewer than 20 permutations exist.
    quantile
        Size of the correlation that ``confidence`` of the permutations do not exceed; NaN without a p-value.
    permutations
        How many were tried.
    exact
        Whether these were all.
    """

    p_value: float
    quantile: float
    permutations: int
    exact: bool

    def words(self) -> str:
        """What was done, for a note."""
        if math.isnan(self.p_value):
            return f"no p-value: whole courses can be dealt in {self.permutations} ways only"
        return f"p by {'all ' if self.exact else ''}{self.permutations} permutations of whole courses inside the arms"


@dataclass(frozen=True)
class Courses:
    """Two courses of every subject over the same places (visits); what was not seen is 0 in both.

    Attributes
    ----------
    x, y
        (subjects, places): what is dealt anew, and what stays; both free of the means of arm x visit.
    seen
        Where a subject was seen.
    arm
        Of each subject: courses stay inside it.
    """

    x: Floats
    y: Floats
    seen: NDArray[np.bool_]
    arm: NDArray[np.str_]

    def permute(
        self, *, confidence: float = 0.95, permutations: int = PERMUTATIONS, seed: int = SEED
    ) -> CoursePermutation:
        """Deal the courses of ``x`` to the subjects of each arm.

        Parameters
        ----------
        confidence
            Of ``quantile``.
        permutations, seed
            Random permutations and their seed.

        Raises
        ------
        AnalysisError
            A course does not vary at all.

        Notes
        -----
        When nothing ties the two courses of a subject beyond its arm, every assignment of whole courses inside the arms
        is as likely as the one that was seen: the test is exact whatever the serial correlation, the shape of the
        values and the share of censored ones, as long as visits are missed for reasons that have nothing to do with the
        courses. The statistic is the correlation of the two over the places where both were seen, times the root of
        their number, so that pairs that share fewer visits weigh alike (Good 2005, Permutation, Parametric, and
        Bootstrap Tests of Hypotheses, chapter 3).
        """
        x, y = self.x * self.seen, self.y * self.seen
        if not (np.any(x) and np.any(y)):
            raise AnalysisError("a course does not vary", where=WHERE)
        groups = [np.flatnonzero(self.arm == name) for name in np.unique(self.arm)]
        ways = math.prod(math.factorial(len(group)) for group in groups)
        exact = ways <= permutations
        seen = self.seen.astype(np.float64)
        tables = [(x @ y.T), (x**2) @ seen.T, seen @ (y**2).T, seen @ seen.T]
        rng = np.random.default_rng(seed)
        if exact:
            every = product(*(permutations_of(group) for group in groups))
            dealt = np.array([np.concatenate(one) for one in every])
        else:
            dealt = np.concatenate(
                [group[rng.random((permutations, len(group))).argsort(axis=1)] for group in groups], axis=1
            )
        to = np.concatenate(groups)
        observed = abs(_statistic(tables, to[None, :], to)[0])
        found = np.abs(_statistic(tables, dealt, to))
        extreme = int((found >= observed * (1 - 1e-9)).sum())
        p_value = extreme / len(found) if exact else (1 + extreme) / (1 + len(found))
        if ways < LEAST_PERMUTATIONS:
            return CoursePermutation(math.nan, math.nan, len(found), exact)
        # the smallest size that a share of at least ``confidence`` does not exceed
        place = min(math.ceil(confidence * (len(found) + (not exact))), len(found)) - 1
        return CoursePermutation(p_value, float(np.sort(found)[place]), len(found), exact)


def permutations_of(group: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """All orders of the members of a group."""
    return [np.array(order, dtype=np.intp) for order in permutations(group.tolist())]


def _statistic(tables: list[Floats], dealt: NDArray[np.intp], to: NDArray[np.intp]) -> Floats:
    """Correlation times the root of shared rows over all rows, for subjects ``to`` that get the courses ``dealt``."""
    product_sum, x_sum, y_sum, rows = (table[dealt, to].sum(axis=1) for table in tables)
    both = x_sum * y_sum
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.where(both > 0, product_sum / np.sqrt(both), 0.0)
    return np.asarray(r * np.sqrt(rows / np.trace(tables[3])))


def course_table(
    subject: NDArray[np.str_], place: NDArray[np.str_], arm: NDArray[np.str_], x: Floats, y: Floats
) -> Courses:
    """Courses from rows: one row a subject and place.

    Raises
    ------
    AnalysisError
        A subject has two rows of one place.
    """
    names, who = np.unique(subject, return_inverse=True)
    places, where = np.unique(place, return_inverse=True)
    if len(np.unique(who * len(places) + where)) < len(who):
        raise AnalysisError("a subject has two rows of one visit", where=WHERE)
    shape = (len(names), len(places))
    seen, wide_x, wide_y = np.zeros(shape, dtype=bool), np.zeros(shape), np.zeros(shape)
    seen[who, where], wide_x[who, where], wide_y[who, where] = True, x, y
    labels = np.empty(len(names), dtype=arm.dtype)
    labels[who] = arm
    return Courses(wide_x, wide_y, seen, labels)
