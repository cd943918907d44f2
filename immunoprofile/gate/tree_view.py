"""Trees of gates as HTML: strategies, sets of them, and files with their counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from immunoprofile.gate.gates import ROOT, describe
from immunoprofile.markup import block, counted, folded, indented, line, table

if TYPE_CHECKING:
    from markupsafe import Markup

    from immunoprofile.gate.evaluate import GatedSample
    from immunoprofile.gate.strategy import GateSet, Strategy

_MOST_OPEN: Final = 60
"""Gates of a set up to which all of its trees are open."""


def strategy_view(strategy: Strategy) -> str:
    """Tree of a strategy: population, and what cuts it out of its parent."""
    return block(f"Strategy of tube {strategy.tube}", *_strategy(strategy))


def gate_set_view(gates: GateSet) -> str:
    """A tree a tube, then what the document holds and these gates do not."""
    total = sum(len(strategy) for strategy in gates.values())
    trees = [
        folded(f"{name}: {counted(len(own), 'gate')}", *_strategy(own), opened=total <= _MOST_OPEN)
        for name, own in gates.items()
    ]
    if gates.problems:
        rows = [(problem.where, problem.what) for problem in gates.problems]
        trees.append(folded(f"! not read: {len(rows)}", table(("where", "what"), rows), opened=True))
    return block(f"Gates of {counted(len(gates), 'tube')}", *trees)


def gated_view(gated: GatedSample) -> str:
    """Tree of the gates of one file with events and per cent of the parent."""
    strategy = gated.strategy
    rows = [(ROOT, f"{gated.sample.n_events:,}", "", "all recorded events")]
    for population, depth in _walk(strategy):
        gate = strategy[population]
        n, of = gated.n(population), gated.n(gate.parent)
        # Of an empty parent there is no percentage: a dash is not a zero.
        share = f"{100 * n / of:.2f}" if of else "– (empty parent)"
        rows.append((indented(gate.label or population, depth), f"{n:,}", share, describe(gate)))
    finding = gated.comp_finding
    return block(
        f"{gated.sample.name}, gated as tube {strategy.tube}",
        line(
            counted(gated.sample.n_events, "event"),
            f"compensation: {gated.comp_source}" + (f" ({gated.spillover.source})" if gated.spillover else ""),
            f"gates version {strategy.version or '–'}",
        ),
        line(f"{finding.state}: {finding.text}") if finding is not None and finding.state != "PASS" else "",
        table(("population", "events", "% of parent", "gate"), rows, numbers=(1, 2)),
    )


def _strategy(strategy: Strategy) -> list[Markup]:
    rows: list[tuple[object, str, str]] = [(ROOT, "all recorded events", "")]
    for population, depth in _walk(strategy):
        gate = strategy[population]
        name = gate.label or population
        rows.append(
            (indented(name + (" (beads)" if population == strategy.beads else ""), depth), describe(gate), gate.kind)
        )
    own = strategy.custom_samples
    return [
        line(
            f"version {strategy.version or '–'}",
            strategy.panel and f"panel {strategy.panel}",
            strategy.instrument and f"instrument {strategy.instrument}",
            f"hash {strategy.sha256[:12]}",
            own and f"{counted(len(own), 'sample')} with gates of their own: {', '.join(own[:5])}"
            + (" …" if len(own) > 5 else ""),
        ),
        table(("population", "gated on", "kind"), rows),
    ]  # fmt: skip


def _walk(strategy: Strategy) -> Iterator[tuple[str, int]]:
    """Populations from above to below with their depth, each beneath its parent."""
    children: dict[str, list[str]] = {}
    for gate in strategy.gates:
        children.setdefault(gate.parent, []).append(gate.population)
    waiting = [(name, 1) for name in reversed(children.get(ROOT, []))]
    while waiting:
        population, depth = waiting.pop()
        yield population, depth
        waiting += [(name, depth + 1) for name in reversed(children.get(population, []))]
