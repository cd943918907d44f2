"""Channel-to-marker mapping across files with different naming schemes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import immunoprofile as ip
from immunoprofile.errors import GateError, ProblemListError
from immunoprofile.io.panels import channel_labels, harmonise
from tests.io.fcs_files import events, write
from tests.small_study import write_gates


@pytest.fixture(scope="module")
def immport(outside_data):
    return outside_data / "immport_sdy736_sdy420_metacyto"


def test_three_schemes_of_two_studies_are_one(immport):
    """Oracle: the table of antibodies that the authors of MetaCyto made by hand for these files."""
    files = sorted(immport.rglob("*.fcs"))
    # CD8b is the other chain; that it is meant as CD8 here is said by the authors' table, so a person says it here.
    table = harmonise(files, aliases={"CD8b": "CD8"})
    assert sorted(map(len, table.files.values())) == [4, 4, 6]
    assert set(table.shared) == {"CD3", "CD4", "CD8", "CCR7", "CD28"}
    summary = pd.read_csv(immport / "processed_sample_summary.csv")
    assert len(summary) == len(files) == 14
    own_words = {"LIVE": "Viability", "DEAD": "Viability"}
    for row in summary.itertuples():
        expected = {own_words.get(name, name) for name in row.antibodies.split("|")} - {"SAMPLE_ID"}
        found = table.of_file(row.fcs_names)
        assert {m.upper().replace("-", "") for m in found.values()} == {m.upper().replace("-", "") for m in expected}
    # The same marker on other channels: CD3 by its three names.
    assert set(table.markers.loc["CD3"]) == {"(Nd150)Dd", "APC-Cy7-A", "Alexa Fluor 700-A"}
    assert table.markers.loc["CD25"].tolist().count("") == 2


def test_another_chain_is_not_taken_for_cd8_unless_said(immport):
    table = harmonise(sorted(immport.rglob("*.fcs")))
    assert "CD8" not in table.shared
    assert {"CD8", "CD8b"} <= set(table.markers.index)


def test_order_of_channels_does_not_make_a_panel(immport):
    files = sorted((immport / "SDY736").rglob("*.fcs"))
    assert harmonise(files).files.keys() == harmonise(files[::-1]).files.keys() == {1, 2}


def test_ambiguity_is_an_error_with_candidates(tmp_path):
    good = write(tmp_path / "a.fcs", events(5))
    bad = write(tmp_path / "b.fcs", events(5), pns=("", "", "CD3 FITC", "CD56", "cd-3", ""))
    with pytest.raises(ProblemListError, match=r"b\.fcs: marker CD3 is ambiguous.*FITC-A \(CD3 FITC\), APC-A \(cd-3\)"):
        harmonise([good, bad])
    with pytest.raises(ProblemListError, match="file is missing"):
        harmonise([good, tmp_path / "none.fcs"])


def test_samples_and_files_give_the_same(tmp_path):
    path = write(tmp_path / "a.fcs", events(5))
    sample = ip.read_fcs(path)
    pd.testing.assert_frame_equal(harmonise([sample]).channels, harmonise([path]).channels)
    assert channel_labels(path) == sample.labels
    with pytest.raises(KeyError):
        harmonise([sample]).of_file("other.fcs")


def test_templates_find_vendor_spellings_and_refuse_two(tmp_path):
    gates = ip.gate.load(write_gates_folder(tmp_path))
    spelled = ip.read_fcs(write(tmp_path / "a.fcs", events(500), pns=("", "", "CD3 FITC", "PE CD56", "CD38 APC", "")))
    assert ip.gate.membership(spelled, gates)["t"].any()
    twice = ip.read_fcs(write(tmp_path / "b.fcs", events(500), pns=("", "", "CD3 FITC", "PE CD56", "Human CD3", "")))
    # The channel that the template states settles it; without one the two are refused
    np.testing.assert_array_equal(ip.gate.membership(twice, gates)["t"], ip.gate.membership(spelled, gates)["t"])
    unstated = replace(gates["t"], channels=())
    with pytest.raises(GateError, match=r"CD3 is ambiguous.*FITC-A, APC-A"):
        ip.gate.membership(twice, unstated)


def write_gates_folder(tmp_path):
    write_gates(tmp_path / "gates")
    return tmp_path / "gates"
