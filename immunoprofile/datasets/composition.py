"""What is in a tube: expected numbers of every cell type, and how many of them carry which marker."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from immunoprofile.datasets import parameters as par
from immunoprofile.datasets.cohort import Cohort, generator

DEBRIS_SHARE: Final = 0.05
DOUBLET_SHARE: Final = 0.035
DEAD_SHARE: Final = 0.04
"""Dead share of the cells in washed tubes; fresh whole blood in the counting tube has none to speak of."""
NK_CD8DIM_SHARE: Final = 0.35
MONOCYTE_CD16_SHARE: Final = 0.10
LEFT_AFTER_ENRICHMENT: Final = {"monocytes": 0.10, "granulocytes": 0.012}
"""Share that passes the acquisition gate on lymphocyte scatter of the washed tubes."""
ACTIVATED_TCONV: Final = (0.011, 0.010)
"""Share of conventional CD4 T cells that are activated: always, and added at the peak of IL-2."""
CONTROL_LYMPHOCYTE_FACTOR: Final = 2.2
"""The donor of the control aliquots is healthy; the patients are lymphopenic."""

Positive = tuple[tuple[str, ...], tuple[str, ...], float]
"""Classes, markers carried together, and the share of the classes that carries them."""


@dataclass(frozen=True)
class Composition:
    """A tube before it is run.

    Attributes
    ----------
    weights
        Class -> relative number of events.
    positive
        Shares that carry markers.
    log10_shift
        (class, marker) -> shift of the median, log10; what activation does.
    dead_share, doublet_share
        Shares of the cells.
    """

    weights: dict[str, float]
    positive: tuple[Positive, ...] = ()
    log10_shift: dict[tuple[str, str], float] = field(default_factory=dict)
    dead_share: float = DEAD_SHARE
    doublet_share: float = DOUBLET_SHARE


def _myeloid(per_ul: dict[str, float]) -> tuple[float, float]:
    return per_ul["monocytes"], per_ul["neutrophils"] + per_ul["eosinophils"]


def _count(per_ul: dict[str, float], share: dict[str, float], beads_per_ul: float) -> Composition:
    monocytes, granulocytes = _myeloid(per_ul)
    weights = {name: per_ul[name] for name in ("cd4", "cd8", "t_dn", "t_dp", "b", "other")}
    weights |= {
        "nk": per_ul["nk"] * (1 - NK_CD8DIM_SHARE),
        "nk_cd8": per_ul["nk"] * NK_CD8DIM_SHARE,
        "monocyte": monocytes * (1 - MONOCYTE_CD16_SHARE),
        "monocyte_cd16": monocytes * MONOCYTE_CD16_SHARE,
        "granulocyte": granulocytes,
    }
    weights["debris"] = DEBRIS_SHARE * sum(weights.values())
    weights["bead"] = beads_per_ul
    positive: Positive = (("cd4", "cd8", "t_dn"), ("CD16+CD56",), share["nkt_like"])
    return Composition(weights, (positive,), dead_share=0.0, doublet_share=0.02)


def _washed(per_ul: dict[str, float]) -> dict[str, float]:
    monocytes, granulocytes = _myeloid(per_ul)
    monocytes, granulocytes = (
        monocytes * LEFT_AFTER_ENRICHMENT["monocytes"],
        granulocytes * LEFT_AFTER_ENRICHMENT["granulocytes"],
    )
    weights = {name: per_ul[name] for name in ("t_dn", "t_dp", "b", "other")}
    weights |= {
        "monocyte": monocytes * (1 - MONOCYTE_CD16_SHARE),
        "monocyte_cd16": monocytes * MONOCYTE_CD16_SHARE,
        "granulocyte": granulocytes,
    }
    return weights


def _treg(per_ul: dict[str, float], share: dict[str, float], activation: float) -> Composition:
    cd4, treg = per_ul["cd4"], share["treg"]
    always, added = ACTIVATED_TCONV
    active = always + added * activation
    weights = _washed(per_ul) | {
        "treg": cd4 * treg,
        "tconv": cd4 * (1 - treg) * (1 - active),
        "tconv_act": cd4 * (1 - treg) * active,
        "cd8": per_ul["cd8"],
        "nk": per_ul["nk"],
    }
    weights["debris"] = DEBRIS_SHARE * sum(weights.values())
    naive, cycling = share["treg_naive"], share["treg_ki67"]
    positive: tuple[Positive, ...] = (
        (("treg",), ("CD45RA",), naive),
        (("treg",), ("FoxP3",), share["treg_foxp3"]),
        (("treg",), ("Ki-67",), cycling),
        (("tconv",), ("CD45RA",), share["tconv_cd45ra"]),
        (("tconv",), ("Ki-67",), 0.02),
        # Recently activated conventional cells look like Treg for a while: transient FoxP3, and the differentiation
        # and cycling that age, disease and IL-2 give to the Treg of that draw. Only CD25 and CD127 tell them apart,
        # and not well.
        (("tconv_act",), ("CD45RA",), naive),
        (("tconv_act",), ("FoxP3",), share["treg_foxp3"]),
        (("tconv_act",), ("Ki-67",), cycling),
        (("cd8", "nk"), ("CD45RA",), 0.60),
        (("b",), ("CD45RA",), 0.97),
        (("cd8", "nk"), ("Ki-67",), share["cd8_ki67"]),
    )
    shift = {("tconv", "CD25"): 0.05 * activation, ("treg", "CD25"): 0.06 * activation}
    return Composition(weights, positive, shift)


def _effector(per_ul: dict[str, float], share: dict[str, float]) -> Composition:
    bright = share["nk_bright"]
    weights = _washed(per_ul) | {
        "cd4": per_ul["cd4"],
        **{name: per_ul["cd8"] * share[name] for name in par.CD8_SUBSETS},
        "nk_bright": per_ul["nk"] * bright,
        "nk_dim": per_ul["nk"] * (1 - bright) * share["nk_dim"],
        "nk_cd56dim_cd16neg": per_ul["nk"] * (1 - bright) * (1 - share["nk_dim"]),
    }
    weights["debris"] = DEBRIS_SHARE * sum(weights.values())
    cd8 = tuple(par.CD8_SUBSETS)
    active = share["cd8_act"]
    positive: tuple[Positive, ...] = (
        (cd8, ("HLA-DR", "CD38"), active),
        (cd8, ("HLA-DR",), 0.06),
        (cd8, ("CD38",), 0.10),
        (("cd4",), ("HLA-DR",), 0.06),
        (("cd4", "cd8_em", "cd8_temra", "t_dn"), ("CD56",), share["nkt_like"] / (1 - 0.25 * share["nkt_like"])),
        (("cd8_em", "cd8_temra"), ("CD57",), 0.45),
        (("nk_dim",), ("CD57",), 0.45),
        (("cd4",), ("CCR7",), 0.55),
        (("cd4",), ("CD45RA",), 0.40),
    )
    return Composition(weights, positive)


def _tubes(
    per_ul: dict[str, float], share: dict[str, float], *, activation: float, beads_per_ul: float
) -> dict[str, Composition]:
    return {
        "count": _count(per_ul, share, beads_per_ul),
        "treg": _treg(per_ul, share, activation),
        "effector": _effector(per_ul, share),
    }


def compositions(cohort: Cohort, subject: int, visit: int, *, beads: bool = True) -> dict[str, Composition]:
    """Composition of the three tubes of one draw.

    Parameters
    ----------
    cohort
        The true state of all subjects.
    subject, visit
        Row of the subject, position of the visit in the schedule.
    beads
        False leaves the counting beads out.
    """
    per_ul = {name: float(value[subject, visit]) for name, value in cohort.per_ul.items()}
    share = {name: float(value[subject, visit]) for name, value in cohort.share.items()}
    treg = next(quantity for quantity in par.PROPORTIONS if quantity.name == "treg")
    activation = treg.il2_course(par.VISIT_DAYS[visit]) if cohort.responds[subject] else 0.0
    noise = generator(cohort.seed, 6, subject, visit).standard_normal()
    pipetted = float(np.exp(par.PIPETTING_SD * noise))
    beads_per_ul = par.BEADS_PER_TUBE / par.BLOOD_VOLUME_UL / pipetted if beads else 0.0
    return _tubes(per_ul, share, activation=activation, beads_per_ul=beads_per_ul)


def control_compositions() -> dict[str, Composition]:
    """Composition of the three tubes of a control aliquot: one stabilised donor, the same in every batch."""
    per_ul = {quantity.name: quantity.baseline for quantity in par.CONCENTRATIONS}
    rest = per_ul.pop("rest")
    per_ul |= {name: rest * part for name, part in par.REST_SHARES.items()}
    per_ul = {name: CONTROL_LYMPHOCYTE_FACTOR * value for name, value in per_ul.items()}
    per_ul |= {
        "neutrophils": par.GRANULOCYTES[0],
        "monocytes": par.MONOCYTES[0],
        "eosinophils": par.EOSINOPHILS[0],
    }
    share = {quantity.name: quantity.baseline / 100 for quantity in par.PROPORTIONS} | par.CD8_SUBSETS
    return _tubes(per_ul, share, activation=0.0, beads_per_ul=par.BEADS_PER_TUBE / par.BLOOD_VOLUME_UL)
