"""Events of FMO controls in the gates of the samples of their batch: the background of a population.

An FMO control lacks one marker, so that what lies on its positive side is background. It counts inside the parent of
the same gates, those that were placed or drawn for the sample among them. An unstained control is no blank: the gates
on the way to a population are empty in it, and the spread of the other colours is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from immunoprofile.errors import ImmunoprofileError
from immunoprofile.gate.definition import markers_above
from immunoprofile.gate.evaluate import gate_sample
from immunoprofile.gate.overrides_in_force import overridden
from immunoprofile.gate.strategy import ROOT
from immunoprofile.io.files import sha256_of
from immunoprofile.io.records import records
from immunoprofile.placement.controls import Controls, Place, place_of

if TYPE_CHECKING:
    from immunoprofile.gate.strategy import Gate, Strategy
    from immunoprofile.gate.study_gates import StudyGates
    from immunoprofile.io.fcs import Sample
    from immunoprofile.profiling.outcome import Chosen
    from immunoprofile.study import Study


@dataclass(frozen=True)
class Background:
    """Events of one control in the gate of a sample.

    Attributes
    ----------
    marker
        What the control lacks.
    control
        Its sample; empty where there is none that can be used.
    n, n_parent
        Its events in the gate and in the parent.
    reason
        Why there is no number.
    """

    marker: str
    control: str = ""
    n: int = 0
    n_parent: int = 0
    reason: str = ""


Found = Mapping[tuple[str, str], tuple[Background, ...]]
"""(sample, population) -> one background a marker."""


def backgrounds(study: Study, gates: StudyGates, placed: Mapping[str, Strategy], chosen: Chosen) -> Found:
    """Background of every population whose gate takes the brighter events of a marker, in every chosen sample.

    Parameters
    ----------
    study, gates
        The study and its gates.
    placed
        Sample -> gates that were placed for it.
    chosen
        The attempt used for each tube of a visit.

    Returns
    -------
    Mapping
        Of tubes whose gates belong to single files (a workspace) nothing.
    """
    rows = {row["sample_id"]: row for row in records(study.samples, "samples")}
    batches: dict[tuple[str, Place], list[str]] = {}
    for outcome in chosen.values():
        place = replace(place_of(rows[outcome.sample_id]), time="")
        if not gates.trees[outcome.tube][0].samples:
            batches.setdefault((outcome.tube, place), []).append(outcome.sample_id)
    found: dict[tuple[str, str], tuple[Background, ...]] = {}
    for (tube, place), samples in sorted(
        batches.items(), key=lambda one: (one[0][0], one[0][1].panel, one[0][1].batch)
    ):
        batch = _Batch(study, Controls(study, tube, gates[tube]), place)
        for name in sorted(samples):
            strategy = overridden(placed.get(name, gates[tube]), gates.in_force(name, tube))
            found |= {(name, population): own for population, own in batch.of(strategy)}
    return found


def fmo_hashes(study: Study, gates: Mapping[str, Strategy]) -> dict[str, str]:
    """Path and SHA-256 of every FMO control of the tubes that are gated; one that cannot be read has none."""
    found = {}
    for row in records(study.samples, "samples"):
        if row["role"] == "fmo" and row["tube_id"] in gates and not row["exclude_flag"]:
            with suppress(OSError):
                found[str(row["fcs_path"])] = sha256_of(study.fcs_path(row["sample_id"]))
    return found


class _Batch:
    """The FMO controls of a batch; each is read once, and counted once for each set of gates."""

    def __init__(self, study: Study, controls: Controls, place: Place) -> None:
        self._study, self._controls, self._place = study, controls, place
        self._files: dict[str, Sample] = {}
        self._counted: dict[tuple[str, tuple[Gate, ...]], Mapping[str, int] | str] = {}
        template = controls.strategy
        self._markers = {name: markers_above(template, name) for name in template.populations if name != template.beads}

    def of(self, strategy: Strategy) -> Iterator[tuple[str, tuple[Background, ...]]]:
        """Populations of a sample with their backgrounds."""
        for population, markers in self._markers.items():
            if markers:
                yield population, tuple(self._one(strategy, population, marker) for marker in markers)

    def _one(self, strategy: Strategy, population: str, marker: str) -> Background:
        failed = []
        for row in self._controls.fmo_rows(self._place, marker, earlier=False):
            counts = self._counts(row, strategy, marker)
            if not isinstance(counts, str):
                name, parent = str(row["sample_id"]), strategy[population].parent
                return Background(marker, name, counts[population], counts[parent])
            failed.append(f"{row['sample_id']} cannot be used: {counts}")
        none = f"no FMO control without {marker} in batch {self._place.batch or '(none)'}"
        return Background(marker, reason="; ".join((none, *failed)))

    def _counts(self, row: Mapping[Any, Any], strategy: Strategy, marker: str) -> Mapping[str, int] | str:
        """Events of a control in every gate that looks at the marker and in what it rests on; or why there are none."""
        wanted = _needed(strategy, (name for name, own in self._markers.items() if marker in own))
        own = replace(strategy, gates=tuple(gate for gate in strategy.gates if gate.population in wanted))
        key = (str(row["sample_id"]), own.gates)
        if key not in self._counted:
            self._counted[key] = self._gated(row, own)
        return self._counted[key]

    def _gated(self, row: Mapping[Any, Any], strategy: Strategy) -> Mapping[str, int] | str:
        name = str(row["sample_id"])
        try:
            if name not in self._files:
                self._files[name] = self._study.fcs_source(name).read()
            gated = gate_sample(self._files[name], strategy, comp_source=row["comp_source"] or None)
        except ImmunoprofileError as error:
            return error.what
        return {ROOT: gated.evaluation.n_events, **gated.evaluation.counts}


def _needed(strategy: Strategy, populations: Iterable[str]) -> set[str]:
    """Populations, what is above them, and what they combine."""
    found: set[str] = set()
    waiting = list(populations)
    while waiting:
        name = waiting.pop()
        if name != ROOT and name not in found:
            found.add(name)
            waiting += [strategy[name].parent, *(operand.population for operand in strategy[name].operands)]
    return found
