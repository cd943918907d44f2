"""Functional assays beside the populations: one column a readout, one row a visit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from immunoprofile import schema
from immunoprofile.errors import Problems, StudyError
from immunoprofile.io.records import numbered, records

if TYPE_CHECKING:
    import anndata

    from immunoprofile.io.exceptions import Exceptions

_PARTS = ["population", "assay", "stimulus", "readout"]


def readouts(functional: pd.DataFrame) -> pd.DataFrame:
    """The readouts of a study: id, what they are, and their unit.

    Parameters
    ----------
    functional
        The table ``functional`` of the study.

    Returns
    -------
    DataFrame with ``schema.READOUT_COLUMNS``, one row a readout, sorted by id. The id joins population, assay,
    stimulus and readout (``nk_degranulation_k562_cd107a``); endpoints of ``study.yaml`` name it.

    Raises
    ------
    StudyError
        A readout comes in several units, or two readouts would have the same id: all at once.
    """
    problems = Problems()
    rows = []
    for parts, group in functional.fillna({name: "" for name in _PARTS}).groupby(_PARTS, sort=True):
        names = [str(part) for part in parts]
        units = sorted({str(unit) for unit in group["unit"]})
        if len(units) > 1:
            problems.add(
                "functional", f"{' '.join(filter(None, names))} comes in several units", column="unit",
                value=", ".join(units), allowed="one unit for a readout; convert before it is entered",
            )  # fmt: skip
        name = re.sub(r"[^a-z0-9]+", "_", "_".join(filter(None, names)).lower()).strip("_")
        rows.append((name, _display(*names), *names, units[0]))
    table = pd.DataFrame(rows, columns=list(schema.READOUT_COLUMNS)).sort_values("id", kind="stable")
    for name in table["id"][table["id"].duplicated()].unique():
        problems.add("functional", "two readouts differ only in signs that an id cannot hold", value=name,
                     allowed="names that differ in letters or digits")  # fmt: skip
    if problems:
        raise StudyError("the functional assays cannot be used", problems.found, where="functional.csv")
    return table.reset_index(drop=True)


def add_functional(visits: anndata.AnnData, functional: pd.DataFrame, notes: Exceptions) -> None:
    """Put the functional assays on the rows of their visit.

    Parameters
    ----------
    visits
        Visits x populations.
    functional
        The table of the study, each row with its visit.
    notes
        Takes one entry for each result that has no row, or that another result of the same visit displaced.

    Returns
    -------
    None; writes

    ``visits.obsm['functional']``
        DataFrame, float64, one column a readout, NaN where it was not measured (0 is a result).
    ``visits.uns['functional_readouts']``
        the table of `readouts`.
    """
    known = readouts(functional)
    ids = {tuple(row[name] for name in _PARTS): row["id"] for row in records(known, "functional_readouts")}
    places = {
        (str(subject), str(visit)): number
        for number, (subject, visit) in enumerate(zip(visits.obs["usubjid"], visits.obs["visit"], strict=True))
    }
    values = np.full((visits.n_obs, len(known)), np.nan)
    column = {name: number for number, name in enumerate(known["id"])}
    ordered = functional.sort_values("collected_dtc", kind="stable")
    for number, row in numbered(ordered, "functional"):
        name = ids[tuple(row[part] for part in _PARTS)]
        where = {"table": "functional", "row": number, "usubjid": row["usubjid"], "visit": row["visit"]}
        place = places.get((row["usubjid"], row["visit"]))
        if place is None:
            notes.add("note", "FUNCTIONAL_WITHOUT_VISIT", f"{name} has no visit with flow cytometry",
                      action="it stays in the table, but takes no part in statistics", **where)  # fmt: skip
        elif not np.isnan(values[place, column[name]]):
            notes.add("warning", "FUNCTIONAL_REPEATED", f"{name} was measured again; the first is used",
                      action="give the repeat a visit of its own, or remove it", **where)  # fmt: skip
        else:
            values[place, column[name]] = row["value"]
    visits.obsm[schema.FUNCTIONAL_READOUTS] = pd.DataFrame(values, index=visits.obs_names, columns=list(known["id"]))
    visits.uns[schema.UNS_READOUTS] = known


def _display(population: str, assay: str, stimulus: str, readout: str) -> str:
    against = f" ({stimulus})" if stimulus else ""
    return " ".join(part for part in (readout, "of" if population else "", population, f"{assay}{against}") if part)
