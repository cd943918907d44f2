"""Samples for the tests of compensation, without files."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from immunoprofile.datasets import cytometer, panels
from immunoprofile.io.fcs import Channel, Sample


def sample_of(
    names: tuple[str, ...], events: NDArray[np.floating], keywords: Mapping[str, str] | None = None, name: str = "made"
) -> Sample:
    """A sample whose channels have the full range of the simulated cytometer."""
    channels = tuple(Channel(pnn, "", pnn, float(panels.FULL_SCALE)) for pnn in names)
    return Sample(name, np.asarray(events, dtype=np.float64), channels, dict(keywords or {}))


def single_stains(tube: str, events: int = 3000) -> dict[str, Sample]:
    """Detector -> its single-stained compensation beads."""
    panel = panels.PANELS[tube]
    return {
        panel.pnn[number]: sample_of(
            panel.channel_names,
            cytometer.single_stain(panel, marker, events, rng=np.random.default_rng(number)).data,
            name=marker,
        )
        for number, marker in enumerate(panel.markers)
    }
