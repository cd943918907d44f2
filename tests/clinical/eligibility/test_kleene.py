"""Truth tables of Kleene's strong logic, written out; unknown is None."""

from __future__ import annotations

import itertools

import pytest

from immunoprofile.clinical.screening.kleene import (
    State,
    Truth,
    all_of,
    any_of,
    composite,
    negated,
    overall,
    when_met,
    when_present,
)

AND = {
    (True, True): True, (True, False): False, (True, None): None,
    (False, True): False, (False, False): False, (False, None): False,
    (None, True): None, (None, False): False, (None, None): None,
}  # fmt: skip
OR = {
    (True, True): True, (True, False): True, (True, None): True,
    (False, True): True, (False, False): False, (False, None): None,
    (None, True): True, (None, False): None, (None, None): None,
}  # fmt: skip
TRUTHS: tuple[Truth, ...] = (True, False, None)
STATES: tuple[State, ...] = ("PASS", "FAIL", "UNKNOWN", "NOT_APPLICABLE")

P, F, U, N = STATES
COMPOSITE = {
    (P, P): P, (P, F): F, (P, U): U, (P, N): P,
    (F, P): F, (F, F): F, (F, U): F, (F, N): F,
    (U, P): U, (U, F): F, (U, U): U, (U, N): U,
    (N, P): P, (N, F): F, (N, U): U, (N, N): N,
}  # fmt: skip


@pytest.mark.parametrize(("pair", "expected"), AND.items())
def test_and(pair: tuple[Truth, Truth], expected: Truth) -> None:
    assert all_of(pair) is expected


@pytest.mark.parametrize(("pair", "expected"), OR.items())
def test_or(pair: tuple[Truth, Truth], expected: Truth) -> None:
    assert any_of(pair) is expected


def test_not_and_the_empty_combination() -> None:
    assert [negated(one) for one in TRUTHS] == [False, True, None]
    assert all_of([]) is True
    assert any_of([]) is False


@pytest.mark.parametrize("many", [*itertools.product(TRUTHS, repeat=4)])
def test_combinations_are_known_exactly_when_the_unknown_cannot_change_them(many: tuple[Truth, ...]) -> None:
    filled = [
        [given if given is not None else guess for given, guess in zip(many, guesses, strict=True)]
        for guesses in itertools.product((True, False), repeat=4)
    ]
    for combined, plain in ((all_of, all), (any_of, any)):
        possible = {plain(one) for one in filled}  # type: ignore[operator]
        assert combined(many) is (possible.pop() if len(possible) == 1 else None)
    assert negated(all_of(many)) is any_of(negated(one) for one in many)


def test_states_of_inclusions_and_exclusions() -> None:
    assert [when_met(one) for one in TRUTHS] == ["PASS", "FAIL", "UNKNOWN"]
    assert [when_present(one) for one in TRUTHS] == ["FAIL", "PASS", "UNKNOWN"]


@pytest.mark.parametrize(("pair", "expected"), COMPOSITE.items())
def test_composite(pair: tuple[State, State], expected: State) -> None:
    assert composite(pair) == expected


@pytest.mark.parametrize("many", [*itertools.product(STATES, repeat=3)])
def test_composites_of_composites_and_the_overall_state(many: tuple[State, ...]) -> None:
    assert composite(many) == composite([composite(many[:2]), many[2]])
    expected = "INELIGIBLE" if F in many else "INDETERMINATE" if U in many else "ELIGIBLE"
    assert overall(many) == expected


def test_nothing_judged_does_not_pass() -> None:
    with pytest.raises(ValueError, match="at least one"):
        composite([])
    with pytest.raises(ValueError, match="at least one"):
        overall([])
