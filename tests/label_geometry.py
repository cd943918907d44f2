"""Labels of gates that lie on an outline or on one another, by geometry: of drawn figures, and of plots to be drawn."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
from matplotlib.figure import Figure

from immunoprofile.pl.thumbnails import SIDE, Drawn, prepare
from immunoprofile.report.source import Source
from immunoprofile.report.view import VisitView
from immunoprofile.report.visit_figures import gating_panels

MOST = 2.0
"""Pixels, at 150 of them an inch, by which a label may reach over a line or another label."""
DPI = 150

Box = tuple[float, float, float, float]
"""Left, right, bottom and top in pixels."""


def collisions(figure: Figure) -> list[str]:
    """Every label of a gate that reaches over an outline or over another text by more than `MOST` pixels."""
    figure.set_dpi(DPI)
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    found = []
    for axes in figure.axes:
        lines = [line for line in axes.lines if len(line.get_xdata()) >= 4 and np.isfinite(line.get_xdata()).all()]
        corners = [line.get_transform().transform(np.column_stack(line.get_data())) for line in lines]
        labels = [one for one in axes.texts if one.get_bbox_patch() is not None]
        extents = [one.get_window_extent(renderer) for one in labels]
        boxes = [(one.x0, one.x1, one.y0, one.y1) for one in extents]
        found += _overlaps([one.get_text() for one in labels], boxes, corners)
    return found


def collisions_of_plot(drawn: Drawn) -> list[str]:
    """The same of one plot whose labels are placed, without drawing it."""
    scale = SIDE * DPI
    placed = [(words, box) for words, box in zip(drawn.words, drawn.places, strict=True) if box is not None]
    boxes = [
        (box.x - box.half_wide, box.x + box.half_wide, box.y - box.half_high, box.y + box.half_high)
        for _, box in placed
    ]
    outlines = [scale * np.array(points) for points in drawn.outlines]
    return _overlaps([words for words, _ in placed], [tuple(scale * one for one in box) for box in boxes], outlines)


def _overlaps(words: list[str], boxes: list[Box], outlines: Iterable[np.ndarray]) -> list[str]:
    found = []
    at = np.linspace(0, 1, 400)[:, None, None]
    for points in outlines:
        x, y = (points[:-1] + at * (points[1:] - points[:-1])).reshape(-1, 2).T
        for label, (left, right, low, top) in zip(words, boxes, strict=True):
            if ((x > left + MOST) & (x < right - MOST) & (y > low + MOST) & (y < top - MOST)).any():
                found.append(f"{label!r} on an outline")
    for (label, one), (further, other) in itertools.combinations(zip(words, boxes, strict=True), 2):
        over = min(one[1], other[1]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[2], other[2])
        if min(over) > MOST:
            found.append(f"{label!r} on {further!r}")
    return found


def collisions_of_study(source: Source) -> tuple[list[str], int]:
    """Collisions on the gating plots of every visit page of a study, and how many plots there are."""
    found, plots = [], 0
    for subject in source.subjects:
        for visit in source.visits_of(subject):
            for tube in gating_panels(VisitView(source, subject, visit)):
                before = tube.before or (None,) * len(tube.now)
                for pair in zip(tube.now, before, strict=True):
                    for panel, partner in (pair, pair[::-1]):
                        if panel is not None:
                            plots += 1
                            drawn = prepare(panel, partner, dict(tube.displays))
                            found += [f"{subject} {visit} {tube.tube}: {one}" for one in collisions_of_plot(drawn)]
    return found, plots
