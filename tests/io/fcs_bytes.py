"""FCS files byte by byte, for what FlowIO cannot write: an encoder that shares no code with the reader.

Values are encoded with `struct` and plain Python integers, never with numpy.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

FILLER = 58


def encode_integer(value: int, bits: int, order: str) -> bytes:
    return int(value).to_bytes(bits // 8, "little" if order == "<" else "big")


def encode_stream(rows: Sequence[Sequence[int]], bits: Sequence[int], order: str) -> bytes:
    """All values as one stream of bits: lowest bit first (little endian) or highest bit first (big endian)."""
    text = ""
    for row in rows:
        for value, width in zip(row, bits, strict=True):
            digits = format(value, f"0{width}b")
            text += digits[::-1] if order == "<" else digits
    text += "0" * (-len(text) % 8)
    octets = [text[i : i + 8] for i in range(0, len(text), 8)]
    return bytes(int(octet[::-1] if order == "<" else octet, 2) for octet in octets)


def encode(rows: Sequence[Sequence[float]], kinds: Sequence[str], bits: Sequence[int], order: str) -> bytes:
    if any(width % 8 for width in bits):
        return encode_stream([[int(v) for v in row] for row in rows], bits, order)
    out = bytearray()
    for row in rows:
        for value, kind, width in zip(row, kinds, bits, strict=True):
            if kind == "I":
                out += encode_integer(int(value), width, order)
            else:
                out += struct.pack(order + {"F": "f", "D": "d"}[kind], value)
    return bytes(out)


def text_section(pairs: Sequence[tuple[str, str]], delimiter: str = "/", encoding: str = "utf-8") -> bytes:
    """Keywords and values with the delimiter doubled inside values."""
    text = delimiter + "".join(
        f"{name}{delimiter}{value.replace(delimiter, delimiter * 2)}{delimiter}" for name, value in pairs
    )
    return text.encode(encoding)


def fcs(
    rows: Sequence[Sequence[float]],
    names: Sequence[str],
    *,
    version: str = "3.1",
    datatype: str = "F",
    kinds: Sequence[str] | None = None,
    bits: Sequence[int] | None = None,
    ranges: Sequence[object] | None = None,
    order: str = "<",
    delimiter: str = "/",
    encoding: str = "utf-8",
    drop: Sequence[str] = (),
    text: bytes | None = None,
    data: bytes | None = None,
    supplement: bytes = b"",
    header_data: tuple[int, int] | None = None,
    shift: tuple[int, int] = (0, 0),
    padding: bytes = b"",
    keywords: dict[str, str] | None = None,
) -> bytes:
    """One data set. ``header_data`` and ``shift`` (added to the true offsets in the text) make offsets wrong."""
    kinds = list(kinds or [datatype] * len(names))
    bits = list(bits or [{"I": 16, "F": 32, "D": 64}[kind] for kind in kinds])
    ranges = list(ranges or [65536] * len(names))
    data = encode(rows, kinds, bits, order) if data is None else data
    begin = 0
    for _ in range(2):  # the second round knows how long the text is; offsets are padded to a fixed width
        stext = begin + len(data) + len(padding)
        pairs = {
            "$PAR": str(len(names)), "$TOT": str(len(rows)), "$MODE": "L", "$DATATYPE": datatype, "$NEXTDATA": "0",
            "$BYTEORD": "1,2,3,4" if order == "<" else "4,3,2,1",
            "$BEGINDATA": f"{begin + shift[0]:012d}", "$ENDDATA": f"{begin + len(data) - 1 + shift[1]:012d}",
            "$BEGINANALYSIS": "0", "$ENDANALYSIS": "0",
            "$BEGINSTEXT": f"{stext if supplement else 0:012d}",
            "$ENDSTEXT": f"{stext + len(supplement) - 1 if supplement else 0:012d}",
        }  # fmt: skip
        if version == "2.0":
            for name in ("$BEGINDATA", "$ENDDATA", "$BEGINANALYSIS", "$ENDANALYSIS", "$BEGINSTEXT", "$ENDSTEXT"):
                del pairs[name]
        for n, (name, width, reach) in enumerate(zip(names, bits, ranges, strict=True), 1):
            pairs |= {f"$P{n}N": name, f"$P{n}B": str(width), f"$P{n}R": str(reach), f"$P{n}E": "0,0"}
            if kinds[n - 1] != datatype:
                pairs[f"$P{n}DATATYPE"] = kinds[n - 1]
        pairs |= keywords or {}
        body = text_section([(k, v) for k, v in pairs.items() if k not in drop], delimiter, encoding)
        body = body if text is None else body + text
        begin = FILLER + len(body)
    first, last = header_data or (begin, begin + len(data) - 1)
    header = f"FCS{version}    {FILLER:8d}{FILLER + len(body) - 1:8d}{first:8d}{last:8d}{0:8d}{0:8d}".encode()
    return header + body + data + padding + supplement
