"""A simulated cytometer: cells of a tube become rows of an FCS file, and the truth about every row is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from immunoprofile.datasets import panels
from immunoprofile.datasets.composition import Composition
from immunoprofile.datasets.panels import Level, Panel

Float32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]

PHOTOELECTRON: Final = 4.0
"""Channel units per photoelectron: the SD of a signal S from photon statistics is sqrt(4 S)."""
ELECTRONIC_NOISE: Final = 45.0
EVENTS_PER_S: Final = 350.0
HEIGHT_OVER_AREA: Final = 0.62
HEIGHT_SD: Final = 0.012
CLOG_EVENTS: Final = (0.50, 0.62)
"""Stretch of the events that is acquired while the flow cell is clogged."""
CLOG_SLOWDOWN: Final = 10.0
CLOG_SIGNAL: Final = 0.60


@dataclass(frozen=True)
class Acquisition:
    """Rows of an FCS file and their truth.

    Attributes
    ----------
    data
        events x channels, order of ``Panel.channel_names``, raw (uncompensated) float32; Time in ticks.
    classes
        Names of the cell types; ``code`` indexes them, one per event.
    member
        Population -> true membership per event, nested as in the gating templates.
    """

    data: Float32
    classes: tuple[str, ...]
    code: npt.NDArray[np.uint8]
    member: dict[str, Bool]


def _spill(true: Float32, panel: Panel) -> Float32:
    """Light in every detector; summed in a fixed order, so that the bytes do not depend on BLAS threads."""
    seen = true.copy()
    for i, j in zip(*np.nonzero(panel.spillover - np.eye(len(panel.markers))), strict=True):
        seen[j] += np.float32(panel.spillover[i, j]) * true[i]
    return seen


def _detect(true: Float32, panel: Panel, rng: np.random.Generator) -> Float32:
    """Spillover, photon statistics, electronic noise and saturation; fluorescence as markers x events."""
    seen = _spill(true, panel)
    noise = rng.standard_normal(seen.shape, dtype=np.float32)
    noise *= np.sqrt(np.float32(PHOTOELECTRON) * seen + np.float32(ELECTRONIC_NOISE**2))
    seen += noise
    return np.minimum(seen, np.float32(panels.FULL_SCALE - 1))


def _level_tables(panel: Panel, classes: tuple[str, ...], composition: Composition) -> tuple[Float32, Float32]:
    """Median (log10) and SD of every marker (row) of every class (column)."""
    known = panels.CLASSES[panel.tube]
    median = np.empty((len(panel.markers), len(classes)), dtype=np.float32)
    sd = np.empty_like(median)
    for column, name in enumerate(classes):
        background = panels.BEAD_LEVEL if name == "bead" else panels.AUTOFLUORESCENCE.get(name, panels.NEGATIVE)
        for row, marker in enumerate(panel.markers):
            level: Level = known[name].get(marker, background)
            median[row, column] = np.log10(level[0]) + composition.log10_shift.get((name, marker), 0.0)
            sd[row, column] = level[1]
    return median, sd


def _scatter(classes: tuple[str, ...], code: npt.NDArray[np.uint8], rng: np.random.Generator) -> Float32:
    levels = [panels.SCATTER_LEVELS.get(name, panels.LYMPHOCYTE_SCATTER) for name in classes]
    median = np.log10(np.array([[level[0] for level in pair] for pair in levels], dtype=np.float32)).T
    sd = np.array([[level[1] for level in pair] for pair in levels], dtype=np.float32).T
    z = rng.standard_normal((2, len(code)), dtype=np.float32)
    out: Float32 = np.power(np.float32(10), median[:, code] + sd[:, code] * z)
    return out


def _clock(events: int, rng: np.random.Generator, slow: slice | None) -> Float32:
    """Ticks of $TIMESTEP at which the events pass the laser."""
    gaps = rng.standard_exponential(events) / EVENTS_PER_S
    if slow is not None:
        gaps[slow] *= CLOG_SLOWDOWN
    return np.floor(np.cumsum(gaps) / panels.TIMESTEP_S).astype(np.float32)


def acquire(
    panel: Panel,
    composition: Composition,
    events: int,
    *,
    rng: np.random.Generator,
    log10_shift: dict[str, float] | None = None,
    clog: bool = False,
    unstained: tuple[str, ...] = (),
) -> Acquisition:
    """Run a tube.

    Parameters
    ----------
    panel
        Tube to run.
    composition
        What is in it.
    events
        Number of events to record.
    rng
        Source of all chance.
    log10_shift
        Marker -> shift of all its signals (batch and subject), log10.
    clog
        A stretch of the acquisition with a collapsed flow rate and weaker signals.
    unstained
        Markers left out: an FMO control, or all of them.

    Returns
    -------
    Rows in order of time, with labels.
    """
    classes = tuple(composition.weights)
    weights = np.array(list(composition.weights.values()))
    code = rng.choice(len(classes), size=events, p=weights / weights.sum()).astype(np.uint8)
    is_class = {name: code == i for i, name in enumerate(classes)}

    median, sd = _level_tables(panel, classes, composition)
    mu, spread = median[:, code], sd[:, code]
    carries = {marker: np.zeros(events, dtype=bool) for marker in panel.markers}
    for names, markers, share in composition.positive:
        drawn = np.logical_or.reduce([is_class[name] for name in names]) & (rng.random(events) < share)
        for marker in markers:
            row = panel.index(marker)
            mu[row, drawn] = np.log10(panels.POSITIVE[panel.tube][marker][0])
            spread[row, drawn] = panels.POSITIVE[panel.tube][marker][1]
            carries[marker] |= drawn
    is_bead = is_class.get("bead", np.zeros(events, dtype=bool))
    whole = ~is_bead & ~is_class["debris"]
    dead = whole & (rng.random(events) < composition.dead_share)
    if "Viability" in panel.markers and dead.any():
        row = panel.index("Viability")
        mu[row, dead] = np.log10(panels.DEAD_VIABILITY[0])
        spread[row, dead] = panels.DEAD_VIABILITY[1]
    cells = ~is_bead
    for marker, shift in (log10_shift or {}).items():
        mu[panel.index(marker), cells] += np.float32(shift)
    for marker in unstained:
        row = panel.index(marker)
        mu[row, cells], spread[row, cells] = np.log10(panels.NEGATIVE[0]), panels.NEGATIVE[1]

    true = np.power(np.float32(10), mu + spread * rng.standard_normal(mu.shape, dtype=np.float32))
    scatter = _scatter(classes, code, rng)
    doublet = whole & (rng.random(events) < composition.doublet_share)
    first, pool = np.flatnonzero(doublet), np.flatnonzero(whole)
    second = pool[rng.integers(0, len(pool), len(first))] if len(first) else first
    height = scatter[0].copy()
    height[first] = 1.08 * np.maximum(scatter[0, first], scatter[0, second])
    scatter[:, first] += scatter[:, second]
    true[:, first] += true[:, second]
    height *= np.float32(HEIGHT_OVER_AREA) * np.power(
        np.float32(10), np.float32(HEIGHT_SD) * rng.standard_normal(events, dtype=np.float32)
    )

    slow = slice(int(CLOG_EVENTS[0] * events), int(CLOG_EVENTS[1] * events)) if clog else None
    if slow is not None:
        true[:, slow] *= np.float32(CLOG_SIGNAL)
    fluorescence = _detect(true, panel, rng)
    light = np.minimum(np.vstack([scatter[:1], height, scatter[1:]]), np.float32(panels.FULL_SCALE - 1))
    data = np.vstack([light, fluorescence, _clock(events, rng, slow)[None]]).T
    member = _members(panel.tube, is_class, carries, cells & ~doublet, dead)
    return Acquisition(np.ascontiguousarray(data, dtype=np.float32), classes, code, member)


def _members(
    tube: str, is_class: dict[str, Bool], carries: dict[str, Bool], singlets: Bool, dead: Bool
) -> dict[str, Bool]:
    """True membership of every event in the populations of the tube's template."""
    nothing = np.zeros(len(singlets), dtype=bool)

    def any_of(*names: str) -> Bool:
        return np.asarray(np.logical_or.reduce([is_class.get(name, nothing) for name in names]), dtype=np.bool_)

    not_lymphocyte = any_of(*panels.NOT_LYMPHOCYTES)
    member: dict[str, Bool] = {"time_ok": ~nothing}
    if tube == "count":
        beads = any_of("bead")
        member |= {"beads": beads, "beads_in_time": beads, "cells": ~beads, "singlets": singlets}
        member["leukocytes"] = singlets & ~any_of("debris")
        member["lymphocytes"] = lymphocytes = singlets & ~not_lymphocyte
        member |= {"b": lymphocytes & any_of("b"), "nk": lymphocytes & any_of("nk", "nk_cd8")}
    else:
        member |= {"singlets": singlets, "live": singlets & ~dead}
        member["lymphocytes"] = lymphocytes = member["live"] & ~not_lymphocyte
    cd4 = lymphocytes & any_of("cd4", "treg", "tconv", "tconv_act")
    cd8 = lymphocytes & any_of("cd8", "cd8_naive", "cd8_cm", "cd8_em", "cd8_temra")
    t_dn, t_dp = lymphocytes & any_of("t_dn"), lymphocytes & any_of("t_dp")
    member |= {"t": cd4 | cd8 | t_dn | t_dp, "cd4": cd4}
    if tube == "count":
        return member | {"cd8": cd8, "t_dn": t_dn, "t_dp": t_dp}
    if tube == "treg":
        treg = cd4 & any_of("treg")
        naive = treg & carries["CD45RA"]
        return member | {
            "treg": treg,
            "treg_foxp3": treg & carries["FoxP3"],
            "foxp3_cd127lo": treg & carries["FoxP3"],
            "treg_naive": naive,
            "treg_mem": treg & ~naive,
            "treg_ki67": treg & carries["Ki-67"],
            "tconv": cd4 & ~treg,
        }
    subsets = {name: lymphocytes & any_of(name) for name in ("cd8_naive", "cd8_cm", "cd8_em", "cd8_temra")}
    nk = {name: lymphocytes & any_of(name) for name in ("nk_bright", "nk_dim", "nk_cd56dim_cd16neg")}
    return (
        member
        | subsets
        | {
            "cd8": cd8,
            "cd8_act": cd8 & carries["HLA-DR"] & carries["CD38"],
            "nkt_like": member["t"] & carries["CD56"],
            "nk": np.logical_or.reduce(list(nk.values())),
            "nk_bright": nk["nk_bright"],
            "nk_dim": nk["nk_dim"],
        }
    )


def single_stain(panel: Panel, marker: str, events: int, *, rng: np.random.Generator) -> Acquisition:
    """Compensation beads, half of them stained with one marker and half not."""
    code = (rng.random(events) < 0.5).astype(np.uint8)
    mu = np.full((len(panel.markers), events), np.log10(panels.NEGATIVE[0]), dtype=np.float32)
    mu[panel.index(marker), code == 1] = np.log10(20_000)
    true = np.power(np.float32(10), mu + np.float32(0.10) * rng.standard_normal(mu.shape, dtype=np.float32))
    z = rng.standard_normal((3, events), dtype=np.float32)
    area = 30_000 * np.power(np.float32(10), np.float32(0.03) * z[0])
    height = HEIGHT_OVER_AREA * area * np.power(np.float32(10), np.float32(HEIGHT_SD) * z[1])
    side = 25_000 * np.power(np.float32(10), np.float32(0.04) * z[2])
    data = np.vstack([area, height, side, _detect(true, panel, rng), _clock(events, rng, None)]).T
    member = {"time_ok": np.ones(events, dtype=bool)}
    return Acquisition(np.ascontiguousarray(data, dtype=np.float32), ("negative", marker), code, member)
