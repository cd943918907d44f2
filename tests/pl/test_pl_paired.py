from __future__ import annotations

import math
from typing import Any

import pytest

from immunoprofile import pl
from immunoprofile.errors import NotAvailableError
from immunoprofile.pl.paired_panels import PairedPanel, paired_panel


def panel(visits: Any, population: str = "treg", visit: str = "D14", **changes: Any) -> PairedPanel:
    given = {"measure": "pct_parent", "effects": visits.uns["change"], "by_arm": True, "labels": {}} | changes
    return paired_panel(visits, population, visit, **given)


def test_pairs_are_the_values_of_the_object(profile: Any) -> None:
    visits = profile.visits
    view = panel(visits)
    column = visits.var_names.get_loc("treg")
    checked = 0
    for arm in view.arms:
        for subject, before, after in zip(arm.subjects, arm.before, arm.after, strict=True):
            rows = visits.obs["usubjid"] == subject
            for visit, value in (("BL", before), ("D14", after)):
                row = (rows & (visits.obs["visit"] == visit)).to_numpy().nonzero()[0]
                assert value == visits.X[row, column][0]
                checked += 1
    assert checked == 18


def test_who_has_no_pair_is_counted_with_the_reason(profile: Any) -> None:
    # IL2CMV-01-002 (GCV) has a failed treg tube at D14, IL2CMV-01-003 (IL2_GCV) missed D28.
    gcv, il2 = panel(profile.visits).arms
    assert (gcv.arm, len(gcv.subjects), gcv.left_out) == ("GCV", 4, ("1 failed quality",))
    assert (il2.arm, len(il2.subjects), il2.left_out) == ("IL2_GCV", 5, ())
    assert "IL2CMV-01-002" not in gcv.subjects
    _, late = panel(profile.visits, visit="D28").arms
    assert late.left_out == ("1 no D28",)
    assert late.effect == "effect not computed"


def test_the_effect_is_that_of_the_table(profile: Any) -> None:
    view = panel(profile.visits)
    assert view.arms[0].effect == "fold change 1.23\n(95 % CI 0.93 to 1.87)\nfrom 5 pairs"
    table = profile.visits.uns["change"].copy()
    table["effect"] = math.nan
    table["note"] = "2 pairs are too few"
    assert panel(profile.visits, effects=table).arms[0].effect == "not estimable: 2 pairs are too few"
    assert panel(profile.visits, effects=None).arms[1].effect == "effect not computed"


def test_the_alternative_text_carries_medians_and_n(profile: Any) -> None:
    figure = pl.paired_change(profile.visits, ["treg"], "D14", measure="pct_parent")
    gcv = panel(profile.visits).arms[0]
    alt = pl.alt_text(figure)
    assert f"GCV, n = 4: median {sorted(gcv.before)[1] / 2 + sorted(gcv.before)[2] / 2:.3g} % of parent at BL" in alt
    assert b"one line a subject" in pl.to_svg(figure)


def test_blinded_knows_no_arm(profile: Any) -> None:
    figure = pl.paired_change(profile.visits, ["treg"], "D14", by_arm=False)
    assert "GCV" not in pl.alt_text(figure)
    assert "all subjects, n = 8" in pl.alt_text(figure)


def test_nothing_to_pair_is_said(profile: Any) -> None:
    after = profile.visits[profile.visits.obs["visit"] != "BL"].copy()
    assert "GCV 5 no baseline" in pl.alt_text(pl.paired_change(after, ["nk"], "D14"))
    with pytest.raises(NotAvailableError, match="D28"):
        pl.paired_change(profile.visits, ["nk"], "D99")
    with pytest.raises(NotAvailableError, match="baseline visit"):
        pl.paired_change(profile.visits, ["nk"], "BL")
    with pytest.raises(NotAvailableError, match="treg_foxp3"):
        pl.paired_change(profile.visits, ["unknown"], "D14")
