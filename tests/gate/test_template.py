"""Templates: the shipped ones, round trips, and problems told all at once."""

from __future__ import annotations

import numpy as np
import pytest

from immunoprofile import gate
from immunoprofile.errors import GateError
from immunoprofile.gate.template import read_template, write_template

TUBES = ("count", "effector", "treg")


@pytest.fixture(scope="module")
def shipped():
    return gate.load(gate.shipped_folder())


def test_shipped_templates_cover_the_tubes(shipped):
    assert tuple(shipped) == TUBES
    assert shipped["count"].beads in shipped["count"]
    for population in ("b", "t", "cd4", "cd8", "nk", "lymphocytes", "leukocytes", "singlets", "time_ok", "beads"):
        assert population in shipped["count"]
    for population in ("live", "treg", "treg_naive", "treg_mem", "treg_foxp3", "tconv"):
        assert population in shipped["treg"]
    effector = ("nk_bright", "nk_dim", "nkt_like", "cd8_act", "cd8_naive", "cd8_cm", "cd8_em", "cd8_temra")
    for population in effector:
        assert population in shipped["effector"]


@pytest.mark.parametrize("tube", TUBES)
def test_template_round_trip(shipped, tube, tmp_path):
    write_template(shipped[tube], tmp_path / f"{tube}.csv")
    assert read_template(tmp_path / f"{tube}.csv") == shipped[tube]


@pytest.mark.parametrize("tube", TUBES)
def test_shipped_gatingml_says_the_same_as_the_template(shipped, tube, tmp_path):
    """The .xml beside each template is the export of the template, and re-reads to the same gates."""
    from immunoprofile.gate.binding import rename
    from immunoprofile.gate.gatingml import meaning

    stored = gate.load(gate.shipped_folder() / f"{tube}.xml")[tube]
    named = rename(shipped[tube], dict(shipped[tube].channels))
    assert meaning(stored) == meaning(named)


def test_strategy_hash_is_the_meaning(shipped):
    from dataclasses import replace

    strategy = shipped["treg"]
    treg = strategy["treg"]
    assert strategy.with_gate(replace(treg, note="another remark")).sha256 == strategy.sha256
    moved = tuple((x + 0.01, y) for x, y in treg.vertices)
    assert strategy.with_gate(replace(treg, vertices=moved)).sha256 != strategy.sha256


TEMPLATE = """# tube: t
# scales: {logicle: {kind: logicle, T: 262144, W: 0.5, M: 4.5, A: 0}}
# default_scale: logicle
population,parent,gate,method,dim_1,min_1,max_1,dim_2,min_2,max_2,operands
lymphocytes,root,rectangle,fixed,SSC-A,,60000,,,,
t,lymphocytes,rectangle,fixed,CD3,0.5,,,,,
not_t,lymphocytes,not,fixed,,,,,,,t
"""


def write(tmp_path, text, name="t.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_small_template(tmp_path):
    strategy = read_template(write(tmp_path, TEMPLATE))
    assert strategy.path("t") == ("root", "lymphocytes")
    assert strategy["t"].dimensions[0].scale == "logicle"
    assert strategy["t"].dimensions[0].compensated
    assert strategy["lymphocytes"].dimensions[0].scale is None


def test_all_problems_of_a_template_at_once(tmp_path):
    text = TEMPLATE.replace("t,lymphocytes,rectangle,fixed,CD3,0.5", "T+,lymphocytes,circle,magic,CD3,half")
    with pytest.raises(GateError) as caught:
        read_template(write(tmp_path, text))
    told = str(caught.value)
    for part in ("not a valid population id", "unknown gate", "unknown method", "not a number"):
        assert part in told
    assert {problem.row for problem in caught.value.problems} == {2}


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("t,lymphocytes,rect", "t,lymph,rect", "its parent is unknown"),
        ("lymphocytes,root", "lymphocytes,t", "its parent comes later, or the gates form a cycle"),
        (",,,,,,,t\n", ",,,,,,,nk\n", "an operand is not a population above it"),
        (",,,,,,,t\n", ",,,,,,,lymphocytes\n", "an operand is its parent"),
        ("CD3,0.5,", "CD3,0.5,0.4", "is not below its maximum"),
        ("CD3,0.5,", "CD3,,", "needs at least one limit"),
        ("not_t,lymphocytes", "t,lymphocytes", "stands twice"),
        ("default_scale: logicle", "default_scale: biex", "unknown scale"),
        ("kind: logicle", "kind: biexponential", "unknown kind of scale"),
        ("population,parent,gate", "name,parent,gate", "a column is missing"),
    ],
)
def test_wrong_templates(tmp_path, old, new, reason):
    assert old in TEMPLATE
    with pytest.raises(GateError, match=reason):
        read_template(write(tmp_path, TEMPLATE.replace(old, new)))


def test_polygon_needs_vertices(tmp_path):
    text = TEMPLATE.replace("t,lymphocytes,rectangle,fixed,CD3,0.5,,,", "t,lymphocytes,polygon,fixed,CD3,,,CD4,")
    with pytest.raises(GateError, match=r"(?s)t\.vertices\.csv, column population: .*at least three vertices"):
        read_template(write(tmp_path, text))
    write(tmp_path, "population,order,x,y\nt,1,0.5,0\nt,2,1,0\nt,3,1,1\n", "t.vertices.csv")
    assert read_template(tmp_path / "t.csv")["t"].vertices == ((0.5, 0.0), (1.0, 0.0), (1.0, 1.0))


def test_gatingml_with_entities_is_refused(tmp_path):
    bomb = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>'
    with pytest.raises(GateError, match="entities"):
        gate.load(write(tmp_path, bomb, "bomb.xml"))
    (tmp_path / "wide.xml").write_bytes(bomb.encode("utf-16"))
    with pytest.raises(GateError, match="entities"):
        gate.load(tmp_path / "wide.xml")


def test_scale_matches_flowkit(shipped):
    """Scales used for plots and cells are those that FlowKit gates with, to the bit."""
    import flowkit as fk

    values = np.concatenate([np.linspace(-5000, 262144, 1001), [0.0, -1e-3]])
    for name, scale in shipped["treg"].scales:
        p = scale.by_letter
        theirs = fk.transforms.LogicleTransform(p["T"], p["W"], p["M"], p["A"]).apply(values)
        np.testing.assert_array_equal(scale.apply(values), theirs, err_msg=name)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (TEMPLATE.encode().replace(b"lymphocytes,root", b"lymphocytes\x80,root"), "is not UTF-8 text"),
        (b"# a: &a [1, 1]\n# b: [*a, *a]\n" + TEMPLATE.encode(), "aliases"),
        (b"# - a list\npopulation,parent,gate\n", "no YAML of names and values"),
        (TEMPLATE.encode().replace(b"T: 262144", b"T: many"), "the parameters of a scale are numbers"),
        (TEMPLATE.encode().replace(b"population,parent,gate,method", b"population,parent,gate,gate"), "stands twice"),
        (TEMPLATE.encode() + b'"' + b"x" * 200_000 + b'",root,rectangle\n', "cannot be read as a table"),
    ],
)
def test_damaged_templates_are_refused_by_name(tmp_path, content, reason):
    """The first of these was found by coverage-guided fuzzing."""
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(GateError, match=reason):
        read_template(tmp_path / "t.csv")
