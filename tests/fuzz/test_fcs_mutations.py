"""10,000 damaged FCS files in every run; the long mode is described in docs/fuzzing.md."""

from __future__ import annotations

import os
import time
import tracemalloc

import pytest

from immunoprofile.errors import FcsError
from immunoprofile.io.fcs import read_fcs_bytes
from immunoprofile.io.fcs_repair import EXPLANATIONS
from tests.fuzz.fcs_mutations import MEMORY_EXTRA, MEMORY_FACTOR, SECONDS, case, check_sample, deadline, run, seeds
from tests.io.fcs_bytes import fcs

# Smaller while somebody works on the reader: IMMUNOPROFILE_FUZZ_CASES=500.
CASES = int(os.environ.get("IMMUNOPROFILE_FUZZ_CASES", "10000"))


def test_seeds_are_valid():
    for content in seeds():
        for sample in read_fcs_bytes(content):
            check_sample(sample, content)
            assert not {r.partition(":")[0] for r in sample.repairs} - {
                "REPAIR_BIT_PACKED", "REPAIR_TEXT_ENCODING", "REPAIR_TEXT_UTF16", "REPAIR_EMPTY_VALUE",
            }  # fmt: skip


def test_cases_are_the_same_everywhere():
    assert case(17) == case(17)
    assert case(17) != case(18)


def test_damaged_files_end_in_a_sample_or_a_named_error():
    began = time.perf_counter()
    seen = run(CASES)
    assert sum(seen.outcomes.values()) == CASES
    # The run means something only when it reaches all three ways out, and most repairs.
    assert min(seen.outcomes[way] for way in ("read", "repaired", "refused")) > 0.05 * CASES
    assert set(seen.repairs) <= set(EXPLANATIONS)
    if CASES >= 10_000:
        assert len(seen.repairs) >= 20
    assert seen.slowest[0] < SECONDS
    assert time.perf_counter() - began < 90 * max(CASES / 10_000, 1)


def test_an_end_before_the_begin_is_refused():
    """Found by the long mode: without $TOT it gave a negative number of events."""
    with pytest.raises(FcsError, match="are said to be at bytes 900 to 700"):
        read_fcs_bytes(fcs([(1.0,)], ["a"], drop=("$TOT", "$BEGINDATA", "$ENDDATA"), header_data=(900, 700)))


def text_only(text: bytes) -> bytes:
    return b"FCS3.1    " + b"".join(b"%8d" % n for n in (58, 57 + len(text), 0, 0, 0, 0)) + text


@pytest.mark.parametrize(
    "text",
    [
        b"/" * 4_000_000,
        b"/a" * 2_000_000,
        b"/" + b"$" * 3_999_999,
        b"/" + b"$PAR/" + b"9" * 15_000_000 + b"/",
        b"/\x00" * 1_500_000,
        b"/" + b"x" * 40_000_000,
        b"/" + b"".join(b"a%d//" % n for n in range(49_000)),
        b"/" + b"".join(b"$P%dB/x/" % n for n in range(49_000)),
        b"/" + b"".join(b"$CYT/%d/" % n for n in range(49_000)),
    ],
    ids=["delimiters", "pairs", "one keyword", "one value", "utf-16", "40 MB", "empty", "channels", "duplicates"],
)
def test_large_text_is_refused_soon_and_in_bounds(text):
    content = text_only(text)
    with deadline(SECONDS), pytest.raises(FcsError):
        read_fcs_bytes(content)
    tracemalloc.start()  # slows reading down several times, so that the clock runs without it
    with pytest.raises(FcsError):
        read_fcs_bytes(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= MEMORY_FACTOR * len(content) + MEMORY_EXTRA


def test_very_many_channels_are_read_soon():
    names = [f"c{n}" for n in range(3000)]
    content = fcs([[1.0] * 3000] * 2, names)
    with deadline(SECONDS):
        (sample,) = read_fcs_bytes(content)
    assert sample.events.shape == (2, 3000)


def test_endless_chain_of_data_sets_is_refused():
    one = fcs([(1.0,)], ["a"], keywords={"$NEXTDATA": "0000000"})
    link = one.replace(b"$NEXTDATA/0000000", f"$NEXTDATA/{len(one):07d}".encode())
    with deadline(SECONDS), pytest.raises(FcsError, match="more than 32 data sets"):
        read_fcs_bytes(link * 2000 + one)


def test_data_sets_do_not_share_their_text():
    """Headers in a row that all point to one text: it is read once, and the chain ends there."""
    head = b"FCS3.0    " + b"".join(b"%8d" % n for n in (58 * 20, 58 * 20 + 39, 0, 0, 0, 0))
    content = head * 20 + b"/$PAR/1/$TOT/0/$NEXTDATA/58/$CYT/none/xx" + b"/" * 2000
    with pytest.raises(FcsError, match="DATATYPE is missing"):
        read_fcs_bytes(content)


def test_a_claim_costs_no_memory():
    """A hundred bytes that promise 10^17 events: refused before anything is reserved for them."""
    assert MEMORY_EXTRA == 100_000_000
    for change in ({"$TOT": "100000000000000000"}, {"$PAR": "100000000"}, {"$ENDDATA": "999999999999"}):
        with pytest.raises(FcsError):
            read_fcs_bytes(fcs([(1.0,)], ["a"], keywords=change, header_data=(0, 0)))
