"""The ISAC Gating-ML 2.0 compliance set: membership of every event in every gate, against its truth files."""

from __future__ import annotations

import numpy as np
import pytest

from immunoprofile import gate
from immunoprofile.errors import GateError
from immunoprofile.io.fcs import read_fcs

pytestmark = pytest.mark.outside_data

REFUSED = {"gml_range_gate_attr_testing.xml": "element is not expected"}
"""Documents that are not read: this one is made to break the schema."""

WITHOUT_TRUTH = {"myEllipse2", "ParRectangle1"}
"""Gates for which the set has no file of results."""


def test_every_gate_of_the_set(outside_data):
    folder = outside_data / "torture_gatingml_compliance"
    sample = read_fcs(folder / "data1.fcs")
    compared, without = 0, set()
    for document in sorted((folder / "gml").glob("*.xml")):
        if document.name in REFUSED:
            with pytest.raises(GateError, match=REFUSED[document.name]):
                gate.load(document)
            continue
        (strategy,) = gate.load(document).values()
        masks = gate.membership(sample, strategy)
        for one in strategy.gates:
            name = one.label or one.population
            results = folder / "truth" / f"Results_{name}.txt"
            if not results.is_file():
                without.add(name)
                continue
            truth = np.array([int(line) for line in results.read_text().split()], dtype=bool)
            assert truth.shape == (sample.n_events,)
            differing = np.flatnonzero(masks[one.population].to_numpy() != truth)
            assert differing.size == 0, f"{document.name}, gate {name}: {differing.size} events"
            compared += 1
    assert without == WITHOUT_TRUTH
    assert compared == 131


def test_the_set_survives_our_own_documents(outside_data, tmp_path):
    """Load, save as GatingML, load: equal strategies, ellipsoids, quadrants, ratios and matrices included."""
    folder = outside_data / "torture_gatingml_compliance" / "gml"
    for document in sorted(folder.glob("*.xml")):
        if document.name in REFUSED:
            continue
        (strategy,) = gate.load(document).values()
        gate.save(strategy, tmp_path / document.name)
        (again,) = gate.load(tmp_path / document.name).values()
        assert again == strategy, document.name
