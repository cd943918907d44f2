"""Small versions of the long modes: kills at random moments, second faults, damaged results."""

from __future__ import annotations

import os

import pytest

from tests.faults import damage, kills

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return kills.prepare(tmp_path_factory.mktemp("kills"))


@posix
@pytest.mark.slow
@pytest.mark.parametrize(("number", "fault"), [(1, ""), (2, ""), *enumerate(kills.FAULTS, 3)])
def test_a_killed_run_is_taken_up_to_the_same_bytes(scene, number, fault):
    assert kills.case(scene, number, fault) == "identical"


@posix
@pytest.mark.slow
def test_damaged_results_are_refused_by_name(tmp_path):
    folder = damage.Folder(tmp_path)
    seen = [damage.case(folder, number) for number in range(300)]
    assert set(seen) == {"read", "refused"}
    assert seen.count("refused") > 100
