"""Treg and CD8 of thirty real patients (radium-223, up to four visits) through the figures of courses."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from immunoprofile import pl
from immunoprofile.pl.panels import medians
from immunoprofile.pl.series import Series
from immunoprofile.pl.trajectories import arm_figure


def course(table: pd.DataFrame, column: str) -> list[Series]:
    found = []
    for subject, rows in table.sort_values("time").groupby("study_code"):
        times = rows["time"].to_numpy(dtype=float)
        visits = tuple(f"C{time:g}" for time in times)
        values = tuple(rows[column].to_numpy(dtype=float).tolist())
        found.append(Series(column, column, str(subject), "", visits, tuple((28 * (times - 1)).tolist()), values))
    return found


def test_thirty_patients_with_gaps(outside_data: Path) -> None:
    folder = outside_data / "tab_radium223_treg_cd8_longitudinal"
    treg = pd.read_csv(folder / "radium223_panel_d_subset.csv")
    cd8 = pd.read_csv(folder / "radium223_panel_a_subset.csv")
    series = [course(treg, "Tregs"), course(cd8, "CD8")]
    for group, table, column in zip(series, (treg, cd8), ("Tregs", "CD8"), strict=True):
        known = table.dropna(subset=[column])
        for visit, (day, middle, n) in medians(group).items():
            own = known.loc[known["time"] == float(visit[1:]), column]
            assert (n, day) == (len(own), 28 * (float(visit[1:]) - 1))
            assert math.isclose(middle, own.median())
    figure = arm_figure(series, [], measure="pct_parent")
    printed = {item.get_text() for axes in figure.axes for item in axes.texts}
    assert {str(n) for _, _, n in medians(series[0]).values()} <= printed
    assert pl.to_svg(figure) == pl.to_svg(arm_figure(series, [], measure="pct_parent"))
