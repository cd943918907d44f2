"""Files of a results folder as they are read back: as they were sealed, or refused by name."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from immunoprofile import schema
from immunoprofile.errors import ImmunoprofileError, ResultsError
from immunoprofile.io.files import sha256_of
from immunoprofile.io.formula_cells import unguarded_table
from immunoprofile.io.inputs import reason
from immunoprofile.profiling.sealing import AGAIN

_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What readers of CSV, JSON, HDF5 and zip raise on content that no run wrote."""


@dataclass(frozen=True)
class StoredFiles:
    """The files of a results folder.

    Attributes
    ----------
    folder
        Results folder.
    outputs
        Path relative to it -> SHA-256, as the folder was sealed; None while the run that writes it is at work.
    """

    folder: Path
    outputs: Mapping[str, str] | None

    @contextmanager
    def reading(self, name: str) -> Iterator[Path]:
        """Give the path of a file, or of a folder of files, that is as it was sealed.

        Raises
        ------
        ResultsError
            A file is missing, changed or not of the run; or the block could not read what is in it.
        """
        self.check(name)
        try:
            yield self.folder / name
        except ImmunoprofileError:
            raise
        except _DAMAGE as error:
            text = reason(error) if isinstance(error, OSError) else str(error)
            raise ResultsError(
                f"cannot be read: {text.splitlines()[0][:200] if text else type(error).__name__}",
                where=str(self.folder / name),
                todo=AGAIN,
            ) from error

    def check(self, *names: str) -> None:
        """Refuse files, or folders of files, that are not as they were sealed.

        Raises
        ------
        ResultsError
            The first that is missing, changed or not of the run.
        """
        for name in names if self.outputs is not None else ():
            self._check(name, self.outputs or {})

    def _check(self, name: str, outputs: Mapping[str, str]) -> None:
        if name in outputs:  # without a look at the others: there may be many
            self._compare(name, {name: outputs[name]}, {name})
            return
        below = f"{name}/"
        expected = {one: sha for one, sha in outputs.items() if one.startswith(below)}
        place = self.folder / name
        there = {path.relative_to(self.folder).as_posix() for path in place.rglob("*") if not path.is_dir()}
        if not place.is_dir():
            there = {name} if place.exists() else set()
        self._compare(name, expected, there)

    def _compare(self, name: str, expected: Mapping[str, str], there: set[str]) -> None:
        for one in sorted({*expected, *there} or {name}):
            if one not in expected:
                self._refuse(one, "was not written by the run" if one in there else "is missing")
            try:
                found = sha256_of(self.folder / one)
            except FileNotFoundError:
                self._refuse(one, "is missing")
            except OSError as error:
                self._refuse(one, f"cannot be read: {reason(error)}")
            else:
                if found != expected[one]:
                    self._refuse(one, "was changed after the run")

    def _refuse(self, name: str, what: str) -> None:
        raise ResultsError(what, where=str(self.folder / name), todo=AGAIN)


def read_quality(path: Path) -> pd.DataFrame:
    """The table of checks: empty cells of text columns as empty text; numbers stay missing."""
    table = read_numbers(path)
    return table.assign(**{name: _words(table[name]) for name in table.columns if name != "value"})


def read_text_table(path: Path) -> pd.DataFrame:
    """A table of which all cells are text."""
    return unguarded_table(pd.read_csv(path, dtype=str, keep_default_na=False))


def read_numbers(path: Path) -> pd.DataFrame:
    """A table whose columns of numbers are numbers, to the last bit."""
    return unguarded_table(pd.read_csv(path, float_precision="round_trip"))


def read_result_table(path: Path, spec: schema.ResultTable) -> pd.DataFrame:
    """A table of the folder with the kinds of columns that the schema declares."""
    table = read_text_table(path)
    for name in spec.numbers:
        table[name] = pd.to_numeric(table[name].replace("", None)).astype("float64")
    for name in spec.flags:
        table[name] = table[name].map({"True": True, "False": False, "Y": True, "N": False}).astype("boolean")
    return table


def read_statistics(path: Path) -> pd.DataFrame:
    """A table of statistics as it was written: empty text is empty, not missing."""
    try:
        # Exact: the last digit is part of the content that the id of a report stands for.
        table = read_numbers(path)
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    counts = [name for name in schema.STATISTIC_COUNTS if name in table]
    table = table.astype(dict.fromkeys(counts, "Int64"))
    text = {*schema.STATISTIC_TEXT, *schema.PLAN_RUN_COLUMNS[-4:]}
    words = [str(name) for name in table if table[name].dtype == object or name in text]
    return table.assign(**{name: _words(table[name]) for name in words})


def _words(column: pd.Series[Any]) -> pd.Series[Any]:
    """A column whose missing cells are empty text; unlike fillna this casts nothing that is left to another type."""
    return column.astype(object).where(column.notna(), "")
