"""What files may hold: types, widths, byte orders, scales, text, offsets (encoded by tests/io/fcs_bytes.py)."""

from __future__ import annotations

import random
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from immunoprofile.errors import FcsError, ImmunoprofileError
from immunoprofile.io.fcs import neighbours, read_fcs, read_fcs_bytes, read_fcs_datasets
from immunoprofile.io.fcs_source import FcsSource, amplifiers_of, named_source
from tests.io.fcs_bytes import encode_stream, fcs

NAMES = ("FSC-A", "FL1-A", "Time")
FLOATS = [(1.5, -2.25, 0.0), (3e5, 0.1, 12.0), (-7.0, 1e-3, 13.5)]


def one(content: bytes, **options):
    samples = read_fcs_bytes(content, **options)
    assert len(samples) == 1
    return samples[0]


def names_of(sample) -> list[str]:
    return [repair.partition(":")[0] for repair in sample.repairs]


@pytest.mark.parametrize("version", ["3.0", "3.1", "3.2"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("datatype", ["F", "D"])
def test_floating_point(version, order, datatype):
    sample = one(fcs(FLOATS, NAMES, version=version, datatype=datatype, order=order), strict=True)
    expected = np.array(FLOATS)
    if datatype == "F":
        expected = np.array([[struct.unpack("<f", struct.pack("<f", v))[0] for v in row] for row in FLOATS])
    np.testing.assert_array_equal(sample.events, expected)
    assert sample.events.dtype == np.float64
    assert sample.version == version
    assert sample.layout.columnar
    assert sample.layout.byte_order == order


def test_fcs_3_2_mixes_types_and_needs_no_mode():
    rows = [(7, 2.5, 100), (65535, -1e300, 101)]
    content = fcs(
        rows, ("FL1-A", "ratio", "ticks"), version="3.2", datatype="I", kinds="IDI", bits=(16, 64, 32),
        ranges=(65536, 10, 2**32), drop=("$MODE", "$NEXTDATA"), keywords={"$P3TYPE": "Time", "$TIMESTEP": "0.5"},
    )  # fmt: skip
    sample = one(content, strict=True)
    np.testing.assert_array_equal(sample.events, [(7, 2.5, 50.0), (65535, -1e300, 50.5)])
    assert [c.datatype for c in sample.layout.channels] == ["I", "D", "I"]
    # The layout alone is enough to read the file again.
    records = np.frombuffer(content, sample.layout.dtype(), count=2, offset=sample.layout.data_offset)
    np.testing.assert_array_equal(records["c1"], [2.5, -1e300])
    np.testing.assert_array_equal(records["c2"], [100, 101])


@given(
    st.lists(st.integers(1, 64), min_size=1, max_size=7),
    st.sampled_from("<>"),
    st.integers(0, 20),
    st.integers(0, 2**32),
)
def test_any_width_of_integers(bits, order, n, seed):
    """Whole bytes as bytes, anything else as one stream of bits: both orders, every width from 1 to 64."""
    chance = random.Random(seed)
    rows = [[chance.getrandbits(width) for width in bits] for _ in range(n)]
    names = [f"P{i}" for i in range(len(bits))]
    sample = one(fcs(rows, names, version="3.0", datatype="I", bits=bits, ranges=[2**b for b in bits], order=order))
    np.testing.assert_array_equal(sample.events, np.array(rows, dtype=object).reshape(n, len(bits)).astype(np.float64))
    assert sample.layout.bits == tuple(bits)
    if n and any(width % 8 for width in bits):
        assert names_of(sample) == ["REPAIR_BIT_PACKED"]


def test_bit_stream_by_hand():
    """Two channels of 10 and 6 bits: 0b1100000001 and 0b000011, written out on paper."""
    assert encode_stream([(0b1100000001, 0b000011)], (10, 6), ">") == bytes([0b11000000, 0b01000011])
    assert encode_stream([(0b1100000001, 0b000011)], (10, 6), "<") == bytes([0b00000001, 0b00001111])
    for order in "<>":
        content = fcs([(769, 3)], "ab", version="2.0", datatype="I", bits=(10, 6), ranges=(1024, 64), order=order)
        np.testing.assert_array_equal(one(content).events, [(769, 3)])


def test_events_that_each_begin_on_a_new_byte():
    rows = [(769, 3), (1, 500), (1023, 7)]
    data = b"".join(encode_stream([row], (10, 10), "<") for row in rows)
    assert len(data) == 9
    content = fcs(rows, "ab", version="3.0", datatype="I", bits=(10, 10), ranges=(1024, 1024), data=data)
    sample = one(content)
    np.testing.assert_array_equal(sample.events, rows)
    assert sample.layout.event_bits == 24


@pytest.mark.parametrize(("ranks", "places"), [("3,4,1,2", (2, 3, 0, 1)), ("2,1,4,3", (1, 0, 3, 2))])
def test_mixed_byte_orders(ranks, places):
    data = b"".join(bytes((value >> (8 * place)) & 255 for place in places) for value in (0x01020304, 77))
    content = fcs([(0,), (0,)], "a", datatype="I", bits=(32,), ranges=(2**32,), data=data, keywords={"$BYTEORD": ranks})
    np.testing.assert_array_equal(one(content).events, [[0x01020304], [77]])
    with pytest.raises(FcsError, match="does not fit channels of 16 bits"):
        read_fcs_bytes(fcs([(1,)], "a", datatype="I", keywords={"$BYTEORD": ranks}))


@pytest.mark.parametrize("bits", [16, 24, 32])
def test_bits_above_the_range_are_masked(bits):
    """A Coulter stores other things above the 10 bits of the value; a range of 1000 keeps 10 bits (FCS 3.1, $PnR)."""
    rows = [(0b1111_0100_0000_0011, 5), (1023, 65535)]
    sample = one(fcs(rows, "ab", datatype="I", bits=(bits, bits), ranges=(1000, 2**bits)), strict=True)
    np.testing.assert_array_equal(sample.events, [(3, 5), (1023, 65535)])
    assert sample.layout.masks == (1023, None)
    assert [text for text in sample.repairs if text.endswith("(a: 1)")] == list(sample.repairs)
    assert names_of(sample) == ["NOTICE_MASKED"]


def test_logarithm_gain_and_time():
    content = fcs(
        [(0, 100, 0), (256, 50, 20), (1023, 0, 30)], ("FL1-H", "FSC-H", "TIME"), datatype="I", ranges=[1024] * 3,
        keywords={"$P1E": "4.0,0.1", "$P2G": "2.5", "$P3G": "0.01", "$TIMESTEP": "0.25"},
    )  # fmt: skip
    sample = one(content, strict=True)
    np.testing.assert_allclose(sample.events[:, 0], [0.1, 1.0, 0.1 * 10 ** (4 * 1023 / 1024)], rtol=1e-15)
    np.testing.assert_array_equal(sample.events[:, 1], [40, 20, 0])
    np.testing.assert_array_equal(sample.events[:, 2], [0, 5, 7.5])  # the gain of Time is no gain
    assert sample.layout.scales[0].decades == 4
    assert [c.gain for c in sample.channels] == [1, 2.5, 1]
    assert sample.layout.scales[2].timestep == 0.25


@pytest.mark.parametrize(
    ("change", "name", "column"),
    [
        ({"$P2E": "4,0"}, "REPAIR_LOG_ZERO", [10**0.4, 10**0.8]),
        ({"$P2G": "x"}, "REPAIR_GAIN", [100, 200]),
        ({"$P2R": "0"}, "REPAIR_RANGE_MISSING", [100, 200]),
        ({"$TIMESTEP": "xxxx"}, "REPAIR_TIMESTEP", [100, 200]),
        ({"$P2N": " "}, "REPAIR_CHANNEL_NAME", [100, 200]),
        ({"$P9N": "old"}, "REPAIR_SURPLUS_CHANNELS", [100, 200]),
    ],
)
def test_each_repair_of_a_channel_has_its_name(change, name, column):
    content = fcs([(1, 100, 3), (2, 200, 4)], NAMES, datatype="I", ranges=(1000, 1000, 1000), keywords=change)
    sample = one(content)
    assert names_of(sample) == [name]
    np.testing.assert_allclose(sample.events[:, 1], column, rtol=1e-15)
    np.testing.assert_array_equal(sample.events[:, 2], [3, 4])
    with pytest.raises(FcsError, match=f"strict reading refuses.*{name}"):
        read_fcs_bytes(content, strict=True)


def test_missing_keywords():
    rows = [(1.0, 2.0, 3.0), (4.0, 50.0, 6.0)]
    sample = one(fcs(rows, NAMES, drop=("$P2R", "$P1E", "$MODE")))
    assert names_of(sample) == ["REPAIR_MODE_MISSING", "REPAIR_AMPLIFIER_MISSING", "REPAIR_RANGE_MISSING"]
    assert sample.channels[1].pnr == 50.0
    for keyword in ("$PAR", "$DATATYPE", "$BYTEORD"):
        with pytest.raises(FcsError, match=rf"\{keyword} is missing"):
            read_fcs_bytes(fcs(rows, NAMES, drop=(keyword,)))
    # Without $TOT the length of the data says how many events there are; FCS 2.0 does not even require it.
    assert names_of(one(fcs(rows, NAMES, drop=("$TOT",)))) == ["REPAIR_TOT_MISSING"]
    np.testing.assert_array_equal(one(fcs(rows, NAMES, version="2.0", drop=("$TOT",)), strict=True).events, rows)


AMPLIFIED = {"$P1E": "4,1", "$P2E": "4,1"}


@pytest.mark.parametrize("brightest", [950.0, 4095.0, 5000.0])
def test_floating_point_data_are_linear_whatever_the_brightest_event(brightest):
    """FCS 3.1 has $PnE 0,0 for floating point data; one bright event must not turn a visit into logarithms."""
    content = fcs(
        [(100.0, 1.0), (100.0, 1.0), (brightest, 1.0)], ("FL1", "FL2"), ranges=(4096, 4096), keywords=AMPLIFIED
    )
    sample = one(content)
    np.testing.assert_array_equal(sample.events[:, 0], [100, 100, brightest])
    assert all(scale.is_identity for scale in sample.layout.scales)
    assert names_of(sample) == ["REPAIR_LOG_ON_FLOAT"]
    assert ("outside its range" in sample.repairs[0]) == (brightest > 4096)
    with pytest.raises(FcsError, match="REPAIR_LOG_ON_FLOAT"):
        one(content, strict=True)


def test_a_person_may_state_the_amplifier_of_floating_point_data(tmp_path):
    path = tmp_path / "a.fcs"
    path.write_bytes(fcs([(0.0, 1024.0), (1024.0, 2048.0)], ("FL1", "FL2"), ranges=(4096, 4096), keywords=AMPLIFIED))
    log = read_fcs(path, amplifiers={"FL1": "log", "*": "linear"}, strict=True)
    np.testing.assert_allclose(log.events, [[1, 1024], [10, 2048]])
    assert log.repairs == ()
    np.testing.assert_allclose(read_fcs(path, amplifiers={"*": "log"}).events, [[1, 10], [10, 100]])
    assert "FL2" in read_fcs(path, amplifiers={"FL1": "log"}).repairs[0]
    with pytest.raises(FcsError, match="stated as 'both'"):
        read_fcs(path, amplifiers={"FL1": "both"})


def test_statements_of_amplifiers_as_people_write_them():
    assert amplifiers_of(["FL1-H=log", "FL=2=linear", "log"]) == (("FL1-H", "log"), ("FL=2", "linear"), ("*", "log"))
    with pytest.raises(ImmunoprofileError, match="neither log nor linear"):
        amplifiers_of(["FL1-H"])


def test_duplicate_names_are_told_apart_by_number():
    sample = one(fcs(FLOATS, ("FL7-A", "FSC-A", "FL7-A")))
    assert [c.pnn for c in sample.channels] == ["FL7-A [P1]", "FSC-A", "FL7-A [P3]"]
    assert names_of(sample) == ["REPAIR_DUPLICATE_NAMES"]
    with pytest.raises(FcsError, match="no channel carries FL7-A"):
        sample.position("FL7-A")
    assert sample.position("FL7-A [P3]") == 2


def test_values_that_are_no_numbers_are_found():
    sample = one(fcs([(1.0, float("nan"), 0.0), (float("inf"), 2.0, 1.0)], NAMES))
    assert names_of(sample) == ["NOTICE_NOT_FINITE"]
    assert "FSC-A: 1, FL1-A: 1" in sample.repairs[0]
    assert np.isnan(sample.events[0, 1])
    assert np.isinf(sample.events[1, 0])


@pytest.mark.parametrize("version", ["2.0", "3.0", "3.1", "3.2"])
def test_no_events(version):
    sample = one(fcs([], NAMES, version=version), strict=True)
    assert sample.events.shape == (0, 3)
    assert sample.layout.length == 0


# Text


@pytest.mark.parametrize("delimiter", ["/", "|", "\\", "\x0c", "*", "!", "\t", "^", "]"])
def test_delimiters_and_doubling(delimiter):
    value = f"a{delimiter}b{delimiter}{delimiter}c"
    sample = one(fcs(FLOATS, NAMES, delimiter=delimiter, keywords={"$P2S": value, "note": "x y"}), strict=True)
    assert sample.keywords["p2s"] == value
    assert sample.channels[1].pns == value
    assert sample.keywords["note"] == "x y"


def test_empty_values_do_not_swallow_their_neighbours():
    content = fcs(FLOATS, NAMES, keywords={"$P1S": "", "$P2S": "", "$P3S": "clock", "last": ""})
    sample = one(content)
    assert (sample.keywords["p1s"], sample.keywords["p2s"], sample.keywords["p3s"]) == ("", "", "clock")
    assert names_of(sample) == ["REPAIR_EMPTY_VALUE"]
    assert "$P1S, $P2S, last" in sample.repairs[0]


@pytest.mark.parametrize(
    ("encoding", "repairs"),
    [
        ("utf-8", []),
        ("latin-1", ["REPAIR_TEXT_ENCODING"]),
        ("utf-16-le", ["REPAIR_TEXT_UTF16"]),
        ("utf-16-be", ["REPAIR_TEXT_UTF16"]),
    ],
)
def test_encodings(encoding, repairs):
    sample = one(fcs(FLOATS, NAMES, encoding=encoding, keywords={"$P2S": "IFN-ä µL"}))
    assert sample.channels[1].pns == "IFN-ä µL"
    assert names_of(sample) == repairs
    assert sample.n_events == 3


def test_padding_behind_the_last_delimiter_is_no_repair():
    for padding in (b"   ", b"\x00", b"/", b"//"):
        assert one(fcs(FLOATS, NAMES, text=padding), strict=True).n_events == 3
    assert names_of(one(fcs(FLOATS, NAMES, text=b"\xba"))) == ["REPAIR_TEXT_END"]
    sample = one(fcs(FLOATS, NAMES, text=b"note/unfinished"))
    assert sample.keywords["note"] == "unfinished"
    assert names_of(sample) == ["REPAIR_TEXT_UNTERMINATED"]


def test_standard_keywords_go_before_private_ones():
    sample = one(fcs(FLOATS, NAMES, keywords={"$DATE": "22-NOV-2026", "DATE": "yesterday"}), strict=True)
    assert sample.keywords["date"] == "22-NOV-2026"


def test_duplicated_keywords():
    sample = one(fcs(FLOATS, NAMES, text=b"$CYT/one/$CYT/two/"))
    assert sample.keywords["cyt"] == "two"
    assert names_of(sample) == ["REPAIR_DUPLICATE_KEYWORD"]
    assert one(fcs(FLOATS, NAMES, text=b"$CYT/one/$CYT/one/"), strict=True).n_events == 3
    with pytest.raises(FcsError, match="keyword PAR stands twice, as '3' and as '2'"):
        read_fcs_bytes(fcs(FLOATS, NAMES, text=b"$PAR/2/"))


def test_supplemental_text():
    more = b"/$CELLS/PBMC/$CYT/never/"
    sample = one(fcs(FLOATS, NAMES, supplement=more, keywords={"$CYT": "main"}), strict=True)
    assert (sample.keywords["cells"], sample.keywords["cyt"]) == ("PBMC", "main")
    for broken in (
        {"supplement": b"PK\x03\x04 an archive"},
        {"keywords": {"$BEGINSTEXT": "900", "$ENDSTEXT": "99999"}},
    ):
        assert names_of(one(fcs(FLOATS, NAMES, **broken))) == ["REPAIR_SUPPLEMENTAL_TEXT"]


# Offsets and data sets


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"shift": (0, 1)}, "REPAIR_OFFSET_DISCREPANCY"),
        ({"shift": (30, 30)}, "REPAIR_OFFSET_DISCREPANCY"),
        ({"header_data": (61, 96)}, "REPAIR_OFFSET_DISCREPANCY"),
        ({"header_data": (0, 0)}, "REPAIR_OFFSET_MISSING"),
        ({"drop": ("$BEGINDATA", "$ENDDATA")}, "REPAIR_OFFSET_MISSING"),
        ({"keywords": {"$NEXTDATA": "12"}}, "REPAIR_NEXTDATA"),
        ({"keywords": {"$P1B": "16"}}, "REPAIR_BITS"),
    ],
)
def test_wrong_offsets(options, name):
    sample = one(fcs(FLOATS, NAMES, datatype="F", **options))
    assert names_of(sample) == [name]
    np.testing.assert_array_equal(sample.events, np.array(FLOATS, dtype=np.float32))
    with pytest.raises(FcsError, match=name):
        read_fcs_bytes(fcs(FLOATS, NAMES, **options), strict=True)


def test_end_of_data_one_too_far_everywhere():
    content = fcs(FLOATS, NAMES, shift=(0, 1))
    begin = int(content[26:34])
    content = content[:34] + f"{begin + 36:8d}".encode() + content[42:]
    assert names_of(one(content)) == ["REPAIR_OFFSET_BY_ONE"]


def test_filler_behind_the_events():
    sample = one(fcs(FLOATS, NAMES, data=fcs(FLOATS, NAMES)[-36:] + b"\x00" * 100))
    assert names_of(sample) == ["REPAIR_DATA_PADDING"]
    assert sample.n_events == 3
    with pytest.raises(FcsError, match=r"\$TOT says 3 events, the data section has room for 5"):
        read_fcs_bytes(fcs(FLOATS, NAMES, data=fcs(FLOATS, NAMES)[-36:] + b"\x01" * 24))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"keywords": {"$PAR": "999999999"}}, "promises 999,999,999 channels"),
        ({"keywords": {"$TOT": "99999999999999"}}, "events need 1,199,999,999,999,988 bytes"),
        ({"keywords": {"$MODE": "C"}}, "no list of events"),
        ({"keywords": {"$DATATYPE": "A"}}, "numbers as text"),
        ({"keywords": {"$BYTEORD": "1,1"}}, "no order of bytes"),
        ({"datatype": "I", "keywords": {"$P1B": "0"}}, "1 to 64 bits"),
        ({"datatype": "I", "keywords": {"$P1E": "four"}}, "no amplifier"),
        ({"shift": (10**9, 10**9), "header_data": (0, 0)}, "cut off"),
        ({"version": "9.9"}, "not known"),
    ],
)
def test_refusals_say_why(options, reason):
    with pytest.raises(FcsError, match=reason):
        read_fcs_bytes(fcs([(1, 2, 3)], NAMES, **options))


def test_cut_off_file_says_what_is_missing():
    content = fcs(FLOATS, NAMES)
    whole = len(content)
    with pytest.raises(FcsError, match=f"promises {whole:,} bytes, the file has {whole - 5:,}"):
        read_fcs_bytes(content[:-5])


def test_several_data_sets(tmp_path):
    second = fcs([(1, 2), (3, 4)], "ab", version="3.0", datatype="I")
    first = fcs(FLOATS, NAMES, version="2.0", keywords={"$NEXTDATA": "0000000"})
    first = first.replace(b"$NEXTDATA/0000000", f"$NEXTDATA/{len(first):07d}".encode())
    path = tmp_path / "tube.lmd"
    path.write_bytes(first + second)
    samples = read_fcs_datasets(path, strict=True)
    assert [s.name for s in samples] == ["tube.lmd[1]", "tube.lmd[2]"]
    np.testing.assert_array_equal(samples[1].events, [(1, 2), (3, 4)])
    assert samples[0].sha256 == samples[1].sha256
    with pytest.raises(FcsError, match=r"several data sets \(1: FCS 2.0, 3 events, 3 channels; 2: FCS 3.0, 2 events"):
        read_fcs(path)
    np.testing.assert_array_equal(read_fcs(path, dataset=2).events, samples[1].events)
    with pytest.raises(FcsError, match="no data set 3"):
        read_fcs(path, dataset=3)
    assert named_source(tmp_path / "tube.lmd[2]") == FcsSource(path, 2)
    np.testing.assert_array_equal(named_source(tmp_path / "tube.lmd[2]").read().events, samples[1].events)
    (tmp_path / "odd[2]").write_bytes(second)
    assert named_source(tmp_path / "odd[2]").dataset is None


@pytest.mark.parametrize("damage", ["header", "text", "data"])
def test_a_broken_data_set_does_not_spoil_the_sound_one(tmp_path, damage):
    second = fcs([(1, 2), (3, 4)], "ab", version="3.0", datatype="I")
    first = fcs(FLOATS, NAMES, version="2.0", keywords={"$NEXTDATA": "0000000"})
    first = first.replace(b"$NEXTDATA/0000000", f"$NEXTDATA/{len(first):07d}".encode())
    cut = {"header": second[:30], "text": second[:58] + b"a" + second[59:], "data": second[:-3]}[damage]
    path = tmp_path / "tube.lmd"
    path.write_bytes(first + cut)
    sound = read_fcs(path, dataset=1)
    np.testing.assert_array_equal(sound.events, one(fcs(FLOATS, NAMES, version="2.0")).events)
    (only,) = read_fcs_datasets(path)
    np.testing.assert_array_equal(only.events, sound.events)
    assert "NOTICE_DATA_SET_BROKEN" in str(only.repairs)
    with pytest.raises(FcsError):
        read_fcs_datasets(path, strict=True)
    with pytest.raises(FcsError, match=r"tube\.lmd\[2\]"):
        read_fcs(path, dataset=2)
    if damage != "data":
        assert "NOTICE_DATA_SET_BROKEN" in str(read_fcs(path).repairs)


@pytest.mark.parametrize(("columns", "taken"), [([2, 3, 4], slice(2, 5)), ([0], slice(0, 1)), ([1, 3], [1, 3]),
                                                ([3, 2], [3, 2]), ([], slice(0, 0))])  # fmt: skip
def test_columns_that_follow_each_other_are_a_slice(columns, taken):
    assert neighbours(columns) == taken
