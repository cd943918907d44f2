"""Names of a document become ids of reports by rows that a person wrote; what is near is only proposed."""

from __future__ import annotations

import pytest

from immunoprofile.errors import Problems
from immunoprofile.gate.mapping import apply_mapping, proposals, sources_of
from immunoprofile.gate.strategy import Dimension, Gate, Operand, Strategy
from immunoprofile.resources import populations


def rectangle(population, parent, channel, *, label="", low=1.0):
    return Gate(population, parent, "rectangle", (Dimension(channel, low, None),), label=label)


def strategy(*gates, custom=()):
    return Strategy("lab", gates, custom=custom)


LAB = strategy(
    rectangle("lymphocytes", "root", "FSC-A", label="Lymphocytes"),
    rectangle("nk_cells", "lymphocytes", "PE-A", label="NK cells (CD56+)"),
    rectangle("t_cells", "lymphocytes", "FITC-A", label="T cells"),
    rectangle("cd69_pos", "nk_cells", "APC-A", label="CD69+"),
    rectangle("cd69_pos_2", "t_cells", "APC-A", label="CD69+"),
    Gate("rest", "lymphocytes", "not", operands=(Operand("nk_cells"),), label="Rest"),
    custom=(("a.fcs", rectangle("nk_cells", "lymphocytes", "PE-A", label="NK cells (CD56+)", low=3.0)),),
)


def mapped(rows, tube="main", gates=LAB):
    problems = Problems()
    (result,), used = apply_mapping((gates,), rows, tube, problems)
    return result, used, [str(problem) for problem in problems.found]


def test_a_name_becomes_an_id_everywhere():
    rows = [
        {"tube": "", "source": "NK cells (CD56+)", "population": "nk"},
        {"tube": "main", "source": "NK cells (CD56+)/CD69+", "population": "nk_cd69"},
        {"tube": "other", "source": "Lymphocytes", "population": "never"},
    ]
    result, used, problems = mapped(rows)
    assert not problems
    assert used == {1, 2}
    assert result.populations == ("lymphocytes", "nk", "t_cells", "nk_cd69", "cd69_pos_2", "rest")
    assert (result["nk"].label, result["nk"].note) == ("", "NK cells (CD56+) in the document")
    assert (result["nk_cd69"].parent, result["rest"].operands[0].population) == ("nk", "nk")
    assert [(name, gate.population) for name, gate in result.custom] == [("a.fcs", "nk")]
    assert result["lymphocytes"].label == "Lymphocytes"
    assert result.for_sample("a.fcs")["nk"].dimensions[0].minimum == 3.0


@pytest.mark.parametrize("source", ["T cells/CD69+", "Lymphocytes/T cells/CD69+", "root/Lymphocytes/T cells/CD69+"])
def test_a_path_tells_repeated_names_apart(source):
    result, _, problems = mapped([{"tube": "", "source": source, "population": "t_cd69"}])
    assert not problems
    assert result["t_cd69"].parent == "t_cells"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("CD69+", "x")], "several places"),
        ([("T cells", "Tcells!")], "no id of a population"),
        ([("T cells", "root")], "no id of a population"),
        ([("T cells", "t"), ("Rest", "t")], "to another population"),
        ([("T cells", "t"), ("t_cells", "u")], "gives it another id"),
        ([("T cells", "lymphocytes")], "that of 'Lymphocytes' already"),
    ],
)
def test_what_cannot_be_tied_is_named(rows, words):
    _, _, problems = mapped([{"tube": "", "source": source, "population": id_} for source, id_ in rows])
    assert any(words in problem for problem in problems), problems


def test_an_id_that_moves_away_is_free():
    gates = strategy(rectangle("nk", "root", "A", label="nk"), rectangle("nk_cells", "root", "B", label="NK cells"))
    rows = [
        {"tube": "", "source": "nk", "population": "old_nk"},
        {"tube": "", "source": "NK cells", "population": "nk"},
    ]
    result, _, problems = mapped(rows, gates=gates)
    assert not problems
    assert [gate.dimensions[0].marker for gate in result.gates] == ["A", "B"]
    assert result.populations == ("old_nk", "nk")


def test_repeated_names_are_listed_by_their_paths():
    names = sources_of(LAB)
    assert names["nk_cells"] == "NK cells (CD56+)"
    assert names["cd69_pos"] == "Lymphocytes/NK cells (CD56+)/CD69+"


def test_near_names_are_proposed_with_the_row_to_write():
    rows = [proposal.row for proposal in proposals(LAB)]
    assert rows == ["lab,NK cells (CD56+),nk", "lab,T cells,t"]
    assert [p.population for p in proposals(LAB, ["nk"])] == ["nk"]


@pytest.mark.parametrize("label", ["CD3-", "CD3- CD19-", "CD4-CD8-", "CD25-", "not T cells", "Monocytes", "CD8-"])
def test_other_populations_are_not_proposed(label):
    assert not proposals(strategy(rectangle("x1", "root", "A", label=label)))


def test_synonyms_lead_to_one_id_only():
    from immunoprofile.gate.mapping import _spellings

    seen: dict[str, str] = {}
    for name in populations():
        for spelling in _spellings()[name]:
            assert seen.setdefault(spelling, name) == name, spelling
