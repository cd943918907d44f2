"""Events of an FCS file from their binary layout, in blocks, so that only the result and one block are in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from immunoprofile import event_loops
from immunoprofile.errors import FcsError
from immunoprofile.io.fcs_repair import COPY_AGAIN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from immunoprofile.io.fcs_layout import Layout, Scale
    from immunoprofile.io.one_pass import Readable

_BLOCK_BYTES = 1 << 20
# Unpacking bits costs up to 72 bytes per byte (one byte, then one integer, for each bit).
_PACKED_BLOCK_BYTES = 1 << 16
_SCALE_ROWS = 1 << 14
SURVEYED = 20_000
"""Events by which a file is judged that is not kept in memory."""


def read_stored(
    handle: Readable, layout: Layout, where: str, masked: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """Read the stored values, masked but not scaled.

    Parameters
    ----------
    handle
        The open file.
    layout
        Binary layout; it was checked against the size of the file.
    where
        Name of the file in messages.
    masked
        Takes the number of integers of each channel that had bits above their mask.

    Returns
    -------
    ndarray
        float64, events x channels, the values of a channel next to each other in memory. Integers above 2**53 are
        rounded to the nearest float64.

    Raises
    ------
    FcsError
        The file ended earlier than its size said (it is being written, or the disk failed).
    """
    masked = np.zeros(len(layout.channels), dtype=np.int64) if masked is None else masked
    out = np.empty((len(layout.channels), layout.n_events), dtype=np.float64).T
    if not layout.n_events:
        return out
    whole = layout.event_bits % 8 == 0 and all(c.bits % 8 == 0 for c in layout.channels)
    # Eight events always end on a whole byte.
    rows = max(8, (_BLOCK_BYTES if whole else _PACKED_BLOCK_BYTES) * 8 // layout.event_bits // 8 * 8)
    handle.seek(layout.data_offset)
    for start in range(0, layout.n_events, rows):
        stop = min(start + rows, layout.n_events)
        length = -(-(stop - start) * layout.event_bits // 8)
        raw = handle.read(length)
        if len(raw) < length:
            raise FcsError("the file ended while it was read", where=where, todo=COPY_AGAIN)
        part = out[start:stop]
        with np.errstate(all="ignore"):  # signalling NaN in floating point data; told as NOTICE_NOT_FINITE
            if layout.columnar:
                _columns(raw, layout, part, masked)
            elif whole:
                _bytes(raw, layout, part, masked)
            else:
                _bits(raw, layout, part, masked)
    return out


def scale_in_place(events: NDArray[np.float64], scales: tuple[Scale, ...]) -> None:
    """Make stored values linear: logarithm, time step and gain, as `Scale` says (block by block, in place)."""
    with np.errstate(all="ignore"):
        for start in range(0, len(events), _SCALE_ROWS):
            part = events[start : start + _SCALE_ROWS]
            for column, scale in enumerate(scales):
                if scale.is_identity:
                    continue
                values = part[:, column]
                if scale.timestep != 1:
                    values = values * scale.timestep
                if scale.decades:
                    values = 10.0 ** (scale.decades * values / scale.range) * scale.log0
                if scale.gain != 1:
                    values = values / scale.gain
                part[:, column] = values


def _columns(raw: bytes, layout: Layout, out: NDArray[np.float64], masked: NDArray[np.int64]) -> None:
    """Native widths: numpy's own types, one strided view for all channels when they are alike."""
    first = layout.channels[0]
    if all((c.datatype, c.bits) == (first.datatype, first.bits) for c in layout.channels):
        kind = "u" if first.datatype == "I" else "f"
        table = np.frombuffer(raw, dtype=f"{layout.byte_order}{kind}{first.bits // 8}").reshape(out.shape)
        if any(mask is not None for mask in layout.masks):
            every = 2**first.bits - 1
            masks = np.array([every if mask is None else mask for mask in layout.masks], dtype=table.dtype)
            masked += np.count_nonzero(table > masks, axis=0)
            table = table & masks
        out.T[:] = table.T
        return
    records = np.frombuffer(raw, dtype=layout.dtype())
    for column, channel in enumerate(layout.channels):
        values = records[f"c{column}"]
        out[:, column] = values if channel.mask is None else _kept(values, channel.mask, masked, column)


def _kept(values: NDArray[Any], mask: int, masked: NDArray[np.int64], column: int) -> NDArray[Any]:
    """Values without the bits above a mask, which is one less than a power of two; counts those that had some."""
    masked[column] += np.count_nonzero(values > mask)
    kept: NDArray[Any] = values & values.dtype.type(mask)
    return kept


def _bytes(raw: bytes, layout: Layout, out: NDArray[np.float64], masked: NDArray[np.int64]) -> None:
    """Widths of 24, 40, 48 or 56 bits, and mixed byte orders: put together byte by byte."""
    table = np.frombuffer(raw, dtype=np.uint8).reshape(len(out), -1)
    for column, channel in enumerate(layout.channels):
        first, width = channel.offset // 8, channel.bits // 8
        significance = _significance(layout.byte_order, width)
        if channel.datatype != "I":
            order = np.argsort(significance)
            plain = np.ascontiguousarray(table[:, first : first + width][:, order])
            out[:, column] = plain.view(f"<f{width}")[:, 0]
            continue
        values = np.zeros(len(out), dtype=np.uint64)
        for place, power in enumerate(significance):
            values |= table[:, first + place].astype(np.uint64) << np.uint64(8 * power)
        out[:, column] = values if channel.mask is None else _kept(values, channel.mask, masked, column)


def _significance(byte_order: str, width: int) -> list[int]:
    """Power of 256 of each byte of a value, in the order of the file."""
    if byte_order == "<" or width == 1:
        return list(range(width))
    if byte_order == ">":
        return list(range(width))[::-1]
    return [int(rank) - 1 for rank in byte_order]


def _bits(raw: bytes, layout: Layout, out: NDArray[np.float64], masked: NDArray[np.int64]) -> None:
    """Any other width: one stream of bits, lowest first when little endian, highest first when big endian."""
    little = layout.byte_order == "<"
    stream = np.unpackbits(np.frombuffer(raw, dtype=np.uint8), bitorder="little" if little else "big")
    table = stream[: len(out) * layout.event_bits].reshape(len(out), layout.event_bits)
    for column, channel in enumerate(layout.channels):
        powers = np.arange(channel.bits, dtype=np.uint64)
        weights = np.uint64(1) << (powers if little else powers[::-1])
        values = table[:, channel.offset : channel.offset + channel.bits].astype(np.uint64) @ weights
        out[:, column] = values if channel.mask is None else _kept(values, channel.mask, masked, column)


class Survey:
    """A regular share of the events of a file that passes by and is not kept, to judge the file by.

    Parameters
    ----------
    layout
        Binary layout of the file.
    most
        Events to keep at most.

    Attributes
    ----------
    masked
        Number of integers of each channel that had bits above their mask; filled by `read_stored`.
    sha256
        Content hash of the file, once all of it has passed.
    """

    def __init__(self, layout: Layout, most: int = SURVEYED) -> None:
        self.masked = np.zeros(len(layout.channels), dtype=np.int64)
        self.sha256 = ""
        self._step = max(1, -(-layout.n_events // most))
        self._scales = layout.scales
        # a channel next to itself, as in `read_stored`
        self._kept = np.empty((len(layout.channels), -(-layout.n_events // self._step)), dtype=np.float64).T
        self._seen, self._linear = 0, False

    def look(self, start: int, stored: NDArray[Any]) -> bool:
        """Look at the events from ``start`` on, as they are stored, in memory one behind the other.

        Returns
        -------
        bool
            False when they hold what has to be counted event by event: values that are no finite numbers, integers with
            bits above their mask.
        """
        if self.masked.any() or not _all_finite(stored):
            return False
        looked = stored[-start % self._step :: self._step]
        self._kept[self._seen : self._seen + len(looked)] = looked
        self._seen += len(looked)
        return True

    @property
    def events(self) -> NDArray[np.float64]:
        """Every so manieth event, events x channels, linear; asked for when all have passed."""
        if not self._linear:
            self._kept = self._kept[: self._seen]
            scale_in_place(self._kept, self._scales)
            self._linear = True
        return self._kept


def _all_finite(stored: NDArray[Any]) -> bool:
    """Whether no value is infinite or NaN; single precision is judged by its bits, in whatever order of bytes."""
    if stored.dtype.kind == "f" and stored.dtype.itemsize == 4:
        exponent = np.uint32(0x7F800000 if stored.dtype.isnative else 0x0000807F)
        words = stored.view(np.uint32)
        if event_loops.loaded() and words.flags.c_contiguous:
            return not event_loops.loops().any_has_all_bits(words.ravel(), exponent)
        return not bool(((words & exponent) == exponent).any())
    return bool(np.isfinite(stored).all())
