"""A run is one call: gate a study, analyse it, write its reports, seal the folder."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from immunoprofile.io.only_writer import only_writer
from immunoprofile.profiling.gate_files import suited
from immunoprofile.profiling.locking import refuse_lost_history
from immunoprofile.profiling.on_cluster import joined, located
from immunoprofile.profiling.preflight import prepare
from immunoprofile.profiling.results import Profile
from immunoprofile.profiling.run import gate_study
from immunoprofile.profiling.sealing import PROVENANCE, begin
from immunoprofile.report.complete import Asked, Stage, complete, made_already
from immunoprofile.tl.plan_check import check_plan
from immunoprofile.workers import Processes

if TYPE_CHECKING:
    from distributed import Client

    from immunoprofile.gate.strategy import GateSet
    from immunoprofile.study import Study


def run_study(
    study: Study,
    gates: GateSet,
    *,
    out: str | Path,
    jobs: int = 1,
    cells: bool = False,
    pdf: bool = False,
    progress: bool = False,
    stage: Stage | None = None,
    client: Client | None = None,
    wait: float = 60.0,
) -> Profile:
    """Gate a whole study, run the analyses that it declares, write all reports, and seal the results folder.

    This is what ``immunoprofile run`` does. The same call goes on where a run stopped and ends with the same bytes as
    one that was not stopped; a file is gated again only when it, its gates or its limits changed. Where study, gates,
    FCS files, software and every file of the folder are those of its last run, by their hashes, nothing is made again.
    Whatever the folder held of an earlier run, it ends as one written into an empty folder.

    Parameters
    ----------
    study
        From `read_study`.
    gates
        One strategy per tube, from `gate.load`.
    out
        Results folder; made when absent.
    jobs
        Files to gate at the same time (threads; from 100 files on processes, 400 elsewhere than on Linux), and reports
        (processes where they are there already, from 80 pages on, and with ``pdf``; fewer are made sooner than a
        process starts). The bytes do not depend on it.
    cells
        Also write ``cells/<sample>.h5ad`` with all events of every sample.
    pdf
        Also write the reports as PDF (needs the ``pdf`` extra).
    progress
        Show progress bars.
    stage
        Called with the name of each stage; the context that it gives lasts as long as the stage.
    client
        A ``distributed.Client``: files are gated and pages made by its workers, which must see the study and ``out``
        under the same absolute paths (docs/cluster.md), and not on ``jobs`` threads and processes of this machine.
    wait
        With a client, seconds without any worker after which the run gives up.

    Returns
    -------
    Profile
        With the statistics in ``visits.uns``.

    Raises
    ------
    GateError, StudyError, AnalysisError
        What does not fit together, all at once; the study is locked and was changed; its cut, or rows of its
        ledger, with which the results in ``out`` were made are gone. Nothing was written.
    ResultsError
        ``out`` holds something else than results of this study, or another run is at work in it.
    OutputError
        The results cannot be written: no room, no permission.
    ClusterError
        The workers have other software or do not see the folders (nothing was written), or were lost.

    Examples
    --------
    >>> profile = ip.run_study(study, gates, out="results", jobs=2)  # doctest: +SKIP
    """
    with Processes(jobs) as processes:
        return run_with(processes, study, gates, out=Path(out), cells=cells, pdf=pdf, progress=progress, stage=stage,
                        client=client, wait=wait)  # fmt: skip


def run_with(
    processes: Processes,
    study: Study,
    gates: GateSet,
    *,
    out: Path,
    cells: bool,
    pdf: bool,
    progress: bool,
    stage: Stage | None,
    client: Client | None,
    wait: float,
) -> Profile:
    """`run_study` with processes that may have been begun before the study was read."""
    study, out = located(study, out, client)
    timed = stage or (lambda _: nullcontext())
    asked = Asked(workers=processes, pdf=pdf, progress=progress)
    if (out / PROVENANCE).exists():
        with only_writer(out, "run"):
            with timed("compare with last run"):
                provenance = made_already(study, gates, out, asked, cells=cells)
            if provenance is not None:
                with timed("unchanged, read back"):
                    return Profile.read(out, study=study, provenance=provenance)
    if client is None:
        suited(processes, out, study.samples["sample_id"])  # they load while the study is looked at
    check_plan(study, gates)
    prepared = prepare(study, gates)
    refuse_lost_history(study, prepared.gates, out)
    with only_writer(out, "run"):
        cluster = joined(client, study, out, wait=wait)
        begin(out, study.config.study_id, source=study.folder)
        with timed("gate the files"):
            gated = gate_study(study, prepared, out, cluster or processes, cells=cells, progress=progress)
            del prepared  # its tables are in the folder: of many subjects they are not held twice
            profile = Profile.read(out, study=study, provenance=gated.facts)
        asked = replace(asked, workers=cluster or asked.workers)
        return complete(profile, gated, asked, stage)[0]
