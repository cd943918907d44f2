"""Exceptions that say what was wrong, where, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


class ImmunoprofileError(Exception):
    """Base class of all errors that this package raises on purpose.

    Parameters
    ----------
    what
        What was wrong, in one sentence.
    where
        File, table, row, column, gate or sample.
    todo
        What the user can do next.
    """

    def __init__(self, what: str, *, where: str = "", todo: str = "") -> None:
        self.what = what
        self.where = where
        self.todo = todo
        super().__init__(self._text())

    def _text(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text} -> {self.todo}" if self.todo else text


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with an input."""

    where: str
    what: str
    allowed: str = ""
    row: int | None = None
    column: str = ""
    value: str = ""

    def __str__(self) -> str:
        place = self.where
        if self.row is not None:
            place += f", row {self.row}"
        if self.column:
            place += f", column {self.column}"
        text = f"{place}: {self.what}"
        if self.value:
            text += f" (found {self.value!r})"
        if self.allowed:
            text += f"; allowed: {self.allowed}"
        return text


@dataclass
class Problems:
    """Collects problems so that all of them are told at once."""

    found: list[Problem] = field(default_factory=list)

    def add(
        self, where: str, what: str, *, allowed: str = "", row: int | None = None, column: str = "", value: object = ""
    ) -> None:
        """Note one problem; ``row`` counts from 1 below the header of the file."""
        self.found.append(Problem(where, what, allowed, row, column, "" if value is None else str(value)))

    def __bool__(self) -> bool:
        return bool(self.found)

    def __len__(self) -> int:
        return len(self.found)


class ProblemListError(ImmunoprofileError):
    """Several problems of one input, listed together (attribute ``problems``)."""

    def __init__(self, what: str, problems: Sequence[Problem], *, where: str = "", todo: str = "") -> None:
        self.problems = tuple(problems)
        super().__init__(what, where=where, todo=todo)

    def _text(self) -> str:
        lines = [super()._text()]
        lines += [f"  {number}. {problem}" for number, problem in enumerate(self.problems, 1)]
        return "\n".join(lines)


class StudyError(ProblemListError):
    """The tables of a study folder are not valid."""


class GateError(ProblemListError):
    """A gating strategy is not valid, or does not fit the files."""


class FcsError(ImmunoprofileError):
    """An FCS file could not be read correctly."""


class CompensationError(ImmunoprofileError):
    """A spillover matrix is missing or unusable."""


class UnitError(ImmunoprofileError):
    """A unit is unknown or does not fit the quantity."""


class ResultsError(ImmunoprofileError):
    """A results folder is missing, incomplete or was changed."""


class AnalysisError(ImmunoprofileError):
    """An analysis was refused because its answer could not be trusted."""


class NotAvailableError(ImmunoprofileError):
    """Something that this function needs was not measured, written or installed."""
