"""The one call that opens the review board."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from immunoprofile.errors import NotAvailableError
from immunoprofile.widget.board import board_of

if TYPE_CHECKING:
    from immunoprofile.gate.strategy import GateSet, Strategy
    from immunoprofile.profiling import Profile
    from immunoprofile.widget.review_board import ReviewBoard


def review(
    profile: Profile,
    gates: GateSet | Strategy,
    population: str,
    *,
    order: str = "flags",
    blinded: bool = True,
    record: str | Path | None = None,
    author: str = "",
) -> ReviewBoard:
    """Review board: one gate over all samples of a study, to accept, to mark for editing, or to flag with a reason.

    Parameters
    ----------
    profile
        The gated study, from `profile` or `read_results`.
    gates
        Its gates, for the editor that ``board.edit(number)`` opens.
    population
        ``tube/population``, or the population alone for its reporting tube.
    order
        ``flags``: those that should be looked at first stand first (few events, a parent that lies elsewhere than in
        other samples, far from the subject's baseline, no valley near a threshold). ``subject``: by subject and visit.
    blinded
        Show numbers in place of subject and visit, and in no way which is which.
    record
        File to which decisions are appended, one JSON line each; a review goes on from it. None keeps them in memory.
        Decisions on another gate than the present one do not count.
    author
        Code of the person.

    Returns
    -------
    ReviewBoard
        Shows itself in JupyterLab; its ``decisions()`` is the table at the end.

    Raises
    ------
    NotAvailableError
        anywidget is not installed, or no sample was gated.
    ImmunoprofileError
        A line of ``record`` is no decision.

    Examples
    --------
    >>> board = ip.widget.review(profile, gates, "treg/treg", record="treg-review.jsonl", author="R7")  # doctest: +SKIP
    >>> board.decisions().query("decision != 'accept'")  # doctest: +SKIP
    """
    try:
        from immunoprofile.widget.review_board import ReviewBoard
    except ModuleNotFoundError as error:
        if error.name not in ("anywidget", "traitlets"):
            raise
        raise NotAvailableError(
            "the review board needs anywidget, which is not installed",
            where="ip.widget.review",
            todo='pip install "immunoprofile[lab]", then restart the kernel; ip.pl.gate_grid shows a gate without it',
        ) from None
    board = board_of(profile, population, order=order, record=record, author=author)
    return ReviewBoard(board, gates, blinded=blinded)
