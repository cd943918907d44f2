"""Units of laboratory values and of doses, and the rounding before a number meets a limit."""

from __future__ import annotations

import math
from typing import Final

from immunoprofile.errors import UnitError
from immunoprofile.schema import LAB_UNITS, lab_unit

SIGNIFICANT_DIGITS: Final = 10
"""Digits that count when a value is compared with a limit: 3 x 0.1 is not above 0.3."""

MG_PER_UNIT: Final = {"mg": 1.0, "g": 1000.0, "ug": 1e-3, "mcg": 1e-3}

_SIGNS = str.maketrans({"µ": "u", "μ": "u", "²": "2", "³": "3", "⁹": "^9", "⁶": "^6"})


def significant(value: float) -> float:
    """The value to ten significant digits; NaN and infinities stay."""
    if value == 0 or not math.isfinite(value):
        return value
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def plain_unit(unit: str) -> str:
    """A unit without blanks and with plain letters: ``µmol/L`` is ``umol/L``; empty when it is missing."""
    return unit.strip().translate(_SIGNS)


def analysis_unit(test: str) -> str:
    """Unit in which a laboratory test is analysed.

    Raises
    ------
    UnitError
        The test is unknown.
    """
    return _units(test)[0]


def lab_value(value: float, unit: str, test: str) -> float:
    """A laboratory value in the unit of analysis of its test.

    Parameters
    ----------
    value
        As the laboratory gave it; NaN stays NaN.
    unit
        Unit of the value, one of ``schema.LAB_UNITS[test]`` in any spelling that `schema.lab_unit` reads.
    test
        Test of the labs table, for example ``CREAT``.

    Raises
    ------
    UnitError
        The test or the unit is unknown; the message lists the units of the test.

    Examples
    --------
    >>> lab_value(1.0, "mg/dL", "CREAT")
    88.42
    """
    return float(value) * _factor(unit, test)


def lab_value_in(value: float, unit: str, test: str) -> float:
    """A value in the unit of analysis, expressed in another unit: the way back of `lab_value`."""
    return float(value) / _factor(unit, test)


def _units(test: str) -> tuple[str, dict[str, float]]:
    if test not in LAB_UNITS:
        raise UnitError(
            f"no laboratory test {test!r}", where="labs.csv, column test", todo=f"one of: {', '.join(LAB_UNITS)}"
        )
    return LAB_UNITS[test]


def _factor(unit: str, test: str) -> float:
    factors = _units(test)[1]
    name = lab_unit(test, plain_unit(unit))
    if name not in factors:
        what = f"{unit!r} is no unit of {test}" if name else f"{test} has no unit"
        raise UnitError(what, where="labs.csv, column unit", todo=f"one of: {', '.join(factors)}")
    return factors[name]
