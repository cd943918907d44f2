"""How long the checks of events take: python benchmarks/quality_speed.py [EVENTS] [CHANNELS]."""

from __future__ import annotations

import sys
from statistics import median
from time import perf_counter

import numpy as np

from immunoprofile.io.fcs import Channel, Sample
from immunoprofile.quality import assess, signal_stability

ROUNDS = 7


def bimodal(events: int, channels: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    positive = rng.random((events, channels)) < 0.4
    return np.where(positive, rng.normal(0.7, 0.06, positive.shape), rng.normal(0.25, 0.04, positive.shape))


def seconds(function, *arguments, **options) -> str:
    function(*arguments, **options)
    took = []
    for _ in range(ROUNDS):
        start = perf_counter()
        function(*arguments, **options)
        took.append(perf_counter() - start)
    return f"median {median(took):.3f} s, fastest {min(took):.3f} s"


def main() -> None:
    events, channels = (int(text) for text in [*sys.argv[1:], "100000", "12"][:2]) if sys.argv[1:] else (100_000, 12)
    values = bimodal(events, channels)
    names = [f"FL{number}-A" for number in range(1, channels + 1)]
    time = np.arange(events) / 2000
    print(f"{events:,} events x {channels} channels")
    print("signal_stability:", seconds(signal_stability, values, names, time=time))
    area = np.random.default_rng(1).lognormal(11, 0.3, events)
    height = 0.6 * area * np.random.default_rng(2).normal(1, 0.02, events)
    linear = np.column_stack([area, height, 10 ** (values * 4.5 + 0.5), time])
    labels = ["FSC-A", "FSC-H", *names, "Time"]
    sample = Sample("speed.fcs", linear, tuple(Channel(name, "", name, 262144.0) for name in labels))
    print("assess (with transformation, doublets, margins, flow rate):", seconds(assess, sample))


if __name__ == "__main__":
    main()
