"""The one judge of quality checks: limits from a table or a study, what a value means, and its row in quality.csv.

Every room that checks something (events of a file, a compensation matrix, a visit) gets its limits here and hands on a
`Finding`; nobody else compares a value with a limit or puts limits into words.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from immunoprofile.errors import AnalysisError
from immunoprofile.resources import load_yaml
from immunoprofile.schema import QUALITY_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

__all__ = [
    "Check",
    "Finding",
    "Limits",
    "QualityRow",
    "State",
    "StudyLimits",
    "check_title",
    "quality_checks",
    "quality_table",
]

State = Literal["PASS", "WARN", "FAIL", "NOT_EVALUABLE"]
Limits = tuple[float, float]
"""Lowest and highest value, both allowed; infinite where open."""
StudyLimits = Mapping[str, Mapping[str, Sequence[float | None]]]
"""Limits of a study: check -> ``pass`` and ``warn``, each (lowest, highest), None where open."""
_DIGITS = 10
"""Decimals to which a value is rounded before it is compared: 100 * 95 / 100 is 95, whatever floats make of it."""


class QualityRow(NamedTuple):
    """One row of quality.csv; the names are ``schema.QUALITY_COLUMNS``.

    ``tube`` and ``sample_id`` are empty for a check of the visit as a whole.
    """

    usubjid: str
    visit: str
    tube: str
    sample_id: str
    check: str
    value: float
    unit: str
    limits: str
    state: str
    flag: str


def quality_table(rows: Iterable[QualityRow]) -> pd.DataFrame:
    """Rows of quality.csv as a table with ``schema.QUALITY_COLUMNS``, also when there is none."""
    import pandas as pd

    return pd.DataFrame(list(rows), columns=list(QUALITY_COLUMNS)).astype({"value": "float64"})


@dataclass(frozen=True)
class Finding:
    """What one check found: a value, its limits and what it means.

    Attributes
    ----------
    check
        Name of the check.
    state
        PASS, WARN, FAIL or NOT_EVALUABLE; what could not be judged is never a pass.
    value, unit, limits
        What was measured, and what passes, in words. NaN when nothing was measured.
    text
        What a person should read beside it, with what to do; may be empty.
    flag
        Code that the state sets, empty for none.
    confidence
        0 to 1, how clear the finding is; 1 for what is simply true, NaN when nothing could be judged.
    """

    check: str
    state: State
    value: float
    unit: str
    limits: str
    text: str = ""
    flag: str = ""
    confidence: float = 1.0

    def row(self, usubjid: str, visit: str, tube: str = "", sample_id: str = "", *, of: str = "") -> QualityRow:
        """The row of quality.csv.

        Parameters
        ----------
        usubjid, visit, tube, sample_id
            What the finding is about.
        of
            Population or readout of a check that is made for several, joined to its name.
        """
        # the same few words stand in thousands of rows
        name, limits = sys.intern(f"{self.check} {of}".strip()), sys.intern(self.limits)
        return QualityRow(usubjid, visit, tube, sample_id, name, self.value, self.unit, limits, self.state, self.flag)


@dataclass(frozen=True)
class Check:
    """One check: what is measured, in which unit, and what a value means.

    Attributes
    ----------
    name, unit, meaning
        What is checked.
    passes, warns
        Lowest and highest value, both allowed; infinite where open. None where only the site can give limits: then
        nothing can be judged.
    worst
        State outside ``warns``. FAIL is for technical faults only.
    flag
        Code that WARN and FAIL set, empty for none.
    counting_se
        For a difference of percentages: also accepted within that many standard errors of counting; 0 = never.
    source, tag
        Where the limits come from (V seen, K general knowledge, A decision of the project).
    """

    name: str
    unit: str
    passes: Limits | None
    warns: Limits | None
    worst: Literal["WARN", "FAIL"]
    flag: str
    meaning: str
    source: str
    tag: str
    counting_se: float = 0.0

    def state(self, value: float, *, standard_error: float = 0.0) -> State:
        """State of a value; NOT_EVALUABLE when it is missing, or when there are no limits."""
        if math.isnan(value) or self.passes is None or self.warns is None:
            return "NOT_EVALUABLE"
        counting = self.counting_se * standard_error
        if _within(value, self.passes) or (counting > 0 and value <= counting):
            return "PASS"
        return "WARN" if _within(value, self.warns) else self.worst

    def judge(self, value: float, *, standard_error: float = 0.0, unknown_flag: str = "", text: str = "") -> Finding:
        """The finding on a value.

        Parameters
        ----------
        value
            In ``unit``; NaN is not evaluable, never a pass.
        standard_error
            Of counting, in ``unit``; counts only where the check has ``counting_se``.
        unknown_flag
            Code of a value that is not evaluable, empty for none.
        text
            What a person should read beside the value.
        """
        state = self.state(value, standard_error=standard_error)
        flag = {"PASS": "", "NOT_EVALUABLE": unknown_flag}.get(state, self.flag)
        confidence = math.nan if state == "NOT_EVALUABLE" else 1.0
        return Finding(self.name, state, value, self.unit, self.limits, text, flag, confidence)

    @property
    def limits(self) -> str:
        """The limits in words, for example ``pass 95 to 105, warn 90 to 110``."""
        if self.passes is None or self.warns is None:
            return "limits of the site"
        text = f"pass {_words(self.passes)}"
        return text if self.warns == self.passes else f"{text}, warn {_words(self.warns)}"


def quality_checks(
    limits: StudyLimits | None = None,
) -> dict[str, Check]:
    """The checks of the package, with other limits where a study or site has its own.

    Parameters
    ----------
    limits
        Name of the check -> ``{"pass": [low, high], "warn": [low, high]}``; None is open, either may be left out. What
        was left out follows what was given: the warning limits are never tighter than the pass limits. Pass limits
        alone widen the warning limits of the package where they reach beyond them, warning limits alone cut its pass
        limits off. A check without limits of the package needs ``pass``.

    Raises
    ------
    AnalysisError
        There is no such check; limits are not ``pass`` and ``warn``, are no pair of numbers in rising order, or
        contradict each other.

    Examples
    --------
    >>> quality_checks({"gated_lymphocytes": {"pass": [2500, None], "warn": [500, None]}})["gated_lymphocytes"].limits
    'pass at least 2500, warn at least 500'
    >>> quality_checks({"margins": {"pass": [None, 80]}})["margins"].limits
    'pass at most 80'
    """
    checks = dict(_table())
    for name, given in (limits or {}).items():
        if name not in checks:
            raise AnalysisError(f"no check {name!r}", where="limits", todo=f"one of: {', '.join(checks)}")
        checks[name] = _with_limits(checks[name], given)
    return checks


@cache
def _table() -> Mapping[str, Check]:
    # Read once: parsing the table takes longer than many of the checks.
    return {
        name: Check(
            name=name,
            passes=None if entry["pass"] is None else _pair(entry["pass"], name),
            warns=None if entry["warn"] is None else _pair(entry["warn"], name),
            **{key: entry[key] for key in ("unit", "worst", "flag", "meaning", "source", "tag")},
            counting_se=float(entry.get("counting_se", 0)),
        )
        for name, entry in load_yaml("quality_checks.yaml")["checks"].items()
    }


@cache
def check_title(name: str) -> str:
    """Name of a check for people; a check of a population keeps that behind it.

    Examples
    --------
    >>> check_title("t_sum"), check_title("events nk")
    ('CD4 + CD8 against CD3', 'Events: nk')
    """
    check, _, of = name.partition(" ")
    title = str(load_yaml("quality_checks.yaml")["titles"].get(check, check.replace("_", " ")))
    return f"{title}: {of}" if of else title


def _with_limits(check: Check, given: Mapping[str, Sequence[float | None]]) -> Check:
    """The check with the limits of a study."""
    where = f"limits of {check.name}"
    if unknown := set(given) - {"pass", "warn"}:
        raise AnalysisError(f"{', '.join(sorted(unknown))} is not a limit", where=where, todo="use 'pass' and 'warn'")
    passes = _pair(given["pass"], check.name) if "pass" in given else check.passes
    warns = _pair(given["warn"], check.name) if "warn" in given else check.warns
    if passes is None:
        raise AnalysisError("only warning limits are given", where=where, todo="give 'pass' as well")
    if "warn" not in given or warns is None:
        widest = check.warns or passes
        warns = (min(widest[0], passes[0]), max(widest[1], passes[1]))
    elif "pass" not in given:
        passes = (max(passes[0], warns[0]), min(passes[1], warns[1]))
        if passes[0] > passes[1]:
            raise AnalysisError(f"warn {_words(warns)} leaves nothing of pass {_words(check.passes or passes)}",
                                where=where, todo="give 'pass' as well")  # fmt: skip
    elif warns[0] > passes[0] or warns[1] < passes[1]:
        raise AnalysisError(f"warn {_words(warns)} is tighter than pass {_words(passes)}", where=where,
                            todo="let the warning limits hold the pass limits")  # fmt: skip
    return replace(check, passes=passes, warns=warns, source="study")


def _pair(pair: Sequence[float | None], name: str) -> Limits:
    low, high = pair
    limits = (-math.inf if low is None else float(low), math.inf if high is None else float(high))
    if not limits[0] <= limits[1]:
        raise AnalysisError(f"{list(pair)} is no range", where=f"limits of {name}",
                            todo="give the lowest value first, null where it is open")  # fmt: skip
    return limits


def _within(value: float, limits: Limits) -> bool:
    return limits[0] <= round(value, _DIGITS) <= limits[1]


def _words(limits: Limits) -> str:
    low, high = limits
    if math.isinf(low):
        return "any" if math.isinf(high) else f"at most {high:g}"
    return f"at least {low:g}" if math.isinf(high) else f"{low:g} to {high:g}"
