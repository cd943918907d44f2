"""Where a committed edit goes: the ledger for one sample or all of a subject, or the template under a new version."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, get_args

from immunoprofile.errors import GateError, Problem
from immunoprofile.gate.methods import is_placed
from immunoprofile.gate.record_override import override
from immunoprofile.gate.strategy import GateSet, Strategy
from immunoprofile.placement.in_study import gates_of
from immunoprofile.widget.session import with_gates, with_populations

if TYPE_CHECKING:
    from immunoprofile.study import Study
    from immunoprofile.widget.opening import Opened

Target = Literal["sample", "subject", "template"]
"""Where an edit can go."""


def committed(
    opened: Opened, *, reason: str, to: Target, author: str, version: str, study: Study | None
) -> GateSet | Strategy:
    """The gates that were given, with the edit in them; see `GateEditor.commit`."""
    session = opened.session
    where = session.shown[0].population
    if to not in get_args(Target):
        raise GateError(f"{to!r} is no place for a gate", (), where=where, todo=f"one of {', '.join(get_args(Target))}")
    if session.closed:
        raise GateError(f"the edit is over: {session.closed}", (), where=where)
    if not reason.strip():
        raise GateError("a moved gate needs a reason", (), where=where, todo='commit(reason="dim CD127 in this lot")')
    if not session.gates:
        raise GateError("the new population has no shape yet", (), where=where)
    if session.gates == session.revisions[0].gates:
        raise GateError("nothing was changed", (), where=where, todo="move the gate first")
    if to == "template":
        return _in_template(opened, reason, version)
    if session.fresh:
        raise GateError("a new population is for all samples", (), where=where, todo='commit(..., to="template")')
    if len(session.gates) > 1:
        raise GateError("quadrants share their dividers and are moved for all samples", (), where=where,
                        todo='commit(..., to="template")')  # fmt: skip
    samples = [opened.sample_id] if to == "sample" else _of_subject(opened, study)
    return _in_ledger(opened, samples, reason, author, study)


def _in_ledger(opened: Opened, samples: list[str], reason: str, author: str, study: Study | None) -> GateSet:
    gate = opened.session.gates[0]
    tube = opened.session.files[0].gated.strategy.tube
    gates = opened.given if isinstance(opened.given, GateSet) else GateSet((opened.given,))
    if study is not None:  # what is wrong is told before the first is recorded
        for sample in samples:
            override(gates, f"{tube}/{gate.population}", to=gate, sample=sample, reason=reason, author=author)
    for sample in samples:
        methods = tube in gates and any(is_placed(one) for one in gates[tube].gates)
        placed = gates_of(gates, study, sample) if study is not None and methods else None
        gates = override(
            gates, f"{tube}/{gate.population}", to=gate, sample=sample, reason=reason, author=author, study=study,
            placed=placed,
        )  # fmt: skip
    return gates


def _of_subject(opened: Opened, study: Study | None) -> list[str]:
    """Samples of the tube of the subject whose sample was opened."""
    if study is None:
        raise GateError("which samples are of one subject is said by the study", (), where=opened.sample_id,
                        todo='commit(..., to="subject", study=study)')  # fmt: skip
    tube = opened.session.files[0].gated.strategy.tube
    rows = study.samples
    own = rows[rows["sample_id"] == opened.sample_id]
    if own.empty:
        raise GateError("is no sample of the study", (), where=opened.sample_id,
                        todo="open the editor with sample_id=, as samples.csv has it")  # fmt: skip
    same = rows[(rows["usubjid"] == own["usubjid"].iloc[0]) & (rows["tube_id"] == tube) & (rows["role"] == "sample")]
    return [str(name) for name in same["sample_id"]]


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
        changed = with_populations(template, gates, session.files[0].gated.sample)
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
