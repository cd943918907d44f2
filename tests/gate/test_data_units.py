"""Limits in units of the data: the same events as with the place on the scale, and nothing lost on the way back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from immunoprofile import gate
from immunoprofile.errors import GateError
from immunoprofile.gate.data_units import in_data_units, on_scale
from immunoprofile.gate.scales import Scale
from immunoprofile.gate.template import read_template, write_template
from immunoprofile.io.fcs import read_fcs
from tests.gate.strategies import FLOWJO_SCALES, SCALES
from tests.io.fcs_files import events, spill_text, write

EVERY_SCALE = [scale for _, scale in (*SCALES, *FLOWJO_SCALES)]

HEADER = """# tube: t
{units}# compensated: false
# scales:
#   logicle: {{kind: logicle, T: 262144, W: 0.5, M: 4.5, A: 0}}
#   asinh: {{kind: asinh, T: 12000, M: 4, A: 1}}
# default_scale: logicle
# marker_scales: {{CD56: asinh}}
population,parent,gate,dim_1,min_1,max_1,dim_2,min_2,max_2
"""


@pytest.fixture
def sample(tmp_path):
    values = events(3000)
    values[:10, 2] = 1000.0  # events that lie on the limit itself
    values[10:20, 2] = np.nextafter(np.float32(1000.0), np.float32(0.0))
    return read_fcs(write(tmp_path / "a.fcs", values, **{"$SPILLOVER": spill_text()}))


def template(tmp_path, rows, *, units="", corners="", name="t.csv"):
    (tmp_path / name).write_text(HEADER.format(units=units) + rows)
    if corners:
        (tmp_path / name).with_suffix(".vertices.csv").write_text("population,order,x,y\n" + corners)
    return read_template(tmp_path / name)


def test_a_threshold_of_1000_is_the_events_of_1000_and_more(tmp_path, sample):
    strategy = template(tmp_path, "t,root,rectangle,CD3,1000,,CD56,,3000\n", units="# units: data\n")
    expected = (sample.values("FITC-A") >= 1000) & (sample.values("PE-A") < 3000)
    assert 100 < expected.sum() < 2900
    np.testing.assert_array_equal(gate.membership(sample, strategy)["t"], expected)


def test_data_units_and_places_on_the_scale_are_the_same_gates(tmp_path, sample):
    logicle, asinh = (dict(gate.load(gate.shipped_folder())["treg"].scales)["logicle"], EVERY_SCALE[1])
    asinh = Scale.of("asinh", {"T": 12000.0, "M": 4.0, "A": 1.0})
    corners = [(-500.0, -20.0), (20_000.0, 40.0), (15_000.0, 4000.0), (200.0, 900.0)]
    places = [(on_scale(logicle, x), on_scale(asinh, y)) for x, y in corners]
    rows = "p,root,polygon,CD3,,,CD56,,\n"
    data = template(tmp_path, rows, units="# units: data\n",
                    corners="".join(f"p,{n},{x},{y}\n" for n, (x, y) in enumerate(corners)))  # fmt: skip
    scale = template(tmp_path, rows, units="# units: scale\n", name="s.csv",
                     corners="".join(f"p,{n},{x!r},{y!r}\n" for n, (x, y) in enumerate(places)))  # fmt: skip
    assert data.gates == scale.gates
    assert data.sha256 == scale.sha256
    assert gate.membership(sample, data)["p"].sum() > 50


@pytest.mark.parametrize("tube", ["count", "effector", "treg"])
def test_round_trip_of_the_shipped_templates(tube, tmp_path):
    strategy = gate.load(gate.shipped_folder())[tube].with_units("data")
    write_template(strategy, tmp_path / f"{tube}.csv")
    text = (tmp_path / f"{tube}.csv").read_text()
    assert "units: data" in text
    again = read_template(tmp_path / f"{tube}.csv")
    assert again == strategy
    write_template(again, tmp_path / "twice.csv")
    assert (tmp_path / "twice.csv").read_text() == text


@given(st.sampled_from(EVERY_SCALE), st.floats(-0.2, 1.1), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=150)
def test_a_limit_keeps_every_event_on_its_side(scale, share, seed):
    place = share * scale.top
    try:
        value = in_data_units(scale, place)
    except ValueError:
        assert on_scale(scale, 1e15) < place
        return
    again = on_scale(scale, value)
    near = value + np.random.default_rng(seed).normal(scale=max(1e-9, abs(value) * 1e-14), size=400)
    with np.errstate(all="ignore"):
        places = scale.apply(np.concatenate([near, near.astype(np.float32).astype(np.float64), [value]]))
    np.testing.assert_array_equal(places >= place, places >= again)


@given(st.sampled_from(EVERY_SCALE), st.integers(2, 200_000))
@settings(deadline=None, max_examples=100)
def test_what_was_typed_is_printed_again(scale, typed):
    assert in_data_units(scale, on_scale(scale, float(typed))) == typed


@pytest.mark.parametrize(
    ("units", "row", "reason"),
    [
        ("", "t,root,rectangle,CD3,1000,,,,\n", "units: data"),
        ("# units: both\n", "t,root,rectangle,CD3,1000,,,,\n", "scale"),
    ],
)
def test_a_limit_in_the_wrong_units_is_named(tmp_path, units, row, reason):
    with pytest.raises(GateError) as caught:
        template(tmp_path, row, units=units)
    assert reason in str(caught.value)


def test_a_logarithm_has_no_place_for_a_negative_limit(tmp_path):
    text = HEADER.format(units="# units: data\n").replace("asinh, T: 12000, M: 4, A: 1", "log, T: 10000, M: 4")
    (tmp_path / "t.csv").write_text(text + "t,root,rectangle,CD56,-5,,,,\n")
    with pytest.raises(GateError, match="no place for -5"):
        read_template(tmp_path / "t.csv")
