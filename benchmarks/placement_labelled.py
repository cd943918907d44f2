"""Placement of gates judged on labelled cells: a template from one sample, F1 on the others, fixed gates beside.

    python -m benchmarks.placement_labelled cytof DATA/pbmc_cytof_bodenmiller_labelled
    python -m benchmarks.placement_labelled euroflow DATA/euroflow_lst_labelled

The limits of the template are drawn on the one sample with room: each in the middle of the stretch over which the
labels are separated within `SLACK` of the best (mean F1), as one draws a gate for samples that one has not seen.
Nothing of the other samples is looked at. ``--slack 0.002`` draws them at the very best place for the one sample.
"""

from __future__ import annotations

import argparse
import logging
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import flowio
import numpy as np
import pandas as pd

import immunoprofile as ip
from benchmarks.placement_register import registered_masks
from immunoprofile.gate.gates import Dimension, Gate
from immunoprofile.gate.scales import Scale
from immunoprofile.gate.strategy import Strategy
from immunoprofile.placement import place, with_references

METHODS = ("fixed", "mindensity", "landmark", "register")
SLACK = 0.01
"""Mean F1 that a limit of the template may lose on its own sample for room on both sides."""
STEPS = 16
"""Steps of 1 % of the scale (100 of scatter) on each side of a limit that are tried."""


@dataclass(frozen=True)
class Labelled:
    """A sample with the true members of each population."""

    name: str
    sample: ip.Sample
    member: Mapping[str, np.ndarray]


def f1(found: np.ndarray, true: np.ndarray) -> float:
    return 2 * np.count_nonzero(found & true) / max(1, np.count_nonzero(found) + np.count_nonzero(true))


def as_sample(folder: Path, name: str, channels: list[str], markers: list[str], events: np.ndarray) -> ip.Sample:
    path = folder / f"{name}.fcs"
    with path.open("wb") as file:
        flowio.create_fcs(
            file, np.asarray(events, dtype=np.float64).ravel().tolist(), channels, opt_channel_names=markers
        )
    return ip.read_fcs(path)


# ---- mass cytometry: 4 wells x 14 files, one a population


def read_cytof(data: Path, folder: Path) -> list[Labelled]:
    found = []
    for well in ("H05", "H01", "H08", "H12"):
        parts = {
            re.sub(r".*_(cd.*|nk|igm.|dendritic)_H..\.fcs", r"\1", p.name): ip.read_fcs(p)
            for p in sorted(data.glob(f"*_{well}.fcs"))
        }
        events = np.concatenate([part.events for part in parts.values()])
        label = np.concatenate([np.repeat(name, part.n_events) for name, part in parts.items()])
        nk = {row.tobytes() for row in events[label == "nk"]}
        kept = np.array([one == "nk" or row.tobytes() not in nk for row, one in zip(events, label, strict=True)])
        events, label = events[kept], label[kept]
        first = next(iter(parts.values()))
        markers = [channel.marker for channel in first.channels]
        channels = [f"C{n}" for n in range(len(markers))]
        member = {
            "t": np.isin(label, ("cd4+", "cd8+")),
            "cd4": label == "cd4+",
            "cd8": label == "cd8+",
            "nk": label == "nk",
        }
        found.append(Labelled(well, as_sample(folder, well, channels, markers, events), member))
    return found


def cytof_template() -> Strategy:
    """CD8 = CD3+ CD4- (the panel has no CD8), NK = CD3- CD7+; B cells and monocytes are left out by CD20 and CD33."""
    scale = Scale.of("asinh", {"T": 12_000, "M": float(np.log10(2 * 2400)), "A": 0})
    at = lambda value: float(scale.apply(np.array([5 * np.sinh(value)]))[0])  # noqa: E731

    def axis(marker: str, low: float | None = None, high: float | None = None) -> Dimension:
        return Dimension(marker, None if low is None else at(low), None if high is None else at(high), scale="asinh")

    gates = (
        Gate("lymphoid", "root", "rectangle", (axis("CD20", high=1.6), axis("CD33", high=1.2))),
        Gate("t", "lymphoid", "rectangle", (axis("CD3", 0.6),)),
        Gate("cd4", "t", "rectangle", (axis("CD4", 1.0),)),
        Gate("cd8", "t", "rectangle", (axis("CD4", high=1.0),)),
        Gate("nk", "lymphoid", "rectangle", (axis("CD3", high=0.6), axis("CD7", 1.0))),
    )
    return Strategy("cytof", gates, (("asinh", scale),))


# ---- whole blood: labels of experts, values on the display scale of the program that they used

CLASSES = {
    "cd4": ("CD4+CD8-",),
    "cd8": ("CD8+CD4-",),
    "nk": ("CD56dim", "CD56bright"),
    "t": ("CD4+CD8-", "CD8+CD4-", "CD4+CD8dim", "CD4+CD8+", "TCRgd+", "TCRgd-"),
}


def read_euroflow(data: Path, folder: Path) -> list[Labelled]:
    found = []
    for name in ("Cytometry9", "Cytometry3", "Cytometry5"):
        label = pd.read_csv(data / f"{name}_labels.csv.gz")["population"].to_numpy()
        member = {population: np.isin(label, classes) for population, classes in CLASSES.items()}
        found.append(Labelled(name, ip.read_fcs(data / f"{name}.fcs"), member))
    return found


def euroflow_template() -> Strategy:
    scale = Scale.of("linear", {"T": 10_000, "A": 2_500})
    at = lambda value: (value + 2_500) / 12_500  # noqa: E731

    def axis(marker: str, low: float | None = None, high: float | None = None) -> Dimension:
        return Dimension(marker, None if low is None else at(low), None if high is None else at(high), scale="display")

    gates = (
        Gate("whole", "root", "rectangle", (Dimension("FSC-A", 1_200, 3_500), Dimension("SSC-A", None, 3_000))),
        Gate("lymphoid", "whole", "rectangle", (axis("CD45", 4_000),)),
        Gate("t", "lymphoid", "rectangle", (axis("CD3", 4_500), axis("CD5", 3_000))),
        Gate("cd4", "t", "rectangle", (axis("CD4+CD20", 4_500), axis("CD8+IgL", high=4_000))),
        Gate("cd8", "t", "rectangle", (axis("CD4+CD20", high=3_500), axis("CD8+IgL", 5_000))),
        Gate(
            "nk",
            "lymphoid",
            "rectangle",
            (axis("CD3", high=4_000), axis("CD56+IgK", 3_000), axis("CD19/TCRgd", high=3_000)),
        ),
    )
    return Strategy("euroflow", gates, (("display", scale),))


# ---- template, placement, table


def masks_of(sample: ip.Sample, strategy: Strategy) -> Mapping[str, np.ndarray]:
    return ip.gate.gate_sample(sample, strategy, comp_source="none", compiled=False).masks


def values_of(sample: ip.Sample, template: Strategy) -> dict[str, np.ndarray]:
    """Marker -> values on the scale of the gates."""
    columns = {channel.marker: n for n, channel in enumerate(sample.channels)}
    scales = dict(template.scales)
    found = {}
    for d in (d for gate in template.gates for d in gate.dimensions):
        linear = sample.events[:, columns[d.marker]].astype(float)
        found[d.marker] = linear if d.scale is None else scales[d.scale].apply(linear)
    return found


def drawn_on(template: Strategy, one: Labelled, *, slack: float = SLACK, rounds: int = 2) -> Strategy:
    """Limits that separate the labels of one sample: each in turn over a grid, by the mean F1 of all labels."""
    values = values_of(one.sample, template)

    def score(strategy: Strategy) -> float:
        inside: dict[str, np.ndarray] = {"root": np.ones(one.sample.n_events, dtype=bool)}
        for gate in strategy.gates:
            found = inside[gate.parent].copy()
            for d in gate.dimensions:
                found &= values[d.marker] >= (-np.inf if d.minimum is None else d.minimum)
                found &= values[d.marker] < (np.inf if d.maximum is None else d.maximum)
            inside[gate.population] = found
        return float(np.mean([f1(inside[name], true) for name, true in one.member.items()]))

    at = template
    for _ in range(rounds):
        for gate in template.gates:
            for n, dimension in enumerate(gate.dimensions):
                for limit in ("minimum", "maximum"):
                    if getattr(gate.dimensions[n], limit) is not None:
                        width = 0.01 if dimension.scale else 100.0
                        at = _middle(at, gate.population, n, limit, score, width=width, slack=slack)
    return at


def _middle(
    at: Strategy, population: str, n: int, limit: str, score: Callable[[Strategy], float], *, width: float, slack: float
) -> Strategy:
    """One limit in the middle of the stretch where the labels are separated as well as they can be, to ``slack``."""
    own = at[population]
    now = getattr(own.dimensions[n], limit)
    reached: list[tuple[float, Strategy, float]] = []
    for step in range(-STEPS, STEPS + 1):
        axes = list(own.dimensions)
        axes[n] = replace(axes[n], **{limit: now + step * width})
        try:
            tried = at.with_gate(replace(own, dimensions=tuple(axes)))
        except ip.errors.GateError:
            continue
        reached.append((score(tried), tried, now + step * width))
    best = max(value for value, _, _ in reached)
    top = next(k for k, (value, _, _) in enumerate(reached) if value == best)
    low = high = top
    while low > 0 and reached[low - 1][0] >= best - slack:
        low -= 1
    while high + 1 < len(reached) and reached[high + 1][0] >= best - slack:
        high += 1
    return reached[(low + high) // 2][1]


def with_method(template: Strategy, method: str) -> Strategy:
    gates = tuple(
        replace(g, method=method, group_by="sample") if any(d.scale for d in g.dimensions) else g
        for g in template.gates
    )
    return replace(template, gates=gates)


def judged(
    read: Callable[[Path, Path], list[Labelled]],
    template: Strategy,
    data: Path,
    on: str | None = None,
    *,
    methods: Sequence[str] = METHODS,
    slack: float = SLACK,
) -> pd.DataFrame:
    """F1 of every population, sample and method; the first sample is the one of the template."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        samples = read(data, Path(folder))
        samples.sort(key=lambda one: one.name != on)
        drawn = drawn_on(template, samples[0], slack=slack)
        for one in samples:
            for method in methods:
                strategy, kept = drawn, 0
                masks = None
                if method == "register":
                    own, reference = (values_of(x.sample, drawn) for x in (one, samples[0]))
                    masks = registered_masks(drawn, own, reference)
                elif method != "fixed":
                    with_one = with_references(with_method(drawn, method), samples[0].sample, comp_source="none")
                    placed = place(one.sample, with_one, comp_source="none")
                    strategy, kept = placed.strategy, len(placed.review)
                masks = masks_of(one.sample, strategy) if masks is None else masks
                for name, true in one.member.items():
                    rows.append((one.name + (" (template)" if one is samples[0] else ""), method, name,
                                 int(true.sum()), round(f1(masks[name], true), 4), kept))  # fmt: skip
    return pd.DataFrame(rows, columns=["sample", "method", "population", "n", "f1", "kept"])


CASES = {"cytof": (read_cytof, cytof_template), "euroflow": (read_euroflow, euroflow_template)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("data", type=Path)
    parser.add_argument("--template", help="sample that the template is drawn on")
    parser.add_argument("--slack", type=float, default=SLACK, help="mean F1 that a limit may lose for room")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    read, template = CASES[given.case]
    table = judged(read, template(), given.data, given.template, slack=given.slack)
    wide = table.pivot_table(index=["sample", "method"], columns="population", values="f1", sort=False)
    wide["cuts kept"] = table.groupby(["sample", "method"], sort=False)["kept"].first()
    print(wide.to_string())


if __name__ == "__main__":
    main()
