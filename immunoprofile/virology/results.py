"""A single CMV-DNA result and what it proves: kind, value, bounds, fall from baseline, conversion of units."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from immunoprofile.errors import UnitError

if TYPE_CHECKING:
    from immunoprofile.io.cmv_assay import Assay

CmvKind = Literal["QUANT", "BLQ", "TND", "ALQ", "INVALID"]
Censoring = Literal["lloq", "lod"]

NAN = math.nan


@dataclass(frozen=True)
class CmvResult:
    """What a CMV-DNA result says.

    Attributes
    ----------
    kind
        ``QUANT`` a number; ``BLQ`` detected below the limit of quantification; ``TND`` not detected; ``ALQ`` above
        the range of the assay; ``INVALID`` no result.
    value
        The number of a QUANT result in the unit of the assay, NaN for all other kinds.
    log10_lower, log10_upper
        Bounds on the log10 scale; NaN is open. Equal for QUANT. BLQ and TND are both left-censored at the limit
        of quantification: a limit of detection is a 95 % hit rate, not a floor. (The sensitivity analysis ``lod``
        censors TND at the limit of detection.)
    """

    kind: CmvKind
    value: float
    log10_lower: float
    log10_upper: float

    @property
    def log10_value(self) -> float:
        """log10 of a QUANT result, NaN for all other kinds."""
        return math.log10(self.value) if self.kind == "QUANT" else NAN

    @property
    def valid(self) -> bool:
        """The assay gave an answer."""
        return self.kind != "INVALID"


class Bounds(NamedTuple):
    """A quantity known exactly or between bounds; NaN is unknown or open."""

    point: float
    lower: float
    upper: float


def drop_bounds(baseline: CmvResult, later: CmvResult) -> Bounds:
    """Fall from baseline in log10; a point only when both results are QUANT, else what the bounds prove.

    Examples
    --------
    A baseline of 1,000 and a result below 137 prove a fall of at least 0.86 log10 and no more.

    >>> low = drop_bounds(CmvResult("QUANT", 1e3, 3.0, 3.0), CmvResult("BLQ", NAN, NAN, math.log10(137))).lower
    >>> round(low, 4)
    0.8633
    """
    if baseline.kind == "QUANT" and later.kind == "QUANT":
        point = baseline.log10_value - later.log10_value
        return Bounds(point, point, point)
    return Bounds(NAN, baseline.log10_lower - later.log10_upper, baseline.log10_upper - later.log10_lower)


def drop_text(point: float, lower: float, upper: float) -> str:
    """A fall for people, in log10: ``1.10``, ``≥0.86``, ``≤1.20``, ``0.40 to 0.90``, or empty when nothing is known.

    A lower bound is rounded down and an upper bound up, so that the text never claims more than was measured.
    """
    low = "" if math.isnan(lower) else f"{math.floor(round(lower * 100, 6)) / 100:.2f}"
    high = "" if math.isnan(upper) else f"{math.ceil(round(upper * 100, 6)) / 100:.2f}"
    if not math.isnan(point):
        return f"{point:.2f}"
    if low and high:
        return f"{low} to {high}"
    if low:
        return f"≥{low}"
    return f"≤{high}" if high else ""


def to_iu(copies: float, assay: Assay) -> float:
    """IU/mL from copies/mL with the factor determined for this assay and specimen.

    Raises
    ------
    UnitError
        The assay has no factor: copies stay copies and are never mixed with IU.
    """
    return copies * _factor(assay)


def to_copies(iu: float, assay: Assay) -> float:
    """copies/mL from IU/mL with the factor determined for this assay and specimen.

    Raises
    ------
    UnitError
        The assay has no factor: IU stay IU and are never mixed with copies.
    """
    return iu / _factor(assay)


def _factor(assay: Assay) -> float:
    if assay.iu_factor is None:
        raise UnitError(
            "copies/mL and IU/mL cannot be converted without a factor determined for the assay and specimen",
            where=assay.name,
            todo="set iu_factor in study.yaml with its source, or keep the unit of the assay",
        )
    return assay.iu_factor
