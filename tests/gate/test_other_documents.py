"""Documents of other programs, and broken ones: told in plain words, with the place and the way out."""

from __future__ import annotations

import re
import zipfile

import pytest

from immunoprofile import gate
from immunoprofile.errors import GateError
from tests.gate import workspaces as w

GATING_ML = (
    '<?xml version="1.0"?>\n<g:Gating-ML xmlns:g="http://www.isac-net.org/std/Gating-ML/v2.0/gating" '
    'xmlns:d="http://www.isac-net.org/std/Gating-ML/v2.0/datatypes">\n'
)
AXIS = '<g:dimension{} g:min="1"><d:fcs-dimension d:name="A"/></g:dimension>'
PLAIN = AXIS.format(' g:compensation-ref="uncompensated"')


@pytest.mark.parametrize(
    ("name", "content", "told", "todo"),
    [
        ("old.xml", '<!DOCTYPE Workspace SYSTEM "FlowJo.dtd">\n<Workspace version="1.61"/>', "FlowJo 9", ".wsp"),
        ("old.wsp", '<?xml version="1.0"?><!-- a --><Workspace version="1.6" curGroup="x"/>', "FlowJo 9", ".wsp"),
        ("win.wsp", '<Workspace version="1.61" flowJoVersion="7.6.5"/>', "FlowJo 7.6.5", ".wsp"),
        ("diva.xml", '<bdfacs version="Version 8.0.1" release_version="1"><experiment/></bdfacs>', "FACSDiva", ".wsp"),
        (
            "old.xml",
            '<g:Gating-ML xmlns:g="http://www.isac-net.org/std/Gating-ML/v1.5/gating"/>',
            "GatingML 1.5",
            "GatingML 2.0",
        ),
        ("a.xml", "FCS3.0         58", "FCS file", "--gates"),
    ],
)
def test_other_programs_are_named_with_the_way_out(tmp_path, name, content, told, todo):
    (tmp_path / name).write_text(content)
    with pytest.raises(GateError, match=re.escape(told)) as refused:
        gate.load(tmp_path / name)
    assert todo in refused.value.todo
    wide = tmp_path / f"wide_{name}"
    wide.write_bytes(content.encode("utf-16"))
    if content.startswith("<"):
        with pytest.raises(GateError, match=re.escape(told)):
            gate.load(wide)


@pytest.mark.parametrize("name", ["a.acs", "a.xml"])
def test_archives(tmp_path, name):
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("x.wsp", "")
    with pytest.raises(GateError, match="is an archive") as refused:
        gate.load(tmp_path / name)
    assert "unpack" in refused.value.todo


@pytest.mark.parametrize("name", ["a.xml", "a.wspt"])
def test_a_workspace_is_one_whatever_it_is_called(tmp_path, name):
    content = w.workspace(w.sample(1, "a.fcs", w.population("size", w.rectangle(w.axis("FSC-A", 5)))))
    (tmp_path / name).write_bytes(content)
    (strategy,) = gate.load(tmp_path / name).values()
    assert strategy.populations == ("size",)


@pytest.mark.parametrize(
    ("faulty", "told"),
    [
        (f'<g:RectangleGate g:id="second">{AXIS.format("")}</g:RectangleGate>', "compensation-ref' is required"),
        ('<g:PolygonGate g:id="second"/>', "Missing child element"),
        (f'<g:RectangleGate g:id="second">{PLAIN.replace("min", "least")}</g:RectangleGate>', "least' is not allowed"),
    ],
)
def test_gates_that_are_no_gatingml_are_named_with_their_line(tmp_path, faulty, told):
    good = f'<g:RectangleGate g:id="first">{PLAIN}</g:RectangleGate>\n'
    (tmp_path / "a.xml").write_text(f"{GATING_ML}{good}\n{faulty}\n</g:Gating-ML>")
    with pytest.raises(GateError) as refused:
        gate.load(tmp_path / "a.xml")
    (problem,) = refused.value.problems[:1]
    assert problem.where == "gate second (line 5)"
    assert told in problem.what
    assert "Error" not in str(refused.value)
    assert "{http" not in str(refused.value)


@pytest.mark.outside_data
def test_gatingml_that_flowjo_exported_without_references(outside_data):
    with pytest.raises(GateError) as refused:
        gate.load(outside_data / "wsp_flowjo_mouse_flowsom" / "manualGating.xml")
    assert refused.value.problems[0].where == "gate ID1152036930 (line 2)"


@pytest.mark.parametrize(
    ("scale", "fault"),
    [
        ('<transforms:log transforms:offset="1">', "its log states no number for decades"),
        (
            '<transforms:biex transforms:length="256" transforms:pos="4">',
            "its biex states no number for neg, width, maxRange",
        ),
        (
            '<transforms:logicle transforms:T="1000" transforms:W="x" transforms:M="4">',
            "its logicle states no number for W, A",
        ),
    ],
)
def test_scales_that_lack_a_setting_are_told_in_plain_words(tmp_path, scale, fault):
    tag = re.match(r"<([\w:]+)", scale)[1]
    scales = w.linear("FSC-A") + f'{scale}<data-type:parameter data-type:name="PE-A"/></{tag}>'
    size = w.population("size", w.rectangle(w.axis("FSC-A", 5)), w.population("dim", w.rectangle(w.axis("PE-A", 5))))
    (tmp_path / "a.wsp").write_bytes(w.workspace(w.sample(1, "a.fcs", size, scales=scales, comp="")))
    gates = gate.load(tmp_path / "a.wsp")
    assert gates["a"].populations == ("size",)
    (problem,) = gates.problems
    assert problem.where == "sample a.fcs, gate size/dim"
    assert fault in problem.what
