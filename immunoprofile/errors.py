"""Exceptions that say what was wrong, where, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

_ROWS_SHOWN = 3


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

    def __reduce__(self) -> Any:
        # What is told by several arguments cannot be made again of its text alone, as other processes would do.
        return _again, (type(self), self.args, self.__dict__)

    def _text(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text} -> {self.todo}" if self.todo else text


def _again(kind: type[ImmunoprofileError], args: tuple[Any, ...], content: dict[str, Any]) -> ImmunoprofileError:
    """An error that another process raised."""
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(content)
    return error


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

    def rename(self, names: Mapping[str, str]) -> None:
        """Give places another name (``labs.csv`` -> ``study.xlsx, sheet labs``)."""
        self.found = [replace(problem, where=names.get(problem.where, problem.where)) for problem in self.found]

    def __bool__(self) -> bool:
        return bool(self.found)

    def __len__(self) -> int:
        return len(self.found)


def grouped(problems: Sequence[Problem]) -> list[str]:
    """Problems in words, one line for all rows of a column with the same problem: how many, an example, the remedy."""
    groups: dict[tuple[str, str, str, str, str], list[Problem]] = {}
    for problem in problems:
        alone = "" if problem.row is not None else str(problem)
        groups.setdefault((problem.where, problem.column, problem.what, problem.allowed, alone), []).append(problem)
    return [_of_rows(group) for group in groups.values()]


def _of_rows(group: Sequence[Problem]) -> str:
    first = group[0]
    if len(group) == 1:
        return str(first)
    rows = ", ".join(str(problem.row) for problem in group[:_ROWS_SHOWN])
    rows += " ..." if len(group) > _ROWS_SHOWN else ""
    text = f"{first.where}, {len(group)} rows ({rows})" + (f", column {first.column}" if first.column else "")
    text += f": {first.what}"
    values = list(dict.fromkeys(problem.value for problem in group if problem.value))
    if values:
        more = f" and {len(values) - _ROWS_SHOWN} other values" if len(values) > _ROWS_SHOWN else ""
        text += f" (found {', '.join(repr(value) for value in values[:_ROWS_SHOWN])}{more})"
    return text + (f"; allowed: {first.allowed}" if first.allowed else "")


class ProblemListError(ImmunoprofileError):
    """Several problems of one input, listed together.

    Attributes
    ----------
    problems
        Every one of them. The text of the error groups those of one column; `listed` names each.
    """

    def __init__(self, what: str, problems: Sequence[Problem], *, where: str = "", todo: str = "") -> None:
        self.problems = tuple(problems)
        super().__init__(what, where=where, todo=todo)

    def _text(self) -> str:
        return self._numbered(grouped(self.problems))

    def listed(self) -> str:
        """The text of the error with every problem on a line of its own."""
        return self._numbered([str(problem) for problem in self.problems])

    def _numbered(self, texts: Sequence[str]) -> str:
        return "\n".join([super()._text(), *(f"  {number}. {text}" for number, text in enumerate(texts, 1))])


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


class OutputError(ImmunoprofileError):
    """A file or folder could not be written: no room, no permission, or a file where a folder must be."""


class ClusterError(ImmunoprofileError):
    """The machines of a cluster cannot be used or were lost: scheduler, workers, their software, what they see."""


class AnalysisError(ImmunoprofileError):
    """An analysis was refused because its answer could not be trusted."""


class NotAvailableError(ImmunoprofileError):
    """Something that this function needs was not measured, written or installed."""
