"""Compiled loops over the events of a file; `event_loops` says when they are used, and what they have to give.

No bounds are checked here: callers see to order, size and that what is sorted is a number.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,assignment"

from __future__ import annotations

import numba
import numpy as np

_SHARE = 2.0**-12
"""Values are told apart in shares of their size down to this share of the largest, and in equal steps below."""
_OCTAVES = 13
"""Those of `_SHARE`, and one for rounding."""
_FINE, _COARSE = 9, 7
"""Bits of a fraction that number the steps of an octave: where few of many steps are looked into, and where all are
counted anew for each group."""
_LARGEST, _LEAST = 1e300, 1e-280
_FEW = 48
"""So many values are selected from as they are."""
_ONE = np.uint64(1)
_NO_SIGN = np.int64(0x7FFF_FFFF_FFFF_FFFF)
_GAPS = (1750, 701, 301, 132, 57, 23, 10, 4, 1)

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@_jit
def _size(values):
    """Largest absolute value; -1 where one is no finite number, or all are too small to be told apart here."""
    # Without their sign, doubles are in the order of their bits, with infinity and what is no number at the top.
    words = values.view(np.int64)
    highest = np.int64(0)
    for k in range(values.size):
        size = words[k] & _NO_SIGN
        highest = size if size > highest else highest
    bits = np.empty(1, dtype=np.int64)
    bits[0] = highest
    top = bits.view(np.float64)[0]
    return top if _LEAST <= top <= _LARGEST else -1.0


@_jit
def _steps_of(values, top, fine, away, steps):
    """A number of each value that rises with it, from 0 on; half of how many there may be."""
    shift = top * _SHARE
    half = _OCTAVES << fine
    away[0] = shift
    words = away.view(np.int64)
    dropped = 52 - fine
    first = words[0] >> dropped
    for k in range(values.size):
        away[k] = abs(values[k]) + shift
    for k in range(values.size):
        step = (words[k] >> dropped) - first
        steps[k] = half + step if values[k] >= 0.0 else half - 1 - step
    return half


@_jit
def _sort(part):
    """Shellsort, for the few values of a step."""
    for gap in _GAPS:
        for k in range(gap, part.size):
            value = part[k]
            at = k
            while at >= gap and part[at - gap] > value:
                part[at] = part[at - gap]
                at -= gap
            part[at] = value


@_jit
def _select(part, n, rank):
    """Value of a rank of the first n; those before it are not larger afterwards (Hoare's selection)."""
    low, high = 0, n - 1
    while low < high:
        a, b, c = part[low], part[(low + high) >> 1], part[high]
        middle = max(min(a, b), min(max(a, b), c))
        i, j = low, high
        while i <= j:
            while part[i] < middle:
                i += 1
            while part[j] > middle:
                j -= 1
            if i <= j:
                part[i], part[j] = part[j], part[i]
                i += 1
                j -= 1
        if rank <= j:
            high = j
        elif rank >= i:
            low = i
        else:
            break
    return part[rank]


@_jit
def ranked(values, ranks, out):
    """Values of ascending ranks; False where another way has to be taken."""
    n = values.size
    top = _size(values)
    if top < 0.0:
        return False
    away = np.empty(n)
    steps = np.empty(n, dtype=np.uint16)
    count = 2 * _steps_of(values, top, _FINE, away, steps)
    often = np.zeros(count, dtype=np.int32)
    for k in range(n):
        often[steps[k]] += 1
    # Of the steps that hold a rank: where their values are put, and how many values lie below.
    place = np.full(count, -1, dtype=np.int32)
    below = np.zeros(count, dtype=np.int32)
    reached, wanted, kept = 0, 0, 0
    for step in range(count):
        below[step] = reached
        reached += often[step]
        if wanted < ranks.size and ranks[wanted] < reached:
            place[step] = kept
            kept += often[step]
            while wanted < ranks.size and ranks[wanted] < reached:
                out[wanted] = step
                wanted += 1
    if kept > n // 2 + _FEW:
        return False
    found = np.empty(kept)
    for k in range(n):
        at = place[steps[k]]
        if at >= 0:
            found[at] = values[k]
            place[steps[k]] = at + 1
    last = -1
    for number in range(ranks.size):
        step = int(out[number])
        begin = place[step] - often[step]
        if step != last:
            _sort(found[begin : place[step]])
            last = step
        out[number] = found[begin + ranks[number] - below[step]]
    return True


@_jit
def medians_of_groups(columns, words, bits, counts, within, out, sure):
    """Median of each column over the events of each group: groups x columns; NaN for a group without events.

    ``words`` are words x events, ``bits`` the place of each group in them, ``counts`` its events, ``within`` an earlier
    group that holds all of them, or -1. ``sure`` is False for a column that has to be taken another way.
    """
    n = columns.shape[1]
    members = np.empty(counts.sum() + 1, dtype=np.uint32)
    begins = counts.cumsum() - counts
    filled = 0
    for group in range(counts.size):
        row, shift = words[bits[group] >> 6], np.uint64(bits[group] & 63)
        above = within[group]
        if above < 0:
            for k in range(n):
                members[filled] = k
                filled += np.int64((row[k] >> shift) & _ONE)
        else:
            for k in members[begins[above] : begins[above] + counts[above]]:
                members[filled] = k
                filled += np.int64((row[k] >> shift) & _ONE)
    away, part = np.empty(n), np.empty(n)
    steps = np.empty(n, dtype=np.uint16)
    often = np.empty(2 * (_OCTAVES << _COARSE), dtype=np.int32)
    for column in range(columns.shape[0]):
        values = columns[column]
        top = _size(values)
        sure[column] = top >= 0.0
        if top < 0.0:
            continue
        _steps_of(values, top, _COARSE, away, steps)
        end = 0
        for group in range(counts.size):
            size = counts[group]
            begin, end = end, end + size
            if size == 0:
                out[group, column] = np.nan
                continue
            own = members[begin:end]
            kept, below = 0, 0
            lower, upper = (size - 1) >> 1, size >> 1
            if size <= _FEW:
                for event in own:
                    part[kept] = values[event]
                    kept += 1
            else:
                often[:] = 0
                for event in own:
                    often[steps[event]] += 1
                first = 0
                while below + often[first] <= lower:
                    below += often[first]
                    first += 1
                last, reached = first, below + often[first]
                while reached <= upper:
                    last += 1
                    reached += often[last]
                low_step, high_step = np.uint16(first), np.uint16(last)
                filled = np.uint64(0)
                for event in own:
                    part[filled] = values[event]
                    filled += np.uint64((steps[event] >= low_step) & (steps[event] <= high_step))
                kept = np.int64(filled)
            high = _select(part, kept, upper - below)
            low = high
            if lower != upper:
                low = part[0]
                for k in range(1, upper - below):
                    low = max(low, part[k])
            out[group, column] = (low + high) / 2 if lower != upper else high


@_jit
def merged_windows(halves, starts, size, out):
    """Ascending windows of two halves that are ascending: windows x size."""
    step = size >> 1
    last = np.uint64(step - 1)
    # Two windows at a time, each lower half from below and each upper half from above: none of these comes to an end of
    # what it takes from, and none waits for another.
    for row in range(0, starts.size, 2):
        beside = min(row + 1, starts.size - 1)
        begin, other = starts[row], starts[beside]
        first, second = halves[begin : begin + step], halves[begin + step : begin + size]
        third, fourth = halves[other : other + step], halves[other + step : other + size]
        line, line_beside = out[row], out[beside]
        i = j = k = m = np.uint64(0)
        p = q = r = s = last
        for place in range(step):
            a, b, c, d = first[i], second[j], third[k], fourth[m]
            one, two = np.uint64(a <= b), np.uint64(c <= d)
            line[place] = min(b, a)
            line_beside[place] = min(d, c)
            i += one
            j += _ONE - one
            k += two
            m += _ONE - two
            a, b, c, d = first[p], second[q], third[r], fourth[s]
            one, two = np.uint64(a > b), np.uint64(c > d)
            line[size - 1 - place] = max(b, a)
            line_beside[size - 1 - place] = max(d, c)
            p -= one
            q -= _ONE - one
            r -= two
            s -= _ONE - two


@_jit
def any_has_all_bits(words, bits):
    """Whether a word has all of some bits."""
    found = np.uint32(0)
    for k in range(words.size):
        found |= np.uint32((words[k] & bits) == bits)
    return found != 0


@_jit
def running_total(values, low, high, edges, out):
    """Sum of the values before each edge (ascending), drawn in to a range."""
    total, begin = 0.0, 0
    for number in range(edges.size):
        for value in values[begin : edges[number]]:
            drawn = low if value < low else value
            total += high if drawn > high else drawn
        begin = edges[number]
        out[number] = total


@_jit
def cubic_pieces(flat, shift, first, pieces, centre, dropped, out):
    """`scale_table.ScaleTable`: value on the scale, NaN beyond the table."""
    one = np.empty(1)
    bits = one.view(np.int64)
    for k in range(flat.size):
        value = flat[k]
        away = abs(value) + shift
        one[0] = away
        code = bits[0] >> dropped
        at = np.uint64(code - first)
        if not away < 1e300 or at >= np.uint64(pieces.shape[0]):
            out[k] = np.nan
            continue
        bits[0] = code << dropped
        d = away - one[0]
        y = pieces[at, 0] + d * (pieces[at, 1] + d * (pieces[at, 2] + d * pieces[at, 3]))
        out[k] = 2 * centre - y if value < 0 else y


@_jit
def bins_of(values, low, span, bins, out):
    """`raster._bins`: equal bins of an axis; what lies beyond an end is in the last, what is no number in the first."""
    for k in range(values.size):
        place = (values[k] - low) / span * bins
        place = min(place, bins - 1.0) if place > 0.0 else 0.0
        out[k] = np.uint8(place)


@_jit
def counts_on_grid(x, y, inside, bins, out):
    """How many of the events inside lie in each cell, row by row of y."""
    for k in range(x.size):
        out[np.uint32(y[k]) * np.uint32(bins) + np.uint32(x[k])] += inside[k]


@_jit
def bit_planes(words, out):
    """`shifted_counts._planes`: bit ``b`` of all words of a row, 64 to a word: (64 x rows) x parts."""
    block = np.empty(64, dtype=np.uint64)
    masks = np.array([0xFFFFFFFF, 0xFFFF0000FFFF, 0xFF00FF00FF00FF, 0xF0F0F0F0F0F0F0F, 0x3333333333333333,
                      0x5555555555555555], dtype=np.uint64)  # fmt: skip
    for row in range(words.shape[0]):
        for part in range(out.shape[1]):
            line = words[row, 64 * part : 64 * part + 64]
            block[line.size :] = np.uint64(0)
            block[: line.size] = line
            # Squares of bits beside the diagonal change places, the largest first (Warren, Hacker's Delight, 7-3).
            half = 32
            for step in range(6):
                shift, mask = np.uint64(half), masks[step]
                for begin in range(0, 64, 2 * half):
                    upper, lower = block[begin : begin + half], block[begin + half : begin + 2 * half]
                    for k in range(half):
                        moved = ((upper[k] >> shift) ^ lower[k]) & mask
                        lower[k] ^= moved
                        upper[k] ^= moved << shift
                half >>= 1
            for bit in range(64):
                out[64 * row + bit, part] = block[bit]


@_jit
def narrowed(shapes, chosen, above, out, counts):
    """Planes of the chosen shapes within those of the parents, and how many bits each has."""
    for row in range(chosen.size):
        shape, parent, line = shapes[chosen[row]], above[row], out[row]
        total = np.uint64(0)
        for k in range(line.size):
            word = shape[k] & parent[k]
            line[k] = word
            word -= (word >> _ONE) & np.uint64(0x5555555555555555)
            word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
            word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
            total += (word * np.uint64(0x0101010101010101)) >> np.uint64(56)
        counts[row] = total
