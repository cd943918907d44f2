"""The FMO control of a batch is counted in the gates of each sample; without one nothing is known, and that is said."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import immunoprofile as ip
from immunoprofile.pp.rare_populations import rare_table
from immunoprofile.schema import RARE_COLUMNS
from tests.io.fcs_files import events, spill_text, write
from tests.profiling.test_gate_overrides import draw
from tests.small_study import TABLES, write_gates, write_study

BATCHES = {"S-1_BL": "B01", "S-1_D14": "B01", "S-2_BL": "B02"}
FMO = "F_CD3,,,t,fmo,WB_EDTA,2024-03-01T08:00,fcs/F_CD3.fcs,B01,CD3\n"


def folder(out: Path, fmo: str = FMO) -> Path:
    """A study with an FMO control without CD3 in batch B01 and none in B02."""
    head, *rows = TABLES["samples"].splitlines()
    text = head + ",batch_id,fmo_marker\n" + "".join(f"{row},{BATCHES[row.split(',')[0]]},\n" for row in rows)
    study = write_study(out / "study", samples=text + fmo)
    write(study / "fcs" / "F_CD3.fcs", events(800, seed=9), **{"$SPILLOVER": spill_text()})
    write_gates(study / "gating")
    return out


def run(out: Path) -> ip.Profile:
    study = out / "study"
    return ip.profile(ip.read_study(study), ip.gate.load(study / "gating"), out=out / "results")


def test_the_background_is_counted_in_the_gates_of_the_sample(tmp_path: Path) -> None:
    out = folder(tmp_path)
    draw(out, sample="S-1_D14", by=0.1)
    made = run(out)
    table = made.tables["rare_populations"].set_index(["sample_id", "population"])
    assert set(made.tables["rare_populations"].columns) == set(RARE_COLUMNS)
    study, gates = made.study, made.gates
    control = ip.read_fcs(study.fcs_path("F_CD3"))
    for sample, strategy in (
        ("S-1_BL", gates["t"]),
        ("S-1_D14", gates["t"].with_gate(replace(gates.overrides[0].after))),
    ):
        inside = ip.gate.membership(control, replace(gates, strategies=(strategy,), overrides=()))
        row = table.loc[sample, "t"]
        assert (row["background_n"], row["background_n_parent"]) == (inside["t"].sum(), inside["lymphocytes"].sum())
        assert row["background_from"] == "F_CD3"
        assert row["note"] == "without CD3"
        counted = made.counts.set_index(["sample_id", "population"]).loc[sample, "t"]
        expected = rare_table([counted["n"]], [counted["n_parent"]], [row["background_n"]],
                              [row["background_n_parent"]]).iloc[0]  # fmt: skip
        for name in ("p_background", "limit_of_blank", "limit_of_detection", "pct_lower", "pct_upper", "n_upper"):
            assert row[name] == pytest.approx(expected[name], rel=1e-9), name
        assert row["detection"] == expected["detection"]
    first, second = (table.loc[(name, "t"), "background_n"] for name in ("S-1_BL", "S-1_D14"))
    assert first != second  # the gate that was drawn anew holds for the control too
    layer = made.visits.layers["background_counts"]
    assert layer[0, made.visits.var_names.get_loc("t")] == first


def test_without_a_control_nothing_is_measured_and_nothing_is_zero(tmp_path: Path) -> None:
    made = run(folder(tmp_path))
    table = made.tables["rare_populations"].set_index(["sample_id", "population"])
    other_batch, other_side = table.loc["S-2_BL", "t"], table.loc["S-1_BL", "nk"]
    for row in (other_batch, other_side):
        assert row["detection"] == "NO_BACKGROUND"
        assert np.isnan(
            row[["background_n", "limit_of_blank", "limit_of_detection", "p_background"]].astype(float)
        ).all()
    assert other_batch["note"] == "no background measured; no FMO control without CD3 in batch B02"
    assert other_side["note"] == "no background measured; no FMO control without CD56 in batch B01"
    assert table.loc["S-1_BL", "lymphocytes"]["note"].endswith(
        "the brighter events of no marker: no control is a blank of it"
    )


def test_a_control_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    out = folder(tmp_path)
    (out / "study" / "fcs" / "F_CD3.fcs").write_bytes(b"FCS3.1 and no more")
    note = run(out).tables["rare_populations"].set_index(["sample_id", "population"]).loc[("S-1_BL", "t"), "note"]
    assert note.startswith("no background measured; no FMO control without CD3 in batch B01; F_CD3 cannot be used: ")


def test_the_page_lists_populations_below_100_events(tmp_path: Path) -> None:
    made = run(folder(tmp_path))
    made.tables["rare_populations"].loc[:, "n"] = 250.0
    assert "Rare populations" not in ip.report.visit(made, "S-1", "BL").html
    table = made.tables["rare_populations"]
    here = (table["sample_id"] == "S-1_BL") & (table["population"] == "t")
    few = rare_table([12], [4_000], [3], [2_000]).iloc[0]
    for name, value in few.items():
        table.loc[here, name] = value
    page = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", ip.report.visit(made, "S-1", "BL").html))
    part = page[page.index("Rare populations Fewer than 100 events") :]
    assert f" {few['limit_of_detection']:.1f} " in part
    assert "tube t, in Lymphocytes" in part
    for words in (
        "12 of 4,000 6.2 to 21.0 events",
        "Limit of detection, events",
        "n < 30",
        "3 of 2,000 F_CD3",
        "no p ",
    ):
        assert words in part.replace("&lt;", "<"), words
    assert "Rare populations" not in ip.report.visit(made, "S-2", "BL").html
    # A number of a tube that failed is no number here either.
    assert "<s>" not in ip.report.visit(made, "S-1", "BL").html.partition('id="rare-populations"')[2]
    own = (made.quality["usubjid"] == "S-1") & (made.quality["visit"] == "BL") & (made.quality["tube"] == "t")
    made.quality.loc[own, "state"] = "FAIL"
    assert "<s>0.30\xa0%</s> FAIL" in ip.report.visit(made, "S-1", "BL").html.partition('id="rare-populations"')[2]


def test_few_events_out_of_the_visits_object(tmp_path: Path) -> None:
    made = run(folder(tmp_path))
    every = ip.get.rare_populations(made.visits, below=np.inf)
    table = made.tables["rare_populations"].set_index(["usubjid", "visit", "population"])
    both = every.set_index(["usubjid", "visit", "population"])
    assert set(both.index) == set(table.index)
    for name in ("n", "n_parent", "pct_upper", "limit_of_blank", "n_parent_cv15", "p_background"):
        np.testing.assert_allclose(both[name].astype(float), table.loc[both.index, name].astype(float), rtol=1e-12)
    smallest = float(every["n"].min())
    assert (ip.get.rare_populations(made.visits, below=smallest + 1)["n"] <= smallest).all()
    assert ip.get.rare_populations(made.visits, below=smallest).empty
    with pytest.raises(ip.errors.NotAvailableError, match="no population tregs"):
        ip.get.rare_populations(made.visits, populations=["tregs"])
