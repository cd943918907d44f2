"""Compiled steps of the kernel: loops over one block of a column, which the compiler can vectorise."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,assignment"

from __future__ import annotations

import numba
import numpy as np

from immunoprofile.gate.engine.grids import BEYOND, CODES
from immunoprofile.gate.engine.plan import STRAIGHT, TABLE
from immunoprofile.gate.engine.thresholds import LIMIT

WIDE, NATIVE, SWAPPED = range(3)
"""Where events come from: float64, single precision of the machine, single precision of the other byte order."""

ONE = np.uint64(1)

_NO_SIGN = np.int64(0x7FFF_FFFF_FFFF_FFFF)

_jit = numba.njit(nogil=True, error_model="numpy")


@_jit
def load(events, rows, dense, n, column, multiply, divide, scratch, out):
    """One column of some events, linear; its largest size, infinity or NaN where one is not finite."""
    source, small, wide = events
    bits, single, order, number = scratch
    if source == WIDE:
        if dense:
            for k in range(n):
                out[k] = wide[k, column]
        else:
            for k in range(n):
                out[k] = wide[rows[k], column]
    else:
        if dense:
            for k in range(n):
                bits[k] = small[k, column]
        else:
            for k in range(n):
                bits[k] = small[rows[k], column]
        if source == SWAPPED:
            for k in range(n):
                u = bits[k]
                bits[k] = (u >> 24) | ((u >> 8) & np.uint32(0xFF00)) | ((u << 8) & np.uint32(0xFF0000)) | (u << 24)
        for k in range(n):
            out[k] = single[k]
        if multiply != 1.0:
            for k in range(n):
                out[k] = out[k] * multiply
        if divide != 1.0:
            for k in range(n):
                out[k] = out[k] / divide
    # Doubles without their sign are in the order of their bits, with infinity and what is no number at the top
    words = out.view(np.int64)
    top = np.int64(0)
    for k in range(n):
        size = words[k] & _NO_SIGN
        top = size if size > top else top
    order[0] = top
    return number[0]


@_jit
def void(values, n, limit, rows, dense, flags):
    """Flag events with a value beyond a limit and put zero in its place."""
    for k in range(n):
        if not (abs(values[k]) <= limit):
            flags[k if dense else rows[k]] = 1
            values[k] = 0.0


@_jit
def load_below(limit, flags, events, rows, dense, n, column, multiply, divide, scratch, out):
    """The same as `load`; events with a value beyond a limit are flagged and read zero."""
    size = load(events, rows, dense, n, column, multiply, divide, scratch, out)
    if size <= limit:
        return size
    void(out, n, limit, rows, dense, flags)
    return limit


@_jit
def combine(weights, recorded, n, out):
    """Weighted sum of the recorded columns; their number is a multiple of four."""
    for j in range(0, len(weights), 4):
        w0, w1, w2, w3 = weights[j], weights[j + 1], weights[j + 2], weights[j + 3]
        r0, r1, r2, r3 = recorded[j], recorded[j + 1], recorded[j + 2], recorded[j + 3]
        if j == 0:
            for k in range(n):
                out[k] = (w0 * r0[k] + w1 * r1[k]) + (w2 * r2[k] + w3 * r3[k])
        elif w0 != 0.0 or w1 != 0.0 or w2 != 0.0 or w3 != 0.0:
            for k in range(n):
                out[k] += (w0 * r0[k] + w1 * r1[k]) + (w2 * r2[k] + w3 * r3[k])


@_jit
def ratio(upper, lower, n, abc, out):
    """Ratio of two columns; True where one is not finite or beyond the limit."""
    strange = 0
    for k in range(n):
        out[k] = abc[0] * ((upper[k] - abc[1]) / (lower[k] - abc[2]))
        strange |= not (abs(out[k]) <= LIMIT)
    return strange


@_jit
def within(values, n, limits, error, up, inside, begin):
    """Narrow ``inside`` to a range; whether an event of the parent is too near to a limit."""
    low, high, end_low, end_high = limits[0] - error, limits[1] + error, limits[2] - error, limits[3] + error
    near = np.uint64(0)
    if begin:
        for k in range(n):
            x = values[k]
            sure = np.uint64((x >= high) & (x < end_low))
            inside[k] = sure
            near |= (np.uint64((x >= low) & (x < end_high)) ^ sure) & up[k]
    else:
        for k in range(n):
            x = values[k]
            sure = np.uint64((x >= high) & (x < end_low))
            near |= (np.uint64((x >= low) & (x < end_high)) ^ sure) & up[k] & inside[k]
            inside[k] &= sure
    return near


@_jit
def flag_near(values, n, limits, error, up, rows, dense, flags):
    """Flag the events of the parent that `within` found too near to a limit."""
    low, high, end_low, end_high = limits[0] - error, limits[1] + error, limits[2] - error, limits[3] + error
    for k in range(n):
        x = values[k]
        if up[k] and (x >= low) & (x < end_high) and not ((x >= high) & (x < end_low)):
            flags[k if dense else rows[k]] = 1


@_jit
def settle(inside, n, up, invert, own, bit):
    """Write the bit of a node: inside (or outside) and in the parent; how many events are in it."""
    count = np.uint64(0)
    for k in range(n):
        found = (inside[k] ^ invert) & up[k]
        own[k] |= found << bit
        count += found
    return count


@_jit
def on_scale(value, axis, line, lines, bits_of_one, one):
    """Value on the scale of an axis and the bound of its error (infinite where the table does not know)."""
    if axis[1] == TABLE:
        one[0] = value
        table = lines[axis[2], bits_of_one[0] >> 16]
        return table[1] + table[2] * (value - table[0]), table[3]
    if axis[1] == STRAIGHT:
        return (value + line[2]) / line[3], line[4]
    return value, line[4]


@_jit
def in_polygon(x, y, error_x, error_y, corners):
    """1 inside, 0 outside (even-odd), 2 too near to an edge."""
    winding = 0
    count = len(corners)
    for k in range(count):
        ax, ay = corners[k, 0], corners[k, 1]
        following = k + 1 if k + 1 < count else 0
        bx, by = corners[following, 0], corners[following, 1]
        along, across = (bx - ax) * (y - ay), (x - ax) * (by - ay)
        left = along - across
        room = abs(bx - ax) * error_y + abs(by - ay) * error_x + 1e-14 * (abs(along) + abs(across))
        if error_y > 0.0:
            if abs(y - ay) <= error_y:
                return 2
            beside = y >= min(ay, by) - error_y and y <= max(ay, by) + error_y
        else:
            beside = y >= min(ay, by) and y < max(ay, by)
        if beside and abs(left) <= room:
            return 2
        if ay <= y:
            if y < by and left > 0:
                winding += 1
        elif by <= y and left < 0:
            winding -= 1
    return winding & 1


@_jit
def in_form(form, wide, size, point, error):
    """1 inside an ellipsoid, 0 outside, 2 too near to its surface."""
    total, room, terms = 0.0, 0.0, 0.0
    for i in range(size):
        di = point[i] - form[1 + i]
        for j in range(size):
            dj = point[j] - form[1 + j]
            factor = form[1 + wide + i * wide + j]
            total += factor * di * dj
            terms += abs(factor * di * dj)
            room += abs(factor) * (abs(di) * error[j] + abs(dj) * error[i] + error[i] * error[j])
    room = room * 1.01 + 1e-12 * (terms + abs(form[0]))
    if not (abs(total - form[0]) > room):
        return 2
    return 1 if total < form[0] else 0


@_jit
def select(up, n, chosen):
    """Positions of the events of the parent; their number."""
    count = 0
    for k in range(n):
        chosen[count] = k
        count += np.int64(up[k])
    return count


@_jit
def codes_of(values, n, chosen, axis, line, codes, bits, single, out):
    """Code of an axis of the chosen events."""
    if axis[1] == TABLE:
        table = codes[axis[3]]
        for k in range(n):
            single[k] = values[chosen[k]]
        for k in range(n):
            out[k] = table[bits[k] >> 16]
    else:
        for k in range(n):
            out[k] = np.uint32(np.int32(min(max(values[chosen[k]] * line[0] + line[1], 0.0), float(BEYOND))))


@_jit
def grid_codes(first, second, n, line_a, line_b, grid, place, out):
    """Cell of every event where neither axis needs a table."""
    fa, oa, fb, ob = line_a[0], line_a[1], line_b[0], line_b[1]
    for k in range(n):
        a = min(max(first[k] * fa + oa, 0.0), float(BEYOND))
        b = min(max(second[k] * fb + ob, 0.0), float(BEYOND))
        place[k] = np.uint32(np.int32(a) * np.int32(CODES) + np.int32(b))
    for k in range(n):
        out[k] = grid[place[k]]
