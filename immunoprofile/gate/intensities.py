"""Statistics of the intensities of a population: median, means, percentiles, spread; linear and compensated.

Values are in the units of the data (what an axis of a plot shows), never on a scale: the mean on a logicle scale is no
mean of intensities.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.errors import GateError, Problems
from immunoprofile.io.markers import is_scatter, is_time

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from immunoprofile.gate.evaluate import GatedSample

INTENSITY_STATISTICS: dict[str, str] = {
    "median": "middle value",
    "mean": "arithmetic mean; values below zero count",
    "geomean": "geometric mean of the values above zero; the others are left out, and their share is told",
    "sd": "standard deviation, n - 1 in the denominator",
    "cv": "100 sd / mean, in per cent; missing where the mean is not above zero",
    "rsd": "robust standard deviation: half the distance of the 15.87th and the 84.13th percentile",
    "rcv": "100 rsd / median, in per cent; missing where the median is not above zero",
    "pNN": "percentile, for example p5 or p97.5, interpolated linearly between events",
}
"""Name -> definition. ``rsd`` and ``rcv`` are those of FlowJo."""

INTENSITY_COLUMNS = (
    "tube",
    "population",
    "gate_path",
    "channel",
    "marker",
    "statistic",
    "value",
    "unit",
    "n",
    "left_out_pct",
)
"""Columns of `intensity_table`: ``n`` events of the population, ``left_out_pct`` the share that a value leaves out."""

_LOW, _HIGH = 15.865525393145708, 84.1344746068543
"""Percentiles of a normal distribution one standard deviation below and above its mean."""

_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?)")


@dataclass(frozen=True)
class Intensity:
    """A statistic of some values: the value, and the share of them (per cent) that it leaves out."""

    value: float
    left_out_pct: float = 0.0


def check_statistics(names: Iterable[str]) -> tuple[str, ...]:
    """The names, once each.

    Raises
    ------
    GateError
        Some are not known; all are named.
    """
    found = tuple(dict.fromkeys(names))
    problems = Problems()
    for name in found:
        match = _PERCENTILE.fullmatch(name)
        if (name not in INTENSITY_STATISTICS and match is None) or name == "pNN" or (match and not 0 < float(match[1])):
            problems.add("statistics", "is not known", value=name, allowed=", ".join(INTENSITY_STATISTICS))
    if problems:
        raise GateError("statistics of intensities cannot be computed", problems.found)
    return found


def intensity(values: NDArray[np.float64], statistic: str) -> Intensity:
    """One statistic of linear intensities; NaN where there is none.

    Parameters
    ----------
    values
        Intensities of the events of a population in one channel. Values that are no finite numbers are left out, and
        counted in the share that is.
    statistic
        A name of `INTENSITY_STATISTICS`.
    """
    size = values.size
    finite = values[np.isfinite(values)]
    out = 100.0 * (1 - finite.size / size) if size else 0.0
    if not finite.size:
        return Intensity(np.nan, out)
    if statistic == "geomean":
        positive = finite[finite > 0]
        share = 100.0 * (1 - positive.size / size)
        return Intensity(float(np.exp(np.mean(np.log(positive)))) if positive.size else np.nan, share)
    return Intensity(_value(finite, statistic), out)


def _value(values: NDArray[np.float64], statistic: str) -> float:
    if statistic == "median":
        return float(np.median(values))
    if statistic == "mean":
        return float(np.mean(values))
    if statistic in ("sd", "cv"):
        spread = float(np.std(values, ddof=1)) if values.size > 1 else np.nan
        centre = float(np.mean(values))
        return spread if statistic == "sd" else _share(spread, centre)
    if statistic in ("rsd", "rcv"):
        low, centre, high = (float(one) for one in np.percentile(values, (_LOW, 50, _HIGH)))
        spread = (high - low) / 2
        return spread if statistic == "rsd" else _share(spread, centre)
    match = _PERCENTILE.fullmatch(statistic)
    assert match is not None, statistic
    return float(np.percentile(values, float(match[1])))


def _share(spread: float, centre: float) -> float:
    return 100.0 * spread / centre if centre > 0 else np.nan


def intensity_table(
    gated: GatedSample, statistics: Sequence[str], populations: Iterable[str] | None = None
) -> pd.DataFrame:
    """Statistics of every channel for populations of a file.

    Parameters
    ----------
    gated
        From `gate_sample`.
    statistics
        Names of `INTENSITY_STATISTICS`.
    populations
        Ids; None takes all.

    Returns
    -------
    pandas.DataFrame
        `INTENSITY_COLUMNS`, one row a population, channel and statistic. ``unit`` is ``%`` for coefficients of
        variation, ``s`` for Time, else empty (intensities have no unit). Fluorescence is compensated as the gates were.

    Raises
    ------
    GateError
        A statistic or population is not known.
    """
    import pandas as pd

    wanted = check_statistics(statistics)
    chosen = gated.strategy.populations if populations is None else tuple(populations)
    if unknown := [name for name in chosen if name not in gated.strategy]:
        problems = Problems()
        for name in unknown:
            problems.add("populations", "is not gated", value=name, allowed=", ".join(gated.strategy.populations))
        raise GateError("statistics of intensities cannot be computed", problems.found)
    rows = []
    for population in chosen:
        values = gated.compensated[gated.mask(population)]
        path = "/".join((*gated.strategy.path(population), population))
        for column, channel in enumerate(gated.sample.channels):
            for statistic in wanted:
                found = intensity(values[:, column], statistic)
                unit = "%" if statistic in ("cv", "rcv") else "s" if is_time(channel.pnn) else ""
                rows.append(
                    (
                        gated.strategy.tube, population, path, channel.pnn,
                        channel.pnn if is_scatter(channel.pnn) else channel.marker,
                        statistic, found.value, unit, values.shape[0], found.left_out_pct,
                    )
                )  # fmt: skip
    return pd.DataFrame(rows, columns=list(INTENSITY_COLUMNS))
