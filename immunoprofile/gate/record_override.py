"""Draw a gate anew for one sample: a new set of gates, and with a study a row of its ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from immunoprofile.errors import GateError, Problems
from immunoprofile.gate.evaluate import gate_sample
from immunoprofile.gate.ledger import append
from immunoprofile.gate.methods import is_placed
from immunoprofile.gate.overrides import Override
from immunoprofile.gate.overrides_in_force import for_names, misfits, overridden
from immunoprofile.gate.strategy import Gate, GateSet, Strategy
from immunoprofile.gate.study_gates import study_gates
from immunoprofile.io.data_cuts import refuse_when_locked

if TYPE_CHECKING:
    from immunoprofile.study import Study


def override(
    gates: GateSet,
    place: str,
    *,
    to: Gate | None,
    sample: str,
    reason: str,
    author: str,
    study: Study | None = None,
    placed: Strategy | None = None,
) -> GateSet:
    """Gates in which one gate is another one for one sample; the strategies themselves stay as they are.

    Parameters
    ----------
    gates
        From `gate.load`, or from an earlier override.
    place
        ``tube/population``, for example ``treg/treg``.
    to
        The gate for this sample: same population, parent and dimensions; a rectangle may become a polygon or an
        ellipsoid. Limits and corners are places on the scales of the dimensions (`gate.data_units.on_scale` gives
        the place of an intensity). None takes back what was drawn for this sample before.
    sample
        ``sample_id`` of the study; without a study the name of the file, with or without its suffix.
    reason
        Why, for the reports and the record.
    author
        Code of the person, never a name (docs/privacy.md).
    study
        The study of the sample. The gate in force and its events are looked up in the FCS file, and the override is
        added to the ledger of the study folder, ``gating/overrides.jsonl``, which every run follows. Without one
        nothing is written: `gate.batch` and `gate.membership` follow the overrides of the set, a run refuses them.
    placed
        Where the template of the tube has methods: the gates that a run places for this sample, from
        `placement.gates_of`. With a study they are needed then, and the gate in force is one of them.

    Returns
    -------
    GateSet
        With the override in ``overrides``.

    Raises
    ------
    GateError
        The place is unknown, the gate cannot stand there, reason or author is missing (all at once); the ledger is
        not as it was written.
    FcsError
        The file of the sample cannot be read.
    StudyError
        The study is locked (`immunoprofile lock`): open a new cut first.
    ResultsError
        Others wrote into the ledger for half a minute.

    Examples
    --------
    >>> from dataclasses import replace
    >>> gates = ip.gate.load("gating/")  # doctest: +SKIP
    >>> gate = gates["treg"]["treg"].moved(lambda axis, value: value + 0.02)  # doctest: +SKIP
    >>> gates = ip.gate.override(gates, "treg/treg", to=gate, sample="S-1_D14_treg", reason="dim CD127",
    ...                          author="R7", study=study)  # doctest: +SKIP
    """
    tube, _, population = place.partition("/")
    if study is not None:
        return _recorded(gates, tube, population, to, sample, reason, author, study, placed)
    strategy = placed or _known(gates[tube] if tube in gates else None, place, gates)
    names = (sample, sample.removesuffix(".fcs"))
    found = _drawn(for_names(gates, strategy, names), tube, population, to, sample, reason, author)
    return replace(gates, overrides=(*gates.overrides, found))


def _recorded(
    gates: GateSet,
    tube: str,
    population: str,
    to: Gate | None,
    sample: str,
    reason: str,
    author: str,
    study: Study,
    placed: Strategy | None,
) -> GateSet:
    refuse_when_locked(study.folder, f"override of {tube}/{population}")
    own = study_gates(replace(gates, overrides=()), study)
    _known(own[tube] if tube in own else None, f"{tube}/{population}", own.whole)
    rows = study.samples[study.samples["sample_id"] == sample]
    problems = Problems()
    methods = [gate.population for gate in own[tube].gates if is_placed(gate)]
    if methods and placed is None:
        problems.add(f"tube {tube}", "has gates that a run places for each sample: say where they lie",
                     value=", ".join(methods), allowed="placed=ip.placement.gates_of(gates, study, sample)",
                     )  # fmt: skip
    if placed is not None and (placed.tube, placed.populations) != (tube, own[tube].populations):
        problems.add("placed", f"are no gates of tube {tube}", value=placed.tube)
    if rows.empty or str(rows["tube_id"].iloc[0]) != tube:
        problems.add("sample", f"is no sample of tube {tube} of the study", value=sample)
    if problems:
        raise GateError("the gate cannot be overridden", problems.found, where=f"{tube}/{population}")
    source, declared = study.fcs_source(sample), rows["comp_source"].iloc[0]
    file = source.read()
    match = own.match(file, tube, source.path)
    plain = match.strategy if placed is None or not methods else placed
    in_force = own.in_force(sample, tube)
    match = replace(match, strategy=overridden(plain, in_force))
    found = _drawn(match.strategy, tube, population, to, sample, reason, author)
    # What is taken back gives way to the gates of the file without any override of this population.
    others = [one for one in in_force if one.population != population]
    after = overridden(plain, [*others, found])
    comp_source = declared if isinstance(declared, str) else None
    before = gate_sample(file, match, comp_source=comp_source, compiled=False).evaluation
    counted = gate_sample(file, replace(match, strategy=after), comp_source=comp_source, compiled=False).evaluation
    parent = found.before.parent
    found = replace(
        found,
        time=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        n_parent=before.counts.get(parent, before.n_events),
        n_before=before.counts[population],
        n_after=counted.counts[population],
        fcs_sha256=file.sha256,
    )
    ledger = append(study.folder, [found], study.config.study_id)
    return replace(gates, overrides=ledger.overrides)


def _known(strategy: Strategy | None, place: str, gates: GateSet) -> Strategy:
    population = place.partition("/")[2]
    if strategy is None or population not in strategy:
        problems = Problems()
        known = ", ".join(f"{tube}/..." for tube in gates) if strategy is None else ", ".join(strategy.populations)
        problems.add("place", "there is no such gate", value=place, allowed=known)
        raise GateError("the gate cannot be overridden", problems.found)
    return strategy


def _drawn(
    strategy: Strategy, tube: str, population: str, to: Gate | None, sample: str, reason: str, author: str
) -> Override:
    """The override, when it can stand in the strategy."""
    gate, scales = strategy[population], dict(strategy.scales)
    after = None if to is None else to.moved(lambda _, place: float(place))  # of numpy the same double
    axes = (*gate.dimensions, *(() if after is None else after.dimensions))
    names = dict.fromkeys(axis.scale for axis in axes if axis.scale in scales)
    found = Override(
        tube, population, sample, gate, after, reason.strip(), author.strip(),
        tuple((name, scales[name]) for name in names if name is not None),
    )  # fmt: skip
    problems = Problems()
    for column, fault, value in misfits(found, strategy):
        problems.add(f"override of {tube}/{population}", fault, column=column, value=value)
    if problems:
        raise GateError("the gate cannot be overridden", problems.found, where=f"sample {sample}")
    overridden(strategy, [found])
    return found
