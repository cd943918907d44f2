"""Which matrix is applied to a file, and what a person has to be asked."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from immunoprofile.compensation.applied import CLEAR, FLAG, already_compensated
from immunoprofile.compensation.keywords import from_keywords, subtracted_at_acquisition
from immunoprofile.errors import CompensationError
from immunoprofile.resources.checks import Finding

if TYPE_CHECKING:
    from immunoprofile.compensation.matrix import Spillover
    from immunoprofile.io.fcs import Sample

_log = logging.getLogger(__name__)

Doubt = Literal["warn", "refuse"]


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
    """

    spillover: Spillover | None
    source: str
    finding: Finding | None = None


def decide(
    sample: Sample, declared: str | None = None, *, study_matrix: Spillover | None = None, doubt: Doubt = "warn"
) -> Choice:
    """Spillover to apply, its name for reports, and the question to a person where there is one.

    Parameters
    ----------
    sample
        The file.
    declared
        ``comp_source`` of the samples table: ``keyword``, ``none``, ``compensated`` or missing.
    study_matrix
        Matrix that the study gives for this tube (see `read_spillover`, `from_controls`); it comes before the keyword
        unless ``declared`` is given.
    doubt
        When nothing is declared and the events look compensated already: ``warn`` applies the matrix as the file says
        and returns a finding with the flag ``COMP_ASK``; ``refuse`` raises once it is clear.

    Raises
    ------
    CompensationError
        The study declares a matrix in the file and the file has none (decisions 10); a matrix does not fit the file;
        or, with ``refuse``, the events clearly look compensated already and the study does not say.
    """
    if declared in ("none", "compensated"):
        return Choice(None, declared)
    if declared is None and study_matrix is not None:
        study_matrix.positions(sample)
        return Choice(study_matrix, study_matrix.source, _asked(sample, study_matrix, doubt))
    spillover = from_keywords(sample)
    if declared == "keyword":
        if spillover is None:
            raise CompensationError(
                "the study declares a spillover matrix in the file, and the file has none",
                where=sample.name,
                todo="set comp_source to none or compensated in samples.csv if that is what it is",
            )
        return Choice(spillover, "keyword")
    if spillover is None:
        return Choice(None, "compensated" if subtracted_at_acquisition(sample) else "none")
    return Choice(spillover, "keyword", _asked(sample, spillover, doubt))


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


def _asked(sample: Sample, spillover: Spillover, doubt: Doubt) -> Finding:
    finding = already_compensated(sample, spillover)
    if finding.flag == FLAG:
        if doubt == "refuse" and finding.value >= CLEAR:
            raise CompensationError(
                "the events clearly look compensated already, and the study does not say",
                where=sample.name,
                todo="declare comp_source compensated or keyword in samples.csv",
            )
        _log.warning("%s: %s", sample.name, finding.text)
    return finding
