"""Channels that changed places between two files of a panel, seen in their intensity distributions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from immunoprofile.errors import FcsError
from immunoprofile.io.fcs import fluorescence_positions
from immunoprofile.io.markers import same_marker
from immunoprofile.order_statistics import quantiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from immunoprofile.io.fcs import Sample

COFACTOR: Final = 150.0
"""Scale of the inverse hyperbolic sine, in channel units of an 18-bit cytometer: about the width of the negatives."""
LEAST_EVENTS: Final = 500
LEAST_GAIN: Final = 0.25
LEAST_SHARE: Final = 0.7
_QUANTILES: Final = np.linspace(0.01, 0.99, 99)


@dataclass(frozen=True)
class Swap:
    """Channels of a file that fit each other's place better than their own.

    Attributes
    ----------
    markers
        Markers in a ring: the first carries in the other file what the second carries in the reference, and so on.
    channels
        Their channels ($PnN) in the other file.
    own
        Mean distance of these channels to the channels of the same name, in units of asinh(x / 150).
    moved
        The same after the exchange.
    """

    markers: tuple[str, ...]
    channels: tuple[str, ...]
    own: float
    moved: float

    @property
    def share(self) -> float:
        """Part of the distance that the exchange removes, 0 to 1."""
        return 1.0 - self.moved / self.own if self.own > 0 else 0.0

    def __str__(self) -> str:
        names = " <-> ".join(self.markers)
        return f"{names}: distance {self.own:.2f} as labelled, {self.moved:.2f} when exchanged"


@dataclass(frozen=True)
class PanelComparison:
    """Two files of a panel.

    Attributes
    ----------
    assessable
        False with too few events or fewer than two common stained channels; that is never a pass.
    reason
        Why it is not assessable.
    swaps
        What was found.
    markers
        Markers that were compared.
    distance
        Mean absolute difference of quantiles, markers of the reference x markers of the other file.
    """

    assessable: bool
    reason: str
    swaps: tuple[Swap, ...]
    markers: tuple[str, ...]
    distance: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PanelQuantiles:
    """What `compare_panels` needs of a file, so that the file itself need not be read again.

    Attributes
    ----------
    name, n_events
        Which file, and its number of events.
    channels, markers
        Name ($PnN) and marker of its stained channels.
    quantiles
        99 quantiles x channels, asinh(x / 150); NaN for a channel that holds values that are no numbers.
    """

    name: str
    n_events: int
    channels: tuple[str, ...]
    markers: tuple[str, ...]
    quantiles: NDArray[np.float64]


def panel_quantiles(sample: Sample) -> PanelQuantiles:
    """Distributions of the stained channels of a file, for `compare_panels`."""
    columns = fluorescence_positions(sample)
    found = np.full((len(_QUANTILES), len(columns)), np.nan)
    for place, column in enumerate(columns):
        if sample.n_events:
            found[:, place] = np.arcsinh(quantiles(sample.events[:, column], _QUANTILES) / COFACTOR)
    return PanelQuantiles(
        name=sample.name,
        n_events=sample.n_events,
        channels=tuple(sample.channels[column].pnn for column in columns),
        markers=tuple(sample.channels[column].marker for column in columns),
        quantiles=found,
    )


def compare_panels(
    reference: Sample | PanelQuantiles,
    other: Sample | PanelQuantiles,
    *,
    least_gain: float = LEAST_GAIN,
    least_share: float = LEAST_SHARE,
) -> PanelComparison:
    """Look for channels that changed places between two files of one panel.

    The distributions of all pairs of stained channels are compared (mean absolute difference of 99 quantiles after
    asinh(x / 150), which is the Wasserstein-1 distance of the trimmed distributions), and the channels of the other
    file are assigned to those of the reference at the least total distance (Hungarian method). Where that differs from
    the labels, a ring of channels is reported when the exchange lowers its mean distance by at least ``least_gain``
    and removes at least ``least_share`` of it; a shift of one population by biology or settings does neither.

    Channels that are empty or alike in both files cannot be told apart, so a swap of two such channels is not seen.
    Between subjects a finding is a question, not a verdict: very different cell counts can look like an exchange.

    Parameters
    ----------
    reference
        A file of the panel that is trusted, or what `panel_quantiles` kept of it; best the baseline of the same
        subject.
    other
        The file to judge, likewise.
    least_gain
        In units of asinh(x / 150); 0.25 is a shift of all cells by about 28 % above the negatives.
    least_share
        0 to 1.

    Returns
    -------
    PanelComparison

    Raises
    ------
    FcsError
        A channel that both have holds values that are no numbers.

    Examples
    --------
    >>> compare_panels(baseline, later).swaps  # doctest: +SKIP
    (Swap(markers=('CD4', 'CD8'), ...),)
    """
    from scipy.optimize import linear_sum_assignment

    reference = reference if isinstance(reference, PanelQuantiles) else panel_quantiles(reference)
    other = other if isinstance(other, PanelQuantiles) else panel_quantiles(other)
    pairs = _common(reference.markers, other.markers)
    markers = tuple(reference.markers[i] for i, _ in pairs)
    if len(pairs) < 2:
        return _not_assessable("fewer than two common stained channels", markers)
    if min(reference.n_events, other.n_events) < LEAST_EVENTS:
        return _not_assessable(f"fewer than {LEAST_EVENTS} events", markers)
    left = _quantiles(reference, [i for i, _ in pairs])
    right = _quantiles(other, [j for _, j in pairs])
    distance = np.abs(left[:, :, None] - right[:, None, :]).mean(axis=0)
    # An exchange has to earn its margin: otherwise channels that are alike would change places by chance.
    _, assigned = linear_sum_assignment(distance + least_gain * (1.0 - np.eye(len(pairs))))
    swaps = []
    for ring in _rings(assigned):
        own = float(np.mean([distance[k, k] for k in ring]))
        moved = float(np.mean([distance[k, assigned[k]] for k in ring]))
        if own - moved >= least_gain and moved <= (1.0 - least_share) * own:
            channels = tuple(other.channels[pairs[k][1]] for k in ring)
            swaps.append(Swap(tuple(markers[k] for k in ring), channels, own, moved))
    return PanelComparison(assessable=True, reason="", swaps=tuple(swaps), markers=markers, distance=distance)


def _not_assessable(reason: str, markers: tuple[str, ...]) -> PanelComparison:
    return PanelComparison(assessable=False, reason=reason, swaps=(), markers=markers, distance=np.zeros((0, 0)))


def _common(reference: Sequence[str], other: Sequence[str]) -> list[tuple[int, int]]:
    """Places of the markers that both files have; a marker that stands twice is left out."""
    found = []
    for i, wanted in enumerate(reference):
        twins = [k for k, marker in enumerate(reference) if same_marker(marker, wanted)]
        hits = [k for k, marker in enumerate(other) if same_marker(marker, wanted)]
        if len(twins) == len(hits) == 1:
            found.append((i, hits[0]))
    return found


def _quantiles(panel: PanelQuantiles, places: list[int]) -> NDArray[np.float64]:
    """99 quantiles x channels on the scale of the comparison.

    Raises
    ------
    FcsError
        A channel holds values that are no numbers.
    """
    chosen = panel.quantiles[:, places]
    if not np.all(np.isfinite(chosen)):
        raise FcsError("a channel holds values that are no numbers", where=panel.name, todo="look at the file")
    return chosen


def _rings(assigned: NDArray[np.intp]) -> list[list[int]]:
    """Rings of a permutation that are longer than one."""
    left = set(range(len(assigned)))
    found = []
    while left:
        start = min(left)
        ring, here = [], start
        while here in left:
            left.remove(here)
            ring.append(here)
            here = int(assigned[here])
        if len(ring) > 1:
            found.append(ring)
    return found
