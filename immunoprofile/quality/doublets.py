"""Doublets: two cells that passed the laser together have a larger area than their height allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.order_statistics import median

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATIO_MADS = 4.0
MAD_TO_SD = 1.4826
HUBER_K = 1.345
MAX_ITERATIONS = 5
CONVERGED = 1e-4
BAND = 0.99
FEWEST_EVENTS = 100


@dataclass(frozen=True, eq=False)
class SingletGate:
    """Polygon around the singlets in area x height.

    Attributes
    ----------
    assessable, reason
        False with the reason when no line can be fitted; that is never a pass.
    area, height
        Names of the two channels.
    slope, intercept, scale
        Robust line height ~ area, and the robust standard deviation of its residuals.
    band
        Share of the singlets that the band is made for.
    polygon
        4 x 2 vertices (area, height), linear; empty when not assessable.
    bad_events
        Events outside the polygon, one value an event.
    """

    assessable: bool
    reason: str
    area: str
    height: str
    slope: float
    intercept: float
    scale: float
    band: float
    polygon: NDArray[np.float64]
    bad_events: NDArray[np.bool_]

    @property
    def pct_events(self) -> float:
        """Per cent of the events outside; NaN when not assessable."""
        return 100.0 * float(np.mean(self.bad_events)) if self.assessable else float("nan")


def doublets_by_ratio(
    area: NDArray[np.float64], height: NDArray[np.float64], *, mads: float = RATIO_MADS
) -> NDArray[np.bool_]:
    """Events whose area / height is at or above the median + ``mads`` robust standard deviations.

    Parameters
    ----------
    area, height
        Linear values of one scatter signal, one per event.
    mads
        Robust standard deviations (1.4826 MAD) above the median.

    Returns
    -------
    numpy.ndarray
        True for a doublet.
    """
    if not area.size:
        return np.zeros(0, dtype=bool)
    ratio = area / (height + 1e-10)
    middle = np.median(ratio)
    spread = MAD_TO_SD * np.median(np.abs(ratio - middle))
    return np.asarray(~(ratio < middle + mads * spread), dtype=np.bool_)


def singlet_gate(
    area: NDArray[np.float64],
    height: NDArray[np.float64],
    *,
    names: tuple[str, str] = ("FSC-A", "FSC-H"),
    band: float = BAND,
    fit_on: NDArray[np.bool_] | None = None,
) -> SingletGate:
    """Gate singlets around a robust line of height on area.

    Huber regression (k 1.345, scale by the MAD of the residuals, at most 5 rounds), prediction band of 99 % at the
    smallest and the largest area, and the polygon between the four points (Huber 1981; the gate is the one that
    flowStats made known as singlet gate).

    Parameters
    ----------
    area, height
        Linear values, one per event.
    names
        Names of the two channels, for the record.
    band
        Coverage of the prediction band.
    fit_on
        Events that the line is fitted on (and whose range of areas is gated); by default all.

    Returns
    -------
    SingletGate
        Not assessable with fewer than 100 events, values that are no numbers, or areas without spread.
    """
    used = np.ones(area.size, dtype=bool) if fit_on is None else fit_on
    x, y = area[used], height[used]
    reason = ""
    if not (np.all(np.isfinite(area)) and np.all(np.isfinite(height))):
        reason = "area or height holds values that are no numbers"
    elif x.size < FEWEST_EVENTS:
        reason = f"fewer than {FEWEST_EVENTS} events"
    elif float(np.ptp(x)) <= 0:
        reason = "the areas do not differ"
    if reason:
        return not_gated(reason, names, area.size)
    slope, intercept, scale, weights = _huber_line(x, y)
    ends = np.array([x.min(), x.max()])
    half = _half_band(x, weights, scale, ends, band)
    line = intercept + slope * ends
    polygon = np.column_stack([ends[[0, 1, 1, 0]], np.concatenate([line - half, (line + half)[::-1]])])
    bottom = np.interp(area, ends, line - half)
    top = np.interp(area, ends, line + half)
    inside = (area >= ends[0]) & (area <= ends[1]) & (height >= bottom) & (height <= top)
    return SingletGate(
        assessable=True,
        reason="",
        area=names[0],
        height=names[1],
        slope=slope,
        intercept=intercept,
        scale=scale,
        band=band,
        polygon=polygon,
        bad_events=~inside,
    )


def not_gated(reason: str, names: tuple[str, str], events: int) -> SingletGate:
    """A gate that could not be made: it flags nothing and says why."""
    nan = float("nan")
    return SingletGate(
        assessable=False,
        reason=reason,
        area=names[0],
        height=names[1],
        slope=nan,
        intercept=nan,
        scale=nan,
        band=nan,
        polygon=np.empty((0, 2)),
        bad_events=np.zeros(events, dtype=bool),
    )


def _huber_line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float, float, NDArray[np.float64]]:
    """Slope, intercept, scale and weights of the last round."""
    weights = np.ones(x.size)
    slope, intercept = _weighted_line(x, y, weights)
    scale = 0.0
    residuals = y - intercept - slope * x
    for _ in range(MAX_ITERATIONS):
        size = np.abs(residuals)
        scale = median(size) / 0.6745
        if scale == 0:
            break
        size /= scale
        np.maximum(size, 1e-300, out=size)
        np.divide(HUBER_K, size, out=size)
        weights = np.minimum(1.0, size, out=size)
        slope, intercept = _weighted_line(x, y, weights)
        now = y - intercept
        now -= slope * x
        before, after = np.sum(residuals**2), np.sum((now - residuals) ** 2)
        residuals = now
        if float(np.sqrt(after / max(1e-20, float(before)))) <= CONVERGED:
            break
    return slope, intercept, scale, weights


def _weighted_line(x: NDArray[np.float64], y: NDArray[np.float64], w: NDArray[np.float64]) -> tuple[float, float]:
    total = w.sum()
    middle_x, middle_y = float(w @ x / total), float(w @ y / total)
    away = x - middle_x
    weighted = w * away
    slope = float(weighted @ (y - middle_y) / (weighted @ away))
    return slope, middle_y - slope * middle_x


def _half_band(
    x: NDArray[np.float64], w: NDArray[np.float64], scale: float, at: NDArray[np.float64], band: float
) -> NDArray[np.float64]:
    """Half width of the prediction band: uncertainty of the line and scatter of one event."""
    from scipy.special import stdtrit

    middle = float(w @ x / w.sum())
    leverage = 1 / w.sum() + (at - middle) ** 2 / float(w @ (x - middle) ** 2)
    return np.asarray(stdtrit(x.size - 2, (1 + band) / 2) * scale * np.sqrt(1 + leverage), dtype=np.float64)
