"""A complete made-up profile: two arms of five, five flow visits, and the warts that reports must survive.

Numbers follow the demo cohort (log-normal, seeded). Nothing here comes from the package's own
simulator or statistics, so that the reports are tested on their own.
"""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from immunoprofile import schema
from immunoprofile.gate.raster import GateRaster
from tests.fake_profile import cells, study_tables
from tests.fake_profile.rasters import make_rasters
from tests.fake_profile.statistics import make_statistics
from tests.fake_profile.trial import FLOW, Patient, make_config

__all__ = ["FakeProfile", "make_profile", "make_rasters", "make_statistics"]


class FakeProfile(SimpleNamespace):
    def rasters(self, sample_id: str) -> tuple[GateRaster, ...]:
        if sample_id not in set(self.counts["sample_id"]):
            return ()
        return make_rasters(sample_id)

    def sample_of(self, usubjid: str, visit: str, tube: str) -> str | None:
        rows = self.quality
        hits = rows[(rows["usubjid"] == usubjid) & (rows["visit"] == visit) & (rows["tube"] == tube)]
        names = [name for name in hits["sample_id"].astype(str) if name]
        return names[0] if names else None


def make_profile(*, synthetic: bool = True, hostile: str = "") -> FakeProfile:
    """``hostile`` is put where people type: a subject id, a message, a query, a lab name."""
    rng = np.random.default_rng(20)
    config = make_config(synthetic=synthetic)
    tables: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("subjects", "visits", "samples", "labs", "dosing", "conmeds", "cmv_dna")
    }
    quality: list[dict[str, Any]] = []
    counts: list[dict[str, Any]] = []
    obs: list[dict[str, Any]] = []
    rows: list[cells.Counted] = []
    for number in range(10):
        patient = Patient(number, f"IL2CMV-01-{number + 1:03d}" + (hostile if number == 0 else ""))
        tables["subjects"].append(study_tables.subject_row(patient, rng))
        tables["dosing"] += study_tables.dosing_rows(patient)
        tables["conmeds"].append(study_tables.conmeds_row(patient))
        cmv = study_tables.cmv_rows(patient, rng)
        tables["cmv_dna"] += cmv
        body = cells.body(rng)
        for visit, study_day in FLOW.items():
            tables["visits"].append(study_tables.visit_row(patient, visit, study_day))
            if patient.missed(visit):
                continue
            tables["labs"] += study_tables.lab_rows(patient, visit, study_day, rng, hostile=hostile)
            found = cells.counted(patient, visit, body, rng)
            rows.append(found)
            for tube in config.tubes:
                sample = study_tables.sample_row(patient, visit, study_day, tube)
                tables["samples"].append(sample)
                if patient.truncated(visit) and tube == "effector":
                    continue
                quality += cells.check_rows(patient, visit, tube, sample["sample_id"], found, rng)
                counts += cells.count_rows(sample, found)
            quality.append(cells.lymphosum_row(patient, visit))
            (pcr,) = (row for row in cmv if row["visit"] == visit)
            obs.append(cells.obs_row(patient, visit, cells.flags_of(patient, visit, found, synthetic=synthetic), pcr))
    tables["labs"].append(study_tables.unscheduled_lab())

    study = SimpleNamespace(
        config=config,
        logo=b"",
        queries=study_tables.queries(hostile),
        reviews=pd.DataFrame(columns=list(schema.TABLES["reviews"].column_names)),
        **{name: pd.DataFrame(content) for name, content in tables.items()},
    )
    checks = pd.DataFrame(quality)[list(schema.QUALITY_COLUMNS)]
    adata = cells.visits_object(rows, obs)
    adata.uns |= make_statistics()
    adata.uns[schema.UNS_QUALITY] = checks
    return FakeProfile(
        study=study,
        visits=adata,
        counts=pd.DataFrame(counts),
        quality=checks,
        exceptions=study_tables.exceptions(hostile),
        virology=study.cmv_dna[list(schema.VIROLOGY_COLUMNS)],
        tables={},
        provenance=provenance(study),
    )


def provenance(study: SimpleNamespace) -> dict[str, Any]:
    return {
        "versions": {"immunoprofile": "0.1.0", "flowkit": "1.3.2", "python": "3.11.2"},
        "inputs": dict(zip(study.samples["fcs_path"], study.samples["sha256"], strict=True)),
        "gates": {
            tube: {"sha256": hashlib.sha256(tube.encode()).hexdigest(), "version": "1", "panel": f"{tube}-v1"}
            for tube in study.config.tubes
        },
        "seeds": {"simulation": 20},
        "parameters": {"pipetting_cv_pct": 3.0},
    }
