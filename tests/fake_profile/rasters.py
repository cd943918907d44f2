"""Rasters of made-up gate plots, one seed a sample."""

from __future__ import annotations

import hashlib

import numpy as np

from immunoprofile.gate.raster import GateRaster, Outline


def make_rasters(sample_id: str) -> tuple[GateRaster, ...]:
    tube = sample_id.rsplit("-", 1)[1]
    rng = np.random.default_rng(int(hashlib.sha256(sample_id.encode()).hexdigest()[:8], 16))
    ticks = ((0.1, "0"), (0.35, "1e3"), (0.6, "1e4"), (0.85, "1e5"))
    shift = 0.03 * ("-D14-" in sample_id)

    def plot(parent: str, x: str, y: str, blobs: list[tuple[float, float, float, int]], *gates: Outline) -> GateRaster:
        points = np.concatenate([rng.normal((a, b), s, (n, 2)) for a, b, s, n in blobs])
        counts = np.histogram2d(points[:, 1], points[:, 0], bins=96, range=((0, 1.02), (0, 1.02)))[0]
        return GateRaster(
            tube, parent, len(points), x, y, (0.0, 1.02), (0.0, 1.02), counts.astype(np.uint32), ticks, ticks, gates
        )

    def box(name: str, x0: float, x1: float, y0: float, y1: float) -> Outline:
        return Outline(name, (x0, x1, x1, x0, x0), (y0, y0, y1, y1, y0))

    if tube == "count":
        return (
            plot(
                "leukocytes",
                "CD45",
                "SSC-A",
                [(0.75, 0.2, 0.04, 3000), (0.55, 0.7, 0.08, 9000), (0.7, 0.42, 0.04, 900)],
                box("lymphocytes", 0.62, 0.9, 0.08, 0.33),
            ),
            plot(
                "lymphocytes",
                "CD3",
                "CD16+CD56",
                [(0.75, 0.2, 0.05, 2200), (0.2, 0.7, 0.06, 300), (0.2, 0.2, 0.06, 250)],
                box("t", 0.5, 1.0, 0.02, 0.45),
                box("nk", 0.02, 0.42, 0.5, 1.0),
            ),
            plot(
                "t",
                "CD4",
                "CD8",
                [(0.8, 0.2, 0.05, 1000), (0.2, 0.8, 0.05, 1200)],
                box("cd4", 0.55, 1.0, 0.02, 0.5),
                box("cd8", 0.02, 0.5, 0.55, 1.0),
            ),
        )
    if tube == "treg":
        return (
            plot(
                "cd4",
                "CD25",
                "CD127",
                [(0.35 + shift, 0.62, 0.09, 2500), (0.68, 0.35, 0.06, 140)],
                Outline("treg", (0.52, 0.98, 0.98, 0.72, 0.52), (0.1, 0.1, 0.52, 0.52, 0.36)),
            ),
            plot(
                "treg",
                "FoxP3",
                "CD45RA",
                [(0.6, 0.3, 0.08, 100), (0.6, 0.7, 0.06, 35), (0.2, 0.4, 0.06, 12)],
                box("treg_foxp3", 0.4, 1.0, 0.02, 1.0),
            ),
        )
    return (
        plot(
            "nk", "CD56", "CD16", [(0.5, 0.7, 0.06, 260), (0.85, 0.25, 0.05, 30)], box("nk_bright", 0.7, 1.0, 0.02, 0.5)
        ),
        plot(
            "cd8",
            "HLA-DR",
            "CD38",
            [(0.3, 0.4, 0.1, 900), (0.75, 0.75, 0.08, 200)],
            box("cd8_act", 0.55, 1.0, 0.55, 1.0),
        ),
    )
