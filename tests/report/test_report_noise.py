from __future__ import annotations

import math

import pytest

from benchmarks.gate_spread import SITUATIONS, rates
from immunoprofile.pl import style
from immunoprofile.report import noise, wording


def test_default_reference_change() -> None:
    # Of a residual SD of 0.20: exp(+-1.96 sqrt(2) sqrt(ln 1.04)), about +73 % and -42 %.
    down, up = noise.reference_change()
    assert up == pytest.approx(1.7314, abs=5e-4)
    assert down == pytest.approx(0.5776, abs=5e-4)
    assert down * up == pytest.approx(1.0)


def test_counting_noise_widens_the_limits() -> None:
    # 100 and 100 events: variance 0.02; by hand exp(1.96 sqrt(2 ln 1.04 + 0.02)).
    up = noise.reference_change(variance_now=0.01, variance_then=0.01)[1]
    assert up == pytest.approx(math.exp(1.959964 * math.sqrt(2 * math.log(1.04) + 0.02)), rel=1e-6)
    assert noise.judge(1.75, 1.0).level == "MORE_THAN_NOISE"
    assert noise.judge(1.75, 1.0, variance_now=0.01, variance_then=0.01).level == "WITHIN_NOISE"
    assert noise.judge(0.5, 1.0).symbol == "▼"


@pytest.mark.parametrize(("now", "then"), [(math.nan, 1.0), (1.0, math.nan), (0.0, 1.0), (1.0, 0.0)])
def test_a_missing_value_is_never_within_noise(now: float, then: float) -> None:
    assert noise.judge(now, then).level == "NOT_ASSESSABLE"


def test_treg_needs_its_confirmation() -> None:
    up, flat = noise.judge(2.5, 1.0), noise.judge(1.1, 1.0)
    down = noise.judge(0.4, 1.0)
    assert noise.with_confirmation(up, up, what="x").level == "MORE_THAN_NOISE"
    assert noise.with_confirmation(flat, noise.judge(0.9, 1.0), what="x").level == "WITHIN_NOISE"
    for other in (flat, down, noise.not_assessable("missing")):
        assert noise.with_confirmation(up, other, what="x").level == "NOT_ASSESSABLE"


def test_numbers_are_written_as_specified() -> None:
    assert wording.percent(12.345) == "12.3 %"
    assert wording.percent(0.456) == "0.46 %"
    assert wording.percent(math.nan) == ""
    assert wording.count(1234.4) == "1,234"
    assert wording.log10(2.13672) == "2.14"
    assert wording.p_value(0.0001) == "< 0.001"
    for value, words in ((0.427, "0.427"), (0.05, "0.050"), (0.04996, "0.0499"), (0.0496, "0.0496"), (0.0494, "0.049")):
        assert wording.p_value(value) == words
        assert style.p_words(value) == f"p = {words}"
    assert (style.p_words(0.00099), style.p_words(math.nan), wording.p_value(math.nan)) == ("p < 0.001", "", "")
    # A censored fall is a bound, never a point (log10(1000 / 137): at least 0.86).


def test_moved_cuts_can_only_widen_the_limits() -> None:
    plain = noise.reference_change(variance_now=0.01, variance_then=0.02)
    assert noise.reference_change(variance_now=0.01, variance_then=0.02, gate_sd=0.0) == plain
    assert noise.reference_change(variance_now=0.01, variance_then=0.02, gate_sd=math.nan) == plain  # not known
    for gate_sd in (0.05, 0.2, 1.0):
        down, up = noise.reference_change(variance_now=0.01, variance_then=0.02, gate_sd=gate_sd)
        assert down < plain[0] < 1 < plain[1] < up
        by_hand = 1.959964 * math.sqrt(2 * math.log(1.04) + 0.03 + gate_sd**2)
        assert up == pytest.approx(math.exp(by_hand), rel=1e-6)
    assert noise.judge(1.8, 1.0).level == "MORE_THAN_NOISE"
    assert noise.judge(1.8, 1.0, gate_sd=0.2).level == "WITHIN_NOISE"
    assert noise.judge(1.8, 1.0, gate_sd=0.2).gate_sd == 0.2


def test_rates_of_the_verdict_where_the_truth_is_known() -> None:
    """Small version of `python -m benchmarks.gate_spread verdicts`; 3 SE of 400 trials at 5 % are 3.3 points."""
    gap, shoulder = SITUATIONS
    known = {"events": 500, "cv": 0.10, "trials": 400}
    for situation, own in ((gap, False), (gap, True), (shoulder, False), (shoulder, True)):
        false, without, _ = rates(situation, fold=1.0, own=own, **known)
        assert false <= min(without, 0.05 + 0.033)
    # errors of the cut at each visit pass for changes, until the part of the gate is in the verdict
    assert rates(shoulder, fold=1.0, own=True, **known)[1] > 0.25
    for own in (False, True):
        assert rates(gap, fold=2.0, own=own, **known)[0] >= 0.95
    # a frozen cut in a gap costs nothing of what can be found
    assert rates(gap, fold=2.0, own=False, **known)[2] < 0.01
