"""CTCAE grades of single laboratory values; the criteria are data (resources/ctcae.yaml)."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

from immunoprofile.clinical.units import significant
from immunoprofile.errors import NotAvailableError
from immunoprofile.resources import load_yaml

Direction = Literal["low", "high"]
NO_GRADE_WORDS: Final = "has no grade for so low a value"

_RULE: Final = re.compile(r"^(<|<=|>|>=) (\d+(?:\.\d+)?)(?: (uln|lln|baseline))?$")


_COMPARE: Final = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@dataclass(frozen=True)
class Rule:
    """A comparison of a value with factor x reference; without a reference the factor is the limit itself."""

    operator: str
    factor: float
    reference: str

    def holds(self, value: float, references: Mapping[str, float]) -> bool | None:
        """Whether the rule holds; None when its reference is missing. Ten significant digits count."""
        limit = self.factor * references[self.reference] if self.reference else self.factor
        if math.isnan(limit):
            return None
        left, right = significant(value), significant(limit)
        return bool(_COMPARE[self.operator](left, right))


@dataclass(frozen=True)
class Criterion:
    """A grade: any of its rules is enough, or every rule must hold (``every``)."""

    grade: int
    rules: tuple[Rule, ...]
    text: str
    every: bool = False

    def holds(self, value: float, references: Mapping[str, float]) -> bool | None:
        """Whether the value meets the criterion; None when that cannot be decided.

        A rule whose reference is missing leaves it open only where the others do not settle it already.
        """
        answers = [rule.holds(value, references) for rule in self.rules]
        settled = not self.every
        if settled in answers:
            return settled
        return None if None in answers or not answers else not settled

    def without_baseline(self) -> Criterion:
        """What of it can be asked when there is no baseline: rules that need none, where any of them is enough."""
        if self.every:
            return self
        kept = tuple(rule for rule in self.rules if rule.reference != "baseline")
        return Criterion(self.grade, kept, self.text)


@dataclass(frozen=True)
class Term:
    """A term of CTCAE that a laboratory test can give.

    ``when_high`` and ``when_low`` hold the criteria for a baseline above its upper or below its lower limit, where they
    differ; else they are empty. ``no_grade``: rules of values for which this version has no grade, although they are
    worse than those that have one.
    """

    term: str
    test: str
    unit: str
    direction: Direction
    criteria: tuple[Criterion, ...]
    when_high: tuple[Criterion, ...] = ()
    when_low: tuple[Criterion, ...] = ()
    no_grade: tuple[Rule, ...] = ()

    @property
    def needs_baseline(self) -> bool:
        """Whether a missing baseline makes the grade provisional."""
        named = {rule.reference for one in self.criteria if not one.every for rule in one.rules}
        return bool(self.when_high or self.when_low) or "baseline" in named

    @property
    def uses_uln(self) -> bool:
        """Whether a multiple of the upper limit of normal is among the criteria."""
        return any(rule.reference == "uln" for one in self.criteria for rule in one.rules)


@dataclass(frozen=True)
class Grade:
    """A graded value.

    Attributes
    ----------
    grade
        0 to 4; None when it cannot be decided (see ``reason``).
    provisional
        Graded without a baseline that the term needs, or without a limit of a higher grade: it may be another one.
    criterion_text
        Criterion that was met; empty for grade 0.
    reason
        Why there is no grade, or why it is provisional.
    """

    grade: int | None
    provisional: bool
    criterion_text: str
    reason: str = ""


@cache
def _versions() -> dict[str, dict[str, Any]]:
    content: dict[str, dict[str, Any]] = load_yaml("ctcae.yaml")["versions"]
    return content


def ctcae_versions() -> tuple[str, ...]:
    """Versions that the table of criteria holds."""
    return tuple(_versions())


@cache
def ctcae_terms(version: str = "5") -> tuple[Term, ...]:
    """Terms of a version of CTCAE that laboratory values can give.

    Raises
    ------
    NotAvailableError
        The version is not in the table.
    """
    versions = _versions()
    if version not in versions:
        raise NotAvailableError(
            f"no criteria of CTCAE version {version!r}", where="CTCAE", todo=f"one of: {', '.join(versions)}"
        )
    return tuple(_term(entry) for entry in versions[version]["terms"])


def ctcae_name(version: str) -> str:
    """Full name of a version, for example ``CTCAE v5.0``."""
    ctcae_terms(version)
    return str(_versions()[version]["name"])


def ctcae_version(name: str) -> str:
    """The version of a full name: of ``CTCAE v5.0`` it is ``5``.

    Raises
    ------
    NotAvailableError
        No version is called so.
    """
    for version, entry in _versions().items():
        if entry["name"] == name:
            return version
    raise NotAvailableError(f"no criteria of {name!r}", where="CTCAE", todo=f"one of: {', '.join(_versions())}")


def _term(entry: Mapping[str, Any]) -> Term:
    usual = entry["grades"] if "grades" in entry else entry["baseline_normal"]
    return Term(
        entry["term"], entry["test"], entry["unit"], entry["direction"], _criteria(usual),
        _criteria(entry.get("baseline_high", {})), _criteria(entry.get("baseline_low", {})),
        tuple(_rule(text) for text in entry.get("no_grade", ())),
    )  # fmt: skip


def _criteria(grades: Mapping[int, Mapping[str, Any]]) -> tuple[Criterion, ...]:
    """Criteria, the highest grade first."""
    return tuple(
        Criterion(
            grade,
            tuple(_rule(text) for text in entry.get("any", entry.get("all", ()))),
            entry["text"],
            every="all" in entry,
        )
        for grade, entry in sorted(grades.items(), reverse=True)
    )


def _rule(text: str) -> Rule:
    found = _RULE.match(text)
    if found is None:
        raise NotAvailableError(f"{text!r} is no rule", where="resources/ctcae.yaml", todo="write '< 1 lln' or '> 4'")
    return Rule(found[1], float(found[2]), found[3] or "")


def terms_of(test: str, *, version: str = "5") -> tuple[Term, ...]:
    """Terms that a laboratory test can give.

    Raises
    ------
    NotAvailableError
        The version does not hold the test.
    """
    own = tuple(term for term in ctcae_terms(version) if term.test == test)
    if not own:
        held = dict.fromkeys(term.test for term in ctcae_terms(version))
        raise NotAvailableError(
            f"{ctcae_name(version)} as entered here has no criteria for {test}", where="CTCAE",
            todo=f"it holds: {', '.join(held)}; other versions: {', '.join(ctcae_versions())}",
        )  # fmt: skip
    return own


@cache
def terms_without_criteria(version: str) -> tuple[Term, ...]:
    """Terms of other versions whose test and direction a version does not hold: they are named and not graded."""
    held = {(term.test, term.direction) for term in ctcae_terms(version)}
    others = [term for other in ctcae_versions() if other != version for term in ctcae_terms(other)]
    return tuple({(one.test, one.direction): one for one in others if (one.test, one.direction) not in held}.values())


def no_criteria(term: Term, version: str) -> str:
    """The sentence that names a term without criteria in a version."""
    return f"{ctcae_name(version)} has no criteria for {term.term} ({term.test}): not graded, and by no other version"


def grade_value(
    value: float,
    test: str,
    *,
    direction: Direction,
    lln: float = math.nan,
    uln: float = math.nan,
    baseline: float = math.nan,
    baseline_uln: float = math.nan,
    baseline_lln: float = math.nan,
    version: str = "5",
) -> Grade:
    """CTCAE grade of a laboratory value.

    Parameters
    ----------
    value
        In the unit of analysis of the test, as all limits.
    test
        Test of the labs table, or ``CRCL`` for a computed clearance in mL/min.
    direction
        ``low`` or ``high``: lymphocytes have a term for either.
    lln, uln
        Limits of normal that came with the result; NaN when missing, never those of another laboratory.
    baseline, baseline_uln, baseline_lln
        Baseline of the subject and the limits that came with it.
    version
        ``5`` or ``6``.

    Returns
    -------
    Grade

    Raises
    ------
    NotAvailableError
        The version does not hold the test in that direction.

    Examples
    --------
    >>> grade_value(121, "ALT", direction="high", uln=40, baseline=30, baseline_uln=40).grade
    2
    """
    for term in terms_of(test, version=version):
        if term.direction == direction:
            references = {"lln": lln, "uln": uln, "baseline": baseline, "baseline_uln": baseline_uln,
                          "baseline_lln": baseline_lln}  # fmt: skip
            return grade_term(value, term, references, name=ctcae_name(version))
    raise NotAvailableError(
        f"{ctcae_name(version)} as entered here has no criteria for {test} {direction}", where="CTCAE",
        todo="the other direction, or another version",
    )  # fmt: skip


def grade_term(value: float, term: Term, references: Mapping[str, float], *, name: str) -> Grade:
    """Grade of a value under one term; ``references`` as in `grade_value`, ``name`` is that of the version.

    Without a baseline, or without the limit that says whether it was high (or low), the value is graded as if the
    baseline had been normal, and the grade is provisional. So is a creatinine that is high for its baseline and has no
    upper limit: its grade is at least the one given.
    """
    known = {key: (limit if limit > 0 else math.nan) for key, limit in references.items()}
    unknown = _baseline_unknown(term, known)
    why_provisional = f"no baseline with its {unknown} limit: graded as if it had been normal" if unknown else ""
    if math.isnan(value):
        return Grade(None, bool(unknown), "", "no value")
    if any(rule.holds(value, known) for rule in term.no_grade):
        return Grade(None, provisional=False, criterion_text="", reason=f"{name} {NO_GRADE_WORDS}")
    undecided = ""
    for criterion in _criteria_for(term, known):
        asked = criterion.without_baseline() if unknown else criterion
        met = asked.holds(value, known)
        if met is None:
            undecided = undecided or _undecided(asked, known)
        elif met:
            reasons = "; ".join(why for why in (why_provisional, undecided) if why)
            return Grade(asked.grade, bool(unknown or undecided), asked.text, reasons)
    if undecided:
        return Grade(None, bool(unknown), "", undecided)
    return Grade(0, bool(unknown), "", why_provisional)


def _baseline_unknown(term: Term, known: Mapping[str, float]) -> str:
    """The limit (with its baseline) that is missing to choose the criteria of a term; empty when nothing is."""
    if not term.needs_baseline:
        return ""
    certainly_not_low = known["baseline"] >= known["baseline_uln"]
    if term.when_low and math.isnan(known["baseline_lln"] + known["baseline"]) and not certainly_not_low:
        return "lower"
    missing = math.isnan(known["baseline"]) or (term.when_high and math.isnan(known["baseline_uln"]))
    return "upper" if missing else ""


def _criteria_for(term: Term, known: Mapping[str, float]) -> tuple[Criterion, ...]:
    """The criteria that hold for the baseline; those of a normal one where nothing else is known."""
    baseline = significant(known["baseline"])
    if term.when_high and baseline > significant(known["baseline_uln"]):
        return term.when_high
    if term.when_low and baseline < significant(known["baseline_lln"]):
        return term.when_low
    return term.criteria


def _undecided(criterion: Criterion, known: Mapping[str, float]) -> str:
    names = {"uln": "upper limit of normal", "lln": "lower limit of normal", "baseline": "baseline"}
    asked = {rule.reference for rule in criterion.rules if rule.reference}
    missing = {names[reference] for reference in asked if math.isnan(known[reference])}
    return f"no {' and no '.join(sorted(missing))}: grade {criterion.grade} cannot be decided"
