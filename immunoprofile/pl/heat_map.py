"""What was measured and how good it was: subjects x visits x tubes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from immunoprofile.errors import NotAvailableError
from immunoprofile.io.records import cells
from immunoprofile.pl import style
from immunoprofile.pp.verdict import tube_states

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure


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
    if not visits or not tubes or not subjects:
        raise NotAvailableError("the study plans no flow visit", where="pl.completeness", todo="see study.yaml")
    from matplotlib.collections import PolyCollection

    with style.look():
        wide = len(tubes) * len(visits) + 0.35 * (len(visits) - 1)
        height = 1.05 + 0.21 * len(subjects)
        figure = style.new_figure(7.4, height)
        axes = figure.add_axes((0.16, 0.36 / height, 0.83, 1 - 1.0 / height))
        boxes, colors, centres = [], [], []
        for row, subject in enumerate(subjects):
            for column, visit in enumerate(visits):
                for slot, tube in enumerate(tubes):
                    left = column * (len(tubes) + 0.35) + slot
                    color, symbol = style.STATE_MARKS[states.get((subject, visit, tube), "MISSING")]
                    boxes.append([(left, row), (left + 1, row), (left + 1, row + 1), (left, row + 1)])
                    colors.append(color)
                    if len(subjects) <= 60:
                        axes.text(left + 0.5, row + 0.5, symbol, ha="center", va="center", fontsize=7)
                    if row == 0:
                        centres.append((left + 0.5, tube))
        axes.add_collection(PolyCollection(boxes, facecolors=colors, edgecolors=style.GREY, linewidths=0.5))
        axes.set_xlim(0, wide)
        axes.set_ylim(len(subjects), 0)
        axes.set_yticks([row + 0.5 for row in range(len(subjects))], subjects)
        turn = 0 if len(centres) <= 9 else 60
        axes.set_xticks(
            [place for place, _ in centres],
            [tube for _, tube in centres],
            rotation=turn,
            ha="left" if turn else "center",
        )
        axes.xaxis.tick_top()
        axes.tick_params(length=0, pad=1)
        for column, visit in enumerate(visits):
            axes.annotate(
                visit, (column * (len(tubes) + 0.35) + len(tubes) / 2, 1.0), xycoords=("data", "axes fraction"),
                xytext=(0, 34 if turn else 14), textcoords="offset points", ha="center", fontweight="bold",
            )  # fmt: skip
        for spine in axes.spines.values():
            spine.set_visible(False)
        x = 0.16
        for state, (color, symbol) in style.STATE_MARKS.items():
            words = {"NOT_EVALUABLE": "not evaluable", "MISSING": "not measured"}.get(state, state)
            figure.text(
                x, 0.1 / height, symbol, ha="center", va="center", fontsize=7,
                bbox={"facecolor": color, "edgecolor": style.GREY, "linewidth": 0.5, "pad": 2.0},
            )  # fmt: skip
            figure.text(x + 0.016, 0.1 / height, words, va="center", fontsize=7)
            x += 0.055 + 0.0115 * len(words)
        return figure
