"""One limit or corner moved in data units."""

from __future__ import annotations

import numpy as np
import pytest

from immunoprofile import gate
from immunoprofile.errors import GateError
from immunoprofile.gate import GateSet, gate_sample
from immunoprofile.gate.data_units import in_data_units
from tests.widget.files import LOGICLE, sample, strategy


def test_limit_in_data_units_cuts_at_that_intensity() -> None:
    changed = gate.change(strategy(), "cd3", limits={"CD3": (1000, None)}, note="new lot")
    assert in_data_units(LOGICLE, changed["cd3"].dimensions[0].minimum) == 1000.0
    assert changed["cd3"].note == "new lot"
    gated = gate_sample(sample(), changed)
    column = [c.marker for c in gated.sample.channels].index("CD3")
    expected = gated.mask("lymph") & (gated.compensated[:, column] >= 1000.0)
    assert gated.n("cd3") == int(np.count_nonzero(expected)) > 0
    assert strategy()["cd3"] != changed["cd3"], "the strategy itself stays as it is"


def test_corner_in_data_units_leaves_the_others_as_they_are() -> None:
    both = GateSet((strategy(),))
    changed = gate.change(both, "treg/treg", corners={2: (500, 1500)})["treg"]["treg"]
    before = strategy()["treg"]
    assert np.array(changed.vertices[2:]).tobytes() == np.array(before.vertices[2:]).tobytes()
    assert [in_data_units(LOGICLE, place) for place in changed.vertices[1]] == [500.0, 1500.0]
    assert gate.change(both, "treg", corners={1: (400, 20)})["treg"]["treg"].vertices[1] == before.vertices[1]


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(GateError, match=r"no such axis(.|\n)*no such axis"):
        gate.change(strategy(), "box", limits={"CD99": (1, 2), "CD98": (1, 2)})
    with pytest.raises(GateError, match="1 to 5"):
        gate.change(strategy(), "treg", corners={6: (1, 2)})
    with pytest.raises(GateError, match="has no limits"):
        gate.change(strategy(), "treg", limits={"CD25": (1, None)})
    with pytest.raises(GateError, match="not below its maximum"):
        gate.change(strategy(), "middle", limits={"CD4": (2000, 1000)})
    with pytest.raises(GateError, match="there is no such gate"):
        gate.change(GateSet((strategy(),)), "treg/nobody", limits={"CD4": (1, 2)})
    with pytest.raises(GateError, match="says what to move"):
        gate.change(strategy(), "treg")


def test_counts_before_and_after() -> None:
    changed = gate.change(strategy(), "cd3", limits={"CD3": (3000, None)})
    table = gate.counts_before_after([sample()], strategy(), changed).set_index("population")
    old, new = gate_sample(sample(), strategy()), gate_sample(sample(), changed)
    for name in ("lymph", "cd3", "treg", "deep"):
        assert table.loc[name, ["n_before", "n_after"]].tolist() == [old.n(name), new.n(name)]
    assert table.loc["lymph", "difference"] == 0 and table.loc["cd3", "difference"] < 0
