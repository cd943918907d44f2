"""Cells per microlitre from counts: beads, blood count, and the bridge to another tube.

Every value comes with its coefficient of variation from counting, pipetting, beads and blood count (not from biology,
and not from the laboratory's bias), and limits on the log scale: value exp(+- z CV).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from immunoprofile.errors import AnalysisError, UnitError
from immunoprofile.pp.proportions import clopper_pearson, normal_quantile, poisson_interval
from immunoprofile.schema import LAB_UNITS, lab_unit

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

CV_PIPETTING = 0.03
"""Coefficient of variation of the pipetted blood volume (reverse pipetting), as a fraction."""

CV_BEADS = 0.02
"""CV of the beads of a tube, a fraction: certificate of the lot (1 %) and beads lost on walls and in the pipette, of
which up to 3 % may be missing (an assumption; a larger loss raises counts by as much, and no interval holds that)."""

CV_BLOOD_COUNT = 0.05
"""CV of the lymphocytes or white cells of a haematology analyser, a fraction (an assumption)."""

MINIMUM_BEADS = 500
"""Below this number of beads there is no absolute count."""

ENOUGH_BEADS = 1000
"""From this number on there is no flag BEADS_LOW."""


class Concentration(NamedTuple):
    """Cells/uL with precision; arrays of one shape.

    Attributes
    ----------
    value
        Cells/uL; 0 where none were found, NaN where not measured.
    cv
        Coefficient of variation in per cent (counting, pipetting, beads, blood count), NaN where no cells were found.
    lower, upper
        Limits in cells/uL; where none were found 0 and the exact upper bound of counting.
    """

    value: Floats
    cv: Floats
    lower: Floats
    upper: Floats


def cells_per_ul(value: ArrayLike, unit: str) -> Floats:
    """A concentration of a laboratory in cells/uL.

    ``10^9/L``, ``10^3/uL``, ``K/uL``, ``10^6/L``, ``cells/uL``, ``/uL`` and ``/mm3`` convert exactly, in every
    spelling that `schema.lab_unit` reads.

    Raises
    ------
    UnitError
        Any other unit.
    """
    factors = LAB_UNITS["WBC"][1]
    name = lab_unit("WBC", unit)
    if name not in factors:
        raise UnitError(
            f"{unit!r} is no unit of a cell concentration",
            where="blood count",
            todo=f"one of: {', '.join(factors)}",
        )
    # the table gives 10^9/L, that is 1000 cells/uL; 1 / (factor) keeps exact powers of ten exact
    return np.asarray(value, dtype=np.float64) * (round(1000 * factors[name], 9))


def analyser_alc(wbc: ArrayLike, lymphocyte_pct: ArrayLike, *, unit: str = "10^9/L") -> Floats:
    """Lymphocytes/uL from white blood cells (in ``unit``) and their percentage of lymphocytes (0-100).

    Examples
    --------
    >>> float(analyser_alc(3.2, 25))
    800.0
    """
    pct = np.asarray(lymphocyte_pct, dtype=np.float64)
    if bool(np.any((pct < 0) | (pct > 100))):
        raise UnitError("a percentage of lymphocytes must lie between 0 and 100", where="blood count, LYMPH_PCT")
    return cells_per_ul(wbc, unit) * pct / 100


def bead_concentration(
    cells: ArrayLike,
    beads: ArrayLike,
    *,
    beads_per_tube: ArrayLike,
    volume_ul: ArrayLike,
    dilution: ArrayLike = 1.0,
    specimen_type: str = "WB_EDTA",
    cv_pipetting: float = CV_PIPETTING,
    cv_beads: float = 0.0,
    confidence: float = 0.95,
) -> Concentration:
    """Single platform: (cells / beads) x (beads per tube / blood volume) x dilution.

    Parameters
    ----------
    cells, beads
        Events of the same acquisition and the same time interval.
    beads_per_tube
        Beads in the tube by the certificate of the lot.
    volume_ul
        Original blood in the tube, uL.
    dilution
        Pre-dilution factor, at least 1.
    specimen_type
        Specimen; anything but whole blood is refused.
    cv_pipetting
        CV of the blood volume, a fraction.
    cv_beads
        CV of the beads in the tube, a fraction; 0 leaves it out, `CV_BEADS` is what :func:`absolute` takes.
    confidence
        Coverage of the limits.

    Returns
    -------
    Concentration
        CV^2 = 1/cells + 1/beads + cv_pipetting^2 + cv_beads^2. NaN where fewer than 500 beads were counted or an
        input is missing.

    Raises
    ------
    AnalysisError
        The specimen is not whole blood: separated cells have no blood volume.

    Notes
    -----
    CDC 2003, single-platform guideline, MMWR 52(RR-2).

    Examples
    --------
    >>> result = bead_concentration(5000, 12000, beads_per_tube=49650, volume_ul=50)
    >>> float(result.value), round(float(result.cv), 3)
    (413.75, 3.44)
    """
    if not specimen_type.startswith("WB"):
        raise AnalysisError(
            f"counting beads give no concentration in {specimen_type}: it is not whole blood",
            where="absolute count",
            todo="use the blood count of the same draw (dual platform)",
        )
    k, n, per_tube, volume, factor = np.broadcast_arrays(
        *(np.asarray(item, dtype=np.float64) for item in (cells, beads, beads_per_tube, volume_ul, dilution))
    )
    known = (n >= MINIMUM_BEADS) & (per_tube > 0) & (volume > 0) & (factor >= 1) & (k >= 0)
    n = np.where(known, n, np.nan)
    per_event = per_tube / (n * np.where(known, volume, np.nan)) * factor
    cv = np.sqrt(1 / np.where(k > 0, k, np.nan) + 1 / n + cv_pipetting**2 + cv_beads**2)
    zero_upper = poisson_interval(0, confidence=confidence).upper * per_event
    return _with_limits(k * per_event, cv, zero_upper, confidence)


def volumetric_concentration(
    cells: ArrayLike,
    acquired_volume_ul: ArrayLike,
    *,
    dilution: ArrayLike = 1.0,
    specimen_type: str = "WB_EDTA",
    cv_volume: float = CV_PIPETTING,
    confidence: float = 0.95,
) -> Concentration:
    """Volumetric cytometer: cells / volume that was drawn x dilution.

    Parameters
    ----------
    cells
        Events of the whole acquired volume.
    acquired_volume_ul
        Volume that the cytometer drew, uL.
    dilution
        Volume of the stained tube over the blood in it, at least 1 (50 uL of blood in 500 uL: 10).
    specimen_type
        Specimen; anything but whole blood is refused.
    cv_volume
        CV of dilution and drawn volume together, a fraction.
    confidence
        Coverage of the limits.

    Returns
    -------
    Concentration
        CV^2 = 1/cells + cv_volume^2. NaN where an input is missing.

    Raises
    ------
    AnalysisError
        The specimen is not whole blood.

    Examples
    --------
    >>> float(volumetric_concentration(4000, 100, dilution=10).value)
    400.0
    """
    if not specimen_type.startswith("WB"):
        raise AnalysisError(
            f"a drawn volume gives no concentration in {specimen_type}: it is not whole blood",
            where="absolute count",
            todo="use the blood count of the same draw (dual platform)",
        )
    k, volume, factor = np.broadcast_arrays(
        *(np.asarray(item, dtype=np.float64) for item in (cells, acquired_volume_ul, dilution))
    )
    known = (volume > 0) & (factor >= 1) & (k >= 0)
    per_event = factor / np.where(known, volume, np.nan)
    cv = np.sqrt(1 / np.where(k > 0, k, np.nan) + cv_volume**2)
    zero_upper = poisson_interval(0, confidence=confidence).upper * per_event
    return _with_limits(k * per_event, cv, zero_upper, confidence)


def dual_platform(
    count: ArrayLike,
    lymphocytes: ArrayLike,
    *,
    alc: ArrayLike,
    unit: str = "cells/uL",
    cv_analyser: float = 0.0,
    confidence: float = 0.95,
) -> Concentration:
    """Dual platform: lymphocytes/uL of the haematology analyser x share of the lymphocytes in the tube.

    Parameters
    ----------
    count, lymphocytes
        Events of the population and of the lymphocytes of the same tube (or CD45+ cells, with white blood cells as
        ``alc``).
    alc
        Lymphocytes (or white blood cells) of the blood count, in ``unit``.
    cv_analyser
        CV of the blood count, a fraction; 0 leaves counting alone.

    Notes
    -----
    CDC 1997, dual-platform guideline, MMWR 46(RR-2).
    """
    blood = cells_per_ul(alc, unit)
    no_error = np.where(np.isnan(blood), np.nan, 100 * cv_analyser)
    half = np.exp(normal_quantile(confidence) * cv_analyser)
    return bridge(Concentration(blood, no_error, blood / half, blood * half), count, lymphocytes, confidence=confidence)


def bridge(
    anchor: Concentration, count: ArrayLike, anchor_count: ArrayLike, *, confidence: float = 0.95
) -> Concentration:
    """Cells/uL of a population of another tube: concentration of an ancestor x share of that ancestor.

    Parameters
    ----------
    anchor
        Concentration of the ancestor in the count tube.
    count, anchor_count
        Events of the population and of the ancestor, both in the other tube.

    Returns
    -------
    Concentration
        CV^2 = CV_anchor^2 + (1/count - 1/anchor_count): the binomial part of the share. Where no event was found the
        upper limit is the exact upper bound of the share x the upper limit of the ancestor (wide on purpose).
    """
    k, n = np.broadcast_arrays(np.asarray(count, dtype=np.float64), np.asarray(anchor_count, dtype=np.float64))
    known = (n > 0) & (k >= 0) & (k <= n)
    k, n = np.where(known, k, np.nan), np.where(known, n, np.nan)
    value = anchor.value * k / n
    cv = np.sqrt((anchor.cv / 100) ** 2 + 1 / np.where(k > 0, k, np.nan) - 1 / n)
    share = clopper_pearson(k, n, confidence=confidence).upper / 100
    return _with_limits(value, cv, share * anchor.upper, confidence)


def _with_limits(value: Floats, cv: Floats, zero_upper: Floats, confidence: float) -> Concentration:
    half = np.exp(normal_quantile(confidence) * cv)
    none_found = value == 0
    lower = np.where(none_found, 0.0, value / half)
    upper = np.where(none_found, zero_upper, value * half)
    return Concentration(np.asarray(value), np.asarray(100 * cv), lower, upper)
