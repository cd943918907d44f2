"""Ratios as a strip of sparklines, and the CD8 differentiation stack."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from immunoprofile import schema
from immunoprofile.errors import NotAvailableError
from immunoprofile.io.records import cells
from immunoprofile.pl import style
from immunoprofile.pl.series import axis_day

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.figure import Figure

RATIO_NAMES: Final[dict[str, str]] = {
    "cd4_cd8": "CD4 / CD8",
    "cd8_treg": "CD8 / Treg",
    "nk_treg": "NK / Treg",
    "cd8act_treg": "activated CD8 / Treg",
    "treg_tconv": "Treg / Tconv",
    "nkbright_nkdim": "NK bright / dim",
}
QUADRANTS: Final[dict[str, tuple[str, str, str]]] = {
    "cd8_naive": ("naive", style.SKY, ""),
    "cd8_cm": ("central memory", style.GREEN, "\\\\"),
    "cd8_em": ("effector memory", style.ORANGE, "///"),
    "cd8_temra": ("TEMRA", style.PURPLE, "--"),
}
"""The four quadrants that partition CD8: name, colour, hatch."""


def ratios(visits: AnnData, subject: str, *, names: Sequence[str] = ()) -> Figure:
    """Ratios of one subject as log-scale sparklines with the last value in numbers.

    Parameters
    ----------
    visits
        Visits object with ``obsm["ratios"]``.
    subject
        The subject.
    names
        Ratios to show; default all.

    Raises
    ------
    NotAvailableError
        There are no ratios, or no such subject.
    """
    if schema.RATIOS not in visits.obsm:
        raise NotAvailableError("there are no ratios", where="pl.ratios", todo="run pp.ratios(visits) first")
    rows = _rows(visits, subject)
    table = visits.obsm[schema.RATIOS].iloc[rows]
    days = [axis_day(day) for day in cells(visits.obs["study_day"].iloc[rows], "number")]
    labels = [str(visits.obs["visit"].iloc[row]) for row in rows]
    values = {str(name): cells(table[name], "number") for name in (names or table.columns)}
    return ratios_figure(labels, days, values)


def _rows(visits: AnnData, subject: str) -> list[int]:
    rows = [row for row, owner in enumerate(visits.obs["usubjid"].astype(str)) if owner == subject]
    if not rows:
        raise NotAvailableError(f"no subject {subject!r}", where="pl", todo="see visits.obs['usubjid']")
    return sorted(rows, key=cells(visits.obs["visitnum"], "number").__getitem__)


def ratios_figure(visits: Sequence[str], days: Sequence[float], values: Mapping[str, Sequence[float]]) -> Figure:
    """Sparklines from plain values; a ratio of zero or without a value breaks its line."""
    if not values:
        raise NotAvailableError("there are no ratios", where="pl.ratios", todo="run pp.ratios(visits) first")
    with style.look():
        figure = style.new_figure(style.WIDTH, 1.05)
        width = 1.0 / len(values)
        for position, (name, series) in enumerate(values.items()):
            axes = figure.add_axes((position * width + 0.012, 0.2, width * 0.5, 0.48))
            drawn = [value if value > 0 else math.nan for value in series]
            axes.plot(days, drawn, color=style.INK, marker="o", markersize=2.5, linewidth=1.0)
            present = [value for value in drawn if not math.isnan(value)]
            axes.set_yscale("log")
            if present:
                # The same span everywhere (at least tenfold), so that slopes can be compared across ratios.
                middle = math.sqrt(min(present) * max(present))
                span = max(math.sqrt(max(present) / min(present)) * 1.2, math.sqrt(10))
                axes.set_ylim(middle / span, middle * span)
                axes.axhline(present[0], color=style.PALE, linewidth=0.8, zorder=0)
            axes.axis("off")
            name = RATIO_NAMES.get(name, name)
            figure.text(position * width + 0.008, 0.93, name, fontsize=_title_size(name, width), fontweight="bold",
                        va="top")  # fmt: skip
            last = series[-1] if series else math.nan
            missing = math.isnan(last)
            figure.text(
                position * width + 0.012 + width * 0.53, 0.44, "not done" if missing else _figures(last),
                fontsize=6.8 if missing else 8.5, color=style.GREY if missing else style.INK, va="center",
            )  # fmt: skip
        style.note(
            figure,
            f"log scale, at least tenfold span; grey line: first value ({visits[0] if visits else ''}); "
            "number: this visit (ratio, no unit)",
        )
        return figure


def _title_size(name: str, width: float) -> float:
    """Size of letters (points) at which a bold title stays inside its part of the strip."""
    return min(7.5, max(6.0, 0.95 * width * style.WIDTH * 72 / (0.62 * max(len(name), 1))))


def _figures(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def differentiation(visits: AnnData, subject: str) -> Figure:
    """CD8 differentiation of one subject: naive, CM, EM and TEMRA as a stack at each visit, per cent of CD8.

    Raises
    ------
    NotAvailableError
        A quadrant is not in the object, or no such subject.
    """
    missing = [name for name in QUADRANTS if name not in visits.var_names]
    if missing:
        what = f"not in the visits object: {', '.join(missing)}"
        raise NotAvailableError(what, where="pl.differentiation", todo="gate CCR7 and CD45RA on CD8")
    rows = _rows(visits, subject)
    labels = [str(visits.obs["visit"].iloc[row]) for row in rows]
    columns = {name: int(visits.var_names.get_loc(name)) for name in QUADRANTS}
    values = {name: [float(visits.X[row, column]) for row in rows] for name, column in columns.items()}
    return differentiation_figure(labels, values)


def differentiation_figure(visits: Sequence[str], values: Mapping[str, Sequence[float]]) -> Figure:
    """The stack from plain values: quadrant -> per cent of CD8 at each visit."""
    with style.look():
        figure = style.new_figure(7.4, 1.75)
        axes = figure.add_axes((0.07, 0.03, 0.7, 0.83))
        for row in range(len(visits)):
            parts = {name: values[name][row] for name in QUADRANTS}
            if any(math.isnan(part) for part in parts.values()):
                axes.text(1, row, "not done", va="center", color=style.GREY)
                continue
            left = 0.0
            for name, part in parts.items():
                _, color, hatch = QUADRANTS[name]
                axes.barh(row, part, left=left, color=color, hatch=hatch, edgecolor="white", linewidth=0.5, height=0.8)
                if part >= 7:
                    axes.text(
                        left + part / 2, row, f"{part:.1f}", ha="center", va="center", fontsize=7,
                        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85},
                    )  # fmt: skip
                left += part
        axes.set_xlim(0, 100)
        axes.set_ylim(len(visits) - 0.5, -0.5)
        axes.set_yticks(range(len(visits)), visits)
        axes.xaxis.tick_top()
        axes.set_xticks([0, 25, 50, 75, 100], ["0", "25", "50", "75", "100 % of CD8"])
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        from matplotlib.patches import Patch

        handles = [
            Patch(facecolor=color, hatch=hatch, edgecolor="white", label=name)
            for name, color, hatch in QUADRANTS.values()
        ]
        figure.legend(
            handles=handles, loc="center left", bbox_to_anchor=(0.79, 0.45), handlelength=1.8, labelspacing=0.9
        )
        return figure
