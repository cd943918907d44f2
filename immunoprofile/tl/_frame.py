"""What the analyses have in common: endpoints, scales, rows of the tables of statistics."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.pp.absolute import cells_per_event
from immunoprofile.pp.baseline import baseline_rows
from immunoprofile.pp.verdict import failed_rows
from immunoprofile.schema import (
    ABS,
    COUNTS,
    ESTIMATED,
    FUNCTIONAL_READOUTS,
    NOT_ESTIMABLE,
    PARENT_COUNTS,
    STATISTIC_COLUMNS,
    STATISTIC_COUNTS,
    STATISTIC_TEXT,
    UNS_STUDY,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Measure = Literal["pct_parent", "abs", "functional"]
Scale = Literal["logit", "log2", "identity"]

NAN = math.nan
ROUNDING = 1e-13
"""Share of a value below which a difference of two is an error of arithmetic."""

MEASURES: tuple[Measure, ...] = ("pct_parent", "abs", "functional")
DEFAULT_SCALE: dict[Measure, Scale] = {"pct_parent": "logit", "abs": "log2", "functional": "log2"}
EFFECT_KIND: dict[Scale, str] = {"logit": "odds ratio", "log2": "fold change", "identity": "difference"}


@dataclass(frozen=True)
class Endpoint:
    """A population (or functional readout), how it is measured, and the scale on which it is analysed."""

    population: str
    measure: Measure
    scale: Scale

    @property
    def effect_kind(self) -> str:
        """Name of the back-transformed effect."""
        return EFFECT_KIND[self.scale]

    def back(self, value: float) -> float:
        """From a difference on the analysis scale to a ratio: fold change or odds ratio."""
        if math.isnan(value) or self.scale == "identity":
            return value
        try:
            return 2.0**value if self.scale == "log2" else math.exp(value)
        except OverflowError:
            return math.inf


def endpoints(
    adata: AnnData, populations: Iterable[str] | None, measure: Measure | None, scale: Scale | None
) -> list[Endpoint]:
    """Endpoints of an analysis: those asked for, else those that the study declares, else ``var['is_key']``.

    Raises
    ------
    AnalysisError
        A population, measure or scale is not known, or nothing is left to analyse.
    """
    if measure is not None and measure not in MEASURES:
        raise AnalysisError(f"measure {measure!r} is not known", todo=f"one of: {', '.join(MEASURES)}")
    if scale is not None and scale not in EFFECT_KIND:
        raise AnalysisError(f"scale {scale!r} is not known", todo=f"one of: {', '.join(EFFECT_KIND)}")
    declared = _declared(adata.uns.get(UNS_STUDY, {}).get("endpoints"))
    if not declared and "is_key" in adata.var:
        declared = [{"population": name} for name in adata.var_names[adata.var["is_key"].to_numpy(dtype=bool)]]
    if populations is not None:
        wanted = [populations] if isinstance(populations, str) else list(populations)
        by_population: dict[str, list[dict[str, Any]]] = {}
        for item in declared:
            by_population.setdefault(item["population"], []).append(item)
        declared = [item for name in wanted for item in by_population.get(name, [{"population": name}])]
    chosen: list[Endpoint] = []
    for item in declared:
        own: Measure = measure or item.get("measure", "pct_parent")
        endpoint = Endpoint(str(item["population"]), own, scale or DEFAULT_SCALE[own])
        if endpoint.measure != "pct_parent" and endpoint.scale == "logit":
            what = "cells/uL have" if endpoint.measure == "abs" else "a functional readout has"
            raise AnalysisError(f"{what} no logit", where=endpoint.population, todo="use scale='log2'")
        if endpoint not in chosen:
            chosen.append(endpoint)
    if not chosen:
        raise AnalysisError("no endpoint is declared", where="uns['study']['endpoints'], var is_key",
                            todo="name them: populations=[...]")  # fmt: skip
    _check_known(adata, chosen)
    return chosen


def _check_known(adata: AnnData, chosen: list[Endpoint]) -> None:
    readouts = list(adata.obsm[FUNCTIONAL_READOUTS].columns) if FUNCTIONAL_READOUTS in adata.obsm else []
    for known, place, functional in ((list(adata.var_names), "var_names", False),
                                     (readouts, f"obsm[{FUNCTIONAL_READOUTS!r}]", True)):  # fmt: skip
        asked = {endpoint.population for endpoint in chosen if (endpoint.measure == "functional") is functional}
        if unknown := sorted(asked - set(known)):
            what = "functional readout" if functional else "population"
            raise AnalysisError(f"no {what} {', '.join(unknown)}", where=place,
                                todo=f"one of: {', '.join(known) or 'none'}")  # fmt: skip


def _declared(entry: Any) -> list[dict[str, Any]]:
    """Endpoints of the study: a table in the object (which h5ad can hold), or a list of mappings."""
    if entry is None:
        return []
    items = entry.to_dict("records") if hasattr(entry, "to_dict") else entry
    return [{"population": str(item["population"]), "measure": item.get("measure", "pct_parent")} for item in items]


def natural_values(adata: AnnData, endpoint: Endpoint) -> Floats:
    """Per cent of the parent (0-100), cells/uL, or the functional readout of every row.

    Raises
    ------
    AnalysisError
        There are no absolute counts, or a value is infinite.
    """
    if endpoint.measure == "functional":
        values = np.asarray(adata.obsm[FUNCTIONAL_READOUTS][endpoint.population], dtype=np.float64)
    else:
        column = adata.var_names.get_loc(endpoint.population)
        if endpoint.measure == "abs" and ABS not in adata.layers:
            raise AnalysisError("there are no absolute counts", where="layers['abs']", todo="run pp.absolute first")
        table = adata.layers[ABS] if endpoint.measure == "abs" else adata.X
        values = np.asarray(table[:, column], dtype=np.float64)
    if np.isinf(values).any():
        rows = ", ".join(map(str, adata.obs_names[np.isinf(values)][:5]))
        raise AnalysisError(f"{endpoint.population} is infinite in {rows}", where=endpoint.measure,
                            todo="a concentration needs a volume above 0")  # fmt: skip
    return values


def analysis_values(adata: AnnData, endpoint: Endpoint, *, include_failed: bool) -> Floats:
    """Every row on the analysis scale.

    Percentages: logit of (n + 1/2) / (N + 1), or log2 of the percentage. Cells/uL: log2. Where no event was counted
    log2 takes half an event. Functional readouts: log2, where a readout of 0 takes half the smallest positive one, or
    as they are. NaN where not measured and, unless ``include_failed``, where a tube that the endpoint rests on failed
    for a technical reason.
    """
    values = _all_values(adata, endpoint)
    if endpoint.scale != "identity":
        # the logarithm of 1 and a rounding error: relative to itself it would be a number like any other
        values = np.where(np.abs(values) < ROUNDING, 0.0, values)
    if include_failed or endpoint.measure == "functional":
        return values
    return np.where(failed_rows(adata, endpoint.population, measure=endpoint.measure), np.nan, values)


def _all_values(adata: AnnData, endpoint: Endpoint) -> Floats:
    if endpoint.measure == "functional" or endpoint.scale == "identity":
        values = natural_values(adata, endpoint)
        if endpoint.scale == "identity":
            return values
        positive = values[values > 0]
        floor = 0.5 * float(positive.min()) if len(positive) else NAN
        return np.log2(np.where(values > 0, values, np.where(values == 0, floor, np.nan)))
    column = adata.var_names.get_loc(endpoint.population)
    counts = np.asarray(adata.layers[COUNTS][:, column], dtype=np.float64)
    if endpoint.measure == "abs":
        values = natural_values(adata, endpoint)
        none_found = values == 0
        if none_found.any():
            values = np.where(none_found, 0.5 * cells_per_event(adata)[:, column], values)
        return np.log2(np.where(values > 0, values, np.nan))
    parents = np.asarray(adata.layers[PARENT_COUNTS][:, column], dtype=np.float64)
    parents = np.where(parents > 0, parents, np.nan)
    if endpoint.scale == "logit":
        share = (counts + 0.5) / (parents + 1)
        return np.asarray(np.log(share / (1 - share)))
    return np.asarray(np.log2(100 * np.where(counts == 0, 0.5, counts) / parents))


def wanted_visits(adata: AnnData, visit: str | Sequence[str] | None) -> list[str]:
    """Visits of an analysis: those named, else the primary visit of the study.

    Raises
    ------
    AnalysisError
        No visit is named anywhere, or one does not occur.
    """
    if visit is None:
        primary = adata.uns.get(UNS_STUDY, {}).get("primary_visit")
        if not primary:
            raise AnalysisError("no visit is named and the study declares no primary visit",
                                where="uns['study']['primary_visit']", todo="name it: visit='D14'")  # fmt: skip
        visit = str(primary)
    names = [visit] if isinstance(visit, str) else [str(name) for name in visit]
    found = set(adata.obs["visit"].astype(str))
    if unknown := [name for name in names if name not in found]:
        raise AnalysisError(f"no row of visit {', '.join(unknown)}", where="obs visit",
                            todo=f"one of: {', '.join(sorted(found))}")  # fmt: skip
    return names


@dataclass(frozen=True)
class Pairs:
    """One row per subject with a baseline and a value at the visit, sorted by subject.

    ``baseline`` and ``visit`` are row numbers of the visits object. ``unpaired`` has the arm and the reason of every
    other subject.
    """

    subjects: tuple[str, ...]
    arms: NDArray[np.str_]
    baseline: NDArray[np.intp]
    visit: NDArray[np.intp]
    unpaired: tuple[tuple[str, str], ...] = ()

    def exclusions(self, *arms: str) -> list[str]:
        """How many subjects of these arms (or of none) make no pair, a phrase for each reason."""
        numbers = Counter(reason for arm, reason in self.unpaired if arm in arms or reason == NO_ARM)
        return [f"{numbers[reason]} {reason}" for reason in UNPAIRED if numbers[reason]]


NO_ARM = "without an arm"
NO_VISIT = "without this visit"
NO_BASELINE = "without a baseline"
OTHER_SPECIMEN = "with a baseline of another specimen"
UNPAIRED = (NO_ARM, NO_VISIT, NO_BASELINE, OTHER_SPECIMEN)
"""Why a subject makes no pair of baseline and visit."""


def pairs(adata: AnnData, visit: str) -> Pairs:
    """Subjects with rows both at baseline and at the visit, of one specimen type.

    Raises
    ------
    AnalysisError
        The visit is the baseline itself, or a subject has two rows of that visit.
    """
    references = baseline_rows(adata)
    at_visit = (adata.obs["visit"].astype(str) == visit).to_numpy()
    rows = np.flatnonzero(at_visit)
    if np.any(references[rows] == rows):
        raise AnalysisError(f"{visit} is the baseline visit", where="visit", todo="name a later visit")
    everybody = adata.obs["usubjid"].astype(str).to_numpy(dtype=str)
    everyones_arm = adata.obs["arm"].astype(object).where(adata.obs["arm"].notna(), "").to_numpy(dtype=str)
    reasons = dict.fromkeys(everybody, NO_VISIT) | dict.fromkeys(everybody[rows], NO_BASELINE)
    rows = rows[references[rows] >= 0]
    if "specimen_type" in adata.obs:
        # Whole blood and PBMC, fresh and frozen, differ as measurements: a change across them is not the patient's.
        specimen = adata.obs["specimen_type"].astype(str).to_numpy()
        reasons |= dict.fromkeys(everybody[rows], OTHER_SPECIMEN)
        rows = rows[specimen[rows] == specimen[references[rows]]]
    reasons |= dict.fromkeys(everybody[everyones_arm == ""], NO_ARM)
    rows = rows[everyones_arm[rows] != ""]
    subjects = everybody[rows]
    if len(set(subjects)) != len(subjects):
        raise AnalysisError(f"a subject has two rows of visit {visit}", where="obs usubjid, visit")
    order = np.argsort(subjects, kind="stable")
    rows = rows[order]
    arm_of = dict(zip(everybody, everyones_arm, strict=True))
    unpaired = tuple((arm_of[name], reasons[name]) for name in sorted(set(reasons) - set(subjects)))
    return Pairs(tuple(subjects[order]), everyones_arm[rows], references[rows], rows, unpaired)


def zero_note(adata: AnnData, endpoint: Endpoint, rows: NDArray[np.intp], *, refuse: bool = False) -> str:
    """Says in how many of these rows no event was counted; empty for none.

    Such a row enters with half an event, and then stands for the number of events of its parent more than for the
    population.

    Raises
    ------
    AnalysisError
        With ``refuse``, when that is so in more than half of the rows: the difference would be one of the parents.
    """
    if endpoint.measure == "functional":
        return ""
    counts = np.asarray(adata.layers[COUNTS][:, adata.var_names.get_loc(endpoint.population)], dtype=np.float64)
    zeros = int((counts[rows] == 0).sum())
    words = f"no event in {zeros} of {len(rows)} rows" if zeros else ""
    if refuse and 2 * zeros > len(rows):
        raise AnalysisError(f"{words}: their percentages measure the number of parent events",
                            where=endpoint.population)  # fmt: skip
    return words


def methods_note(adata: AnnData, endpoint: Endpoint, rows: NDArray[np.intp]) -> str:
    """Says when the cells/uL of an analysis come from several methods; empty otherwise.

    A subject keeps its method over all visits, so changes are comparable, and values of two subjects less so.
    """
    if endpoint.measure != "abs" or "abs_method" not in adata.obs:
        return ""
    counts = adata.obs["abs_method"].iloc[rows].astype(str).value_counts().sort_index()
    if len(counts) < 2:
        return ""
    return "cells/uL by several methods: " + ", ".join(f"{name} {number}" for name, number in counts.items())


def baseline_name(adata: AnnData, rows: NDArray[np.intp]) -> str:
    """Name of the baseline visit of these rows; several are joined."""
    names = sorted(set(adata.obs["visit"].astype(str).to_numpy()[rows]))
    return "/".join(names) or "baseline"


def arm_names(adata: AnnData) -> list[str]:
    """Arms of the object, sorted; a subject without an arm makes none."""
    return sorted(set(adata.obs["arm"].dropna().astype(str)) - {""})


def arm_order(adata: AnnData, reference: str | None) -> tuple[str, list[str]]:
    """Reference arm and the other arms, sorted.

    Raises
    ------
    AnalysisError
        The reference is not named by the call or the study, or is no arm.
    """
    arms = arm_names(adata)
    chosen = reference or adata.uns.get(UNS_STUDY, {}).get("reference_arm")
    if not chosen:
        raise AnalysisError("no reference arm is named", where="uns['study']['reference_arm']",
                            todo=f"name it: reference=... (arms: {', '.join(arms)})")  # fmt: skip
    if chosen not in arms:
        raise AnalysisError(f"{chosen!r} is no arm", where="reference", todo=f"one of: {', '.join(arms)}")
    return str(chosen), [arm for arm in arms if arm != chosen]


def statistic_row(**known: Any) -> dict[str, Any]:
    """One row with ``STATISTIC_COLUMNS``; what is not given is missing.

    ``status`` not given is ESTIMATED where there is an estimate or a p-value, else NOT_ESTIMABLE.
    """
    if unknown := set(known) - set(STATISTIC_COLUMNS):
        message = f"no column {sorted(unknown)} in a table of statistics"
        raise KeyError(message)
    row: dict[str, Any] = {
        name: "" if name in STATISTIC_TEXT else None if name in STATISTIC_COUNTS else NAN for name in STATISTIC_COLUMNS
    }
    row |= known
    if not row["status"]:
        row["status"] = NOT_ESTIMABLE if math.isnan(row["estimate"]) and math.isnan(row["p_value"]) else ESTIMATED
    return row


def statistic_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """A table of statistics with fixed columns and types."""
    import pandas as pd

    table = pd.DataFrame(rows, columns=list(STATISTIC_COLUMNS))
    numbers = [name for name in STATISTIC_COLUMNS if name not in STATISTIC_TEXT + STATISTIC_COUNTS]
    return table.astype(dict.fromkeys(numbers, "float64") | dict.fromkeys(STATISTIC_COUNTS, "Int64"))


def median(values: Floats) -> float:
    """Median of what was measured, NaN of nothing."""
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else NAN
