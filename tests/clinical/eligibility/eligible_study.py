"""A study of subjects who meet every criterion, as lists of rows that a test changes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pandas as pd

from immunoprofile import schema
from immunoprofile.clinical import eligibility
from immunoprofile.io.config import StudyConfig
from immunoprofile.study import Study

Rows = dict[str, list[dict[str, Any]]]

FIRST_DOSE = "2024-03-15T10:00"
DRAW = "2024-03-14T08:00"

CONFIG: dict[str, Any] = {
    "study_id": "SCREEN",
    "title": "Screening",
    "arms": [{"code": "A", "label": "Drug"}, {"code": "B", "label": "Control"}],
    "reference_arm": "B",
    "visits": [{"visit": "BL", "visitnum": 1, "day": 1, "baseline": True}],
    "primary_visit": "BL",
    "endpoints": [],
    "tubes": {},
    "assays": {
        "iu": {"name": "IU", "unit": "IU/mL", "specimen": "plasma", "lod": 91, "lloq": 137, "uloq": 9.1e6,
               "iu_factor": 0.82, "iu_factor_source": "multicentre study, plasma"},
        "iu_only": {"name": "IU only", "unit": "IU/mL", "specimen": "plasma", "lloq": 137, "uloq": 9.1e6},
        "copies": {"name": "copies", "unit": "copies/mL", "specimen": "plasma", "lod": 200, "lloq": 500, "uloq": 1e7},
        "coarse": {"name": "coarse", "unit": "copies/mL", "specimen": "plasma", "lloq": 2000, "uloq": 1e7},
    },
}  # fmt: skip

NEGATIVE_TESTS = ("HBSAG", "ANTI_HBC", "ANTI_HCV", "HIV_AGAB", "TREPONEMAL", "EBV_DNA", "HCG")
ABSENT = tuple(
    item
    for item in schema.ATTESTATION_ITEMS
    if item not in ("systemic_corticosteroid", "childbearing_potential", "syphilis_treated")
)


def woman(usubjid: str = "S-1") -> Rows:
    """A woman of 45 years, 60 kg, with lupus, CMV-DNA of 5,000 copies/mL and 20 mg of prednisone: eligible."""
    who = {"usubjid": usubjid}
    drawn = who | {"collected_dtc": DRAW}
    return {
        "subjects": [
            who | {"arm": "A", "sex": "F", "age_y": 45, "consent_dtc": "2024-03-10", "first_dose_dtc": FIRST_DOSE,
                   "dx": "systemic lupus erythematosus", "dx_criteria_set": "EULAR/ACR 2019", "dx_criteria_met": "Y"}
        ],
        "visits": [who | {"visit": "BL", "start_dtc": "2024-03-15", "occurred": True, "weight_kg": 60.0}],
        "cmv_dna": [drawn | {"result_raw": "5000", "unit": "copies/mL", "assay_id": "copies", "specimen": "plasma"}],
        "labs": [
            drawn | {"test": "CREAT", "value": 70.0, "unit": "umol/L", "lab_id": "L1"},
            drawn | {"test": "ALT", "value": 30.0, "unit": "U/L", "uln": 40.0, "lab_id": "L1"},
            drawn | {"test": "AST", "value": 30.0, "unit": "U/L", "uln": 40.0, "lab_id": "L1"},
            drawn | {"test": "TBIL", "value": 10.0, "unit": "umol/L", "uln": 20.0, "lab_id": "L1"},
        ],
        "conmeds": [
            who | {"drug": "prednisone", "dose": 20.0, "unit": "mg", "freq": "QD", "route": "PO",
                   "start_dtc": "2024-01-01", "ongoing": True}
        ],
        "attestations": [
            *(who | {"item": item, "answer": "N", "author": "INV1", "dtc": "2024-03-12"} for item in ABSENT),
            *(who | {"item": item, "answer": "Y", "author": "INV1", "dtc": "2024-03-12"}
              for item in ("systemic_corticosteroid", "childbearing_potential")),
        ],
        "screening_tests": [
            drawn | {"test": test, "result": "NEG", "specimen": "plasma", "lab_id": "L1"} for test in NEGATIVE_TESTS
        ],
    }  # fmt: skip


def study(*subjects: Rows, **settings: Any) -> Study:
    """A study of some subjects; settings are the fields of ``eligibility`` in study.yaml."""
    joined: Rows = {}
    for rows in copy.deepcopy(subjects):
        for name, table in rows.items():
            joined.setdefault(name, []).extend(table)
    tables = {name: _typed(spec, joined.get(name, [])) for name, spec in schema.TABLES.items()}
    config = StudyConfig.model_validate(CONFIG | {"eligibility": settings})
    return Study(Path(), config, tables, pd.DataFrame(columns=list(schema.EXCEPTION_COLUMNS)))


def _typed(spec: schema.TableSpec, rows: list[dict[str, Any]]) -> pd.DataFrame:
    dtypes = {"float": "float64", "int": "Int64", "bool": "boolean"}
    index = pd.RangeIndex(1, len(rows) + 1)
    return pd.DataFrame(
        {
            column.name: pd.Series(
                [row.get(column.name) for row in rows], index=index, dtype=dtypes.get(column.kind, "object")
            )
            for column in spec.columns
        },
        index=index,
    )


def row_of(rows: Rows, table: str, key: str = "") -> dict[str, Any]:
    """The only row of a table, or that of a test or item."""
    (found,) = [one for one in rows[table] if not key or key in (one.get("test"), one.get("item"))]
    return found


def drop(rows: Rows, table: str, key: str = "") -> Rows:
    """Take out all rows of a table, or those of a test or item."""
    rows[table] = [one for one in rows[table] if key and key not in (one.get("test"), one.get("item"))]
    return rows


def add_test(rows: Rows, test: str, result: str | None, **cells: Any) -> Rows:
    """Add a screening test of the day before the first dose, in place of one of that test and day."""
    usubjid = rows["subjects"][0]["usubjid"]
    new = {"usubjid": usubjid, "collected_dtc": DRAW, "test": test, "result": result, "specimen": "plasma",
           "lab_id": "L1"} | cells  # fmt: skip
    same = [one for one in rows["screening_tests"] if one["test"] == test and one["collected_dtc"] == DRAW]
    if same and new["collected_dtc"] == DRAW:
        rows["screening_tests"].remove(same[0])
    rows["screening_tests"].append(new)
    return rows


def add_statement(rows: Rows, item: str, answer: str, **cells: Any) -> Rows:
    """Add a statement, in place of one on that item."""
    drop(rows, "attestations", item)
    usubjid = rows["subjects"][0]["usubjid"]
    rows["attestations"].append(
        {"usubjid": usubjid, "item": item, "answer": answer, "author": "INV1", "dtc": "2024-03-12"} | cells
    )
    return rows


def judge(rows: Rows, criterion: str, *, profile: str = "seed", **settings: Any) -> pd.Series[Any]:
    """The row of one criterion for a study of one subject."""
    table = eligibility(study(rows, **settings), profile=profile).criteria
    return table.set_index("criterion").loc[criterion]


def state(rows: Rows, criterion: str, *, profile: str = "seed", **settings: Any) -> str:
    """The state of one criterion."""
    return str(judge(rows, criterion, profile=profile, **settings)["state"])


def changed(table: str, key: str = "", **cells: Any) -> Rows:
    """The eligible woman with some cells of one row changed."""
    rows = woman()
    row_of(rows, table, key).update(cells)
    return rows
