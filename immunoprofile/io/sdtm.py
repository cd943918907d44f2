"""CDISC SDTM domains from flat tables, by the mapping in ``resources/sdtm.yaml``.

The mapping is data; what it cannot carry over is listed, never dropped in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from immunoprofile.errors import OutputError, ProblemListError, Problems
from immunoprofile.io.files import remove_files, write_table
from immunoprofile.io.only_writer import export_folder
from immunoprofile.io.records import value_of
from immunoprofile.resources import load_yaml

if TYPE_CHECKING:
    import pandas as pd

LONGEST_NAME = 8
"""Characters of a variable or test code (SAS XPORT version 5)."""

LONGEST_TEST = 40
"""Characters of a --TEST; the text of a criterion (IETEST) may be longer."""

LONGEST_TEXT = 200
"""Bytes of a text value (SAS XPORT version 5)."""

UNMAPPED_COLUMNS = ("domain", "table", "column", "value", "records", "reason")
KEYS = ("STUDYID", "DOMAIN", "USUBJID")


@dataclass(frozen=True, eq=False)
class Sdtm:
    """Domains and what could not be mapped.

    Attributes
    ----------
    domains
        Domain code -> table with SDTM variables, in the order of the mapping.
    unmapped
        One row (`UNMAPPED_COLUMNS`) per column, value or record that the domains do not hold, and why.
    """

    domains: Mapping[str, pd.DataFrame]
    unmapped: pd.DataFrame

    def write(self, folder: str | Path) -> list[Path]:
        """Write ``<domain>.csv`` for each domain (lower-case names, as data sets are called) and ``unmapped.csv``.

        Domains of an earlier export go first, so that no folder holds those of two. ``unmapped.csv`` is written last.

        Raises
        ------
        ResultsError
            The folder is a results or study folder, or another process is at work in it.
        OutputError
            It cannot be written.
        """
        out = Path(folder)
        written = [(out / f"{code.lower()}.csv", table) for code, table in self.domains.items()]
        written.append((out / "unmapped.csv", self.unmapped))
        with export_folder(out, "sdtm"):
            own = [out / f"{code.lower()}.csv" for code in (*mapping()["domains"], "unmapped")]
            remove_files(own)
            try:
                for path, table in written:
                    write_table(path, table)
            except OutputError:
                remove_files(own)  # some domains alone would pass for all of them
                raise
        return [path for path, _ in written]


@cache
def mapping() -> dict[str, Any]:
    """The mapping: ``domains``, ``codes`` and ``cell_populations``."""
    return load_yaml("sdtm.yaml")


def to_sdtm(sources: Mapping[str, pd.DataFrame], *, study_id: str) -> Sdtm:
    """SDTM domains from source tables.

    Parameters
    ----------
    sources
        The tables that the mapping names (``source``), with ``usubjid`` and one row a record. A table that is absent
        or empty gives an empty domain and an entry in ``unmapped``.
    study_id
        STUDYID.

    Returns
    -------
    Sdtm
        Records are in the order of the source within each subject; --SEQ counts them from 1.

    Raises
    ------
    ProblemListError
        The mapping breaks a rule of the format: names or test codes over 8 characters, tests over 40, two tests with
        one code or two codes with one test.

    Notes
    -----
    Structure: CDISC SDTM Implementation Guide 3.4. Cell phenotypes go to CP, as that guide introduced, not to LB.
    """
    import pandas as pd

    domains: dict[str, pd.DataFrame] = {}
    unmapped: list[tuple[str, ...]] = []
    for code, rules in mapping()["domains"].items():
        source = sources.get(rules["source"], pd.DataFrame())
        domains[code] = _domain(code, rules, source, study_id, unmapped)
    result = Sdtm(domains, pd.DataFrame(unmapped, columns=list(UNMAPPED_COLUMNS)))
    _check(result)
    return result


def _domain(
    code: str, rules: Mapping[str, Any], source: pd.DataFrame, study_id: str, unmapped: list[tuple[str, ...]]
) -> pd.DataFrame:
    import pandas as pd

    table = str(rules["source"])
    variables: Mapping[str, Any] = rules["variables"]
    sequence = [] if code == "DM" else [f"{code}SEQ"]
    names = [*KEYS, *sequence, *variables]
    if source.empty:
        unmapped.append((code, table, "", "", "0", "the table is absent or empty"))
        return pd.DataFrame(columns=names)
    _list_columns(code, rules, source, unmapped)
    records: list[dict[str, str]] = []
    counts: dict[str, int] = {}
    for number, row in enumerate(source.to_dict("records"), 1):
        record = {"STUDYID": study_id, "DOMAIN": code, "USUBJID": as_text(row.get("usubjid"))}
        for name, rule in variables.items():
            record[name] = _value(code, table, rule, row, unmapped)
        missing = [
            name
            for name in rules["required"]
            if not record[name] and _column(variables[name]) in (None, *source.columns)
        ]
        lost = rules["topic"] in missing
        if missing:
            reason = f"{', '.join(missing)} cannot be filled" + ("; there is no record without it" if lost else "")
            unmapped.append((code, table, "", f"{record['USUBJID']}, row {number}", "1", reason))
        if lost:
            continue
        counts[record["USUBJID"]] = counts.get(record["USUBJID"], 0) + 1
        if sequence:
            record[sequence[0]] = str(counts[record["USUBJID"]])
        records.append(record)
    for name in rules["required"]:
        if _column(variables[name]) not in (None, *source.columns):
            unmapped.append((code, table, "", name, str(len(source)), "required by the guide, but no table holds it"))
    return pd.DataFrame(records, columns=names)


def not_exported(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Columns of the tables of a study that have no domain here, as rows of ``unmapped``.

    Parameters
    ----------
    tables
        Tables of a study by name; those that a domain takes are passed over.
    """
    import pandas as pd

    exported = {rules["source"] for rules in mapping()["domains"].values()}
    rows = []
    for name in (name for name in tables if name not in exported):
        reason = f"not exported; belongs to {mapping()['not_exported'].get(name, 'no domain of the mapping')}"
        for column in tables[name].columns:
            filled = sum(bool(as_text(value)) for value in tables[name][column])
            if filled:
                rows.append(("", name, str(column), "", str(filled), reason))
    return pd.DataFrame(rows, columns=list(UNMAPPED_COLUMNS))


def _column(rule: Any) -> str | None:
    """Column that a rule reads; None for a constant."""
    if isinstance(rule, str):
        return rule
    column = rule.get("column")
    return None if column is None else str(column)


def _value(code: str, table: str, rule: Any, row: Mapping[Any, Any], unmapped: list[tuple[str, ...]]) -> str:
    if isinstance(rule, dict) and "value" in rule:
        return str(rule["value"])
    column = str(_column(rule))
    text = _shortened(as_text(row.get(column)), (code, table, column), unmapped)
    if not text or isinstance(rule, str):
        return text
    codes = mapping()["codes"][rule["codes"]]
    if text in codes:
        return str(codes[text])
    entry = (code, table, column, text, "1", f"no term for it in the list {rule['codes']}; exported as it stands")
    if entry not in unmapped:
        unmapped.append(entry)
    return text


def _shortened(text: str, place: tuple[str, str, str], unmapped: list[tuple[str, ...]]) -> str:
    """The text as the format can hold it; the whole of a longer one stands in the list."""
    if len(text.encode()) <= LONGEST_TEXT:
        return text
    unmapped.append((*place, text, "1", f"longer than {LONGEST_TEXT} bytes; the beginning is exported"))
    return text.encode()[:LONGEST_TEXT].decode(errors="ignore")


def _list_columns(code: str, rules: Mapping[str, Any], source: pd.DataFrame, unmapped: list[tuple[str, ...]]) -> None:
    read = {_column(rule) for rule in rules["variables"].values()} | {"usubjid", "visit", "visitnum"}
    read |= set(rules.get("carried", {}))
    for column in source.columns:
        filled = sum(bool(as_text(value)) for value in source[column])
        if column in read or not filled:
            continue
        target = rules["elsewhere"].get(column)
        reason = f"belongs to {target}, which is not exported" if target else "the mapping does not know this column"
        unmapped.append((code, str(rules["source"]), str(column), "", str(filled), reason))


def as_text(value: object) -> str:
    """A cell as SDTM text: empty when missing, Y/N for yes and no, numbers without needless digits."""
    value = value_of(value)
    if isinstance(value, bool | np.bool_):
        return "Y" if value else "N"
    return "" if value is None else f"{value:.10g}" if isinstance(value, float) else str(value)


def _check(result: Sdtm) -> None:
    problems = Problems()
    for code, table in result.domains.items():
        for name in table.columns:
            if len(name) > LONGEST_NAME:
                problems.add(f"{code}.{name}", f"is longer than {LONGEST_NAME} characters")
        if f"{code}TESTCD" not in table.columns:
            continue
        tests = table[[f"{code}TESTCD", f"{code}TEST"]].drop_duplicates()
        for test, group in tests.groupby(f"{code}TEST"):
            if len(str(test)) > LONGEST_TEST and code != "IE":
                problems.add(f"{code}TEST {test}", f"is longer than {LONGEST_TEST} characters")
            if len(group) > 1:
                problems.add(f"{code}TEST {test}", "has several codes", value=", ".join(group.iloc[:, 0]))
        for testcd, group in tests.groupby(f"{code}TESTCD"):
            if len(str(testcd)) > LONGEST_NAME:
                problems.add(f"{code}TESTCD {testcd}", f"is longer than {LONGEST_NAME} characters")
            if len(group) > 1:
                problems.add(f"{code}TESTCD {testcd}", "stands for several tests", value=", ".join(group.iloc[:, 1]))
    if problems:
        raise ProblemListError(
            "the SDTM tables break the format", problems.found, todo="correct resources/sdtm.yaml or the values named"
        )
