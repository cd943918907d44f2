"""Values that are on a display scale already: told by what all channels show, or by the range."""

from __future__ import annotations

import numpy as np
import pytest

from immunoprofile import gate
from immunoprofile.gate.evaluate import gate_sample
from immunoprofile.gate.transformed import MIN_EVENTS, ON_A_SCALE, _highest
from immunoprofile.io.fcs import read_fcs, read_fcs_bytes
from tests.io import fcs_bytes

NAMES = ("FSC-A", "FITC-A", "PE-A")
SCALES = {
    "asinh": lambda x: np.arcsinh(x / 150),
    "asinh of mass cytometry": lambda x: np.arcsinh(x / 5),
    "logarithm": lambda x: np.log10(np.maximum(x, 1)),
    "logicle of FlowKit": lambda x: np.arcsinh(x / 150) / 9,
    "logicle of flowCore": lambda x: 4.5 * np.arcsinh(x / 150) / 9,
}


def values(seed=0, n=2000, bright=True):
    rng = np.random.default_rng(seed)
    dim = rng.normal(0, 80, (n, 2))
    if bright:
        dim[: n // 2, 0] = rng.lognormal(9, 0.4, n // 2)
        dim[n // 2 :, 1] = rng.lognormal(8, 0.4, n - n // 2)
    return dim


def told(tmp_path, fluorescence, *, top=262_144, scale=262_144, **words):
    rows = np.c_[np.full(len(fluorescence), 5e4), fluorescence]
    (sample,) = read_fcs_bytes(fcs_bytes.fcs(rows, NAMES, ranges=(262_144, top, top), keywords=words))
    path = tmp_path / "t.csv"
    path.write_text(
        f"# tube: t\n# scales:\n#   bi: {{kind: logicle, T: {scale}, W: 0.5, M: 4.5, A: 0}}\n# default_scale: bi\n"
        "# compensated: false\npopulation,parent,gate,method,dim_1,min_1,max_1\npe,root,rectangle,fixed,PE-A,0.5,\n"
    )
    gated = gate_sample(sample, gate.load(path)["t"], compiled=False)
    return [notice.message for notice in gated.notices if notice.code == "TRANSFORMED"]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SCALES)
def test_values_on_a_scale_are_told(tmp_path, name, seed):
    (message,) = told(tmp_path, SCALES[name](values(seed)))
    assert "look transformed already" in message


def test_linear_values_are_not(tmp_path):
    assert told(tmp_path, values()) == []
    assert told(tmp_path, values(bright=False)) == []


def test_the_word_of_flowcore_is_no_evidence_alone(tmp_path):
    """All real files here that say TRANSFORMATION applied are linear: it means that the amplifiers were undone."""
    assert told(tmp_path, values(), TRANSFORMATION="applied") == []
    (message,) = told(tmp_path, SCALES["asinh"](values()), TRANSFORMATION="applied")
    assert "the file says so" in message
    (message,) = told(tmp_path, values(), TRANSFORMATION="custom")
    assert "custom" in message


def test_a_range_far_below_the_scale(tmp_path):
    """Channel numbers of a display (0 to 1,023) against a scale that ends at 262,144."""
    numbers = 1023 * SCALES["logicle of FlowKit"](np.abs(values()))
    (message,) = told(tmp_path, numbers, top=1024)
    assert "PE-A at 1024" in message
    assert told(tmp_path, numbers, top=1024, scale=10_000) == []
    assert told(tmp_path, values(), top=1024) == []


def test_real_files(outside_data, tmp_path):
    """flowCut's example data are on a scale; its other files, mass cytometry and dim tubes are linear."""
    low = {}
    for folder in ("qc_flowai_flowcut_flowclean", "pbmc_cytof_bodenmiller_labelled", "itn507_multitube"):
        for path in sorted((outside_data / folder).rglob("*.fcs"))[:20]:
            sample = read_fcs(path)
            highest = _highest(sample)
            if highest is not None and sample.n_events >= MIN_EVENTS:
                low[path.name] = highest < ON_A_SCALE
    assert len(low) > 20
    assert {name for name, is_low in low.items() if is_low} == {"flowCut_1.fcs", "flowCut_2.fcs"}
