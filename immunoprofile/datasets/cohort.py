"""The subjects of the synthetic trial: true populations and CMV-DNA at every visit, before any cell is counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from immunoprofile.datasets import parameters as par

Effect = Literal["il2", "none"]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

LOG10_2: Final = 0.30103
CMV_DETECTION_SLOPE: Final = 3.0
"""Poisson sampling of DNA copies: a concentration at the LOD is detected in 1 - exp(-3) = 95 % of runs."""


@dataclass(frozen=True)
class Virology:
    """CMV-DNA of a cohort; arrays are subjects x visits unless said otherwise, log10 IU/mL.

    ``kind`` is QUANT, BLQ, TND or MISSED; ``value`` is the reported IU/mL (three significant digits), NaN unless
    QUANT; ``half_life_d``, ``hump`` and ``rebound`` are per subject.
    """

    true_log10: FloatArray
    kind: npt.NDArray[np.str_]
    value: FloatArray
    half_life_d: FloatArray
    hump: BoolArray
    rebound: BoolArray


@dataclass(frozen=True)
class Cohort:
    """True state of all subjects at all visits of the schedule.

    Attributes
    ----------
    seed, effect
        What it was made from.
    arm
        Arm code of each subject.
    per_ul
        Population -> cells/uL, subjects x visits.
    share
        Population -> share of its parent (0-1), subjects x visits; parents as in ``parameters``.
    virology
        CMV-DNA.
    """

    seed: int
    effect: Effect
    arm: npt.NDArray[np.str_]
    per_ul: dict[str, FloatArray]
    share: dict[str, FloatArray]
    virology: Virology

    @property
    def n_subjects(self) -> int:
        """Number of subjects."""
        return len(self.arm)

    @property
    def usubjid(self) -> list[str]:
        """Subject ids; two sites take turns."""
        return [f"{par.STUDY_ID}-{1 + i % 2:02d}-{1 + i // 2:03d}" for i in range(self.n_subjects)]

    @property
    def responds(self) -> BoolArray:
        """Subjects whose cells and virus feel IL-2."""
        return np.asarray((self.arm == par.TREATED) & (self.effect == "il2"), dtype=np.bool_)


def generator(seed: int, *path: int) -> np.random.Generator:
    """Random generator of one part of the trial; parts do not disturb one another."""
    return np.random.default_rng(np.random.SeedSequence([seed, *path]))


def randomise(subjects: int, rng: np.random.Generator) -> npt.NDArray[np.str_]:
    """Permuted blocks of four; a last block of two or three keeps the arms within one of each other."""
    arms: list[str] = []
    while len(arms) < subjects:
        size = min(4, subjects - len(arms))
        first, second = (par.TREATED, par.REFERENCE) if rng.random() < 0.5 else (par.REFERENCE, par.TREATED)
        block = [first] * ((size + 1) // 2) + [second] * (size // 2)
        arms += [block[i] for i in rng.permutation(size)]
    return np.array(arms)


def _course(quantity: par.Quantity, responds: BoolArray) -> FloatArray:
    """Shift from baseline on the analysis scale, subjects x visits."""
    common = np.array([par.gcv_course(day) for day in par.VISIT_DAYS]) * quantity.shift(quantity.gcv)
    extra = np.array([quantity.il2_course(day) for day in par.VISIT_DAYS])
    extra = extra * (quantity.shift(quantity.il2) - quantity.shift(quantity.gcv))
    return common + responds[:, None] * extra


def _expit(x: FloatArray) -> FloatArray:
    out: FloatArray = 1 / (1 + np.exp(-x))
    return out


def _softmax(logits: FloatArray) -> FloatArray:
    weights = np.exp(logits)
    out: FloatArray = weights / weights.sum(axis=-1, keepdims=True)
    return out


def _concentrations(responds: BoolArray, rng: np.random.Generator) -> dict[str, FloatArray]:
    n, v = len(responds), len(par.VISIT_DAYS)
    shared = par.SHARED_SD * rng.standard_normal((n, 1)) + par.SHARED_RESIDUAL_SD * rng.standard_normal((n, v))
    own_residual = np.sqrt(par.RESIDUAL_SD**2 - par.SHARED_RESIDUAL_SD**2)
    per_ul: dict[str, FloatArray] = {}
    for quantity in par.CONCENTRATIONS:
        own = np.sqrt(quantity.sd**2 - par.SHARED_SD**2) * rng.standard_normal((n, 1))
        noise = own_residual * rng.standard_normal((n, v))
        per_ul[quantity.name] = np.exp(quantity.location + shared + own + noise + _course(quantity, responds))
    rest = per_ul.pop("rest")
    logits = np.log(list(par.REST_SHARES.values())) + par.REST_SHARE_SD * rng.standard_normal((n, 1, 4))
    for i, name in enumerate(par.REST_SHARES):
        per_ul[name] = rest * _softmax(logits)[..., i]
    per_ul["t"] = per_ul["cd4"] + per_ul["cd8"] + per_ul["t_dn"] + per_ul["t_dp"]
    per_ul["lymphocytes"] = per_ul["t"] + per_ul["b"] + per_ul["nk"] + per_ul["other"]

    # ganciclovir lowers neutrophils in both arms; IL-2 raises eosinophils where it has an effect; none is an endpoint
    myeloid = {"neutrophils": par.GRANULOCYTES, "monocytes": par.MONOCYTES, "eosinophils": par.EOSINOPHILS}
    for name, (median, sd) in myeloid.items():
        logs = np.log(median) + sd * rng.standard_normal((n, 1)) + 0.12 * rng.standard_normal((n, v))
        per_ul[name] = np.exp(logs)
    common = np.array([par.gcv_course(day) for day in par.VISIT_DAYS])
    il2 = np.array([par.CONCENTRATIONS[0].il2_course(day) for day in par.VISIT_DAYS])
    per_ul["neutrophils"] *= par.GCV_NEUTROPHIL_FACTOR**common
    per_ul["eosinophils"] *= np.where(responds[:, None], par.IL2_EOSINOPHIL_FACTOR**il2, 1.0)
    per_ul["leukocytes"] = per_ul["lymphocytes"] + sum(per_ul[name] for name in myeloid)
    return per_ul


def _logits(quantity: par.Quantity, responds: BoolArray, rng: np.random.Generator) -> FloatArray:
    n, v = len(responds), len(par.VISIT_DAYS)
    own = quantity.scale_sd * rng.standard_normal((n, 1))
    noise = par.RESIDUAL_SD * rng.standard_normal((n, v))
    logits: FloatArray = quantity.location + own + noise + _course(quantity, responds)
    return logits


def _proportions(responds: BoolArray, viral_excess: FloatArray, rng: np.random.Generator) -> dict[str, FloatArray]:
    n, v = len(responds), len(par.VISIT_DAYS)
    share: dict[str, FloatArray] = {}
    for quantity in par.PROPORTIONS:
        logits = _logits(quantity, responds, rng)
        if quantity.name == "cd8_act":
            logits = logits + par.ACTIVATION_PER_LOG10 * viral_excess
        share[quantity.name] = _expit(logits)
    base = np.log(list(par.CD8_SUBSETS.values())) + par.CD8_SUBSET_SD * rng.standard_normal((n, 1, 4))
    subsets = _softmax(base + par.CD8_SUBSET_RESIDUAL * rng.standard_normal((n, v, 4)))
    share |= {name: subsets[..., i] for i, name in enumerate(par.CD8_SUBSETS)}
    return share


def _true_load(
    day: FloatArray, start: FloatArray, half_life: FloatArray, hump: BoolArray, rebound: BoolArray
) -> FloatArray:
    """log10 IU/mL on virology days (day 0 = first ganciclovir), subjects x days."""
    load = start[:, None] - LOG10_2 / half_life[:, None] * np.maximum(day, 0)
    tent = np.clip(1 - np.abs(day - 6) / 6, 0, 1)
    load = load + hump[:, None] * par.CMV_HUMP_LOG10 * tent
    again = np.maximum(day - par.CMV_REBOUND_START_D, 0)
    nadir = start[:, None] - LOG10_2 / half_life[:, None] * par.CMV_REBOUND_START_D
    rise = np.maximum(nadir, 1.0) + LOG10_2 / par.CMV_REBOUND_DOUBLING_D * again
    out: FloatArray = np.where(rebound[:, None] & (again > 0), np.minimum(rise, start[:, None]), load)
    return out


def _virology(arm: npt.NDArray[np.str_], responds: BoolArray, rng: np.random.Generator) -> tuple[Virology, FloatArray]:
    """CMV-DNA, and how far the load a week before exceeds the typical course of the arm (from baseline, log10)."""
    n, days = len(arm), np.array(par.VISIT_DAYS, dtype=float) - 1
    mean, sd = par.CMV_BASELINE
    start = mean + sd * rng.standard_normal(n)
    while (low := start <= par.CMV_ENTRY_LOG10).any():
        start[low] = mean + sd * rng.standard_normal(int(low.sum()))
    typical = np.where(responds, par.CMV_HALF_LIFE_D[par.TREATED], par.CMV_HALF_LIFE_D[par.REFERENCE])
    half_life = typical * np.exp(par.CMV_HALF_LIFE_LOG_SD * rng.standard_normal(n))
    hump = rng.random(n) < par.CMV_HUMP_SHARE
    rebound = rng.random(n) < par.CMV_REBOUND_SHARE

    true = _true_load(days, start, half_life, hump, rebound)
    measured = 10 ** (true + par.CMV_RESIDUAL_SD * rng.standard_normal(true.shape))
    measured[:, 0] = np.maximum(measured[:, 0], par.CMV_ENTRY_IU)
    digits = 10.0 ** (np.floor(np.log10(measured)) - 2)
    reported = np.round(measured / digits) * digits
    detected = rng.random(true.shape) < -np.expm1(-CMV_DETECTION_SLOPE * measured / par.CMV_LOD)
    kind = np.where(reported >= par.CMV_LLOQ, "QUANT", np.where(detected, "BLQ", "TND"))
    missed = rng.random(true.shape) < par.CMV_MISSED_SHARE
    missed[:, 0] = False
    kind = np.where(missed, "MISSED", kind)
    value = np.where(kind == "QUANT", reported, np.nan)

    nobody = np.zeros(n, dtype=bool)
    week_before = np.maximum(days - 7, 0)
    lagged = _true_load(week_before, start, half_life, hump, rebound)
    usual = _true_load(week_before, start, typical, nobody, nobody)
    return Virology(true, kind, value, half_life, hump, rebound), lagged - usual


def simulate_cohort(subjects: int = 10, *, seed: int = 2020, effect: Effect = "il2") -> Cohort:
    """Draw subjects, their true populations and their CMV-DNA.

    Parameters
    ----------
    subjects
        Number of subjects, at least 2; two arms in permuted blocks of four.
    seed
        Same seed, same cohort.
    effect
        ``none`` switches the effect of IL-2 on populations and on the half-life of the virus off.

    Returns
    -------
    The cohort at the seven visits of ``parameters.SCHEDULE``.

    Raises
    ------
    ValueError
        Fewer than 2 subjects, or an unknown effect.
    """
    if subjects < 2:
        msg = f"subjects must be at least 2, not {subjects}"
        raise ValueError(msg)
    if effect not in ("il2", "none"):
        msg = f"effect must be 'il2' or 'none', not {effect!r}"
        raise ValueError(msg)
    arm = randomise(subjects, generator(seed, 1))
    responds = (arm == par.TREATED) & (effect == "il2")
    virology, viral_excess = _virology(arm, responds, generator(seed, 2))
    per_ul = _concentrations(responds, generator(seed, 3))
    share = _proportions(responds, viral_excess, generator(seed, 4))
    share[par.CMV_SPECIFIC.name] = _expit(_logits(par.CMV_SPECIFIC, responds, generator(seed, 15)))
    return Cohort(seed, effect, arm, per_ul, share, virology)


def _truth_rows(effect: Effect) -> Iterator[dict[str, object]]:
    quantities = [(q, "abs", "") for q in par.CONCENTRATIONS if q.name != "rest"]
    shares = (*par.PROPORTIONS, par.CMV_SPECIFIC)
    quantities += [(q, "pct_parent", par.PARENT_OF_PROPORTION.get(q.name, "")) for q in shares]
    for quantity, measure, parent in quantities:
        for visit, _, day in par.SCHEDULE:
            peak = quantity.shift(quantity.il2) - quantity.shift(quantity.gcv)
            shift = peak * quantity.il2_course(day) if effect == "il2" else 0.0
            yield {
                "population": quantity.name,
                "parent": parent,
                "measure": measure,
                "visit": visit,
                "scale": quantity.scale,
                "effect": shift,
                "reference_change": par.gcv_course(day) * quantity.shift(quantity.gcv),
            }


def true_effects(effect: Effect) -> pd.DataFrame:
    """Declared truth: what IL-2 adds to the change from baseline, per population, measure and visit.

    Returns
    -------
    Columns population, parent, measure (``abs`` or ``pct_parent``), visit, scale (``log`` or ``logit``: natural),
    effect (IL2_GCV minus GCV on that scale) and reference_change (change from baseline in GCV on that scale).
    """
    return pd.DataFrame(list(_truth_rows(effect)))
