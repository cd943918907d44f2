"""Power of planned analyses by the number of subjects in an arm, from simulations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from immunoprofile.errors import NotAvailableError
from immunoprofile.io.records import records
from immunoprofile.pl import style

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.figure import Figure

POWER_COLUMNS: Final = ("scenario", "n_per_arm", "power", "replicates")
_Z: Final = 1.959963984540054


@dataclass(frozen=True)
class PowerLine:
    """Power (0 to 1) of one analysis at several numbers of subjects, with Monte-Carlo limits of 95 %."""

    label: str
    n_per_arm: tuple[int, ...]
    power: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]


def power_curve(table: pd.DataFrame, *, target: float = 0.8) -> Figure:
    """Power by the number of subjects in each arm, with the Monte-Carlo error of the simulation.

    Parameters
    ----------
    table
        One row an analysis (``scenario``) and ``n_per_arm``: ``power``, the share of significant simulated trials (0 to
        1), and ``replicates``, their number (the table of `tl.power`).
    target
        Wanted power, a dashed line (0 to 1, default 0.8).

    Returns
    -------
    Figure
        Bars are Wilson 95 % intervals of the simulation: its error, not that of the assumptions. Rows without a power
        are left out and counted.

    Raises
    ------
    NotAvailableError
        A column is missing, or a power is not within 0 and 1 or has no simulations.
    """
    missing = [name for name in POWER_COLUMNS if name not in table]
    if missing:
        raise NotAvailableError(f"no column {', '.join(missing)}", where="pl.power_curve table")
    lines, left_out = power_lines(table)
    if not lines:
        reason = "The table of power is empty." if not left_out else f"No power in any of {left_out} rows."
        return style.empty_figure(reason, what="Power")
    return _figure(lines, target, left_out)


def power_lines(table: pd.DataFrame) -> tuple[list[PowerLine], int]:
    """Lines in the order of the table, each by ascending n, and how many rows have no power."""
    found: dict[str, list[tuple[int, float, float, float]]] = {}
    left_out = 0
    for row in records(table, "power"):
        power, trials = row["power"], row["replicates"]
        if math.isnan(power):
            left_out += 1
            continue
        if not (0 <= power <= 1 and trials > 0):
            what = f"power {power:g} of {trials:g} simulations"
            raise NotAvailableError(what, where=f"pl.power_curve {row['scenario']}", todo="give power within 0 and 1")
        found.setdefault(row["scenario"], []).append((int(row["n_per_arm"]), power, *wilson(power, trials)))
    lines = []
    for label, points in found.items():
        points.sort()
        columns = [tuple(point[place] for point in points) for place in range(4)]
        lines.append(PowerLine(label, tuple(point[0] for point in points), columns[1], columns[2], columns[3]))
    return lines, left_out


def wilson(share: float, trials: float) -> tuple[float, float]:
    """Wilson 95 % limits of a share of ``trials`` (Wilson 1927, J Am Stat Assoc 22:209)."""
    middle = (share + _Z**2 / (2 * trials)) / (1 + _Z**2 / trials)
    half = _Z * math.sqrt(share * (1 - share) / trials + _Z**2 / (4 * trials**2)) / (1 + _Z**2 / trials)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def _figure(lines: Sequence[PowerLine], target: float, left_out: int) -> Figure:
    with style.look():
        height = 2.9
        figure = style.new_figure(style.WIDTH, height, power_alt(lines, left_out))
        axes = figure.add_axes((0.09, 0.2, 0.55, 0.74))
        axes.axhline(100 * target, color=style.GREY, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        axes.annotate(f"{100 * target:g} %", (1.0, 100 * target), xycoords=("axes fraction", "data"), xytext=(3, 0),
                      textcoords="offset points", va="center", fontsize=7, color=style.GREY)  # fmt: skip
        for line, mark in zip(lines, style.distinct_marks(len(lines), "scenarios"), strict=True):
            low, high = (
                [100 * abs(one - other) for one, other in zip(line.power, limits, strict=True)]
                for limits in (line.lower, line.upper)
            )
            axes.errorbar(
                line.n_per_arm, [100 * power for power in line.power], [low, high], color=mark.color,
                linestyle=mark.line, marker=mark.marker, capsize=2.0, elinewidth=0.9, label=line.label,
            )  # fmt: skip
        ticks = sorted({n for line in lines for n in line.n_per_arm})
        if len(ticks) <= 12:
            axes.set_xticks(ticks)
        axes.set_ylim(0, 103)
        axes.set_xlabel("subjects in each arm")
        axes.set_ylabel("power, %")
        axes.legend(loc="upper left", bbox_to_anchor=(1.1, 1.0), handlelength=3.0)
        words = f" {left_out} rows without a power left out." if left_out else ""
        style.note(figure, f"Bars: 95 % Monte-Carlo interval of the simulation (Wilson).{words}")
        return figure


def power_alt(lines: Sequence[PowerLine], left_out: int) -> str:
    """What the figure says, in words."""
    parts = []
    for line in lines:
        columns = zip(line.n_per_arm, line.power, line.lower, line.upper, strict=True)
        points = (f"{n} in each arm {100 * p:.0f} % ({100 * low:.0f} to {100 * up:.0f})" for n, p, low, up in columns)
        parts.append(f"{line.label}: {', '.join(points)}")
    if left_out:
        parts.append(f"{left_out} rows without a power left out")
    return "Power by the number of subjects. " + ". ".join(parts) + "."
