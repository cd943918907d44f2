"""A plan with the matrices and channel scales of one file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.gate.engine.kernels import RAW_LIMIT, gate_events
from immunoprofile.gate.engine.plan import Plan, make_plan
from immunoprofile.gate.engine.resolve import Matrix, Node, NotPlannedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

MOST_ERROR = 1.0
"""Largest error of the fast compensation, in linear units, with which it is worth while."""

_NO_WIDE = np.zeros((1, 1))
_NO_SMALL = np.zeros((1, 1), dtype=np.uint32)


@dataclass(frozen=True, eq=False)
class BoundPlan:
    """A plan for one file.

    Attributes
    ----------
    plan
        Tables of the strategy.
    raw_columns
        Columns that the matrices read, filled up with -1 to a multiple of four.
    weights
        Slots x raw columns: a compensated slot is this sum of recorded values.
    errors
        By slot: bound of the error of that sum, as a share of the largest recorded value.
    """

    plan: Plan
    raw_columns: NDArray[np.int64]
    weights: NDArray[np.float64]
    errors: NDArray[np.float64]

    def run(
        self,
        out: NDArray[np.uint64],
        counts: NDArray[np.int64],
        *,
        wide: NDArray[np.float64] | None = None,
        small: NDArray[np.uint32] | None = None,
        source: int,
        n_events: int,
        multiply: NDArray[np.float64],
        divide: NDArray[np.float64],
    ) -> NDArray[np.int64]:
        """Evaluate events in memory; returns the positions of those that the arbiter has to look at."""
        p = self.plan
        flags = np.empty(n_events, dtype=np.int64)
        found = gate_events(
            source, _NO_SMALL if small is None else small, _NO_WIDE if wide is None else wide, n_events,
            multiply, divide, self.raw_columns, self.weights, self.errors,
            p.nodes, p.order, p.segments, p.domains, p.slots, p.ratios, p.ranges, p.range_slots, p.shapes, p.grids,
            p.corners, p.forms, p.form_axes, p.axes, p.axis_lines, p.lines, p.codes, p.operands, out, flags, counts,
        )  # fmt: skip
        return flags[:found]


def bind_plan(nodes: tuple[Node, ...], matrices: Mapping[str, Matrix]) -> BoundPlan:
    """Plan of the nodes with the matrices of a file; the plan itself is kept for the next file.

    Raises
    ------
    NotPlannedError
        The kernel cannot hold the strategy, or a matrix is so ill-conditioned that its guard bands would be useless.
    """
    shares = {name: _error_share(matrix) for name, matrix in matrices.items()}
    margins = []
    for name, share in sorted(shares.items()):
        error = share * RAW_LIMIT
        if not error <= MOST_ERROR:
            raise NotPlannedError(f"a matrix is ill-conditioned (errors up to {error:.2g})")
        # Powers of ten, so that files with slightly different matrices share one plan
        margins.append((name, 10.0 ** max(-6, math.ceil(math.log10(error)))))
    compensated = frozenset((name, column) for name, matrix in matrices.items() for column in matrix.columns)
    plan = make_plan(nodes, tuple(margins), compensated)
    columns = sorted({column for matrix in matrices.values() for column in matrix.columns})
    width = -(-len(columns) // 4) * 4
    weights = np.zeros((len(plan.slot_features), max(width, 1)))
    errors = np.zeros(len(plan.slot_features))
    inverses = {name: np.linalg.inv(matrix.values) for name, matrix in matrices.items()}
    for slot, feature in enumerate(plan.slot_features):
        if feature.matrix is None:
            continue
        matrix = matrices[feature.matrix]
        places = [columns.index(column) for column in matrix.columns]
        weights[slot, places] = inverses[feature.matrix][:, matrix.columns.index(feature.column)]
        errors[slot] = shares[feature.matrix]
    raw_columns = np.array(columns + [-1] * (width - len(columns)), dtype=np.int64)
    return BoundPlan(plan, raw_columns, weights, errors)


def _error_share(matrix: Matrix) -> float:
    """Bound of the difference between the fast compensation and ``solve``, as a share of the largest recorded value.

    Both are within ``p * eps * cond * norm(inverse)`` of the true result (Higham, Accuracy and Stability of Numerical
    Algorithms, 2nd edition, theorems 9.4 and 7.2); the factor covers growth in the elimination.
    """
    try:
        inverse = np.linalg.inv(matrix.values.T)
    except np.linalg.LinAlgError as error:
        raise NotPlannedError("a matrix cannot be inverted") from error
    size = float(np.abs(inverse).sum(axis=1).max())
    condition = size * float(np.abs(matrix.values.T).sum(axis=1).max())
    return 64.0 * len(matrix.columns) * float(np.finfo(float).eps) * condition * size
