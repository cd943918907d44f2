"""Compiled evaluation of a plan, block by block.

A population is one bit of a word of 64 bits per event. Events that no table can decide are flagged for the arbiter;
what the kernel says about them is void.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,assignment"

from __future__ import annotations

import hashlib
from pathlib import Path

import numba
import numpy as np

from immunoprofile.gate.engine import columns, grids, plan, thresholds
from immunoprofile.gate.engine.columns import (
    ONE,
    codes_of,
    combine,
    flag_near,
    grid_codes,
    in_form,
    in_polygon,
    load_below,
    on_scale,
    ratio,
    select,
    settle,
    void,
    within,
)
from immunoprofile.gate.engine.grids import AT_EDGE, CODES
from immunoprofile.gate.engine.plan import AND, COMPENSATED, ELLIPSE, OR, POLYGON, RANGE, RATIO, SHAPE, TABLE
from immunoprofile.gate.engine.plan import ELLIPSOID as FORM
from immunoprofile.gate.engine.thresholds import LIMIT

BLOCK = 1024
"""Events of a block: its columns stay in the nearest cache."""

RAW_LIMIT = 2.0e7
"""Events with a larger value in a channel that a matrix reads are left to the arbiter."""

_SPARSE = 0.3


def _digest() -> int:
    """Number of the sources whose code and constants go into the kernel.

    numba keeps compiled code by the file of a function alone and would go on with old code when another file changes; a
    variable of the closure is part of its key.
    """
    sources = hashlib.sha256()
    for module in (columns, grids, plan, thresholds):
        sources.update(Path(str(module.__file__)).read_bytes())
    return int.from_bytes(sources.digest()[:7], "big") + 1


def _compile(digest: int):
    def gate_events(
        source, small, wide, total, multiply, divide, raw_columns, weights, errors,
        nodes, order, segments, domains, slots, ratios, ranges, range_slots, shapes, grids, corners, forms, form_axes,
        axes, axis_lines, lines, codes, operands, out, flags, counts,
    ):  # fmt: skip
        """Evaluate a plan on ``total`` events; writes ``out`` (words x events), ``flags`` and ``counts``.

        ``multiply`` and ``divide`` make the columns of single precision events linear; ``weights`` (slots x raw
        columns) and ``errors`` (by slot, as a share of the largest raw value) compensate them. Returns the number of
        flags.
        """
        if digest == 0:
            return -1
        many, words, used = len(domains), len(out), len(raw_columns)
        features = np.empty((max(len(slots), 1), BLOCK))
        recorded = np.zeros((max(used, 1), BLOCK))
        upper, lower = np.empty(BLOCK), np.empty(BLOCK)
        bits = np.empty(BLOCK, np.uint32)
        single = bits.view(np.float32)
        order_of = np.empty(1, np.int64)
        scratch = (bits, single, order_of, order_of.view(np.float64))
        one_bits = np.empty(1, np.uint32)
        one = one_bits.view(np.float32)
        rows = np.empty((many, BLOCK), np.uint32)
        sizes = np.empty(many, np.int64)
        bands = np.empty(many)
        member = np.empty((many, words, BLOCK), np.uint64)
        everyone = np.ones(BLOCK, np.uint64)
        above = np.empty(BLOCK, np.uint64)
        inside = np.empty(BLOCK, np.uint64)
        chosen = np.empty(BLOCK, np.uint32)
        edges = np.empty(BLOCK, np.uint32)
        place = np.empty(BLOCK, np.uint32)
        other = np.empty(BLOCK, np.uint32)
        point, error = np.empty(max(form_axes.shape[1], 2)), np.empty(max(form_axes.shape[1], 2))
        here = np.zeros(len(nodes), np.int64)
        flagged = np.zeros(BLOCK, np.uint8)
        result = 0
        for start in range(0, total, BLOCK):
            length = min(BLOCK, total - start)
            events = (source, small[start : start + length], wide[start : start + length])
            here[:] = 0
            member[0, :, :length] = np.uint64(0)
            sizes[:] = -1
            for segment in range(len(segments)):
                domain = segments[segment, 0]
                dense = domain == 0
                row = rows[domain]
                if sizes[domain] < 0:
                    # The events of the domain and their features
                    if dense:
                        n = length
                    else:
                        anchor = domains[domain, 0]
                        full = member[0, anchor // 64]
                        shift = np.uint64(anchor % 64)
                        n = 0
                        for k in range(length):
                            row[n] = k
                            n += np.int64((full[k] >> shift) & ONE)
                    sizes[domain] = n
                    bands[domain] = 0.0
                    needs_matrix = False
                    for slot in range(domains[domain, 1], domains[domain, 2]):
                        needs_matrix |= slots[slot, 0] == COMPENSATED
                    if needs_matrix and n:
                        largest = 0.0
                        for j in range(used):
                            if raw_columns[j] < 0:
                                continue
                            column = raw_columns[j]
                            size = load_below(RAW_LIMIT, flagged, events, row, dense, n, column, multiply[column],
                                              divide[column], scratch, recorded[j])  # fmt: skip
                            largest = max(largest, size)
                        bands[domain] = largest
                    for slot in range(domains[domain, 1], domains[domain, 2]):
                        values = features[slot]
                        column = slots[slot, 1]
                        if slots[slot, 0] == COMPENSATED:
                            combine(weights[slot], recorded, n, values)
                        elif slots[slot, 0] == RATIO:
                            below = slots[slot, 2]
                            load_below(LIMIT, flagged, events, row, dense, n, column, multiply[column], divide[column],
                                       scratch, upper)  # fmt: skip
                            load_below(LIMIT, flagged, events, row, dense, n, below, multiply[below], divide[below],
                                       scratch, lower)  # fmt: skip
                            if ratio(upper, lower, n, ratios[slot], values):
                                void(values, n, LIMIT, row, dense, flagged)
                        else:
                            load_below(LIMIT, flagged, events, row, dense, n, column, multiply[column], divide[column],
                                       scratch, values)  # fmt: skip
                n = sizes[domain]
                if n == 0:
                    continue
                own_words = member[domain]
                if not dense:
                    for w in range(words):
                        full, part = member[0, w], own_words[w]
                        for k in range(n):
                            part[k] = full[row[k]]
                for position in range(segments[segment, 1], segments[segment, 2]):
                    node = order[position]
                    kind, parent, first, number = nodes[node, 0], nodes[node, 1], nodes[node, 4], nodes[node, 5]
                    invert = np.uint64(nodes[node, 3])
                    bit = np.uint64(node % 64)
                    own = own_words[node // 64]
                    if parent == domains[domain, 0]:
                        up = everyone
                        parents = n
                    else:
                        up = above
                        parents = here[parent]
                        if parents == 0:
                            continue
                        source_words, shift = own_words[parent // 64], np.uint64(parent % 64)
                        for k in range(n):
                            above[k] = (source_words[k] >> shift) & ONE
                    if kind == RANGE:
                        if number == 0:
                            for k in range(n):
                                inside[k] = ONE
                        for r in range(first, first + number):
                            slot = range_slots[r]
                            near = within(
                                features[slot], n, ranges[r], errors[slot] * bands[domain], up, inside, r == first
                            )
                            if near:
                                flag_near(
                                    features[slot], n, ranges[r], errors[slot] * bands[domain], up, row, dense, flagged
                                )
                        here[node] = settle(inside, n, up, invert, own, bit)
                    elif kind == SHAPE:
                        shape = shapes[first]
                        axis_a, axis_b = axes[shape[1]], axes[shape[2]]
                        line_a, line_b = axis_lines[shape[1]], axis_lines[shape[2]]
                        values_a, values_b = features[axis_a[0]], features[axis_b[0]]
                        grid = grids[first]
                        several = 0
                        straight = axis_a[1] != TABLE and axis_b[1] != TABLE
                        if straight and parents > _SPARSE * n:
                            grid_codes(values_a, values_b, n, line_a, line_b, grid, place, inside)
                            for k in range(n):
                                edges[several] = k
                                several += np.int64((inside[k] >> ONE) & up[k])
                        else:
                            selected = select(up, n, chosen)
                            codes_of(values_a, selected, chosen, axis_a, line_a, codes, bits, single, place)
                            codes_of(values_b, selected, chosen, axis_b, line_b, codes, bits, single, other)
                            for k in range(n):
                                inside[k] = np.uint64(0)
                            for k in range(selected):
                                event = chosen[k]
                                code = grid[place[k] * np.uint32(CODES) + other[k]]
                                inside[event] = code
                                edges[several] = event
                                several += np.int64(code == AT_EDGE)
                        for e in range(several):
                            event = edges[e]
                            x, error_x = on_scale(values_a[event], axis_a, line_a, lines, one_bits, one)
                            y, error_y = on_scale(values_b[event], axis_b, line_b, lines, one_bits, one)
                            answer = 2
                            if np.isfinite(error_x) and np.isfinite(error_y):
                                if shape[0] == POLYGON:
                                    answer = in_polygon(x, y, error_x, error_y, corners[shape[3] : shape[3] + shape[4]])
                                elif shape[0] == ELLIPSE:
                                    point[0], point[1], error[0], error[1] = x, y, error_x, error_y
                                    answer = in_form(forms[shape[5]], form_axes.shape[1], 2, point, error)
                            if answer == 2:
                                flagged[event if dense else row[event]] = 1
                                answer = 0
                            inside[event] = np.uint64(answer)
                        here[node] = settle(inside, n, up, invert, own, bit)
                    elif kind == FORM:
                        form = forms[first]
                        dimensions = 0
                        while dimensions < form_axes.shape[1] and form_axes[first, dimensions] >= 0:
                            dimensions += 1
                        for k in range(n):
                            inside[k] = np.uint64(0)
                        for k in range(n):
                            if not up[k]:
                                continue
                            answer = 0
                            for i in range(dimensions):
                                a = form_axes[first, i]
                                point[i], error[i] = on_scale(
                                    features[axes[a, 0]][k], axes[a], axis_lines[a], lines, one_bits, one
                                )
                                if not np.isfinite(error[i]):
                                    answer = 2
                            if answer == 0:
                                answer = in_form(form, form_axes.shape[1], dimensions, point, error)
                            if answer == 2:
                                flagged[k if dense else row[k]] = 1
                                answer = 0
                            inside[k] = np.uint64(answer)
                        here[node] = settle(inside, n, up, invert, own, bit)
                    else:
                        for z in range(first, first + number):
                            operand, negate = operands[z, 0], np.uint64(operands[z, 1])
                            their, shift = own_words[operand // 64], np.uint64(operand % 64)
                            if z == first:
                                for k in range(n):
                                    inside[k] = ((their[k] >> shift) & ONE) ^ negate
                            elif kind == AND:
                                for k in range(n):
                                    inside[k] &= ((their[k] >> shift) & ONE) ^ negate
                            elif kind == OR:
                                for k in range(n):
                                    inside[k] |= ((their[k] >> shift) & ONE) ^ negate
                        here[node] = settle(inside, n, up, np.uint64(kind != AND and kind != OR), own, bit)
                if not dense:
                    for w in range(words):
                        full, part = member[0, w], own_words[w]
                        for k in range(n):
                            full[row[k]] = part[k]
            for w in range(words):
                for k in range(length):
                    out[w, start + k] = member[0, w, k]
            for node in range(len(nodes)):
                counts[node] += here[node]
            for k in range(length):
                if flagged[k]:
                    flags[result] = start + k
                    result += 1
                    flagged[k] = 0
        return result

    return numba.njit(nogil=True, cache=True, error_model="numpy")(gate_events)


gate_events = _compile(_digest())
