"""What can be laid over a plot: other populations of the file (back-gating), the baseline visit, the FMO control."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from immunoprofile.errors import ImmunoprofileError
from immunoprofile.gate.parent_events import FileEvents
from immunoprofile.gate.strategy import ROOT
from immunoprofile.widget.plot import layer

if TYPE_CHECKING:
    from immunoprofile.gate.strategy import Strategy
    from immunoprofile.widget.plot import Plot
    from immunoprofile.widget.session import EditSession

DENSITY = "density"
"""Id of the contours of the plot itself."""


def overlays_of(session: EditSession, *, blinded: bool = False) -> list[dict[str, Any]]:
    """Id, label and kind of every overlay: ``lines`` (contours), or ``dots`` of the events of a population.

    ``follows``: its events are others after a move of the gate. Blinded, a file is its label alone (``baseline``,
    ``FMO``).
    """
    own = session.files[0]
    strategy, parent = own.gated.strategy, own.population
    edited = [gate.population for gate in session.shown if gate.population in strategy]
    found: list[dict[str, Any]] = [{"id": DENSITY, "label": "contours", "kind": "lines"}]
    found += [
        {"id": f"file:{number}", "label": one.label if blinded else f"{one.label} ({one.gated.sample.name})",
         "kind": "lines"}
        for number, one in enumerate(session.files[1:], 1)
    ]  # fmt: skip
    if parent != ROOT:
        above = strategy[parent].parent
        name = "all events" if above == ROOT else f"all of {above}"
        found.append({"id": "parent", "label": f"parent: {name}", "kind": "lines"})
    below = [name for one in edited for name in _below(strategy, one)]
    siblings = [name for name in strategy.children(parent) if name not in edited and name not in below]
    moved = _following(strategy, edited)
    for word, names in (("child", below), ("sibling", siblings)):
        found += [
            {"id": f"pop:{name}", "label": f"{word}: {name}", "kind": "dots", "follows": name in moved}
            for name in names
        ]
    return found


def _following(strategy: Strategy, edited: Sequence[str]) -> set[str]:
    """Populations that hang on the edited ones: below them, or combined of them. Parents and operands stand first."""
    moved = set(edited)
    for gate in strategy.gates:
        if gate.parent in moved or any(operand.population in moved for operand in gate.operands):
            moved.add(gate.population)
    return moved


def _below(strategy: Strategy, population: str) -> list[str]:
    found: list[str] = []
    for name in strategy.children(population):
        found += [name, *_below(strategy, name)]
    return found


def overlay_of(session: EditSession, name: str, plot: Plot) -> tuple[dict[str, Any], bytes]:
    """One overlay on a plot: what is said of it and its contours, and its counts on the cells of the plot.

    Events of populations are those of the gates as they are now, the edited one among them.

    Raises
    ------
    ImmunoprofileError
        There is no such overlay.
    GateError
        A file lacks a channel of the plot.
    """
    events = _events(session, name)
    lines, counts = layer(events.values(plot.axes), plot.extent, plot.bins)
    return {"n": events.n_events, "rev": session.revision.number, "lines": lines}, counts


def _events(session: EditSession, name: str) -> FileEvents:
    own = session.files[0]
    known = {one["id"]: one for one in overlays_of(session)}
    if name not in known:
        raise ImmunoprofileError(f"there is no overlay {name!r}", where="gate editor", todo=", ".join(sorted(known)))
    kind, _, rest = name.partition(":")
    if kind == "file":
        return session.files[int(rest)]
    if kind == "pop":
        return FileEvents(session.gated, rest) if known[name].get("follows") else own.of(rest)
    return own.of(own.gated.strategy[own.population].parent) if kind == "parent" else own
