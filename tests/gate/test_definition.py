"""Definitions come from the gates in force, and say where an id usually means something else."""

from __future__ import annotations

import pytest

from immunoprofile import gate
from immunoprofile.gate.definition import definition, difference_in_words, differences, markers_above
from immunoprofile.gate.scales import Scale
from immunoprofile.gate.strategy import Dimension, Gate, Operand, Strategy
from immunoprofile.resources import populations

LOGICLE = Scale("logicle", (("T", 262144.0), ("W", 0.5), ("M", 4.5), ("A", 0.0)))


def above(marker: str, cut: float = 0.5) -> Dimension:
    return Dimension(marker, cut, None, scale="l", compensated=True)


def below(marker: str, cut: float = 0.5) -> Dimension:
    return Dimension(marker, None, cut, scale="l", compensated=True)


def strategy(*gates: Gate) -> Strategy:
    return Strategy("t", gates, scales=(("l", LOGICLE),))


def rectangle(population: str, parent: str, *axes: Dimension) -> Gate:
    return Gate(population, parent, "rectangle", axes)


def drawn(population: str, parent: str, x: str, y: str, *corners: tuple[float, float]) -> Gate:
    axes = (Dimension(x, scale="l"), Dimension(y, scale="l"))
    return Gate(population, parent, "polygon", axes, vertices=corners)


T = rectangle("t", "root", above("CD3"))
CD4 = rectangle("cd4", "t", above("CD4"))


def test_a_panel_without_cd127_prints_no_cd127():
    gates = strategy(T, CD4, rectangle("treg", "cd4", above("CD25")))
    assert definition(gates, "treg") == "CD3+CD4+CD25+"
    assert difference_in_words(differences(gates, "treg")) == "without CD127, which usually defines it"


def test_the_other_side_of_a_marker_is_named():
    gates = strategy(T, CD4, rectangle("treg", "cd4", above("CD25"), above("CD127")))
    assert definition(gates, "treg") == "CD3+CD4+CD25+CD127+"
    assert difference_in_words(differences(gates, "treg")) == "CD127 is on the other side than usual"


def test_two_levels_of_one_marker_and_names_of_other_spelling():
    gates = strategy(
        rectangle("nk", "root", below("CD3"), below("CD19"), below("CD14"), above("CD56", 0.4)),
        rectangle("nk_bright", "nk", above("CD56", 0.7), below("CD16")),
        rectangle("nk_dim", "nk", Dimension("CD56", 0.4, 0.7, scale="l"), above("CD16")),
        rectangle("nk_ki67", "nk", above("Ki-67")),
    )
    assert definition(gates, "nk") == "CD3-CD19-CD14-CD56+"
    assert definition(gates, "nk_bright") == "CD3-CD19-CD14-CD56brightCD16-"
    assert definition(gates, "nk_dim") == "CD3-CD19-CD14-CD56dimCD16+"
    assert not any(differences(gates, name) for name in ("nk", "nk_bright", "nk_dim", "nk_ki67"))


def test_drawn_regions_and_booleans():
    gates = strategy(
        T,
        CD4,
        drawn("treg", "cd4", "CD25", "CD127", (0.6, -0.1), (1.0, -0.1), (1.0, 0.6), (0.6, 0.4)),
        Gate("tconv", "cd4", "not", operands=(Operand("treg"),)),
        rectangle("a", "root", above("CD56")),
        rectangle("b", "root", above("CD16")),
        Gate("either", "root", "or", operands=(Operand("a"), Operand("b"))),
        Gate("nk", "root", "and", operands=(Operand("either"), Operand("t", complement=True))),
        Gate("outside", "t", "rectangle", (above("CD4"),), complement=True),
    )
    assert definition(gates, "treg") == "CD3+CD4+CD25hiCD127lo"
    assert definition(gates, "tconv") == "CD3+CD4+ not (CD25hiCD127lo)"
    assert definition(gates, "either") == "(CD56+ or CD16+)"
    assert definition(gates, "nk") == "(CD56+ or CD16+) not (CD3+)"
    assert definition(gates, "outside") == "CD3+ not (CD4+)"
    assert difference_in_words(differences(gates, "nk")) == "without CD19 and CD14, which usually define it"
    assert not differences(gates, "tconv")


def test_two_markers_in_one_channel():
    gates = strategy(
        rectangle("t", "root", above("CD3"), below("CD14+CD19")), rectangle("nkt_like", "t", above("CD16+CD56"))
    )
    assert definition(gates, "t") == "CD3+CD14-CD19-"
    assert definition(gates, "nkt_like") == "CD3+CD14-CD19-(CD16+ or CD56+)"


def test_gates_that_name_channels_take_the_markers_of_the_file():
    gates = strategy(rectangle("t", "root", above("FITC-A")), rectangle("cd8", "t", above("PE-A")))
    markers = {"FITC-A": "CD3", "PE-A": "CD8"}
    assert definition(gates, "cd8") == "(FITC-A)+(PE-A)+"
    assert definition(gates, "cd8", markers) == "CD3+CD8+"
    assert differences(gates, "cd8")
    assert not differences(gates, "cd8", markers)


def test_viability_time_and_scatter_are_no_part_of_a_definition():
    gates = strategy(
        rectangle("time_ok", "root", Dimension("Time", 1.0, None)),
        drawn("singlets", "time_ok", "FSC-A", "FSC-H", (0, 0), (1, 0), (1, 1)),
        rectangle("live", "singlets", below("Viability")),
        rectangle("t", "live", above("CD3")),
    )
    assert definition(gates, "t") == "CD3+"
    assert definition(gates, "singlets") == "FSC-A x FSC-H"


@pytest.mark.parametrize("tube", ["count", "effector", "treg"])
def test_shipped_gates_mean_what_their_ids_mean(tube):
    """Only NK cells without a CD14 channel differ, which is what the flag NK_NO_CD14 says as well."""
    gates = gate.load(gate.shipped_folder())[tube]
    apart = {name: difference_in_words(differences(gates, name)) for name in gates.populations}
    expected = {"nk": "without CD14, which usually defines it"} if tube == "count" else {}
    assert {name: text for name, text in apart.items() if text} == expected


def test_every_definition_of_the_registry_is_understood():
    for name, entry in populations().items():
        if not entry.technical and name != "lymphocytes":
            gates = strategy(rectangle(name, "root", Dimension("FSC-A", 0.0, None)))
            assert differences(gates, name), f"{name}: {entry.marker_string}"


def test_markers_whose_brighter_events_a_gate_takes() -> None:
    """Only of these is a control without the marker a blank."""
    gates = strategy(
        T,
        rectangle("act", "t", above("HLA-DR"), above("CD38")),
        rectangle("low", "t", below("CD127")),
        drawn("treg", "t", "CD25", "CD127", (0.5, 0.0), (0.99, 0.0), (0.99, 0.5)),
        Gate("either", "root", "or", operands=(Operand("act"), Operand("low"))),
        Gate("both", "t", "and", operands=(Operand("act"), Operand("treg"))),
        Gate("rest", "t", "not", operands=(Operand("act"),)),
    )
    found = {name: markers_above(gates, name) for name in gates.populations}
    assert found == {"t": ("CD3",), "act": ("HLA-DR", "CD38"), "low": (), "treg": ("CD25",), "either": (),
                     "both": ("HLA-DR", "CD38", "CD25"), "rest": ()}  # fmt: skip
