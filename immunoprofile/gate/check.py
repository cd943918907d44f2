"""Check gates against a study before any file is gated."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from immunoprofile.compensation import from_keywords
from immunoprofile.compensation.applied import bare_name
from immunoprofile.errors import CompensationError, FcsError, GateError, Problem, Problems
from immunoprofile.gate.binding import find_channels, stated_channels
from immunoprofile.gate.mapping import MAPPING_TABLE, proposals, sources_of
from immunoprofile.gate.strategy import GateSet, Strategy
from immunoprofile.gate.study_gates import StudyGates, study_gates
from immunoprofile.gate.traps import traps

if TYPE_CHECKING:
    from immunoprofile.compensation import Spillover
    from immunoprofile.io.fcs import Sample
    from immunoprofile.io.fcs_source import FcsSource
    from immunoprofile.study import Study


_log = logging.getLogger(__name__)


def check(gates: GateSet, study: Study) -> StudyGates:
    """Check that the gates fit a study: its tubes, reporting tubes, endpoints, and the panels of its files.

    A panel is refused when none of its files fits the template; a single file that does not fit, or cannot be read, is
    left to the run, which lists it. What would be evaluated otherwise than it reads (`traps`) is refused or logged as a
    warning; gates of samples that the study does not have are logged.

    Returns
    -------
    StudyGates
        The gates of each tube, see `study_gates.study_gates`.

    Raises
    ------
    GateError
        All problems at once.
    """
    problems = Problems()
    config = study.config
    loaded, gates_of = gates, study_gates(gates, study)
    for population, tube in config.reporting_tube.items():
        if tube in gates_of and population not in gates_of[tube]:
            problems.add(f"reporting_tube.{population}", f"is not gated in tube {tube}",
                         allowed=_instead(population, [gates_of[tube]]))  # fmt: skip
    populations = {name for strategy in gates_of.values() for name in strategy.populations}
    for endpoint in config.endpoints:
        if endpoint.population not in populations:
            problems.add(f"endpoint {endpoint.population}", "is not gated in any tube",
                         allowed=_instead(endpoint.population, gates_of.values()))  # fmt: skip
    count_tube = config.count_tube
    has_beads = study.samples["beads_per_tube"].notna().any()
    if has_beads and count_tube is not None and count_tube in gates_of and not gates_of[count_tube].beads:
        problems.add(
            f"tube {count_tube}",
            "has counting beads, and its gates do not name their population",
            allowed="the key beads of a template, or a row of populations.csv with the id beads",
        )
    samples = study.samples[study.samples["role"].isin(("sample", "control", "replicate"))]
    for (tube_id, _), group in samples.groupby(["tube_id", samples["panel_id"].fillna("")], sort=True):
        tube = str(tube_id)
        if tube in gates_of:
            sources = [study.fcs_source(str(name)) for name in group["sample_id"]]
            problems.found.extend(_misfits(gates_of, tube, sources))
            problems.found.extend(_moved_detectors(gates_of[tube], sources))
    for strategy in loaded.values():
        for warning in _strangers(strategy, study):
            _log.warning("%s", warning)
    if problems:
        raise GateError("the gates do not fit the study", problems.found, where=config.study_id)
    return gates_of


def _instead(population: str, strategies: Iterable[Strategy]) -> str:
    """What could be meant by an id that is not gated, and how to say so."""
    strategies = list(strategies)
    near = [proposal for strategy in strategies for proposal in proposals(strategy, [population])]
    if near:
        rows = " or ".join(repr(proposal.row) for proposal in near)
        return f"if that is meant, the row {rows} in {MAPPING_TABLE} of the study (tube,source,population)"
    names = list(dict.fromkeys(name for strategy in strategies for name in sources_of(strategy).values()))
    shown = ", ".join(names[:20]) + (" ..." if len(names) > 20 else "")
    return f"one of {shown}; {MAPPING_TABLE} of the study gives a name of the gates its id"


def _strangers(strategy: Strategy, study: Study) -> list[Problem]:
    """Samples with gates of their own that the study does not have."""
    samples = study.samples
    files = [PurePosixPath(str(path)).name for path in samples["fcs_path"].dropna()]
    known = {*samples["sample_id"].astype(str), *files, *(PurePosixPath(name).stem for name in files)}
    problems = Problems()
    for sample in strategy.custom_samples:
        if sample not in known and PurePosixPath(sample).stem not in known:
            problems.add(f"tube {strategy.tube}", "has gates of a sample that the study does not have", value=sample)
    return problems.found


def _misfits(gates: StudyGates, tube: str, sources: Iterable[FcsSource]) -> list[Problem]:
    """Problems of the first readable file, unless some file fits."""
    first: list[Problem] = []
    for source in sources:
        try:
            sample = source.read()
            strategy = gates.match(sample, tube, source.path).strategy
        except FcsError:
            continue
        except GateError as error:
            first = first or list(error.problems)
            continue
        problems = Problems()
        find_channels(strategy, sample, problems)
        if not problems:
            errors, warnings = traps(strategy, sample, _spillover(sample))
            for warning in warnings:
                _log.warning("%s", warning)
            return errors
        first = first or problems.found
    return first


def _moved_detectors(strategy: Strategy, sources: Iterable[FcsSource]) -> list[Problem]:
    """Markers that are measured on different channels in the files of a tube, unless the template names them all.

    One gate on two detectors compares what cannot be compared. Files that cannot be read or do not fit are left to the
    run; gates that name channels instead of markers have nothing to move.
    """
    named = {marker for marker, channel in strategy.channels if marker == channel}
    carried: dict[str, dict[str, list[str]]] = {}
    for source in sources:
        try:
            sample = source.read_head().empty
        except FcsError:
            continue
        problems = Problems()
        channels = find_channels(strategy, sample, problems)
        if problems:
            continue
        for marker in channels.keys() - named:
            carried.setdefault(marker, {}).setdefault(bare_name(channels[marker]), []).append(source.path.name)
    told = Problems()
    stated = stated_channels(strategy)
    for marker in strategy.markers:
        files = carried.get(marker, {})
        if len(files) < 2 or files.keys() <= set(stated.get(marker, ())):
            continue
        places = "; ".join(f"{name} in {len(found)} files ({found[0]} ...)" for name, found in files.items())
        both = f"channels: {{{marker}: [{', '.join(files)}]}}"
        told.add(f"tube {strategy.tube}", f"{marker} is on different channels: {places}",
                 allowed=f"one channel, or all named in the template: {both}")  # fmt: skip
    return told.found


def _spillover(sample: Sample) -> Spillover | None:
    try:
        return from_keywords(sample)
    except CompensationError:  # the run lists the file with this reason
        return None
