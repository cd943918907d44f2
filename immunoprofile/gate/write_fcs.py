"""Hand gated events back as FCS: the recorded values, and one channel of zeros and ones for each population."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from immunoprofile.errors import GateError, Problems
from immunoprofile.io.fcs_write import NewChannel, write_copy

if TYPE_CHECKING:
    from immunoprofile.compensation import Spillover
    from immunoprofile.gate.evaluate import GatedSample

_SPILLOVER_KEYWORDS = ("SPILLOVER", "SPILL", "COMP")


def write_fcs(gated: GatedSample, source: str | Path, target: str | Path, *, population: str | None = None) -> Path:
    """Write a gated file as FCS 3.1, for FlowJo and every other program.

    Parameters
    ----------
    gated
        From `gate_sample`.
    source
        The file that it was made from.
    target
        File to write, another one than ``source``.
    population
        Write only the events of this population, without further channels. By default all events are written, with one
        channel a population ($PnN its id, $PnS its name): 1 inside, 0 outside.

    Returns
    -------
    Path
        The file. Its stored values are those of ``source`` bit by bit, uncompensated; ``$SPILLOVER`` is the matrix that
        the gates were applied with, or that of the file where none was applied.

    Raises
    ------
    GateError
        There is no such population.
    FcsError
        See `io.fcs_write.write_copy`.
    """
    source, target = Path(source), Path(target)
    problems = Problems()
    if population is not None and population not in gated.strategy:
        problems.add("population", "is not gated", value=population, allowed=", ".join(gated.strategy.populations))
    if target.exists() and source.exists() and target.samefile(source):
        problems.add(str(target), "is the file itself", allowed="another folder")
    if problems:
        raise GateError("gated events cannot be written", problems.found, where=source.name)
    channels = [
        NewChannel(gate.population, gate.label or gate.population, gated.mask(gate.population))
        for gate in gated.strategy.gates
    ]
    keywords: dict[str, str | None] = {"IMMUNOPROFILE GATES": gated.strategy.sha256}
    if gated.spillover is not None and gated.comp_source != "keyword":
        keywords |= dict.fromkeys((f"${name}" for name in _SPILLOVER_KEYWORDS), None)
        keywords["$SPILLOVER"] = spillover_text(gated.spillover)
    return write_copy(
        source,
        target,
        channels=channels if population is None else (),
        rows=None if population is None else gated.mask(population),
        keywords=keywords,
        sha256=gated.sample.sha256,
    )


def spillover_text(spillover: Spillover) -> str:
    """Value of ``$SPILLOVER``: number of channels, their names, the matrix row by row (FCS 3.1)."""
    values = ",".join(repr(float(value)) for value in spillover.matrix.ravel())
    return f"{len(spillover.channels)},{','.join(spillover.channels)},{values}"
