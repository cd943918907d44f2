"""All rules on all subjects: one tidy table with the results that each verdict rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from immunoprofile.schema import CMV_RULE_COLUMNS
from immunoprofile.virology.clearance_rules import CLEARANCE_PREDICATES
from immunoprofile.virology.courses import Course, HasCourses, courses
from immunoprofile.virology.response_rules import RESPONSE_PREDICATES
from immunoprofile.virology.rulebook import Rule, RuleBook, rulebook
from immunoprofile.virology.series import cmv_results
from immunoprofile.virology.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

_PREDICATES = RESPONSE_PREDICATES | CLEARANCE_PREDICATES
"""In the order of judging: a rule finds the verdicts of the rules that it builds on."""


def rules(
    study: HasCourses,
    *,
    results: pd.DataFrame | None = None,
    adequacy: pd.DataFrame | None = None,
    confounders: pd.DataFrame | None = None,
    book: RuleBook | None = None,
) -> pd.DataFrame:
    """Judge every CMV rule on every subject of a study.

    Parameters
    ----------
    study
        Subjects, CMV-DNA results, doses and events.
    results
        Table of `cmv_results`; made from the study when it is not given.
    adequacy
        Appropriately dosed intervals of each subject (``schema.DOSE_ADEQUACY_COLUMNS``, days from the first
        ganciclovir). None: rules that need them are NOT_EVALUABLE.
    confounders
        Drugs that change CMV-DNA by themselves (``schema.CONFOUNDED_COLUMNS``): they stand with every verdict that they
        touch, and change none.
    book
        Rules and parameters, see `rulebook`.

    Returns
    -------
    DataFrame with ``schema.CMV_RULE_COLUMNS``, sorted by subject, rules in the order of the rule book, also for
    subjects without results. ``result`` is TRUE, FALSE, NOT_EVALUABLE (an input is missing, or what is known does not
    decide) or NOT_ASSESSED (no resistance test). FALSE says "not until lower_day" where ``upper_day`` is infinite.

    Raises
    ------
    StudyError
        Results cannot be read.
    AnalysisError
        ``adequacy`` has not the columns or words that it must have.
    """
    chosen = rulebook() if book is None else book
    table = _results(study, chosen) if results is None else results
    found = courses(study, table, adequacy, confounders=confounders)
    return rule_frame([(course, judge(course, chosen)) for course in found], chosen)


def judge(course: Course, book: RuleBook) -> dict[str, Verdict]:
    """Verdicts of all rules on one course, by rule id in the order of the rule book."""
    found: dict[str, Verdict] = {}
    for name, predicate in _PREDICATES.items():
        rule = book.rules[name]
        missing = [each for each in rule.required if not course.has(each)]
        found[name] = _missing(rule, book, missing) if missing else predicate(course, rule, found)
    return {name: found[name] for name in book.rules}


def rule_frame(judged: Sequence[tuple[Course, dict[str, Verdict]]], book: RuleBook) -> pd.DataFrame:
    """Verdicts as the table of `rules`."""
    import pandas as pd

    rows = [row for course, verdicts in judged for row in rule_rows(course, verdicts, book)]
    frame = pd.DataFrame(rows, columns=list(CMV_RULE_COLUMNS))
    return frame.astype({"lower_day": "float64", "upper_day": "float64"})


def rule_rows(course: Course, verdicts: dict[str, Verdict], book: RuleBook) -> list[dict[str, Any]]:
    """Verdicts on one course as rows of the table of `rules`: text, and days that are NaN where there is none."""
    left_out = f" [not used: {', '.join(course.left_out)}]" if course.left_out else ""
    rows = []
    for name, verdict in verdicts.items():
        evidence = "; ".join(sample.text for sample in sorted(verdict.evidence, key=lambda one: one.date))
        values = (
            course.usubjid, name, book.rules[name].version, verdict.result, verdict.date, float(verdict.lower),
            float(verdict.upper), evidence, verdict.reason + left_out, verdict.confirmed, _confounders(course, verdict),
        )  # fmt: skip
        rows.append(dict(zip(CMV_RULE_COLUMNS, values, strict=True)))
    return rows


def _confounders(course: Course, verdict: Verdict) -> str:
    """Agents that touch what a verdict rests on; without evidence, the whole course."""
    last = max((sample.date for sample in verdict.evidence), default="")
    return " ".join(dict.fromkeys(one.agent for one in course.confounded(last)))


def _results(study: HasCourses, book: RuleBook) -> pd.DataFrame:
    return cmv_results(study, baseline_window_days=book.baseline_window_days)


def _missing(rule: Rule, book: RuleBook, missing: list[str]) -> Verdict:
    """NOT_ASSESSED when nothing else is missing than an input that says so."""
    words = "; ".join(f"{each} is missing: {book.inputs[each]}" for each in missing)
    for each in missing:
        if rule.on_missing.get(each) == "NOT_ASSESSED":
            return Verdict("NOT_ASSESSED", words)
    return Verdict("NOT_EVALUABLE", words)
