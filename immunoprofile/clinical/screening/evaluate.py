"""All criteria on all subjects: the table of criteria and the overall verdicts."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from immunoprofile.clinical.cmv_confounders import Recognised, recognised
from immunoprofile.clinical.renal import creatinine_clearance
from immunoprofile.clinical.screening import cmv, corticosteroid, history, infections, kleene, organs, successor
from immunoprofile.clinical.screening.records import DATE_COLUMNS, Case, Evidence, Record, Verdict
from immunoprofile.clinical.screening.rules import Criterion, RuleSet, load_rules
from immunoprofile.clinical.screening.wording import listed
from immunoprofile.clinical.steroids import prednisone_equivalents
from immunoprofile.clinical.tables import HasClinical, day_of
from immunoprofile.errors import Problems, StudyError
from immunoprofile.io.dates import drawn_before, first_dose
from immunoprofile.io.records import cells, numbered, records, text_of
from immunoprofile.schema import ELIGIBILITY_COLUMNS, ELIGIBILITY_OVERALL_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

    from immunoprofile.io.config import StudyConfig

Predicate = Callable[[Case, Criterion], Verdict]

PREDICATES: Final[dict[str, Predicate]] = {
    one.__name__: one
    for one in (
        history.rheumatic_disease, cmv.cmv_positive, corticosteroid.corticosteroid_below, cmv.cmv_negative,
        infections.bacteremia, infections.hepatitis_b, infections.hepatitis_c, infections.hiv, infections.syphilis,
        infections.ebv, history.stated, organs.heart_failure, organs.renal, organs.hepatic, history.malignancy,
        history.pregnancy, history.adult, cmv.cmv_positive_plasma, organs.transaminases, successor.age_between,
        successor.weight_between, successor.consented, successor.treated_before,
    )
}  # fmt: skip
"""Functions that judge a criterion, by the name that resources/eligibility.yaml gives them."""

_OVERRIDE_STATES: Final = ("PASS", "FAIL")


class HasEligibility(HasClinical, Protocol):
    """The part of a study that criteria read."""

    @property
    def config(self) -> StudyConfig:
        """Profile, parameters and assays."""

    @property
    def attestations(self) -> pd.DataFrame:
        """Statements of the investigator."""

    @property
    def screening_tests(self) -> pd.DataFrame:
        """Tests for infections, blood cultures, pregnancy tests."""

    @property
    def medical_history(self) -> pd.DataFrame:
        """Malignancies."""

    @property
    def eligibility_overrides(self) -> pd.DataFrame:
        """Decisions of the investigator beside the computed states."""


@dataclass(frozen=True, eq=False)
class Eligibility:
    """Who may enter, and why.

    Attributes
    ----------
    criteria
        One row per subject and criterion (``schema.ELIGIBILITY_COLUMNS``).
    overall
        One row per subject (``schema.ELIGIBILITY_OVERALL_COLUMNS``).
    """

    criteria: pd.DataFrame
    overall: pd.DataFrame


def eligibility(study: HasEligibility, *, profile: str | None = None) -> Eligibility:
    """Judge every criterion of the trial for every subject.

    A subject is judged for one reference date: ``screening_dtc`` where it is stated, else the first dose of either
    study drug, else the randomisation. Records dated after it, or before the window of the criterion, do not count; one
    without a full date that may lie in the window makes the input unknown. Missing data never pass.

    Parameters
    ----------
    study
        Tables ``subjects``, ``visits``, ``labs``, ``cmv_dna``, ``conmeds``, ``attestations``, ``screening_tests``,
        ``medical_history`` and ``eligibility_overrides``; ``config`` has the profile and its parameters.
    profile
        ``seed`` (CMV-DNA detectable) or ``registry`` (above 1000 copies/mL besides) of the trial, or ``successor``
        (the criteria of NCT06971913); None takes that of the study.

    Returns
    -------
    Eligibility
        ``criteria``, sorted by subject and in the order of the criteria: ``state`` is PASS, FAIL, UNKNOWN or
        NOT_APPLICABLE as computed, with the value, unit and date that decided, the limit, an explanation, all inputs as
        JSON text (input, value, unit, date, place), the missing inputs, and the version of the rule with what the study
        changed. An override stands in its own columns and alters nothing.
        ``overall``: ELIGIBLE, INELIGIBLE (any criterion fails) or INDETERMINATE (none fails, any is unknown), with the
        criteria that fail or are unknown and the missing inputs. A CHECK only warns.

    Raises
    ------
    StudyError
        Unknown profile or parameters, or overrides that cannot be used: all at once, with table, row and column.

    Notes
    -----
    Criteria of NCT04225780 and NCT06971913 as resources/eligibility.yaml states them; logic of Kleene with three
    values.

    Examples
    --------
    >>> result = eligibility(study)  # doctest: +SKIP
    >>> result.overall[["usubjid", "state", "missing"]]  # doctest: +SKIP
    """
    import pandas as pd

    rules = load_rules(study.config.eligibility_profile if profile is None else profile, study.config.eligibility)
    overrides = _overrides(study, rules)
    rows: list[dict[str, Any]] = []
    overall = []
    for case in _cases(study, rules):
        own = _subject_rows(case, overrides)
        rows += own
        overall.append(_overall_row(case, own))
    return Eligibility(
        pd.DataFrame(rows, columns=list(ELIGIBILITY_COLUMNS), dtype=object),
        pd.DataFrame(overall, columns=list(ELIGIBILITY_OVERALL_COLUMNS), dtype=object),
    )


def reference_date(subject: Mapping[Any, Any]) -> tuple[str, str]:
    """Date for which a subject is judged and the column it comes from; empty when there is none.

    The stated ``screening_dtc``, else the first dose of either study drug, else the randomisation.
    """
    for name, text in (
        ("screening_dtc", text_of(subject.get("screening_dtc"))),
        ("first_dose_dtc", first_dose(subject)),
        ("randomised_dtc", text_of(subject.get("randomised_dtc"))),
    ):
        if text:
            return text, name
    return "", ""


def _cases(study: HasEligibility, rules: RuleSet) -> list[Case]:
    """Subjects with their records, sorted by id."""
    subjects = sorted(numbered(study.subjects, "subjects"), key=lambda one: (one[1]["usubjid"], one[0]))
    references = {row["usubjid"]: reference_date(row) for _, row in subjects}
    known = _KnownThen(study, {usubjid: date for usubjid, (date, _) in references.items()})
    steroids: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in records(prednisone_equivalents(known), "steroids"):
        steroids.setdefault(row["usubjid"], {})[row["date"]] = row
    clearances: dict[str, list[Mapping[str, Any]]] = {}
    for row in records(creatinine_clearance(known), "clearance"):
        clearances.setdefault(row["usubjid"], []).append(row)
    confounders: dict[str, list[Recognised]] = {}
    for one in recognised(study):
        confounders.setdefault(one.usubjid, []).append(one)
    tables = {name: _by_subject(name, getattr(study, name)) for name in (*DATE_COLUMNS, "medical_history")}
    cases = []
    for number, row in subjects:
        usubjid = row["usubjid"]
        date, kind = references[usubjid]
        own = {name: table.get(usubjid, ()) for name, table in tables.items()}
        cases.append(Case(row, number, date, kind, rules, own, steroids.get(usubjid, {}), clearances.get(usubjid, ()),
                          study.config.assays, confounders.get(usubjid, ())))  # fmt: skip
    return cases


def _by_subject(name: str, table: pd.DataFrame) -> dict[str, tuple[Record, ...]]:
    found: dict[str, list[Record]] = {}
    for number, row in numbered(table, name):
        record = Record(name, number, row.get(DATE_COLUMNS.get(name, ""), ""), row)
        found.setdefault(record.text("usubjid"), []).append(record)
    return {usubjid: tuple(sorted(records, key=lambda one: one.row)) for usubjid, records in found.items()}


class _KnownThen:
    """A study as it was known at the reference date of each subject: no later weight or creatinine takes part."""

    def __init__(self, study: HasEligibility, references: Mapping[str, str]) -> None:
        import pandas as pd

        def before(table: pd.DataFrame, column: str) -> list[dict[str, Any]]:
            pairs = zip(table["usubjid"], table[column], strict=True)
            keep = [drawn_before(date, references.get(usubjid, "")) for usubjid, date in pairs]
            return [{str(name): cell for name, cell in row.items()} for row in table[keep].to_dict("records")]

        # The reference date itself belongs to the days of the subject, whether or not a visit stands on it.
        days = [{"usubjid": usubjid, "start_dtc": date} for usubjid, date in sorted(references.items()) if day_of(date)]
        visits = [*before(study.visits, "start_dtc"), *days]
        self.config = study.config
        self.subjects = study.subjects
        self.visits = pd.DataFrame(visits, columns=list(study.visits.columns))
        self.labs = pd.DataFrame(before(study.labs, "collected_dtc"), columns=list(study.labs.columns))
        self.conmeds = study.conmeds
        self.samples, self.cmv_dna = study.samples.iloc[:0], study.cmv_dna.iloc[:0]
        self.dosing, self.aes = study.dosing.iloc[:0], study.aes.iloc[:0]
        self.attestations = study.attestations.iloc[:0]


def _subject_rows(case: Case, overrides: Mapping[tuple[str, str], Mapping[str, Any]]) -> list[dict[str, Any]]:
    verdicts: dict[str, Verdict] = {}
    for name, criterion in case.rules.criteria.items():
        if criterion.predicate:
            verdicts[name] = PREDICATES[criterion.predicate](case, criterion)
    for name, criterion in case.rules.criteria.items():
        if not criterion.predicate:
            verdicts[name] = _composite(case.rules.parts(name), verdicts)
    usubjid = case.subject["usubjid"]
    return [
        _row(case, criterion, verdicts[name], overrides.get((usubjid, name), {}))
        for name, criterion in case.rules.criteria.items()
    ]


def _composite(parts: tuple[Criterion, ...], verdicts: Mapping[str, Verdict]) -> Verdict:
    state = kleene.composite(verdicts[one.id].state for one in parts)
    decisive = [one for one in parts if verdicts[one.id].state == state]
    return Verdict(
        state,
        f"{', '.join(one.id for one in decisive)} {state}",
        limit=f"none of {parts[0].id} to {parts[-1].id}",
        missing=tuple(f"{one.id} {name}" for one in decisive for name in verdicts[one.id].missing),
    )


def _row(case: Case, criterion: Criterion, verdict: Verdict, override: Mapping[str, Any]) -> dict[str, Any]:
    texts = {key: override.get(key, "") for key in ("state", "author", "reason", "dtc")}
    return {
        "usubjid": case.subject["usubjid"], "profile": case.rules.profile, "criterion": criterion.id,
        "kind": criterion.kind, "parent": criterion.parent, "text": criterion.text, "state": verdict.state,
        "value": verdict.value, "unit": verdict.unit, "date": verdict.date, "limit": verdict.limit,
        "explanation": f"{criterion.id} {verdict.state}: {verdict.because}", "inputs": _inputs_text(verdict.evidence),
        "missing": listed(verdict.missing), "rule_version": criterion.version, "override": texts["state"],
        "override_by": texts["author"], "override_reason": texts["reason"], "override_dtc": texts["dtc"],
    }  # fmt: skip


def _inputs_text(evidence: tuple[Evidence, ...]) -> str:
    """Inputs as JSON text: a list of objects, a missing value is null."""
    rows = [
        {"input": one.name, "value": _plain(one.value), "unit": one.unit, "date": one.date, "place": one.place}
        | {key: _plain(value) for key, value in one.more.items()}
        for one in evidence
    ]
    return json.dumps(rows, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """A value as JSON has it; numbers of NumPy become plain ones, NaN null."""
    if value is None or isinstance(value, str | bool):
        return value
    number = float(value)
    if math.isnan(number):
        return None
    return int(number) if number.is_integer() else number


def _overall_row(case: Case, rows: list[dict[str, Any]]) -> dict[str, Any]:
    criteria = [row for row in rows if row["kind"] != "CHECK"]
    composites = {row["parent"] for row in criteria if row["parent"]}
    leaves = [row for row in criteria if row["criterion"] not in composites]
    unknown = [row for row in leaves if row["state"] == "UNKNOWN"]
    warned = [row for row in rows if row["kind"] == "CHECK" and row["state"] in ("FAIL", "UNKNOWN")]
    changed = sorted({row["rule_version"] for row in rows if "(" in row["rule_version"]})
    return {
        "usubjid": case.subject["usubjid"], "profile": case.rules.profile,
        "state": kleene.overall(row["state"] for row in criteria if not row["parent"]),
        "reference_date": case.reference, "reference": case.reference_kind,
        "failed": listed(row["criterion"] for row in leaves if row["state"] == "FAIL"),
        "unknown": listed(row["criterion"] for row in unknown),
        "missing": listed(f"{row['criterion']} {name}" for row in unknown for name in row["missing"].split("; ")),
        "warnings": listed(row["explanation"] for row in warned),
        "overrides": listed(f"{row['criterion']} {row['override']}" for row in rows if row["override"]),
        "rule_version": listed([case.rules.version, *changed]),
    }  # fmt: skip


def _overrides(study: HasEligibility, rules: RuleSet) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Overrides by subject and criterion; every row that cannot be used is a problem."""
    problems = Problems()
    subjects = set(cells(study.subjects["usubjid"], "text"))
    known = [name for name, one in rules.criteria.items() if one.kind != "CHECK"]
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for number, row in numbered(study.eligibility_overrides, "eligibility_overrides"):
        key = (row["usubjid"], row["criterion"])

        def add(what: str, column: str, allowed: str = "", place: int = number, cells: Any = row) -> None:
            problems.add("eligibility_overrides.csv", what, row=place, column=column, value=cells[column],
                         allowed=allowed)  # fmt: skip

        if key[0] not in subjects:
            add("unknown subject", "usubjid")
        if key[1] not in known:
            add("no criterion that can be overridden", "criterion", ", ".join(known))
        if row["state"] not in _OVERRIDE_STATES:
            add("no state that a person can set", "state", ", ".join(_OVERRIDE_STATES))
        for column in ("reason", "author", "dtc"):
            if not row[column].strip():
                add(f"an override needs its {column}", column)
        if key in found:
            add("a row above overrides the same criterion", "criterion")
        found[key] = row
    if problems:
        raise StudyError("the overrides of eligibility cannot be used", problems.found,
                         todo="correct eligibility_overrides.csv")  # fmt: skip
    return found
