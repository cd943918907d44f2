"""The records of one subject that a criterion may use: dated, within their window, the latest of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from immunoprofile.clinical.cmv_confounders import Recognised
from immunoprofile.clinical.courses import day_span
from immunoprofile.clinical.screening.kleene import State, Truth
from immunoprofile.clinical.screening.rules import Criterion, RuleSet
from immunoprofile.clinical.tables import day_of
from immunoprofile.io.dates import drawn_before

DATE_COLUMNS: Final = {
    "labs": "collected_dtc", "screening_tests": "collected_dtc", "cmv_dna": "collected_dtc", "attestations": "dtc",
    "visits": "start_dtc",
}  # fmt: skip
KEY_COLUMNS: Final = {"labs": "test", "screening_tests": "test", "attestations": "item"}
"""Column of a table that holds the key of an input; every row of the other tables belongs to it."""

_MINUTE: Final = len("2024-01-01T00:00")


@dataclass(frozen=True)
class Record:
    """A row of a table: its number in the file (from 1), its date and its cells."""

    table: str
    row: int
    date: str
    cells: Mapping[str, Any]

    @property
    def place(self) -> str:
        """Where the record stands, for people."""
        return f"{self.table} row {self.row}"

    def text(self, column: str) -> str:
        """A cell as text; empty when it is missing."""
        return str(self.cells.get(column, ""))


@dataclass(frozen=True)
class Found:
    """Records of one input within its window.

    Attributes
    ----------
    name
        The input.
    latest
        The latest records; several when they are of the same time, or of one day with a time of day missing.
    within
        All records in the window, the oldest first.
    unclear
        Why the latest cannot be told (a record without full date may lie in the window), or empty.
    absent
        Why there is none, or empty.
    """

    name: str
    latest: tuple[Record, ...] = ()
    within: tuple[Record, ...] = ()
    unclear: str = ""
    absent: str = ""

    @property
    def why(self) -> str:
        """Why the input is unknown as a whole, or empty."""
        return self.unclear or self.absent


@dataclass(frozen=True)
class Evidence:
    """One input value that a verdict rests on."""

    name: str
    value: Any
    unit: str = ""
    date: str = ""
    place: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """What a predicate found.

    Attributes
    ----------
    state
        PASS, FAIL, UNKNOWN or NOT_APPLICABLE.
    because
        The reason, for people.
    value, unit, date, limit
        What decided: a number or code as text, its unit and date, and what it was compared with.
    missing
        Names of inputs that would be needed.
    evidence
        Everything that was looked at.
    """

    state: State
    because: str
    value: str = ""
    unit: str = ""
    date: str = ""
    limit: str = ""
    missing: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True)
class Case:
    """A subject as the criteria see it.

    Attributes
    ----------
    subject, subject_row
        Row of the subjects table and its number.
    reference, reference_kind
        Date for which eligibility is judged (empty when there is none), and what it is.
    rules
        Criteria and parameters.
    tables
        Records by table.
    steroids
        Daily grid of prednisone equivalents, day -> row.
    clearances
        Creatinine clearances.
    assays
        CMV-DNA assays by id.
    confounders
        Rows of conmeds that name an agent which changes CMV-DNA.
    """

    subject: Mapping[str, Any]
    subject_row: int
    reference: str
    reference_kind: str
    rules: RuleSet
    tables: Mapping[str, Sequence[Record]]
    steroids: Mapping[str, Mapping[str, Any]]
    clearances: Sequence[Mapping[str, Any]]
    assays: Mapping[str, Any]
    confounders: Sequence[Recognised] = ()

    def column(self, name: str) -> Evidence:
        """A cell of the subjects table as evidence; the value is None when it is missing."""
        value = self.subject.get(name, "")
        missing = value is None or value == "" or value != value  # blanks of io.records
        return Evidence(f"subjects.{name}", None if missing else value, place=f"subjects row {self.subject_row}")

    def find(self, criterion: Criterion, name: str) -> Found:
        """Records of an input that lie in its window."""
        table, _, key = name.partition(".")
        column = KEY_COLUMNS.get(table)
        rows = [one for one in self.tables.get(table, ()) if column is None or one.text(column) == key]
        return within_window(name, rows, self.reference, criterion.lookback(name))


def within_window(name: str, rows: Sequence[Record], reference: str, lookback: int | None) -> Found:
    """Records on or before the reference date and not older than the lookback, to the precision that dates have.

    Parameters
    ----------
    name
        The input.
    rows
        Its records, in any order.
    reference
        ISO date; a record of that day counts as before it unless both have a time of day that says otherwise.
    lookback
        Days before the reference date, that day included; None is any time.
    """
    last = day_of(reference)
    if last is None:
        return Found(name, absent="there is no reference date (screening_dtc, first_dose_dtc or randomised_dtc)")
    first = None if lookback is None else last - timedelta(days=lookback)
    window = "before" if lookback is None else f"in the {lookback} days before"
    inside: list[Record] = []
    unclear: list[Record] = []
    outside: list[Record] = []
    for one in sorted(rows, key=_order):
        day = day_of(one.date)
        if day is not None:
            counts = drawn_before(one.date, reference) and (first is None or day >= first)
            (inside if counts else outside).append(one)
            continue
        low, high = day_span(one.date)
        may = (low is None or low <= last) and (high is None or first is None or high >= first)
        (unclear if may else outside).append(one)
    absent = ""
    if not inside:
        table, _, key = name.partition(".")
        absent = f"no {key} in {table} {window} {reference[:10]}"
        if outside:
            absent += f" (there is one of {', '.join(one.date or 'no date' for one in outside[-2:])})"
    note = ""
    if unclear:
        note = f"{unclear[0].place} has no full date and may be the latest {window} {reference[:10]}"
    return Found(name, latest(inside), tuple(inside), note, absent)


def latest(rows: Sequence[Record]) -> tuple[Record, ...]:
    """The latest of fully dated records; all of that day when a time of day is missing in one of them."""
    if not rows:
        return ()
    day = max(one.date[:10] for one in rows)
    same = [one for one in rows if one.date[:10] == day]
    if all(len(one.date) >= _MINUTE for one in same):
        moment = max(one.date[:_MINUTE] for one in same)
        same = [one for one in same if one.date[:_MINUTE] == moment]
    return tuple(sorted(same, key=_order))


def _order(one: Record) -> tuple[str, str, int]:
    return one.date, repr(sorted((name, str(cell)) for name, cell in one.cells.items())), one.row


@dataclass(frozen=True)
class Statement:
    """The latest statement on an item: true for Y, false for N, unknown with its reason otherwise."""

    name: str
    truth: Truth
    why: str = ""
    evidence: tuple[Evidence, ...] = ()
    detail: str = ""
    given: bool = True
    """Something is on record, even if it leaves the answer open."""

    @property
    def date(self) -> str:
        """When it was stated."""
        return self.evidence[-1].date if self.evidence else ""


def statement(case: Case, criterion: Criterion, name: str) -> Statement:
    """What the investigator stated last on ``attestations.<item>``.

    Statements of the same day that contradict each other are unknown.
    """
    found = case.find(criterion, name)
    evidence = tuple(
        Evidence(name, one.text("answer"), "", one.date, one.place,
                 {key: one.text(key) for key in ("author", "detail") if one.text(key)})
        for one in found.latest
    )  # fmt: skip
    if found.why:
        return Statement(name, None, found.why, evidence, given=bool(found.unclear))
    answers = {one.text("answer") for one in found.latest}
    if answers == {"Y"} or answers == {"N"}:
        details = {one.text("detail") for one in found.latest}
        return Statement(name, answers == {"Y"}, "", evidence, details.pop() if len(details) == 1 else "")
    if len(answers) > 1:
        places = " and ".join(one.place for one in found.latest)
        return Statement(name, None, f"{places} contradict each other on {name}", evidence)
    return Statement(name, None, f"{found.latest[0].place} leaves {name} unknown", evidence)
