"""GatingML of Cytobank: names and tailored gates."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from immunoprofile import gate
from immunoprofile.errors import GateError
from immunoprofile.io.fcs import read_fcs
from tests.io.fcs_files import events, write

HEAD = (
    '<?xml version="1.0"?><g:Gating-ML xmlns:g="http://www.isac-net.org/std/Gating-ML/v2.0/gating" '
    'xmlns:d="http://www.isac-net.org/std/Gating-ML/v2.0/datatypes">'
    "<d:custom_info><cytobank><about>Gating-ML 2.0 export of Cytobank</about></cytobank></d:custom_info>"
)


def words(name, *, number="", file=""):
    told = (
        f"<gate_id>{number}</gate_id><fcs_file_filename>{file}</fcs_file_filename>"
        if number
        else "<gate_set_id>1</gate_set_id>"
    )
    return f"<d:custom_info><cytobank><name>{name}</name>{told}</cytobank></d:custom_info>"


def axis(channel, low=None, high=None):
    limits = "".join(f' g:{k}="{v}"' for k, v in (("min", low), ("max", high)) if v is not None)
    return (
        f'<g:dimension g:compensation-ref="uncompensated"{limits}><d:fcs-dimension d:name="{channel}"/></g:dimension>'
    )


def drawn(id_, name, number, *axes, file=""):
    return f'<g:RectangleGate g:id="{id_}">{words(name, number=number, file=file)}{"".join(axes)}</g:RectangleGate>'


def population(id_, name, *refs):
    refs = refs if len(refs) > 1 else refs * 2
    inner = "".join(f'<g:gateReference g:ref="{ref}"/>' for ref in refs)
    return f'<g:BooleanGate g:id="{id_}">{words(name)}<g:and>{inner}</g:and></g:BooleanGate>'


def quadrants(id_, name, number, x, y, *, file=""):
    parts = []
    for where, (left, low) in {"UR": (0, 0), "UL": (1, 0), "LL": (1, 1), "LR": (0, 1)}.items():
        part = f"Gate_{id_}{where}_{base64.b64encode(f'{name} {where}'.encode()).decode().replace('=', '.')}"
        at = (x - 1 if left else x + 1, y - 1 if low else y + 1)
        places = "".join(f'<g:position g:divider_ref="{id_}d{n}" g:location="{v}"/>' for n, v in enumerate(at, 1))
        parts.append((part, f'<g:Quadrant g:id="{part}">{places}</g:Quadrant>'))
    head = f'<g:QuadrantGate g:id="{id_}">{words(name, number=number, file=file)}'
    dividers = "".join(
        f'<g:divider g:id="{id_}d{n}" g:compensation-ref="uncompensated"><d:fcs-dimension d:name="{c}"/>'
        f"<g:value>{v}</g:value></g:divider>"
        for n, (c, v) in enumerate((("FITC-A", x), ("PE-A", y)), 1)
    )
    made = f"{head}{dividers}{''.join(text for _, text in parts)}</g:QuadrantGate>"
    return made, [part for part, _ in parts]


def load(tmp_path, *elements):
    (tmp_path / "c.xml").write_text(f"{HEAD}{''.join(elements)}</g:Gating-ML>")
    (strategy,) = gate.load(tmp_path / "c.xml").values()
    return strategy


def test_names_and_tailored_gates(tmp_path):
    common, parts = quadrants("Gate_7", "tsub", 7, 300, 200)
    own, _ = quadrants("Gate_8", "tsub", 7, 900, 50, file="b.fcs")
    strategy = load(
        tmp_path,
        drawn("Gate_1_x", "CD3+", 1, axis("FSC-A", 90_000)),
        drawn("Gate_2_x", "CD3+", 1, axis("FSC-A", 80_000, 100_000), file="b.fcs"),
        common, own,
        population("GateSet_1", "CD3+", "Gate_1_x"), population("GateSet_2", "CD3+ UR", "Gate_1_x", parts[0]),
    )  # fmt: skip
    labels = {g.label or g.population: g.population for g in strategy.gates}
    assert set(labels) == {"CD3+", "CD3+ UR", "CD3+ (gate)", *(f"tsub {q} (gate)" for q in ("UR", "UL", "LL", "LR"))}
    assert labels["CD3+"] == "cd3_pos"
    assert strategy.custom_samples == ("b.fcs",)
    for name in ("a.fcs", "b.fcs"):
        sample = read_fcs(write(tmp_path / name, events(2000)))
        masks = gate.membership(sample, strategy)
        fsc, fitc, pe = (sample.values(c) for c in ("FSC-A", "FITC-A", "PE-A"))
        moved = name == "b.fcs"
        cells = (fsc >= 80_000) & (fsc < 100_000) if moved else fsc >= 90_000
        x, y = (900, 50) if moved else (300, 200)
        np.testing.assert_array_equal(masks[labels["CD3+"]], cells)
        np.testing.assert_array_equal(masks[labels["tsub LL (gate)"]], (fitc < x) & (pe < y))
        np.testing.assert_array_equal(masks[labels["CD3+ UR"]], cells & (fitc >= x) & (pe >= y))
        assert 0 < masks[labels["CD3+ UR"]].sum() < cells.sum()


def test_tailored_gate_of_another_shape_is_refused(tmp_path):
    with pytest.raises(GateError, match="has other dimensions"):
        load(
            tmp_path,
            drawn("Gate_1", "CD3+", 1, axis("FSC-A", 90_000)),
            drawn("Gate_2", "CD3+", 1, axis("SSC-A", 90_000), file="b.fcs"),
            population("GateSet_1", "CD3+", "Gate_1"),
        )


@pytest.mark.outside_data
def test_names_of_a_real_export(outside_data):
    (strategy,) = gate.load(outside_data / "torture_gatingml_compliance" / "logtGml.xml").values()
    populations = [g.label or g.population for g in strategy.gates if g.kind == "and"]
    assert populations == ["cd3", "tsub UR", "tsub UL", "tsub LL", "tsub LR"]
    assert [g.label for g in strategy.gates if g.kind != "and"] == [
        "cd3 (gate)", "tsub UR (gate)", "tsub UL (gate)", "tsub LL (gate)", "tsub LR (gate)",
    ]  # fmt: skip
