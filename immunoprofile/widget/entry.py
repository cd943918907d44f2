"""The one call that opens the gate editor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from immunoprofile.errors import NotAvailableError
from immunoprofile.widget.opening import OpenFile, open_gate

if TYPE_CHECKING:
    from immunoprofile.gate.strategy import GateSet, Strategy
    from immunoprofile.widget.editor import GateEditor


def edit(
    sample: OpenFile,
    gates: GateSet | Strategy,
    population: str,
    *,
    baseline: OpenFile | None = None,
    fmo: OpenFile | None = None,
    parent: str | None = None,
    axes: Sequence[str] = (),
    sample_id: str = "",
    blinded: bool = False,
) -> GateEditor:
    """Gate editor: look at a gate, draw it anew with mouse or keyboard, see its exact count after every move.

    Parameters
    ----------
    sample
        The file: as `read_fcs` or `ip.gate.gate_sample` gave it, or its path.
    gates
        Strategy of its tube, or a set of them.
    population
        Population or quadrant gate, as ``treg/treg`` (tube/population) or without the tube. A name that the strategy
        does not have is a new population; ``parent`` then says where it is drawn.
    baseline
        Another visit of the same subject: its density lies under the present one, and the gate is counted in both.
    fmo
        An FMO control: the same.
    parent
        Parent of a new population, ``root`` for all events.
    axes
        Of a new population: markers or channels of the plot, two of them, or one for a threshold. The page can change
        them.
    sample_id
        What the study calls the sample; by default the name of the file.
    blinded
        Show no file name.

    Returns
    -------
    GateEditor
        Shows itself in JupyterLab; end the edit with its ``commit``.

    Raises
    ------
    NotAvailableError
        anywidget is not installed.
    GateError
        The file does not fit the gates, the population cannot be drawn, a channel is missing.

    Examples
    --------
    >>> ed = ip.widget.edit("D14.fcs", gates, "treg/treg", baseline="BL.fcs")  # doctest: +SKIP
    >>> ed  # doctest: +SKIP
    >>> gates = ed.commit(reason="dim CD127 in this lot", author="R7", study=study)  # doctest: +SKIP
    """
    try:
        from immunoprofile.widget.editor import GateEditor
    except ModuleNotFoundError as error:
        if error.name not in ("anywidget", "traitlets"):
            raise
        raise NotAvailableError(
            "the gate editor needs anywidget, which is not installed",
            where="ip.widget.edit",
            todo='pip install "immunoprofile[lab]", then restart the kernel; ip.gate.change moves a gate without it',
        ) from None
    return GateEditor(
        open_gate(
            sample, gates, population, others={"baseline": baseline, "FMO": fmo}, parent=parent, axes=axes,
            sample_id=sample_id, blinded=blinded,
        )
    )  # fmt: skip
