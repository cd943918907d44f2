"""FlowKit's `Workspace` against ours on random ones: ``python -m tests.gate.workspace_differential --cases 10000``.

Each case is a workspace of several samples with trees of their own: gates moved for single samples, samples with typed
names, one name in two folders, files renamed on disk, scales and matrices of single samples. FlowKit is told by hand
which file is which sample; ours has to find out, and has to give the same events to every gate.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import flowkit as fk
import numpy as np

from immunoprofile import gate
from immunoprofile.errors import GateError
from immunoprofile.gate.matching import Matcher
from immunoprofile.gate.strategy import GateSet
from immunoprofile.io.fcs import read_fcs
from tests.gate import workspaces as w
from tests.io.fcs_files import PNN, PNS, write

NAMES = (
    "Lymphocytes",
    "CD3+",
    "CD3- CD56+",
    "CD4+ CD25hi",
    "4_pos",
    "q1: a-, b+",
    "Treg",
    "NK (all)",
    "CD69+",
    "CD69+",
)
"""One name twice, so that it comes at several places."""

SHAPES = ("range", "box", "polygon", "ellipse", "and", "or", "not")
NO_WIDTH = "is not below its maximum"
"""Both limits below the offset of a logarithmic scale lie at its bottom."""

DEPENDS = re.compile("left out|refers to|no sample with gates")

LEAST_SIZE = 0.02
"""Smallest side of a drawn gate, as a share of the axis."""


@dataclass
class Outcome:
    """What a campaign found."""

    cases: int = 0
    samples: int = 0
    gates: int = 0
    comparisons: int = 0
    moved: int = 0
    without_width: int = 0
    differences: list[str] = field(default_factory=list)


@dataclass
class Made:
    """One sample: its file, its name in FlowJo, and the element of the workspace."""

    path: Path
    name: str
    element: str
    alone: bytes


class Maker:
    """Makes one random workspace."""

    def __init__(self, seed: int, folder: Path, *, events: int = 150) -> None:
        self.rng = np.random.default_rng(seed)
        self.folder = folder
        self.events = events

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def pick(self, *things):
        return things[int(self.rng.integers(len(things)))]

    def data(self, n: int) -> np.ndarray:
        rng = self.rng
        values = np.empty((n, len(PNN)), dtype=np.float32)
        values[:, :2] = rng.normal(90_000, 40_000, (n, 2))
        signs = np.where(rng.random((n, 3)) < 0.15, -1, 1)
        values[:, 2:5] = signs * 10 ** rng.uniform(0, 5, (n, 3))
        values[:, 5] = np.sort(rng.uniform(0, 6000, n)).round()
        some = rng.random((n, 5)) < 0.03
        values[:, :5][some] = self.pick(0.0, 262143.0, 1000.0, -100.0)
        return values

    def scale(self, channel: str) -> str:
        rng = self.rng
        kind = self.pick("biex", "biex", "logicle", "fasinh", "log", "linear", "none")
        numbers: dict[str, object]
        if kind == "biex":
            width = -float(10 ** rng.uniform(0.3, 2.5))
            numbers = {"length": 256, "maxRange": 262144, "neg": round(float(rng.uniform(0, 1)), 3),
                       "width": width, "pos": float(rng.uniform(3.5, 5))}  # fmt: skip
        elif kind == "logicle":
            numbers = {"T": 262144, "W": float(rng.uniform(0, 1.5)), "M": 4.5, "A": float(rng.uniform(0, 0.5))}
        elif kind == "fasinh":
            numbers = {"length": 256, "maxRange": 262144, "T": 262144, "W": 0.5, "M": float(rng.uniform(3.5, 5)),
                       "A": float(rng.uniform(0, 1))}  # fmt: skip
        elif kind == "log":
            numbers = {"offset": float(rng.uniform(1, 100)), "decades": float(rng.uniform(3, 5))}
        elif kind == "linear":
            return w.linear(channel)
        else:
            return ""
        settings = " ".join(f'transforms:{name}="{value!r}"' for name, value in numbers.items())
        return f'<transforms:{kind} {settings}><data-type:parameter data-type:name="{channel}"/></transforms:{kind}>'

    def scales(self) -> str:
        time_scale = w.linear("Time", 60, 0.01)
        return w.linear("FSC-A") + w.linear("SSC-A") + time_scale + "".join(self.scale(c) for c in w.FLUORESCENT)

    def matrix(self) -> tuple[tuple[float, ...], ...]:
        values = np.eye(3) + np.where(np.eye(3) == 1, 0, self.rng.uniform(-0.05, 0.4, (3, 3))).round(4)
        return tuple(tuple(float(v) for v in row) for row in values)

    def axis_limits(self, channel: str, data: np.ndarray) -> tuple[float, float]:
        column = data[:, PNN.index(channel)].astype(float) * (0.01 if channel == "Time" else 1.0)
        if self.chance(0.2):  # on the events themselves: the boundary counts
            low, high = sorted(float(v) for v in self.rng.choice(column, 2))
        else:
            low, high = sorted(float(v) for v in np.quantile(column, self.rng.random(2)))
        return low, high + (high == low)

    def seen(self, channel: str) -> str:
        return f"Comp-{channel}" if channel in w.FLUORESCENT and self.compensated else channel

    def shape(self, kind: str, data: np.ndarray, scaled: set[str]) -> str:
        names = list(PNN)
        x, y = (str(c) for c in self.rng.choice(names, 2, replace=False))
        if kind == "range":
            low, high = self.axis_limits(x, data)
            ends = self.pick((low, high), (low, None), (None, high))
            return w.rectangle(w.axis(self.seen(x), *ends), inside=not self.chance(0.15))
        if kind == "box":
            axes = [w.axis(self.seen(c), *self.axis_limits(c, data)) for c in (x, y)]
            return w.rectangle(*axes, inside=not self.chance(0.15))
        if kind == "polygon":
            (x0, x1), (y0, y1) = (self.axis_limits(c, data) for c in (x, y))
            around = np.sort(self.rng.uniform(0, 2 * np.pi, int(self.rng.integers(3, 8))))
            reach = self.rng.uniform(0.4, 1, len(around))
            corners = [
                (float((x0 + x1) / 2 + (x1 - x0) * r * np.cos(a)), float((y0 + y1) / 2 + (y1 - y0) * r * np.sin(a)))
                for a, r in zip(around, reach, strict=True)
            ]
            return w.polygon(self.seen(x), self.seen(y), *corners)
        drawn = [c for c in names if c in scaled]  # FlowJo keeps ellipses in bins, so both axes have a scale
        x, y = (str(c) for c in self.rng.choice(drawn, 2, replace=False))
        centre, turn = self.rng.uniform(60, 200, 2), float(self.rng.uniform(0, np.pi))
        major = float(self.rng.uniform(20, 90))
        minor = major * float(self.rng.uniform(LEAST_SIZE * 10, 0.95))
        along, across = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
        focus = np.sqrt(major**2 - minor**2)
        foci = [tuple(map(float, centre + s * focus * along)) for s in (-1, 1)]
        ends = (centre - major * along, centre + major * along, centre - minor * across, centre + minor * across)
        return w.ellipse(self.seen(x), self.seen(y), foci, [tuple(map(float, end)) for end in ends])

    def plan(self, size: int) -> list[tuple[int, str, str]]:
        """(parent, name, kind) of each population; parents before children, -1 for the first."""
        nodes: list[tuple[int, str, str]] = []
        for number in range(size):
            parent = int(self.rng.integers(-1, number))
            below = {name for at, name, _ in nodes if at == parent}
            name = str(self.pick(*[n for n in dict.fromkeys(NAMES) if n not in below] or [f"p{number}"]))
            if name in below:
                name = f"p{number}"
            kind = self.pick(*SHAPES)
            nodes.append((parent, name, kind))
        return nodes

    def tree(self, nodes, drawn) -> list[str]:
        """Elements of the populations at the top."""
        paths: list[tuple[str, ...]] = []
        for parent, name, _ in nodes:
            paths.append((*(paths[parent] if parent >= 0 else ()), name))

        def element(number: int) -> str:
            _, name, kind = nodes[number]
            below = [element(n) for n, (parent, _, _) in enumerate(nodes) if parent == number]
            if kind in ("and", "or", "not"):
                inner = f"<Subpopulations>{''.join(below)}</Subpopulations>" if below else ""
                told = ["/".join(paths[n]) for n in drawn[number]]
                made = w.boolean(kind.capitalize(), name, *told)
                closing = f"</{kind.capitalize()}Node>"
                return made.replace(closing, inner + closing)
            return w.population(name, drawn[number], *below)

        return [element(n) for n, (parent, _, _) in enumerate(nodes) if parent < 0]

    def draw(self, nodes, number: int, data: np.ndarray, scaled: set[str]) -> object:
        kind = nodes[number][2]
        if kind not in ("and", "or", "not"):
            return self.shape(kind, data, scaled)
        above = set()
        at = number
        while at >= 0:
            above.add(at)
            at = nodes[at][0]
        others = [n for n in range(number) if n not in above]
        if not others:
            return None
        many = 1 if kind == "not" else min(len(others), int(self.rng.integers(2, 4)))
        return sorted(int(n) for n in self.rng.choice(others, many, replace=False))

    def planned(self, data: np.ndarray, scaled: set[str]) -> tuple[list[tuple[int, str, str]], list[object]]:
        nodes = self.plan(int(self.rng.integers(2, 8)))
        drawn: list[object] = []
        for number, (parent, name, _) in enumerate(list(nodes)):
            found = self.draw(nodes, number, data, scaled)
            if found is None:  # nothing to combine
                nodes[number] = (parent, name, "range")
                found = self.draw(nodes, number, data, scaled)
            drawn.append(found)
        return nodes, drawn

    def make(self) -> tuple[Path, list[Made], int]:
        """A workspace on disk with its samples, and how many gates were moved for single ones."""
        self.compensated = self.chance(0.7)
        scales = self.scales()
        scaled = {c for c in PNN if f'data-type:name="{c}"' in scales}
        values = self.matrix()
        first = self.data(self.events)
        nodes, drawn = self.planned(first, scaled)
        made: list[Made] = []
        moved = 0
        renamed_on_disk = self.chance(0.2)
        for number in range(1, int(self.rng.integers(2, 4)) + 1):
            n = self.events + number  # $TOT tells samples with one name apart
            data = self.data(n)
            own_nodes, own_drawn = list(nodes), list(drawn)
            if number > 1 and self.chance(0.6):
                for at in range(len(nodes)):
                    if self.chance(0.4) and nodes[at][2] not in ("and", "or", "not"):
                        own_drawn[at] = self.draw(nodes, at, data, scaled)
                        moved += 1
            if number > 1 and self.chance(0.25):
                own_nodes.append((int(self.rng.integers(-1, len(nodes))), "extra", "range"))
                own_drawn.append(self.draw(own_nodes, len(own_nodes) - 1, data, scaled))
            own_scales = self.scales() if number > 1 and self.chance(0.1) else scales
            if {c for c in PNN if f'data-type:name="{c}"' in own_scales} != scaled:
                own_scales = scales
            own = self.matrix() if self.chance(0.2) else values
            numbered = self.chance(0.25)
            recorded = "Tube_001.fcs" if numbered else f"run_{number}.fcs"
            on_disk = f"moved_{number}.fcs" if renamed_on_disk else recorded
            name = self.pick(recorded, f"patient {number}", f"run_{number}")
            keyword = self.pick(w.spill_text(own), w.spill_text(self.matrix()), "")
            words = {"$FIL": recorded, "$BTIM": f"10:0{number}:00", "$DATE": "01-JAN-2024"}
            extra = {"$SPILLOVER": keyword} if keyword else {}
            path = write(self.folder / f"d{number}" / on_disk, data, pnn=PNN, pns=PNS, **words, **extra)
            element = w.sample(
                number, name, *self.tree(own_nodes, own_drawn), scales=own_scales,
                comp=w.matrix(own) if self.compensated else "", uri=f"file:/D:/study/d{number}/{recorded}",
                keywords={**words, "$TOT": n, **extra},
            )  # fmt: skip
            group = w.group("All Samples", number)
            made.append(Made(path, name, element, w.workspace(element, groups=group)))
        target = self.folder / "study.wsp"
        numbers = range(1, len(made) + 1)
        target.write_bytes(w.workspace(*(one.element for one in made), groups=w.group("All Samples", *numbers)))
        return target, made, moved


def theirs(one: Made, folder: Path) -> dict[tuple[str, ...], np.ndarray]:
    """Memberships that FlowKit gives, told which file the sample is; by path of names."""
    alone = folder / "alone.wsp"
    alone.write_bytes(one.alone)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        opened = fk.Workspace(str(alone), fcs_samples=[fk.Sample(str(one.path), sample_id=one.name)])
        opened.analyze_samples(sample_id=one.name, use_mp=False)
        return {
            (*path[1:], name): np.asarray(opened.get_gate_membership(one.name, name, path), dtype=bool)
            for name, path in opened.get_gate_ids(one.name)
        }


def compare(seed: int, outcome: Outcome) -> None:
    """Make a workspace, evaluate it both ways and note every population that differs."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        target, made, moved = Maker(seed, folder).make()
        outcome.cases += 1
        outcome.moved += moved
        try:
            gates = gate.load(target)
        except GateError as error:  # nothing else was in the workspace
            gates = GateSet((), error.problems)
        left_out = [problem.what for problem in gates.problems if not DEPENDS.search(problem.what)]
        if left_out and all(NO_WIDTH in what for what in left_out):
            outcome.without_width += 1  # an empty gate in FlowKit; ours says so instead
            return
        if gates.problems:
            outcome.differences.append(f"seed {seed}: {[str(problem) for problem in gates.problems]}")
        matcher = Matcher(gates, [one.path for one in made])
        for one in made:
            sample = read_fcs(one.path)
            gated = gate.gate_sample(sample, matcher.match(sample, one.path), compiled=False)
            strategy = gated.strategy
            found = {
                tuple(strategy[p].label or p for p in (*strategy.path(g.population)[1:], g.population)): g.population
                for g in strategy.gates
            }
            expected = theirs(one, folder)
            outcome.samples += 1
            if expected.keys() != found.keys():
                outcome.differences.append(f"seed {seed} {one.name}: {sorted(expected)} but {sorted(found)}")
                continue
            for path, mask in expected.items():
                outcome.gates += 1
                outcome.comparisons += len(mask)
                got = gated.mask(found[path])
                if not np.array_equal(mask, got):
                    rows = np.flatnonzero(mask != got)
                    what = f"{strategy[found[path]].kind} {len(rows)} of {len(mask)} events"
                    outcome.differences.append(f"seed {seed} {one.path.name} {'/'.join(path)}: {what}")


def main() -> int:
    """Run a campaign from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    os.environ["IMMUNOPROFILE_CACHE"] = "off"
    logging.disable(logging.WARNING)
    outcome = Outcome()
    started = time.perf_counter()
    for seed in range(arguments.seed, arguments.seed + arguments.cases):
        compare(seed, outcome)
        if outcome.cases % 500 == 0:
            print(f"{outcome.cases} workspaces, {len(outcome.differences)} differences", flush=True)
    print(f"{outcome.cases} workspaces, {outcome.samples} samples, {outcome.gates} gates, {outcome.moved} moved, "
          f"{outcome.without_width} workspaces with a gate without width, "
          f"{outcome.comparisons:,} comparisons, {len(outcome.differences)} differences, "
          f"{time.perf_counter() - started:.0f} s")  # fmt: skip
    for line in outcome.differences[:20]:
        print(line)
    return 1 if outcome.differences else 0


if __name__ == "__main__":
    raise SystemExit(main())
