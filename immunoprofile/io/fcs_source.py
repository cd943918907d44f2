"""What is read of an FCS file: which of its data sets, and what a person states of its amplifiers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from immunoprofile.errors import FcsError, ImmunoprofileError
from immunoprofile.io.fcs import read_fcs, read_fcs_head
from immunoprofile.io.files import sha256_of
from immunoprofile.io.one_pass import changed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from immunoprofile.io.fcs import FcsHead, Sample


@dataclass(frozen=True)
class FcsSource:
    """One data set of one file.

    Attributes
    ----------
    path
        The file.
    dataset
        Which of its data sets, counted from 1; None where nobody said.
    amplifiers
        (``$PnN`` or ``*``, ``log`` or ``linear``) pairs for floating point data under a log amplifier, see
        `fcs.read_fcs`.
    """

    path: Path
    dataset: int | None = None
    amplifiers: tuple[tuple[str, str], ...] = ()

    @property
    def file(self) -> str:
        """How tables name the file."""
        return self.path.as_posix()

    def sample_id(self, sha256: str) -> str:
        """Content hash of the file, and the number of the data set where one was chosen."""
        return sha256 if self.dataset is None else f"{sha256}-{self.dataset}"

    def read(self) -> Sample:
        """The events; errors of `fcs.read_fcs`."""
        return read_fcs(self.path, dataset=self.dataset, amplifiers=dict(self.amplifiers))

    def refused(self, error: ImmunoprofileError) -> tuple[str, ImmunoprofileError]:
        """Content hash of a file that was refused, and the reason for just this content.

        Where reading failed, it may have been because the file was being copied: it is tried once more between two
        looks at its content.

        Parameters
        ----------
        error
            Why it was refused.

        Returns
        -------
        str
            Empty when the file cannot be hashed, or changes: then nobody knows what the reason belongs to.
        ImmunoprofileError
            The reason.
        """
        error.__traceback__ = None  # its frames hold the events of the first try
        try:
            before = sha256_of(self.path)
            if not isinstance(error, FcsError):
                return before, error
            try:
                self.read()
            except FcsError as again:
                if sha256_of(self.path) == before:
                    return before, again
        except OSError:
            return "", error
        return "", changed(self.path.name)

    def read_head(self) -> FcsHead:
        """Everything but the events; errors of `fcs.read_fcs_head`."""
        return read_fcs_head(self.path, dataset=self.dataset, amplifiers=dict(self.amplifiers))


def named_source(
    file: str | Path, *, dataset: int | None = None, amplifiers: tuple[tuple[str, str], ...] = ()
) -> FcsSource:
    """A file as a person names it: ``tube.lmd[2]`` is the second data set of ``tube.lmd``.

    Parameters
    ----------
    file
        Name of the file. One that exists as it is written is taken as it is.
    dataset
        Data set where the name does not say one.
    amplifiers
        As in `FcsSource`.
    """
    path = Path(file)
    named = re.fullmatch(r"(.+)\[([1-9]\d{0,3})\]", path.name)
    if named is not None and not path.exists():
        path, dataset = path.with_name(named.group(1)), int(named.group(2))
    return FcsSource(path, dataset, amplifiers)


def amplifiers_of(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """``FL2-H=log`` as a pair; ``log`` or ``linear`` alone holds for all channels.

    Raises
    ------
    ImmunoprofileError
        Neither log nor linear is stated.
    """
    found = []
    for text in texts:
        name, _, meant = text.rpartition("=")
        if meant not in ("log", "linear"):
            raise ImmunoprofileError(
                "says neither log nor linear", where=f"amplifier {text!r}",
                todo="write CHANNEL=log, CHANNEL=linear, or log or linear for all channels",
            )  # fmt: skip
        found.append((name or "*", meant))
    return tuple(found)
