"""Cubic smoothing spline with the smoothing that R's ``smooth.spline`` documents for a given ``spar``.

Criterion (Green and Silverman 1994; Hastie and Tibshirani 1990): sum (y - f)^2 + lambda * integral f''^2 with x brought
to [0, 1] and lambda = r * 256^(3 spar - 1), where r = tr(X'X) / tr(Sigma). X holds the cubic B-splines at x and Sigma
the integrals of products of their second derivatives. The traces leave out the two first and the three last splines.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def knot_count(n: int) -> int:
    """Number of knots for n distinct places: all below 50, then fewer and fewer."""
    if n < 50:
        return n
    corners = [(50, 50.0), (200, 100.0), (800, 140.0), (3200, 200.0)]
    for (low, few), (high, many) in pairwise(corners):
        if n < high:
            # The small addend keeps 2^log2(100) at 100.
            return int(2 ** (np.log2(few) + (np.log2(many) - np.log2(few)) * (n - low) / (high - low)) + 1e-9)
    return int(200 + (n - 3200) ** 0.2)


def smooth(series: NDArray[np.float64], *, spar: float = 0.5) -> NDArray[np.float64]:
    """Smooth each column over its evenly spaced rows.

    Parameters
    ----------
    series
        n x k values; fewer than 4 rows are returned as they are.
    spar
        Smoothing parameter of the definition above.

    Returns
    -------
    numpy.ndarray
        n x k fitted values.
    """
    from scipy.linalg import solveh_banded

    if len(series) < 4:
        return series.copy()
    basis, turned, banded = _system(len(series), spar)
    return np.asarray(basis @ solveh_banded(banded, turned @ series), dtype=np.float64)


@lru_cache(maxsize=32)
def _system(n: int, spar: float) -> tuple[Any, Any, NDArray[np.float64]]:
    """Splines at n places, the same transposed, and the upper bands of the matrix of the normal equations."""
    from scipy.interpolate import BSpline

    x = np.linspace(0.0, 1.0, n)
    inner = x[np.linspace(0, n - 1, knot_count(n)).astype(np.int64)]
    knots = np.concatenate([[0.0] * 3, inner, [1.0] * 3])
    size = len(knots) - 4
    basis = BSpline.design_matrix(x, knots, 3).tocsr()
    gram = (basis.T @ basis).toarray()
    sigma = _roughness(knots, size)
    kept = slice(2, size - 3)
    ratio = np.trace(gram[kept, kept]) / np.trace(sigma[kept, kept])
    whole = gram + ratio * 256.0 ** (3.0 * spar - 1.0) * sigma
    banded = np.zeros((4, size))
    for offset in range(4):
        banded[3 - offset, offset:] = np.diagonal(whole, offset)
    return basis, basis.T, banded


def _roughness(knots: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Integrals of the products of the second derivatives, which are straight lines between the knots."""
    from scipy.interpolate import BSpline

    breaks = np.unique(knots)
    widths = np.diff(breaks)
    # Two Gauss points integrate a product of two straight lines without error.
    offset = widths / (2 * np.sqrt(3.0))
    middle = (breaks[:-1] + breaks[1:]) / 2
    places = np.concatenate([middle - offset, middle + offset])
    weights = np.concatenate([widths, widths]) / 2
    second = BSpline(knots, np.eye(size), 3).derivative(2)(places)
    return np.asarray((second * weights[:, None]).T @ second, dtype=np.float64)
