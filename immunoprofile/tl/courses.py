"""Whole courses dealt anew to the subjects of an arm: a test that serial correlation does not mislead."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations as every
from itertools import product
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from immunoprofile.errors import AnalysisError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Places = NDArray[np.integer]

PERMUTATIONS: Final = 1999
"""Random permutations; all are tried where there are no more."""

SEED: Final = 2020

LEAST_PERMUTATIONS: Final = 20
"""With fewer ways to deal the courses no p below 0.05 is possible: none is given."""

TIED: Final = 1e-9
"""Statistics that differ by less of their size are equal."""

LARGEST_TABLE: Final = 1_000_000
"""Numbers that are held at once for a part of the permutations."""

MANY_SUBJECTS: Final = 500
"""So many have their pairs reckoned as they are dealt: a table of all pairs would grow with the square."""

WHERE: Final = "permutation of courses"


class CoursePermutation(NamedTuple):
    """Outcome of the test.

    Attributes
    ----------
    p_value
        Two-sided; NaN where fewer than 20 permutations exist.
    quantile
        A correlation of more than this size has p < 1 - ``confidence``, and no other has; NaN without a p-value.
    permutations
        How many were tried.
    exact
        Whether these were all.
    correlation
        That of the courses as they were seen.
    """

    p_value: float
    quantile: float
    permutations: int
    exact: bool
    correlation: float

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
    within
        The correlation is that inside subjects, and the means of subjects and of arm x visit are taken out anew for
        every assignment, over the places that it uses. Otherwise the values count as they are.
    """

    x: Floats
    y: Floats
    seen: NDArray[np.bool_]
    arm: NDArray[np.str_]
    within: bool = False

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
        values and the share of censored ones. Where visits are missed, an assignment has values at the places at which
        both were seen only. It is judged as the one that was seen (``within``), and the statistic is the correlation
        times the root of its degrees of freedom, so that assignments that share fewer visits weigh alike (Good 2005,
        Permutation, Parametric, and Bootstrap Tests of Hypotheses, chapter 3).
        """
        if not (np.any(self.x * self.seen) and np.any(self.y * self.seen)):
            raise AnalysisError("a course does not vary", where=WHERE)
        groups = [np.flatnonzero(self.arm == name) for name in np.unique(self.arm)]
        ways = math.prod(math.factorial(len(group)) for group in groups)
        exact = ways <= permutations
        places = _assignments(tuple(len(group) for group in groups), exact=exact, permutations=permutations, seed=seed)
        # where nothing is missing, taking the means out anew changes nothing
        judge = self._within if self.within and not self.seen.all() else self._plain
        statistics = judge(groups, places)
        observed, found = float(statistics[0]), np.abs(statistics[1:])
        extreme = int((found >= abs(observed) * (1 - TIED)).sum())
        p_value = extreme / len(found) if exact else (1 + extreme) / (1 + len(found))
        if ways < LEAST_PERMUTATIONS:
            return CoursePermutation(math.nan, math.nan, len(found), exact, observed)
        # so many may be as large where p is still below 1 - confidence
        level = 1 - confidence
        most = math.ceil(level * len(found) - TIED) - 1 if exact else math.ceil(level * (1 + len(found)) - TIED) - 2
        quantile = float(np.sort(found)[len(found) - 1 - most]) * (1 + TIED) if most >= 0 else 1.0
        return CoursePermutation(p_value, quantile, len(found), exact, observed)

    def _plain(self, groups: list[NDArray[np.intp]], places: Places) -> Floats:
        """Correlation times the root of shared rows over all rows."""
        to = np.concatenate(groups)
        x, y, seen = self.x * self.seen, self.y * self.seen, self.seen.astype(np.float64)
        if len(to) >= MANY_SUBJECTS:
            stays = np.array([y, seen, y**2, seen])[:, to]
            step = max(1, LARGEST_TABLE // x.size)
            parts = [
                [np.einsum("psv,sv->p", one[some], two) for one, two in zip((x, x**2, seen, seen), stays, strict=True)]
                for some in (to[places[k : k + step]] for k in range(0, len(places), step))
            ]
            return _scaled(*(np.concatenate(sums) for sums in zip(*parts, strict=True)))
        tables = [(x @ y.T), (x**2) @ seen.T, seen @ (y**2).T, seen @ seen.T]
        dealt = to[places]
        return _scaled(*(table[dealt, to].sum(axis=1) for table in tables))

    def _within(self, groups: list[NDArray[np.intp]], places: Places) -> Floats:
        """Correlation inside subjects, adjusted for arm x visit, times the root of its degrees of freedom."""
        sums, start = np.zeros((4, len(places))), 0
        for group in groups:
            own = _Arm(self.x[group], self.y[group], self.seen[group])
            sums += own.sums(places[:, start : start + len(group)] - start)
            start += len(group)
        return _scaled(*sums)


class _Pairs(NamedTuple):
    """What least squares needs of pairs of a course of ``x`` and one of ``y``, over the places at which both were seen.

    Attributes
    ----------
    x, y
        Pairs x places: free of the mean of the pair.
    sums
        Of each pair: products, squares of x, of y, and degrees of freedom.
    """

    x: Floats
    y: Floats
    sums: tuple[Floats, ...]

    @classmethod
    def of(cls, x: Floats, y: Floats, both: NDArray[np.bool_]) -> _Pairs:
        used = both.astype(np.float64)
        rows = used.sum(axis=2)
        each = np.maximum(rows, 1)[:, :, None]
        x = used * (x - (used * x).sum(axis=2, keepdims=True) / each)
        y = used * (y - (used * y).sum(axis=2, keepdims=True) / each)
        sums = ((x * y).sum(axis=2), (x**2).sum(axis=2), (y**2).sum(axis=2), np.maximum(rows - 1, 0))
        return cls(x, y, sums)

    def dealt(self, places: Places, to: NDArray[np.intp]) -> _Pairs:
        """Those of some assignments, of a table of all pairs."""
        return _Pairs(self.x[places, to], self.y[places, to], tuple(one[places, to] for one in self.sums))


class _Arm:
    """Courses of one arm, dealt anew.

    The means of the pairs are taken out of the values, then those of the visits by their normal equations.
    """

    def __init__(self, x: Floats, y: Floats, seen: NDArray[np.bool_]) -> None:
        self.x, self.y, self.seen = x, y, seen
        self.table: _Pairs | None = None
        if len(x) < MANY_SUBJECTS:
            self.table = _Pairs.of(x[:, None, :], y[None, :, :], seen[:, None, :] & seen[None, :, :])
        # normal equations depend on the places alone: one table for each two kinds of courses
        kinds, self.kind = np.unique(seen, axis=0, return_inverse=True)
        self.kind = self.kind.reshape(-1)
        shared = (kinds[:, None, :] & kinds[None, :, :]).astype(np.float64)
        each = np.maximum(shared.sum(axis=2), 1)[:, :, None, None]
        self.normal = shared[..., None] * np.eye(seen.shape[1]) - shared[..., None] * shared[:, :, None, :] / each

    def sums(self, dealt: Places) -> Floats:
        """Products, squares of x and of y, degrees of freedom: one column an assignment."""
        subjects, places = dealt.shape[1], self.normal.shape[-1]
        step = max(1, LARGEST_TABLE // (subjects * places**2))
        return np.concatenate([self._some(dealt[k : k + step]) for k in range(0, len(dealt), step)], axis=1)

    def _some(self, dealt: Places) -> Floats:
        to = np.arange(dealt.shape[1])
        size, axes = np.linalg.eigh(self.normal[self.kind[dealt], self.kind[to]].sum(axis=1))
        held = size > 1e-9
        weight = np.where(held, 1 / np.where(held, size, 1), 0.0)
        if self.table is not None:
            pairs = self.table.dealt(dealt, to)
        else:
            pairs = _Pairs.of(self.x[dealt], self.y[None], self.seen[dealt] & self.seen[None])
        x, y = (np.einsum("pkl,pk->pl", axes, one.sum(axis=1)) for one in (pairs.x, pairs.y))
        spent = [(weight * one * two).sum(axis=1) for one, two in ((x, y), (x, x), (y, y))]
        total = [one.sum(axis=1) for one in pairs.sums]
        return np.array([*(one - two for one, two in zip(total[:3], spent, strict=True)), total[3] - held.sum(axis=1)])


@lru_cache(maxsize=8)
def _assignments(sizes: tuple[int, ...], *, exact: bool, permutations: int, seed: int) -> Places:
    """Places among all subjects, arm after arm: first as they are, then all assignments or so many random ones.

    Intervals ask for the same ones again and again. They are as small as the number of subjects allows: with thousands
    of subjects this is the largest table of a run.
    """
    subjects, starts = sum(sizes), np.cumsum((0, *sizes[:-1])).tolist()
    kind = np.min_scalar_type(subjects)
    if exact:
        orders = product(*(every(range(start, start + size)) for start, size in zip(starts, sizes, strict=True)))
        dealt = np.array([np.arange(subjects), *(np.concatenate(one) for one in orders)], dtype=kind)
    else:
        rng = np.random.default_rng(seed)
        dealt = np.empty((1 + permutations, subjects), dtype=kind)
        dealt[0] = np.arange(subjects)
        for start, size in zip(starts, sizes, strict=True):
            step = max(1, LARGEST_TABLE // max(1, size))
            for begin in range(0, permutations, step):
                rows = min(step, permutations - begin)
                drawn = start + rng.random((rows, size)).argsort(axis=1)
                dealt[1 + begin : 1 + begin + rows, start : start + size] = drawn
    dealt.flags.writeable = False
    return dealt


def _scaled(products: Floats, x: Floats, y: Floats, freedom: Floats) -> Floats:
    """Correlations times the root of their degrees of freedom over those of the first."""
    # what rounding leaves of squares that vanish is no variation
    varied = (x > TIED * x[0]) & (y > TIED * y[0])
    r = np.where(varied, products / np.sqrt(np.where(varied, x * y, 1.0)), 0.0)
    return np.asarray(np.clip(r, -1.0, 1.0) * np.sqrt(np.maximum(freedom, 0) / freedom[0]))


def course_table(
    subject: NDArray[np.str_],
    place: NDArray[np.str_],
    arm: NDArray[np.str_],
    x: Floats,
    y: Floats,
    *,
    within: bool = False,
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
    return Courses(wide_x, wide_y, seen, labels, within)
