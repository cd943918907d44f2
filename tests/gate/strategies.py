"""Gating strategies of every kind for property tests (Hypothesis)."""

from __future__ import annotations

import itertools
from dataclasses import replace

from hypothesis import strategies as st

from immunoprofile.gate.scales import Scale
from immunoprofile.gate.strategy import Dimension, Ellipsoid, Gate, Matrix, Operand, Ratio, Strategy

CHANNELS = ("FSC-A", "SSC-A", "FITC-A", "PE-A", "APC-A", "Time")
LABELS = ("CD3+ CD8+", "4_pos", "NK1.1-", "Treg (CD25hi)", "γδ T", "a & b <c>", "Q1: CD4-, CD8+", 'say "x"', "root")
FLUORESCENT = CHANNELS[2:5]
SCALES = (
    ("CD4 T", Scale("logicle", (("T", 262144.0), ("W", 0.5), ("M", 4.5), ("A", 0.0)))),
    ("p1", Scale("asinh", (("T", 10000.0), ("M", 4.0), ("A", 1.0)))),
    ("hyper", Scale("hyperlog", (("T", 262144.0), ("W", 0.6), ("M", 4.5), ("A", 0.1)))),
    ("7log", Scale("log", (("T", 10000.0), ("M", 5.0)))),
    ("lin", Scale("linear", (("T", 262144.0), ("A", 10.0)))),
)
FLOWJO_SCALES = (
    ("biex", Scale("biex", (("negative", 0.0), ("width", -100.0), ("positive", 4.42), ("max_value", 262144.0)))),
    ("fjlog", Scale("flowjo_log", (("offset", 1.0), ("decades", 4.0)))),
)
SQUARE = Matrix(FLUORESCENT, ((1.0, 0.2, 0.0), (0.05, 1.0, 0.01), (0.0, 0.1, 1.0)))
NAMED = Matrix(FLUORESCENT, ((1.0, 0.1, 0.0), (0.0, 1.0, 0.3), (0.2, 0.0, 1.0)), ("FITC", "PE", "APC"))
SPECTRAL = Matrix(FLUORESCENT, ((1.0, 0.3, 0.1), (0.1, 1.0, 0.4)))
MATRICES = (("m", SQUARE), ("p2", NAMED), ("my spectral", SPECTRAL))

numbers = st.floats(-1e5, 1e5, allow_nan=False).map(lambda value: value + 0.0)
limits = st.one_of(st.none(), st.floats(-2.0, 3e5, allow_nan=False))


@st.composite
def _axes(draw: st.DrawFn, size: int, scales: tuple[tuple[str, Scale], ...], *, ratio: bool) -> tuple[Dimension, ...]:
    matrix = draw(st.sampled_from((None, "", *(name for name, _ in MATRICES))))
    axes = []
    for channel in draw(st.permutations(CHANNELS))[:size]:
        scale = draw(st.sampled_from((None, *(name for name, _ in scales))))
        fluorescent = channel in FLUORESCENT and matrix is not None
        axes.append(Dimension(channel, scale=scale, compensated=fluorescent, matrix=(matrix or "") * fluorescent))
    if ratio and draw(st.booleans()):
        number = draw(st.integers(1, 2))
        ratios = {1: Ratio("FITC-A", "PE-A", 2.0, 1.0, -0.5), 2: Ratio("PE-A", "FSC-A", 1.0, 0.0, -1.0)}
        axes[0] = Dimension(f"ratio {number}", scale=axes[0].scale, ratio=ratios[number])
    return tuple(axes)


def _between(draw: st.DrawFn, axis: Dimension) -> Dimension:
    low, high = draw(limits), draw(limits)
    if low is not None and high is not None and low >= high:
        low, high = (None, low) if low == high else (high, low)
    return replace(axis, minimum=low, maximum=high)


@st.composite
def _shape(draw: st.DrawFn, gate: Gate, scales: tuple[tuple[str, Scale], ...]) -> Gate:
    kind = draw(st.sampled_from(("rectangle", "polygon", "ellipsoid")))
    if kind == "rectangle":
        axes = tuple(_between(draw, axis) for axis in draw(_axes(draw(st.integers(1, 3)), scales, ratio=True)))
        if all(axis.minimum is None and axis.maximum is None for axis in axes):
            axes = (replace(axes[0], minimum=0.25), *axes[1:])
        return replace(gate, dimensions=axes, complement=draw(st.booleans()))
    if kind == "polygon":
        corners = draw(st.lists(st.tuples(numbers, numbers), min_size=3, max_size=6))
        axes = draw(_axes(2, scales, ratio=True))
        return replace(gate, kind="polygon", dimensions=axes, vertices=tuple(corners), complement=draw(st.booleans()))
    size = draw(st.integers(2, 3))
    mean = tuple(draw(st.lists(numbers, min_size=size, max_size=size)))
    spread = draw(st.floats(0.01, 1e4))
    covariance = tuple(tuple(spread * (1.0 if i == j else 0.25) for j in range(size)) for i in range(size))
    shape = Ellipsoid(mean, covariance, draw(st.floats(0.0, 1e3)))
    return replace(gate, kind="ellipsoid", dimensions=draw(_axes(size, scales, ratio=False)), ellipsoid=shape)


@st.composite
def _quadrants(
    draw: st.DrawFn, number: int, parent: str, scales: tuple[tuple[str, Scale], ...], *, labels: bool
) -> list[Gate]:
    axes = draw(_axes(draw(st.integers(1, 2)), scales, ratio=False))
    cells: list[tuple[Dimension, ...]] = [()]
    for axis in axes:
        values = sorted(draw(st.sets(st.floats(-1e3, 1e3, allow_nan=False), min_size=1, max_size=2)))
        edges = [None, *values, None]
        parts = [replace(axis, minimum=low, maximum=high) for low, high in itertools.pairwise(edges)]
        cells = [(*cell, part) for cell in cells for part in parts]
    return [
        Gate(
            f"q{number}_{position}",
            parent,
            "quadrant",
            cell,
            quadrant_of=f"quad{number}",
            label=f"Q{number}.{position}" if labels else "",
        )
        for position, cell in enumerate(cells)
    ]


@st.composite
def strategies(draw: st.DrawFn, *, flowjo: bool = False, labels: bool = True, custom: bool = False) -> Strategy:
    """A strategy that names channels, with gates of every kind.

    Parameters
    ----------
    flowjo
        Whether FlowJo's scales occur.
    labels
        Whether gates have names of their own.
    custom
        Whether samples have gates of their own.
    """
    scales = (*SCALES, *FLOWJO_SCALES) if flowjo else SCALES
    gates: list[Gate] = []
    for number in range(1, draw(st.integers(1, 6)) + 1):
        parent = draw(st.sampled_from(("root", *(gate.population for gate in gates))))
        label = draw(st.sampled_from(("", *LABELS))) if labels else ""
        gate = Gate(f"p{number}", parent, "rectangle", label=label, note=draw(st.sampled_from(("", "why, <so>"))))
        kind = draw(st.sampled_from(("shape", "shape", "quadrants", "boolean")))
        operands = [one.population for one in gates if one.population != parent]
        if kind == "quadrants":
            gates += draw(_quadrants(number, parent, scales, labels=labels))
        elif kind == "boolean" and operands:
            bool_kind = draw(st.sampled_from(("and", "or", "not")))
            chosen = draw(st.lists(st.sampled_from(operands), min_size=1, max_size=3, unique=True))
            chosen = chosen[:1] if bool_kind == "not" else chosen
            told = tuple(Operand(one, draw(st.booleans())) for one in chosen)
            gates.append(replace(gate, kind=bool_kind, operands=told))
        else:
            gates.append(draw(_shape(gate, scales)))
    own: list[tuple[str, Gate]] = []
    if custom:
        for sample in ("a.fcs", "b/1"):
            for gate in gates:
                if gate.kind == "rectangle" and draw(st.booleans()):
                    moved = tuple(replace(d, minimum=(d.minimum or 0.0) - 0.5) for d in gate.dimensions)
                    moved = tuple(d if d.maximum is None or d.minimum < d.maximum else replace(d, maximum=None)
                                  for d in moved)  # fmt: skip
                    if moved != gate.dimensions:
                        own.append((sample, replace(gate, dimensions=moved)))
    used = {c: None for gate in gates for d in gate.dimensions for c in d.channels}
    return Strategy(
        "tube",
        tuple(gates),
        scales=scales,
        channels=tuple((channel, channel) for channel in used),
        matrices=MATRICES,
        custom=tuple(own),
    )
