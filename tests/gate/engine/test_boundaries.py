"""Events on a limit, one number beside it, and at the ends of a scale, against the functions that FlowKit calls."""

from __future__ import annotations

import numpy as np
import pytest
from flowutils import gating
from hypothesis import given
from hypothesis import strategies as st

from immunoprofile.gate import _flowkit
from immunoprofile.gate.engine import evaluate
from immunoprofile.gate.engine.lookup import REACH, lookup
from immunoprofile.gate.engine.thresholds import LIMIT, floor_of, pull_back, start_of
from immunoprofile.gate.gates import Dimension, Gate
from immunoprofile.gate.scales import Scale
from immunoprofile.gate.strategy import Strategy
from immunoprofile.io.fcs import Channel, Sample
from tests.gate.engine.cases import SCALES

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

CHANNELS = tuple(Channel(name, "", name, 262144.0) for name in ("A", "B"))


def around(value: float) -> np.ndarray:
    """A number, its neighbours on both sides, and a few further away."""
    steps = [value]
    for direction in (-np.inf, np.inf):
        step = value
        for _ in range(4):
            step = np.nextafter(step, direction)
            steps.append(step)
    return np.array([*steps, value * (1 + 1e-12), value * (1 - 1e-12), value * (1 + 1e-9), value * (1 - 1e-9)])


def sample(first: np.ndarray, second: np.ndarray | None = None) -> Sample:
    events = np.column_stack([first, np.zeros(len(first)) if second is None else second])
    return Sample("edges.fcs", np.ascontiguousarray(events), CHANNELS)


@pytest.mark.parametrize(("name", "scale"), SCALES)
@pytest.mark.parametrize("raw", [-300.0, -1.0, 0.0, 0.37, 10.0, 1234.5, 99_999.0, 262_144.0])
def test_ranges_at_the_value_of_an_event(name, scale, raw):
    limit = float(scale.apply(np.array([raw]))[0])
    if not np.isfinite(limit):
        limit = 0.5
    values = np.concatenate([around(raw), around(pull_back(scale, limit).low), [np.nan, np.inf, -np.inf, -0.0, 0.0]])
    values = np.append(values, [LIMIT, -LIMIT, 2 * LIMIT, 5e-324, -5e-324, -1e-310, 1e-310])
    gates = (
        Gate("least", "root", "rectangle", (Dimension("A", limit, None, name),)),
        Gate("most", "root", "rectangle", (Dimension("A", None, limit, name),)),
        Gate("outside", "root", "rectangle", (Dimension("A", limit, limit + 0.1, name),), complement=True),
    )
    strategy = Strategy("t", gates, scales=((name, scale),), channels=(("A", "A"),))
    masks = evaluate(strategy, sample(values), None).masks
    on_scale = scale.apply(values)
    np.testing.assert_array_equal(masks["least"], on_scale >= limit)
    np.testing.assert_array_equal(masks["most"], on_scale < limit)
    np.testing.assert_array_equal(masks["outside"], ~((on_scale >= limit) & (on_scale < limit + 0.1)))


@pytest.mark.parametrize("kind", ["logicle", "hyperlog", "asinh", "log", "flowjo_log", "linear"])
@pytest.mark.parametrize("seed", range(3))
def test_a_limit_pulled_back_parts_the_linear_values_as_the_scale_does(kind, seed):
    """Also without a linear zone, where flowutils' logicle has a hole next to zero that misleads a bisection."""
    rng = np.random.default_rng(seed)
    letters = {"T": 262144.0, "W": 0.0 if seed == 1 else 0.5, "M": 4.5, "A": 1.0 if seed == 1 else 0.0}
    own = {"asinh": "TMA", "log": "TM", "linear": "TA"}.get(kind, "TWMA")
    wanted = {one: letters[one] for one in own} if kind != "flowjo_log" else {"offset": 100.0, "decades": 5.0}
    if kind == "hyperlog" and seed == 1:
        wanted["W"] = 0.1
    scale = Scale.of(kind, wanted)
    values = np.concatenate(
        [rng.uniform(-3e5, 3e5, 2000), 10 ** rng.uniform(-5, 6, 1000), -(10 ** rng.uniform(-5, 6, 1000))]
    )
    places = np.nan_to_num(scale.apply(values), nan=-np.inf)
    for limit in rng.uniform(-0.3, 1.1, 40):
        found = pull_back(scale, float(limit))
        assert (places[values < found.low] < limit).all()
        assert (places[values >= found.high] >= limit).all()
        assert found.low == found.high if kind == "linear" else found.low <= found.high
        between = scale.apply(np.array([found.low, found.high]))
        if np.isfinite(between).all() and kind != "flowjo_log":  # constant below its offset
            assert between[1] - between[0] <= 4.1e-9 * max(1.0, abs(limit))


def test_a_gate_below_zero_of_a_logicle_without_a_linear_zone():
    scale = Scale.of("logicle", {"T": 262144.0, "W": 0.0, "M": 4.5, "A": 1.0})
    values = np.linspace(-4000.0, 4000.0, 4001)[np.abs(np.linspace(-4000.0, 4000.0, 4001)) >= 1.0]
    limit = float(scale.apply(np.array([-1724.0]))[0])
    gate = Gate("least", "root", "rectangle", (Dimension("A", limit, None, "s"),))
    strategy = Strategy("t", (gate,), scales=(("s", scale),), channels=(("A", "A"),))
    found = evaluate(strategy, sample(values), None).masks["least"]
    np.testing.assert_array_equal(found, values >= -1724.0)


@given(
    corners=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=3, max_size=9),
    shift=st.sampled_from([0.0, 1e-3, 123456.75]),
    size=st.sampled_from([1.0, 0.1, 1e4]),
)
def test_polygons_on_a_lattice_of_their_own_corners(corners, shift, size):
    """Whole numbers: points on corners, on level and upright edges, in line with edges, in crossings."""
    vertices = tuple((shift + size * x, shift + size * y) for x, y in corners)
    line = shift + size * np.arange(-1, 10)
    x, y = (grid.ravel() for grid in np.meshgrid(line, line))
    x, y = np.concatenate([x, np.nextafter(x, np.inf)]), np.concatenate([y, np.nextafter(y, -np.inf)])
    gate = Gate("p", "root", "polygon", (Dimension("A"), Dimension("B")), vertices=vertices)
    found = evaluate(Strategy("t", (gate,), channels=(("A", "A"), ("B", "B"))), sample(x, y), None)
    expected = gating.points_in_polygon(np.array(vertices), np.column_stack([x, y]))
    np.testing.assert_array_equal(found.masks["p"], expected)


def test_a_polygon_excludes_its_upper_and_right_edge():
    """By hand: a unit square holds its left and lower edge only (FlowKit's documentation says otherwise)."""
    square = ((0.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1.0, 0.0))
    gate = Gate("p", "root", "polygon", (Dimension("A"), Dimension("B")), vertices=square)
    x, y = np.array([0.0, 1.0, 0.5, 0.5, 0.0, 1.0, 0.5]), np.array([0.5, 0.5, 0.0, 1.0, 0.0, 1.0, 0.5])
    found = evaluate(Strategy("t", (gate,), channels=(("A", "A"), ("B", "B"))), sample(x, y), None)
    assert found.masks["p"].tolist() == [True, False, True, False, True, False, True]


@pytest.mark.parametrize(("name", "scale"), SCALES)
def test_the_table_of_a_scale_holds_its_values(name, scale):
    """Any number, also one moved by the error that the table allows for, lies in the extent of its step."""
    rng = np.random.default_rng(5)
    margin = 1e-4
    table = lookup(scale, margin)
    values = np.concatenate([rng.normal(0, 10.0**power, 4000) for power in range(-6, 9)])
    values = values[np.abs(values) < REACH]
    steps = values.astype(np.float32).view(np.uint32) >> 16
    exact = scale.apply(values + rng.uniform(-margin, margin, len(values)))
    known = ~np.isnan(table.low[steps])
    assert known.mean() > 0.4
    assert (exact[known] >= table.low[steps][known]).all() and (exact[known] <= table.high[steps][known]).all()
    line = table.lines[steps]
    near = np.abs(line[:, 1] + line[:, 2] * (values - line[:, 0]) - exact)
    assert (near[known] <= line[known, 3]).all()
    assert np.isnan(exact[table.undefined[steps]]).all()


@pytest.mark.parametrize(("name", "scale"), SCALES)
def test_thresholds_divide_the_numbers(name, scale):
    for limit in (-0.2, 0.0, 0.3, 0.77, 1.0, 500.0):
        found = pull_back(scale, limit)
        values = np.concatenate([around(found.low), around(found.high)])
        values = values[np.isfinite(values) & (np.abs(values) < LIMIT)]
        on_scale = scale.apply(values)
        assert not (on_scale[values < found.low] >= limit).any()
        sure = values >= max(found.high, start_of(scale).high)
        assert (on_scale[sure] >= limit).all()


def test_a_scale_that_falls_is_not_planned():
    falling = Scale.of("linear", {"T": -100.0, "A": 0.0})
    gate = Gate("g", "root", "rectangle", (Dimension("A", 0.5, None, "x"),))
    strategy = Strategy("t", (gate,), scales=(("x", falling),), channels=(("A", "A"),))
    values = np.array([-60.0, -50.0, -49.0, 0.0, 10.0])
    found = evaluate(strategy, sample(values), None)
    assert found.record.tier == "exact" and "rise" in found.record.reason
    np.testing.assert_array_equal(found.masks["g"], _flowkit.memberships(strategy, sample(values), None)["g"])
    assert found.masks["g"].tolist() == [True, True, False, False, False]
    assert floor_of(SCALES[0][1]) == -np.inf
