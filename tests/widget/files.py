"""A small file and strategies of every kind of gate that the editor edits."""

from __future__ import annotations

import numpy as np

from immunoprofile.gate import Dimension, Ellipsoid, Gate, Operand, Scale, Strategy
from immunoprofile.io.fcs import Channel, Sample

LOGICLE = Scale.of("logicle", {"T": 262144.0, "W": 0.5, "M": 4.5, "A": 0.0})
NAMES = ("FSC-A", "SSC-A", "CD3", "CD4", "CD25", "CD127", "Time")
CHANNELS = (("CD3", "PE-A"), ("CD4", "APC-A"), ("CD25", "FITC-A"), ("CD127", "V450-A"))
SPILLOVER = "4,PE-A,APC-A,FITC-A,V450-A,1,0.1,0.02,0,0.05,1,0,0.01,0,0.2,1,0,0.03,0,0,1"


def sample(n: int = 6000, *, seed: int = 1, name: str = "D14.fcs", n_channels: int = 7) -> Sample:
    """Two clouds on four fluorescence channels with spillover between them."""
    rng = np.random.default_rng(seed)
    second = rng.random(n) < 0.3
    columns = [rng.normal(90_000, 20_000, n), rng.normal(40_000, 12_000, n)]
    for low, high in ((300.0, 9000.0), (200.0, 20_000.0), (150.0, 6000.0), (5000.0, 400.0)):
        columns.append(rng.lognormal(np.log(np.where(second, high, low)), 0.6) - 150.0)
    columns.append(np.linspace(0, 100, n))
    pnn = ("FSC-A", "SSC-A", "PE-A", "APC-A", "FITC-A", "V450-A", "Time")
    channels = tuple(
        Channel(short, "" if short == marker else marker, marker, 262144.0)
        for short, marker in zip(pnn, NAMES, strict=True)
    )
    keywords = {"spillover": SPILLOVER, "tot": str(n)}
    return Sample(name, np.column_stack(columns)[:, :n_channels], channels[:n_channels], keywords, "3.1", f"{seed}-{n}")


def axis(marker: str, low: float | None = None, high: float | None = None) -> Dimension:
    scatter = marker in ("FSC-A", "SSC-A", "Time")
    return Dimension(marker, low, high, scale=None if scatter else "logicle", compensated=not scatter)


def strategy() -> Strategy:
    """Threshold, interval, rectangle, polygon, ellipse, quadrants, complement, three dimensions, Boolean gate."""
    cells = ((None, 0.5, None, 0.45), (0.5, None, None, 0.45), (None, 0.5, 0.45, None), (0.5, None, 0.45, None))
    quadrants = tuple(
        Gate(f"q{k}", "cd3", "quadrant", (axis("CD25", a, b), axis("CD127", c, d)), quadrant_of="quads")
        for k, (a, b, c, d) in enumerate(cells, 1)
    )
    treg = ((0.42, 0.05), (0.42, 0.4), (0.6, 0.55), (0.95, 0.6), (0.95, 0.05))
    return Strategy(
        "treg",
        (
            Gate("lymph", "root", "polygon", (axis("FSC-A"), axis("SSC-A")),
                 vertices=((40_000.5, 8_000.25), (140_000, 8_000), (140_000, 70_000), (40_000, 70_000))),
            Gate("cd3", "lymph", "rectangle", (axis("CD3", 0.3),)),
            Gate("treg", "cd3", "polygon", (axis("CD25"), axis("CD127")), vertices=treg, note="CD25hi CD127lo"),
            Gate("middle", "cd3", "rectangle", (axis("CD4", 0.35, 0.7),)),
            Gate("box", "cd3", "rectangle", (axis("CD25", 0.3, 0.7), axis("CD127", None, 0.6))),
            Gate("outside", "cd3", "polygon", (axis("CD25"), axis("CD127")), vertices=treg, complement=True),
            Gate("round", "lymph", "ellipsoid", (axis("CD25"), axis("CD127")),
                 ellipsoid=Ellipsoid((0.5, 0.5), ((0.01, 0.002), (0.002, 0.02)), 3.0)),
            Gate("cube", "lymph", "rectangle", (axis("CD25", 0.2, 0.8), axis("CD127", 0.2, 0.8), axis("CD4", 0.4))),
            *quadrants,
            Gate("tconv", "cd3", "not", operands=(Operand("treg"),)),
            Gate("deep", "treg", "rectangle", (axis("CD4", 0.4),)),
        ),
        scales=(("logicle", LOGICLE),),
        version="3",
        channels=CHANNELS,
    )  # fmt: skip
