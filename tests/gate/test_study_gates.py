"""A study runs with any gates: a workspace with its trees and moved gates, GatingML, names tied to ids."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from immunoprofile import gate
from immunoprofile.errors import GateError
from immunoprofile.gate.data_units import in_data_units
from immunoprofile.gate.study_gates import study_gates
from immunoprofile.io.fcs import read_fcs
from immunoprofile.profiling import profile
from immunoprofile.report.cohort_reconcile import stored_counts
from immunoprofile.report.cohort_view import CohortView
from immunoprofile.report.source import Source
from immunoprofile.study import read_study
from tests.gate.workspaces import axis, boolean, ellipse, group, population, rectangle, sample, workspace
from tests.io.fcs_files import events
from tests.small_study import STUDY_YAML, write_study

LOW = {"S-1_BL": 70_000, "S-1_D14": 80_000, "S-2_BL": 70_000}


def lab_workspace(*, endpoint_name="CD3+ T cells", wrong=0):
    """Moved Lymphocytes at D14; one sample has a population more; names of people; a biex scale and an ellipse."""
    samples = []
    for number, (name, low) in enumerate(LOW.items(), 1):
        below = [population(endpoint_name, rectangle(axis("FITC-A", 500)))]
        below.append(population("CD69+", rectangle(axis("PE-A", 300))))
        if name == "S-2_BL":
            below.append(
                population(
                    "Extra (NK)", rectangle(axis("PE-A", 900)), population("CD69+", rectangle(axis("APC-A", 50)))
                )
            )
        count = int((events(3000, seed=number)[:, 0] >= low).sum()) + wrong
        cells = population("Lymphocytes", rectangle(axis("FSC-A", low)), *below, count=count)
        blob = population(
            "blob", ellipse("FSC-A", "SSC-A", ((100, 60), (140, 60)), ((90, 60), (150, 60), (120, 75), (120, 45)))
        )
        rest = boolean("Not", "Rest", "Lymphocytes")
        samples.append(sample(number, f"{name}.fcs", cells, blob, rest))
    return workspace(*samples, groups=group("Trial 1", 1, 2, 3))


@pytest.fixture
def folder(tmp_path):
    write_study(tmp_path / "study")
    (tmp_path / "study" / "study.yaml").write_text(STUDY_YAML.replace("population: t,", "population: lymphocytes,"))
    (tmp_path / "lab.wsp").write_bytes(lab_workspace())
    return tmp_path


def lowest(strategy: gate.Strategy, population: str) -> float:
    """Lower limit of a range, in the units of the data."""
    limit = strategy[population].dimensions[0]
    assert limit.minimum is not None
    return in_data_units(dict(strategy.scales)[limit.scale], limit.minimum)


def counted(table: pd.DataFrame) -> dict[tuple[str, str], int]:
    return {(row.sample_id, row.gate_path.removeprefix("root/")): row.n for row in table.itertuples()}


def test_a_run_with_a_workspace_counts_as_the_files_alone(folder):
    study = read_study(folder / "study")
    gates = gate.load(folder / "lab.wsp")
    result = profile(study, gates, out=folder / "results")
    found = counted(result.counts)
    for name, low in LOW.items():
        sample_of = read_fcs(folder / "study" / "fcs" / f"{name}.fcs")
        assert found[name, "lymphocytes"] == int((sample_of.values("FSC-A") >= low).sum()), name
    # The same numbers as gating the files without a study, sample by sample and gate by gate
    files = sorted((folder / "study" / "fcs").glob("*.fcs"))
    alone = gate.batch(files, gates)
    by_file = {path.as_posix(): path.stem for path in files}
    numbers = {(by_file[row.file], row.population, row.n) for row in alone.itertuples()}
    assert {(row.sample_id, row.population, row.n) for row in result.counts.itertuples()} == numbers
    # The sample with a population more has it, and the others are not measured
    extra = result.visits[:, result.visits.var["display"] == "Extra (NK)"]
    values = dict(zip(result.visits.obs_names, extra.X[:, 0], strict=True))
    assert np.isfinite(values["S-2_BL"])
    assert np.isnan(values["S-1_BL"])
    # One id at one place, in every tree
    places = result.counts.groupby("gate_path")["population"].nunique()
    assert (places == 1).all()


def test_the_results_keep_gates_of_every_kind(folder):
    study = read_study(folder / "study")
    result = profile(study, gate.load(folder / "lab.wsp"), out=folder / "results")
    assert {path.suffix for path in (folder / "results" / "gating").glob("S-*")} == {".json"}
    again = gate.load(folder / "results" / "gating" / "S-1_D14.json")
    (own,) = again.values()
    assert lowest(own, "lymphocytes") == 80_000
    (whole,) = result.gates.values()
    assert (whole.tube, whole["rest"].kind, whole["blob"].kind) == ("t", "not", "polygon")
    cells = result.cells("lymphocytes", per_visit=None)
    number = counted(result.counts)
    for name in LOW:
        assert (cells.obs["sample_id"] == name).sum() == number[name, "lymphocytes"]


def test_a_mapping_gives_ids(folder):
    (folder / "study" / "study.yaml").write_text(STUDY_YAML)
    study = read_study(folder / "study")
    gates = gate.load(folder / "lab.wsp")
    with pytest.raises(GateError) as caught:
        gate.check(gates, study)
    assert "CD3+ T cells,t" in str(caught.value)
    (folder / "study" / "populations.csv").write_text(
        "tube,source,population\n,CD3+ T cells,t\nt,Extra (NK)/CD69+,nk_cd69\n"
    )
    mapped = study_gates(gates, read_study(folder / "study"))
    assert {"t", "nk_cd69", "lymphocytes"} <= set(mapped["t"].populations)
    assert (mapped["t"]["t"].label, mapped["t"]["lymphocytes"].label) == ("", "Lymphocytes")
    found = mapped.match(read_fcs(folder / "study" / "fcs" / "S-1_D14.fcs"), "t")
    assert lowest(found.strategy, "lymphocytes") == 80_000
    assert found.strategy["t"].parent == "lymphocytes"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("t,CD4+ T cells,cd4", "CD3+ T cells"),
        ("other,Lymphocytes,lymphs", "no tube of study.yaml"),
        ("t,CD69+,nk_cd69", "several places"),
        ("t,CD3+ T cells,T Cells", "no id"),
    ],
)
def test_rows_of_the_mapping_that_cannot_be_followed(folder, row, words):
    (folder / "study" / "populations.csv").write_text(f"tube,source,population\n{row}\n")
    with pytest.raises(GateError) as caught:
        gate.check(gate.load(folder / "lab.wsp"), read_study(folder / "study"))
    assert words in str(caught.value)


def test_the_document_of_a_tube_is_found_by_its_name(folder):
    text = STUDY_YAML.replace("gates: t,", 'gates: "Trial gates.xml",').replace(
        "population: t,", "population: lymphocytes,"
    )
    (folder / "study" / "study.yaml").write_text(text)
    one = gate.Gate("lymphocytes", "root", "rectangle", (gate.Dimension("FSC-A", 70_000.0, None),))
    (folder / "study" / "gating").mkdir()
    gate.save(gate.Strategy("x", (one,)), folder / "study" / "gating" / "Trial gates.xml")
    other = gate.Gate("cells", "root", "rectangle", (gate.Dimension("SSC-A", 1.0, None),))
    gate.save(gate.Strategy("y", (other,)), folder / "study" / "gating" / "other.json")
    found = gate.check(gate.load(folder / "study" / "gating"), read_study(folder / "study"))
    assert found["t"].populations == ("lymphocytes",)


def test_a_folder_takes_one_document_of_a_name(tmp_path):
    strategy = gate.load(gate.shipped_folder())["treg"]
    gate.save(strategy, tmp_path / "treg.xml")
    assert gate.load(tmp_path)["treg"].units == "scale"
    gate.save(strategy, tmp_path / "treg.csv")
    assert gate.load(tmp_path)["treg"] == strategy
    (tmp_path / "nothing").mkdir()
    with pytest.raises(GateError, match="no gates"):
        gate.load(tmp_path / "nothing")


def test_a_workspace_that_knows_no_file_of_a_tube_is_refused(folder):
    (folder / "lab.wsp").write_bytes(
        workspace(sample(1, "a.fcs", population("X", rectangle(axis("Violet-A", 1)))), groups=group("G", 1))
    )
    with pytest.raises(GateError):
        gate.check(gate.load(folder / "lab.wsp"), read_study(folder / "study"))


def test_templates_run_as_before(folder):
    from tests.small_study import write_gates

    (folder / "study" / "study.yaml").write_text(STUDY_YAML)
    write_gates(folder / "study" / "gating")
    result = profile(read_study(folder / "study"), gate.load(folder / "study" / "gating"), out=folder / "results")
    assert sorted(path.name for path in (folder / "results" / "gating" / "templates").iterdir()) == ["t.csv"]
    assert {path.suffix for path in (folder / "results" / "gating").glob("S-*")} == {".xml"}
    assert result.visits.n_obs == 3


@pytest.mark.parametrize(("wrong", "verdict"), [(0, "equal"), (7, "different")])
def test_counts_of_the_workspace_stand_beside_ours(folder, wrong, verdict):
    (folder / "lab.wsp").write_bytes(lab_workspace(wrong=wrong))
    (folder / "study" / "populations.csv").write_text("tube,source,population\n,Lymphocytes,lymphocytes\n")
    study = read_study(folder / "study")
    gates = gate.load(folder / "lab.wsp")
    result = profile(study, gates, out=folder / "results")
    table = result.tables["reconcile"]
    own = table[table["gate_path"] == "Lymphocytes"]
    assert list(own["sample_id"]) == list(LOW)
    assert set(own["verdict"]) == {verdict}
    assert list(own["n_flowjo"] - own["n"]) == [wrong] * 3
    assert set(own["population"]) == {"lymphocytes"}
    # The same as the command that compares a workspace with files
    alone = gate.reconcile(folder / "lab.wsp", folder / "study" / "fcs")
    assert sorted(zip(table["gate_path"], table["verdict"], strict=True)) == sorted(
        zip(alone["gate_path"], alone["verdict"], strict=True)
    )
    shown = stored_counts(CohortView(Source(result)))
    words = " ".join(str(block) for block in shown)
    assert f"3 {verdict}" in words
    assert ("Counts that differ" in words) is True  # populations without a stored count need a look as well
