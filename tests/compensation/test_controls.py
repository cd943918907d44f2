"""Spillover from single-stained controls, against the simulator's truth and the reference matrices of real controls."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from immunoprofile.compensation import check, from_controls, read_spillover
from immunoprofile.compensation.controls import huber, positive_threshold
from immunoprofile.datasets import panels
from immunoprofile.errors import CompensationError, FcsError
from immunoprofile.io.fcs import Sample, read_fcs
from tests.compensation.samples import sample_of, single_stains

FOLDER = "comp_controls_conventional"
REAL = {
    "7-AAD-A": "7AAD", "Alexa Fluor 700-A": "AF700", "APC-Cy7-A": "APC-Cy7", "Alexa Fluor 647-A": "APC",
    "Alexa Fluor 488-A": "FITC", "PE-A": "PE",
}  # fmt: skip


@pytest.mark.parametrize("method", ["median", "regression"])
@pytest.mark.parametrize("tube", list(panels.PANELS))
def test_the_true_spillover_of_the_simulator_is_recovered(tube: str, method: str) -> None:
    panel = panels.PANELS[tube]
    found = from_controls(single_stains(tube), method=method)  # type: ignore[arg-type]
    assert found.channels == panel.pnn
    assert found.source == f"controls ({method})"
    # seen: 0.002 for medians, 0.001 for the regression
    assert np.abs(found.matrix - panel.spillover).max() < 0.01
    assert all(finding.state != "FAIL" for finding in check(found))


def test_controls_can_be_named_by_marker_and_detectors_without_control_get_the_identity() -> None:
    panel = panels.PANELS["count"]
    stains = single_stains("count")
    some = {key: stains[key] for key in ("FITC-A", "PE-A")}
    found = from_controls(some, channels=panel.pnn)
    assert np.array_equal(found.matrix[2:], np.eye(6)[2:])
    assert np.abs(found.matrix[:2] - panel.spillover[:2]).max() < 0.01
    channels = [replace(c, marker="CD3") if c.pnn == "FITC-A" else c for c in stains["FITC-A"].channels]
    named = from_controls({"CD3": replace(stains["FITC-A"], channels=tuple(channels)), "PE-A": stains["PE-A"]})
    assert named.channels == ("FITC-A", "PE-A")


@pytest.fixture(scope="module")
def real(outside_data: Path) -> tuple[dict[str, Sample], Sample]:
    folder = outside_data / FOLDER / "Compensation"
    controls = {channel: read_fcs(folder / f"Compensation-{name}.fcs") for channel, name in REAL.items()}
    return controls, read_fcs(folder / "Compensation-Unstained.fcs")


# Rows: the six dyes that have a control; the other five rows of the reference are the identity and stay it.
# Gating: ours (densest scatter, above 99.5 % of the unstained control, brighter half) against gates drawn by hand that
# are not published, "universal" = unstained control as background. Tolerance: bright stains of one kind of cell agree
# to 0.02 whatever the gate; 7-AAD marks dead cells (1-2 % of the events here) and APC-Cy7 is dim, so that their rows
# hold the autofluorescence of the cells that were gated (largest in Qdot 605). The two references differ by 0.04.
# Seen: .004, .007, .008, .012, .044, .055.
MEDIAN = {
    "Alexa Fluor 488-A": 0.01, "PE-A": 0.01, "Alexa Fluor 647-A": 0.015, "Alexa Fluor 700-A": 0.02,
    "APC-Cy7-A": 0.06, "7-AAD-A": 0.07,
}  # fmt: skip


@pytest.mark.outside_data
def test_medians_of_real_controls(real: tuple[dict[str, Sample], Sample], outside_data: Path) -> None:
    reference = read_spillover(outside_data / FOLDER / "Reference-Universal-Spillover-Matrix.csv")
    controls, unstained = real
    found = from_controls(controls, unstained=unstained, channels=reference.channels)
    distance = np.abs(found.matrix - reference.matrix).max(axis=1)
    for channel, tolerance in MEDIAN.items():
        assert distance[found.channels.index(channel)] < tolerance, channel
    # rows without control are the identity in the reference, too
    assert all(distance[i] == 0 for i, channel in enumerate(found.channels) if channel not in REAL)
    # the reference keeps small negative medians, the method of the specification does not
    assert found.matrix.min() == 0
    assert reference.matrix.min() < 0


@pytest.mark.outside_data
def test_regression_of_real_controls(real: tuple[dict[str, Sample], Sample], outside_data: Path) -> None:
    """Only the bright dyes: the method differs from medians by up to 0.07 where cells differ in autofluorescence."""
    reference = read_spillover(outside_data / FOLDER / "Reference-Universal-Spillover-Matrix.csv")
    controls, unstained = real
    bright = {name: controls[name] for name in ("Alexa Fluor 488-A", "PE-A", "Alexa Fluor 647-A", "Alexa Fluor 700-A")}
    found = from_controls(bright, unstained=unstained, method="regression", channels=reference.channels)
    for channel in bright:
        row = found.channels.index(channel)
        assert np.abs(found.matrix[row] - reference.matrix[row]).max() < 0.02, channel


def test_an_own_gate_replaces_the_scatter_gate() -> None:
    stains = single_stains("count")
    half = {key: np.arange(sample.n_events) % 2 == 0 for key, sample in stains.items()}
    found = from_controls(stains, gates=half)
    assert np.abs(found.matrix - panels.PANELS["count"].spillover).max() < 0.01
    with pytest.raises(CompensationError, match="the gate has 3 values"):
        from_controls(stains, gates={"FITC-A": np.ones(3, dtype=bool)})


def test_what_cannot_be_computed_is_refused() -> None:
    stains = single_stains("count", 1000)
    names = panels.PANELS["count"].channel_names
    with pytest.raises(CompensationError, match="no controls"):
        from_controls({})
    with pytest.raises(CompensationError, match="no method"):
        from_controls(stains, method="mode")  # type: ignore[arg-type]
    with pytest.raises(FcsError, match="no channel carries"):
        from_controls({"BUV395-A": stains["PE-A"]})
    with pytest.raises(CompensationError, match="not asked for"):
        from_controls(stains, channels=("PE-A",))
    with pytest.raises(CompensationError, match="brighter in another detector"):
        from_controls({"FITC-A": stains["APC-A"], "APC-A": stains["FITC-A"]})
    with pytest.raises(CompensationError, match="usable events"):
        from_controls({"PE-A": sample_of(names, stains["PE-A"].events[:150])})
    other = stains["PE-A"].events.copy()
    other[:, 0] *= 4
    with pytest.raises(CompensationError, match="look like the stained ones"):
        from_controls({"PE-A": stains["PE-A"]}, unstained=sample_of(names, other))


def test_huber_is_the_line_without_its_outliers() -> None:
    x = np.linspace(0, 100, 400)
    y = np.column_stack([3 + 0.5 * x, -1 - 2 * x])
    y[::20] += 500
    intercept, slope = huber(x, y)
    assert slope == pytest.approx([0.5, -2], abs=1e-3)
    assert intercept == pytest.approx([3, -1], abs=0.1)


def test_huber_agrees_with_statsmodels() -> None:
    import statsmodels.api as sm

    rng = np.random.default_rng(5)
    x = rng.uniform(0, 1000, 800)
    y = 20 + 0.3 * x + rng.standard_t(2, 800) * 10
    expected = sm.RLM(y, sm.add_constant(x), sm.robust.norms.HuberT(1.345)).fit().params
    intercept, slope = huber(x, y[:, None])
    # statsmodels centres the MAD by an iteration of its own
    assert slope[0] == pytest.approx(expected[1], rel=2e-3)
    assert intercept[0] == pytest.approx(expected[0], abs=0.5)


def test_threshold_lies_between_two_groups() -> None:
    values = np.concatenate([np.linspace(-50, 150, 1000), np.linspace(8000, 12_000, 200)])
    assert 150 <= positive_threshold(values) <= 8000
    assert positive_threshold(values, np.full(100, 9000.0)) == 9000
