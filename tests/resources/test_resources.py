"""The shipped tables: names, Cell Ontology ids, reference ranges."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import yaml

from immunoprofile import resources
from immunoprofile.errors import NotAvailableError
from immunoprofile.resources import load_yaml, populations, reference_flag, reference_ranges
from immunoprofile.schema import POPULATION_ID


def test_populations_are_well_formed() -> None:
    known = populations()
    for name, population in known.items():
        assert re.fullmatch(POPULATION_ID, name)
        assert population.display
        assert population.marker_string
        assert not population.parent or population.parent in known
        assert bool(population.cl_id) == (population.cl_match != "none") == bool(population.cl_label)
        assert not population.cl_id or re.fullmatch(r"CL:\d{7}", population.cl_id)
    assert known["treg"].cl_id == "CL:0000792"
    assert known["nkt_like"].cl_match == "broad"
    assert {"beads", "beads_in_time", "time_ok", "cells"} <= {name for name, item in known.items() if item.technical}


def test_reference_ranges_of_chng() -> None:
    table = reference_ranges("chng2004")
    assert (table["low"] < table["high"]).all()
    known = table["median"].notna()
    assert table.loc[known, "median"].between(table.loc[known, "low"], table.loc[known, "high"]).all()
    row = table[(table["population"] == "cd4") & (table["measure"] == "abs") & (table["sex"] == "F")].iloc[0]
    assert row[["n", "median", "low", "high"]].tolist() == [128, 813, 399, 1489]
    # fewer than 120 reference subjects are orientation only
    assert set(table.loc[table["n"] < 120, "orientation"]) == {True}
    assert set(table.loc[table["population"] == "treg", "orientation"]) == {True}


def test_unknown_table_names_the_known_ones() -> None:
    with pytest.raises(NotAvailableError, match="chng2004"):
        reference_ranges("ours")


def test_reference_flag() -> None:
    assert [reference_flag(value, 2, 5, orientation=False) for value in (1.9, 2, 5, 5.1, math.nan)] == [
        "LOW", "NORMAL", "NORMAL", "HIGH", "NA",
    ]  # fmt: skip
    assert reference_flag(1, 2, 5, orientation=True) == "NA"
    assert reference_flag(1, math.nan, 5, orientation=False) == "NA"


def test_a_resource_is_read_once_and_no_caller_changes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_yaml("quality_checks.yaml")
    assert before is not load_yaml("quality_checks.yaml")
    before["checks"]["lymphosum"]["pass"][0] = -1
    del before["checks"]["t_sum"]
    again = load_yaml("quality_checks.yaml")
    assert again["checks"]["lymphosum"]["pass"] == [95, 105]
    assert "t_sum" in again["checks"]

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("parsed again")

    monkeypatch.setattr("immunoprofile.resources.yaml.load", refuse)
    assert load_yaml("quality_checks.yaml") == again
    with pytest.raises(NotAvailableError, match="no resource"):
        load_yaml("ours.yaml")


def test_both_readers_of_yaml_give_the_same() -> None:
    for path in sorted(Path(resources.__file__).parent.glob("*.yaml")):
        assert yaml.safe_load(path.read_text(encoding="utf-8")) == load_yaml(path.name), path.name
