"""Values of the checks of one visit; their limits and meaning stand in resources/quality_checks.yaml."""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from immunoprofile.schema import ABS, ABS_BEAD, COUNTS, PARENT_COUNTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray

NAN = math.nan
FROZEN = "PBMC_FROZEN"
STAIN_CHECKS = {
    "WB_EDTA": "collection_to_stain", "WB_HEP": "collection_to_stain_heparin",
    "PBMC_FRESH": "collection_to_stain_pbmc_fresh", "PBMC_FROZEN": "collection_to_stain_pbmc_frozen",
}  # fmt: skip
WHOLE_BLOOD = ("WB_EDTA", "WB_HEP")
MANUAL_DIFFERENTIAL = 100
"""White cells that a person counts for a differential."""
BETWEEN_TUBES = ("t", "cd4", "cd8")


class Add(Protocol):
    """Adds one row to the table of checks."""

    def __call__(
        self,
        name: str,
        value: float,
        *,
        of: str = "",
        tube: str = "",
        sample_id: str = "",
        standard_error: float = 0.0,
        unknown_flag: str = "",
    ) -> None: ...


class TubeCounts:
    """Counts of one acquisition."""

    def __init__(self, tube: str, sample_id: str, rows: pd.DataFrame) -> None:
        self.tube, self.sample_id = tube, sample_id
        names = rows["population"].astype(str)
        self.n = dict(zip(names, rows["n"].astype(float), strict=True))
        self.n_parent = dict(zip(names, rows["n_parent"].astype(float), strict=True))
        parents = rows["parent"].astype(str) if "parent" in rows.columns else [""] * len(rows)
        self.parent = dict(zip(names, parents, strict=True))

    def share(self, population: str) -> float:
        """Per cent of the parent, NaN without one."""
        return _percent(self.n.get(population, NAN), self.n_parent.get(population, NAN))

    def has(self, *names: str) -> bool:
        """All of these populations were counted."""
        return all(name in self.n for name in names)


class Visit:
    """One row of the visits object with the counts of all its tubes."""

    def __init__(
        self,
        adata: AnnData,
        number: int,
        row: Mapping[str, Any],
        counts: pd.DataFrame | None,
        samples: Mapping[str, Mapping[str, Any]],
        *,
        received_il2: bool,
        layers: Mapping[str, NDArray[np.float64]],
    ) -> None:
        self.adata, self.number, self.row, self.samples = adata, number, row, samples
        self.received_il2, self.layers = received_il2, layers
        self.tubes: list[TubeCounts] = []
        if counts is not None:
            for (tube, sample_id), rows in counts.groupby(["tube", "sample_id"], sort=True, observed=True):
                self.tubes.append(TubeCounts(str(tube), str(sample_id), rows))

    def obs(self, name: str) -> float:
        """A number of obs, NaN when it is missing."""
        return float(self.row.get(name, NAN))

    def text(self, name: str) -> str:
        """A text of obs, empty when it is missing."""
        return str(self.row.get(name, ""))

    def layer(self, name: str, population: str) -> float:
        """A value of a layer, NaN when the layer or the population is missing."""
        if name not in self.layers or population not in self.adata.var_names:
            return NAN
        return float(self.layers[name][self.number, self.adata.var_names.get_loc(population)])

    @property
    def before_first_dose(self) -> bool:
        """The row is the baseline or lies before day 1."""
        return bool(self.row["baseline_flag"]) or self.obs("study_day") < 1

    def sample(self, sample_id: str, column: str) -> str:
        """Text of the samples table, empty when it is unknown."""
        return str(self.samples.get(sample_id, {}).get(column, ""))


def visit_rows(visit: Visit, add: Add) -> None:
    """All checks of one visit, in the order of the table of limits."""
    _sums(visit, add)
    _between_tubes(visit, add)
    _handling(visit, add)
    _amounts(visit, add)
    _concentrations(visit, add)
    if visit.received_il2 and not visit.before_first_dose:
        add("hours_since_il2", visit.obs("hours_since_last_il2"), unknown_flag="RECENT_IL2")
    _in_tubes(visit, add, "treg_foxp3", ("treg_foxp3",), lambda tube: tube.share("treg_foxp3"))
    _endpoints(visit, add)


def _in_tubes(visit: Visit, add: Add, name: str, needed: tuple[str, ...], value: Callable[[TubeCounts], float]) -> None:
    """The check in every tube that has what it needs; one row NOT_EVALUABLE when none has."""
    able = [tube for tube in visit.tubes if tube.has(*needed)]
    for tube in able:
        add(name, value(tube), tube=tube.tube, sample_id=tube.sample_id)
    if not able:
        add(name, NAN)


def _sums(visit: Visit, add: Add) -> None:
    def lymphosum(tube: TubeCounts) -> float:
        return _percent(tube.n["t"] + tube.n["b"] + tube.n["nk"], tube.n["lymphocytes"])

    def t_sum(tube: TubeCounts) -> float:
        # all three over the parent of CD3, usually the lymphocytes
        return abs(_percent(tube.n["cd4"] + tube.n["cd8"] - tube.n["t"], tube.n_parent["t"]))

    _in_tubes(visit, add, "lymphosum", ("t", "b", "nk", "lymphocytes"), lymphosum)
    _in_tubes(visit, add, "t_sum", ("t", "cd4", "cd8"), t_sum)


def _between_tubes(visit: Visit, add: Add) -> None:
    """Largest disagreement of two tubes that gate a population on the same parent; it is told of both tubes.

    Which of the two is wrong cannot be known, so neither is believed; the other tubes of the visit are not touched.
    """
    for population in BETWEEN_TUBES:
        able = [tube for tube in visit.tubes if tube.has(population) and not math.isnan(tube.share(population))]
        pairs = [(one, two) for one, two in combinations(able, 2) if one.parent[population] == two.parent[population]]
        if len(visit.tubes) < 2:
            continue  # a visit of one tube has nothing to compare
        worst, error = NAN, 0.0
        excess = -math.inf
        apart: tuple[TubeCounts, ...] = ()
        for one, two in pairs:
            difference = abs(one.share(population) - two.share(population))
            se = math.hypot(_share_error(one, population), _share_error(two, population))
            # the pair that is farthest outside its counting error decides
            if difference - 3 * se > excess:
                worst, error, excess = difference, se, difference - 3 * se
                apart = (one, two)
        for tube in apart:
            add(f"{population}_between_tubes", worst, tube=tube.tube, sample_id=tube.sample_id, standard_error=error)
        if not apart:
            add(f"{population}_between_tubes", NAN)


def _handling(visit: Visit, add: Add) -> None:
    """How the blood was handled: dead cells, doublets, flow, time to staining."""
    able = [tube for tube in visit.tubes if tube.has("live")]
    for tube in able:
        frozen = visit.sample(tube.sample_id, "specimen_type") == FROZEN
        name = "viability_frozen" if frozen else "viability_fresh"
        add(name, tube.share("live"), tube=tube.tube, sample_id=tube.sample_id)
    if not able:
        add("viability_fresh", NAN)
    _in_tubes(visit, add, "singlets", ("singlets",), lambda tube: tube.share("singlets"))
    for tube in visit.tubes:
        collected, stained = (visit.sample(tube.sample_id, name) for name in ("collected_dtc", "stained_dtc"))
        # every specimen has its own limits; of an unknown one nothing can be said
        name = STAIN_CHECKS.get(visit.sample(tube.sample_id, "specimen_type"), "")
        hours = hours_between(collected, stained) if name else NAN
        add(name or "collection_to_stain", hours, tube=tube.tube, sample_id=tube.sample_id)


def _amounts(visit: Visit, add: Add) -> None:
    _in_tubes(visit, add, "gated_lymphocytes", ("lymphocytes",), lambda tube: tube.n["lymphocytes"])
    if "n_beads" in visit.adata.obs and visit.adata.obs["n_beads"].notna().any():
        add("beads", visit.obs("n_beads"), unknown_flag="NO_BEADS")
    for tube in visit.tubes:
        if tube.has("beads") or visit.sample(tube.sample_id, "bead_lot"):
            run, expiry = (visit.sample(tube.sample_id, name) for name in ("acquired_dtc", "bead_expiry"))
            left = days_to_expiry(run, expiry)
            add("bead_expiry", left, tube=tube.tube, sample_id=tube.sample_id)


def _concentrations(visit: Visit, add: Add) -> None:
    parts = [visit.layer(ABS, name) for name in ("t", "b", "nk")]
    lymphocytes = visit.layer(ABS, "lymphocytes")
    add("abs_sum", _percent(sum(parts), lymphocytes))
    for name, population, column in (("bead_vs_cbc", "lymphocytes", "alc"), ("bead_vs_wbc", "leukocytes", "wbc")):
        # a template without a gate on all white cells has nothing to compare
        if name == "bead_vs_cbc" or population in visit.adata.var_names:
            blood = visit.obs(column)
            add(name, _percent(visit.layer(ABS_BEAD, population), blood),
                unknown_flag="NO_CBC" if math.isnan(blood) else "")  # fmt: skip
    _swap(visit, add)
    add("lymphocytes_plausible", lymphocytes)


def _swap(visit: Visit, add: Add) -> None:
    """Lymphocytes of the white cells by flow against the blood count: needs no beads, and no volume."""
    # a template without a gate on all white cells has nothing to compare
    for tube in (tube for tube in visit.tubes if tube.has("lymphocytes", "leukocytes")):
        specimen = visit.sample(tube.sample_id, "specimen_type")
        if specimen and specimen not in WHOLE_BLOOD:
            continue  # the granulocytes were taken away on purpose
        blood = _percent(visit.obs("alc"), visit.obs("wbc"))
        flow = _percent(tube.n["lymphocytes"], tube.n["leukocytes"]) if specimen else NAN
        share = min(max(blood / 100, 0.0), 1.0)
        manual = visit.text("cbc_differential") == "manual"
        error = 100 * math.sqrt(share * (1 - share) / MANUAL_DIFFERENTIAL) if manual else 0.0
        add("lymphocytes_vs_cbc", abs(flow - blood), tube=tube.tube, sample_id=tube.sample_id,
            standard_error=error, unknown_flag="NO_CBC" if math.isnan(blood) else "")  # fmt: skip


def _endpoints(visit: Visit, add: Add) -> None:
    var = visit.adata.var
    if "is_key" not in var:
        return
    for population in var.index[var["is_key"].to_numpy(dtype=bool)]:
        add("events", visit.layer(COUNTS, population), of=str(population))
        add("parent_events", visit.layer(PARENT_COUNTS, population), of=str(population))


def hours_between(start: str, end: str) -> float:
    """Hours from one ISO date and time to another; NaN when either has no time of day."""
    if "T" not in start or "T" not in end:
        return NAN
    first, last = np.datetime64(start), np.datetime64(end)
    return float((last - first) / np.timedelta64(1, "s")) / 3600


def days_to_expiry(run: str, expiry: str) -> float:
    """Days from one ISO date to another; NaN without a day of the run. A lot that names a month lasts to its end."""
    if len(run) < 10 or len(expiry) < 7:
        return NAN
    last = np.datetime64(expiry[:10], "D")
    if len(expiry) < 10:
        last = np.datetime64(expiry[:7], "M").astype("datetime64[M]") + np.timedelta64(1, "M")
        last = last.astype("datetime64[D]") - np.timedelta64(1, "D")
    return float((last - np.datetime64(run[:10], "D")) / np.timedelta64(1, "D"))


def _share_error(tube: TubeCounts, population: str) -> float:
    """Binomial standard error of a percentage, points; half an event keeps it above zero at 0 and 100 %."""
    total = tube.n_parent[population]
    share = (tube.n[population] + 0.5) / (total + 1)
    return 100 * math.sqrt(share * (1 - share) / total)


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole > 0 else NAN
