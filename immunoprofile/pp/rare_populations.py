"""Rare populations: how a count is reported, what a blank leaves of it, and how many events would be needed.

A blank is the same gate in a control that lacks the marker (an FMO control): k_b of n_b parent events lie in it though
nothing can. Sample and blank are two Poisson counts, compared exactly; nothing is subtracted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from immunoprofile.pp.percentages import REPORTABLE_EVENTS
from immunoprofile.pp.proportions import clopper_pearson, events_for_cv, percentage, poisson_cv, poisson_interval

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

SHOWN_EVENTS: Final = 30
"""Below this the count is printed as "n < 30"; an analysis can leave it out (``few_events`` of a plan)."""
ERROR: Final = 0.05
"""Of a blank that is taken for the population, and of the population that is taken for a blank."""
CVS: Final = (10, 15, 20)
"""Per cent, for which the parent events that would be needed are given."""
_MOST_PARENT_EVENTS: Final = 1e15


def reporting_class(counts: ArrayLike) -> NDArray[np.str_]:
    """How counts are reported, see `schema.REPORTING`.

    Parameters
    ----------
    counts
        Events; NaN where not measured.

    Returns
    -------
    numpy.ndarray of str
        ``REPORTED`` from 100 events, ``LOW_EVENTS`` from 30, ``BELOW_30``, ``NONE_FOUND`` for 0; empty for NaN.

    Examples
    --------
    >>> list(map(str, reporting_class([250, 99, 29, 0])))
    ['REPORTED', 'LOW_EVENTS', 'BELOW_30', 'NONE_FOUND']
    """
    n = np.asarray(counts, dtype=np.float64)
    conditions = [np.isnan(n), n >= REPORTABLE_EVENTS, n >= SHOWN_EVENTS, n > 0]
    return np.select(conditions, ["", "REPORTED", "LOW_EVENTS", "BELOW_30"], "NONE_FOUND")


def background_p(count: ArrayLike, parent: ArrayLike, *, background: ArrayLike, background_parent: ArrayLike) -> Floats:
    """One-sided p of as many events or more if the frequency were that of the blank.

    The exact conditional test of two Poisson counts: of the ``count + background`` events in the gate the share of the
    sample is binomial with ``parent / (parent + background_parent)`` (Przyborowski and Wilenski, Biometrika
    1940;31:313). For rare populations Fisher's exact test says the same.

    Parameters
    ----------
    count, parent
        Events of the sample in the gate and in its parent.
    background, background_parent
        The same of the blank.

    Returns
    -------
    numpy.ndarray
        NaN where something is missing or a parent is empty.

    Examples
    --------
    >>> round(float(background_p(20, 10_000, background=10, background_parent=10_000)), 4)
    0.0494
    """
    k, n, k_b, n_b = _four(count, parent, background, background_parent)
    from scipy.special import betainc

    p = np.where(k > 0, betainc(np.maximum(k, 1), k_b + 1, n / (n + n_b)), 1.0)
    return np.where(np.isnan(k + n + k_b + n_b), np.nan, p)


def limit_of_blank(parent: ArrayLike, background: ArrayLike, background_parent: ArrayLike) -> Floats:
    """Most events that the blank explains: a count above it has `background_p` of at most 0.05.

    Parameters
    ----------
    parent
        Parent events of the sample.
    background, background_parent
        Events of the blank in the gate and in its parent.

    Returns
    -------
    numpy.ndarray
        Whole events in the sample, the limit of blank in counts; NaN where a parent is empty or missing.

    Examples
    --------
    >>> float(limit_of_blank(10_000, 10, 10_000))
    19.0
    """
    n, n_b = _positive(parent), _positive(background_parent)
    k_b = np.asarray(background, dtype=np.float64)
    from scipy.stats import nbinom

    # P(sample > x | the (k_b + 1)-th event of the blank comes after it) is the tail of a negative binomial
    return np.asarray(nbinom.isf(ERROR, k_b + 1, n_b / (n + n_b)), dtype=np.float64)


def limit_of_detection(parent: ArrayLike, background: ArrayLike, background_parent: ArrayLike) -> Floats:
    """Expected events in the gate that are above the limit of blank with 95 %.

    Population and background together, as a count is, given the blank that was counted. With many events of a blank
    that is known well it is the limit of Currie (Anal Chem 1968;40:586; `detection_limit`, for the population alone);
    with few it is larger, since few events do not tell how low the background is.

    Parameters
    ----------
    parent, background, background_parent
        As for `limit_of_blank`.

    Returns
    -------
    numpy.ndarray
        Events in the sample; NaN where a parent is empty or missing.

    Examples
    --------
    >>> round(float(limit_of_detection(10_000, 10, 10_000)), 1)
    27.9
    """
    from scipy.special import gammaincinv

    blank = limit_of_blank(parent, background, background_parent)
    return np.asarray(gammaincinv(blank + 1, 1 - ERROR))


def parent_events_for_count(events: ArrayLike, share: ArrayLike) -> Floats:
    """Parent events in which so many events of a population are expected.

    Parameters
    ----------
    events
        Events of the population.
    share
        Population over parent, 0 to 1.

    Returns
    -------
    numpy.ndarray
        Whole parent events; NaN for a share of 0.

    Examples
    --------
    >>> float(parent_events_for_count(100, 0.006))
    16667.0
    """
    p = np.asarray(share, dtype=np.float64)
    return np.asarray(np.ceil(np.round(np.asarray(events) / np.where(p > 0, p, np.nan), 9)))


def parent_events_for_detection(share: ArrayLike, background_share: ArrayLike) -> Floats:
    """Parent events, of the sample and of a blank of the same size, from which a population is detected.

    Parameters
    ----------
    share
        Share of the parent in the gate of the sample (population and background), 0 to 1.
    background_share
        Share in the gate of the blank.

    Returns
    -------
    numpy.ndarray
        Parent events at which ``share`` expects as many events as `limit_of_detection`; infinite where the share is not
        above that of the blank; NaN where one is missing. The limit grows by whole events, so that a little above the
        number it may ask for one event more.

    Examples
    --------
    >>> float(parent_events_for_detection(0.001, 0.0))
    9154.0
    """
    p, b = np.broadcast_arrays(np.asarray(share, dtype=np.float64), np.asarray(background_share, dtype=np.float64))
    found = np.where(np.isnan(p + b), np.nan, np.inf)
    open_ = np.flatnonzero((p > b).ravel())
    p, b = p.ravel()[open_], b.ravel()[open_]
    low, high = np.zeros(open_.size), np.full(open_.size, np.log(_MOST_PARENT_EVENTS))
    for _ in range(32):  # by halves on the logarithm, to 1e-8 of the number
        middle = (low + high) / 2
        n = np.exp(middle)
        enough = n * p >= limit_of_detection(n, n * b, n)
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    result = np.asarray(found, dtype=np.float64).copy().ravel()
    result[open_] = np.ceil(np.exp(high) * (1 - 1e-7))
    return result.reshape(found.shape)


def rare_table(
    counts: ArrayLike, parents: ArrayLike, backgrounds: ArrayLike, background_parents: ArrayLike
) -> pd.DataFrame:
    """What counting says of populations, one row each.

    Parameters
    ----------
    counts, parents
        Events in the gate and in its parent; 1-D.
    backgrounds, background_parents
        The same of a blank; NaN where none was measured, which is not taken as no background.

    Returns
    -------
    pandas.DataFrame
        The number columns of ``schema.RARE_COLUMNS``, ``reporting`` and ``detection``.
    """
    import pandas as pd

    n, total = np.asarray(counts, dtype=np.float64), np.asarray(parents, dtype=np.float64)
    k_b, n_b = (np.asarray(values, dtype=np.float64) for values in (backgrounds, background_parents))
    n_b = np.where(n_b > 0, n_b, np.nan)
    k_b = np.where(np.isnan(n_b), np.nan, k_b)
    share, limits, events = percentage(n, total) / 100, clopper_pearson(n, total), poisson_interval(n)
    p = background_p(n, total, background=k_b, background_parent=n_b)
    detection = np.select([np.isnan(p), p <= ERROR], ["NO_BACKGROUND", "ABOVE"], "NOT_ABOVE")
    detection = np.where(np.isnan(n) | ~(total > 0), "", detection)
    return pd.DataFrame(
        {
            "n": n, "n_parent": total, "pct_parent": percentage(n, total), "pct_lower": limits.lower,
            "pct_upper": limits.upper, "n_lower": events.lower, "n_upper": events.upper, "cv": poisson_cv(n),
            "reporting": reporting_class(n),
            **{f"n_parent_cv{cv}": parent_events_for_count(events_for_cv(cv), share) for cv in CVS},
            "background_n": k_b, "background_n_parent": n_b, "background_pct": 100 * k_b / n_b,
            "limit_of_blank": limit_of_blank(total, k_b, n_b),
            "limit_of_detection": limit_of_detection(total, k_b, n_b), "p_background": p, "detection": detection,
            "n_parent_detection": parent_events_for_detection(share, k_b / n_b),
        }
    )  # fmt: skip


def _positive(values: ArrayLike) -> Floats:
    n = np.asarray(values, dtype=np.float64)
    return np.where(n > 0, n, np.nan)


def _four(*values: ArrayLike) -> tuple[Floats, Floats, Floats, Floats]:
    k, n, k_b, n_b = np.broadcast_arrays(*(np.asarray(one, dtype=np.float64) for one in values))
    return k, _positive(n), k_b, _positive(n_b)
