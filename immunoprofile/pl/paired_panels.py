"""Baseline beside a visit: one line a subject, arms side by side, with the paired effect in words."""

from __future__ import annotations

import math
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from immunoprofile import schema
from immunoprofile.errors import NotAvailableError
from immunoprofile.io.records import cells, records
from immunoprofile.pl import panels, style
from immunoprofile.pl.series import Measure, arm_order, study_arms
from immunoprofile.pl.sketch import Line, Marks, Panel, Sketch, Words, empty_sketch
from immunoprofile.pl.sketch_figure import sketch_figure

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.figure import Figure

UNITS: Final[dict[str, str]] = {"abs": "cells/µL", "pct_parent": "% of parent"}
_METHOD: Final = "S1"


@dataclass(frozen=True)
class PairedArm:
    """Pairs of one arm: ``before`` and ``after`` in the unit of the panel, one entry a subject.

    ``effect`` is the paired effect in words, or why there is none. ``left_out`` says who has no pair and why.
    """

    arm: str
    label: str
    subjects: tuple[str, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]
    effect: str
    left_out: tuple[str, ...] = ()

    @property
    def medians(self) -> tuple[float, float]:
        """Median before and after, NaN without a pair."""
        if not self.subjects:
            return math.nan, math.nan
        return statistics.median(self.before), statistics.median(self.after)


@dataclass(frozen=True)
class PairedPanel:
    """One population at baseline and at a visit, all arms."""

    title: str
    measure: Measure
    baseline: str
    visit: str
    arms: tuple[PairedArm, ...]


def paired_change(
    visits: AnnData,
    populations: Sequence[str],
    visit: str,
    *,
    measure: Measure | Sequence[Measure] = "abs",
    effects: pd.DataFrame | None = None,
    by_arm: bool = True,
    labels: Mapping[str, str] | None = None,
) -> Figure:
    """Baseline against a visit, one line a subject, arms side by side, one panel a population.

    Parameters
    ----------
    visits
        Visits object with ``obs['baseline_flag']``.
    populations
        Ids of populations.
    visit
        The visit that is compared with baseline.
    measure
        ``abs`` (cells/uL, default) or ``pct_parent`` (per cent of the parent, 0-100); one for all or one each.
    effects
        Rows of method S1 (Hodges-Lehmann estimate with its exact interval); default ``visits.uns['change']``. The
        figure prints them and computes none.
    by_arm
        False puts all subjects into one group (blinded); the effects of arms are then not printed.
    labels
        Arm -> name for people.

    Returns
    -------
    Figure
        Only subjects with both values are drawn. Those left out are counted below each arm: a visit that was not
        done, a tube that failed, another specimen than at baseline. A count of zero is an open triangle at the edge.

    Raises
    ------
    NotAvailableError
        A population or the visit is not in the object, or it holds no absolute counts.
    """
    measures = [measure] * len(populations) if isinstance(measure, str) else list(measure)
    if len(measures) != len(populations):
        what = f"{len(measures)} measures for {len(populations)} populations"
        raise NotAvailableError(what, where="pl.paired_change", todo="give one, or one each")
    table = visits.uns.get(schema.UNS_CHANGE) if effects is None else effects
    views = [
        paired_panel(visits, name, visit, measure=one, effects=table, by_arm=by_arm, labels=labels or {})
        for name, one in zip(populations, measures, strict=True)
    ]
    return paired_figure(views, arms=study_arms(visits))


def paired_panel(
    visits: AnnData,
    population: str,
    visit: str,
    *,
    measure: Measure,
    effects: pd.DataFrame | None,
    by_arm: bool,
    labels: Mapping[str, str],
) -> PairedPanel:
    """What :func:`paired_change` draws of one population."""
    from immunoprofile.pp.baseline import baseline_rows
    from immunoprofile.pp.verdict import failed_rows

    values = _values(visits, population, measure)
    names = visits.obs["visit"].astype(str).to_numpy()
    if visit not in set(names):
        known = ", ".join(dict.fromkeys(names))
        raise NotAvailableError(f"no row of visit {visit!r}", where="pl.paired_change", todo=f"choose of: {known}")
    references = baseline_rows(visits)
    failed = failed_rows(visits, population, measure=measure)
    owners = visits.obs["usubjid"].astype(str).to_numpy()
    arms = np.array(cells(visits.obs["arm"], "text")) if by_arm else np.full(visits.n_obs, "")
    specimens = visits.obs["specimen_type"].astype(str).to_numpy() if "specimen_type" in visits.obs else None
    at_visit = {owners[row]: row for row in np.flatnonzero(names == visit)}
    groups = []
    baselines = set()
    present = set(arms.tolist())
    for arm in [name for name in study_arms(visits) if name in present] if by_arm else [""]:
        pairs: list[tuple[str, float, float]] = []
        reasons: list[str] = []
        for owner in dict.fromkeys(owners[arms == arm]):
            row = at_visit.get(owner, -1)
            start = int(references[row]) if row >= 0 else -1
            if row < 0:
                reasons.append(f"no {visit}")
            elif start < 0:
                reasons.append("no baseline")
            elif start == row:
                raise NotAvailableError(f"{visit} is the baseline visit of {owner}", where="pl.paired_change",
                                        todo="name a later visit")  # fmt: skip
            elif specimens is not None and specimens[row] != specimens[start]:
                reasons.append("other specimen than at baseline")
            elif failed[row] or failed[start]:
                reasons.append("failed quality")
            elif math.isnan(values[row]) or math.isnan(values[start]):
                reasons.append("not measured")
            else:
                baselines.add(str(names[start]))
                pairs.append((str(owner), float(values[start]), float(values[row])))
        effect = _effect(effects, population, (measure, visit, arm)) if by_arm else ""
        groups.append(
            PairedArm(
                arm, labels.get(arm, arm) or "all subjects", tuple(pair[0] for pair in pairs),
                tuple(pair[1] for pair in pairs), tuple(pair[2] for pair in pairs), effect,
                tuple(f"{reasons.count(reason)} {reason}" for reason in dict.fromkeys(reasons)),
            )
        )  # fmt: skip
    display = records(visits.var.loc[[population]], "var")[0]["display"] if "display" in visits.var else population
    return PairedPanel(display, measure, "/".join(sorted(baselines)) or "baseline", visit, tuple(groups))


def _values(visits: AnnData, population: str, measure: Measure) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    if population not in visits.var_names:
        what = f"population {population!r} is not in the visits object"
        raise NotAvailableError(what, where="pl", todo=f"choose of: {', '.join(map(str, visits.var_names))}")
    if measure == "abs" and schema.ABS not in visits.layers:
        raise NotAvailableError("there are no absolute counts", where="pl", todo='use measure="pct_parent"')
    column = int(visits.var_names.get_loc(population))
    matrix = visits.layers[schema.ABS] if measure == "abs" else visits.X
    return np.asarray(matrix[:, column], dtype=np.float64)


def _effect(table: pd.DataFrame | None, population: str, place: tuple[str, str, str]) -> str:
    """Paired effect of an arm in words; the reason where it was refused or not computed."""
    if table is None:
        return "effect not computed"
    measure, visit, arm = place
    for row in records(table, schema.STATISTICS):
        found = (row["population"], row["measure"], row["visit"], row["arm"])
        if row["method_id"] != _METHOD or found != (population, measure, visit, arm):
            continue
        value, low, high = (row[key] for key in ("effect", "effect_lower", "effect_upper"))
        if not math.isfinite(value):
            return f"not estimable: {row['note']}" if row["note"] else "not estimable"
        level = row["conf_level"]
        interval = "no interval"
        if not (math.isnan(low) or math.isnan(high)):
            interval = f"{100 * level:.4g} % CI " if not math.isnan(level) else ""
            interval += f"{style.amount(low)} to {style.amount(high)}"
        count = row["n"]
        based = "" if math.isnan(count) else f"\nfrom {count:.0f} pairs"
        return f"{row['effect_kind']} {style.amount(value)}\n({interval}){based}"
    return "effect not computed"


def paired_figure(views: Sequence[PairedPanel], *, arms: Sequence[str] = ()) -> Figure:
    """The figure from plain values: see :func:`paired_sketch`."""
    return sketch_figure(paired_sketch(views, arms=arms))


def paired_sketch(views: Sequence[PairedPanel], *, arms: Sequence[str] = ()) -> Sketch:
    """The figure from plain values; at most two panels side by side. ``arms`` are all of the study in its order."""
    what = "Change from baseline"
    if not views:
        return empty_sketch("No population was chosen.", what=what)
    if not any(arm.subjects for view in views for arm in view.arms):
        reasons = "; ".join(f"{view.title}: {_missing(view) or 'no subject'}" for view in views)
        return empty_sketch(f"No subject has both values. {reasons}.", what=what)
    across = 2 if max(len(view.arms) for view in views) <= 2 else 1
    rows = math.ceil(len(views) / across)
    tall, head, below, foot = 1.85, 0.3, 1.15, 0.16
    height = rows * (head + tall + below) + foot
    marks = style.arm_marks(arm_order((arm.arm for view in views for arm in view.arms), arms))
    made = Sketch(style.WIDTH, height, paired_alt(views))
    wide = (style.WIDTH - 0.1) / across
    for position, view in enumerate(views):
        row, column = divmod(position, across)
        top = row * (head + tall + below) + head
        panel = made.panel(
            (column * wide + 0.72) / style.WIDTH, 1 - (top + tall) / height, (wide - 0.8) / style.WIDTH, tall / height
        )
        _draw(panel, view, marks, letters=int((wide - 0.8) / len(view.arms) / 0.057))
    words = "Thin: one line a subject; thick: medians."
    if any(arm.effect for view in views for arm in view.arms):
        words += " Effect: Hodges-Lehmann estimate of the paired changes, exact interval."
    made.note(words)
    return made


def _draw(panel: Panel, view: PairedPanel, marks: Mapping[str, style.Mark], *, letters: int) -> None:
    log = view.measure == "abs"
    ticks: list[tuple[float, str]] = []
    every: list[float] = []
    for position, arm in enumerate(view.arms):
        mark = marks[arm.arm]
        places = (2.0 * position, 2.0 * position + 1)
        for pair in zip(arm.before, arm.after, strict=True):
            drawn = [value if value > 0 or not log else math.nan for value in pair]
            panel.add(
                Line(places, drawn, mark.color, 0.8, alpha=0.55),
                Marks(places, drawn, mark.marker, 3.2, mark.color, mark.color, alpha=0.55),
            )
            for x, value in zip(places, pair, strict=True):
                if log and value <= 0:
                    panel.add(Marks((x,), (0.03,), "v", face="white", edge=mark.color, clip=False, y_in="panel"))
        if len(arm.subjects) > 1:
            panel.add(
                Line(places, arm.medians, mark.color, 2.4, mark.line, order=5),
                Marks(places, arm.medians, mark.marker, 6.0, mark.color, "white", 0.7, order=5),
            )
        every += [*arm.before, *arm.after]
        ticks += [(places[0], view.baseline), (places[1], view.visit)]
        _below(panel, places[0] + 0.5, arm, letters)
    if log:
        panels.log_axis(panel, every)
        panel.y.label = "cells/µL (log scale)"
    else:
        panel.y.label = UNITS[view.measure]
        panels.up_from_zero(panel, max(every, default=1.0) * 1.1)
    panel.x.ticks = tuple(ticks)
    panel.x.limits = (-0.6, 2.0 * len(view.arms) - 0.4)
    panel.title = view.title


def _below(panel: Panel, x: float, arm: PairedArm, letters: int) -> None:
    """Name, n, effect and who is left out, folded to the width of the arm."""
    head = textwrap.wrap(arm.label, max(letters - 5, 10))
    effect = arm.effect.split("\n")
    if len(effect) == 1 and len(arm.effect) > 3 * letters:
        effect = [f"{arm.effect[: 3 * letters]}..."]
    lines = [f"n = {len(arm.subjects)}", *effect]
    if arm.left_out:
        lines.append(f"without a pair: {', '.join(arm.left_out)}")
    folded = [part for line in lines for part in textwrap.wrap(line, letters)]
    for words, offset, bold, size in ((head, -16.0, True, 7.5), (folded, -17.0 - 10.0 * len(head), False, 6.6)):
        panel.add(
            Words(x, 0.0, "\n".join(words), size=size, bold=bold, across="center", upward="top", spacing=1.15,
                  y_in="panel", dy=offset)
        )  # fmt: skip


def _missing(view: PairedPanel) -> str:
    return "; ".join(f"{arm.label} {', '.join(arm.left_out)}" for arm in view.arms if arm.left_out)


def paired_alt(views: Sequence[PairedPanel]) -> str:
    """What the figure says, in words."""
    parts = []
    for view in views:
        unit = UNITS[view.measure]
        for arm in view.arms:
            before, after = arm.medians
            effect = f"; {' '.join(arm.effect.split())}" if arm.effect else ""
            parts.append(
                f"{view.title}, {arm.label}, n = {len(arm.subjects)}: median {style.amount(before)} {unit} at "
                f"{view.baseline}, {style.amount(after)} {unit} at {view.visit}{effect}"
            )
    return "Change from baseline, one line a subject. " + ". ".join(parts) + "."
