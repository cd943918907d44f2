"""Real files through the whole walk: four kidney-transplant patients, three tubes each, run by the command line.

The files (Immune Tolerance Network, FACSCanto) carry no spillover keyword; whether they were compensated before they
were exported is not known, so nothing is applied and the report has to say so. Every tube has its own template, since
the same marker sits in another channel of another tube.

Measured with the gates below (per cent of the parent, tubes 2 / 5 / 6):

=========  ==================  ==================  ===========
patient    t of lymphocytes    cd8 of t            cd4 of t
=========  ==================  ==================  ===========
01027      54.8 / 56.5 / 53.7  27.3 / 26.5 / 26.6  64.0 / 64.7
02050      81.2 / 79.9 / 81.0  37.4 / 37.9 / 34.8  52.0 / 53.0
02057      27.3 / 23.2 / 23.5  45.3 / 55.2 / 55.5  44.8 / 39.6
04030      70.6 / 69.8 / 71.5  30.9 / 33.1 / 33.3  49.8 / 48.8
=========  ==================  ==================  ===========

Patient 02057 has 180 to 200 T cells a tube; one binomial standard error of a difference is about 5 points there.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import immunoprofile as ip
from immunoprofile.cli import app
from immunoprofile.report.source import Source
from tests.label_geometry import collisions_of_study
from tests.pages_in_browser import chromium, problems

PATIENTS = ("01027", "02050", "02057", "04030")
SEEN_BY = {"t": ("tube2", "tube5", "tube6"), "cd8": ("tube2", "tube5", "tube6"), "cd4": ("tube2", "tube6")}
MEASURED = {  # (population, patient) -> per cent of the parent in the tubes of SEEN_BY
    ("t", "01027"): (54.8, 56.5, 53.7), ("t", "02050"): (81.2, 79.9, 81.0),
    ("t", "02057"): (27.3, 23.2, 23.5), ("t", "04030"): (70.6, 69.8, 71.5),
    ("cd8", "01027"): (27.3, 26.5, 26.6), ("cd8", "02050"): (37.4, 37.9, 34.8),
    ("cd8", "02057"): (45.3, 55.2, 55.5), ("cd8", "04030"): (30.9, 33.1, 33.3),
    ("cd4", "01027"): (64.0, 64.7), ("cd4", "02050"): (52.0, 53.0),
    ("cd4", "02057"): (44.8, 39.6), ("cd4", "04030"): (49.8, 48.8),
}  # fmt: skip

STUDY_YAML = """\
study_id: ITN507
title: Kidney-transplant patients, three tubes each
arms:
  - {code: TX, label: Kidney transplant}
reference_arm: TX
visits:
  - {visit: V1, visitnum: 1, day: 1, baseline: true}
primary_visit: V1
endpoints:
  - {population: cd4_cd25, label: CD25+ of CD4, primary: true}
  - {population: nk, label: NK cells}
  - {population: cd8, label: CD8 T cells}
tubes:
  tube2: {panel: ITN-2, gates: tube2}
  tube5: {panel: ITN-5, gates: tube5}
  tube6: {panel: ITN-6, gates: tube6}
reporting_tube: {lymphocytes: tube6, t: tube6, cd4: tube6, cd8: tube6}
"""

HEADER = """\
# tube: {tube}
# version: "1"
# instrument: FACSCanto, four decades
# scales:
#   asinh: {{kind: asinh, T: 10000, M: 3, A: 0.5}}
# default_scale: asinh
population,parent,gate,dim_1,min_1,max_1,dim_2,min_2,max_2,dim_3,min_3,max_3
lymphocytes,root,rectangle,FSC-A,,650,SSC-A,,350,,,
t,lymphocytes,rectangle,CD3,{cd3},,SSC-A,,,,,
"""


def asinh(value: float) -> float:
    """A linear intensity on the scale of the templates."""
    scale = ip.gate.Scale("asinh", (("T", 10000.0), ("M", 3.0), ("A", 0.5)))
    return float(scale.apply(np.array([value]))[0])


def templates(folder: Path) -> Path:
    folder.mkdir()
    cd3, cd4, cd25, cd56, cd14 = (asinh(value) for value in (35, 50, 20, 30, 100))
    cd8 = {"tube2": asinh(45), "tube5": asinh(60), "tube6": asinh(45)}
    for tube in ("tube2", "tube5", "tube6"):
        rows = [f"cd8,t,rectangle,CD8,{cd8[tube]},,CD3,,,,,"]
        if tube != "tube5":
            rows.append(f"cd4,t,rectangle,CD4,{cd4},,CD8,,{cd8[tube]},,,")
        if tube == "tube2":
            rows.append(f"cd4_cd25,cd4,rectangle,CD25,{cd25},,CD4,,,,,")
        if tube == "tube5":
            rows.append(f"nk,lymphocytes,rectangle,CD3,,{cd3},CD56,{cd56},,CD14,,{cd14}")
        (folder / f"{tube}.csv").write_text(HEADER.format(tube=tube, cd3=cd3) + "\n".join(rows) + "\n")
    return folder


def study(folder: Path, source: Path) -> Path:
    """A study folder around the files; they are linked or copied below it, since paths never leave a study."""
    (folder / "fcs").mkdir(parents=True)
    (folder / "study.yaml").write_text(STUDY_YAML)
    samples = ["sample_id,usubjid,visit,tube_id,role,specimen_type,collected_dtc,fcs_path"]
    for patient, number in itertools.product(PATIENTS, (2, 5, 6)):
        name = f"pid{patient}_tube{number}.fcs"
        (folder / "fcs" / name).write_bytes((source / name).read_bytes())
        samples.append(f"{patient}_tube{number},ITN-{patient},V1,tube{number},sample,WB_EDTA,2005-07-14,fcs/{name}")
    (folder / "samples.csv").write_text("\n".join(samples) + "\n")
    (folder / "subjects.csv").write_text("usubjid,arm\n" + "".join(f"ITN-{p},TX\n" for p in PATIENTS))
    (folder / "visits.csv").write_text(
        "usubjid,visit,start_dtc,occurred\n" + "".join(f"ITN-{p},V1,2005-07-14,Y\n" for p in PATIENTS)
    )
    return folder


@pytest.fixture(scope="module")
def results(tmp_path_factory, outside_data) -> Path:
    folder = tmp_path_factory.mktemp("itn")
    source = outside_data / "itn507_multitube" / "multitube"
    arguments = [
        "run", str(study(folder / "study", source)), "--out", str(folder / "results"),
        "--gates", str(templates(folder / "gates")), "--quiet",
    ]  # fmt: skip
    outcome = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return folder / "results"


def test_three_tubes_merge_into_one_visit_row(results):
    visits = anndata.read_h5ad(results / "visits.h5ad")
    assert visits.obs_names.tolist() == [f"ITN-{patient}_V1" for patient in PATIENTS]
    tubes = visits.var["tube"]
    assert tubes[["cd4_cd25", "nk", "cd8", "cd4", "t"]].tolist() == ["tube2", "tube5", "tube6", "tube6", "tube6"]
    assert not np.isnan(visits[:, ["cd4_cd25", "nk", "cd8"]].X).any()
    # No beads and no blood count: cells/uL are missing, not zero.
    assert np.isnan(visits.layers["abs"]).all()
    assert (visits.obs["abs_method"] == "none").all()


@pytest.mark.parametrize(("population", "patient"), MEASURED)
def test_tubes_of_a_patient_agree(results, population, patient):
    counts = pd.read_csv(results / "counts.csv").set_index(["sample_id", "population"])
    seen = [counts.loc[(f"{patient}_{tube}", population)] for tube in SEEN_BY[population]]
    assert [row["pct_parent"] for row in seen] == pytest.approx(MEASURED[population, patient], abs=0.06)
    for one, other in itertools.combinations(seen, 2):
        errors = [row["pct_parent"] * (100 - row["pct_parent"]) / row["n_parent"] for row in (one, other)]
        allowed = max(5.0, 3 * float(np.sqrt(sum(errors))))
        assert abs(one["pct_parent"] - other["pct_parent"]) <= allowed


def test_report_says_that_nothing_was_compensated(results):
    profile = ip.read_results(results)
    assert set(profile.provenance["compensation"].values()) == {"none"}
    assert profile.visits.obs["flags"].str.contains("COMP_NONE").all()
    page = (results / "reports" / "ITN-02057" / "V1.html").read_text(encoding="utf-8")
    assert "compensation" in page.casefold()
    assert "none" in page
    assert (results / "reports" / "cohort.html").is_file()


def test_pages_fit_screens_and_paper_and_are_accessible(results):
    with chromium() as browser:
        for name in ("ITN-01027/V1.html", "ITN-02057/V1.html", "cohort.html"):
            assert problems(browser, results / "reports" / name) == []


def test_no_label_of_any_gating_plot_lies_on_a_gate_or_a_label(results):
    found, plots = collisions_of_study(Source(ip.read_results(results)))
    assert found == []
    assert plots >= 4 * 8
