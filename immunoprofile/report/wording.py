"""How numbers and missing values are written in reports: one place, so that all pages agree."""

from __future__ import annotations

import math
import re
from typing import Final

from immunoprofile.pl.style import p_number

RESEARCH_USE: Final = "Research use only. Not for diagnosis or treatment decisions."
MICRO: Final = "cells/µL"
UNKNOWN: Final = "not recorded"

_SIGNS: Final = {"10^9/L": "10⁹/L", "10^12/L": "10¹²/L", "umol/L": "µmol/L", "cells/uL": "cells/µL"}
_TOGETHER: Final = re.compile(
    r"(?<=\d) (?=%|10[⁹¹]|(?:cells|copies|IU|U|m?g|mg/kg|mL|[mµ]mol)/|(?:points|events|log10|MIU|mg|kg|d|h)\b)"
    r"|(?<=[<>≥≤×]) (?=\d)"
)


def with_signs(words: str) -> str:
    """Words as a page prints them, with the signs of units; the machine-readable twin keeps the plain words."""
    for plain_unit, sign in _SIGNS.items():
        words = words.replace(plain_unit, sign)
    return words


def printed(words: str) -> str:
    """The same, and no line can break between a number and its unit."""
    return _TOGETHER.sub("\N{NO-BREAK SPACE}", with_signs(words))


def percent(value: float) -> str:
    """Percentage with its sign: one decimal, two below 1 %."""
    return "" if math.isnan(value) else f"{value:.2f} %" if abs(value) < 1 and value != 0 else f"{value:.1f} %"


def count(value: float) -> str:
    """Integer with thousands separated."""
    return "" if math.isnan(value) else f"{value:,.0f}"


def log10(value: float) -> str:
    """Two decimals, as all values on the log10 scale."""
    return "" if math.isnan(value) else f"{value:.2f}"


def fold(value: float) -> str:
    """Fold change with its sign of multiplication."""
    return "" if math.isnan(value) else f"×{value:.2f}" if value < 99.95 else f"×{value:.0f}"


def points(value: float) -> str:
    """Difference of two percentages in percentage points."""
    return "" if math.isnan(value) else f"{value:+.2f} points" if abs(value) < 1 else f"{value:+.1f} points"


def p_value(value: float) -> str:
    """P-value with three decimals, never zero, as the figures write it."""
    return p_number(value)


def plain(value: float) -> str:
    """Any other number, at most four significant digits."""
    return "" if math.isnan(value) else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def measured(value: float, unit: str) -> str:
    """Number with its unit; a check without unit is a pure number."""
    if math.isnan(value):
        return ""
    if unit == "points":
        return f"{value:.1f} points"
    return percent(value) if unit == "%" else f"{plain(value)} {unit}".strip()


def fall_or_rise(point: float, lower: float, upper: float) -> str:
    """A fall in log10 in words without a sign: ``fall 1.31``, ``rise 1.44``, ``fall ≥0.86``, ``rise ≤0.20``.

    ``point`` is the fall, negative for a rise; ``lower`` and ``upper`` are its bounds when it is censored, and NaN
    where one is open (``rise ≤0.20``: at most that). Bounds are rounded outwards, so that the words never claim more
    than was measured.
    """
    from immunoprofile.virology import drop_text

    if math.isnan(point) and lower < 0 < upper:
        rise, fall = (drop_text(math.nan, math.nan, size).removeprefix("≤") for size in (-lower, upper))
        return f"rise {rise} to fall {fall}"
    # What rounds to 0.00 is no rise.
    rises = point <= -0.005 or (math.isnan(point) and (upper <= 0 if not math.isnan(upper) else lower < 0))
    point = max(point, 0.0) if not rises and not math.isnan(point) else point
    if rises:
        point, lower, upper = -point, -upper, -lower
    words = drop_text(point, lower, upper)
    return f"{'rise' if rises else 'fall'} {words}" if words else ""


_RULES: Final = {
    "baseline": "Baseline result", "cmv_positive_detect": "CMV-DNA detected",
    "cmv_positive_quant": "CMV-DNA quantified",
    "vr_d14": "Response by day 14", "vr_w4": "Response by week 4",
    "clearance_1": "Clearance, one result below the LLOQ", "clearance_2": "Clearance, two results below the LLOQ",
    "clearance_tnd": "Clearance, not detected", "refractory_2019": "Refractory, 2019 consensus",
    "probable_refractory_2019": "Probably refractory, 2019 consensus",
    "probable_refractory_kotton2025": "Probably refractory, 2025 consensus",
    "failure_1log_2wk": "Fall of less than 1 log10 after two weeks", "blip": "Single positive between negatives",
    "recurrence_two_negatives": "Recurrence after two negatives", "late_onset": "Late onset after the antiviral",
    "entry_registry": "Entry criterion of the registry", "significant_sle": "Significant CMV-DNA in lupus",
}  # fmt: skip


def rule_name(rule: str, version: str = "") -> str:
    """Name of a CMV rule for people, its id (and version) in brackets."""
    words = rule.replace("_", " ")
    ids = f"{rule}, v{version}" if version else rule
    return f"{_RULES.get(rule, words[:1].upper() + words[1:])} ({ids})" if rule else ""


def limit_words(limits: str, unit: str) -> str:
    """Limits with their unit, once."""
    return limits if not (limits and unit) or limits.endswith(unit) else f"{limits} {unit}"


def short_limits(words: str) -> str:
    """Limits with signs in place of words, for a narrow column."""
    return words.replace(" at least ", " ≥ ").replace(" at most ", " ≤ ")


def signed(value: float) -> str:
    """Integer with its sign."""
    return "" if math.isnan(value) else f"{value:+,.0f}"
