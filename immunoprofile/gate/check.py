"""Check gates against a study before any file is gated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from immunoprofile.errors import FcsError, GateError, Problems
from immunoprofile.gate.binding import find_channels
from immunoprofile.gate.strategy import GateSet
from immunoprofile.io.fcs import read_fcs

if TYPE_CHECKING:
    from immunoprofile.study import Study


def check(gates: GateSet, study: Study) -> None:
    """Check that the gates fit a study: its tubes, reporting tubes, endpoints, and the panels of its files.

    One file of each tube and panel is opened; a file that cannot be read is left to the run, which lists it.

    Raises
    ------
    GateError
        All problems at once.
    """
    problems = Problems()
    config = study.config
    for tube in config.tubes:
        if tube not in gates:
            problems.add(f"tube {tube}", "has no gating template", allowed=", ".join(gates) or "none loaded")
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
        for sample_id in group["sample_id"]:
            try:
                sample = read_fcs(study.fcs_path(sample_id))
            except FcsError:
                continue
            find_channels(gates[tube], sample, problems)
            break
    if problems:
        raise GateError("the gates do not fit the study", problems.found, where=config.study_id)
