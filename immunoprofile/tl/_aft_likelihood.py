"""Likelihood of interval-censored Weibull and log-logistic times, and Newton's way to its maximum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_ITERATIONS: Final = 60
_TOLERANCE: Final = 1e-9
_LARGEST_EFFECT: Final = 12.0
"""A log time ratio beyond this, or with a standard error beyond it, has run to infinity."""
_LARGEST_SCALE_ERROR: Final = 5.0
"""The same of log sigma."""


class Fits(NamedTuple):
    """Maxima of several fits: parameters (beta / sigma, 1 / sigma), log-likelihood, Hessian, and which are finite."""

    parameters: Floats
    value: Floats
    hessian: Floats
    converged: NDArray[np.bool_]


def maximise(low: Floats, high: Floats, designs: Floats, distribution: str) -> Fits:
    """Newton steps for several designs (fits x subjects x terms) at once; parameters are (beta / sigma, 1 / sigma)."""
    batch, _, terms = designs.shape
    finite = np.where(np.isfinite(high), high, np.where(low > 0, low, 1.0))
    middle = np.log(np.where(low > 0, (low + finite) / 2, finite / 2))
    parameters = np.zeros((batch, terms + 1))
    spread = max(float(middle.std()), 0.3)
    parameters[:, 0], parameters[:, -1] = middle.mean() / spread, 1 / spread
    exact = low == high
    value, gradient, hessian = _likelihood(parameters, low, high, exact, designs, distribution)
    active = np.ones(batch, dtype=bool)
    converged = np.zeros(batch, dtype=bool)
    for _ in range(_ITERATIONS):
        rows = np.flatnonzero(active)
        if len(rows) == 0:
            break
        ridge = 1e-12 * np.maximum(np.abs(np.diagonal(hessian[rows], axis1=1, axis2=2)).max(axis=1), 1.0)
        step = np.linalg.solve(-hessian[rows] + ridge[:, None, None] * np.eye(terms + 1), gradient[rows][:, :, None])[
            :, :, 0
        ]
        gain = np.einsum("bi,bi->b", step, gradient[rows])
        done = gain < _TOLERANCE
        converged[rows[done]] = True
        active[rows[done]] = False
        rows, step = rows[~done], step[~done]
        _line_search(rows, step, (parameters, value, gradient, hessian), (low, high, exact, designs, distribution),
                     active)  # fmt: skip
    return Fits(parameters, value, hessian, converged & ~_runaway(parameters, hessian, designs))


def _runaway(parameters: Floats, hessian: Floats, designs: Floats) -> NDArray[np.bool_]:
    """Fits whose maximum is not finite: the likelihood is flat there, so that standard errors explode.

    The scale of a covariate is its own: an effect is judged by what it moves over the range of the covariate.
    """
    tau = parameters[:, -1]
    information = -hessian
    scale = np.sqrt(np.maximum(np.einsum("bii->bi", information), 1e-300))
    scaled = information / (scale[:, :, None] * scale[:, None, :])
    flat = ~np.all(np.isfinite(scaled), axis=(1, 2))
    scaled[flat] = np.eye(scaled.shape[1])
    flat |= np.linalg.eigvalsh(scaled)[:, 0] < 1e-10
    scaled[flat] = np.eye(scaled.shape[1])
    covariance = np.linalg.inv(scaled) / (scale[:, :, None] * scale[:, None, :])
    ranges = np.ptp(designs[:, :, 1:], axis=1)
    effects = parameters[:, 1:-1] / tau[:, None]
    variances = np.einsum("bii->bi", covariance)[:, 1:-1]
    shared = covariance[:, 1:-1, -1]
    own = variances - 2 * effects * shared + effects**2 * covariance[:, -1, -1][:, None]
    errors = np.sqrt(np.maximum(own, 0)) / tau[:, None]
    far = np.any((np.abs(effects) * ranges > _LARGEST_EFFECT) | (errors * ranges > _LARGEST_EFFECT), axis=1)
    return np.asarray(flat | far | (np.sqrt(covariance[:, -1, -1]) / tau > _LARGEST_SCALE_ERROR))


def _line_search(
    rows: NDArray[np.intp],
    step: Floats,
    state: tuple[Floats, Floats, Floats, Floats],
    data: tuple[Floats, Floats, NDArray[np.bool_], Floats, str],
    active: NDArray[np.bool_],
) -> None:
    """Halve each step until the likelihood rises; what cannot rise any more is at rest without convergence."""
    parameters, value, gradient, hessian = state
    low, high, exact, designs, distribution = data
    size = np.ones(len(rows))
    waiting = np.arange(len(rows))
    for _ in range(40):
        if len(waiting) == 0:
            return
        places = rows[waiting]
        trial = parameters[places] + size[waiting, None] * step[waiting]
        allowed = trial[:, -1] > 0
        new = _likelihood(np.where(allowed[:, None], trial, parameters[places]), low, high, exact, designs[places],
                          distribution)  # fmt: skip
        better = allowed & np.isfinite(new[0]) & (new[0] >= value[places] - 1e-12 * np.abs(value[places]))
        accepted = places[better]
        parameters[accepted] = trial[better]
        value[accepted], gradient[accepted], hessian[accepted] = (part[better] for part in new)
        waiting = waiting[~better]
        size[waiting] /= 2
    active[rows[waiting]] = False


def _likelihood(
    parameters: Floats, low: Floats, high: Floats, exact: NDArray[np.bool_], designs: Floats, distribution: str
) -> tuple[Floats, Floats, Floats]:
    """Log-likelihood, gradient and Hessian of each fit; exact times without the constant -log t."""
    shape = designs.shape[:2]
    predictor = np.einsum("bnk,bk->bn", designs, parameters[:, :-1])
    tau = parameters[:, -1:]
    opened, closed = np.broadcast_to(low > 0, shape), np.broadcast_to(np.isfinite(high), shape)
    y_low = np.log(np.where(low > 0, low, 1.0))
    y_high = np.log(np.where(np.isfinite(high), high, 1.0))
    z_low = np.clip(tau * y_low - predictor, -500, 500)
    z_high = np.clip(tau * y_high - predictor, -500, 500)
    log_p, a_low, a_high, c_low, c_high = _interval(z_low, z_high, opened, closed & ~exact, distribution)
    value, slope, curve = _exact(z_high, distribution)
    is_exact = np.broadcast_to(exact, shape)
    total = np.where(is_exact, value + np.log(tau), log_p).sum(axis=1)

    # z = tau y - x theta, so its derivative by (theta, tau) is w = (-x, y)
    w_low = np.concatenate([-designs, np.broadcast_to(y_low, shape)[:, :, None]], axis=2)
    w_high = np.concatenate([-designs, np.broadcast_to(y_high, shape)[:, :, None]], axis=2)
    first_low = np.where(is_exact, 0.0, -a_low)
    first_high = np.where(is_exact, slope, a_high)
    scores = first_low[:, :, None] * w_low + first_high[:, :, None] * w_high
    gradient = scores.sum(axis=1)
    second_low = np.where(is_exact, 0.0, -c_low)
    second_high = np.where(is_exact, curve, c_high)
    squared = np.where(is_exact, 0.0, 1.0)
    hessian = (
        np.einsum("bn,bni,bnj->bij", second_low, w_low, w_low)
        + np.einsum("bn,bni,bnj->bij", second_high, w_high, w_high)
        - np.einsum("bn,bni,bnj->bij", squared, scores, scores)
    )
    count = float(exact.sum())
    gradient[:, -1] += count / tau[:, 0]
    hessian[:, -1, -1] -= count / tau[:, 0] ** 2
    return total, gradient, hessian


def _interval(
    z_low: Floats, z_high: Floats, opened: NDArray[np.bool_], closed: NDArray[np.bool_], distribution: str
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Log of P(z_low < Z <= z_high), and f / P and f' / P at both ends (0 at an infinite end)."""
    gap = np.where(opened & closed, z_high - z_low, 1.0)
    gap = np.maximum(gap, 1e-300)
    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        if distribution == "weibull":
            e_low, e_high = np.exp(z_low), np.exp(z_high)
            inner = np.log(-np.expm1(-np.where(opened & closed, e_low * np.expm1(gap), e_high)))
            log_p = np.where(opened, -e_low, 0.0) + np.where(closed, inner, 0.0)
            log_f_low, log_f_high = z_low - e_low, z_high - e_high
            turn_low, turn_high = 1 - e_low, 1 - e_high
        else:
            survive = -np.logaddexp(0, z_low)
            reach = -np.logaddexp(0, -z_high)
            both = np.log(-np.expm1(-gap))
            log_p = (np.where(opened, survive, 0.0) + np.where(closed, reach, 0.0)
                     + np.where(opened & closed, both, 0.0))  # fmt: skip
            log_f_low = -np.logaddexp(0, z_low) - np.logaddexp(0, -z_low)
            log_f_high = -np.logaddexp(0, z_high) - np.logaddexp(0, -z_high)
            turn_low, turn_high = -np.tanh(z_low / 2), -np.tanh(z_high / 2)
        a_low = np.where(opened, np.exp(log_f_low - log_p), 0.0)
        a_high = np.where(closed, np.exp(log_f_high - log_p), 0.0)
        c_low = np.where(a_low == 0, 0.0, a_low * turn_low)
        c_high = np.where(a_high == 0, 0.0, a_high * turn_high)
    return log_p, a_low, a_high, c_low, c_high


def _exact(z: Floats, distribution: str) -> tuple[Floats, Floats, Floats]:
    """Log of f and its first two derivatives."""
    with np.errstate(over="ignore", under="ignore"):
        if distribution == "weibull":
            e = np.exp(z)
            return z - e, 1 - e, -e
        turn = np.tanh(z / 2)
        return z - 2 * np.logaddexp(0, z), -turn, -(1 - turn**2) / 2
