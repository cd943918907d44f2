"""Compiled loops of `density`; `event_loops` says when they are used, and what they have to give.

No bounds are checked here: callers see to order, size and that all values are finite.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,assignment"

from __future__ import annotations

import numba
import numpy as np

_OPEN = 16
"""So many places of a density are looked at one by one."""
_LIGHT = 0.57
"""Share of the taps of a kernel that single precision sees: 4.9 of 8.6 standard deviations."""
_ROUNDING = 2.0**-23
"""Twice the rounding of single precision."""

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_jit_fused = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})


@_jit
def exponents(apart, reach, out):
    """Exponents of the kernel of each row, minus infinity beyond its reach."""
    for row in range(apart.size):
        for tap in range(reach[row] + 1):
            place = tap * apart[row]
            out[row, tap] = -0.5 * (place * place)
        out[row, reach[row] + 1 :] = -np.inf


@_jit
def _spread(values, low, gap, lefts, shares, right, padded):
    """Spread ascending values over the two grid points beside each; the grid is the second third of ``padded``."""
    n, grid = values.size, right.size - 1
    mass = padded[grid : 2 * grid]
    right[:] = 0.0
    mass[:] = 0.0
    for i in range(n):
        place = (values[i] - low) / gap
        lefts[i] = np.int32(place)
        shares[i] = place - lefts[i]
    for i in range(n):
        left, share = np.uint32(lefts[i]), shares[i]
        mass[left] += 1 - share
        right[left + np.uint32(1)] += share
    for i in range(lefts[0], min(lefts[n - 1] + 2, grid)):
        mass[i] = (mass[i] + right[i]) / n


@_jit
def _convolve(padded, kernel, last, begin, out):
    """Points of the smoothed grid from ``begin`` on."""
    size, grid = out.size, padded.size // 3
    here = padded[grid + begin : grid + begin + size]
    for i in range(size):
        out[i] = kernel[0] * here[i]
    # Four taps at a time, added one after the other: what is read and written is the sum, not the taps.
    tap = 1
    while tap + 3 <= last:
        w0, w1, w2, w3 = kernel[tap], kernel[tap + 1], kernel[tap + 2], kernel[tap + 3]
        before = padded[grid + begin - tap - 3 : grid + begin + size - tap]
        behind = padded[grid + begin + tap : grid + begin + size + tap + 3]
        for i in range(size):
            one = out[i] + w0 * (before[i + 3] + behind[i])
            one += w1 * (before[i + 2] + behind[i + 1])
            one += w2 * (before[i + 1] + behind[i + 2])
            out[i] = one + w3 * (before[i] + behind[i + 3])
        tap += 4
    while tap <= last:
        weight = kernel[tap]
        before = padded[grid + begin - tap : grid + begin + size - tap]
        behind = padded[grid + begin + tap : grid + begin + size + tap]
        for i in range(size):
            out[i] += weight * (before[i] + behind[i])
        tap += 1


@_jit
def _read_off(padded, kernel, last, start, per, smooth, out):
    """All heights of a row."""
    grid = out.size
    # Only where it is read off.
    begin = int(start)
    end = min(grid, int(start + (grid - 1) * per) + 2)
    _convolve(padded, kernel, last, begin, smooth[begin:end])
    for i in range(grid):
        at = start + i * per
        lower = min(int(at), grid - 2)
        part = at - lower
        out[i] = smooth[lower] + part * (smooth[lower + 1] - smooth[lower])


@_jit
def smooth_rows(ordered, low, gap, kernel, reach, start, per, out):
    """`density._smooth_rows`: rows of values spread over a grid, convolved, and read off."""
    grid = out.shape[1]
    lefts, shares, right = np.empty(ordered.shape[1], dtype=np.int32), np.empty(ordered.shape[1]), np.zeros(grid + 1)
    padded, smooth = np.zeros(3 * grid), np.zeros(grid)
    for row in range(ordered.shape[0]):
        _spread(ordered[row], low[row], gap[row], lefts, shares, right, padded)
        _read_off(padded, kernel[row], reach[row], start[row], per[row], smooth, out[row])


@_jit_fused
def _roughly(single, light, last, begin, out):
    """`_convolve` in single precision."""
    size, grid = out.size, single.size // 3
    here = single[grid + begin : grid + begin + size]
    for i in range(size):
        out[i] = light[0] * here[i]
    for tap in range(1, last - 2, 4):
        w0, w1, w2, w3 = light[tap], light[tap + 1], light[tap + 2], light[tap + 3]
        before = single[grid + begin - tap - 3 : grid + begin + size - tap]
        behind = single[grid + begin + tap : grid + begin + size + tap + 3]
        for i in range(size):
            one = out[i] + w0 * (before[i + 3] + behind[i])
            one += w1 * (before[i + 2] + behind[i + 1])
            one += w2 * (before[i + 1] + behind[i + 2])
            out[i] = one + w3 * (before[i] + behind[i + 3])


@_jit
def _tops_of(line, share):
    """Places of the local maxima above a share of the highest, or of the highest itself."""
    found = np.empty(line.size, dtype=np.int64)
    top, count = line.max(), 0
    for k in range(1, line.size - 1):
        if line[k] > share * top and line[k] > line[k - 1] and line[k] > line[k + 1]:
            found[count] = k
            count += 1
    if not count:
        found[0] = np.argmax(line)
        count = 1
    return found[:count]


@_jit
def _around(padded, kernel, last, start, per, place, grid, few, out):
    """Six heights around a place of the grid, as `_read_off` has them; the point of the first."""
    first = min(max(int((place - start) / per) - 2, 0), grid - out.size)
    begin = int(start + first * per)
    size = min(few.size, grid - begin)
    _convolve(padded, kernel, last, begin, few[:size])
    for i in range(out.size):
        at = start + (first + i) * per
        lower = min(int(at), grid - 2)
        part = at - lower
        lower -= begin
        out[i] = few[lower] + part * (few[lower + 1] - few[lower])
    return first


@_jit
def _tops_near(near, padded, kernel, last, start, per, grid, share, most, found):
    """Local maxima above a share of the highest, ascending, where all that may count lie near some places of the grid.

    Nothing is higher than ``most``. Returns their number; -1 where it takes more heights to tell.
    """
    few, height, tops = np.empty(8), np.empty(6), np.empty(found.size)
    highest, count, sought = 0.0, 0, 1
    for place in near:
        first = _around(padded, kernel, last, start, per, place, grid, few, height)
        highest = max(highest, height.max())
        for i in range(max(1, sought - first), height.size - 1):
            if height[i] > height[i - 1] and height[i] > height[i + 1]:
                found[count], tops[count] = first + i, height[i]
                count += 1
        sought = max(sought, first + height.size - 1)
    kept = 0
    for number in range(count):
        if tops[number] > share * highest:
            if not tops[number] > share * most:
                return -1
            found[kept] = found[number]
            kept += 1
    return kept if kept else -1


@_jit
def tops_of_rows(ordered, low, gap, kernel, reach, start, per, grid, share, row_of, at):
    """`density.tops`: local maxima of densities above a share of the highest of their row; how many there are.

    A density is taken in single precision first. Its error has a bound: only where that leaves a maximum open, the
    heights around are taken as `smooth_rows` has them; and all of them where it leaves much open.
    """
    lefts, shares, right = np.empty(ordered.shape[1], dtype=np.int32), np.empty(ordered.shape[1]), np.zeros(grid + 1)
    padded, smooth, line = np.zeros(3 * grid), np.zeros(grid), np.zeros(grid)
    single, light = np.zeros(3 * grid, dtype=np.float32), np.zeros(grid + 8, dtype=np.float32)
    mass, mass_single = padded[grid : 2 * grid], single[grid : 2 * grid]
    rough, marks = np.zeros(grid, dtype=np.float32), np.zeros(grid, dtype=np.int32)
    words, bits = rough.view(np.int32), np.zeros(1, dtype=np.int32)
    of_bits = bits.view(np.float32)
    near, tops = np.empty(_OPEN, dtype=np.int64), np.empty(4 * _OPEN, dtype=np.int64)
    found = 0
    for row in range(ordered.shape[0]):
        _spread(ordered[row], low[row], gap[row], lefts, shares, right, padded)
        for i in range(grid):
            mass_single[i] = mass[i]
        taps, last, middle = kernel[row], reach[row], kernel[row, 0]
        # The last taps weigh nothing in single precision; whole fours of them are taken.
        kept = min(last, int(_LIGHT * last) + 1)
        light[:] = 0.0
        for tap in range(kept + 1):
            light[tap] = taps[tap] * (1 / middle)
        begin = int(start[row])
        end = min(grid, int(start[row] + (grid - 1) * per[row]) + 2)
        height, size = rough[: end - begin], end - begin
        _roughly(single, light, kept + 3, begin, height)
        # Numbers that are not negative are in the order of their bits.
        summit = np.int32(0)
        for j in range(size):
            summit = words[j] if words[j] > summit else summit
        bits[0] = summit
        top = float(of_bits[0])
        error = top * (kept + 12) * _ROUNDING
        if kept < last:
            error += taps[kept + 1] / middle
        # A height that is larger than both beside it lies beside a point of the grid that is not lower than both. The
        # heights lie as close as the points: the highest of them is not below half of the highest point.
        room, above = np.float32(2 * error), np.float32(0.5 * share * top - error)
        before, behind, mark = height[:-2], height[2:], marks[: size - 2]
        inner = height[1:-1]
        for j in range(size - 2):
            here = inner[j] + room
            mark[j] = (inner[j] >= above) & (here >= before[j]) & (here >= behind[j])
        count = 0
        for j in range(size - 2):
            if mark[j]:
                if count < _OPEN:
                    near[count] = begin + 1 + j
                count += 1
        if count <= _OPEN:
            most = (top + error) * middle * (1 + 1e-9)
            count = _tops_near(near[:count], padded, taps, last, start[row], per[row], grid, share, most, tops)
        else:
            count = -1
        chosen = tops[: max(count, 0)]
        if count < 0:
            _read_off(padded, taps, last, start[row], per[row], smooth, line)
            chosen = _tops_of(line, share)
        for place in chosen:
            row_of[found], at[found] = row, place
            found += 1
    return found
