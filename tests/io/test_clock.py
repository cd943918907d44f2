"""The Time channel: which it is, what a tick is, and what speaks against it."""

from __future__ import annotations

import numpy as np
import pytest

from immunoprofile.io.clock import clock_doubts
from immunoprofile.io.fcs import read_fcs_bytes
from tests.io.fcs_bytes import fcs


def one(content):
    (sample,) = read_fcs_bytes(content)
    return sample


CLOCKS = {
    "timestep": ("Time", {"$TIMESTEP": "0.25"}, 0.25, "$TIMESTEP"),
    "ticks of CellQuest": ("Time", {"TIMETICKS": "200"}, 0.2, "TIMETICKS"),
    "both": ("TIME", {"TIMETICKS": "200", "$TIMESTEP": "0.1"}, 0.1, "$TIMESTEP"),
    "MACSQuant with a gain": ("HDR-T", {"$TIMESTEP": "0.01", "$P2G": "0.01"}, 0.01, "$TIMESTEP"),
    "typed": ("Clock", {"$TIMESTEP": "0.5", "$P2TYPE": "Time"}, 0.5, "$TIMESTEP"),
    "no number, but ticks": ("Time", {"$TIMESTEP": "xxx", "TIMETICKS": "100"}, 0.1, "TIMETICKS"),
    "unknown": ("Time", {}, None, ""),
}


@pytest.mark.parametrize("kind", CLOCKS)
def test_clock_of_a_file(kind):
    name, words, step, source = CLOCKS[kind]
    sample = one(fcs([(1.0, 0.0), (1.0, 4.0), (1.0, 10.0)], ("FSC-A", name), version="3.2", keywords=words))
    assert (sample.clock.column, sample.clock.step, sample.clock.source) == (1, step, source)
    assert sample.clock.unit == ("ticks" if step is None else "s")
    np.testing.assert_allclose(sample.events[:, 1], np.array([0, 4, 10]) * (step or 1), rtol=1e-15)
    assert sample.markers[1] == "Time"
    assert (len(clock_doubts(sample)) == 1) == (step is None)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"$BTIM": "10:00:00", "$ETIM": "10:10:00"}, "about 0.1 s a tick"),
        ({"$BTIM": "23:59:30.50", "$ETIM": "00:00:30.50", "$TIMESTEP": "1"}, "runs for 6000 s by $TIMESTEP 1"),
        ({"$BTIM": "10:00:00", "$ETIM": "11:40:00", "$TIMESTEP": "0.08"}, "may be seconds already"),
        ({"$BTIM": "10:00:00", "$ETIM": "10:01:00", "$TIMESTEP": "0.01"}, ""),
        ({"$BTIM": "10:00:00", "$ETIM": "10:00:00", "$TIMESTEP": "1"}, ""),
        ({"$BTIM": "soon", "$ETIM": "later", "$TIMESTEP": "1"}, ""),
    ],
)  # fmt: skip
def test_clock_against_begin_and_end(words, told):
    sample = one(fcs([(float(tick),) for tick in range(0, 6001, 10)], ["Time"], keywords=words))
    found = clock_doubts(sample)
    assert [told in text for text in found] == ([True] if told else [])


def test_a_clock_that_begins_anew():
    ticks = [*range(0, 1024, 2), *range(0, 1024, 2), *range(0, 500, 2)]
    sample = one(fcs([(tick,) for tick in ticks], ["Time"], datatype="I", ranges=[1024], keywords={"TIMETICKS": "100"}))
    assert clock_doubts(sample) == ("the clock falls back to its begin 2 times: Time is not the time since the begin",)
    shuffled = np.random.default_rng(1).permutation(2000).tolist()
    other = one(fcs([(tick,) for tick in shuffled], ["Time"], datatype="I", ranges=[2048], keywords={"TIMETICKS": "9"}))
    assert clock_doubts(other) == ()


def test_ticks_of_cellquest_meet_begin_and_end_in_real_files(outside_data):
    """TIMETICKS as milliseconds: the clock ends within the seconds from $BTIM to $ETIM, which are whole."""
    from immunoprofile.io.clock import wall_seconds
    from immunoprofile.io.fcs import read_fcs

    ratios = []
    for name in ("Data001.fcs", "0877408774.B08", "data1.fcs"):
        path = next((outside_data / "torture_fcs_readers").rglob(name))
        sample = read_fcs(path)
        assert sample.clock.source == "TIMETICKS"
        span = float(np.ptp(sample.events[:, sample.clock.column]))
        ratios.append(span / wall_seconds(sample.keywords))
    assert all(0.85 < ratio <= 1.05 for ratio in ratios), ratios
