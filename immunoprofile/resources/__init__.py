"""Versioned tables that ship with the package: populations, reference ranges, limits of quality checks."""

from __future__ import annotations

import math
import pickle
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

import yaml

from immunoprofile.errors import NotAvailableError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["REFERENCE_COLUMNS", "Population", "load_yaml", "populations", "reference_flag", "reference_ranges"]

REFERENCE_SUBJECTS = 120
"""Reference subjects per stratum that CLSI EP28-A3c asks for; a range from fewer is orientation only."""

REFERENCE_COLUMNS = (
    "population", "measure", "sex", "n", "median", "low", "high", "specimen", "source", "evidence", "orientation",
)  # fmt: skip
"""Columns of a table of reference ranges."""


@dataclass(frozen=True)
class Population:
    """What a population is called, how it is defined, and its Cell Ontology term.

    Attributes
    ----------
    id
        Name in AnnData, templates and tables.
    display
        Name for people.
    marker_string
        Short definition in marker notation, from the top of the gate tree.
    parent
        Usual parent (a template may state another one); empty for gates on all events.
    cl_id, cl_label, cl_match
        Cell Ontology term; ``broad`` is the closest term, ``none`` has no id.
    note
        What a reader must know.
    technical
        A step on the way (beads, time, singlets), no cell population.
    optional
        Markers of the definition that a panel may lack without the id meaning something else.
    synonyms
        Other names that people give it; a name that is one is proposed for the id, never taken for it.
    explored
        An exploratory analysis of every population takes it; false for steps on the way and for the denominators of
        the others (leukocytes, lymphocytes).
    """

    id: str
    display: str
    marker_string: str
    parent: str = ""
    cl_id: str = ""
    cl_label: str = ""
    cl_match: Literal["exact", "broad", "none"] = "none"
    note: str = ""
    technical: bool = False
    explored: bool = True
    optional: tuple[str, ...] = ()
    synonyms: tuple[str, ...] = ()


def load_yaml(name: str) -> dict[str, Any]:
    """Content of a YAML file of this folder, found in a checkout and in an installed wheel.

    Each file is read once; every call returns a copy of its own, so that no caller changes what the others see.

    Raises
    ------
    NotAvailableError
        There is no such file.
    """
    content: dict[str, Any] = pickle.loads(_content(name))
    return content


@cache
def _content(name: str) -> bytes:
    """Parsed content of a file as bytes: what nobody can change, and copied faster than the object itself."""
    folder = resources.files(__name__)
    file = folder / name
    if not file.is_file():
        found = sorted(item.name for item in folder.iterdir() if item.name.endswith(".yaml"))
        raise NotAvailableError(f"no resource {name!r}", where="resources", todo=f"one of: {', '.join(found)}")
    # libyaml reads ten times faster; where PyYAML was built without it the result is the same.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return pickle.dumps(yaml.load(file.read_text(encoding="utf-8"), Loader=loader))


def populations() -> dict[str, Population]:
    """All known populations by id, the technical ones first.

    Examples
    --------
    >>> populations()["treg"].marker_string
    'CD3+CD4+CD25hiCD127lo'
    """
    return dict(_populations())


@cache
def _populations() -> dict[str, Population]:
    content = load_yaml("populations.yaml")

    def entry(name: str, given: dict[str, Any], **more: bool) -> Population:
        lists = {key: tuple(given.get(key, ())) for key in ("optional", "synonyms")}
        return Population(name, **(given | lists | more))

    known = {name: entry(name, one, technical=True, explored=False) for name, one in content["technical"].items()}
    known |= {name: entry(name, one) for name, one in content["populations"].items()}
    return known


def reference_ranges(name: str = "chng2004") -> pd.DataFrame:
    """A table of reference ranges.

    Parameters
    ----------
    name
        Name of the table; ``chng2004`` is the default of the package.

    Returns
    -------
    DataFrame with the columns ``REFERENCE_COLUMNS``. ``measure`` is ``pct_lymphocytes``, ``pct_parent`` (per cent),
    ``abs`` (cells/uL) or ``ratio``; ``sex`` is M, F or any; ``orientation`` marks limits that are drawn as a band
    and never produce L or H (fewer than 120 reference subjects, or another method).

    Raises
    ------
    NotAvailableError
        There is no table of that name.
    """
    import pandas as pd

    tables = load_yaml("reference_ranges.yaml")["tables"]
    if name not in tables:
        raise NotAvailableError(
            f"no table of reference ranges called {name!r}",
            where="study.yaml, reference_ranges",
            todo=f"one of: {', '.join(sorted(tables))}; or leave it empty",
        )
    table = tables[name]
    rows = [
        [*row, table["specimen"], table["source"], table["evidence"], row[3] < REFERENCE_SUBJECTS]
        for row in table["rows"]
    ]
    rows += [[*row[:7], table["specimen"], *row[7:], True] for row in table["orientation_rows"]]
    frame = pd.DataFrame(rows, columns=list(REFERENCE_COLUMNS))
    numbers = ["n", "median", "low", "high"]
    return frame.astype(dict.fromkeys(numbers, "float64") | {"orientation": "bool"})


def reference_flag(value: float, low: float, high: float, *, orientation: bool) -> str:
    """``LOW``, ``NORMAL`` (limits included), ``HIGH``, or ``NA`` where nothing can be said.

    ``NA``: the value or a limit is missing, or the limits are orientation only.
    """
    if orientation or any(math.isnan(number) for number in (value, low, high)):
        return "NA"
    if value < low:
        return "LOW"
    return "HIGH" if value > high else "NORMAL"
