"""Simulated control aliquots as files, and a one-tube template for them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np

import immunoprofile as ip
from immunoprofile.datasets.composition import control_compositions
from immunoprofile.datasets.cytometer import acquire
from immunoprofile.datasets.fcs_writer import write_fcs
from immunoprofile.datasets.panels import PANELS


def control(folder, tube, *, seed, events=12_000, shift=None, unstained=()):
    """One simulated tube as a `Sample`, and its true memberships."""
    got = acquire(
        PANELS[tube], control_compositions()[tube], events, rng=np.random.default_rng(seed), log10_shift=shift,
        unstained=unstained,
    )  # fmt: skip
    path = folder / f"{tube}-{seed}.fcs"
    write_fcs(path, got.data, PANELS[tube], begin=datetime(2020, 1, 1))
    return ip.read_fcs(path), got.member


def placed_gates():
    """The shipped templates with methods."""
    return ip.gate.load(ip.gate.shipped_folder() / "placed")


def with_method(strategy, population, method, *, fallback="", **arguments):
    """A strategy with one gate placed by a method."""
    gate = replace(strategy[population], method=method, arguments=tuple(arguments.items()), fallback=fallback)
    return strategy.with_gate(gate)


def f1(found, true):
    return 2 * np.count_nonzero(found & true) / (np.count_nonzero(found) + np.count_nonzero(true))
