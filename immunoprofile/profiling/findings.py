"""Findings that need several files or the whole panel: open questions of a panel, specimens, swapped channels."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from immunoprofile.errors import FcsError
from immunoprofile.profiling.outcome import Chosen
from immunoprofile.profiling.records import read_panel
from immunoprofile.quality import PanelComparison, PanelQuantiles, compare_panels
from immunoprofile.resources.checks import Finding, quality_checks, quality_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    import anndata
    import pandas as pd

    from immunoprofile.gate.strategy import Strategy
    from immunoprofile.study import Study


def panel_findings(gates: Mapping[str, Strategy], visits: anndata.AnnData, chosen: Chosen) -> pd.DataFrame:
    """What the panel of a tube leaves open: NK cells by CD16 without CD14 may hold CD16+ monocytes.

    The check is not evaluable, which is never a pass and no fault of the sample: it judges no tube
    (:func:`immunoprofile.pp.verdict.tube_states`), the flag is printed.
    """
    rows = []
    tube = str(visits.var.loc["nk", "tube"]) if "nk" in visits.var_names else ""
    markers = set() if not tube else {part for marker in gates[tube].markers for part in marker.split("+")}
    if "CD16" in markers and "CD14" not in markers:
        finding = Finding("nk_without_monocytes", "NOT_EVALUABLE", math.nan, "", "CD14 in the panel", flag="NK_NO_CD14")
        rows = [
            finding.row(usubjid, visit, tube, outcome.sample_id)
            for (usubjid, visit, name), outcome in sorted(chosen.items())
            if name == tube
        ]
    return quality_table(rows)


def specimen_findings(visits: anndata.AnnData) -> pd.DataFrame:
    """Visits of another specimen type than the subject's baseline: no change from baseline is computed there."""
    obs = visits.obs
    base = obs[obs["baseline_flag"].astype(bool)].set_index("usubjid")["specimen_type"]
    return quality_table(
        Finding("specimen", "WARN", math.nan, "", f"as at baseline ({base[usubjid]})", flag="SPECIMEN_MISMATCH").row(
            usubjid, visit
        )
        for usubjid, visit, specimen in zip(obs["usubjid"], obs["visit"], obs["specimen_type"], strict=True)
        if usubjid in base.index and specimen != base[usubjid]
    )


def channel_swaps(study: Study, visits: anndata.AnnData, chosen: Chosen, out: Path) -> pd.DataFrame:
    """Tubes whose channels fit each other's place better than their own, against the subject's baseline of that tube.

    Rows of quality.csv with the check ``channel_order``: the value is the number of channels that seem to have changed
    places. It asks a person; populations that the drug moves are no swap, see `quality.compare_panels`. The
    distributions are those that the run kept in ``out`` when it read the files.
    """
    obs = visits.obs
    based = obs[obs["baseline_flag"].astype(bool)]
    baseline = {str(u): str(v) for u, v in zip(based["usubjid"], based["visit"], strict=True)}
    check = quality_checks(study.config.check_limits)["channel_order"]
    rows = []
    for usubjid, first in baseline.items():
        for tube in study.config.tubes:
            own = {visit: o for (u, visit, t), o in chosen.items() if (u, t) == (usubjid, tube)}
            if first not in own:
                continue
            reference = read_panel(out, own[first].sample_id)
            for visit, outcome in sorted(own.items()):
                if visit == first:
                    continue
                other = read_panel(out, outcome.sample_id)
                compared = _compared(reference, other)
                moved = math.nan
                if compared is not None and compared.assessable:
                    moved = float(sum(len(swap.markers) for swap in compared.swaps))
                rows.append(check.judge(moved).row(usubjid, visit, tube, outcome.sample_id))
    return quality_table(rows)


def _compared(reference: PanelQuantiles | None, other: PanelQuantiles | None) -> PanelComparison | None:
    """Comparison of two files; None where a common channel holds values that are no numbers: nothing can be told."""
    if reference is None or other is None:
        return None
    try:
        return compare_panels(reference, other)
    except FcsError:
        return None
