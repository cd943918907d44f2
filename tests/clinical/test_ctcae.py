"""CTCAE grades of single values: every boundary of CTCAE v5.0 and one step to each side of it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from immunoprofile.clinical import ctcae_terms, ctcae_versions, grade_value
from immunoprofile.clinical.ctcae import ctcae_name, ctcae_version, terms_without_criteria
from immunoprofile.errors import NotAvailableError
from immunoprofile.schema import LAB_UNITS

# Value -> grade. A value at a boundary belongs to the lower grade.
LOW = {
    "ANC": (1.8, [(1.8, 0), (1.79, 1), (1.5, 1), (1.49, 2), (1.0, 2), (0.99, 3), (0.5, 3), (0.49, 4), (0, 4)]),
    "WBC": (3.5, [(3.5, 0), (3.49, 1), (3.0, 1), (2.99, 2), (2.0, 2), (1.99, 3), (1.0, 3), (0.99, 4)]),
    "ALC": (1.1, [(1.1, 0), (1.09, 1), (0.8, 1), (0.79, 2), (0.5, 2), (0.49, 3), (0.2, 3), (0.19, 4)]),
    "CD4": (0.55, [(0.55, 0), (0.54, 1), (0.5, 1), (0.499, 2), (0.2, 2), (0.199, 3), (0.05, 3), (0.049, 4)]),
    "PLT": (125, [(125, 0), (124, 1), (75, 1), (74.9, 2), (50, 2), (49.9, 3), (25, 3), (24.9, 4)]),
    "HGB": (115, [(115, 0), (114, 1), (100, 1), (99.9, 2), (80, 2), (79.9, 3), (20, 3)]),
    "EGFR": (90, [(90, 0), (89, 1), (60, 1), (59.9, 2), (30, 2), (29.9, 3), (15, 3), (14.9, 4)]),
    "CRCL": (90, [(90, 0), (89, 1), (60, 1), (59.9, 2), (30, 2), (29.9, 3), (15, 3), (14.9, 4)]),
}
# Multiples of the upper limit (baseline normal), and of the baseline (baseline above its limit).
ENZYME_NORMAL = [(1, 0), (1.001, 1), (3, 1), (3.001, 2), (5, 2), (5.001, 3), (20, 3), (20.001, 4)]
ENZYME_HIGH = [(1, 0), (1.499, 0), (1.5, 1), (3, 1), (3.001, 2), (5, 2), (5.001, 3), (20, 3), (20.001, 4)]
HIGH = {
    "ALT": (ENZYME_NORMAL, ENZYME_HIGH),
    "AST": (ENZYME_NORMAL, ENZYME_HIGH),
    "TBIL": (
        [(1, 0), (1.001, 1), (1.5, 1), (1.501, 2), (3, 2), (3.001, 3), (10, 3), (10.001, 4)],
        [(1, 0), (1.001, 1), (1.5, 1), (1.501, 2), (3, 2), (3.001, 3), (10, 3), (10.001, 4)],
    ),
    "ALP": (
        [(1, 0), (1.001, 1), (2.5, 1), (2.501, 2), (5, 2), (5.001, 3), (20, 3), (20.001, 4)],
        [(1, 0), (1.999, 0), (2, 1), (2.5, 1), (2.501, 2), (5, 2), (5.001, 3), (20, 3), (20.001, 4)],
    ),
}


@pytest.mark.parametrize("test", LOW)
def test_boundaries_of_low_values(test):
    lln, cases = LOW[test]
    for value, grade in cases:
        assert grade_value(value, test, direction="low", lln=lln).grade == grade, (test, value)
        # Without a lower limit grades 2 to 4 stand, and nothing can be said above them.
        without = grade_value(value, test, direction="low")
        assert without.grade == (grade if grade >= 2 else None), (test, value)
        assert grade >= 2 or "lower limit of normal" in without.reason


@pytest.mark.parametrize("test", HIGH)
def test_boundaries_of_high_values(test):
    uln = 40.0
    normal, high = HIGH[test]
    for factor, grade in normal:
        for baseline in (30.0, uln):
            found = grade_value(factor * uln, test, direction="high", uln=uln, baseline=baseline, baseline_uln=uln)
            assert (found.grade, found.provisional) == (grade, False), (test, factor)
    for factor, grade in high:
        baseline = 44.0
        found = grade_value(factor * baseline, test, direction="high", uln=uln, baseline=baseline, baseline_uln=uln)
        assert (found.grade, found.provisional) == (grade, False), (test, factor)
        # A high baseline needs no upper limit of the result itself.
        bare = grade_value(factor * baseline, test, direction="high", baseline=baseline, baseline_uln=uln)
        assert bare.grade == grade


def test_boundaries_of_lymphocytes_increased():
    for value, grade in [(4, 0), (4.01, 2), (20, 2), (20.01, 3)]:
        assert grade_value(value, "ALC", direction="high").grade == grade


@pytest.mark.parametrize(
    ("baseline", "cases"),
    [  # upper limit 100; a normal baseline of 80, a high one of 120
        (80, [(100, 0), (100.1, 1), (120, 1), (120.1, 2), (240, 2), (240.1, 3), (600, 3), (600.1, 4)]),
        (120, [(100, 0), (100.1, 1), (150, 1), (150.1, 2), (300, 2), (300.1, 3), (600, 3), (600.1, 4)]),
        (40, [(60, 0), (60.1, 2), (120, 2), (120.1, 3), (600, 3), (600.1, 4)]),
    ],
)
def test_creatinine_takes_the_higher_of_limit_and_baseline(baseline, cases):
    for value, grade in cases:
        assert grade_value(value, "CREAT", direction="high", uln=100, baseline=baseline).grade == grade, value


def test_golden_grades():
    # read off the tables of CTCAE v5.0
    assert [grade_value(one, "ANC", direction="low", lln=1.8).grade for one in (1.0, 0.99, 0.5, 0.49)] == [2, 3, 3, 4]
    assert [grade_value(one, "PLT", direction="low", lln=125).grade for one in (75, 74.9)] == [1, 2]
    assert [grade_value(one, "HGB", direction="low", lln=115).grade for one in (100, 80, 79.9)] == [1, 2, 3]
    limits = {"uln": 40, "baseline": 30, "baseline_uln": 40}
    assert [grade_value(one, "ALT", direction="high", **limits).grade for one in (121, 120)] == [2, 1]
    assert grade_value(21, "TBIL", direction="high", uln=20, baseline=10, baseline_uln=20).grade == 1
    # 1.78 x baseline although within normal limits
    assert grade_value(80, "CREAT", direction="high", uln=104, baseline=45).grade == 2


def test_a_missing_baseline_is_provisional():
    found = grade_value(121, "ALT", direction="high", uln=40)
    assert (found.grade, found.provisional) == (2, True)
    # The limit of the baseline is what says whether it was high.
    assert grade_value(121, "ALT", direction="high", uln=40, baseline=100).provisional
    creatinine = grade_value(80, "CREAT", direction="high", uln=104)
    assert (creatinine.grade, creatinine.provisional) == (0, True)
    # 3.1 x baseline is at least grade 3; whether it is above 6 x the upper limit is not known.
    no_limit = grade_value(310, "CREAT", direction="high", baseline=100)
    assert (no_limit.grade, no_limit.provisional) == (3, True)
    assert "no upper limit of normal: grade 4" in no_limit.reason
    assert grade_value(140, "CREAT", direction="high", baseline=100).grade is None
    assert not grade_value(1.2, "ANC", direction="low", lln=1.8).provisional


def test_ten_significant_digits_count():
    # 3 x 0.1 is 0.30000000000000004 as a float, and no more than 3 times the limit
    assert grade_value(0.1 + 0.2, "ALT", direction="high", uln=0.1, baseline=0.1, baseline_uln=0.1).grade == 1
    assert grade_value(1.5 * (1 + 1e-12), "ANC", direction="low", lln=1.8).grade == 1
    assert grade_value(1.5 * (1 - 1e-12), "ANC", direction="low", lln=1.8).grade == 1
    assert grade_value(1.5 * (1 - 1e-9), "ANC", direction="low", lln=1.8).grade == 2


def test_criteria_are_in_the_units_of_analysis():
    for version in ctcae_versions():
        for term in ctcae_terms(version):
            assert term.test == "CRCL" or term.unit == LAB_UNITS[term.test][0]
            grades = [criterion.grade for criterion in term.criteria]
            assert grades == sorted(grades, reverse=True)
            assert all(criterion.text for criterion in (*term.criteria, *term.when_high) if criterion.rules)


VALUES = st.floats(0, 2000)
LIMITS = st.floats(0.01, 500)


@given(test=st.sampled_from(sorted(LOW)), value=VALUES, lower=VALUES, lln=LIMITS)
def test_a_lower_value_never_has_a_lower_grade(test, value, lower, lln):
    here = grade_value(max(value, lower), test, direction="low", lln=lln).grade
    assert grade_value(min(value, lower), test, direction="low", lln=lln).grade >= here


@given(test=st.sampled_from([*sorted(HIGH), "CREAT"]), one=VALUES, two=VALUES, uln=LIMITS, baseline=LIMITS, own=LIMITS)
def test_a_higher_value_never_has_a_lower_grade(test, one, two, uln, baseline, own):
    limits = {"uln": uln, "baseline": baseline, "baseline_uln": own}
    low, high = (grade_value(value, test, direction="high", **limits).grade for value in sorted((one, two)))
    assert low <= high


@given(
    term=st.sampled_from([(one.test, one.direction, name) for name in ("5", "6") for one in ctcae_terms(name)]),
    value=VALUES,
    limits=st.fixed_dictionaries({"lln": LIMITS, "uln": LIMITS, "baseline": LIMITS, "baseline_uln": LIMITS}),
    blank=st.sampled_from(["value", "lln", "uln", "baseline", "baseline_uln"]),
)
def test_a_blank_never_improves_a_grade(term, value, limits, blank):
    """The grade stays, rises, is missing, or says itself that it is provisional."""
    test, direction, version = term
    given_value, given_limits = (math.nan, limits) if blank == "value" else (value, limits | {blank: math.nan})
    before = grade_value(value, test, direction=direction, version=version, **limits)
    after = grade_value(given_value, test, direction=direction, version=version, **given_limits)
    if after.grade is not None and not after.provisional:
        assert before.grade is not None and after.grade >= before.grade
    if blank.startswith("baseline") and test in HIGH and version == "5" and after.grade is not None:
        # Liver: a normal baseline is the stricter assumption, as long as the limits of both days are the same.
        same = limits | {"baseline_uln": limits["uln"]}
        strict = grade_value(value, test, direction=direction, **(same | {"baseline": math.nan}))
        assert strict.grade >= grade_value(value, test, direction=direction, **same).grade


# CTCAE v6.0, as tabulated from the machine-readable criteria of pharmaverse/admiral (ncictcaev6.json).
LOW_6 = {
    "ANC": (None, [(1.5, 0), (1.49, 1), (1.0, 1), (0.99, 2), (0.5, 2), (0.49, 3), (0.1, 3), (0.09, 4)]),
    "WBC": (3.5, [(3.5, 0), (3.49, 1), (3.0, 1), (2.99, 2), (2.0, 2), (1.99, 3), (1.0, 3), (0.99, 4)]),
    "CD4": (0.55, [(0.55, 0), (0.54, 1), (0.5, 1), (0.499, 2), (0.2, 2), (0.199, 3), (0.05, 3), (0.049, 4)]),
    "PLT": (125, [(125, 0), (124, 1), (75, 1), (74.9, 2), (50, 2), (49.9, 3), (10, 3), (9.9, 4)]),
    "HGB": (115, [(115, 0), (114, 1), (100, 1), (99.9, 2), (80, 2), (79.9, 3), (20, 3)]),
    "CRCL": (None, [(90, 0), (49.01, 0), (49, 2), (25.01, 2), (25, 3), (10, 3)]),
}
HIGH_6 = {
    **dict.fromkeys(("ALT", "AST"), (
        ENZYME_NORMAL, [(0.999, 0), (1, 1), (1.5, 1), (1.501, 2), (2, 2), (2.001, 3), (4, 3), (4.001, 4)])),
    "TBIL": (HIGH["TBIL"][0], [(0.999, 0), (1, 1), (1.5, 1), (1.501, 2), (2.5, 2), (2.501, 3), (10, 3), (10.001, 4)]),
}  # fmt: skip


@pytest.mark.parametrize("test", LOW_6)
def test_boundaries_of_low_values_in_version_6(test):
    lln, cases = LOW_6[test]
    for value, grade in cases:
        limits = {} if lln is None else {"lln": lln}
        assert grade_value(value, test, direction="low", version="6", **limits).grade == grade, (test, value)
        without = grade_value(value, test, direction="low", version="6")
        assert without.grade == (grade if grade >= 2 or lln is None else None), (test, value)


@pytest.mark.parametrize("test", HIGH_6)
def test_boundaries_of_high_values_in_version_6(test):
    uln, limits = 40.0, {"uln": 40.0, "baseline_uln": 40.0, "version": "6"}
    normal, high = HIGH_6[test]
    for factor, grade in normal:
        assert grade_value(factor * uln, test, direction="high", baseline=30, **limits).grade == grade, factor
    for factor, grade in high:
        assert grade_value(factor * 44, test, direction="high", baseline=44, **limits).grade == grade, factor


@pytest.mark.parametrize(
    ("baseline", "cases"),
    [  # normal from 45 to 84; the baseline counts below 45 only
        (60, [(84, 0), (84.1, 1), (126, 1), (126.1, 2), (252, 2), (252.1, 3), (504, 3), (504.1, 4)]),
        (100, [(84, 0), (90, 1), (126.1, 2), (252.1, 3)]),
        (45, [(70, 0), (84.1, 1)]),
        (40, [(60, 0), (60.1, 2), (85, 2), (120, 2), (120.1, 3), (504.1, 4)]),
    ],
)
def test_creatinine_in_version_6(baseline, cases):
    limits = {"uln": 84, "baseline": baseline, "baseline_uln": 84, "baseline_lln": 45, "version": "6"}
    for value, grade in cases:
        found = grade_value(value, "CREAT", direction="high", **limits)
        assert (found.grade, found.provisional) == (grade, False), value
    unknown = grade_value(70, "CREAT", direction="high", uln=84, baseline=40, baseline_uln=84, version="6")
    assert (unknown.grade, unknown.provisional) == (0, True)
    assert "no baseline with its lower limit" in unknown.reason


@pytest.mark.parametrize(("test", "version"), [("ALP", "6"), ("EOS", "5")])
def test_above_the_limit_and_above_the_baseline(test, version):
    """A missing one of the two leaves the grade open only where the other does not say no already."""

    def graded(value, **limits):
        found = grade_value(value, test, direction="high", version=version, **limits)
        return found.grade, found.provisional

    assert graded(1.2, uln=0.5, baseline=1.0) == (1, False)
    assert graded(1.0, uln=0.5, baseline=1.0) == graded(0.4, uln=0.5, baseline=0.1) == (0, False)
    assert graded(1.2, uln=0.5) == graded(1.2, baseline=1.0) == graded(1.2) == (None, False)
    assert graded(0.4, uln=0.5) == graded(0.9, baseline=1.0) == (0, False)


def test_hand_examples_of_version_6():
    both = [
        ("PLT", "low", 20, {"lln": 125}, 4, 3), ("ANC", "low", 0.45, {"lln": 1.8}, 4, 3),
        ("ALT", "high", 150, {"uln": 40, "baseline": 90, "baseline_uln": 40}, 1, 2),
        ("CREAT", "high", 95, {"uln": 84, "baseline": 60, "baseline_uln": 84, "baseline_lln": 45}, 2, 1),
        ("CREAT", "high", 70, {"uln": 84, "baseline": 40, "baseline_uln": 84, "baseline_lln": 45}, 2, 2),
        ("CRCL", "low", 20, {}, 3, 3),
    ]  # fmt: skip
    for test, direction, value, limits, five, six in both:
        grades = [grade_value(value, test, direction=direction, version=v, **limits).grade for v in ("5", "6")]
        assert grades == [five, six], test
    below = grade_value(9.99, "CRCL", direction="low", version="6")
    assert below.grade is None
    assert "no grade for so low a value" in below.reason


def test_terms_that_a_version_does_not_hold():
    missing = {(term.test, term.direction) for term in terms_without_criteria("6")}
    assert missing == {("ALC", "low"), ("EOS", "high"), ("EGFR", "low")}
    assert terms_without_criteria("5") == ()
    with pytest.raises(NotAvailableError, match=r"CTCAE v6.0 as entered here has no criteria for ALC low"):
        grade_value(0.4, "ALC", direction="low", version="6")
    with pytest.raises(NotAvailableError, match=r"has no criteria for EGFR.*other versions: 5, 6"):
        grade_value(40, "EGFR", direction="low", version="6")
    with pytest.raises(NotAvailableError, match="one of: 5, 6"):
        ctcae_terms("7")
    with pytest.raises(NotAvailableError, match="HGB high"):
        grade_value(100, "HGB", direction="high")
    assert [ctcae_version(ctcae_name(version)) for version in ctcae_versions()] == ["5", "6"]


GRADED = [(term, version) for version in ctcae_versions() for term in ctcae_terms(version)]


@given(st.sampled_from(GRADED), st.floats(0, 800), st.data())
def test_a_missing_input_never_makes_another_grade(case, value, data):
    """Blanking: without an input the grade is the same, missing, or marked as provisional."""
    term, version = case
    names = ("lln", "uln", "baseline", "baseline_uln", "baseline_lln")
    limits = {name: data.draw(LIMITS) for name in names}
    limits["uln"], limits["baseline_uln"] = (
        limits["uln"] + limits["lln"],
        limits["baseline_uln"] + limits["baseline_lln"],
    )
    whole = grade_value(value, term.test, direction=term.direction, version=version, **limits)
    less = {name: limits[name] for name in names if data.draw(st.booleans())}
    found = grade_value(value, term.test, direction=term.direction, version=version, **less)
    assert found.grade in (None, whole.grade) or found.provisional
