"""The files of a study, each gated by a task of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from immunoprofile.errors import ClusterError
from immunoprofile.gate.cut_shifts import allot_tubes
from immunoprofile.gate.strategy import Strategy
from immunoprofile.gate.study_gates import GATED_ROLES, StudyGates
from immunoprofile.io.records import records
from immunoprofile.profiling.documents import GateDocuments
from immunoprofile.profiling.one_file import process
from immunoprofile.profiling.outcome import Outcome, Request
from immunoprofile.profiling.records import path_of
from immunoprofile.study import Study
from immunoprofile.workers import MANY_FILES, Processes, Threads, Workers
from immunoprofile.workers.shared import SEE


def requests_of(study: Study, gates: StudyGates, placed: Mapping[str, Strategy] | None = None) -> list[Request]:
    """What is asked of each file of a study.

    Parameters
    ----------
    study, gates
        The study and the gates of its tubes.
    placed
        Sample -> the gates that were placed for it.
    """
    placed = placed or {}
    rows = study.samples[study.samples["role"].isin(GATED_ROLES)].sort_values("sample_id", kind="stable")
    documents, limits = GateDocuments(), study.config.check_limits
    places = {tube: tuple(own.items()) for tube, own in allot_tubes(gates, study.config.count_tube).items()}
    return [
        Request(
            sample_id=row["sample_id"],
            source=study.fcs_source(row["sample_id"]),
            file=row["fcs_path"],
            tube=row["tube_id"],
            gates=gates,
            gates_sha256=gates.sha256_of_sample(row["sample_id"], row["tube_id"], placed.get(row["sample_id"])),
            placed=placed.get(row["sample_id"]),
            comp_source=row["comp_source"] or None,
            sha256=row["sha256"] or None,
            limits=limits,
            statistics=study.config.intensity_statistics,
            places=places[row["tube_id"]],
            documents=documents,
        )
        for row in records(rows, "samples")
        if not row["exclude_flag"]
    ]


def gate_all(
    requests: list[Request], out: Path, workers: Workers, *, cells: bool, progress: bool
) -> dict[str, Outcome]:
    """Outcome of each file by its sample, in the order of the requests.

    Parameters
    ----------
    requests
        From `requests_of`.
    out, cells, progress
        As for `gate_study`.
    workers
        From `suited`.
    """
    from tqdm import tqdm

    from immunoprofile.io.progress import hidden

    if isinstance(workers, Threads):
        _load_what_scales_need(requests)
    alike = {id(one): one for own in requests for one in (own.gates, own.limits, own.places, own.documents)}
    results = workers.results(
        _Gate(out, cells=cells), requests, shared=tuple(alike.values()), name=lambda own: own.file, warm=True
    )
    done = tqdm(results, total=len(requests), desc="gating", unit="file", disable=hidden(wanted=progress))
    sources = {request.sample_id: request.source.path for request in requests}
    found = {}
    for outcome in done:
        path = sources[outcome.sample_id]
        if workers.elsewhere and not outcome.gated and not outcome.sha256 and path.is_file():
            raise ClusterError("a worker cannot read it, and this machine can", where=str(path), todo=SEE)
        found[outcome.sample_id] = outcome
    return {request.sample_id: found[request.sample_id] for request in requests}


def _load_what_scales_need(requests: list[Request]) -> None:
    """Import FlowKit before the threads need it, where a scale is FlowJo's: its import takes as long as many files."""
    scales = (scale for request in requests[:1] for gates in request.gates.values() for _, scale in gates.scales)
    if any(scale.kind == "biex" for scale in scales):
        from immunoprofile.gate import _flowkit  # noqa: F401


def suited(workers: Workers, out: Path, samples: Iterable[str]) -> Workers:
    """Workers for files: processes are begun where so many were never gated that they earn back their start.

    Parameters
    ----------
    workers
        Those of the run.
    out
        Results folder, where records of files may be from earlier.
    samples
        Which files.

    Returns
    -------
    Workers
        The same, or threads in the place of processes that are not there and would not pay.
    """
    if not isinstance(workers, Processes) or workers.begun:
        return workers
    if workers.jobs == 1 or sum(not path_of(out, one).is_file() for one in samples) < MANY_FILES:
        return Threads(workers.jobs)
    workers.begin()
    return workers


@dataclass(frozen=True)
class _Gate:
    """Gates a file into a results folder, wherever it is called."""

    out: Path
    cells: bool

    def __call__(self, request: Request) -> Outcome:
        return process(request, self.out, cells=self.cells)
