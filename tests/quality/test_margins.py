"""Margins: only the true rails of the detector; the reference's rule on request."""

from __future__ import annotations

import numpy as np
import pytest

from immunoprofile.io.fcs import Channel, Sample, read_fcs
from immunoprofile.quality import margins


def sample(values: list[float], *, datatype: str = "F", **channel: float) -> Sample:
    fields = {"pnr": 1024.0, **channel}
    return Sample("m.fcs", np.array(values)[:, None], (Channel("A", "", "A", **fields),), {"datatype": datatype})


@pytest.mark.outside_data
def test_reference_rule_keeps_9619(outside_data):
    """Spec 1.2: file 111.fcs, channels 1, 3, 5-14, 18, 21."""
    file = read_fcs(outside_data / "qc_peacoqc_111" / "111.fcs")
    names = [file.channels[number - 1].pnn for number in (1, 3, *range(5, 15), 18, 21)]
    assert int(np.sum(~margins(file, names, rails="reference").bad_events)) == 9619
    own = margins(file, names)
    saturated = (file.events[:, [names_at(file, name) for name in names]] >= 262143).any(axis=1)
    np.testing.assert_array_equal(own.bad_events, saturated)


def names_at(file: Sample, name: str) -> int:
    return [channel.pnn for channel in file.channels].index(name)


def test_float_file_has_no_lower_rail_and_keeps_its_extremes():
    found = margins(sample([-200.0, 0.0, 5.0, 1022.9]))
    assert not found.bad_events.any()
    assert np.isnan(found.lower[0]) and found.upper[0] == 1023


def test_integer_file_has_both():
    found = margins(sample([0.0, 5.0, 1023.0], datatype="I"))
    assert found.bad_events.tolist() == [True, False, True]
    assert (found.low.tolist(), found.high.tolist()) == ([1], [1])


def test_rails_follow_gain_and_logarithm():
    assert margins(sample([1.0], gain=4.0)).upper[0] == pytest.approx(1023 / 4)
    logarithmic = margins(sample([1.0, 50.0, 10 ** (4 * 1023 / 1024)], datatype="I", decades=4.0, log0=1.0))
    assert logarithmic.bad_events.tolist() == [True, False, True]


def test_range_that_the_values_leave_far_behind_is_no_rail():
    found = margins(sample([10.0, 5000.0, 9000.0]))
    assert np.isnan(found.upper[0]) and not found.bad_events.any()


def test_unknown_channel_is_named():
    with pytest.raises(KeyError, match="no channel B"):
        margins(sample([1.0]), ["B"])
