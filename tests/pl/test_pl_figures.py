from __future__ import annotations

import re
import subprocess
import sys
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from immunoprofile import pl
from immunoprofile.errors import NotAvailableError
from immunoprofile.pl.composition import differentiation_figure
from immunoprofile.pl.forest_plot import null_value
from immunoprofile.pl.panels import medians
from immunoprofile.pl.series import Series, axis_day, cmv_of_visits, treatment_bars
from immunoprofile.pp.verdict import tube_states

S1 = "IL2CMV-01-001"


def words(figure: Figure) -> str:
    return " ".join(item.get_text() for item in figure.findobj(lambda one: hasattr(one, "get_text")))


def all_figures(profile: Any) -> dict[str, Figure]:
    visits = profile.visits
    rasters = profile.rasters("S001-D14-treg")
    return {
        "subject": pl.trajectory(
            visits, ["treg", "nk", "cd8"], subject=S1, virology=profile.virology, dosing=profile.study.dosing,
            conmeds=profile.study.conmeds,
        ),
        "arms": pl.trajectory(visits, ["treg", "nk", "cd8"], virology=profile.virology),
        "percent": pl.trajectory(visits, ["treg"], measure="pct_parent"),
        "blinded": pl.trajectory(visits, ["treg"], by_arm=False),
        "cmv": pl.cmv(visits),
        "gating": pl.gating(rasters, baseline=[rasters[0], None], percentages={"treg": 8.5}),
        "forest": pl.forest(visits.uns["compare"]),
        "completeness": pl.completeness(profile),
        "ratios": pl.ratios(visits, S1),
        "differentiation": pl.differentiation(visits, S1),
    }  # fmt: skip


def test_figures_are_returned_not_shown_and_reproducible(profile: Any) -> None:
    first, second = all_figures(profile), all_figures(profile)
    for name, figure in first.items():
        assert isinstance(figure, Figure)
        svg = pl.to_svg(figure)
        assert svg == pl.to_svg(second[name]), name
        assert b"<svg" in svg
        assert b"dc:date" not in svg
        assert b"font-family" not in svg
        assert b'href="http' not in svg
    assert pl.to_data_uri(first["forest"]).startswith("data:image/svg+xml;base64,")


def test_every_figure_says_what_it_shows_to_those_who_cannot_see_it(profile: Any) -> None:
    made = all_figures(profile) | {"grid": pl.gate_grid(profile, "treg"), "paired": pl.paired_change(
        profile.visits, ["treg"], "D14"), "timeline": pl.timeline(profile.visits, S1)}  # fmt: skip
    said = {name: pl.alt_text(figure) for name, figure in made.items()}
    for name, figure in made.items():
        root = ElementTree.fromstring(pl.to_svg(figure))
        title = root.findtext("{http://www.w3.org/2000/svg}title")
        assert title, name
        assert 10 < len(title) < len(said[name]), name
        assert said[name].startswith(title[:-1]), name
    obs, values = profile.visits.obs, profile.visits.layers["abs"][:, profile.visits.var_names.get_loc("treg")]
    at = (obs["visit"].astype(str) == "D14").to_numpy() & (obs["arm"].astype(str) == "GCV").to_numpy()
    known = values[at & ~np.isnan(values)]
    assert f"D14 {np.median(known):.3g} (n = {len(known)})" in said["arms"].split("GCV, cells/µL: ")[1]
    assert "GCV" not in said["blinded"]
    assert "treg 8.50 %" in said["gating"].replace("Treg", "treg")
    assert said["cmv"].count(" subjects, ") == len(set(obs["arm"]))
    assert "of them known only as a bound" in said["cmv"]
    states = re.search(r"PASS (\d+)", said["completeness"])
    assert states
    assert int(states[1]) == sum(state == "PASS" for state in tube_states(profile.quality).values())


def test_pyplot_knows_nothing_of_the_figures(profile: Any) -> None:
    def known() -> list[int]:  # another test of the process may have left some
        return sys.modules["matplotlib.pyplot"].get_fignums() if "matplotlib.pyplot" in sys.modules else []

    before = known()
    all_figures(profile)
    assert known() == before


def test_import_is_light() -> None:
    code = "import immunoprofile.pl, sys; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_units_and_n_are_on_the_figures(profile: Any) -> None:
    made = {name: words(figure) for name, figure in all_figures(profile).items()}
    assert "cells/µL" in made["subject"]
    assert "log10 IU/mL" in made["subject"]
    assert "LLOQ 137" in made["subject"]
    assert "IL-2 1 MIU QD" in made["subject"]
    assert "prednisone 15 mg QD" in made["subject"]
    assert "n GCV" in made["arms"]
    assert "n = 5 subjects" in made["cmv"]
    assert "5 vs 4" in made["forest"]
    assert "not estimable: refused: fewer than 3 residual degrees" in made["forest"]
    assert "treg\n8.5 %" in made["gating"]
    assert "not done" in made["gating"]
    assert "GCV" not in made["blinded"]


def test_errors_name_what_there_is(profile: Any) -> None:
    with pytest.raises(NotAvailableError, match="treg_foxp3"):
        pl.trajectory(profile.visits, ["unknown"])
    with pytest.raises(NotAvailableError, match="IL2CMV-01-010"):
        pl.trajectory(profile.visits, ["treg"], subject="nobody")
    with pytest.raises(NotAvailableError, match=r"tl\.compare"):
        pl.forest(profile.visits.uns["compare"].iloc[:0])
    with pytest.raises(NotAvailableError):
        pl.gating([])


def test_study_days_have_no_day_zero() -> None:
    assert [axis_day(day) for day in (-2, -1, 1, 8)] == [-2, -1, 0, 7]


def test_censored_results_are_drawn_at_their_limit(profile: Any) -> None:
    one = cmv_of_visits(profile.visits, subject=S1)[0]
    censored = [height for height, kind in zip(one.heights, one.kinds, strict=True) if kind in ("BLQ", "TND")]
    assert censored
    assert censored == pytest.approx([2.13672] * len(censored), abs=1e-4)


def test_bars_end_at_the_day_that_is_known(profile: Any) -> None:
    from datetime import date

    bars = treatment_bars(profile.study.dosing, profile.study.conmeds, S1, date(2025, 3, 3), until=7.0)
    assert [(bar.kind, bar.start, bar.end) for bar in bars] == [
        ("il2", 0.0, 7.0), ("antiviral", -1.0, 7.0), ("steroid", -60.0, 7.0),
    ]  # fmt: skip


def test_medians_leave_out_missing_and_failed() -> None:
    nan = float("nan")
    series = [
        Series("a", "A", "1", "x", ("BL", "D7"), (0, 7), (1.0, nan)),
        Series("a", "A", "2", "x", ("BL", "D7"), (0, 7), (3.0, 5.0)),
        Series("a", "A", "3", "x", ("BL", "D7"), (0, 7), (100.0, 6.0), failed=(True, False)),
    ]
    assert medians(series) == {"BL": (0, 2.0, 2), "D7": (7, 5.5, 2)}


def test_null_of_an_effect() -> None:
    assert null_value("fold change") == null_value("odds ratio") == 1.0
    assert null_value("correlation") == null_value("difference") == 0.0


def test_a_stack_without_values_says_so() -> None:
    nan = float("nan")
    figure = differentiation_figure(["BL"], {f"cd8_{name}": [nan] for name in ("naive", "cm", "em", "temra")})
    assert "not done" in words(figure)


def test_forest_keeps_ratios_and_differences_on_their_own_axes(profile: Any) -> None:
    table = profile.visits.uns["compare"].copy()
    table["family"] = ["primary", "secondary", "secondary", ""]
    table["adjusted"] = ["none", "Holm", "Holm", ""]
    table["p_adjusted"] = [float("nan"), 0.36, 0.59, float("nan")]
    table.loc[2, ["effect_kind", "effect", "effect_lower", "effect_upper"]] = ["difference", -1.5, -4.0, 1.0]
    figure = pl.forest(table)
    assert [axes.get_xscale() for axes in figure.axes] == ["log", "linear"]
    said = words(figure)
    assert "p raw = 0.012" in said
    assert "p adj. = 0.36" in said
    assert "family: secondary (Holm)" in said
    assert "family: primary (not corrected)" in said
    table["family"], table["adjusted"] = "F1", "Holm"
    assert "declared endpoints (F1, Holm)" in words(pl.forest(table))
    assert "difference -1.50 (-4.00 to 1.00), n = 5 vs 4" in pl.alt_text(figure)
