"""What was measured and how good it was: subjects x visits x tubes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from immunoprofile.errors import NotAvailableError
from immunoprofile.io.records import cells
from immunoprofile.pl import style
from immunoprofile.pl.sketch import Box, Ground, Panel, Sketch, Words
from immunoprofile.pl.sketch_figure import sketch_figure
from immunoprofile.pp.verdict import tube_states

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure


_STATE_WORDS: Final = {"NOT_EVALUABLE": "not evaluable", "MISSING": "not measured"}


def completeness(profile: Any) -> Figure:
    """Heat map of a profile: one line a subject, one column a tube of each flow visit, colour and symbol = state.

    Parameters
    ----------
    profile
        Profile with ``study.config``, ``study.subjects`` and ``quality``.

    Returns
    -------
    Figure
        White with a dash: not measured. At most 60 subjects carry symbols. What a state of a tube is: see
        :func:`immunoprofile.pp.verdict.tube_states`.

    Raises
    ------
    NotAvailableError
        The study plans no flow visit.
    """
    config = profile.study.config
    flow = {visit.visit for visit in config.visits if visit.flow}
    visits = [visit for visit in config.visit_names if visit in flow]
    return completeness_figure(
        cells(profile.study.subjects["usubjid"], "text"),
        visits,
        list(config.tubes),
        tube_states(profile.quality),
    )


def completeness_figure(
    subjects: Sequence[str],
    visits: Sequence[str],
    tubes: Sequence[str],
    states: Mapping[tuple[str, str, str], str],
) -> Figure:
    """The heat map from plain values."""
    return sketch_figure(completeness_sketch(subjects, visits, tubes, states))


def completeness_sketch(
    subjects: Sequence[str],
    visits: Sequence[str],
    tubes: Sequence[str],
    states: Mapping[tuple[str, str, str], str],
) -> Sketch:
    """What :func:`completeness_figure` draws."""
    if not visits or not tubes or not subjects:
        raise NotAvailableError("the study plans no flow visit", where="pl.completeness", todo="see study.yaml")
    wide = len(tubes) * len(visits) + 0.35 * (len(visits) - 1)
    height = 1.05 + 0.21 * len(subjects)
    seen = Counter(
        states.get((subject, visit, tube), "MISSING") for subject in subjects for visit in visits for tube in tubes
    )
    counted = ", ".join(f"{_STATE_WORDS.get(state, state)} {seen[state]}" for state in style.STATE_MARKS if seen[state])
    alt = f"Quality of {len(subjects)} subjects at {', '.join(visits)}, tubes {', '.join(tubes)}. {counted}."
    made = Sketch(style.WIDTH, height, alt)
    panel = made.panel(0.16, 0.36 / height, 0.83, 1 - 1.0 / height)
    panel.x.limits, panel.y.limits = (0.0, wide), (float(len(subjects)), 0.0)
    centres = []
    for column, visit in enumerate(visits):
        start = column * (len(tubes) + 0.35)
        centres += [(start + slot + 0.5, tube) for slot, tube in enumerate(tubes)]
        for row, subject in enumerate(subjects):
            for slot, tube in enumerate(tubes):
                state = states.get((subject, visit, tube), "MISSING")
                draw_state(panel, state, start + slot, row, style.GREY, 0.5, 7 if len(subjects) <= 60 else 0)
    turn = 0.0 if len(centres) <= 9 else 60.0
    panel.x.ticks, panel.x.side, panel.x.turn = tuple(centres), "top", turn
    panel.y.ticks = tuple((row + 0.5, subject) for row, subject in enumerate(subjects))
    panel.x.length = panel.y.length = 0.0
    panel.x.pad = panel.y.pad = 1.0
    panel.spines = ()
    for column, visit in enumerate(visits):
        middle = column * (len(tubes) + 0.35) + len(tubes) / 2
        panel.add(Words(middle, 1.0, visit, bold=True, across="center", y_in="panel", dy=34 if turn else 14))
    x = 0.16
    for state in style.STATE_MARKS:
        words = _STATE_WORDS.get(state, state)
        state_key(made, state, x, 0.1 / height)
        made.write(x + 0.016, 0.1 / height, words, size=7, upward="center")
        x += 0.055 + 0.0115 * len(words)
    return made


def draw_state(panel: Panel, state: str, x: float, y: float, edge: str, width: float, size: float) -> None:
    """One field of side 1 in the colour of a state, with its symbol in letters of ``size``; 0: without."""
    color, symbol = style.STATE_MARKS[state]
    panel.add(Box(x, y, 1, 1, color, edge, width))
    if size:
        panel.add(Words(x + 0.5, y + 0.5, symbol, size=size, across="center", upward="center"))


def state_key(made: Sketch, state: str, x: float, y: float) -> None:
    """Colour and symbol of a state at a place of the figure."""
    color, symbol = style.STATE_MARKS[state]
    ground = Ground(color, edge=style.GREY, width=0.5, pad=2.0)
    made.write(x, y, symbol, size=7, across="center", upward="center", ground=ground)
