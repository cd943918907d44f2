"""Check gates against a study before any file is gated."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from immunoprofile.compensation import from_keywords
from immunoprofile.errors import CompensationError, FcsError, GateError, Problem, Problems
from immunoprofile.gate.binding import find_channels
from immunoprofile.gate.strategy import GateSet, Strategy
from immunoprofile.gate.traps import traps
from immunoprofile.io.fcs import read_fcs

if TYPE_CHECKING:
    from pathlib import Path

    from immunoprofile.compensation import Spillover
    from immunoprofile.io.config import StudyConfig
    from immunoprofile.io.fcs import Sample
    from immunoprofile.study import Study


_log = logging.getLogger(__name__)


def for_study(gates: GateSet, config: StudyConfig) -> GateSet:
    """The strategies of the tubes of a study, by tube: ``tubes.<tube>.gates`` of study.yaml names the template.

    Raises
    ------
    GateError
        A tube names a template that was not loaded.
    """
    problems = Problems()
    found = []
    for tube_id, tube in config.tubes.items():
        if tube.gates in gates:
            found.append(replace(gates[tube.gates], tube=tube_id))
        else:
            loaded = ", ".join(gates) or "none loaded"
            problems.add(f"tube {tube_id}", "has no gating template", value=tube.gates, allowed=loaded)
    if problems:
        raise GateError("the gates do not fit the study", problems.found, where=config.study_id)
    return replace(gates, strategies=tuple(found))


def check(gates: GateSet, study: Study) -> None:
    """Check that the gates fit a study: its tubes, reporting tubes, endpoints, and the panels of its files.

    A panel is refused when none of its files fits the template; a single file that does not fit, or cannot be read, is
    left to the run, which lists it. What would be evaluated otherwise than it reads (`traps`) is refused or logged as a
    warning; gates of samples that the study does not have are logged.

    Raises
    ------
    GateError
        All problems at once.
    """
    problems = Problems()
    config = study.config
    gates = for_study(gates, config)
    for population, tube in config.reporting_tube.items():
        if tube in gates and population not in gates[tube]:
            problems.add(f"reporting_tube.{population}", f"is not gated in tube {tube}")
    populations = {name for strategy in gates.values() for name in strategy.populations}
    for endpoint in config.endpoints:
        if endpoint.population not in populations:
            problems.add(f"endpoint {endpoint.population}", "is not gated in any tube")
    count_tube = config.count_tube
    has_beads = study.samples["beads_per_tube"].notna().any()
    if has_beads and count_tube is not None and count_tube in gates and not gates[count_tube].beads:
        problems.add(
            f"tube {count_tube}", "has counting beads, and its template does not name their population (beads)"
        )
    samples = study.samples[study.samples["role"].isin(("sample", "control", "replicate"))]
    for (tube_id, _), group in samples.groupby(["tube_id", samples["panel_id"].fillna("")], sort=True):
        tube = str(tube_id)
        if tube not in gates:
            continue
        problems.found.extend(_misfits(gates[tube], [study.fcs_path(str(name)) for name in group["sample_id"]]))
    for strategy in gates.values():
        for warning in _strangers(strategy, study):
            _log.warning("%s", warning)
    if problems:
        raise GateError("the gates do not fit the study", problems.found, where=config.study_id)


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


def _misfits(strategy: Strategy, paths: Iterable[Path]) -> list[Problem]:
    """Problems of the first readable file, unless some file fits."""
    first: list[Problem] = []
    for path in paths:
        try:
            sample = read_fcs(path)
        except FcsError:
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


def _spillover(sample: Sample) -> Spillover | None:
    try:
        return from_keywords(sample)
    except CompensationError:  # the run lists the file with this reason
        return None
