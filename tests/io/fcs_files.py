"""Small FCS files for tests, written by FlowIO and not by this project."""

from __future__ import annotations

from pathlib import Path

import flowio
import numpy as np

PNN = ("FSC-A", "SSC-A", "FITC-A", "PE-A", "APC-A", "Time")
PNS = ("", "", "CD3", "CD56", "HLA DR", "")
SPILL = np.array([[1.0, 0.2, 0.0], [0.05, 1.0, 0.01], [0.0, 0.1, 1.0]])


def spill_text(matrix: np.ndarray = SPILL, names: tuple[str, ...] = PNN[2:5]) -> str:
    return ",".join([str(len(names)), *names, *(repr(float(v)) for v in matrix.ravel())])


def events(n: int = 400, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = np.empty((n, len(PNN)), dtype=np.float32)
    values[:, 0] = rng.normal(90_000, 10_000, n)
    values[:, 1] = rng.normal(40_000, 8_000, n)
    values[:, 2:5] = np.exp(rng.normal(6, 1.5, (n, 3))) @ SPILL + rng.normal(0, 40, (n, 3))
    values[:, 5] = np.sort(rng.uniform(0, 6000, n))
    return values


def write(
    path: Path, data: np.ndarray, *, pnn: tuple[str, ...] = PNN, pns: tuple[str, ...] = PNS, **keywords: str
) -> Path:
    text = {"$TIMESTEP": "0.01", "$CYT": "test", **{f"p{i}r": "262144" for i in range(1, len(pnn) + 1)}}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as handle:
        flowio.create_fcs(handle, data.ravel().tolist(), list(pnn), list(pns), {**text, **keywords})
    return path
