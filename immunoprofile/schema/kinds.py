"""What kind of cell a column holds: text, a number, or yes and no."""

from __future__ import annotations

import difflib
from functools import cache
from typing import Final, Literal

from immunoprofile.schema.output_tables import COUNT_COLUMNS, EXCEPTION_COLUMNS, QUALITY_COLUMNS, RESULT_TABLES
from immunoprofile.schema.statistics import (
    CMV_CHANGE_COLUMNS,
    CURVE_COLUMNS,
    PLAN_RUN_COLUMNS,
    POWER_COLUMNS,
    STATISTIC_COLUMNS,
    STATISTIC_TEXT,
    TIME_TO_CLEARANCE_COLUMNS,
    UNS_PLAN_RUNS,
)
from immunoprofile.schema.study_tables import TABLES
from immunoprofile.schema.virology import VIROLOGY_COLUMNS
from immunoprofile.schema.visits import READOUT_COLUMNS, VISIT_OBS, VISIT_VAR

CellKind = Literal["text", "number", "flag"]

_OF_COLUMN: Final[dict[str, CellKind]] = {
    "str": "text", "date": "text", "float": "number", "int": "number", "bool": "flag",
}  # fmt: skip
_OBS_TEXT: Final = (
    "usubjid", "visit", "arm", "specimen_type", "collected_dtc", "qc_status", "flags", "abs_method", "cmv_kind",
    "cmv_raw", "cmv_unit", "cmv_series",
)  # fmt: skip
_OBS_FLAGS: Final = ("baseline_flag", "per_protocol", "cmv_confounded", "cbc_ambiguous")
_VIROLOGY_TEXT: Final = (
    "usubjid", "visit", "collected_dtc", "assay_id", "specimen", "unit", "result_raw", "kind",
)  # fmt: skip
_PLAN_RUN_TEXT: Final = tuple(name for name in PLAN_RUN_COLUMNS if name not in ("rows", "not_estimable", "subjects"))
_CURVE_TEXT: Final = ("method_id", "method", "rule_id", "arm", "event")

STATISTICS: Final = "statistics"
"""Name of every table that has STATISTIC_COLUMNS."""


def _kinds(
    columns: tuple[str, ...], *, text: tuple[str, ...] = (), flags: tuple[str, ...] = (), numbers: tuple[str, ...] = ()
) -> dict[str, CellKind]:
    """Kinds of columns: with ``numbers`` all others are text, else those that are neither text nor flags are."""
    found: dict[str, CellKind] = {}
    for name in columns:
        number = name in numbers if numbers else name not in text
        found[name] = "flag" if name in flags else "number" if number else "text"
    return found


_OUTPUT: Final[dict[str, dict[str, CellKind]]] = {
    "exceptions": _kinds(EXCEPTION_COLUMNS, text=EXCEPTION_COLUMNS),
    "counts": _kinds(COUNT_COLUMNS, numbers=("n", "n_parent", "pct_parent")),
    "quality": _kinds(QUALITY_COLUMNS, numbers=("value",)),
    "virology": _kinds(VIROLOGY_COLUMNS, text=_VIROLOGY_TEXT, flags=("is_baseline",)),
    "obs": _kinds(tuple(VISIT_OBS), text=_OBS_TEXT, flags=_OBS_FLAGS),
    "var": _kinds(tuple(VISIT_VAR), numbers=("ref_low", "ref_high"), flags=("is_key",)),
    "functional_readouts": _kinds(READOUT_COLUMNS, text=READOUT_COLUMNS),
    "clearance_times": _kinds(
        (*TIME_TO_CLEARANCE_COLUMNS, "competing_day", "arm"),
        text=("usubjid", "rule_id", "competing", "reason", "arm"),
        flags=("observed",),
    ),
    "clearance_curves": _kinds(CURVE_COLUMNS, text=_CURVE_TEXT),
    "cmv_change": _kinds(CMV_CHANGE_COLUMNS, text=("usubjid", "arm", "visit", "population", "measure", "cmv_kind")),
    "power": _kinds(POWER_COLUMNS, text=("scenario", "method_id")),
    UNS_PLAN_RUNS: _kinds(PLAN_RUN_COLUMNS, text=_PLAN_RUN_TEXT),
    STATISTICS: _kinds(STATISTIC_COLUMNS, text=STATISTIC_TEXT),
}


@cache
def cell_kinds(table: str) -> dict[str, CellKind]:
    """Kind of every column that a table has by its specification.

    Parameters
    ----------
    table
        A table of the study or of the results folder, ``quality``, ``counts``, ``exceptions``, ``virology``, ``obs``
        and ``var`` of the visits object, or ``statistics`` for every table of effects.

    Returns
    -------
    dict
        Column -> ``text``, ``number`` or ``flag``; of a table of the results folder only what is not text.

    Raises
    ------
    ValueError
        The schema has no table of this name.
    """
    if table in _OUTPUT:
        return _OUTPUT[table]
    if table in TABLES and table not in RESULT_TABLES:
        return {column.name: _OF_COLUMN[column.kind] for column in TABLES[table].columns}
    if table in RESULT_TABLES:
        spec = RESULT_TABLES[table]
        base = {column.name: _OF_COLUMN[column.kind] for column in TABLES[table].columns} if table in TABLES else {}
        return base | dict.fromkeys(spec.numbers, "number") | dict.fromkeys(spec.flags, "flag")
    near = ", ".join(difflib.get_close_matches(table, {*_OUTPUT, *TABLES, *RESULT_TABLES}, n=3))
    msg = f"the schema has no table {table!r}" + (f"; near: {near}" if near else "")
    raise ValueError(msg)
