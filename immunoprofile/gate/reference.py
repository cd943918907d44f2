"""Densities of the sample on which a template was drawn: what a later sample is compared with.

They stand in ``<tube>.reference.csv`` beside the template, one row a point, so that a template can be used where the
events of its sample are not at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from immunoprofile.errors import Problems
from immunoprofile.gate.template_tables import number_in, parse_rows, quoted, read_lines
from immunoprofile.io.files import write_text

REFERENCE_SUFFIX = ".reference.csv"
_COLUMNS = ("parent", "marker", "place", "density")
_FEWEST_POINTS = 16


@dataclass(frozen=True)
class Reference:
    """Density of a marker inside a parent in the template sample.

    Attributes
    ----------
    parent, marker
        Of which events and on which axis.
    places
        Equally spaced points on the scale of the axis (linear where it has none), ascending.
    heights
        Density at each point.
    """

    parent: str
    marker: str
    places: tuple[float, ...]
    heights: tuple[float, ...]


def read_references(path: Path, problems: Problems) -> tuple[Reference, ...]:
    """Densities of the template sample; empty where there is no such file, and what is wrong goes to ``problems``."""
    if not path.exists():
        return ()
    rows = parse_rows(read_lines(path, problems), path.name, _COLUMNS, _COLUMNS, problems)
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for number, row in enumerate(rows, 1):
        place = number_in(row, "place", number, path.name, problems)
        height = number_in(row, "density", number, path.name, problems)
        if place is None or height is None:
            if not (row["place"] and row["density"]):
                problems.add(path.name, "place and density must both be given", row=number)
            continue
        if height < 0:
            problems.add(path.name, "a density is not below zero", row=number, column="density", value=height)
        found.setdefault((row["parent"], row["marker"]), []).append((place, height))
    references = []
    for (parent, marker), points in found.items():
        where = f"{path.name}, {marker} in {parent}"
        places, heights = zip(*sorted(points), strict=True)
        if len(points) < _FEWEST_POINTS:
            problems.add(where, f"has fewer than {_FEWEST_POINTS} points", value=len(points))
        elif not _equally_spaced(places):
            problems.add(where, "the places of its points are not equally spaced", column="place")
        elif not max(heights) > 0:
            problems.add(where, "the density is zero everywhere", column="density")
        references.append(Reference(parent, marker, places, heights))
    return tuple(references)


def _equally_spaced(places: Sequence[float]) -> bool:
    step = (places[-1] - places[0]) / (len(places) - 1)
    return step > 0 and all(abs(b - a - step) <= 1e-3 * step for a, b in pairwise(places))


def write_references(references: Sequence[Reference], path: Path) -> None:
    """Write the densities; a file of an earlier template of this name goes where there are none."""
    if not references:
        path.unlink(missing_ok=True)
        return
    rows = [",".join(_COLUMNS)]
    for one in references:
        name = f"{quoted(one.parent)},{quoted(one.marker)}"
        rows += [f"{name},{place!r},{height!r}" for place, height in zip(one.places, one.heights, strict=True)]
    write_text(path, "\n".join(rows) + "\n")
