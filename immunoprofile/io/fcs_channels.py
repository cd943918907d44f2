"""Channels of an FCS file from its ``$Pn`` keywords: names, widths, masks and scales."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from immunoprofile.errors import FcsError
from immunoprofile.io.clock import names_clock, time_step
from immunoprofile.io.fcs_layout import Scale, StoredChannel
from immunoprofile.io.fcs_repair import (
    EXPORT_AGAIN,
    REPAIR_AMPLIFIER_MISSING,
    REPAIR_BITS,
    REPAIR_CHANNEL_NAME,
    REPAIR_DUPLICATE_NAMES,
    REPAIR_GAIN,
    REPAIR_LOG_ON_FLOAT,
    REPAIR_LOG_ZERO,
    REPAIR_RANGE_MISSING,
    REPAIR_SURPLUS_CHANNELS,
    Repairs,
)
from immunoprofile.io.fcs_text import channel_count, decimal, integer

Amplifiers = Mapping[str, str]
"""``log`` or ``linear`` by ``$PnN``, ``*`` for all others."""

_WIDTH = {"F": 32, "D": 64}
# Amplifiers have 3 to 7 decades; more is no amplifier, and its linear values would overflow.
_MOST_DECADES = 20.0


@dataclass(frozen=True)
class ChannelText:
    """One channel as the keywords describe it.

    Attributes
    ----------
    pnn, pns
        Its names.
    stored
        Its place in the event.
    is_clock
        Whether it is the Time channel.
    disputed
        Whether it holds floating point data under a log amplifier and nobody stated which of the two is meant.
    """

    pnn: str
    pns: str
    stored: StoredChannel
    is_clock: bool = False
    disputed: bool = False


def read_channels(
    keywords: Mapping[str, str], version: str, repairs: Repairs, amplifiers: Amplifiers | None = None
) -> tuple[str, tuple[ChannelText, ...]]:
    """Read ``$DATATYPE`` and all channels.

    Parameters
    ----------
    keywords
        Keywords of the data set, lower case, without ``$``.
    version
        FCS version; only 3.2 lets a channel have a data type of its own.
    repairs
        Takes the repairs that were needed.
    amplifiers
        What a person states of floating point data under a log amplifier, see `fcs.read_fcs`.

    Returns
    -------
    tuple
        The data type (``I``, ``F``, ``D``), and one `ChannelText` per channel in the order of the file.

    Raises
    ------
    FcsError
        A keyword is missing or unusable without which values would be wrong.
    """
    where = repairs.where
    par = channel_count(keywords, where)
    datatype = _datatype(keywords.get("datatype"), "$DATATYPE", where)
    names = _names(keywords, par, repairs)
    clocks = [names_clock(keywords, n) for n in range(1, par + 1)]
    timestep = time_step(keywords, repairs if any(clocks) else None)[0] or 1.0
    channels: list[ChannelText] = []
    offset = 0
    for n, pnn in enumerate(names, 1):
        own = keywords.get(f"p{n}datatype") if version == "3.2" else None
        kind = _datatype(own, f"$P{n}DATATYPE", where) if own else datatype
        bits = _bits(keywords, n, kind, repairs)
        is_clock = clocks[n - 1]
        reach = _range(keywords, n, kind, bits, repairs)
        said = _stated(amplifiers, pnn, repairs.where)
        decades, log0, disputed = _amplifier(keywords, n, kind, reach, said, repairs)
        scale = Scale(
            decades=decades,
            log0=log0,
            range=reach,
            gain=1.0 if is_clock else _gain(keywords, n, repairs),
            timestep=timestep if is_clock else 1.0,
        )
        mask = _mask(reach, bits) if kind == "I" else None
        stored = StoredChannel(kind, bits, offset, mask, scale)
        channels.append(ChannelText(pnn, keywords.get(f"p{n}s", ""), stored, is_clock, disputed))
        offset += bits
    return datatype, tuple(channels)


def _datatype(text: str | None, keyword: str, where: str) -> str:
    kind = (text or "").upper()
    if kind in ("I", "F", "D"):
        return kind
    reasons = {"": "is missing", "A": "A (numbers as text) is not supported"}
    raise FcsError(f"{keyword} {reasons.get(kind, f'{text!r} is not known')}", where=where, todo=EXPORT_AGAIN)


def _names(keywords: Mapping[str, str], par: int, repairs: Repairs) -> list[str]:
    names = []
    for n in range(1, par + 1):
        name = keywords.get(f"p{n}n", "")
        if not name:
            repairs.note(REPAIR_CHANNEL_NAME, f"P{n}")
        names.append(name or f"P{n}")
    often = {name for name, times in Counter(names).items() if times > 1}
    if often:
        repairs.note(REPAIR_DUPLICATE_NAMES, ", ".join(sorted(often)))
        names = [f"{name} [P{n}]" if name in often else name for n, name in enumerate(names, 1)]
    beyond = [key for key in keywords if (hit := re.fullmatch(r"p([0-9]{1,9})n", key)) and int(hit[1]) > par]
    if beyond:
        repairs.note(REPAIR_SURPLUS_CHANNELS, ", ".join(sorted(key[:-1].upper() for key in beyond)[:6]))
    return names


def _bits(keywords: Mapping[str, str], n: int, kind: str, repairs: Repairs) -> int:
    bits = integer(keywords.get(f"p{n}b"))
    if kind in _WIDTH:
        if bits != _WIDTH[kind]:
            repairs.note(REPAIR_BITS, f"P{n}B {keywords.get(f'p{n}b', 'missing')}")
        return _WIDTH[kind]
    if bits is None or not 1 <= bits <= 64:
        found = repr(keywords[f"p{n}b"]) if f"p{n}b" in keywords else "missing"
        what = f"$P{n}B is {found}: a channel of integers has 1 to 64 bits"
        raise FcsError(what, where=repairs.where, todo=EXPORT_AGAIN)
    return bits


def _range(keywords: Mapping[str, str], n: int, kind: str, bits: int, repairs: Repairs) -> float:
    reach = decimal(keywords.get(f"p{n}r"))
    if reach is not None and reach > 0:
        return reach
    repairs.note(REPAIR_RANGE_MISSING, f"P{n}R {keywords.get(f'p{n}r', 'missing')}")
    return float(2**bits) if kind == "I" else math.nan


def _mask(reach: float, bits: int) -> int | None:
    """Bits below the next power of two of the range count; others may hold something else (FCS 3.1, $PnR)."""
    if reach >= 2.0**bits:
        return None
    mask: int = 2 ** (max(math.ceil(reach), 1) - 1).bit_length() - 1
    return mask if mask < 2**bits - 1 else None


def _stated(amplifiers: Amplifiers | None, pnn: str, where: str) -> str | None:
    """``log`` or ``linear`` where a person says what floating point data under a log amplifier hold."""
    said = None if amplifiers is None else amplifiers.get(pnn, amplifiers.get("*"))
    if said not in (None, "log", "linear"):
        raise FcsError(f"amplifier of {pnn} is stated as {said!r}", where=where, todo="state log or linear")
    return said


def _amplifier(
    keywords: Mapping[str, str], n: int, kind: str, reach: float, said: str | None, repairs: Repairs
) -> tuple[float, float, bool]:
    """Decades, lowest value, and whether the amplifier is disputed.

    FCS 3.1 has floating point data linear, whatever ``$PnE`` says, and the exports of analysis programs are; a few
    files hold the channel numbers of the amplifier all the same. Nothing in one file tells them apart for all files
    of a panel, so that the standard decides until a person does.
    """
    text = keywords.get(f"p{n}e", "")
    parts = [decimal(part) for part in text.split(",")]
    decades, log0 = parts if len(parts) == 2 else (None, None)
    if decades is None or log0 is None or not 0 <= decades <= _MOST_DECADES or not 0 <= log0 <= 1e9:
        if text and kind == "I":
            what = f"$P{n}E {text!r} is no amplifier, so the scale of the channel is unknown"
            raise FcsError(what, where=repairs.where, todo=EXPORT_AGAIN)
        repairs.note(REPAIR_AMPLIFIER_MISSING, f"P{n}E {text or 'missing'}")
        return 0.0, 0.0, False
    if decades == 0:
        return 0.0, log0, False
    if kind != "I" and said != "log":
        if said is None:
            repairs.note(REPAIR_LOG_ON_FLOAT, f"P{n}E {text}")
        return 0.0, 0.0, said is None
    if math.isnan(reach):
        what = f"P{n} is stated to be logarithmic, and its range ($P{n}R) is missing"
        raise FcsError(what, where=repairs.where, todo="state it as linear, or export the file again")
    if log0 == 0:
        repairs.note(REPAIR_LOG_ZERO, f"P{n}E")
    return decades, log0 or 1.0, False


def _gain(keywords: Mapping[str, str], n: int, repairs: Repairs) -> float:
    text = keywords.get(f"p{n}g", "")
    gain = decimal(text)
    if not text or gain == 0:
        # Zero is a common way to say that there is no amplifier to speak of.
        return 1.0
    if gain is None or not 1e-9 <= gain <= 1e9:
        repairs.note(REPAIR_GAIN, f"P{n}G {text}")
        return 1.0
    return gain
