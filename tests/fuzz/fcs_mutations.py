"""FCS files that were damaged on purpose: the reader answers each with a sample or a named error, soon and in bounds.

    python -m tests.fuzz.fcs_mutations --cases 100000          the long mode; prints what was seen
    python -m tests.fuzz.fcs_mutations --write 4711 case.fcs   rebuild one case, to look at it

Case number N is the same file on every machine: its own random generator is seeded with the run's seed and N.
"""

from __future__ import annotations

import argparse
import logging
import random
import re
import signal
import sys
import threading
import time
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from immunoprofile.errors import FcsError
from immunoprofile.io.fcs import Sample, read_fcs_bytes
from tests.io.fcs_bytes import fcs

SECONDS = 5.0
MEMORY_FACTOR, MEMORY_EXTRA = 3, 100_000_000

_NUMBERS = (
    "0", "1", "-1", "2", "7", "8", "9", "16", "31", "32", "33", "57", "58", "59", "64", "65", "99", "100", "127", "128",
    "255", "256", "1023", "1024", "65535", "65536", "99999999", "999999999", "2147483647", "2147483648", "4294967296",
    "9223372036854775807", "99999999999999999999", "1e9", "1e999", "nan", "inf", "-inf", "1_000", "0x10", "1.5", "",
    " ", "x", "1,2", "٣", "+5", "1e-300", "4294967295.5",
)  # fmt: skip
_WORDS = (
    "I", "F", "D", "A", "L", "C", "U", "1,2,3,4", "4,3,2,1", "1,2", "2,1", "3,4,1,2", "1,1,1,1", "8,7,6,5,4,3,2,1",
    "0,0", "4,1", "4,0", "0,4", "-4,1", "99,1", "4", "4,1,1", "1e300,1", "nan,nan", "Time", "FSC-A", "$TOT", "/", "//",
    "é\0ü",
)  # fmt: skip
_KEYWORDS = (
    "$PAR", "$TOT", "$DATATYPE", "$BYTEORD", "$MODE", "$BEGINDATA", "$ENDDATA", "$BEGINSTEXT", "$ENDSTEXT", "$NEXTDATA",
    "$TIMESTEP", "$P1B", "$P2B", "$P1R", "$P2R", "$P1E", "$P2E", "$P1G", "$P2G", "$P1N", "$P2N", "$P1DATATYPE", "$P2S",
)  # fmt: skip


@cache
def seeds() -> tuple[bytes, ...]:
    """Small valid files of each kind that the reader knows."""
    chance = random.Random(1)
    floats = [[round(chance.gauss(1000, 300), 3) for _ in range(4)] for _ in range(40)]
    small = [[chance.getrandbits(width) for width in (10, 6, 12, 3)] for _ in range(41)]
    names = ("FSC-A", "FITC-A", "PE-A", "Time")
    log = {"$P2E": "4,1", "$P3G": "2.0", "$TIMESTEP": "0.01", "$P4G": "0.01"}
    second = fcs(small, names, version="3.0", datatype="I", bits=(32,) * 4, keywords=log)
    first = fcs(small, names, version="2.0", datatype="I", keywords={"$NEXTDATA": "0000000"})
    first = first.replace(b"$NEXTDATA/0000000", f"$NEXTDATA/{len(first):07d}".encode())
    return (
        fcs(floats, names, version="3.1", keywords={"$P3G": "2.0", "$TIMESTEP": "0.01"}),
        fcs(
            floats, names, version="3.0", order=">", delimiter="\x0c", keywords={"$SPILL": "2,FITC-A,PE-A,1,0.1,0.2,1"}
        ),
        fcs(floats, names, version="3.2", datatype="D", delimiter="|"),
        fcs(small, names, version="3.2", datatype="I", kinds="IDFI", bits=(16, 64, 32, 8), ranges=(1024, 9, 9, 8)),
        fcs(small, names, version="2.0", datatype="I", order=">", ranges=(1024, 64, 4096, 8), keywords=log),
        fcs(
            small, names, version="3.0", datatype="I", bits=(24, 8, 16, 24), ranges=(1000, 256, 65536, 9), keywords=log
        ),
        fcs(small, names, version="3.0", datatype="I", bits=(10, 6, 12, 3), ranges=(1024, 64, 4096, 8)),
        fcs(small, names, version="2.0", datatype="I", bits=(10, 6, 12, 3), ranges=(1024, 64, 4096, 8), order=">"),
        fcs(floats, names, supplement=b"/$CELLS/PBMC/note/x//y/", keywords={"$P2S": "CD3 ä", "$P3S": ""}),
        fcs(floats, names, encoding="latin-1", delimiter="\\", keywords={"$P2S": "µ"}),
        fcs(floats, names, encoding="utf-16-le"),
        fcs([], names),
        first + second,
    )


def _place(content: bytes, chance: random.Random) -> int:
    """A position, mostly within header and text, where damage tells most."""
    end = min(len(content), 1200) if chance.random() < 0.75 else len(content)
    return chance.randrange(max(end, 1))


def flip_bits(content: bytes, chance: random.Random) -> bytes:
    out = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 5, 30))):
        if out:
            out[_place(content, chance)] ^= 1 << chance.randrange(8)
    return bytes(out)


def set_bytes(content: bytes, chance: random.Random) -> bytes:
    out = bytearray(content)
    for _ in range(chance.choice((1, 2, 8))):
        if out:
            out[_place(content, chance)] = chance.choice((0, 9, 32, 36, 47, 48, 57, 92, 127, 128, 255))
    return bytes(out)


def header_number(content: bytes, chance: random.Random) -> bytes:
    field_ = 10 + 8 * chance.randrange(6)
    if chance.random() < 0.4:
        number = str(chance.randrange(2 * len(content) + 2))
    else:
        number = chance.choice(_NUMBERS)
    return content[:field_] + number.encode()[:8].rjust(8) + content[field_ + 8 :]


def near_number(content: bytes, chance: random.Random) -> bytes:
    """A number of header or text a little off (offsets, counts, widths)."""
    numbers = list(re.finditer(rb"(?<=[^0-9])[0-9]{1,12}(?=[^0-9])", content[:1500]))
    if not numbers:
        return content
    hit = chance.choice(numbers)
    number = max(int(hit.group()) + chance.choice((-8, -2, -1, 1, 1, 2, 8)), 0)
    return content[: hit.start()] + str(number).zfill(len(hit.group())).encode() + content[hit.end() :]


def keyword_value(content: bytes, chance: random.Random) -> bytes:
    """Another value for a keyword: of the same length where that fits (so that offsets stay true), or longer."""
    delimiter = content[58:59] or b"/"
    keyword = chance.choice(_KEYWORDS).encode()
    hit = re.search(re.escape(keyword + delimiter) + b"([^" + re.escape(delimiter) + b"]*)", content)
    value = chance.choice(_NUMBERS + _WORDS).encode()
    if chance.random() < 0.3:
        value = str(chance.randrange(2 * len(content) + 2)).encode()
    if hit is None:
        return duplicate_keyword(content, chance)
    old = hit.group(1)
    return content[: hit.start(1)] + value.ljust(len(old)) + content[hit.end(1) :]


def duplicate_keyword(content: bytes, chance: random.Random) -> bytes:
    delimiter = content[58:59] or b"/"
    value = chance.choice(_NUMBERS + _WORDS).encode()
    return content[:58] + delimiter + chance.choice(_KEYWORDS).encode() + delimiter + value + content[58:]


def truncate(content: bytes, chance: random.Random) -> bytes:
    return content[: _place(content, chance)]


def extend(content: bytes, chance: random.Random) -> bytes:
    return content + chance.choice((b"\x00", b"/", b"\xff", b"FCS3.0    ", b"1")) * chance.choice((1, 7, 300, 5000))


def delete(content: bytes, chance: random.Random) -> bytes:
    start = _place(content, chance)
    return content[:start] + content[start + chance.choice((1, 2, 8, 100)) :]


def repeat(content: bytes, chance: random.Random) -> bytes:
    start = _place(content, chance)
    stop = start + chance.choice((1, 2, 16, 400))
    return content[:stop] + content[start:stop] * chance.choice((1, 3, 40)) + content[stop:]


def blank(content: bytes, chance: random.Random) -> bytes:
    start = _place(content, chance)
    width = min(chance.choice((1, 8, 60, 500)), len(content) - start)
    return content[:start] + chance.choice((b" ", b"\x00", b"/", b"9")) * width + content[start + width :]


def no_delimiters(content: bytes, chance: random.Random) -> bytes:
    delimiter = content[58:59]
    if not delimiter:
        return content
    other = chance.choice((b"x", b"$", b"\x00", delimiter * 2, b""))
    times = chance.choice((-1, 1, 2, 10))
    return content[:58] + content[58:].replace(delimiter, other, times)


def next_data(content: bytes, chance: random.Random) -> bytes:
    number = chance.choice(("1", "58", "-58", str(len(content)), str(len(content) // 2), "99999999999"))
    return re.sub(rb"(\$NEXTDATA.)[^\x00-\x1f/|\\]*", lambda hit: hit.group(1) + number.encode(), content, count=1)


def append_itself(content: bytes, _: random.Random) -> bytes:
    """A second data set without end: ``$NEXTDATA`` of the copy points on."""
    return content * 3 if len(content) < 100_000 else content


MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    flip_bits, set_bytes, header_number, header_number, near_number, near_number, keyword_value, keyword_value,
    keyword_value, keyword_value, duplicate_keyword, truncate, extend, delete, repeat, blank, no_delimiters, next_data,
    append_itself,
)  # fmt: skip


def case(number: int, seed: int = 0) -> bytes:
    """Mutated file ``number`` of the run ``seed``."""
    chance = random.Random(f"{seed}:{number}")
    content = chance.choice(seeds())
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        content = chance.choice(MUTATIONS)(content, chance)
    return content


class Hang(BaseException):
    """One file took longer than `SECONDS`; no `Exception`, so that nothing on the way can catch it."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise `Hang` in the running code when it takes longer (where the system has timers; elsewhere afterwards)."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        began = time.perf_counter()
        yield
        if time.perf_counter() - began > seconds:
            raise Hang
        return

    def stop(_signal: int, _frame: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@dataclass
class Seen:
    """What a run saw."""

    outcomes: Counter[str] = field(default_factory=Counter)
    repairs: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, int] = (0.0, -1)
    largest: tuple[int, int] = (0, -1)


def check_sample(sample: Sample, content: bytes) -> None:
    """What must hold of every sample that comes out of a damaged file."""
    layout = sample.layout
    assert layout is not None
    assert sample.events.shape == (layout.n_events, len(layout.channels)) == (sample.n_events, len(sample.channels))
    assert 0 <= layout.data_offset <= layout.data_offset + layout.length <= len(content)
    assert layout.length == -(-layout.n_events * layout.event_bits // 8)
    assert len({channel.pnn for channel in sample.channels}) == len(sample.channels)
    if not np.isfinite(sample.events).all():
        assert any(repair.startswith("NOTICE_NOT_FINITE") for repair in sample.repairs)
    for channel, stored in zip(sample.channels, layout.channels, strict=True):
        assert np.isfinite([channel.pnr, channel.gain, channel.decades, channel.log0]).all()
        assert channel.pnr > 0
        assert 0 <= stored.offset <= stored.offset + stored.bits <= layout.event_bits


def read_both_ways(content: bytes) -> tuple[Sample, ...] | None:
    """Read leniently and strictly; strict reading accepts exactly what needed no repair. None when it was refused."""
    try:
        samples = read_fcs_bytes(content)
    except FcsError as error:
        assert error.what and error.todo, f"an error without reason or advice: {error!r}"
        samples = None
    # Bits above the range are told and taken off as the standard has it: no repair.
    told = [] if samples is None else [text for sample in samples for text in sample.repairs]
    needs_repair = samples is None or any(not text.startswith("NOTICE_MASKED") for text in told)
    try:
        read_fcs_bytes(content, strict=True)
    except FcsError:
        assert needs_repair, "strict reading refused a file that needs no repair"
    else:
        assert not needs_repair, "strict reading accepted a file that needs repair"
    return samples


def run(cases: int, *, seed: int = 0, start: int = 0, traced_every: int = 20) -> Seen:
    """Read ``cases`` mutated files; AssertionError, `Hang` or any other exception is a defect of the reader.

    Memory is measured (tracemalloc, which slows reading down) on every ``traced_every``-th file, and the size of the
    result on all.
    """
    seen = Seen()
    logging.disable(logging.WARNING)
    try:
        for number in range(start, start + cases):
            content = case(number, seed)
            limit = MEMORY_FACTOR * len(content) + MEMORY_EXTRA
            traced = number % traced_every == 0
            if traced:
                tracemalloc.start()
            began = time.perf_counter()
            try:
                with deadline(SECONDS), warnings.catch_warnings():
                    warnings.simplefilter("error")
                    samples = read_both_ways(content)
                for sample in samples or ():
                    check_sample(sample, content)
                    assert sample.events.nbytes <= limit
                took = time.perf_counter() - began
                peak = tracemalloc.get_traced_memory()[1] if traced else 0
                assert peak <= limit, f"{peak:,} bytes for a file of {len(content):,}"
            except BaseException as error:
                error.add_note(
                    f"case {number} of seed {seed}: python -m tests.fuzz.fcs_mutations --write {number} FILE"
                )
                raise
            finally:
                if traced:
                    tracemalloc.stop()
            repairs = {repair.partition(":")[0] for sample in samples or () for repair in sample.repairs}
            seen.outcomes["refused" if samples is None else "repaired" if repairs else "read"] += 1
            seen.repairs.update(repairs)
            seen.slowest = max(seen.slowest, (took, number))
            seen.largest = max(seen.largest, (peak, number))
    finally:
        logging.disable(logging.NOTSET)
    return seen


def main() -> int:
    parser = argparse.ArgumentParser(description="Read FCS files that were damaged on purpose")
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--write", nargs=2, metavar=("CASE", "FILE"), help="write one case to a file and stop")
    options = parser.parse_args()
    if options.write:
        Path(options.write[1]).write_bytes(case(int(options.write[0]), options.seed))
        return 0
    began = time.perf_counter()
    seen = run(options.cases, seed=options.seed, start=options.start)
    print(f"{options.cases:,} files in {time.perf_counter() - began:.0f} s, seed {options.seed}: {dict(seen.outcomes)}")
    print(f"slowest {seen.slowest[0] * 1000:.1f} ms (case {seen.slowest[1]}), "
          f"largest peak of memory {seen.largest[0] / 1e6:.2f} MB (case {seen.largest[1]})")  # fmt: skip
    for name, count in seen.repairs.most_common():
        print(f"  {name}: {count:,}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
