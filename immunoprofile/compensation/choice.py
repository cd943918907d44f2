"""Which matrix is applied to a file, and what a person has to be told or asked."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from immunoprofile.compensation.applied import CLEAR, FLAG, already_compensated, compensated_names
from immunoprofile.compensation.findings import check
from immunoprofile.compensation.keywords import from_keywords, subtracted_at_acquisition
from immunoprofile.compensation.matrix import Spillover
from immunoprofile.errors import CompensationError
from immunoprofile.io.exceptions import Notice, Severity
from immunoprofile.resources.checks import Finding

if TYPE_CHECKING:
    from immunoprofile.io.fcs import Sample

_log = logging.getLogger(__name__)

Doubt = Literal["warn", "refuse"]

MIN_NEGATIVE = -0.05
"""Negative coefficients down to this come from computing a matrix and are not told."""

_SAY = (
    "say what holds: gate --comp with the file of a matrix, keyword, none or compensated; in a study, comp_source in "
    "samples.csv"
)


@dataclass(frozen=True)
class Choice:
    """What is applied to a file.

    Attributes
    ----------
    spillover
        None when nothing is applied.
    source
        ``keyword``, ``file NAME``, ``none`` (nothing known) or ``compensated`` (declared, or told by the cytometer).
    finding
        Answer to whether the events were compensated already; None where the study declared it or nothing is applied.
    notices
        What belongs into exceptions.csv: a matrix that was asked for and is not there, that cannot be used, that is
        doubtful.
    """

    spillover: Spillover | None
    source: str
    finding: Finding | None = None
    notices: tuple[Notice, ...] = ()


def decide(
    sample: Sample,
    declared: str | Spillover | None = None,
    *,
    study_matrix: Spillover | None = None,
    doubt: Doubt = "warn",
    needed: bool = True,
) -> Choice:
    """Spillover to apply, its name for reports, and the question to a person where there is one.

    Parameters
    ----------
    sample
        The file.
    declared
        ``comp_source`` of the samples table: ``keyword``, ``none``, ``compensated`` or missing; or a matrix that a
        person gives for this file.
    study_matrix
        Matrix that the study gives for this tube (see `read_spillover`, `from_controls`); it comes before the keyword
        unless ``declared`` is given.
    doubt
        When nothing is declared and the events look compensated already: ``warn`` applies the matrix as the file says
        and returns a finding with the flag ``COMP_ASK``; ``refuse`` raises once it is clear.
    needed
        Whether the gates ask for compensated values. Where they do not, a keyword that cannot be used is told and
        left alone; where they do and the file has no matrix, that is told.

    Raises
    ------
    CompensationError
        The study declares a matrix in the file and the file has none; a matrix does not fit the file;
        or, with ``refuse``, the events clearly look compensated already and the study does not say. All but the last
        only where the matrix is ``needed``.
    """
    if isinstance(declared, Spillover):
        declared, study_matrix = None, declared
    if declared in ("none", "compensated"):
        return Choice(None, declared)
    if declared is None and study_matrix is not None:
        study_matrix.positions(sample)
        return _applied(sample, study_matrix, study_matrix.source, doubt)
    try:
        spillover = from_keywords(sample) if declared == "keyword" or not compensated_names(sample) else None
    except CompensationError as error:
        if needed:
            raise
        severity: Severity = "note" if declared is None else "warning"
        message = f"{error.what}; no gate needs it, and values were taken without compensation"
        return Choice(None, "none", notices=(Notice("COMP_UNUSABLE", message, _SAY, severity),))
    if declared == "keyword":
        if spillover is not None:
            return Choice(spillover, "keyword", notices=matrix_notices(spillover))
        what = "the study declares a spillover matrix in the file, and the file has none"
        if needed:
            raise CompensationError(what, where=sample.name, todo=_SAY)
        return Choice(None, "none", notices=(Notice("COMP_MISSING", f"{what}; no gate needs it", _SAY),))
    if spillover is not None:
        return _applied(sample, spillover, "keyword", doubt)
    if names := compensated_names(sample):
        return Choice(None, "compensated", notices=(_told_by_names(names),))
    if subtracted_at_acquisition(sample):
        return Choice(None, "compensated")
    message = "gates ask for compensated values and the file has no spillover matrix; they saw the values as recorded"
    return Choice(None, "none", notices=(Notice("COMP_MISSING", message, _SAY),) if needed else ())


def choose(sample: Sample, declared: str | None) -> tuple[Spillover | None, str]:
    """Spillover to apply and its name for reports; `decide` gives the finding as well.

    A doubt whether the events were compensated already is logged as a warning.

    Raises
    ------
    CompensationError
        As `decide`.
    """
    chosen = decide(sample, declared)
    return chosen.spillover, chosen.source


def _applied(sample: Sample, spillover: Spillover, source: str, doubt: Doubt) -> Choice:
    return asked_about(sample, Choice(spillover, source, notices=matrix_notices(spillover)), doubt=doubt)


def asked_about(sample: Sample, chosen: Choice, *, doubt: Doubt = "warn") -> Choice:
    """The choice of a matrix that nobody declared, with the question whether its events were compensated already.

    Parameters
    ----------
    sample
        The events that are asked. A file that is streamed has none when its matrix is chosen, and some once it passed.
    chosen
        What is applied; it does not depend on the events.
    doubt
        As for `decide`.

    Raises
    ------
    CompensationError
        With ``refuse``, where it is clear.
    """
    if chosen.spillover is None:
        return chosen
    finding, notices = already_compensated(sample, chosen.spillover), chosen.notices
    if finding.flag == FLAG:
        if doubt == "refuse" and finding.value >= CLEAR:
            raise CompensationError(
                "the events clearly look compensated already, and the study does not say", where=sample.name, todo=_SAY
            )
        _log.warning("%s: %s; %s", sample.name, finding.text, _SAY)
        notices = (*notices, Notice(FLAG, finding.text, _SAY))
    return replace(chosen, finding=finding, notices=notices)


def matrix_notices(spillover: Spillover) -> tuple[Notice, ...]:
    """What `findings.check` says of a matrix that is applied; small negative coefficients are usual and not told."""
    content = np.asarray(spillover.matrix, dtype=np.float64).tobytes()
    return _matrix_notices(spillover.channels, content, spillover.source, per_cent=spillover.per_cent)


@lru_cache(maxsize=256)
def _matrix_notices(channels: tuple[str, ...], content: bytes, source: str, *, per_cent: bool) -> tuple[Notice, ...]:
    """The same, kept for the next file: most files of a study carry a matrix that others have."""
    matrix = np.frombuffer(content).reshape(len(channels), len(channels))
    spillover = Spillover(channels, matrix, source, per_cent)
    notices = []
    if per_cent:
        notices.append(
            Notice("COMP_PER_CENT", "the spillover matrix is in per cent (diagonal 100) and was divided by 100",
                   "compare it with that of other files of the panel", "note")
        )  # fmt: skip
    for finding in check(spillover):
        usual = finding.check == "spillover_negative" and spillover.matrix.min() >= MIN_NEGATIVE
        if finding.state in ("WARN", "FAIL") and not usual:
            notices.append(Notice("COMP_MATRIX", f"spillover matrix ({spillover.source}): {finding.text}",
                                  "look at the matrix of this file", "note"))  # fmt: skip
    return tuple(notices)


def _told_by_names(names: tuple[str, ...]) -> Notice:
    message = f"channels carry the names of compensated ones ({', '.join(names[:3])}): no matrix was applied"
    return Notice("COMP_BY_NAME", message, _SAY, "note")
