"""The cells of the made-up trial: what a visit counts, the visits object, counts and checks of its tubes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

from immunoprofile import schema
from immunoprofile.gate.cut_shifts import COLUMNS, RUNS, signs
from immunoprofile.pp import gate_spread
from tests.fake_profile.trial import DISPLAY, FLOW, POPULATIONS, SHAPE, TREATED, Patient

WBC = 3400.0


@dataclass(frozen=True)
class Body:
    """What the cells of a patient are without treatment: cells/uL, per cent, and the shares of the CD8 subsets."""

    base: dict[str, float]
    mix: np.ndarray


def body(rng: np.random.Generator) -> Body:
    spread = {"lymphocytes": (850, 0.4), "nk": (90, 0.5), "cd4": (260, 0.45), "cd8": (330, 0.45), "treg": (5.0, 0.35),
              "nk_bright": (9, 0.35), "cd8_act": (18, 0.4)}  # fmt: skip
    base = {name: middle * math.exp(rng.normal(0, sd)) for name, (middle, sd) in spread.items()}
    return Body(base, rng.dirichlet((4, 1, 4, 3)))


@dataclass
class Counted:
    """One row of the visits object: events, per cent of the parent, and every layer, by population."""

    events: dict[str, float]
    x: dict[str, float] = field(default_factory=dict)
    layers: dict[str, dict[str, float]] = field(default_factory=lambda: {name: {} for name in schema.VISIT_LAYERS})


def counted(patient: Patient, visit: str, of: Body, rng: np.random.Generator) -> Counted:
    """Counts of a visit with its warts: a truncated file, no beads, few lymphocytes, no NK bright cells."""
    truth = {}
    for name, value in of.base.items():
        factor = TREATED.get(name, 1.3) if patient.arm == "IL2_GCV" else 1.05
        truth[name] = value * factor ** SHAPE[visit] * math.exp(rng.normal(0, 0.15))
    truth["t"] = (truth["cd4"] + truth["cd8"]) * 1.06
    truth["b"] = 60.0
    truth["lymphocytes"] = truth["t"] + truth["nk"] + truth["b"]
    absolute = {name: truth[name] for name in ("lymphocytes", "t", "b", "cd4", "cd8", "nk")}
    fraction = {
        "lymphocytes": truth["lymphocytes"] / WBC,
        **{name: truth[name] / truth["lymphocytes"] for name in ("t", "b", "nk")},
        **{name: truth[name] / truth["t"] for name in ("cd4", "cd8")},
        "treg": min(truth["treg"], 40) / 100,
        "treg_foxp3": 0.85 if not (patient.number == 6 and visit == "D14") else 0.4,
        "nk_bright": min(truth["nk_bright"], 60) / 100,
        "cd8_act": min(truth["cd8_act"], 80) / 100,
        **dict(zip(("cd8_naive", "cd8_cm", "cd8_em", "cd8_temra"), of.mix, strict=True)),
    }
    found = Counted({"leukocytes": 18000.0 if patient.number == 2 else 60000.0})
    events, x, line = found.events, found.x, found.layers
    for name, (parent, tube, _, anchor) in POPULATIONS.items():
        absent = (patient.truncated(visit) and tube == "effector") or (patient.number == 9 and name == "cd8_act")
        total = events.get(parent, math.nan)
        n = float(rng.binomial(int(total), fraction[name])) if not absent else math.nan
        if name == "cd8_temra" and not absent:  # the quadrants partition CD8
            n = total - events["cd8_naive"] - events["cd8_cm"] - events["cd8_em"]
        if patient.number == 7 and visit == "W8" and name == "nk_bright":
            n = 0.0
        events[name] = n
        x[name] = 100 * n / total if total else math.nan
        low, high = _wilson(n, total) if total and not math.isnan(n) else (math.nan, math.nan)
        value = absolute.get(name, math.nan)
        if name not in absolute:
            value = absolute.get(parent, line["abs"].get(parent, math.nan)) * x[name] / 100
        if patient.number == 5:  # neither beads nor blood count
            value = math.nan
        cv = math.sqrt(1 / max(n, 1) + 1 / 5000 + 0.03**2) if not math.isnan(n) else math.nan
        layers = {
            "counts": n, "parent_counts": total, "pct_lymphocytes": 100 * n / events["lymphocytes"],
            "pct_leukocytes": 100 * n / events["leukocytes"], "pct_parent_lower": low, "pct_parent_upper": high,
            "abs": value, "abs_cv": 100 * cv, "abs_lower": value * math.exp(-1.96 * cv),
            "abs_upper": value * math.exp(1.96 * cv), "abs_bead": math.nan if patient.no_beads(visit) else value,
            "abs_dual": value * 1.04, "low_events": math.nan if math.isnan(n) else float(0 < n < 100),
            "anchor_counts": events.get(anchor, math.nan), "background_counts": math.nan,
            "background_parent_counts": math.nan,
        }  # fmt: skip
        for layer, number in layers.items():
            line[layer][name] = number
    return found


def _wilson(k: float, n: float) -> tuple[float, float]:
    z = 1.959964
    centre = (k + z * z / 2) / (n + z * z)
    half = z * math.sqrt(k * (n - k) / n + z * z / 4) / (n + z * z)
    return 100 * (centre - half), 100 * (centre + half)


def flags_of(patient: Patient, visit: str, found: Counted, *, synthetic: bool) -> list[str]:
    raised = {
        "LOW_EVENTS": any(value == 1 for value in found.layers["low_events"].values()),
        "FLOW_RATE": bool(patient.failed_tube(visit)),
        "TUBE_MISSING": patient.truncated(visit),
        "NO_BEADS": patient.no_beads(visit),
        "SYNTHETIC_DATA": synthetic,
        "RECENT_IL2": patient.arm == "IL2_GCV" and visit == "D7",
    }
    return [name for name, on in raised.items() if on]


def obs_row(patient: Patient, visit: str, flags: list[str], pcr: dict[str, Any]) -> dict[str, Any]:
    study_day, number = FLOW[visit], patient.number
    status = "FAIL" if patient.failed_tube(visit) else "WARN" if flags else "PASS"
    return {
        "usubjid": patient.subject, "visit": visit, "visitnum": float(list(FLOW).index(visit) + 1),
        "study_day": study_day, "virology_day": study_day, "arm": patient.arm, "specimen_type": "WB_EDTA",
        "collected_dtc": patient.day(study_day - 1) + "T08:30", "baseline_flag": visit == "BL", "qc_status": status,
        "flags": " ".join(flags), "abs_method": "none" if number == 5 else "dual_lymph" if number == 4 else "bead",
        "hours_since_last_il2": 23.0 if patient.arm == "IL2_GCV" and visit != "BL" else math.nan,
        "hours_since_last_steroid": 20.0, "cmv_kind": pcr["kind"], "cmv_raw": pcr["result_raw"],
        "cmv_unit": "IU/mL", "cmv_log10": pcr["log10_value"], "cmv_lower": pcr["log10_lower"],
        "cmv_upper": pcr["log10_upper"], "cmv_drop": pcr["log10_drop"], "cmv_drop_lower": pcr["log10_drop_lower"],
        "cmv_drop_upper": pcr["log10_drop_upper"], "alc": 850.0, "wbc": WBC,
    }  # fmt: skip


def check_rows(
    patient: Patient, visit: str, tube: str, sample_id: str, found: Counted, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Checks of a tube."""
    lymphocytes, failed = found.events["lymphocytes"], tube == patient.failed_tube(visit)
    checks = [
        ("viability", 94.0 + rng.normal(0, 1), "%", ">= 90", "PASS", ""),
        ("singlets", 92.0 + rng.normal(0, 1), "%", ">= 85", "PASS", ""),
        ("lymphocytes acquired", lymphocytes, "events", ">= 10,000", "WARN" if lymphocytes < 10000 else "PASS", ""),
        ("time gate loss", 41.0 if failed else 1.0, "%", "<= 10", "FAIL" if failed else "PASS",
         "FLOW_RATE" if failed else ""),
        ("compensation", math.nan, "", "keyword", "PASS", ""),
    ]  # fmt: skip
    place = (patient.subject, visit, tube, sample_id)
    return [dict(zip(schema.QUALITY_COLUMNS, (*place, *check), strict=True)) for check in checks]


def lymphosum_row(patient: Patient, visit: str) -> dict[str, Any]:
    row = (patient.subject, visit, None, None, "lymphosum", 99.1, "%", "90-110", "PASS", "")
    return dict(zip(schema.QUALITY_COLUMNS, row, strict=True))


def count_rows(sample: dict[str, Any], found: Counted) -> list[dict[str, Any]]:
    return [
        {
            "sample_id": sample["sample_id"], "file": sample["fcs_path"], "tube": home, "population": name,
            "label": name, "parent": parent, "gate_path": f"root/{parent}", "n": found.layers["counts"][name],
            "n_parent": found.layers["parent_counts"][name], "pct_parent": found.x[name],
        }
        for name, (parent, home, _, _) in POPULATIONS.items()
        if home == sample["tube_id"]
    ]  # fmt: skip


def visits_object(rows: list[Counted], obs: list[dict[str, Any]]) -> ad.AnnData:
    names = list(POPULATIONS)
    frame = pd.DataFrame(obs)
    frame.index = (frame["usubjid"] + "_" + frame["visit"]).astype(str)
    frame["visit"] = pd.Categorical(frame["visit"], list(FLOW), ordered=True)
    frame["study_day"] = frame["study_day"].astype("Int64")
    frame["baseline_flag"] = frame["baseline_flag"].astype("boolean")
    var = pd.DataFrame(
        [
            {
                "display": DISPLAY[name], "parent": parent, "tube": tube, "marker_string": markers, "cl_id": "",
                "cl_match": "none", "panel_id": f"{tube}-v1", "abs_anchor": anchor,
                "is_key": name in ("treg", "nk", "cd8"), "ref_low": 2.6 if name == "treg" else math.nan,
                "ref_high": 6.3 if name == "treg" else math.nan,
            }
            for name, (parent, tube, markers, anchor) in POPULATIONS.items()
        ],
        index=names,
    )  # fmt: skip
    adata = ad.AnnData(np.array([[row.x[name] for name in names] for row in rows]), obs=frame, var=var)
    for layer in (name for name in schema.VISIT_LAYERS if not name.startswith("gate_")):
        adata.layers[layer] = np.array([[row.layers[layer][name] for name in names] for row in rows])
    add_gatings(adata)
    absolute = dict(zip(names, adata.layers["abs"].T, strict=True))
    pairs = {"cd4_cd8": ("cd4", "cd8"), "cd8_treg": ("cd8", "treg"), "nk_treg": ("nk", "treg"),
             "cd8act_treg": ("cd8_act", "treg")}  # fmt: skip
    with np.errstate(all="ignore"):
        ratio = pd.DataFrame({name: absolute[a] / absolute[b] for name, (a, b) in pairs.items()}, index=frame.index)
    adata.obsm["ratios"] = ratio
    adata.obsm["log2_ratios"] = np.log2(ratio)
    return adata


GATE_EFFECTS = {"treg": 0.05, "treg_foxp3": 0.01, "nk_bright": 0.08, "cd8_act": 0.03}
"""What a moved cut does to the logarithm of a count; the others lie in gaps."""


def add_gatings(adata: ad.AnnData) -> None:
    """Counts under moved cuts: one cut a population, and those of Treg belong to each batch."""
    adata.uns["study"] = {"count_tube": "count"}
    columns = {name: signs(COLUMNS[place]) for place, name in enumerate(GATE_EFFECTS)}
    shape = (*adata.shape, RUNS)
    arrays = {
        name: np.broadcast_to(adata.layers[layer][..., None], shape).copy()
        for name, layer in zip(schema.VISIT_GATINGS, ("counts", "parent_counts", "anchor_counts"), strict=True)
    }
    for name, effect in GATE_EFFECTS.items():
        arrays["gate_counts"][:, adata.var_names.get_loc(name)] *= np.exp(effect * columns[name])
    below = adata.var_names.get_loc("treg_foxp3")
    treg = np.exp(GATE_EFFECTS["treg"] * columns["treg"])
    arrays["gate_counts"][:, below] *= treg
    arrays["gate_parent_counts"][:, below] *= treg
    for name, values in arrays.items():
        adata.obsm[name] = values
    own = np.isin(adata.var_names, ["treg", "treg_foxp3"])
    adata.layers["gate_frozen"] = np.where(np.isnan(adata.layers["counts"]), np.nan, np.where(own, 0.0, 1.0))
    gate_spread(adata)
