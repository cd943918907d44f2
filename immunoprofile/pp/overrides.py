"""A person's word against a check: the computed state stays beside the one that was set, with reason and author."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from immunoprofile.errors import Problems, StudyError
from immunoprofile.io.records import records
from immunoprofile.pp.flags import split_flags
from immunoprofile.schema import QUALITY_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

OVERRIDE_COLUMNS: Final = ("usubjid", "visit", "tube_id", "check", "state", "reason", "author", "dtc")
"""Columns of the study table ``overrides``; ``tube_id`` is empty for a check of the visit as a whole."""

OVERRIDE_STATES: Final = ("PASS", "WARN", "FAIL")
"""States that a person can set; "not evaluable" is found, never declared."""

ADDED_COLUMNS: Final = ("computed_state", "override_reason", "override_author", "override_dtc")
"""Columns beside ``schema.QUALITY_COLUMNS`` in a table with overrides; text, empty where nothing was overridden."""

OVERRIDE: Final = "OVERRIDE"


def apply_overrides(
    quality: pd.DataFrame, overrides: pd.DataFrame | None, *, unused: list[int] | None = None
) -> pd.DataFrame:
    """Set the states that a person decided, and keep what was computed.

    Parameters
    ----------
    quality
        Rows of :func:`immunoprofile.pp.verdict` and :func:`immunoprofile.pp.file_findings`, as they were computed.
    overrides
        Columns ``OVERRIDE_COLUMNS``; ``check`` as it stands in the table of checks (``lymphosum``, ``events treg``).
        None or no rows: nothing is overridden.
    unused
        List that takes the numbers of rows (from 1) that name no row of the checks; without it these are an error.

    Returns
    -------
    DataFrame
        ``quality`` in the same order with ``ADDED_COLUMNS``. In an overridden row ``state`` is the one that was set,
        ``computed_state`` the one that was found, and ``flag`` keeps its code and gets ``OVERRIDE``. Give it to
        :func:`immunoprofile.pp.summarise`.

    Raises
    ------
    StudyError
        Every row that has no reason or no author, an unknown state, names no row of the checks, or names one that
        another row names already.
    """
    result = quality.reset_index(drop=True).copy()
    result["computed_state"] = result["state"].astype(str)
    for column in ADDED_COLUMNS[1:]:
        result[column] = ""
    if overrides is None or overrides.empty:
        return result
    problems = Problems()
    if missing := [name for name in OVERRIDE_COLUMNS if name not in overrides.columns]:
        problems.add("overrides", f"columns are missing: {', '.join(missing)}")
        raise StudyError("overrides cannot be used", problems.found)
    places: dict[tuple[str, ...], list[int]] = {}
    for place, row in enumerate(records(result, "quality")):
        places.setdefault(tuple(row[name] for name in ("usubjid", "visit", "tube", "check")), []).append(place)
    done: set[tuple[str, ...]] = set()
    for number, row in enumerate(records(overrides, "overrides"), 1):
        *names, state, reason, author, dtc = (row[name].strip() for name in OVERRIDE_COLUMNS)
        key = tuple(names)
        before = len(problems)
        for column, value in (("reason", reason), ("author", author)):
            if not value:
                problems.add("overrides", f"an override needs its {column}", row=number, column=column)
        if state not in OVERRIDE_STATES:
            problems.add("overrides", "no state that a person can set", row=number, column="state", value=state,
                         allowed=", ".join(OVERRIDE_STATES))  # fmt: skip
        if key not in places and unused is not None:
            unused.append(number)
            continue
        if key not in places:
            problems.add(
                "overrides", "there is no such check to override", row=number, column="check", value=" ".join(key)
            )
        if key in done:
            problems.add("overrides", "a row above overrides the same check", row=number, column="check")
        done.add(key)
        if len(problems) > before:
            continue
        for place in places[key]:
            result.loc[place, ["state", *ADDED_COLUMNS[1:]]] = [state, reason, author, dtc]
            result.loc[place, "flag"] = " ".join([*split_flags(result.loc[place, "flag"]), OVERRIDE])
    if problems:
        raise StudyError("overrides cannot be used", problems.found, todo="correct the table overrides of the study")
    return result[[*QUALITY_COLUMNS, *ADDED_COLUMNS]]
