"""Files of a study that belong under the plot of a sample: its subject's first visit, FMO controls of its batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from immunoprofile.errors import ImmunoprofileError, NotAvailableError
from immunoprofile.gate.evaluate import gate_sample
from immunoprofile.gate.parent_events import FileEvents
from immunoprofile.io.records import records
from immunoprofile.placement.controls import Controls, place_of
from immunoprofile.widget.session import words_of
from immunoprofile.widget.shapes import axes_of, edited_gates

if TYPE_CHECKING:
    from immunoprofile.gate.evaluate import GatedSample
    from immunoprofile.gate.gates import Gate
    from immunoprofile.study import Study
    from immunoprofile.widget.board import Board


def files_beside(
    board: Board, sample_id: str, gated: GatedSample, *, blinded: bool
) -> tuple[dict[str, GatedSample], tuple[str, ...]]:
    """Baseline and FMO controls of a sample by their labels, and in words what of them cannot be shown.

    The baseline is the first visit of the subject (none for that visit itself), with the gates of its own. FMO controls
    are those of the axes of the gate in the tube, panel and batch of the sample, inside the gates of the sample; of
    several of one marker the first that can be read.

    Parameters
    ----------
    board
        Its study, and which gate.
    sample_id
        What the study calls the sample.
    gated
        The sample with its gates.
    blinded
        Say in no word which files they are.
    """
    gates = edited_gates(gated.strategy, board.population)
    others: dict[str, GatedSample] = {}
    notes = []
    for label, read in _wanted(board, sample_id, gated, gates):
        if label in others:
            continue
        try:
            other = read()
            FileEvents(other, gates[0].parent, label).count(gates)  # whether it has what the plot needs
        except ImmunoprofileError as error:
            why = f" ({type(error).__name__}); why would name its file." if blinded else f": {words_of(error)}"
            notes.append(f"{label} is not laid under the plot{why}")
        else:
            others[label] = other
    return others, tuple(notes)


def _wanted(
    board: Board, sample_id: str, gated: GatedSample, gates: tuple[Gate, ...]
) -> Iterator[tuple[str, Callable[[], GatedSample]]]:
    baseline = board.baseline_of(sample_id)
    if baseline is not None:
        yield "baseline", partial(board.profile.gated, baseline.sample_id)
    study = board.profile.study
    own = next(row for row in records(study.samples, "samples") if row["sample_id"] == sample_id)
    controls = Controls(study, board.tube, gated.strategy)
    for axis in axes_of(gates):
        for row in controls.fmo_rows(place_of(own), axis.marker, earlier=False):
            declared = row["comp_source"] or None
            yield f"FMO {axis.marker}", partial(_control, study, str(row["sample_id"]), gated, declared)


def _control(study: Study, name: str, gated: GatedSample, declared: str | None) -> GatedSample:
    """A control inside the gates of a sample."""
    file = study.fcs_path(name)
    if not file.is_file():
        raise NotAvailableError("its FCS file is not at hand", where=name, todo="say study= to ip.read_results")
    return gate_sample(study.fcs_source(name).read(), gated.strategy, comp_source=declared)
