"""A study held in memory: a few rows per table, every column of the schema, no files."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from immunoprofile import schema
from immunoprofile.io.config import StudyConfig
from immunoprofile.study import Study
from tests.small_study import STUDY_YAML

CONFIG = StudyConfig.model_validate(yaml.safe_load(STUDY_YAML))
_DTYPES = {"float": "float64", "int": "Int64", "bool": "boolean"}

SUBJECT = {
    "usubjid": "S-1", "arm": "A", "sex": "F", "age_y": 45, "birth_year": 1978, "consent_dtc": "2024-02-20",
    "first_gcv_dtc": "2024-03-01T10:00", "first_il2_dtc": "2024-03-01T10:00", "first_dose_dtc": "2024-03-01T10:00",
    "randomised_dtc": "2024-03-01",
}  # fmt: skip
VISIT = {"usubjid": "S-1", "visit": "BL", "start_dtc": "2024-03-01", "occurred": True, "weight_kg": 60.0,
         "height_cm": 165.0}  # fmt: skip


def table(name: str, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """A typed table of the study; rows count from 1."""
    spec = schema.TABLES[name]
    unknown = {key for row in rows for key in row} - set(spec.column_names)
    assert not unknown, unknown
    index = pd.RangeIndex(1, len(rows) + 1)
    return pd.DataFrame(
        {
            column.name: pd.Series(
                [row.get(column.name) for row in rows], index=index, dtype=_DTYPES.get(column.kind, "object")
            )
            for column in spec.columns
        }
    )


@cache
def _empty(name: str) -> pd.DataFrame:
    return table(name, [])


def study(**tables: list[dict[str, Any]]) -> Study:
    """A study of the given rows; one subject and its baseline visit when none are given."""
    rows: dict[str, list[dict[str, Any]]] = {"subjects": [SUBJECT], "visits": [VISIT], **tables}
    held = {name: table(name, rows[name]) if rows.get(name) else _empty(name) for name in schema.TABLES}
    return Study(Path(), CONFIG, held, pd.DataFrame(columns=list(schema.EXCEPTION_COLUMNS)))


def lab(test: str, value: float | None, unit: str | None = None, **cells: Any) -> dict[str, Any]:
    """A laboratory result of the subject on its baseline day, in the unit of analysis unless one is given."""
    own = {"usubjid": "S-1", "visit": "BL", "collected_dtc": "2024-03-01T08:00", "lab_id": "L1"}
    return own | {"test": test, "value": value, "unit": unit or schema.LAB_UNITS[test][0]} | cells


def conmed(drug: str, dose: float | None = None, **cells: Any) -> dict[str, Any]:
    """A drug taken once a day by mouth for the first ten days of March."""
    own = {"usubjid": "S-1", "unit": "mg", "freq": "QD", "route": "PO", "start_dtc": "2024-03-01",
           "end_dtc": "2024-03-10", "ongoing": False}  # fmt: skip
    return own | {"drug": drug, "dose": dose} | cells


def dose(drug: str, amount: float | None, **cells: Any) -> dict[str, Any]:
    """A course of a study drug over the first fourteen days of March."""
    usual: dict[str, dict[str, Any]] = {
        "GCV": {"unit": "mg/kg", "freq": "Q12H", "route": "IV", "doses_planned": 28, "doses_given": 28},
        "VGCV": {"unit": "mg", "freq": "BID", "route": "PO", "doses_planned": 28, "doses_given": 28},
        "IL2": {"unit": "MIU", "freq": "QD", "route": "SC", "doses_planned": 14, "doses_given": 14},
    }
    own = {"usubjid": "S-1", "start_dtc": "2024-03-01T10:00", "end_dtc": "2024-03-14T22:00"}
    return own | usual[drug] | {"drug": drug, "dose": amount} | cells
