"""What a strategy and a file say together that would be evaluated otherwise than it reads (docs/flowkit.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.errors import Problem, Problems
from immunoprofile.gate.binding import bind

if TYPE_CHECKING:
    from immunoprofile.compensation import Spillover
    from immunoprofile.gate.strategy import Gate, Strategy
    from immunoprofile.io.fcs import Sample

_FLOORED = ("logicle", "hyperlog")


def traps(strategy: Strategy, sample: Sample, spillover: Spillover | None) -> tuple[list[Problem], list[Problem]]:
    """Traps of a strategy on one file.

    Parameters
    ----------
    strategy
        The gates; markers or channels.
    sample
        A file that fits them.
    spillover
        Matrix that the file or the study gives, or None.

    Returns
    -------
    errors, warnings
        Errors: a dimension that is declared uncompensated stands beside a compensated one, in a channel of the matrix
        (FlowKit compensates it all the same). Warnings: gates that ask for a spillover that is not there; events that
        are no numbers, which a logicle or hyperlog scale puts at its bottom, so that a gate without a minimum counts
        them.

    Raises
    ------
    GateError
        The file lacks channels of the strategy.
    """
    bound = bind(strategy, sample)
    errors, warnings = Problems(), Problems()
    matrices = {name: set(matrix.detectors) for name, matrix in bound.matrices}
    matrices[""] = set(spillover.channels) if spillover is not None else set()
    lacking = [g.population for g in bound.gates if any(d.compensated and not d.matrix for d in g.dimensions)]
    if spillover is None and lacking:
        warnings.add(
            sample.name,
            "gates ask for the spillover of the file, which has none; they are evaluated uncompensated",
            value=", ".join(lacking),
        )
    not_finite = not np.isfinite(sample.events).all()
    for gate in bound.gates:
        _mixed(gate, matrices, errors)
        if not_finite:
            for dimension in gate.dimensions:
                scale = dict(bound.scales).get(dimension.scale or "")
                open_below = gate.kind in ("rectangle", "quadrant") and dimension.minimum is None
                if open_below and dimension.maximum is not None and scale is not None and scale.kind in _FLOORED:
                    warnings.add(
                        f"gate {gate.population}",
                        f"has no minimum of {dimension.marker}, and {sample.name} has events that are no numbers: "
                        f"a {scale.kind} scale puts them at its bottom, inside the gate",
                    )
    return errors.found, warnings.found


def _mixed(gate: Gate, matrices: dict[str, set[str]], errors: Problems) -> None:
    removed = next((matrices[d.matrix] for d in gate.dimensions if d.compensated), set())
    for dimension in gate.dimensions:
        if dimension.compensated or dimension.ratio is not None or dimension.marker not in removed:
            continue
        errors.add(
            f"gate {gate.population}",
            f"{dimension.marker} is uncompensated beside a compensated dimension, and would be compensated with it",
            allowed="both compensated, or one gate after the other",
        )
