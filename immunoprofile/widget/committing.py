"""Where a committed edit goes: the template of the tube, under a new version."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from immunoprofile.errors import GateError, Problem
from immunoprofile.gate.strategy import GateSet, Strategy
from immunoprofile.widget.session import with_gates, with_population

if TYPE_CHECKING:
    from immunoprofile.widget.opening import Opened

Target = Literal["template"]


def committed(opened: Opened, *, reason: str, to: Target, author: str, version: str) -> GateSet | Strategy:
    """The gates that were given, with the edit in them; see `GateEditor.commit`."""
    session = opened.session
    if session.closed:
        raise GateError(f"the edit is over: {session.closed}", (), where=session.shown[0].population)
    if not reason.strip():
        raise GateError("a moved gate needs a reason", (), where=session.shown[0].population,
                        todo='commit(reason="dim CD127 in this lot")')  # fmt: skip
    if not session.gates:
        raise GateError("the new population has no shape yet", (), where=session.shown[0].population)
    if session.gates == session.revisions[0].gates:
        raise GateError("nothing was changed", (), where=session.shown[0].population, todo="move the gate first")
    return _in_template(opened, reason, version)


def _in_template(opened: Opened, reason: str, version: str) -> GateSet | Strategy:
    session = opened.session
    tube = session.files[0].gated.strategy.tube
    template = opened.given if isinstance(opened.given, Strategy) else opened.given[tube]
    if not session.fresh:
        moved = [g.population for g in session.pattern if g.population not in template or template[g.population] != g]
        if moved:
            faults = [Problem(name, "is not the gate of the template: it was drawn for this sample, or its limits were "
                              "brought into the units of the file") for name in moved]  # fmt: skip
            raise GateError("the edit cannot go into the template", faults, where=tube, todo='commit to="sample"')
    gates = tuple(replace(gate, note=reason) for gate in session.gates)
    if session.fresh:
        changed = with_population(template, gates[0], session.files[0].gated.sample)
    else:
        changed = with_gates(template, gates)
    changed = replace(changed, version=version or next_version(template))
    return changed if isinstance(opened.given, Strategy) else opened.given.with_strategy(changed)


def next_version(template: Strategy) -> str:
    """Version of a changed template.

    Raises
    ------
    GateError
        The present version does not end in a whole number.
    """
    head = template.version.rstrip("0123456789")
    number = template.version[len(head) :]
    if template.version and not number:
        raise GateError(f"version {template.version!r} does not end in a number", (), where=template.tube,
                        todo='say commit(version="...")')  # fmt: skip
    return f"{head}{int(number or 0) + 1}"
