"""What a review board needs of a profile, without a run: files of two clouds, their counts and their gating plots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd

from immunoprofile.gate import GateSet, gate_sample, rasterise
from immunoprofile.gate.raster import read_rasters, write_rasters
from tests.widget.files import sample, strategy

VISITS = ("BL", "D14", "D28")
SUBJECTS = ("S-1", "S-2", "S-3")


class StandIn(SimpleNamespace):
    """A profile as the board sees it; with a ``folder`` its plots are read from files, as those of a run are."""

    def rasters(self, sample_id: str) -> Any:
        if self.folder is None:
            return self.pictures.get(sample_id, ())
        return read_rasters(self.folder / f"{sample_id}.npz")

    def sample_of(self, usubjid: str, visit: str, tube: str) -> str | None:
        name = f"{usubjid}_{visit}"
        return name if tube == "treg" else None

    def gated(self, sample_id: str) -> Any:
        return self.files[sample_id]


def stand_in(
    gates: GateSet | None = None,
    *,
    subjects: Sequence[str] = SUBJECTS,
    visits: Sequence[str] = VISITS,
    events: int = 3000,
    folder: Path | None = None,
) -> StandIn:
    """Subjects with visits; the Treg tube of S-2 is shifted at D14, that of S-3 has few events at D28."""
    gates = gates or GateSet((strategy(),))
    files, counts, pictures = {}, [], {}
    names = [(s, v) for s in subjects for v in visits]
    for k, name in enumerate(f"{s}_{v}" for s, v in names):
        file = sample(120 if name == "S-3_D28" else events, seed=k, name=f"{name}.fcs")
        if name == "S-2_D14":
            file.events[:, 4] *= 8.0
        gated = gate_sample(file, gates["treg"], compiled=False)
        counts.append(gated.counts().assign(sample_id=name))
        if folder is None:
            files[name], pictures[name] = gated, rasterise(gated)
        else:
            write_rasters(rasterise(gated), folder / f"{name}.npz")
    obs = pd.DataFrame(names, columns=["usubjid", "visit"])
    var = pd.DataFrame({"tube": "treg"}, index=list(strategy().populations))
    batches = [f"B{k % 2}" for k in range(len(names))]
    samples = pd.DataFrame({"sample_id": [f"{s}_{v}" for s, v in names], "batch_id": batches})
    return StandIn(
        gates=gates,
        visits=SimpleNamespace(obs=obs, var=var, var_names=var.index),
        counts=pd.concat(counts, ignore_index=True),
        study=SimpleNamespace(samples=samples, config=SimpleNamespace(visit_names=tuple(visits))),
        files=files,
        pictures=pictures,
        folder=folder,
    )
