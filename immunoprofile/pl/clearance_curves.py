"""Time to clearance of CMV-DNA: Kaplan-Meier, Turnbull and cumulative incidence, with the numbers at risk."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from immunoprofile.errors import NotAvailableError
from immunoprofile.io.records import cells, records
from immunoprofile.pl import style
from immunoprofile.pl.series import arm_order, column_arms

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLEARED: Final = "cleared"
_KAPLAN_MEIER, _TURNBULL, _INCIDENCE = "S12", "S13", "S17"
_EVENT_LINES: Final = ("-", (0, (1, 1)), (0, (5, 1.5)), (0, (5, 1, 1, 1)))
_EVENT_WORDS: Final = {"DEATH": "death", "RESCUE": "rescue treatment"}
_AXIS: Final = "days since first ganciclovir"
_TIMES_COLUMNS: Final = ("usubjid", "arm", "lower_day", "upper_day", "observed", "competing")


@dataclass(frozen=True)
class Step:
    """A curve from ``day`` on: ``value`` with its limits, 0 to 1 (NaN without limits)."""

    day: float
    value: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Undefined:
    """Days inside which the Turnbull curve falls from ``before`` to ``after`` at an unknown place."""

    start: float
    end: float
    before: float
    after: float


@dataclass(frozen=True)
class ClearanceArm:
    """Curves of one arm. ``ends`` are the days on which subjects left observation, ``kinds`` why.

    ``kinds`` holds ``cleared``, the competing event, or an empty text (censored).
    """

    arm: str
    label: str
    ends: tuple[float, ...]
    kinds: tuple[str, ...]
    kaplan_meier: tuple[Step, ...]
    turnbull: tuple[Undefined, ...]
    incidence: tuple[tuple[str, tuple[Step, ...]], ...]
    left_out: int = 0

    def at_risk(self, day: float) -> int:
        """Subjects still under observation and not cleared just before a day."""
        return sum(end >= day for end in self.ends)

    def survival(self, day: float) -> float:
        """Kaplan-Meier share that has not cleared by a day."""
        return next((step.value for step in reversed(self.kaplan_meier) if step.day <= day), 1.0)

    @property
    def median(self) -> tuple[float, float, float]:
        """Day by which half had cleared (Kaplan-Meier) and its limits, infinite where it is not reached."""

        def first(values: Sequence[float]) -> float:
            pairs = zip(self.kaplan_meier, values, strict=True)
            return next((step.day for step, value in pairs if value <= 0.5 + 1e-12), math.inf)

        return (
            first([step.value for step in self.kaplan_meier]),
            first([step.lower for step in self.kaplan_meier]),
            first([step.upper for step in self.kaplan_meier]),
        )


def clearance(
    times: pd.DataFrame,
    curves: pd.DataFrame,
    *,
    rule: str | None = None,
    labels: Mapping[str, str] | None = None,
    arms: Sequence[str] = (),
) -> Figure:
    """Time to clearance of CMV-DNA by arm, beside the cumulative incidence with competing events.

    Parameters
    ----------
    times
        Times to clearance, one row a subject (``schema.TIME_TO_CLEARANCE_COLUMNS`` with ``arm``), days since the first
        ganciclovir; for instance ``visits.uns['clearance']``.
    curves
        Curves of ``schema.CURVE_COLUMNS``: Kaplan-Meier (S12), Turnbull (S13), Aalen-Johansen (S17); for instance
        ``visits.uns['clearance_curves']``. A method without rows is left out.
    rule
        Clearance rule; default the only one of ``curves``.
    labels
        Arm -> name for people.
    arms
        All arms in the order of the study, on which their colours rest; default the categories of ``times['arm']``,
        else the order of ``labels``, else by name.

    Returns
    -------
    Figure
        Left: share that has not cleared, Kaplan-Meier as steps with a bar where a subject was censored and a cross at a
        competing event; the Turnbull estimate is thin, with a grey box where it is undefined. Right: cumulative
        incidence of clearance and of each competing event. Numbers at risk stand below. An observed clearance counts
        at the day of its first sample.

    Raises
    ------
    NotAvailableError
        A column is missing, or ``rule`` is not there or not named although there are several.
    """
    missing = [name for name in _TIMES_COLUMNS if name not in times]
    if missing:
        raise NotAvailableError(f"no column {', '.join(missing)}", where="pl.clearance times")
    rules = sorted(set(curves["rule_id"].astype(str))) if len(curves) else []
    if rule is None and len(rules) > 1:
        raise NotAvailableError(f"curves of {len(rules)} rules", where="pl.clearance",
                                todo=f"name one: {', '.join(rules)}")  # fmt: skip
    if rule is not None and rules and rule not in rules:
        raise NotAvailableError(f"no curve of rule {rule!r}", where="pl.clearance", todo=f"one of: {', '.join(rules)}")
    chosen = rule or (rules[0] if rules else "")
    if chosen and "rule_id" in times:
        times = times.loc[times["rule_id"].astype(str) == chosen]
    order = tuple(arms) or column_arms(times["arm"]) or tuple(labels or ())
    found = clearance_arms(times, curves, rule=chosen, labels=labels or {}, order=order)
    return clearance_figure(found, rule=chosen, order=order)


def clearance_arms(
    times: pd.DataFrame, curves: pd.DataFrame, *, rule: str, labels: Mapping[str, str], order: Sequence[str] = ()
) -> list[ClearanceArm]:
    """What :func:`clearance` draws, one entry an arm in the order of the study (``order``), others by name."""
    found = []
    ends_of = records(times, "clearance_times")
    own = curves.loc[curves["rule_id"].astype(str) == rule] if len(curves) else curves
    drawn = records(own, "clearance_curves")
    present = set(cells(times["arm"], "text"))
    for arm in [name for name in arm_order(present, order) if name in present]:
        ends: list[tuple[float, str]] = []
        left_out = 0
        for row in (row for row in ends_of if row["arm"] == arm):
            end = _end(row)
            if end is None:
                left_out += 1
            else:
                ends.append(end)
        ends.sort()
        rows = [row for row in drawn if row["arm"] == arm]

        def steps(method: str, event: str, rows: Sequence[Mapping[str, Any]] = rows) -> tuple[Step, ...]:
            kept = [row for row in rows if row["method_id"] == method and row["event"] == event]
            made = [Step(*(row[key] for key in ("upper_day", "value", "lower", "upper"))) for row in kept]
            return tuple(sorted(made, key=lambda step: step.day))

        events = list(dict.fromkeys(row["event"] for row in rows if row["method_id"] == _INCIDENCE))
        boxes, before = [], 1.0
        mass = [row for row in rows if row["method_id"] == _TURNBULL]
        for row in sorted(mass, key=lambda row: (row["lower_day"], row["upper_day"])):
            after = row["value"]
            boxes.append(Undefined(row["lower_day"], row["upper_day"], before, after))
            before = after
        found.append(
            ClearanceArm(
                arm, labels.get(arm, arm), tuple(end[0] for end in ends), tuple(end[1] for end in ends),
                steps(_KAPLAN_MEIER, CLEARED), tuple(boxes),
                tuple((event, steps(_INCIDENCE, event)) for event in events), left_out,
            )
        )  # fmt: skip
    return found


def _end(row: Mapping[str, Any]) -> tuple[float, str] | None:
    """Day and kind of the end of observation; None for a subject that cannot enter.

    Without a last result before clearance, or cleared before the first ganciclovir, there is no time.
    """
    lower, upper = row["lower_day"], row["upper_day"]
    if math.isnan(lower):
        return None
    if row["observed"]:
        return (upper, CLEARED) if upper > 0 else None
    competing = row["competing"]
    day = row["competing_day"] if competing else math.nan
    if competing and math.isnan(day):
        day = upper
    return (max(day, lower, 0.0) if math.isfinite(day) else max(lower, 0.0), competing)


def clearance_figure(arms: Sequence[ClearanceArm], *, rule: str = "", order: Sequence[str] = ()) -> Figure:
    """The figure from plain values; ``order`` are all arms of the study in its order."""
    what = "Time to clearance of CMV-DNA"
    if not any(arm.ends for arm in arms):
        left_out = sum(arm.left_out for arm in arms)
        reason = f"Subjects without a time to clearance: {left_out}." if left_out else "There is no subject."
        return style.empty_figure(reason, what=what)
    if not any(arm.kaplan_meier or arm.turnbull or arm.incidence for arm in arms):
        return style.empty_figure(
            "No curve was estimated: run tl.clearance_exact and tl.clearance_interval.", what=what
        )
    marks = style.arm_marks(arm_order((arm.arm for arm in arms), order))
    finite = [end for arm in arms for end in arm.ends] + [0.0]
    ticks = _ticks(max(finite))
    tall, head = 2.2, 0.32
    foot = 0.6 + 0.14 * len(arms) + 0.12 * (1 + len(arms)) + 0.08
    height = head + tall + foot
    wide = 2.72
    with style.look():
        figure = style.new_figure(style.WIDTH, height, clearance_alt(arms, rule))
        place = (1 - (head + tall) / height, wide / style.WIDTH, tall / height)
        left = figure.add_axes((0.95 / style.WIDTH, *place))
        right = figure.add_axes(((0.95 + wide + 0.85) / style.WIDTH, *place))
        for position, arm in enumerate(arms):
            _draw_survival(left, arm, marks[arm.arm], max(finite))
            _draw_incidence(right, arm, marks[arm.arm], max(finite))
            _draw_at_risk(left, arm, ticks, marks[arm.arm], position)
        if not any(arm.incidence for arm in arms):
            right.text(0.5, 0.5, "not computed", transform=right.transAxes, ha="center", va="center", color=style.GREY)
        for axes, name in ((left, "not cleared, %"), (right, "cumulative incidence, %")):
            axes.set_xlim(-0.02 * max(ticks[-1], 1), max(ticks[-1], max(finite), 1) * 1.03)
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.set_ylim(-3, 104)
            axes.set_ylabel(name)
            axes.set_xlabel(_AXIS, labelpad=2)
        style.title(left, "Kaplan-Meier (thick), Turnbull (thin)")
        style.title(right, "With competing events")
        _incidence_legend(right, arms, marks)
        for position, arm in enumerate(arms):
            y = (0.12 * (len(arms) - position) + 0.05) / height
            start, end = 0.1 / style.WIDTH, 0.42 / style.WIDTH
            figure.add_artist(_sample(marks[arm.arm], start, end, y + 0.045 / height))
            figure.text(0.5 / style.WIDTH, y, _median_words(arm), ha="left", va="bottom", fontsize=7)
        style.note(
            figure,
            f"Bar: censored; ✕: competing event; grey box: Turnbull curve undefined. Rule {rule or 'not named'}.",
        )
        return figure


def _sample(mark: style.Mark, start: float, end: float, y: float) -> Artist:
    from matplotlib.lines import Line2D

    return Line2D(
        [start, (start + end) / 2, end], [y] * 3, color=mark.color, linestyle=mark.line, linewidth=1.8,
        marker=mark.marker, markersize=4.5, markevery=[1],
    )  # fmt: skip


def _ticks(last: float) -> list[float]:
    step = next((size for size in (7, 14, 28, 56, 84, 168) if last / size <= 6), 364)
    return [float(step * count) for count in range(math.ceil(last / step) + 1)] or [0.0]


def _draw_survival(axes: Axes, arm: ClearanceArm, mark: style.Mark, last: float) -> None:
    from matplotlib.patches import Rectangle

    before = 0.0
    level = 1.0
    for box in arm.turnbull:
        axes.plot([before, box.start], [100 * level] * 2, color=mark.color, linewidth=0.9, zorder=2)
        if not math.isfinite(box.end):
            before = math.inf
            break
        axes.add_patch(
            Rectangle(
                (box.start, 100 * box.after), max(box.end - box.start, 0.0), 100 * (box.before - box.after),
                facecolor=style.PALE, edgecolor=mark.color, linewidth=0.6, alpha=0.6, zorder=1,
            )
        )  # fmt: skip
        before, level = box.end, box.after
    if arm.turnbull and before < last:
        axes.plot([before, last], [100 * level] * 2, color=mark.color, linewidth=0.9, zorder=2)
    if not arm.kaplan_meier:
        return
    stop = max(arm.ends, default=last)
    _steps(axes, arm.kaplan_meier, (1.0, stop), (mark.color, mark.line, 2.0))
    for end, kind in zip(arm.ends, arm.kinds, strict=True):
        if kind != CLEARED:
            axes.plot([end], [100 * arm.survival(end)], color=mark.color, marker="x" if kind else "|",
                      markersize=5 if kind else 8, markeredgewidth=1.3, zorder=5)  # fmt: skip


def _draw_incidence(axes: Axes, arm: ClearanceArm, mark: style.Mark, last: float) -> None:
    for position, (_, steps) in enumerate(arm.incidence):
        line = _EVENT_LINES[position % len(_EVENT_LINES)]
        stop = max(arm.ends, default=last)
        _steps(axes, steps, (0.0, stop), (mark.color, line, 1.8 if position == 0 else 1.3))
        # The line says which event it is, the symbols on it which arm; curves of two arms often end together.
        axes.plot([step.day for step in steps], [100 * step.value for step in steps], color=mark.color,
                  marker=mark.marker, markersize=4.5, linestyle="none", zorder=5, clip_on=False)  # fmt: skip


def _steps(
    axes: Axes, steps: Sequence[Step], bounds: tuple[float, float], look: tuple[str, style.LineStyle, float]
) -> None:
    """Steps from ``bounds[0]`` at day 0 until day ``bounds[1]``."""
    start, stop = bounds
    color, line, width = look
    days = [0.0, *(step.day for step in steps), max([stop, *(step.day for step in steps)])]
    values = [start, *(step.value for step in steps)]
    values.append(values[-1])
    axes.step(days, [100 * value for value in values], where="post", color=color, linestyle=line, linewidth=width,
              zorder=4)  # fmt: skip


def _draw_at_risk(axes: Axes, arm: ClearanceArm, ticks: Sequence[float], mark: style.Mark, position: int) -> None:
    offset = -34.0 - 10.0 * position
    if position == 0:
        axes.annotate("at risk", (0.0, 0.0), xycoords="axes fraction", xytext=(-8, offset + 9),
                      textcoords="offset points", ha="right", va="top", fontsize=6.5, color=style.GREY)  # fmt: skip
    axes.annotate(arm.arm, (0.0, 0.0), xycoords="axes fraction", xytext=(-8, offset), textcoords="offset points",
                  ha="right", va="top", fontsize=6.8, color=mark.color)  # fmt: skip
    for tick in ticks:
        axes.annotate(str(arm.at_risk(tick)), (tick, 0.0), xycoords=("data", "axes fraction"), xytext=(0, offset),
                      textcoords="offset points", ha="center", va="top", fontsize=6.8, color=mark.color)  # fmt: skip


def _incidence_legend(axes: Axes, arms: Sequence[ClearanceArm], marks: Mapping[str, style.Mark]) -> None:
    """Colour and symbol of the arms, then the lines of the events."""
    from matplotlib.lines import Line2D

    events = list(dict.fromkeys(event for arm in arms for event, _ in arm.incidence))
    handles = [
        Line2D([], [], color=marks[arm.arm].color, marker=marks[arm.arm].marker, markersize=4.5, label=arm.arm)
        for arm in arms
        if arm.incidence
    ]
    handles += [
        Line2D([], [], color=style.INK, linestyle=_EVENT_LINES[position % len(_EVENT_LINES)],
               label=_EVENT_WORDS.get(event, event))
        for position, event in enumerate(events)
    ]  # fmt: skip
    if handles:
        axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.19), ncols=2, handlelength=3.0)


def _median_words(arm: ClearanceArm) -> str:
    middle, low, high = arm.median
    if not arm.kaplan_meier:
        words = "no Kaplan-Meier curve"
    elif math.isinf(middle):
        words = "median not reached"
    else:
        words = f"median {middle:g} days"
        if any(not math.isnan(step.lower) for step in arm.kaplan_meier):
            words += f" (95 % CI {low:g} to {'not reached' if math.isinf(high) else format(high, 'g')})"
    parts = [f"{arm.label}: n = {len(arm.ends)}, {arm.kinds.count(CLEARED)} cleared"]
    competing = len(arm.kinds) - arm.kinds.count(CLEARED) - arm.kinds.count("")
    if competing:
        parts.append(f"{competing} with a competing event")
    parts.append(words)
    if arm.left_out:
        parts.append(f"{arm.left_out} without a time left out")
    return ", ".join(parts)


def clearance_alt(arms: Sequence[ClearanceArm], rule: str) -> str:
    """What the figure says, in words."""
    parts = [f"Time to clearance of CMV-DNA, rule {rule or 'not named'}, {_AXIS}"]
    for arm in arms:
        parts.append(_median_words(arm))
        boxes = [box for box in arm.turnbull if math.isfinite(box.end)]
        if boxes:
            words = ", ".join(f"{100 * box.after:.0f} % not cleared after day {box.end:g}" for box in boxes)
            parts.append(f"Turnbull, {arm.label}: {words}")
        parts += [
            f"cumulative incidence of {_EVENT_WORDS.get(event, event)}, {arm.label}: "
            f"{100 * steps[-1].value:.0f} % at day {steps[-1].day:g}"
            for event, steps in arm.incidence
            if steps
        ]
    return ". ".join(parts) + "."
