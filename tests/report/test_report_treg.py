"""Treg of the held CD25 gate and the cells that confirm them by FoxP3, on the page of a visit."""

from __future__ import annotations

import copy
from typing import Any

import anndata
import numpy as np

from immunoprofile import report
from immunoprofile.report.source import Source
from immunoprofile.report.view import VisitView
from immunoprofile.resources import populations


def test_disagreement_with_foxp3_is_not_assessable(profile: Any) -> None:
    model = VisitView(Source(profile), "IL2CMV-01-007", "D14")
    treg = next(row for row in model.rows if row.population == "treg")
    assert treg.lines[0].verdict.level == "NOT_ASSESSABLE"
    assert "FoxP3" in treg.lines[0].verdict.reason
    assert any(comment.rule == "C-TREG-FOXP3" for comment in model.comments)


def without_cd25(profile: Any, subject: str, visit: str, times: float) -> Any:
    """The profile with FoxP3+ CD127lo cells of CD4: as many as Treg, times a factor at one visit."""
    cells = profile.visits[:, ["treg"]].copy()
    cells.var_names = ["foxp3_cd127lo"]
    cells.var["display"] = populations()["foxp3_cd127lo"].display
    row = cells.obs_names.get_loc(f"{subject}_{visit}")
    for values in (cells.X, cells.layers["counts"], cells.layers["abs"]):
        values[row] = times * values[row]
    cells.layers["counts"][row] = np.round(cells.layers["counts"][row])
    cells.obsm.clear()
    whole = anndata.concat([profile.visits, cells], axis=1, merge="first", uns_merge="first")
    own = copy.copy(profile)
    own.visits = whole
    return own


def test_treg_counted_without_cd25_confirm_those_of_the_gate(profile: Any) -> None:
    """Where both are there, the cells outside the CD25 gate are asked: those inside it follow CD25 too."""
    subject = "IL2CMV-01-007"
    agreed = VisitView(Source(without_cd25(profile, subject, "D14", 1.0)), subject, "D14")
    treg = next(row for row in agreed.rows if row.population == "treg")
    assert [line.confirmed for line in treg.lines] == ["", "foxp3_cd127lo"] * 2
    assert treg.lines[1].verdict.level == treg.lines[0].verdict.level == "MORE_THAN_NOISE"
    assert "counted without CD25" in treg.remark
    assert "Regulatory T cells, FoxP3+ CD127lo" in report.visit(agreed.source.profile, subject, "D14").html
    halved = VisitView(Source(without_cd25(profile, subject, "D14", 0.5)), subject, "D14")
    treg = next(row for row in halved.rows if row.population == "treg")
    assert treg.lines[0].verdict.level == "NOT_ASSESSABLE"
    assert "FoxP3+ CD127lo CD4 T cells" in treg.lines[0].verdict.reason
