"""All CMV-DNA of a study in one call: results, rules, kinetics, times to clearance, columns of the visits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from immunoprofile.schema import CMV_VISIT_OBS
from immunoprofile.virology.agreement import agreement
from immunoprofile.virology.clearance_rules import blips, clearance
from immunoprofile.virology.clearance_times import time_to_clearance
from immunoprofile.virology.courses import Course, HasCourses, courses
from immunoprofile.virology.results import Censoring
from immunoprofile.virology.rule_table import judge, rule_frame
from immunoprofile.virology.rulebook import RuleBook, rulebook
from immunoprofile.virology.series import VIROLOGY_FLAGS_COLUMN, cmv_results
from immunoprofile.virology.verdicts import Verdict
from immunoprofile.virology.viral_kinetics import kinetics

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from immunoprofile.errors import Problems


@dataclass(frozen=True, eq=False)
class VirologyTables:
    """What is known of CMV-DNA in a study.

    Attributes
    ----------
    results
        virology.csv: one row a result, ``schema.VIROLOGY_COLUMNS`` and ``flags`` (BLIP included).
    rules
        virology_rules.csv: one row a subject and rule, ``schema.CMV_RULE_COLUMNS``.
    kinetics
        virology_kinetics.csv: one row a subject, ``schema.CMV_KINETICS``.
    clearance
        virology_clearance.csv: ``schema.CMV_CLEARANCE_COLUMNS``.
    agreement
        virology_agreement.csv: definitions of one thing held against each other, ``schema.CMV_AGREEMENT_COLUMNS``.
    visits
        ``usubjid``, ``visit`` and the columns ``schema.CMV_VISIT_OBS``, for visits with a result.
    caveat
        Sentence that is printed with every verdict.
    """

    results: pd.DataFrame
    rules: pd.DataFrame
    kinetics: pd.DataFrame
    clearance: pd.DataFrame
    agreement: pd.DataFrame
    visits: pd.DataFrame
    caveat: str


def evaluate(
    study: HasCourses,
    *,
    adequacy: pd.DataFrame | None = None,
    confounders: pd.DataFrame | None = None,
    as_of: str = "",
    censoring: Censoring = "lloq",
    book: RuleBook | None = None,
    problems: Problems | None = None,
) -> VirologyTables:
    """Read, judge and summarise all CMV-DNA results of a study.

    Parameters
    ----------
    study
        Subjects, CMV-DNA results, doses and events.
    adequacy
        Appropriately dosed intervals (``schema.DOSE_ADEQUACY_COLUMNS``); None: the rules that need them are
        NOT_EVALUABLE.
    confounders
        Drugs that change CMV-DNA by themselves (``schema.CONFOUNDED_COLUMNS``, from `clinical.cmv_confounders`); every
        verdict says which of them touch it, and none is changed by them.
    as_of
        ISO date of the data cut: a later result is a problem; empty: not checked.
    censoring
        ``lloq``, or ``lod`` for the sensitivity analysis.
    book
        Rules and parameters, see `rulebook`.
    problems
        Collects results that cannot be used; they stay as INVALID rows. Without it they are raised.

    Raises
    ------
    StudyError
        Results cannot be used, all problems at once.
    """
    chosen = rulebook() if book is None else book
    results = cmv_results(
        study, baseline_window_days=chosen.baseline_window_days, as_of=as_of, censoring=censoring, problems=problems
    )
    found = courses(study, results, adequacy, confounders=confounders)
    results = _with_blips(results, found, chosen)
    judged = rule_frame([(course, judge(course, chosen)) for course in found], chosen)
    return VirologyTables(
        results,
        judged,
        kinetics(study, results=results, censoring=censoring, book=chosen),
        time_to_clearance(study, results=results, book=chosen),
        agreement(judged, book=chosen),
        annotate_visits(study, results=results, adequacy=adequacy, confounders=confounders, book=chosen),
        chosen.caveat,
    )


def annotate_visits(
    study: HasCourses,
    *,
    results: pd.DataFrame,
    adequacy: pd.DataFrame | None = None,
    confounders: pd.DataFrame | None = None,
    book: RuleBook | None = None,
) -> pd.DataFrame:
    """What the rules say at each visit, from the results until that visit: a report of day 14 knows nothing of day 28.

    Returns
    -------
    DataFrame with ``usubjid``, ``visit`` and the columns ``schema.CMV_VISIT_OBS``, one row a subject and visit that has
    a result, in the order of ``results``. The flags are those of all results of the visit.
    """
    import pandas as pd

    chosen = rulebook() if book is None else book
    of_subject = {course.usubjid: course for course in courses(study, results, adequacy, confounders=confounders)}
    rows = []
    for (usubjid, visit), own in results.groupby(["usubjid", "visit"], sort=False):
        course = of_subject.get(str(usubjid))
        known = own["virology_day"].dropna()
        verdicts: Mapping[str, Verdict] = {}
        if course is not None and len(known):
            course = course.until(int(known.max()))
            verdicts = judge(course, chosen)
        state = "NOT_EVALUABLE" if course is None or not verdicts else _clearance_state(course, verdicts, chosen)
        flags: dict[str, None] = dict.fromkeys(
            code for text in own[VIROLOGY_FLAGS_COLUMN] for code in str(text).split()
        )
        if course is not None and course.confounded():
            flags["CMV_CONFOUNDED"] = None
        true = " ".join(name for name, verdict in verdicts.items() if verdict.true)
        rows.append((usubjid, visit, state, _status(verdicts, state), true, " ".join(flags)))
    return pd.DataFrame(rows, columns=["usubjid", "visit", *CMV_VISIT_OBS])


def _clearance_state(course: Course, verdicts: Mapping[str, Verdict], book: RuleBook) -> str:
    cleared, rebound = verdicts["clearance_2"], verdicts["rebound"]
    if not cleared.true:
        if all(sample.below for sample in course.samples):
            return "NOT_EVALUABLE"  # nothing to clear, or no result
        return "BELOW_LLOQ" if course.samples[-1].below else "NOT_CLEARED"
    if not course.samples[-1].below:
        return "RETURNED"
    if rebound.true:
        since = tuple(sample for sample in course.samples if sample.date >= rebound.date)
        days_apart = book.rules["clearance_2"].parameters["days_apart"]
        return "CLEARED" if clearance(since, lambda one: one.below, days_apart=days_apart).true else "BELOW_LLOQ"
    return "CLEARED"


def _status(verdicts: Mapping[str, Verdict], state: str) -> str:
    """One word for a report; what came last in the course stands first."""
    if not verdicts:
        return "NOT_EVALUABLE"
    refractory, cleared = verdicts["refractory_2019"], verdicts["clearance_2"]
    if refractory.true and not (cleared.true and cleared.upper > refractory.upper):
        return "REFRACTORY"
    if cleared.true:
        return state if state in ("RETURNED", "CLEARED") else "RETURNED"
    if verdicts["probable_refractory_2019"].true or verdicts["probable_refractory_kotton2025"].true:
        return "PROBABLE_REFRACTORY"
    if verdicts["failure_1log_2wk"].true:
        return "FAILURE"
    response = verdicts["vr_d14"].result
    return {"TRUE": "RESPONDING", "FALSE": "NOT_RESPONDING"}.get(response, "NOT_EVALUABLE")


def _with_blips(results: pd.DataFrame, found: list[Course], book: RuleBook) -> pd.DataFrame:
    within = book.rules["blip"].parameters["next_within_days"]
    rows = {one.row for course in found if course.anchored for _, one, _ in blips(course.samples, within_days=within)}
    flags = [
        f"{text} BLIP".strip() if place in rows else text for place, text in enumerate(results[VIROLOGY_FLAGS_COLUMN])
    ]
    return results.assign(**{VIROLOGY_FLAGS_COLUMN: flags})
