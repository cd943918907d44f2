"""The synthetic trial without FCS files: the visits object with counting noise, for simulations by the thousand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from immunoprofile import schema
from immunoprofile.datasets import parameters as par
from immunoprofile.datasets.cohort import Cohort, Effect, FloatArray, generator, simulate_cohort, true_effects
from immunoprofile.resources import populations

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class _Population:
    name: str
    parent: str
    tube: str
    anchor: str


_POPULATIONS: Final = (
    _Population("lymphocytes", "leukocytes", "count", "lymphocytes"),
    _Population("b", "lymphocytes", "count", "b"),
    _Population("t", "lymphocytes", "count", "t"),
    _Population("nk", "lymphocytes", "count", "nk"),
    _Population("cd4", "t", "count", "cd4"),
    _Population("cd8", "t", "count", "cd8"),
    _Population("t_dn", "t", "count", "t_dn"),
    _Population("t_dp", "t", "count", "t_dp"),
    _Population("treg", "cd4", "treg", "cd4"),
    _Population("tconv", "cd4", "treg", "cd4"),
    _Population("treg_foxp3", "treg", "treg", "cd4"),
    _Population("treg_naive", "treg", "treg", "cd4"),
    _Population("treg_mem", "treg", "treg", "cd4"),
    _Population("treg_ki67", "treg", "treg", "cd4"),
    _Population("cd8_naive", "cd8", "effector", "cd8"),
    _Population("cd8_cm", "cd8", "effector", "cd8"),
    _Population("cd8_em", "cd8", "effector", "cd8"),
    _Population("cd8_temra", "cd8", "effector", "cd8"),
    _Population("cd8_act", "cd8", "effector", "cd8"),
    _Population("nkt_like", "t", "effector", "t"),
    _Population("nk_bright", "nk", "effector", "nk"),
    _Population("nk_dim", "nk", "effector", "nk"),
)
_KEY: Final = ("treg", "nk", "cd8")
_VAR: Final = pd.DataFrame(
    {
        "display": [populations()[p.name].display for p in _POPULATIONS],
        "parent": [p.parent for p in _POPULATIONS],
        "tube": [p.tube for p in _POPULATIONS],
        "abs_anchor": [p.anchor for p in _POPULATIONS],
        "is_key": [p.name in _KEY for p in _POPULATIONS],
    },
    index=pd.Index([p.name for p in _POPULATIONS]),
)

Counts = dict[str, npt.NDArray[np.int64]]


def _partition(total: npt.NDArray[np.int64], parts: dict[str, FloatArray], rng: np.random.Generator) -> Counts:
    """Multinomial split of ``total`` by weights, as successive binomials: the parts add up exactly."""
    left, weight = total, np.sum(list(parts.values()), axis=0)
    counts: Counts = {}
    for name, value in list(parts.items())[:-1]:
        counts[name] = rng.binomial(left, np.clip(value / weight, 0, 1))
        left, weight = left - counts[name], np.maximum(weight - value, 1e-12)
    counts[list(parts)[-1]] = left
    return counts


def _lineages(per_ul: dict[str, FloatArray], lymphocytes: int, rng: np.random.Generator) -> Counts:
    """Counts of the lineages in one tube; the number of lymphocytes varies from tube to tube."""
    names = ("cd4", "cd8", "t_dn", "t_dp", "b", "nk", "other")
    total = rng.poisson(lymphocytes, per_ul["cd4"].shape)
    counts = _partition(total, {name: per_ul[name] for name in names}, rng)
    counts["lymphocytes"] = total
    counts["t"] = counts["cd4"] + counts["cd8"] + counts["t_dn"] + counts["t_dp"]
    return counts


def _tube_counts(
    per_ul: dict[str, FloatArray], share: dict[str, FloatArray], lymphocytes: int, rng: np.random.Generator
) -> dict[str, Counts]:
    count = _lineages(per_ul, lymphocytes, rng)
    others = (per_ul["leukocytes"] - per_ul["lymphocytes"]) / per_ul["lymphocytes"]
    count["leukocytes"] = count["lymphocytes"] + rng.poisson(count["lymphocytes"] * others)

    treg = _lineages(per_ul, lymphocytes, rng)
    treg |= _partition(treg["cd4"], {"treg": share["treg"], "tconv": 1 - share["treg"]}, rng)
    treg |= _partition(treg["treg"], {"treg_naive": share["treg_naive"], "treg_mem": 1 - share["treg_naive"]}, rng)
    for name in ("treg_foxp3", "treg_ki67"):
        treg[name] = rng.binomial(treg["treg"], share[name])

    effector = _lineages(per_ul, lymphocytes, rng)
    effector |= _partition(effector["cd8"], {name: share[name] for name in par.CD8_SUBSETS}, rng)
    effector["cd8_act"] = rng.binomial(effector["cd8"], share["cd8_act"])
    effector["nkt_like"] = rng.binomial(effector["t"], share["nkt_like"])
    not_bright = 1 - share["nk_bright"]
    parts = {
        "nk_bright": share["nk_bright"],
        "nk_dim": not_bright * share["nk_dim"],
        "nk_cd56dim_cd16neg": not_bright * (1 - share["nk_dim"]),
    }
    effector |= _partition(effector["nk"], parts, rng)
    return {"count": count, "treg": treg, "effector": effector}


def _virology_columns(cohort: Cohort, chosen: list[int]) -> dict[str, object]:
    """Columns ``cmv_*`` of obs; results below the LLOQ are left-censored at it, whether detected or not."""
    lloq = np.log10(par.CMV_LLOQ)
    virology = cohort.virology
    kind = virology.kind[:, chosen]
    log10 = np.log10(virology.value[:, chosen])
    quant, below = kind == "QUANT", (kind == "BLQ") | (kind == "TND")
    base_kind, base = virology.kind[:, :1], np.log10(virology.value[:, :1])
    drop = base - log10
    at_least = np.where(below & (base_kind == "QUANT"), base - lloq, np.nan)
    at_most = np.where((base_kind != "QUANT") & quant, lloq - log10, np.nan)
    words = {"BLQ": f"<{par.CMV_LLOQ:.0f}", "TND": "not detected", "MISSED": None}
    reported = zip(kind.ravel().tolist(), virology.value[:, chosen].ravel().tolist(), strict=True)
    raw = [words.get(name, f"{value:.0f}") for name, value in reported]
    return {
        "cmv_kind": [None if name == "MISSED" else name for name in kind.ravel().tolist()],
        "cmv_raw": raw,
        "cmv_unit": np.repeat(par.CMV_UNIT, kind.size),
        "cmv_log10": log10.ravel(),
        "cmv_lower": log10.ravel(),
        "cmv_upper": np.where(below, lloq, log10).ravel(),
        "cmv_drop": drop.ravel(),
        "cmv_drop_lower": np.where(np.isnan(drop), at_least, drop).ravel(),
        "cmv_drop_upper": np.where(np.isnan(drop), at_most, drop).ravel(),
    }


def il2_cmv_counts(
    *, subjects: int = 10, visits: int = 5, seed: int = 2020, effect: Effect = "il2", lymphocytes: int = 8000
) -> AnnData:
    """Simulate the trial at the level of counts: the visits object without FCS files.

    Populations, effects and CMV-DNA are those of `il2_cmv`; gating is replaced by multinomial counting noise, counting
    beads by Poisson noise and 3 % pipetting error.

    Parameters
    ----------
    subjects
        Number of subjects, at least 2.
    visits
        Number of visits with flow cytometry, 2 to 7: BL, D14, D28, D7, W8, W6, D21 in this priority.
    seed
        Same seed, same object.
    effect
        ``none`` switches the effect of IL-2 off.
    lymphocytes
        Expected number of lymphocytes acquired per tube.

    Returns
    -------
    subjects x visits rows, populations as columns. ``X`` is the percentage of the parent (0-100); layers ``counts``,
    ``parent_counts`` and ``abs`` (cells/uL); ``obs`` as in the schema, with CMV-DNA bounds on the log10 scale;
    ``uns['truth']`` the true arm effects (`immunoprofile.datasets.cohort.true_effects`).

    Raises
    ------
    ValueError
        A number out of range or an unknown effect.
    """
    from anndata import AnnData

    names = par.flow_visits(visits)
    if lymphocytes < 1:
        msg = f"lymphocytes must be at least 1, not {lymphocytes}"
        raise ValueError(msg)
    cohort = simulate_cohort(subjects, seed=seed, effect=effect)
    chosen = [par.VISIT_NAMES.index(name) for name in names]
    per_ul = {name: value[:, chosen] for name, value in cohort.per_ul.items()}
    share = {name: value[:, chosen] for name, value in cohort.share.items()}
    rng = generator(seed, 5)
    tubes = _tube_counts(per_ul, share, lymphocytes, rng)

    beads_per_ul = par.BEADS_PER_TUBE / par.BLOOD_VOLUME_UL
    pipetted = np.exp(par.PIPETTING_SD * rng.standard_normal(per_ul["t"].shape))
    expected_beads = tubes["count"]["lymphocytes"] * beads_per_ul / (per_ul["lymphocytes"] * pipetted)
    beads = np.maximum(rng.poisson(expected_beads), 1)

    shape = (subjects * len(names), len(_POPULATIONS))
    counts, parents, absolute = np.empty(shape), np.empty(shape), np.empty(shape)
    for j, population in enumerate(_POPULATIONS):
        tube = tubes[population.tube]
        counts[:, j] = tube[population.name].ravel()
        parents[:, j] = tube[population.parent].ravel()
        anchor = (tubes["count"][population.anchor] / beads * beads_per_ul).ravel()
        anchored = tube[population.anchor].ravel()
        with np.errstate(invalid="ignore", divide="ignore"):
            bridged = anchor if population.tube == "count" else anchor * counts[:, j] / anchored
        absolute[:, j] = np.where(anchored > 0, bridged, np.where(anchor == 0, 0.0, np.nan))
    percentage = np.divide(100 * counts, parents, out=np.full(shape, np.nan), where=parents > 0)

    day = np.array(par.VISIT_DAYS)[chosen]
    obs = pd.DataFrame(
        {
            "usubjid": np.repeat(cohort.usubjid, len(names)),
            "visit": pd.Categorical(list(names) * subjects, categories=list(names), ordered=True),
            "visitnum": np.tile([par.SCHEDULE[i][1] for i in chosen], subjects),
            "study_day": pd.array(np.tile(day, subjects), dtype="Int64"),
            "virology_day": pd.array(np.tile(day - 1, subjects), dtype="Int64"),
            "arm": np.repeat(cohort.arm, len(names)),
            "specimen_type": "WB_EDTA",
            "baseline_flag": pd.array(np.tile(day == 1, subjects), dtype="boolean"),
            "qc_status": "PASS",
            "flags": "SYNTHETIC_DATA",
            "abs_method": "bead",
            "n_beads": beads.ravel().astype(float),
            "beads_per_tube": par.BEADS_PER_TUBE,
            "blood_volume_ul": par.BLOOD_VOLUME_UL,
            "dilution": 1.0,
            **_virology_columns(cohort, chosen),
        }
    )
    obs.index = pd.Index(obs["usubjid"] + "_" + obs["visit"].astype(str))
    visits_object = AnnData(
        X=percentage,
        obs=obs,
        var=_VAR.copy(),
        layers={schema.COUNTS: counts, schema.PARENT_COUNTS: parents, schema.ABS: absolute},
    )
    measured = set(_VAR.index)
    truth = true_effects(effect)
    keep = truth["population"].isin(measured) & truth["visit"].isin(names)
    # per cent of NK cells that are not bright is the latent quantity, not per cent of the parent
    keep &= truth["population"] != "nk_dim"
    visits_object.uns[schema.UNS_TRUTH] = truth[keep].reset_index(drop=True)
    return visits_object
