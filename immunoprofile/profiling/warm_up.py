"""What the first file of a process loads besides its own data, loaded without one."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np

from immunoprofile.datasets.composition import control_compositions
from immunoprofile.datasets.cytometer import acquire
from immunoprofile.datasets.fcs_writer import write_fcs
from immunoprofile.datasets.panels import PANELS
from immunoprofile.gate.evaluate import gate_sample
from immunoprofile.gate.exchange import load, shipped_folder
from immunoprofile.io.fcs_source import FcsSource
from immunoprofile.profiling.one_file import look_at

_TUBE: Final = "effector"
_EVENTS: Final = 4000
"""Enough for every check and gate."""


def warm_up() -> None:
    """Gate and check a small simulated file: compiled loops and libraries that a file needs are then in the process."""
    panel = PANELS[_TUBE]
    events = acquire(panel, control_compositions()[_TUBE], _EVENTS, rng=np.random.default_rng(0)).data
    with tempfile.TemporaryDirectory(prefix="immunoprofile-") as folder:
        path = Path(folder) / "warm-up.fcs"
        write_fcs(path, events, panel, begin=datetime(2020, 1, 1))
        gated = gate_sample(FcsSource(path).read(), load(shipped_folder())[_TUBE])
        look_at(gated, {}, path.with_suffix(".flags.npz"), path.with_suffix(".rasters.npz"))
        gated.medians()
