"""Writes FCS 3.1 files with a fixed clock, so that the same events give the same bytes."""

from __future__ import annotations

from array import array
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np

from immunoprofile.datasets import panels
from immunoprofile.datasets.cytometer import Float32
from immunoprofile.datasets.panels import Panel

CYTOMETER: Final = "simulated analyser"
SERIAL: Final = "SIM-0001"
_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


def spillover_keyword(panel: Panel) -> str:
    """Value of $SPILLOVER: number of channels, their names, the matrix row by row."""
    values = ",".join(f"{value:.6g}" for value in panel.spillover.ravel())
    return f"{len(panel.pnn)},{','.join(panel.pnn)},{values}"


def write_fcs(path: Path, data: Float32, panel: Panel, *, begin: datetime, name: str | None = None) -> None:
    """Write the events of one acquisition as FCS 3.1 (float32, list mode).

    Parameters
    ----------
    path
        File to write; its folder must exist.
    data
        events x channels in the order of ``panel.channel_names``, raw values; Time in ticks of $TIMESTEP.
    panel
        Names the channels and gives $SPILLOVER.
    begin
        Simulated start of the acquisition ($DATE, $BTIM); the end follows from the last Time.
    name
        $FIL; the name of the file when not given.
    """
    from flowio import create_fcs

    seconds = float(data[-1, -1]) * panels.TIMESTEP_S if len(data) else 0.0
    end = begin + timedelta(seconds=round(seconds))
    keywords = {
        "fil": name or path.name,
        "cyt": CYTOMETER,
        "cytsn": SERIAL,
        "date": f"{begin.day:02d}-{_MONTHS[begin.month - 1]}-{begin.year}",
        "btim": f"{begin:%H:%M:%S}",
        "etim": f"{end:%H:%M:%S}",
        "timestep": f"{panels.TIMESTEP_S:g}",
        "spillover": spillover_keyword(panel),
    }
    for number in range(1, len(panel.channel_names) + 1):
        keywords[f"p{number}r"] = str(panels.FULL_SCALE)
    values = array("f")  # create_fcs converts anything else value by value
    values.frombytes(np.ascontiguousarray(data, dtype=np.float32).tobytes())
    with path.open("wb") as file:
        create_fcs(file, values, list(panel.channel_names), list(panel.channel_labels), keywords)
