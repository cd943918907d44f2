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
from immunoprofile.pl.sketch import NO_SYMBOL, Box, Key, Legend, Line, Marks, Panel, Sketch, Words, empty_sketch
from immunoprofile.pl.sketch_figure import sketch_figure
from immunoprofile.pl.ticks import axis_ticks

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

CLEARED: Final = "cleared"
_KAPLAN_MEIER, _TURNBULL, _INCIDENCE = "S12", "S13", "S17"
_EVENT_LINES: Final = ("-", (0, (1, 1)), (0, (5, 1.5)), (0, (5, 1, 1, 1)))
_EVENT_WORDS: Final = {"DEATH": "death", "RESCUE": "rescue treatment"}
_LEFT, _BETWEEN = 0.95, 0.85
"""Inches left of the first panel, and between the two."""
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
    return sketch_figure(clearance_sketch(found, rule=chosen, order=order))


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


def clearance_sketch(arms: Sequence[ClearanceArm], *, rule: str = "", order: Sequence[str] = ()) -> Sketch:
    """What :func:`clearance` draws; ``order`` are all arms of the study in its order."""
    what = "Time to clearance of CMV-DNA"
    if not any(arm.ends for arm in arms):
        left_out = sum(arm.left_out for arm in arms)
        reason = f"Subjects without a time to clearance: {left_out}." if left_out else "There is no subject."
        return empty_sketch(reason, what=what)
    if not any(arm.kaplan_meier or arm.turnbull or arm.incidence for arm in arms):
        return empty_sketch("No curve was estimated: run tl.clearance_exact and tl.clearance_interval.", what=what)
    marks = style.arm_marks(arm_order((arm.arm for arm in arms), order))
    last = max([end for arm in arms for end in arm.ends] + [0.0])
    ticks = _ticks(last)
    tall, head, wide = 2.2, 0.32, 2.72
    height = head + tall + 0.6 + 0.14 * len(arms) + 0.12 * (1 + len(arms)) + 0.08
    made = Sketch(style.WIDTH, height, clearance_alt(arms, rule))
    place = (1 - (head + tall) / height, wide / style.WIDTH, tall / height)
    left = made.panel(_LEFT / style.WIDTH, *place)
    right = made.panel((_LEFT + wide + _BETWEEN) / style.WIDTH, *place)
    for position, arm in enumerate(arms):
        _draw_survival(left, arm, marks[arm.arm], last)
        _draw_incidence(right, arm, marks[arm.arm], last)
        _draw_at_risk(left, arm, ticks, marks[arm.arm], position)
    if not any(arm.incidence for arm in arms):
        right.add(Words(0.5, 0.5, "not computed", color=style.GREY, across="center", upward="center", x_in="panel",
                        y_in="panel"))  # fmt: skip
    for panel, name in ((left, "not cleared, %"), (right, "cumulative incidence, %")):
        panel.x.limits = (-0.02 * max(ticks[-1], 1), max(ticks[-1], last, 1) * 1.03)
        panel.x.ticks = tuple((tick, f"{tick:g}") for tick in ticks)
        panel.x.label, panel.x.label_pad = _AXIS, 2.0
        panel.y.limits = (-3.0, 104.0)
        panel.y.ticks = axis_ticks(*panel.y.limits, panel.points[1], size=panel.y.size, upward=True)
        panel.y.label = name
    left.title, right.title = "Kaplan-Meier (thick), Turnbull (thin)", "With competing events"
    made.legends += _incidence_legend(arms, marks, right.left + 0.08, right.bottom - 0.15 * tall / height)
    for position, arm in enumerate(arms):
        y = (0.12 * (len(arms) - position) + 0.05) / height
        words = _median_words(arm)
        made.write(0.5 / style.WIDTH, y, words, size=7, upward="bottom")
        _draw_sample(made, marks[arm.arm], y)
    made.note(f"Bar: censored; ✕: competing event; grey box: Turnbull curve undefined. Rule {rule or 'not named'}.")
    return made


def _draw_sample(made: Sketch, mark: style.Mark, y: float) -> None:
    """Line and symbol of an arm before its words at the foot of the figure."""
    panel = made.panel(0.1 / style.WIDTH, y, 0.32 / style.WIDTH, 0.09 / made.height)
    panel.bare = True
    panel.add(
        Line((0.0, 1.0), (0.5, 0.5), mark.color, 1.8, mark.line, clip=False),
        Marks((0.5,), (0.5,), mark.marker, 4.5, mark.color, mark.color, clip=False),
    )


def _ticks(last: float) -> list[float]:
    step = next((size for size in (7, 14, 28, 56, 84, 168) if last / size <= 6), 364)
    return [float(step * count) for count in range(math.ceil(last / step) + 1)] or [0.0]


def _draw_survival(panel: Panel, arm: ClearanceArm, mark: style.Mark, last: float) -> None:
    before = 0.0
    level = 1.0
    for box in arm.turnbull:
        panel.add(Line((before, box.start), (100 * level, 100 * level), mark.color, 0.9))
        if not math.isfinite(box.end):
            before = math.inf
            break
        panel.add(
            Box(box.start, 100 * box.after, max(box.end - box.start, 0.0), 100 * (box.before - box.after), style.PALE,
                mark.color, 0.6, alpha=0.6)
        )  # fmt: skip
        before, level = box.end, box.after
    if arm.turnbull and before < last:
        panel.add(Line((before, last), (100 * level, 100 * level), mark.color, 0.9))
    if not arm.kaplan_meier:
        return
    stop = max(arm.ends, default=last)
    panel.add(_steps(arm.kaplan_meier, (1.0, stop), (mark.color, mark.line, 2.0)))
    for end, kind in zip(arm.ends, arm.kinds, strict=True):
        if kind != CLEARED:
            symbol, size = ("x", 5.0) if kind else ("|", 8.0)
            panel.add(Marks((end,), (100 * arm.survival(end),), symbol, size, mark.color, mark.color, 1.3, order=5))


def _draw_incidence(panel: Panel, arm: ClearanceArm, mark: style.Mark, last: float) -> None:
    for position, (_, steps) in enumerate(arm.incidence):
        line = _EVENT_LINES[position % len(_EVENT_LINES)]
        stop = max(arm.ends, default=last)
        panel.add(_steps(steps, (0.0, stop), (mark.color, line, 1.8 if position == 0 else 1.3)))
        # The line says which event it is, the symbols on it which arm; curves of two arms often end together.
        days, values = [step.day for step in steps], [100 * step.value for step in steps]
        panel.add(Marks(days, values, mark.marker, 4.5, mark.color, mark.color, order=5, clip=False))


def _steps(steps: Sequence[Step], bounds: tuple[float, float], look: tuple[str, style.LineStyle, float]) -> Line:
    """Steps from ``bounds[0]`` at day 0 until day ``bounds[1]``."""
    level, stop = bounds
    color, line, width = look
    x, y = [0.0], [100 * level]
    for step in steps:
        x += [step.day, step.day]
        y += [y[-1], 100 * step.value]
    return Line([*x, max(stop, x[-1])], [*y, y[-1]], color, width, line, order=4)


def _draw_at_risk(panel: Panel, arm: ClearanceArm, ticks: Sequence[float], mark: style.Mark, position: int) -> None:
    offset = -34.0 - 10.0 * position

    def beside(words: str, size: float, color: str, dy: float) -> Words:
        return Words(0.0, 0.0, words, size=size, color=color, across="right", upward="top", x_in="panel", y_in="panel",
                     dx=-8, dy=dy)  # fmt: skip

    if position == 0:
        panel.add(beside("at risk", 6.5, style.GREY, offset + 9))
    panel.add(beside(arm.arm, 6.8, mark.color, offset))
    for tick in ticks:
        panel.add(Words(tick, 0.0, str(arm.at_risk(tick)), size=6.8, color=mark.color, across="center", upward="top",
                        y_in="panel", dy=offset))  # fmt: skip


def _incidence_legend(
    arms: Sequence[ClearanceArm], marks: Mapping[str, style.Mark], x: float, y: float
) -> list[Legend]:
    """Colour and symbol of the arms, then the lines of the events."""
    events = list(dict.fromkeys(event for arm in arms for event, _ in arm.incidence))
    shown = [marks[arm.arm] for arm in arms if arm.incidence]
    keys = [
        Key(arm.arm, mark.color, symbol=mark.marker)
        for arm, mark in zip([arm for arm in arms if arm.incidence], shown, strict=True)
    ]
    keys += [
        Key(_EVENT_WORDS.get(event, event), style.INK, symbol=NO_SYMBOL, dash=_EVENT_LINES[place % len(_EVENT_LINES)])
        for place, event in enumerate(events)
    ]
    return [Legend(tuple(keys), x, y, "upper left", columns=2, handle=3.0)] if keys else []


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
