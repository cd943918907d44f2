"""Spillover matrices in the keywords of a file, and what older cytometers say that they subtracted themselves."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.compensation.matrix import Spillover, as_shares
from immunoprofile.errors import CompensationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from immunoprofile.io.fcs import Sample

KEYWORDS = ("spillover", "spill", "comp")
"""FCS keywords that may hold a spillover matrix, by precedence: ``$SPILLOVER`` (FCS 3.1), ``SPILL``, ``$COMP``."""

_TODO = "say what holds (comp_source in samples.csv, or gate --comp), or export the file again"
_DFC = re.compile(r"dfc(\d+)to(\d+)")


def from_keywords(sample: Sample) -> Spillover | None:
    """Spillover matrix that the file carries, or None.

    ``$COMP`` of FCS 3.0 is read as a spillover matrix only where a writer put one in it (with channel names); in the
    sense of the standard it tells what was subtracted already, see `subtracted_at_acquisition`.

    Raises
    ------
    CompensationError
        The keyword is there but cannot be used: wrong number of values, unknown channels, singular matrix, or two
        keywords that hold different matrices.
    """
    found: list[Spillover] = []
    for key in KEYWORDS:
        text = sample.keywords.get(key, "")
        if text.strip() and not (key == "comp" and _is_plain_numbers(text)):
            found.append(_parse(text, sample))
    if len(found) > 1 and any(not _same(found[0], other) for other in found[1:]):
        raise CompensationError(
            "two keywords hold different spillover matrices",
            where=sample.name,
            todo="say what holds: comp_source in samples.csv, or gate --comp none, compensated or the file of a matrix",
        )
    return found[0] if found else None


def subtracted_at_acquisition(sample: Sample) -> bool:
    """Whether the keywords say that the cytometer subtracted spillover before it stored the events.

    ``$COMP`` (FCS 3.0) and ``$DFCmTOn`` (FCS 2.0) hold the per cent of one detector that was taken from another in the
    electronics. Such data must not be compensated again. False where all of them are 0 or unreadable.
    """
    text = sample.keywords.get("comp", "")
    if _is_plain_numbers(text):
        numbers = _numbers(text)
        size = int(numbers[0])
        if size >= 1 and numbers.size == 1 + size * size:
            square = numbers[1:].reshape(size, size)
            return bool(np.any(square[~np.eye(size, dtype=bool)] != 0))
    values = [
        value
        for key, value in sample.keywords.items()
        if (named := _DFC.fullmatch(key)) and named.group(1) != named.group(2)
    ]
    return any(_is_plain_numbers(value) and bool(np.any(_numbers(value) != 0)) for value in values)


def _parse(text: str, sample: Sample) -> Spillover:
    parts = [part.strip() for part in text.split(",")]
    try:
        size = int(parts[0])
        if size < 1:
            msg = f"the spillover keyword announces {size} channels"
            raise CompensationError(msg, where=sample.name, todo=_TODO)
        names = tuple(parts[1 : 1 + size])
        values = np.array([float(part) for part in parts[1 + size :]])
    except ValueError as error:
        raise CompensationError("the spillover keyword cannot be parsed", where=sample.name, todo=_TODO) from error
    if values.size != size * size:
        msg = f"the spillover keyword announces {size} channels and holds {values.size} values"
        raise CompensationError(msg, where=sample.name, todo=_TODO)
    known = [channel.pnn for channel in sample.channels]
    if missing := [name for name in names if name not in known]:
        numbered = _by_number(names, known)
        if numbered is None:
            msg = f"the spillover keyword names channels that the file does not have: {', '.join(missing)}"
            raise CompensationError(msg, where=sample.name, todo=_TODO)
        names = numbered
    try:
        shares, per_cent = as_shares(values.reshape(size, size))
        return Spillover(names, shares, "keyword", per_cent)
    except CompensationError as error:
        raise CompensationError(f"the spillover keyword: {error.what}", where=sample.name, todo=_TODO) from error


def _by_number(names: Sequence[str], known: Sequence[str]) -> tuple[str, ...] | None:
    """Channels by their number in the file, as some cytometers write them; None when these are no numbers."""
    if not all(name.isascii() and name.isdigit() and 1 <= int(name) <= len(known) for name in names):
        return None
    return tuple(known[int(name) - 1] for name in names)


def _same(one: Spillover, two: Spillover) -> bool:
    return one.channels == two.channels and np.allclose(one.matrix, two.matrix, rtol=0, atol=1e-6)


def _is_plain_numbers(text: str) -> bool:
    try:
        return bool(np.all(np.isfinite(_numbers(text)))) if text.strip() else False
    except ValueError:
        return False


def _numbers(text: str) -> NDArray[np.float64]:
    return np.array([float(part) for part in text.split(",")])
