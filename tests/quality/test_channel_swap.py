"""Channels that changed places are found from their distributions; visits and subjects raise no alarm."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

import immunoprofile as ip
from immunoprofile.datasets import il2_cmv
from immunoprofile.errors import FcsError
from immunoprofile.quality.channel_swap import compare_panels
from tests.io.fcs_files import events, write


@pytest.fixture(scope="module")
def tubes(tmp_path_factory):
    """Samples of the simulated trial: tube -> (subject, sample) over subjects and visits."""
    folder = tmp_path_factory.mktemp("swap") / "demo"
    il2_cmv(folder, subjects=3, events=2000, seed=11)
    study = ip.read_study(folder)
    found = {}
    for row in study.samples[study.samples["role"] == "sample"].itertuples():
        try:
            sample = ip.read_fcs(study.fcs_path(row.sample_id))
        except FcsError:
            continue  # the simulated trial holds one file that is cut off on purpose
        found.setdefault(row.tube_id, []).append((row.usubjid, sample))
    return found


def exchanged(sample, left, right):
    i, j = sample.position(left), sample.position(right)
    values = sample.events.copy()
    values[:, [i, j]] = values[:, [j, i]]
    return replace(sample, events=values)


@pytest.mark.parametrize("tube", ["count", "treg", "effector"])
def test_no_false_alarm_over_visits_and_subjects(tubes, tube):
    pairs = list(itertools.permutations(tubes[tube][:10], 2))
    results = [compare_panels(a, b) for (_, a), (_, b) in pairs]
    assert len(pairs) >= 72
    assert all(result.assessable for result in results)
    assert sum(bool(result.swaps) for result in results) == 0


@pytest.mark.parametrize(
    ("tube", "left", "right"),
    [
        ("count", "CD45", "CD3"), ("count", "CD45", "CD19"), ("count", "CD45", "CD8"),
        ("treg", "CD3", "FoxP3"), ("treg", "CD4", "CD25"), ("treg", "CD25", "CD127"),
        ("effector", "CD3", "CD8"), ("effector", "CD3", "CD56"), ("effector", "HLA-DR", "CD3"),
    ],
)  # fmt: skip
def test_swaps_of_channels_that_differ_are_found(tubes, tube, left, right):
    """Over the later visits of every subject, against that subject's first file."""
    hits = total = 0
    for subject in sorted({subject for subject, _ in tubes[tube]}):
        first, *later = [sample for name, sample in tubes[tube] if name == subject]
        for sample in later:
            found = compare_panels(first, exchanged(sample, left, right))
            total += 1
            hits += any({left, right} <= set(swap.markers) for swap in found.swaps)
    assert total >= 3
    assert hits >= 0.9 * total


def test_most_swaps_of_any_two_channels_are_found(tubes):
    hits = total = 0
    for samples in tubes.values():
        (_, first), (_, second) = samples[:2]
        stained = [c.marker for c in first.channels if c.kind not in ("scatter", "time")]
        for left, right in itertools.combinations(stained, 2):
            total += 1
            hits += any(
                {left, right} <= set(s.markers) for s in compare_panels(first, exchanged(second, left, right)).swaps
            )
    assert total == 15 + 28 + 66
    # What is not found are channels that look alike in the tube, for example two dim ones: named in the docstring.
    assert hits >= 0.7 * total


def test_the_report_names_markers_channels_and_distances(tmp_path):
    data = events(2000)
    data[:, 2] *= 40
    reference = ip.read_fcs(write(tmp_path / "a.fcs", data))
    other = ip.read_fcs(write(tmp_path / "b.fcs", data[:, [0, 1, 3, 2, 4, 5]]))
    result = compare_panels(reference, other)
    (swap,) = result.swaps
    assert swap.markers == ("CD3", "CD56")
    assert swap.channels == ("FITC-A", "PE-A")
    # The same events in exchanged columns: after the exchange nothing is left.
    assert swap.moved == 0.0
    assert swap.share == 1.0
    quantiles = np.linspace(0.01, 0.99, 99)
    by_hand = np.abs(
        np.diff(np.arcsinh(np.quantile(data[:, 2:4].astype(float), quantiles, axis=0) / 150), axis=1)
    ).mean()
    assert swap.own == pytest.approx(by_hand, rel=1e-12)
    assert str(swap).startswith("CD3 <-> CD56: distance")
    assert compare_panels(reference, reference).swaps == ()


def test_a_ring_of_three_is_one_finding(tmp_path):
    data = events(2000)
    data[:, 2] *= 40
    data[:, 3] *= 1500
    reference = ip.read_fcs(write(tmp_path / "a.fcs", data))
    other = ip.read_fcs(write(tmp_path / "b.fcs", data[:, [0, 1, 4, 2, 3, 5]]))
    (swap,) = compare_panels(reference, other).swaps
    assert set(swap.markers) == {"CD3", "CD56", "HLA-DR"}


def test_too_little_is_not_a_pass(tmp_path):
    few = ip.read_fcs(write(tmp_path / "a.fcs", events(100)))
    assert not compare_panels(few, few).assessable
    many = ip.read_fcs(write(tmp_path / "b.fcs", events(600)))
    unlike = ip.read_fcs(write(tmp_path / "c.fcs", events(600), pns=("", "", "CD3", "CD8", "CD4", "")))
    result = compare_panels(many, unlike)
    assert (result.assessable, result.markers) == (False, ("CD3",))
    broken = replace(many, events=np.where(many.events > 1e5, np.nan, many.events))
    broken = replace(broken, events=np.full_like(broken.events, np.nan))
    with pytest.raises(FcsError, match="no numbers"):
        compare_panels(many, broken)
