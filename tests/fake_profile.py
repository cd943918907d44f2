"""A complete made-up profile: two arms of five, five flow visits, and the warts that reports must survive.

Numbers follow the demo cohort (log-normal, seeded). Nothing here comes from the package's own
simulator or statistics, so that the reports are tested on their own.
"""

from __future__ import annotations

import hashlib
import math
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

from immunoprofile import schema
from immunoprofile.gate.raster import GateRaster, Outline
from immunoprofile.io.config import Arm, Assay, Endpoint, ScheduledVisit, StudyConfig, Tube

FLOW = {"BL": 1, "D7": 8, "D14": 15, "D28": 29, "W8": 57}
# id: (display, parent, tube, markers, anchor)
POPULATIONS = {
    "lymphocytes": ("Lymphocytes", "leukocytes", "count", "CD45hi SSClo", "lymphocytes"),
    "t": ("T cells", "lymphocytes", "count", "CD3+", "t"),
    "b": ("B cells", "lymphocytes", "count", "CD3- CD19+", "b"),
    "cd4": ("CD4+ T cells", "t", "count", "CD4+ CD8-", "cd4"),
    "cd8": ("CD8+ T cells", "t", "count", "CD8+ CD4-", "cd8"),
    "nk": ("NK cells", "lymphocytes", "count", "CD3- CD19- CD16/56+", "nk"),
    "treg": ("Regulatory T cells", "cd4", "treg", "CD25hi CD127lo", "cd4"),
    "treg_foxp3": ("FoxP3-confirmed Treg", "treg", "treg", "FoxP3+", "cd4"),
    "nk_bright": ("CD56bright NK cells", "nk", "effector", "CD56bright CD16-/lo", "nk"),
    "cd8_act": ("Activated CD8", "cd8", "effector", "HLA-DR+ CD38+", "cd8"),
    "cd8_naive": ("CD8 naive", "cd8", "effector", "CCR7+ CD45RA+", "cd8"),
    "cd8_cm": ("CD8 central memory", "cd8", "effector", "CCR7+ CD45RA-", "cd8"),
    "cd8_em": ("CD8 effector memory", "cd8", "effector", "CCR7- CD45RA-", "cd8"),
    "cd8_temra": ("CD8 TEMRA", "cd8", "effector", "CCR7- CD45RA+", "cd8"),
}
TREATED = {"treg": 2.0, "nk": 1.7, "nk_bright": 2.5, "cd8": 1.25, "cd4": 1.15, "cd8_act": 0.8}
SHAPE = {"BL": 0.0, "D7": 0.8, "D14": 1.0, "D28": 0.8, "W8": 0.25}


class FakeProfile(SimpleNamespace):
    def rasters(self, sample_id: str) -> tuple[GateRaster, ...]:
        if sample_id not in set(self.counts["sample_id"]):
            return ()
        return make_rasters(sample_id)


def make_config(*, synthetic: bool = True) -> StudyConfig:
    return StudyConfig(
        study_id="IL2CMV",
        title="Low-dose IL-2 and ganciclovir in CMV infection",
        registry_id="NCT04225780",
        synthetic=synthetic,
        arms=(Arm(code="GCV", label="Ganciclovir"), Arm(code="IL2_GCV", label="Low-dose IL-2 + ganciclovir")),
        reference_arm="GCV",
        visits=(
            ScheduledVisit(visit="SCR", visitnum=0, day=-5, flow=False),
            *(
                ScheduledVisit(visit=name, visitnum=number, day=day, baseline=name == "BL")
                for number, (name, day) in enumerate(FLOW.items(), 1)
            ),
        ),
        primary_visit="D14",
        endpoints=(
            Endpoint(population="treg", measure="pct_parent", label="Treg, % of CD4", primary=True),
            Endpoint(population="nk", measure="abs", label="NK cells/uL"),
            Endpoint(population="cd8", measure="abs", label="CD8 cells/uL"),
        ),
        tubes={
            "count": Tube(panel="count-v1", gates="count", staining_protocol="lyse_no_wash", counts=True),
            "treg": Tube(panel="treg-v1", gates="treg", staining_protocol="permeabilised"),
            "effector": Tube(panel="effector-v1", gates="effector", staining_protocol="washed"),
        },
        assays={"cobas": Assay(name="cobas CMV", unit="IU/mL", specimen="plasma", lod=91, lloq=137, uloq=9.1e6)},
    )


def _wilson(k: float, n: float) -> tuple[float, float]:
    z = 1.959964
    centre = (k + z * z / 2) / (n + z * z)
    half = z * math.sqrt(k * (n - k) / n + z * z / 4) / (n + z * z)
    return 100 * (centre - half), 100 * (centre + half)


def make_rasters(sample_id: str) -> tuple[GateRaster, ...]:
    tube = sample_id.rsplit("-", 1)[1]
    rng = np.random.default_rng(int(hashlib.sha256(sample_id.encode()).hexdigest()[:8], 16))
    ticks = ((0.1, "0"), (0.35, "1e3"), (0.6, "1e4"), (0.85, "1e5"))
    shift = 0.03 * ("-D14-" in sample_id)

    def plot(parent: str, x: str, y: str, blobs: list[tuple[float, float, float, int]], *gates: Outline) -> GateRaster:
        points = np.concatenate([rng.normal((a, b), s, (n, 2)) for a, b, s, n in blobs])
        counts = np.histogram2d(points[:, 1], points[:, 0], bins=96, range=((0, 1.02), (0, 1.02)))[0]
        return GateRaster(
            tube, parent, len(points), x, y, (0.0, 1.02), (0.0, 1.02), counts.astype(np.uint32), ticks, ticks, gates
        )

    def box(name: str, x0: float, x1: float, y0: float, y1: float) -> Outline:
        return Outline(name, (x0, x1, x1, x0, x0), (y0, y0, y1, y1, y0))

    if tube == "count":
        return (
            plot(
                "leukocytes",
                "CD45",
                "SSC-A",
                [(0.75, 0.2, 0.04, 3000), (0.55, 0.7, 0.08, 9000), (0.7, 0.42, 0.04, 900)],
                box("lymphocytes", 0.62, 0.9, 0.08, 0.33),
            ),
            plot(
                "lymphocytes",
                "CD3",
                "CD16+CD56",
                [(0.75, 0.2, 0.05, 2200), (0.2, 0.7, 0.06, 300), (0.2, 0.2, 0.06, 250)],
                box("t", 0.5, 1.0, 0.02, 0.45),
                box("nk", 0.02, 0.42, 0.5, 1.0),
            ),
            plot(
                "t",
                "CD4",
                "CD8",
                [(0.8, 0.2, 0.05, 1000), (0.2, 0.8, 0.05, 1200)],
                box("cd4", 0.55, 1.0, 0.02, 0.5),
                box("cd8", 0.02, 0.5, 0.55, 1.0),
            ),
        )
    if tube == "treg":
        return (
            plot(
                "cd4",
                "CD25",
                "CD127",
                [(0.35 + shift, 0.62, 0.09, 2500), (0.68, 0.35, 0.06, 140)],
                Outline("treg", (0.52, 0.98, 0.98, 0.72, 0.52), (0.1, 0.1, 0.52, 0.52, 0.36)),
            ),
            plot(
                "treg",
                "FoxP3",
                "CD45RA",
                [(0.6, 0.3, 0.08, 100), (0.6, 0.7, 0.06, 35), (0.2, 0.4, 0.06, 12)],
                box("treg_foxp3", 0.4, 1.0, 0.02, 1.0),
            ),
        )
    return (
        plot(
            "nk", "CD56", "CD16", [(0.5, 0.7, 0.06, 260), (0.85, 0.25, 0.05, 30)], box("nk_bright", 0.7, 1.0, 0.02, 0.5)
        ),
        plot(
            "cd8",
            "HLA-DR",
            "CD38",
            [(0.3, 0.4, 0.1, 900), (0.75, 0.75, 0.08, 200)],
            box("cd8_act", 0.55, 1.0, 0.55, 1.0),
        ),
    )


def make_profile(*, synthetic: bool = True, hostile: str = "") -> FakeProfile:
    """``hostile`` is put where people type: a subject id, a message, a query, a lab name."""
    rng = np.random.default_rng(20)
    config = make_config(synthetic=synthetic)
    subjects, visits, samples, labs, dosing, conmeds, cmv, obs, rows = [], [], [], [], [], [], [], [], []
    quality: list[dict[str, Any]] = []
    counts: list[dict[str, Any]] = []
    names = list(POPULATIONS)
    layers: dict[str, list[list[float]]] = {name: [] for name in schema.VISIT_LAYERS}
    start = date(2025, 3, 3)
    for number in range(10):
        subject = f"IL2CMV-01-{number + 1:03d}" + (hostile if number == 0 else "")
        arm = "IL2_GCV" if number % 2 == 0 else "GCV"
        anchor = start + timedelta(days=9 * number)
        day = lambda offset, anchor=anchor: (anchor + timedelta(days=offset)).isoformat()  # noqa: E731
        subjects.append(
            {
                "usubjid": subject,
                "arm": arm,
                "age_y": int(rng.integers(22, 62)),
                "sex": "F" if rng.random() < 0.7 else "M",
                "first_il2_dtc": day(0) if arm == "IL2_GCV" else None,
                "first_gcv_dtc": day(-1),
                "randomised_dtc": day(0),
                "first_dose_dtc": day(-1),
                "dx": "SLE",
                "death_dtc": None,
            }
        )
        dosing.append(
            {
                "usubjid": subject,
                "drug": "GCV",
                "dose": 5.0,
                "unit": "mg/kg",
                "freq": "Q12H",
                "route": "IV",
                "start_dtc": day(-1),
                "end_dtc": day(20),
            }
        )
        dosing.append(
            {
                "usubjid": subject,
                "drug": "VGCV",
                "dose": 900.0,
                "unit": "mg",
                "freq": "QD",
                "route": "PO",
                "start_dtc": day(21),
                "end_dtc": None,
            }
        )
        if arm == "IL2_GCV":
            dosing.append(
                {
                    "usubjid": subject,
                    "drug": "IL2",
                    "dose": 1.0,
                    "unit": "MIU",
                    "freq": "QD",
                    "route": "SC",
                    "start_dtc": day(0),
                    "end_dtc": day(13),
                }
            )
        conmeds.append(
            {
                "usubjid": subject,
                "drug": "prednisone",
                "dose": 15.0,
                "unit": "mg",
                "freq": "QD",
                "start_dtc": day(-60),
                "end_dtc": None,
                "ongoing": "Y",
            }
        )
        log10 = 3.9 + rng.normal(0, 0.5)
        half = 3.5 if arm == "IL2_GCV" else 5.0
        base_day = -2
        for offset in (base_day, 6, 13, 20, 27, 41, 55):
            load = log10 - max(offset, 0) * 0.30103 / half + rng.normal(0, 0.15)
            visit = {base_day: "BL", 6: "D7", 13: "D14", 27: "D28", 55: "W8", 20: "UNS.01", 41: "UNS.02"}[offset]
            kind = "QUANT" if load >= math.log10(137) else "BLQ" if load > 1.2 else "TND"
            limit = math.log10(137)
            value = 10**load if kind == "QUANT" else math.nan
            quant = kind == "QUANT"
            cmv.append(
                {
                    "usubjid": subject,
                    "visit": visit,
                    "collected_dtc": day(offset + 1),
                    "virology_day": offset + 2,
                    "assay_id": "cobas",
                    "specimen": "plasma",
                    "unit": "IU/mL",
                    "result_raw": f"{value:.0f}" if quant else "<137" if kind == "BLQ" else "未检出",
                    "kind": kind,
                    "value": value,
                    "log10_value": load if quant else math.nan,
                    "log10_lower": load if quant else math.nan,
                    "log10_upper": load if quant else limit,
                    "lloq": 137.0,
                    "lod": 91.0,
                    "uloq": 9.1e6,
                    "is_baseline": offset == base_day,
                    "log10_drop": log10 - load if quant and offset > 0 else math.nan,
                    "log10_drop_lower": (log10 - load if quant else log10 - limit) if offset > 0 else math.nan,
                    "log10_drop_upper": log10 - load if quant and offset > 0 else math.nan,
                }
            )
        base = {
            "lymphocytes": 850 * math.exp(rng.normal(0, 0.4)),
            "nk": 90 * math.exp(rng.normal(0, 0.5)),
            "cd4": 260 * math.exp(rng.normal(0, 0.45)),
            "cd8": 330 * math.exp(rng.normal(0, 0.45)),
            "treg": 5.0 * math.exp(rng.normal(0, 0.35)),
            "nk_bright": 9 * math.exp(rng.normal(0, 0.35)),
            "cd8_act": 18 * math.exp(rng.normal(0, 0.4)),
        }
        mix = rng.dirichlet((4, 1, 4, 3))
        for visit_number, (visit, study_day) in enumerate(FLOW.items(), 1):
            missed = number == 2 and visit == "D28"
            visits.append(
                {
                    "usubjid": subject,
                    "visit": visit,
                    "start_dtc": day(study_day - 1),
                    "occurred": "N" if missed else "Y",
                    "reason_not_done": "MISSED" if missed else None,
                    "weight_kg": 58.0,
                }
            )
            for test, value, unit, lln, uln in (
                ("WBC", 3.4, "10^9/L", 4.0, 10.0),
                ("ANC", 1.9, "10^9/L", 2.0, 7.0),
                ("ALC", 0.85, "10^9/L", 1.1, 3.2),
                ("HGB", 108.0, "g/L", 115.0, 150.0),
                ("PLT", 180.0, "10^9/L", 125.0, 350.0),
                ("CREAT", 71.0, "umol/L", 45.0, 90.0),
                ("ALT", 33.0, "U/L", 7.0, 40.0),
            ):
                if not missed:
                    labs.append(
                        {
                            "usubjid": subject,
                            "visit": visit,
                            "collected_dtc": day(study_day - 1),
                            "test": test,
                            "value": round(value * math.exp(rng.normal(0, 0.12)), 2),
                            "unit": unit,
                            "lln": lln,
                            "uln": uln,
                            "lab_id": "LAB1" + hostile,
                        }
                    )
            if missed:
                continue
            lift = SHAPE[visit]
            truth = {}
            for name, value in base.items():
                factor = TREATED.get(name, 1.3) if arm == "IL2_GCV" else 1.05
                truth[name] = value * factor**lift * math.exp(rng.normal(0, 0.15))
            truth["t"] = (truth["cd4"] + truth["cd8"]) * 1.06
            truth["b"] = 60.0
            truth["lymphocytes"] = truth["t"] + truth["nk"] + truth["b"]
            failed_tube = "treg" if number == 1 and visit == "D14" else ""
            truncated = number == 3 and visit == "D7"
            no_beads = number == 4 and visit == "D14"
            wbc = 3400.0
            absolute = {
                "lymphocytes": truth["lymphocytes"],
                "t": truth["t"],
                "b": truth["b"],
                "cd4": truth["cd4"],
                "cd8": truth["cd8"],
                "nk": truth["nk"],
            }
            fraction = {
                "lymphocytes": truth["lymphocytes"] / wbc,
                "t": truth["t"] / truth["lymphocytes"],
                "b": truth["b"] / truth["lymphocytes"],
                "cd4": truth["cd4"] / truth["t"],
                "cd8": truth["cd8"] / truth["t"],
                "nk": truth["nk"] / truth["lymphocytes"],
                "treg": min(truth["treg"], 40) / 100,
                "treg_foxp3": 0.85 if not (number == 6 and visit == "D14") else 0.4,
                "nk_bright": min(truth["nk_bright"], 60) / 100,
                "cd8_act": min(truth["cd8_act"], 80) / 100,
            }
            fraction |= dict(zip(("cd8_naive", "cd8_cm", "cd8_em", "cd8_temra"), mix, strict=True))
            events = {"leukocytes": 18000.0 if number == 2 else 60000.0}
            line: dict[str, dict[str, float]] = {name: {} for name in layers}
            x: dict[str, float] = {}
            for name, (_, parent, tube, _, anchor_population) in POPULATIONS.items():
                absent = (truncated and tube == "effector") or (number == 9 and name == "cd8_act")
                total = events.get(parent, math.nan)
                n = float(rng.binomial(int(total), fraction[name])) if not absent else math.nan
                if name == "cd8_temra" and not absent:  # the quadrants partition CD8
                    n = total - events["cd8_naive"] - events["cd8_cm"] - events["cd8_em"]
                if number == 7 and visit == "W8" and name == "nk_bright":
                    n = 0.0
                events[name] = n
                x[name] = 100 * n / total if total else math.nan
                low, high = _wilson(n, total) if total and not math.isnan(n) else (math.nan, math.nan)
                value = absolute.get(name, math.nan)
                if name not in absolute:
                    value = absolute.get(parent, line["abs"].get(parent, math.nan)) * x[name] / 100
                if number == 5:  # neither beads nor blood count
                    value = math.nan
                cv = math.sqrt(1 / max(n, 1) + 1 / 5000 + 0.03**2) if not math.isnan(n) else math.nan
                line["counts"][name], line["parent_counts"][name] = n, total
                line["pct_lymphocytes"][name] = 100 * n / events["lymphocytes"]
                line["pct_leukocytes"][name] = 100 * n / events["leukocytes"]
                line["pct_parent_lower"][name], line["pct_parent_upper"][name] = low, high
                line["abs"][name], line["abs_cv"][name] = value, 100 * cv
                line["abs_lower"][name], line["abs_upper"][name] = (
                    value * math.exp(-1.96 * cv),
                    value * math.exp(1.96 * cv),
                )
                line["abs_bead"][name] = math.nan if no_beads else value
                line["abs_dual"][name] = value * 1.04
                line["low_events"][name] = math.nan if math.isnan(n) else float(0 < n < 100)
                line["anchor_counts"][name] = events.get(anchor_population, math.nan)
            rows.append([x[name] for name in names])
            for layer, stored in layers.items():
                stored.append([line[layer][name] for name in names])
            flags = [
                name
                for name, on in (
                    ("LOW_EVENTS", any(line["low_events"][name] == 1 for name in names)),
                    ("FLOW_RATE", bool(failed_tube)),
                    ("TUBE_MISSING", truncated),
                    ("NO_BEADS", no_beads),
                    ("SYNTHETIC_DATA", synthetic),
                    ("RECENT_IL2", arm == "IL2_GCV" and visit == "D7"),
                )
                if on
            ]
            for tube in config.tubes:
                sample_id = f"S{number + 1:03d}-{visit}-{tube}"
                path = f"fcs/site01/{sample_id}.fcs"
                rerun = number == 8 and visit == "D14" and tube == "effector"
                samples.append(
                    {
                        "sample_id": sample_id,
                        "usubjid": subject,
                        "visit": visit,
                        "tube_id": tube,
                        "panel_id": f"{tube}-v1",
                        "role": "sample",
                        "attempt": 2 if rerun else 1,
                        "supersedes": None,
                        "specimen_type": "WB_EDTA",
                        "collected_dtc": day(study_day - 1) + "T08:30",
                        "stained_dtc": day(study_day - 1) + "T11:00",
                        "acquired_dtc": day(study_day - 1) + "T14:00",
                        "instrument": "Lyric",
                        "fcs_path": path,
                        "sha256": hashlib.sha256(path.encode()).hexdigest(),
                        "comp_source": "keyword",
                        "beads_per_tube": math.nan if no_beads or tube != "count" else 49650.0,
                    }
                )
                if truncated and tube == "effector":
                    continue
                checks = [
                    ("viability", 94.0 + rng.normal(0, 1), "%", ">= 90", "PASS", ""),
                    ("singlets", 92.0 + rng.normal(0, 1), "%", ">= 85", "PASS", ""),
                    (
                        "lymphocytes acquired",
                        events["lymphocytes"],
                        "events",
                        ">= 10,000",
                        "WARN" if events["lymphocytes"] < 10000 else "PASS",
                        "",
                    ),
                    (
                        "time gate loss",
                        41.0 if tube == failed_tube else 1.0,
                        "%",
                        "<= 10",
                        "FAIL" if tube == failed_tube else "PASS",
                        "FLOW_RATE" if tube == failed_tube else "",
                    ),
                    ("compensation", math.nan, "", "keyword", "PASS", ""),
                ]
                for check, value, unit, limits, state, flag in checks:
                    quality.append(
                        {
                            "usubjid": subject,
                            "visit": visit,
                            "tube": tube,
                            "sample_id": sample_id,
                            "check": check,
                            "value": value,
                            "unit": unit,
                            "limits": limits,
                            "state": state,
                            "flag": flag,
                        }
                    )
                for name, (_, parent, home, _, _) in POPULATIONS.items():
                    if home == tube:
                        counts.append(
                            {
                                "sample_id": sample_id,
                                "file": path,
                                "tube": tube,
                                "population": name,
                                "parent": parent,
                                "gate_path": f"root/{parent}",
                                "n": line["counts"][name],
                                "n_parent": line["parent_counts"][name],
                                "pct_parent": x[name],
                            }
                        )
            quality.append(
                {
                    "usubjid": subject,
                    "visit": visit,
                    "tube": None,
                    "sample_id": None,
                    "check": "lymphosum",
                    "value": 99.1,
                    "unit": "%",
                    "limits": "90-110",
                    "state": "PASS",
                    "flag": "",
                }
            )
            pcr = next((one for one in cmv if one["usubjid"] == subject and one["visit"] == visit), None)
            assert pcr is not None
            obs.append(
                {
                    "usubjid": subject,
                    "visit": visit,
                    "visitnum": float(visit_number),
                    "study_day": study_day,
                    "virology_day": study_day,
                    "arm": arm,
                    "specimen_type": "WB_EDTA",
                    "collected_dtc": day(study_day - 1) + "T08:30",
                    "baseline_flag": visit == "BL",
                    "qc_status": "FAIL" if failed_tube else "WARN" if flags else "PASS",
                    "flags": " ".join(flags),
                    "abs_method": "none" if number == 5 else "dual_lymph" if number == 4 else "bead",
                    "hours_since_last_il2": 23.0 if arm == "IL2_GCV" and visit != "BL" else math.nan,
                    "hours_since_last_steroid": 20.0,
                    "cmv_kind": pcr["kind"],
                    "cmv_raw": pcr["result_raw"],
                    "cmv_unit": "IU/mL",
                    "cmv_log10": pcr["log10_value"],
                    "cmv_lower": pcr["log10_lower"],
                    "cmv_upper": pcr["log10_upper"],
                    "cmv_drop": pcr["log10_drop"],
                    "cmv_drop_lower": pcr["log10_drop_lower"],
                    "cmv_drop_upper": pcr["log10_drop_upper"],
                    "alc": 850.0,
                    "wbc": 3400.0,
                }
            )
    labs.append(
        {
            "usubjid": "IL2CMV-01-003",
            "visit": "UNS.01",
            "collected_dtc": "2025-03-31",
            "test": "PLT",
            "value": 66.0,
            "unit": "10^9/L",
            "lln": 125.0,
            "uln": 350.0,
            "lab_id": "LAB1",
        }
    )
    frame = pd.DataFrame(obs)
    frame.index = (frame["usubjid"] + "_" + frame["visit"]).astype(str)
    frame["visit"] = pd.Categorical(frame["visit"], list(FLOW), ordered=True)
    frame["study_day"] = frame["study_day"].astype("Int64")
    frame["baseline_flag"] = frame["baseline_flag"].astype("boolean")
    var = pd.DataFrame(
        [
            {
                "display": display,
                "parent": parent,
                "tube": tube,
                "marker_string": markers,
                "cl_id": "",
                "cl_match": "none",
                "panel_id": f"{tube}-v1",
                "abs_anchor": anchor_population,
                "is_key": name in ("treg", "nk", "cd8"),
                "ref_low": 2.6 if name == "treg" else math.nan,
                "ref_high": 6.3 if name == "treg" else math.nan,
            }
            for name, (display, parent, tube, markers, anchor_population) in POPULATIONS.items()
        ],
        index=names,
    )
    adata = ad.AnnData(np.array(rows), obs=frame, var=var)
    for name, stored in layers.items():
        adata.layers[name] = np.array(stored)
    column = {name: position for position, name in enumerate(names)}
    absolutes = adata.layers["abs"]
    with np.errstate(all="ignore"):
        ratio = pd.DataFrame(
            {
                "cd4_cd8": absolutes[:, column["cd4"]] / absolutes[:, column["cd8"]],
                "cd8_treg": absolutes[:, column["cd8"]] / absolutes[:, column["treg"]],
                "nk_treg": absolutes[:, column["nk"]] / absolutes[:, column["treg"]],
                "cd8act_treg": absolutes[:, column["cd8_act"]] / absolutes[:, column["treg"]],
            },
            index=frame.index,
        )
    adata.obsm["ratios"] = ratio
    adata.obsm["log2_ratios"] = np.log2(ratio)
    adata.uns |= make_statistics()
    adata.uns["study"] = {"count_tube": "count"}
    exceptions = pd.DataFrame(
        [
            (
                "intake",
                "warning",
                "VISIT_NOT_DONE",
                "visits",
                14,
                "IL2CMV-01-003",
                "D28",
                None,
                None,
                "visit D28 did not take place: MISSED",
                "no row in visits.h5ad",
            ),
            (
                "intake",
                "note",
                "UNSCHEDULED",
                "labs",
                351,
                "IL2CMV-01-003",
                "UNS.01",
                None,
                None,
                "blood count outside the schedule",
                "kept as UNS.01",
            ),
            (
                "gating",
                "error",
                "FCS_TRUNCATED",
                "samples",
                48,
                "IL2CMV-01-004",
                "D7",
                "S004-D7-effector",
                "fcs/site01/S004-D7-effector.fcs",
                "data segment ends early" + hostile,
                "tube left out",
            ),
            (
                "gating",
                "note",
                "RERUN",
                "samples",
                120,
                "IL2CMV-01-009",
                "D14",
                "S009-D14-effector",
                "fcs/site01/S009-D14-effector.fcs",
                "attempt 2 used, attempt 1 kept",
                "listed",
            ),
        ],
        columns=list(schema.EXCEPTION_COLUMNS),
    )
    queries = pd.DataFrame(
        [
            {
                "record": "IL2CMV-01-001" + hostile + " D14",
                "question": "Was the IL-2 dose given at 07:00?" + hostile,
                "owner": "site 01",
                "answer": None,
                "closed": "N",
            },
            {
                "record": "S002-D14-treg",
                "question": "Clog seen at the cytometer?",
                "owner": "lab",
                "answer": None,
                "closed": "N",
            },
            {"record": "IL2CMV-01-002 BL", "question": "Old question", "owner": "lab", "answer": "yes", "closed": "Y"},
        ]
    )
    sample_table = pd.DataFrame(samples)
    study = SimpleNamespace(
        config=config,
        subjects=pd.DataFrame(subjects),
        visits=pd.DataFrame(visits),
        samples=sample_table,
        labs=pd.DataFrame(labs),
        dosing=pd.DataFrame(dosing),
        conmeds=pd.DataFrame(conmeds),
        cmv_dna=pd.DataFrame(cmv),
        queries=queries,
        reviews=pd.DataFrame(columns=list(schema.TABLES["reviews"].column_names)),
    )
    provenance = {
        "versions": {"immunoprofile": "0.1.0", "flowkit": "1.3.2", "python": "3.11.2"},
        "inputs": dict(zip(sample_table["fcs_path"], sample_table["sha256"], strict=True)),
        "gates": {
            tube: {"sha256": hashlib.sha256(tube.encode()).hexdigest(), "version": "1", "panel": f"{tube}-v1"}
            for tube in config.tubes
        },
        "seeds": {"simulation": 20},
        "parameters": {"pipetting_cv_pct": 3.0},
    }
    checks = pd.DataFrame(quality)[list(schema.QUALITY_COLUMNS)]
    adata.uns[schema.UNS_QUALITY] = checks
    return FakeProfile(
        study=study,
        visits=adata,
        counts=pd.DataFrame(counts),
        quality=checks,
        exceptions=exceptions,
        virology=pd.DataFrame(cmv)[list(schema.VIROLOGY_COLUMNS)],
        tables={},
        provenance=provenance,
    )


def make_statistics() -> dict[str, pd.DataFrame]:
    """Made-up tables in the shape of tl: effects and intervals that a reader may meet."""

    def row(**values: Any) -> dict[str, Any]:
        return {name: values.get(name, math.nan) for name in schema.STATISTIC_COLUMNS} | {"conf_level": 0.95}

    compare, change = [], []
    effects = {
        ("treg", "pct_parent"): (1.92, 1.20, 3.07, 0.012),
        ("nk", "abs"): (1.44, 0.81, 2.56, 0.18),
        ("cd8", "abs"): (1.12, 0.70, 1.79, 0.59),
    }
    for (population, measure), (effect, low, high, p) in effects.items():
        compare.append(
            row(
                method_id="S3",
                method="ANCOVA of log2 at the visit on log2 at baseline, HC3",
                population=population,
                measure=measure,
                contrast="IL2_GCV vs GCV",
                visit="D14",
                scale="log2",
                n=5,
                n_reference=4,
                estimate=math.log2(effect),
                lower=math.log2(low),
                upper=math.log2(high),
                p_value=p,
                effect_kind="fold change",
                effect=effect,
                effect_lower=low,
                effect_upper=high,
                adjusted="none",
                note="",
            )
        )
        for arm in ("GCV", "IL2_GCV"):
            change.append(
                row(
                    method_id="S1",
                    method="Wilcoxon signed rank, exact, Hodges-Lehmann",
                    population=population,
                    measure=measure,
                    contrast="D14 vs BL",
                    visit="D14",
                    arm=arm,
                    scale="log2",
                    n=5,
                    estimate=0.3,
                    lower=-0.1,
                    upper=0.9,
                    p_value=0.0625,
                    effect_kind="fold change",
                    effect=1.23,
                    effect_lower=0.93,
                    effect_upper=1.87,
                    median_baseline=5.1,
                    median_visit=7.9,
                    note="",
                )
            )
    compare.append(
        row(
            method_id="S3",
            method="ANCOVA",
            population="nk_bright",
            measure="pct_parent",
            contrast="IL2_GCV vs GCV",
            visit="D14",
            n=2,
            n_reference=1,
            effect_kind="fold change",
            note="refused: fewer than 3 residual degrees",
        )
    )
    associate = [
        row(
            method_id="S8",
            method="repeated-measures correlation adjusted for visit",
            population="cd8_act",
            measure="pct_parent",
            contrast="with log10 CMV-DNA",
            n=10,
            estimate=0.31,
            lower=-0.08,
            upper=0.61,
            p_value=0.11,
            effect_kind="correlation",
            effect=0.31,
            effect_lower=-0.08,
            effect_upper=0.61,
            note="",
        )
    ]
    return {"change": pd.DataFrame(change), "compare": pd.DataFrame(compare), "associate": pd.DataFrame(associate)}
