"""Numbers and lists as they stand in explanations."""

from __future__ import annotations

from collections.abc import Iterable

_ONE_DECIMAL_FROM = 10


def shown(value: float, limit: float | None = None) -> str:
    """A number with one decimal from 10 and four digits below, or as many as tell it from its limit.

    Examples
    --------
    >>> shown(28.3956), shown(30.0004, 30), shown(30.0, 30)
    ('28.4', '30.0004', '30')
    """
    short = f"{value:.1f}" if abs(value) >= _ONE_DECIMAL_FROM else f"{value:.4g}"
    if limit is not None and value != limit and float(short) == limit:
        return f"{value:.10g}"
    return short.removesuffix(".0")


def listed(parts: Iterable[str]) -> str:
    """Distinct parts in their order, joined by ``; ``."""
    return "; ".join(dict.fromkeys(part for part in parts if part))
