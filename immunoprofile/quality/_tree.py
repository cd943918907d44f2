"""Isolation tree over the bins: separates stretches whose peaks lie elsewhere; deterministic, no sampling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_GAIN = 0.6
SMALLEST_NODE = 3


def largest_leaf(features: NDArray[np.float64], *, least_gain: float = LEAST_GAIN) -> NDArray[np.bool_]:
    """Rows of the largest leaf.

    A node is split where the standard deviation of one column falls most: gain = (sd - mean of the two sides' sd) / sd.
    The gain must exceed ``least_gain``, and every accepted split raises what the next one must reach.

    Parameters
    ----------
    features
        Rows (bins in order of time) x columns.
    least_gain
        Gain that the first split must exceed.

    Returns
    -------
    numpy.ndarray
        True for the rows of the leaf that holds most of them (the first of equals).
    """
    deepest = int(np.ceil(np.log2(max(len(features), 2))))
    limit = least_gain
    waiting = [(np.arange(len(features)), 0)]
    leaves: list[NDArray[np.int64]] = []
    while waiting:
        rows, depth = waiting.pop(0)
        found = _best_split(features[rows], limit) if len(rows) > SMALLEST_NODE and depth < deepest else None
        if found is None:
            leaves.append(rows)
            continue
        limit, left = found
        waiting += [(rows[left], depth + 1), (rows[~left], depth + 1)]
    kept = np.zeros(len(features), dtype=bool)
    kept[max(leaves, key=len)] = True
    return kept


def _best_split(node: NDArray[np.float64], limit: float) -> tuple[float, NDArray[np.bool_]] | None:
    """Gain and left side of the best split above the limit; of equal gains the last one."""
    ordered = np.sort(node, axis=0)
    whole = ordered.std(axis=0, ddof=1)
    n = len(node)
    left = _running_sd(ordered)[:-1]
    right = _running_sd(ordered[::-1])[-2::-1]
    usable = whole > 0
    gain = np.full((n - 1, node.shape[1]), -np.inf)
    gain[:, usable] = 1 - (left[:, usable] + right[:, usable]) / 2 / whole[usable]
    gain[ordered[1:] == ordered[:-1]] = -np.inf
    flat = gain.T.ravel()
    best = flat.size - 1 - int(np.argmax(flat[::-1]))
    if not flat[best] > limit:
        return None
    column, place = divmod(best, n - 1)
    return float(flat[best]), node[:, column] <= ordered[place, column]


def _running_sd(ordered: NDArray[np.float64]) -> NDArray[np.float64]:
    """SD of the first 1, 2, ... rows; 0 for a single one."""
    centred = ordered - ordered.mean(axis=0)
    count = np.arange(1, len(ordered) + 1)[:, None]
    square = np.cumsum(centred**2, axis=0) - np.cumsum(centred, axis=0) ** 2 / count
    return np.asarray(np.sqrt(np.maximum(square, 0.0) / np.maximum(count - 1, 1)), dtype=np.float64)
