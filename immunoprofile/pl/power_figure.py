"""Power of planned analyses by the number of subjects in an arm, from simulations."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from immunoprofile.errors import NotAvailableError
from immunoprofile.io.records import records
from immunoprofile.pl import style
from immunoprofile.pl.sketch import Errors, Key, Legend, Line, Marks, Sketch, Words, empty_sketch
from immunoprofile.pl.sketch_figure import sketch_figure
from immunoprofile.pl.ticks import axis_ticks

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.figure import Figure

POWER_COLUMNS: Final = ("scenario", "n_per_arm", "power", "replicates")
_MOST_TICKS: Final = 12
_WIDEST: Final = 34
"""Letters in a line of the legend."""
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
        return sketch_figure(empty_sketch(reason, what="Power"))
    return sketch_figure(power_sketch(lines, target, left_out))


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


def power_sketch(lines: Sequence[PowerLine], target: float, left_out: int) -> Sketch:
    """What :func:`power_curve` draws."""
    made = Sketch(style.WIDTH, 2.9, power_alt(lines, left_out))
    panel = made.panel(0.09, 0.2, 0.55, 0.74)
    panel.y.limits, panel.y.label, panel.x.label = (0.0, 103.0), "power, %", "subjects in each arm"
    panel.y.ticks = axis_ticks(*panel.y.limits, panel.points[1], size=panel.y.size, upward=True)
    numbers = sorted({n for line in lines for n in line.n_per_arm})
    room = 0.05 * (numbers[-1] - numbers[0]) or 1.0
    panel.x.limits = (numbers[0] - room, numbers[-1] + room)
    panel.x.ticks = (
        tuple((float(n), str(n)) for n in numbers)
        if len(numbers) <= _MOST_TICKS
        else axis_ticks(*panel.x.limits, panel.points[0], size=panel.x.size, upward=False)
    )
    panel.level(100 * target, color=style.GREY, width=0.9, dash=(0, (4, 3)), order=1)
    panel.add(Words(1.0, 100 * target, f"{100 * target:g} %", size=7, color=style.GREY, upward="center", x_in="panel",
                    dx=3))  # fmt: skip
    keys = []
    for line, mark in zip(lines, style.distinct_marks(len(lines), "scenarios"), strict=True):
        low, power, high = ([100 * one for one in values] for values in (line.lower, line.power, line.upper))
        panel.add(
            Errors(line.n_per_arm, low, high, mark.color, cap=2.0),
            Line(line.n_per_arm, power, mark.color, dash=mark.line),
            Marks(line.n_per_arm, power, mark.marker, face=mark.color, edge=mark.color),
        )
        keys.append(Key("\n".join(textwrap.wrap(line.label, _WIDEST)), mark.color, symbol=mark.marker, dash=mark.line))
    made.legends.append(Legend(tuple(keys), 0.695, 0.94, "upper left", handle=3.0))
    words = f" {left_out} rows without a power left out." if left_out else ""
    made.note(f"Bars: 95 % Monte-Carlo interval of the simulation (Wilson).{words}")
    return made


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
