"""What people wrote - overrides, reviews, queries, releases, targets of controls - held against the study first."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from immunoprofile import schema
from immunoprofile.compensation.applied import CHECK as ALREADY_COMPENSATED
from immunoprofile.errors import Problems, StudyError
from immunoprofile.io.records import numbered, records
from immunoprofile.resources.checks import quality_checks

if TYPE_CHECKING:
    from immunoprofile.gate.strategy import Strategy
    from immunoprofile.study import Study

COHORT: Final = "COHORT"
"""In the column ``visit`` of ``reviews.csv``: the cohort report."""
_COUNTED: Final = ("events", "parent_events")
"""Checks that are made of each declared endpoint: ``events treg``."""
_OTHERS: Final = ("attempts", ALREADY_COMPENSATED, "nk_without_monocytes", "specimen")
"""Checks without limits, which the table of checks does not have."""
_REPORT_ID: Final = re.compile(r"[0-9a-f]{8,64}\Z")
_TABLE_ROW: Final = re.compile(r"(\w+?)(?:\.csv)?,? row (\d+)\Z")


def check_decisions(study: Study, gates: Mapping[str, Strategy]) -> None:
    """Refuse rows of ``overrides``, ``reviews``, ``queries`` and of the tables of controls that are about nothing.

    A run lasts hours; what a person mistyped is told before it begins. Whether a check was made that an override is
    about can only be known at its end: then the override is listed in ``exceptions.csv`` (`notes.note_overrides`).

    Parameters
    ----------
    study
        From `read_study`.
    gates
        The strategies of its tubes.

    Raises
    ------
    StudyError
        All rows that name an unknown subject, visit, tube, check, report or record.
    """
    problems = Problems()
    _left_out(study, problems)
    _overrides(study, gates, problems)
    _reviews(study, problems)
    _queries(study, problems)
    _releases(study, problems)
    _targets(study, gates, problems)
    if problems:
        raise StudyError(
            "what people wrote does not fit the study", problems.found, where=str(study.folder),
            todo="correct the tables; see docs/study-folder.md",
        )  # fmt: skip


def known_checks(study: Study) -> list[str]:
    """Names that a row of quality.csv of this study can have in the column ``check``."""
    endpoints = [endpoint.population for endpoint in study.config.endpoints]
    plain = [name for name in quality_checks(study.config.check_limits) if name not in _COUNTED]
    return sorted([*plain, *_OTHERS, *(f"{name} {population}" for name in _COUNTED for population in endpoints)])


def _left_out(study: Study, problems: Problems) -> None:
    """Rows that `read_study` left out, since their subject is unknown."""
    for row in records(study.exceptions, "exceptions"):
        if row["table"] in ("overrides", "reviews") and row["code"] == "UNKNOWN_SUBJECT":
            number = int(row["row"]) if row["row"].isdigit() else None
            problems.add(f"{row['table']}.csv", "no such subject in the study", row=number, column="usubjid",
                         value=row["usubjid"])  # fmt: skip


def _overrides(study: Study, gates: Mapping[str, Strategy], problems: Problems) -> None:
    samples = records(study.samples, "samples")
    held = {(row["usubjid"], row["visit"]) for row in samples if row["visit"]}
    used = {(row["usubjid"], row["visit"], row["tube_id"]) for row in samples}
    checks = known_checks(study)
    for number, row in numbered(study.overrides, "overrides"):
        subject, visit, tube, check = (row[name] for name in ("usubjid", "visit", "tube_id", "check"))
        told = _teller(problems, "overrides.csv", number)
        if check not in checks:
            near = difflib.get_close_matches(check, checks, n=1)
            told("check", "there is no such check", check, f"did you mean {near[0]}?" if near else ", ".join(checks))
        if tube and tube not in gates:
            told("tube_id", "there is no such tube", tube, ", ".join(gates))
        elif tube and (subject, visit) in held and (subject, visit, tube) not in used:
            told("tube_id", "the visit has no sample of this tube", tube, "")
        if (subject, visit) not in held:
            told("visit", f"subject {subject} has no sample of this visit", visit, "")


def _reviews(study: Study, problems: Problems) -> None:
    visits = {(row["usubjid"], row["visit"]) for row in records(study.samples, "samples")}
    planned = set(study.config.visit_names)
    for number, row in numbered(study.reviews, "reviews"):
        told = _teller(problems, "reviews.csv", number)
        if (row["visit"] == COHORT) == bool(row["usubjid"]):
            told("usubjid", "the cohort report has no subject, that of a visit has one", row["usubjid"], "")
        if row["visit"] not in planned | {COHORT} and (row["usubjid"], row["visit"]) not in visits:
            told("visit", "there is no such visit", row["visit"], ", ".join([*study.config.visit_names, COHORT]))
        if not _REPORT_ID.match(row["report_id"]):
            told("report_id", "is no id of a report", row["report_id"], "the id as it is printed on the report")


def _queries(study: Study, problems: Problems) -> None:
    samples, subjects = set(study.samples["sample_id"]), set(study.subjects["usubjid"])
    visits = {f"{one} {visit}" for one in subjects for visit in study.config.visit_names}
    visits |= {f"{row['usubjid']} {row['visit']}" for row in records(study.samples, "samples")}
    rows = {visit.replace(" ", "_") for visit in visits}  # as the rows of the visits object are named
    # A query may well be about a row that was left out.
    left_out = {row[name] for row in records(study.exceptions, "exceptions") for name in ("sample_id", "usubjid")}
    for number, row in numbered(study.queries, "queries"):
        record = row["record"]
        of_table = _TABLE_ROW.match(record)
        known = record in samples | subjects | visits | rows | left_out
        if not known and not (of_table and of_table[1] in schema.TABLES):
            near = difflib.get_close_matches(record, [*samples, *visits], n=1)
            _teller(problems, "queries.csv", number)(
                "record", "names nothing in the study", record,
                f"did you mean {near[0]}?" if near else "a sample_id, SUBJECT VISIT, a subject, or TABLE row NUMBER",
            )  # fmt: skip


def _releases(study: Study, problems: Problems) -> None:
    known = {(row["batch_id"], row["tube_id"]) for row in records(study.samples, "samples") if row["role"] == "control"}
    batches = sorted({batch for batch, _ in known if batch})
    for number, row in numbered(study.control_releases, "control_releases"):
        if (row["batch_id"], row["tube_id"]) not in known:
            near = difflib.get_close_matches(row["batch_id"], batches, n=1)
            hint = f"did you mean {near[0]}?" if near and near[0] != row["batch_id"] else "a batch of role control"
            _teller(problems, "control_releases.csv", number)(
                "batch_id", f"tube {row['tube_id']} has no control in this batch", row["batch_id"], hint
            )


def _targets(study: Study, gates: Mapping[str, Strategy], problems: Problems) -> None:
    lots = {(row["control_lot"], row["tube_id"]) for row in records(study.samples, "samples")
            if row["role"] == "control"}  # fmt: skip
    for number, row in numbered(study.control_targets, "control_targets"):
        told = _teller(problems, "control_targets.csv", number)
        tube, population = row["tube_id"], row["population"]
        if tube not in gates:
            told("tube_id", "there is no such tube", tube, ", ".join(gates))
            continue
        if population not in gates[tube]:
            near = difflib.get_close_matches(population, gates[tube].populations, n=1)
            told("population", f"tube {tube} has no such population", population,
                 f"did you mean {near[0]}?" if near else ", ".join(gates[tube].populations))  # fmt: skip
        if (row["control_lot"], tube) not in lots:
            known = ", ".join(sorted(lot or "(empty)" for lot, one in lots if one == tube))
            told("control_lot", f"no control of tube {tube} has this lot", row["control_lot"], known)
        if row["measure"] == "abs" and tube != study.config.count_tube:
            told("measure", "only the counting tube has cells/uL", "abs", "pct_parent")
        if row["sd_within"] > row["sd"]:
            told("sd_within", "is greater than sd, which holds it", f"{row['sd_within']:g}", f"at most {row['sd']:g}")
    named = study.config.controls.populations
    known_names = {name for strategy in gates.values() for name in strategy.populations}
    for name in named:
        if name not in known_names:
            near = difflib.get_close_matches(name, sorted(known_names), n=1)
            problems.add("study.yaml", "no tube has this population", column="controls.populations", value=name,
                         allowed=f"did you mean {near[0]}?" if near else "")  # fmt: skip


def _teller(problems: Problems, where: str, number: int) -> Callable[[str, str, str, str], None]:
    def told(column: str, what: str, value: str, allowed: str) -> None:
        problems.add(where, what, row=number, column=column, value=value, allowed=allowed)

    return told
