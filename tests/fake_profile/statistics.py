"""Made-up tables of statistics."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from immunoprofile import schema


def make_statistics() -> dict[str, pd.DataFrame]:
    """Made-up tables in the shape of tl: effects and intervals that a reader may meet."""

    def row(**values: Any) -> dict[str, Any]:
        return {name: values.get(name, math.nan) for name in schema.STATISTIC_COLUMNS} | {"conf_level": 0.95}

    compare, change = [], []
    effects = {
        ("treg", "pct_parent"): (1.92, 1.20, 3.07, 0.012),
        ("nk", "abs"): (1.44, 0.81, 2.56, 0.18),
        ("cd8", "abs"): (1.12, 0.70, 1.79, 0.59),
    }
    for (population, measure), (effect, low, high, p) in effects.items():
        compare.append(
            row(
                method_id="S3",
                method="ANCOVA of log2 at the visit on log2 at baseline, HC3",
                population=population,
                measure=measure,
                contrast="IL2_GCV vs GCV",
                visit="D14",
                scale="log2",
                n=5,
                n_reference=4,
                estimate=math.log2(effect),
                lower=math.log2(low),
                upper=math.log2(high),
                p_value=p,
                effect_kind="fold change",
                effect=effect,
                effect_lower=low,
                effect_upper=high,
                adjusted="none",
                note="",
            )
        )
        for arm in ("GCV", "IL2_GCV"):
            change.append(
                row(
                    method_id="S1",
                    method="Wilcoxon signed rank, exact, Hodges-Lehmann",
                    population=population,
                    measure=measure,
                    contrast="D14 vs BL",
                    visit="D14",
                    arm=arm,
                    scale="log2",
                    n=5,
                    estimate=0.3,
                    lower=-0.1,
                    upper=0.9,
                    p_value=0.0625,
                    effect_kind="fold change",
                    effect=1.23,
                    effect_lower=0.93,
                    effect_upper=1.87,
                    median_baseline=5.1,
                    median_visit=7.9,
                    note="",
                )
            )
    compare.append(
        row(
            method_id="S3",
            method="ANCOVA",
            population="nk_bright",
            measure="pct_parent",
            contrast="IL2_GCV vs GCV",
            visit="D14",
            n=2,
            n_reference=1,
            effect_kind="fold change",
            note="refused: fewer than 3 residual degrees",
        )
    )
    associate = [
        row(
            method_id="S8",
            method="repeated-measures correlation adjusted for visit",
            population="cd8_act",
            measure="pct_parent",
            contrast="with log10 CMV-DNA",
            n=10,
            estimate=0.31,
            lower=-0.08,
            upper=0.61,
            p_value=0.11,
            effect_kind="correlation",
            effect=0.31,
            effect_lower=-0.08,
            effect_upper=0.61,
            note="",
        )
    ]
    return {"change": pd.DataFrame(change), "compare": pd.DataFrame(compare), "associate": pd.DataFrame(associate)}
