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
from immunoprofile.pl.sketch import Box, Ground, Key, Legend, Line, Marks, Sketch, Words
from immunoprofile.pl.sketch_figure import sketch_figure

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
    return sketch_figure(ratios_sketch(visits, days, values))


def ratios_sketch(visits: Sequence[str], days: Sequence[float], values: Mapping[str, Sequence[float]]) -> Sketch:
    """What :func:`ratios_figure` draws."""
    if not values:
        raise NotAvailableError("there are no ratios", where="pl.ratios", todo="run pp.ratios(visits) first")
    made = Sketch(style.WIDTH, 1.05, _ratios_alt(visits, values))
    width = 1.0 / len(values)
    for position, (name, series) in enumerate(values.items()):
        panel = made.panel(position * width + 0.012, 0.2, width * 0.5, 0.48)
        panel.bare = True
        drawn = [value if value > 0 else math.nan for value in series]
        present = [value for value in drawn if not math.isnan(value)]
        if present:
            known = [day for day, value in zip(days, drawn, strict=True) if not math.isnan(value)]
            panel.x.limits = _around(min(known), max(known))
            # The same span everywhere (at least tenfold), so that slopes can be compared across ratios.
            middle = math.sqrt(min(present) * max(present))
            span = max(math.sqrt(max(present) / min(present)) * 1.2, math.sqrt(10))
            panel.y.log, panel.y.limits = True, (middle / span, middle * span)
            panel.level(present[0], color=style.PALE, width=0.8, order=0)
            panel.add(Line(days, drawn, width=1.0), Marks(days, drawn, "o", 2.5))
        name = RATIO_NAMES.get(name, name)
        made.write(
            position * width + 0.008, 0.93, name, size=_title_size(name, width), bold=True, upward="top"
        )  # fmt: skip
        last = series[-1] if series else math.nan
        missing = math.isnan(last)
        made.write(
            position * width + 0.012 + width * 0.53, 0.44, "not done" if missing else _figures(last),
            size=6.8 if missing else 8.5, color=style.GREY if missing else style.INK, upward="center",
        )  # fmt: skip
    made.note(
        f"log scale, at least tenfold span; grey line: first value ({visits[0] if visits else ''}); "
        "number: this visit (ratio, no unit)"
    )
    return made


def _ratios_alt(visits: Sequence[str], values: Mapping[str, Sequence[float]]) -> str:
    """Every ratio in words."""
    parts = []
    for name, series in values.items():
        own = ", ".join(
            f"{visit} {'not done' if math.isnan(value) else _figures(value)}"
            for visit, value in zip(visits, series, strict=True)
        )
        parts.append(f"{RATIO_NAMES.get(name, name)}: {own}")
    return f"Ratios over time. {'; '.join(parts)}."


def _around(first: float, last: float) -> tuple[float, float]:
    """Limits a twentieth beyond two days; those of a single day lie a day around it."""
    room = 0.05 * (last - first) or 1.0
    return first - room, last + room


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
    return sketch_figure(differentiation_sketch(visits, values))


def differentiation_sketch(visits: Sequence[str], values: Mapping[str, Sequence[float]]) -> Sketch:
    """What :func:`differentiation_figure` draws."""
    made = Sketch(style.WIDTH, 1.75, _stack_alt(visits, values))
    panel = made.panel(0.07, 0.03, 0.7, 0.83)
    for row in range(len(visits)):
        parts = {name: values[name][row] for name in QUADRANTS}
        if any(math.isnan(part) for part in parts.values()):
            panel.add(Words(1, row, "not done", color=style.GREY, upward="center"))
            continue
        left = 0.0
        for name, part in parts.items():
            _, color, hatch = QUADRANTS[name]
            panel.add(Box(left, row - 0.4, part, 0.8, color, "white", 0.5, hatch))
            if part >= 7:
                ground = Ground(alpha=0.85, pad=0.6)
                panel.add(
                    Words(left + part / 2, row, f"{part:.1f}", size=7, across="center", upward="center", ground=ground)
                )
            left += part
    panel.x.limits, panel.y.limits = (0.0, 100.0), (len(visits) - 0.5, -0.5)
    panel.y.ticks, panel.y.length = tuple(enumerate(visits)), 0.0
    panel.x.ticks = ((0, "0"), (25, "25"), (50, "50"), (75, "75"), (100, "100 % of CD8"))
    panel.x.side, panel.x.length = "top", 0.0
    panel.spines = ()
    keys = tuple(Key(name, color, hatch) for name, color, hatch in QUADRANTS.values())
    made.legends.append(Legend(keys, 0.79, 0.45, "center left", handle=1.8, spacing=0.9))
    return made


def _stack_alt(visits: Sequence[str], values: Mapping[str, Sequence[float]]) -> str:
    """Every quadrant at every visit in words."""
    parts = []
    for row, visit in enumerate(visits):
        shares = {QUADRANTS[name][0]: values[name][row] for name in QUADRANTS}
        known = not any(math.isnan(share) for share in shares.values())
        own = ", ".join(f"{name} {share:.1f}" for name, share in shares.items()) if known else "not done"
        parts.append(f"{visit}: {own}")
    return f"CD8 differentiation, % of CD8. {'; '.join(parts)}."
