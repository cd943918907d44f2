"""A spillover matrix computed from single-stained controls, by medians or by robust regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from immunoprofile.compensation.matrix import Spillover
from immunoprofile.errors import CompensationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from immunoprofile.io.fcs import Sample

Method = Literal["median", "regression"]

MIN_EVENTS = 100
"""Fewest positive events (and fewest background events) that a control must have."""
MAX_EVENTS = 5_000
"""Events per control that the regression uses, spread evenly over the file."""
POSITIVE_QUANTILE = 0.995
"""A positive is brighter than this quantile of the unstained control."""
SCATTER_DENSITY = 0.25
"""The scatter gate holds the densest place and what is connected to it above this share of its density."""
COFACTOR = 150.0
"""Of the inverse hyperbolic sine on which positives are told from negatives."""
TRIM = 0.01
HUBER = 1.345
_LINEAR_TOLERANCE, _FINE_TOLERANCE, _MAX_ROUNDS, _PATIENCE = 1e-2, 1e-4, 100, 10
_LOGICLE = {"t": 262_144, "m": 4.5, "w": 0.5, "a": 0}


@dataclass(frozen=True)
class _Control:
    """Usable events of one control: detectors of the matrix only, ``primary`` is the column of its own dye."""

    name: str
    primary: int
    events: NDArray[np.float64]
    background: NDArray[np.float64] | None


def from_controls(
    controls: Mapping[str, Sample],
    *,
    unstained: Sample | None = None,
    method: Method = "median",
    channels: Sequence[str] | None = None,
    gates: Mapping[str, NDArray[np.bool_]] | None = None,
) -> Spillover:
    """Spillover matrix from single-stained controls.

    Events at a detector's upper end are left out. Of the others, those count that lie in the densest region of FSC-A
    and SSC-A of the control (what is connected to its peak at more than a quarter of the peak's density): one kind of
    particle, so that positives and background share their autofluorescence. Positives are brighter in their own
    detector than the threshold that splits its values best in two (Otsu 1979, on an inverse hyperbolic sine) and, with
    an unstained control, than 99.5 % of it; of them the brighter half is used, where autofluorescence weighs least.

    Parameters
    ----------
    controls
        Detector (``$PnN``) or marker of the dye -> control stained with this dye only.
    unstained
        Background of all controls, of the same particles. Without it the negatives of each control are its background.
    method
        ``median``: difference of the medians of positives and background over that of the own detector, not below 0
        (Bagwell and Adams 1993). ``regression``: robust regression of every detector on the own one over as many
        positives as background events, repeated on the compensated events until nothing is left of the slope (after
        Roca et al. 2021, Nat Commun 12:2890). The two differ by up to 0.07 on real controls.
    channels
        Detectors of the matrix, in order; by default those of the controls. A detector without control has the
        identity as its row: its dye is taken to spill nowhere.
    gates
        Detector or marker, as in ``controls`` -> bool mask over the events of that control, in place of the scatter
        gate.

    Returns
    -------
    Spillover
        ``source`` names the method.

    Raises
    ------
    CompensationError
        Too few positive or background events, a control that is dim in its own detector, unknown channels, or a
        regression that does not settle.
    """
    if method not in ("median", "regression"):
        raise CompensationError(f"no method {method!r}", where="from_controls", todo="use 'median' or 'regression'")
    if not controls:
        raise CompensationError("no controls", where="from_controls", todo="give one single-stained file for each dye")
    own = {key: _channel(sample, key) for key, sample in controls.items()}
    if len(set(own.values())) < len(own):
        raise CompensationError("two controls are for the same detector", where=", ".join(own))
    detectors = tuple(channels) if channels is not None else tuple(own.values())
    if missing := [name for name in own.values() if name not in detectors]:
        msg = f"controls of channels that are not asked for: {', '.join(missing)}"
        raise CompensationError(msg, where="from_controls", todo="name them in channels, or leave the controls out")
    used = [
        _control(sample, detectors, own[key], unstained, None if gates is None else gates.get(key))
        for key, sample in controls.items()
    ]
    if method == "median":
        return Spillover(detectors, _by_medians(used, len(detectors)), "controls (median)")
    matrix, left = _by_regression(used, len(detectors))
    rest = "" if left < _FINE_TOLERANCE else f", a slope of {left:.2g} is left"
    return Spillover(detectors, matrix, f"controls (regression{rest})")


def _channel(sample: Sample, key: str) -> str:
    names = [channel.pnn for channel in sample.channels]
    return key if key in names else sample.channels[sample.position(key)].pnn


def _control(
    sample: Sample,
    detectors: tuple[str, ...],
    own: str,
    unstained: Sample | None,
    gate: NDArray[np.bool_] | None,
) -> _Control:
    columns = _columns(sample, detectors)
    inside = _below_rails(sample, columns)
    region = None
    if gate is not None:
        if gate.shape != (sample.n_events,):
            raise CompensationError(f"the gate has {gate.size} values for {sample.n_events} events", where=sample.name)
        inside &= gate
    else:
        region = _Region.of(sample, inside)
        inside &= region.holds(sample)
    background = None
    if unstained is not None:
        of_unstained = _columns(unstained, detectors)
        like = _below_rails(unstained, of_unstained)
        if region is not None:
            like &= region.holds(unstained)
        background = unstained.events[like][:, of_unstained]
        if len(background) < MIN_EVENTS:
            raise CompensationError(
                f"the unstained control has {len(background)} events that look like the stained ones",
                where=sample.name,
                todo="give an unstained control of the same particles, or none: then the negatives of each control are "
                "its background",
            )
    return _Control(sample.name, detectors.index(own), sample.events[inside][:, columns], background)


def _columns(sample: Sample, detectors: tuple[str, ...]) -> list[int]:
    return Spillover(detectors, np.eye(len(detectors)), "controls").positions(sample)


def _below_rails(sample: Sample, columns: list[int]) -> NDArray[np.bool_]:
    """Events below the upper end of every detector of the matrix and of the scatter."""
    keep = np.ones(sample.n_events, dtype=bool)
    for column, channel in enumerate(sample.channels):
        if (column in columns or channel.pnn in ("FSC-A", "SSC-A")) and channel.pnr > 0:
            keep &= sample.events[:, column] < (channel.pnr - 1) / channel.gain
    return keep


@dataclass(frozen=True)
class _Region:
    """The densest region of forward and side scatter, as bins that are in or out."""

    edges: tuple[NDArray[np.float64], ...]
    bins: NDArray[np.bool_]

    @classmethod
    def of(cls, sample: Sample, keep: NDArray[np.bool_]) -> _Region:
        from scipy import ndimage

        light = _scatter(sample)
        if light is None or keep.sum() < MIN_EVENTS:
            return cls((), np.ones(1, dtype=bool))
        # the outermost values would make the bins wide
        limits = [np.quantile(light[keep, axis], (0.005, 0.99)) for axis in range(2)]
        if any(low >= high for low, high in limits):
            return cls((), np.ones(1, dtype=bool))
        counts, edges = np.histogramdd(light[keep], bins=64, range=[(low, high) for low, high in limits])
        smooth = ndimage.gaussian_filter(counts, 1.5)
        labels, _ = ndimage.label(smooth > SCATTER_DENSITY * smooth.max())
        return cls(
            tuple(np.asarray(edge, dtype=np.float64) for edge in edges),
            labels == labels[np.unravel_index(smooth.argmax(), smooth.shape)],
        )

    def holds(self, sample: Sample) -> NDArray[np.bool_]:
        light = _scatter(sample)
        if not self.edges or light is None:
            return np.ones(sample.n_events, dtype=bool)
        places = [np.searchsorted(edges, light[:, axis], side="right") - 1 for axis, edges in enumerate(self.edges)]
        pairs = list(zip(places, self.edges, strict=True))
        known = np.logical_and.reduce([(at >= 0) & (at < len(edges) - 1) for at, edges in pairs])
        first, second = (np.clip(at, 0, len(edges) - 2) for at, edges in pairs)
        return np.asarray(known & self.bins[first, second])


def _scatter(sample: Sample) -> NDArray[np.float64] | None:
    names = [channel.pnn for channel in sample.channels]
    if "FSC-A" not in names or "SSC-A" not in names:
        return None
    return sample.events[:, [names.index("FSC-A"), names.index("SSC-A")]]


def positive_threshold(values: NDArray[np.float64], unstained: NDArray[np.float64] | None = None) -> float:
    """Value above which an event is positive in its own detector.

    Parameters
    ----------
    values
        Linear values of a single-stained control in its own detector.
    unstained
        The same of the unstained control.

    Returns
    -------
    float
        Linear; the split with the largest variance between the two sides (Otsu 1979, on asinh(x / 150)), and at least
        the 99.5 % quantile of the unstained control.
    """
    scaled = np.arcsinh(values / COFACTOR)
    counts, edges = np.histogram(scaled, bins=256)
    middle = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)[:-1].astype(float)
    above = below[-1] + counts[-1] - below
    mass = np.cumsum(counts * middle)
    with_both = (below > 0) & (above > 0)
    between = np.zeros_like(below)
    low = mass[:-1][with_both] / below[with_both]
    high = (mass[-1] - mass[:-1][with_both]) / above[with_both]
    between[with_both] = below[with_both] * above[with_both] * (high - low) ** 2
    threshold = float(COFACTOR * np.sinh(edges[1 + int(between.argmax())]))
    return threshold if unstained is None else max(threshold, float(np.quantile(unstained, POSITIVE_QUANTILE)))


def _split(control: _Control) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positive and background events of a control."""
    values = control.events[:, control.primary]
    if len(values) < 2 * MIN_EVENTS:
        raise CompensationError(f"{len(values)} usable events", where=control.name, todo="record more events")
    unstained = None if control.background is None else control.background[:, control.primary]
    _check_brightest(control)
    threshold = positive_threshold(values, unstained)
    positives = control.events[values > threshold]
    background = control.events[values <= threshold] if control.background is None else control.background
    if len(positives) < MIN_EVENTS or len(background) < MIN_EVENTS:
        raise CompensationError(
            f"{len(positives)} positive and {len(background)} background events above and below {threshold:.4g}",
            where=control.name,
            todo=f"at least {MIN_EVENTS} of both are needed; record more, or give an unstained control",
        )
    return positives, background


def _by_medians(controls: list[_Control], size: int) -> NDArray[np.float64]:
    matrix = np.eye(size)
    for control in controls:
        positives, background = _split(control)
        bright = positives[positives[:, control.primary] >= np.median(positives[:, control.primary])]
        signal = np.median(bright, axis=0) - np.median(background, axis=0)
        matrix[control.primary] = np.maximum(0, signal / signal[control.primary])
    return matrix


def _check_brightest(control: _Control) -> None:
    """Refuse a control whose light is elsewhere: a tandem may spill much, but not twice what its own detector sees."""
    reach = np.quantile(control.events, POSITIVE_QUANTILE, axis=0) - np.median(control.events, axis=0)
    if reach.max() > 2 * reach[control.primary]:
        raise CompensationError("the control is brighter in another detector than in its own", where=control.name,
                                todo="check which dye this tube has")  # fmt: skip


def _by_regression(controls: list[_Control], size: int) -> tuple[NDArray[np.float64], float]:
    chosen = [(control, _balanced(control)) for control in controls]
    matrix = np.eye(size)
    for control, events in chosen:
        slopes = _slopes(events, control.primary, linear=True)
        # every column counts once: the first estimate is the regression on the raw events
        matrix[control.primary] = slopes
        matrix[control.primary, control.primary] = 1.0
    matrix, _ = _settle(matrix, chosen, tolerance=_LINEAR_TOLERANCE, linear=True)
    matrix, left = _settle(matrix, chosen, tolerance=_FINE_TOLERANCE, linear=False)
    if left > _LINEAR_TOLERANCE:
        raise CompensationError(f"the regression does not settle: a slope of {left:.3g} is left", where="from_controls",
                                todo="use method='median', and look at the controls")  # fmt: skip
    return matrix, left


def _settle(
    matrix: NDArray[np.float64],
    chosen: list[tuple[_Control, NDArray[np.float64]]],
    *,
    tolerance: float,
    linear: bool,
) -> tuple[NDArray[np.float64], float]:
    """Repeat S <- S + step * E S until no slope E is left; the best matrix on the way and what is left in it."""
    step, best, least, idle = 1.0, matrix, np.inf, 0
    for _ in range(_MAX_ROUNDS):
        error = np.zeros_like(matrix)
        for control, events in chosen:
            clean = np.asarray(np.linalg.solve(matrix.T, events.T).T, dtype=np.float64)
            error[control.primary] = _slopes(clean, control.primary, linear=linear)
            error[control.primary, control.primary] = 0.0
        left = float(np.abs(error).max())
        if left < least:
            best, least, idle = matrix, left, 0
        else:
            # overshot: smaller steps
            step, idle = 0.1, idle + 1
        if left < tolerance or idle > _PATIENCE:
            break
        matrix = matrix + step * error @ matrix
        matrix = matrix / np.diag(matrix)[:, None]
    return best, least


def _balanced(control: _Control) -> NDArray[np.float64]:
    """As many positives as background events: where positives are rare, the others would decide the line."""
    parts = _split(control)
    number = min(MAX_EVENTS // 2, *(len(part) for part in parts))
    return np.vstack([part[np.linspace(0, len(part) - 1, number).astype(int)] for part in parts])


def _slopes(events: NDArray[np.float64], primary: int, *, linear: bool) -> NDArray[np.float64]:
    """Slope of every detector on the own one, on the linear scale.

    A line on the bi-exponential scale gives the slope between its ends.
    """
    own = events[:, primary]
    low, high = np.quantile(own, (TRIM, 1 - TRIM))
    kept = events[(own >= low) & (own <= high)]
    if linear:
        return huber(kept[:, primary], kept)[1]
    from flowutils import transforms

    everything = list(range(events.shape[1]))
    scaled = transforms.logicle(np.ascontiguousarray(kept), everything, **_LOGICLE)
    intercepts, slopes = huber(scaled[:, primary], scaled)
    ends = np.array([scaled[:, primary].min(), scaled[:, primary].max()])
    fitted = intercepts + ends[:, None] * slopes
    back = transforms.logicle_inverse(np.ascontiguousarray(fitted), everything, **_LOGICLE)
    rise: NDArray[np.float64] = (back[1] - back[0]) / (high - low)
    return rise


def huber(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Huber's robust line (k = 1.345, scale by the MAD) of many columns on one variable at once.

    Own code, since statsmodels fits one column at a time and this is done a hundred times for every pair of detectors.

    Parameters
    ----------
    x
        n values.
    y
        n x q values.

    Returns
    -------
    tuple of numpy.ndarray
        Intercepts and slopes, q each.
    """
    weights = np.ones_like(y)
    centre = x - x.mean()
    intercept, slope = np.zeros(y.shape[1]), np.zeros(y.shape[1])
    for _ in range(30):
        total = weights.sum(axis=0)
        mean_x = (weights * centre[:, None]).sum(axis=0) / total
        mean_y = (weights * y).sum(axis=0) / total
        apart = centre[:, None] - mean_x
        spread = (weights * apart**2).sum(axis=0)
        new = (weights * apart * (y - mean_y)).sum(axis=0) / np.where(spread > 0, spread, 1)
        old, slope, intercept = slope, new, mean_y - new * mean_x
        if np.all(np.abs(slope - old) <= 1e-7 + 1e-6 * np.abs(slope)):
            break
        residual = np.abs(y - intercept - slope * centre[:, None])
        limit = HUBER * 1.4826 * np.median(residual, axis=0)
        weights = np.where(residual > limit, limit / np.where(residual > 0, residual, 1), 1.0)
        weights[:, limit == 0] = 1.0
    return intercept - slope * x.mean(), slope
