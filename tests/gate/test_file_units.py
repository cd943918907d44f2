"""Limits of FlowJo workspaces in the units that FlowJo showed: its clock, channels with a gain, bare scales."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from immunoprofile import gate
from immunoprofile.errors import GateError
from immunoprofile.gate.scales import SCALE_PARAMETERS, Scale
from immunoprofile.gate.strategy import Dimension, Gate, Strategy
from immunoprofile.io.fcs import read_fcs
from tests.gate import workspaces as w
from tests.io.fcs_files import events, write

N = 2000


def gated(tmp_path, *populations, last=6000, scales="", step="0.01", gains=None, name="a.fcs", **keywords):
    """A file whose ticks run evenly from 0 to the last, gated by a workspace of one sample."""
    data = events(N)
    data[:, 5] = np.linspace(0, last, N).astype(np.float32)
    words = {"$FIL": "a.fcs", "$TOT": str(N), **({"$TIMESTEP": step} if step else {})}
    path = write(
        tmp_path / name, data, **{**words, **{f"$P{i}G": str(g) for i, g in (gains or {}).items()}, **keywords}
    )
    if not step:  # the writer of the tests always puts one
        path.write_bytes(path.read_bytes().replace(b"TIMESTEP", b"XIMESTEP").replace(b"timestep", b"ximestep"))
    rest = "".join((w.linear("SSC-A"), *(w.biex(c) for c in w.FLUORESCENT)))
    (tmp_path / "w.wsp").write_bytes(
        w.workspace(
            w.sample(1, "a.fcs", *populations, scales=scales + rest, keywords={"$FIL": "a.fcs", "$TOT": N}, comp="")
        )
    )
    sample = read_fcs(path)
    return gate.gate_sample(sample, gate.load(tmp_path / "w.wsp")), data


def steady(low, high):
    return w.population(
        "steady", w.rectangle(w.axis("Time", low, high)), w.population("big", w.rectangle(w.axis("FSC-A", 9e4)))
    )


CLOCKS = {
    "gain is the step": (6000, "0.01", 60, 0.01, 0.01),
    "gain is a little more, as $ETIM says": (7184, "0.01", 73, 0.0101614699, 0.0101614699),
    "gain is a tenth of the step": (4171631, "0.0001", 53, 53 / 4171631, 53 / 4171631),
    "gain 1, shown in seconds": (281350, "0.0001", 28.135, 1, 0.0001),
    "gain 1, shown in seconds, top rounded up": (281350, "0.0001", 29, 1, 0.0001),
    "gain 1, shown in ticks": (6000, "0.01", 6000, 1, 1),
    "no step, seconds of a tick": (6000, "", 60, 0.01, 0.01),
    "no step, shown in ticks": (6000, "", 6000, 1, 1),
    "thinned file, gain beside the step": (600, "0.01", 60, 0.0102, 0.0102),
}


@pytest.mark.parametrize("clock", list(CLOCKS))
@pytest.mark.parametrize("shape", ["range", "polygon"])
def test_time_gates_are_in_the_units_that_flowjo_showed(tmp_path, clock, shape):
    last, step, top, gain, shown_by = CLOCKS[clock]
    shown = np.linspace(0, last, N).astype(np.float32).astype(float) * shown_by
    low, high = 0.201 * shown.max(), 0.703 * shown.max()
    cells = w.population("big", w.rectangle(w.axis("FSC-A", 9e4)))
    if shape == "range":
        populations = w.population("steady", w.rectangle(w.axis("Time", low, high)), cells)
    else:
        corners = ((low, -1e6), (high, -1e6), (high, 1e6), (low, 1e6))
        populations = w.population("steady", w.polygon("Time", "FSC-A", *corners), cells)
    found, data = gated(
        tmp_path, populations, last=last, step=step, scales=w.linear("FSC-A") + w.linear("Time", top, gain)
    )
    inside = (shown >= low) & (shown < high)
    np.testing.assert_array_equal(found.mask("steady"), inside)
    np.testing.assert_array_equal(found.mask("big"), inside & (data[:, 0].astype(float) >= 9e4))
    assert found.problems == ()


@pytest.mark.parametrize(("top", "gain"), [(60, 0.5), (123, 1), (262144, 0.3)])
def test_time_that_fits_neither_reading_is_left_out_and_told(tmp_path, top, gain):
    other = w.population("other", w.rectangle(w.axis("FSC-A", 9e4)))
    found, _ = gated(tmp_path, steady(10, 50), other, scales=w.linear("FSC-A") + w.linear("Time", top, gain))
    assert found.strategy.populations == ("other",)
    assert [problem.where for problem in found.problems] == ["gate steady", "gate big"]
    assert f"ends at {top} with gain {gain:g}" in found.problems[0].what
    assert "the last tick of the file (6000)" in found.problems[0].what
    with pytest.raises(GateError, match="all gates need the time"):
        gated(tmp_path, steady(10, 50), scales=w.linear("FSC-A") + w.linear("Time", top, gain))


@pytest.mark.parametrize("gain", [2.5, 6.5536, 0.25])
@pytest.mark.parametrize("divided", [False, True])
def test_channels_with_a_gain_follow_the_range_that_flowjo_showed(tmp_path, gain, divided):
    top = 262144 / gain if divided else 262144
    scales = w.linear("FSC-A", top) + w.linear("Time", 60, 0.01)
    box = w.population("box", w.rectangle(w.axis("FSC-A", 85_000, 95_000)))
    corners = ((85_000, -1e6), (95_000, -1e6), (95_000, 45_000), (85_000, 45_000))
    drawn = w.population("drawn", w.polygon("FSC-A", "SSC-A", *corners))
    bins = 256 / top
    at = 90_000 * bins
    edge = ((at - 8, 40), (at + 8, 40), (at, 32), (at, 48))
    shape = w.ellipse("FSC-A", "SSC-A", ((at - 2, 40), (at + 2, 40)), edge)
    found, data = gated(tmp_path, box, drawn, w.population("round", shape), scales=scales, gains={1: gain})
    shown = data[:, 0].astype(float) / (gain if divided else 1)
    inside = (shown >= 85_000) & (shown < 95_000)
    np.testing.assert_array_equal(found.mask("box"), inside)
    np.testing.assert_array_equal(found.mask("drawn"), inside & (data[:, 1] < 45_000))
    centre = np.hypot((shown - 90_000) / (8 / bins), (data[:, 1] - 40_960) / (60**0.5 * 1024))
    np.testing.assert_array_equal(found.mask("round")[abs(centre - 1) > 0.02], (centre < 1)[abs(centre - 1) > 0.02])


def test_a_stranger_is_gated_in_seconds_of_its_step_and_that_is_told(tmp_path):
    scales = w.linear("FSC-A") + w.linear("Time", 73, 0.0101614699)
    found, data = gated(tmp_path, steady(10, 50), scales=scales, name="b.fcs", **{"$FIL": "b.fcs"})
    seconds = data[:, 5].astype(float) * 0.01
    np.testing.assert_array_equal(found.mask("steady"), (seconds >= 10) & (seconds < 50))
    assert "taken in seconds of its $TIMESTEP" in found.problems[0].what


def test_gain_that_the_workspace_does_not_show_is_refused_by_name(tmp_path):
    box = w.population("box", w.rectangle(w.axis("FSC-A", 1)))
    with pytest.raises(GateError, match=r"FSC-A has \$PnG 2.5, and FlowJo's scale ends at 1e\+06"):
        gated(tmp_path, box, scales=w.linear("FSC-A", 1e6), gains={1: 2.5})
    with pytest.raises(GateError, match="is no sample of the workspace"):
        gated(tmp_path, box, scales=w.linear("FSC-A"), gains={1: 2.5}, name="b.fcs", **{"$FIL": "b.fcs"})
    gated(tmp_path, box, scales=w.linear("FSC-A"), gains={2: 2.5})  # no gate looks at it


def test_linear_scale_without_limits_is_linear(tmp_path):
    bare = w.linear("FSC-A").replace('transforms:minRange="0" transforms:maxRange="262144" gain="1"', "")
    corners = ((85_000, -1e6), (95_000, -1e6), (95_000, 1e6), (85_000, 1e6))
    shape = w.ellipse("FSC-A", "SSC-A", ((10, 40), (20, 40)), ((5, 40), (25, 40), (15, 30), (15, 50)))
    found, data = gated(
        tmp_path, w.population("box", w.rectangle(w.axis("FSC-A", 85_000, 95_000))),
        w.population("drawn", w.polygon("FSC-A", "SSC-A", *corners)), w.population("round", shape), scales=bare,
    )  # fmt: skip
    inside = (data[:, 0] >= 85_000) & (data[:, 0] < 95_000)
    np.testing.assert_array_equal(found.mask("box"), inside)
    np.testing.assert_array_equal(found.mask("drawn"), inside)
    (problem,) = gate.load(tmp_path / "w.wsp").problems
    assert problem.where.endswith("gate round")
    assert "the scale of FSC-A states no limits" in problem.what


def test_gatingml_and_flowkit_see_time_as_the_standard_does(tmp_path):
    """A file with CellQuest's TIMETICKS and no $TIMESTEP is read in seconds; a limit of the standard is in ticks."""
    data = events(N)
    data[:, 5] = np.arange(N)
    path = write(tmp_path / "a.fcs", data, TIMETICKS="100")
    path.write_bytes(path.read_bytes().replace(b"TIMESTEP", b"XIMESTEP").replace(b"timestep", b"ximestep"))
    sample = read_fcs(path)
    assert sample.values("Time")[-1] == pytest.approx(0.1 * (N - 1))
    time = Dimension("Time", 300, 900)
    ours = Strategy("t", (Gate("steady", "root", "rectangle", (time,)),), channels=(("Time", "Time"),))
    gate.save(ours, tmp_path / "t.xml")
    kept, plain = (tmp_path / name for name in ("t.xml", "plain.xml"))
    plain.write_text(
        re.sub(r"<data-type:custom_info>.*?</data-type:custom_info>", "", kept.read_text(), flags=re.DOTALL)
    )
    ticks = np.arange(N)
    for source, factor in ((gate.load(plain)["plain"], 1), (gate.load(kept)["t"], 0.1), (ours, 0.1)):
        inside = (ticks * factor >= 300) & (ticks * factor < 900)
        found = gate.membership(sample, source)["steady"]
        np.testing.assert_array_equal(found, inside)
    stated = gate.from_flowkit(gate.to_flowkit(ours))["tube"]
    assert gate.membership(sample, stated)["steady"].sum() == 600


def any_scale():
    kinds = {
        "logicle": {"T": 262144, "W": 0.7, "M": 4.5, "A": 0.2},
        "hyperlog": {"T": 262144, "W": 0.7, "M": 4.5, "A": 0.2},
        "asinh": {"T": 12000, "M": 4, "A": 1},
        "log": {"T": 262144, "M": 4.5},
        "linear": {"T": 262144, "A": 500},
        "biex": {"negative": 0.4, "width": -60, "positive": 4.4, "max_value": 262144},
        "flowjo_log": {"offset": 30, "decades": 4},
    }
    assert set(kinds) == set(SCALE_PARAMETERS)
    return st.sampled_from([Scale.of(kind, values) for kind, values in kinds.items()])


@settings(deadline=None)
@given(any_scale(), st.floats(0.001, 1000), st.floats(1, 250_000))
def test_a_scale_times_a_factor_has_the_same_places(scale, factor, value):
    here = scale.apply(np.array([value]))
    there = scale.times(factor).apply(np.array([value * factor]))
    np.testing.assert_allclose(there, here, rtol=1e-9, atol=1e-9 * scale.top)
