"""Gate every file of a study, file by file, and write the results folder."""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from immunoprofile import pp, schema
from immunoprofile._version import __version__
from immunoprofile.errors import GateError
from immunoprofile.gate.exchange import save
from immunoprofile.gate.ledger import LEDGER
from immunoprofile.gate.sources import left_out_gates
from immunoprofile.gate.strategy import GateSet, Strategy
from immunoprofile.gate.study_gates import StudyGates
from immunoprofile.gate.template import write_template
from immunoprofile.io.files import cannot_write, sha256_of, write_bytes, write_table
from immunoprofile.io.h5ad import write_h5ad
from immunoprofile.io.only_writer import only_writer
from immunoprofile.io.software import package_digest, rule_hashes, versions
from immunoprofile.placement.in_study import place_study
from immunoprofile.profiling.assemble import assemble, choose_attempts
from immunoprofile.profiling.background import backgrounds, fmo_hashes
from immunoprofile.profiling.clinical_half import add_clinical, add_il2_hours
from immunoprofile.profiling.control_runs import batch_table, control_table, flag_batches, note_controls
from immunoprofile.profiling.findings import channel_swaps, panel_findings, specimen_findings
from immunoprofile.profiling.functional import add_functional
from immunoprofile.profiling.gate_files import gate_all, requests_of, suited
from immunoprofile.profiling.gate_overrides import flag_visits, note_gate_overrides, override_table
from immunoprofile.profiling.gate_spread import add_gatings, gate_spread_table
from immunoprofile.profiling.locking import refuse_lost_history
from immunoprofile.profiling.notes import note_overrides, note_visits, notes_of_files
from immunoprofile.profiling.on_cluster import joined, located
from immunoprofile.profiling.outcome import Chosen, Outcome
from immunoprofile.profiling.preflight import Prepared, acquisition_notes, prepare
from immunoprofile.profiling.queries import join_queries
from immunoprofile.profiling.rare_populations import add_backgrounds, rare_populations_table
from immunoprofile.profiling.records import path_of
from immunoprofile.profiling.replicates import Replicates, find_replicates, precision_table, replicate_rows
from immunoprofile.profiling.results import Profile
from immunoprofile.profiling.sealing import VISITS, Gated, begin, seal, sweep
from immunoprofile.resources.checks import quality_table
from immunoprofile.schema.reconciliation import STUDY_RECONCILE_COLUMNS, VERDICT_SHARE
from immunoprofile.study import Study
from immunoprofile.workers import Processes, Workers

if TYPE_CHECKING:
    import anndata
    from distributed import Client

_log = logging.getLogger(__name__)


def profile(
    study: Study,
    gates: GateSet,
    *,
    out: str | Path,
    jobs: int = 1,
    cells: bool = False,
    progress: bool = False,
    client: Client | None = None,
    wait: float = 60.0,
) -> Profile:
    """Gate a whole study and write its results folder, without statistics and reports (`run_study` makes all).

    The same command resumes a run that was killed and ends with the same bytes. A file that cannot be gated is listed
    in ``exceptions.csv`` with its reason; the others go on.

    Parameters
    ----------
    study, gates, out, jobs, cells, progress, client, wait
        As for `run_study`.

    Returns
    -------
    Profile

    Raises
    ------
    GateError, StudyError, ResultsError, OutputError, ClusterError
        As for `run_study`, but for the plan of the statistics, which is not looked at.

    Examples
    --------
    >>> profile = ip.profile(study, gates, out="results", jobs=2)  # doctest: +SKIP
    """
    study, out = located(study, Path(out), client)
    prepared = prepare(study, gates)
    refuse_lost_history(study, prepared.gates, out)
    with only_writer(out, "run"):
        cluster = joined(client, study, out, wait=wait)
        begin(out, study.config.study_id, source=study.folder)
        with Processes(jobs) as processes:
            gated = gate_study(study, prepared, out, cluster or processes, cells=cells, progress=progress)
        sweep(out, gated.files)
        provenance = seal(out, gated.facts, gated.files, parts=("profile",))
        return Profile.read(out, study=study, provenance=provenance)


def gate_study(
    study: Study, prepared: Prepared, out: Path, workers: Workers, *, cells: bool = False, progress: bool = False
) -> Gated:
    """Gate every file of a study and write all results but statistics and reports.

    The caller holds the folder (`io.only_writer`), has begun a run in it (`sealing.begin`), and seals it.

    Parameters
    ----------
    study, out, cells, progress
        As for `profile`.
    prepared
        From `preflight.prepare`.
    workers
        Where files are gated.

    Raises
    ------
    OutputError
        The results cannot be written.
    """
    gates, half = prepared.gates, prepared.clinical
    virology = half.virology.results
    written = study.write(out / "study")
    written += _write_gates(gates, out / "gating" / "templates")
    if gates.ledger.content:
        written.append(out / LEDGER)
        write_bytes(written[-1], gates.ledger.content)
    workers = suited(workers, out, study.samples["sample_id"])
    placement = place_study(study, gates, workers, progress=progress)
    outcomes = gate_all(requests_of(study, gates, placement.strategies), out, workers, cells=cells, progress=progress)
    flow = pp.quality_checks(study.config.check_limits)["flow_rate"]
    chosen = choose_attempts(study, outcomes, passes=lambda pct: flow.state(pct) == "PASS")
    notes = notes_of_files(study, outcomes, chosen)
    notes.rows += [*left_out_gates(gates.whole), *map(dict, placement.notes)]
    visits = assemble(study, gates, chosen, virology)
    note_visits(visits, study, notes)
    add_functional(visits, study.functional, notes)
    pp.percentages(visits)
    pp.absolute(visits, **study.config.absolute_counts.said)
    pp.ratios(visits)
    pp.baseline_change(visits)
    add_gatings(visits, gates, chosen)
    pp.gate_spread(visits)
    blanks = backgrounds(study, gates, placement.strategies, chosen)
    add_backgrounds(visits, chosen, blanks)
    add_il2_hours(visits, half)
    replicates = find_replicates(study, gates, outcomes, chosen)
    unused: list[int] = []
    quality = _verdict(visits, study, gates, chosen, replicates, out, unused)
    note_overrides(study, unused, notes)
    overrides = override_table(study, gates)
    note_gate_overrides(overrides, study, gates, notes, placed=placement.strategies)
    flag_visits(visits, overrides, chosen)
    controls = control_table(study, gates, outcomes, visits.var)
    batches = batch_table(study, controls, chosen)
    note_controls(study, controls, batches, notes)
    flag_batches(visits, study, batches, chosen)
    add_clinical(visits, study, half)
    exceptions = pd.concat(
        [study.exceptions, acquisition_notes(study), half.safety.exceptions, notes.table()], ignore_index=True
    )
    facts = _facts(study, gates, outcomes, cells=cells)
    facts |= {"content": prepared.content} | ({"cut": dict(prepared.cut)} if prepared.cut else {})
    visits.uns[schema.UNS_PROVENANCE] = {"versions": facts["versions"], "gates": facts["gates"]}
    visits.uns[schema.UNS_VERSION] = __version__
    tables = {
        "counts": _counts(outcomes),
        "quality": quality,
        "exceptions": exceptions,
        "virology": virology,
        **half.tables(),
        "queries": join_queries(study.queries, exceptions, quality),
        "gate_overrides": overrides,
        "reconcile": _reconciled(outcomes),
        "intensities": _intensities(outcomes),
        "placement": placement.table,
        "gate_spread": gate_spread_table(outcomes),
        "controls": controls,
        "control_batches": batches,
        "precision": precision_table(study, visits.var, replicates),
        "rare_populations": rare_populations_table(visits, gates, chosen, blanks),
    }
    for name, table in tables.items():
        written.append(out / f"{name}.csv")
        write_table(written[-1], table)
    written.append(out / VISITS)
    write_h5ad(visits, written[-1])
    written += [path_of(out, sample_id) for sample_id in outcomes]
    files = {path.relative_to(out).as_posix(): sha256_of(path) for path in written}
    for outcome in outcomes.values():
        files |= outcome.files
    return Gated(facts, dict(sorted(files.items())))


def _write_gates(gates: Mapping[str, Strategy], folder: Path) -> list[Path]:
    """Write the gates of each tube: as template where one can say them, else as ``.json``, which holds every kind.

    What an earlier run left of a tube that is gone would be read as gates of this one.
    """
    try:
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise cannot_write(Path(error.filename or folder), error) from error
    for tube, strategy in gates.items():
        try:
            write_template(strategy, folder / f"{tube}.csv")
        except GateError:
            save(strategy, folder / f"{tube}.json")
    return [path for path in folder.rglob("*") if path.is_file()]


def _verdict(
    visits: anndata.AnnData,
    study: Study,
    gates: Mapping[str, Strategy],
    chosen: Chosen,
    replicates: Replicates,
    out: Path,
    unused: list[int],
) -> pd.DataFrame:
    """Checks of every sample and visit, and their summary in ``obs``; ``unused`` takes overrides of other checks."""
    counts = pd.DataFrame(
        [
            (usubjid, visit, tube, outcome.sample_id, row[0], row[2], row[4], row[5])
            for (usubjid, visit, tube), outcome in sorted(chosen.items())
            for row in outcome.counts
        ],
        columns=["usubjid", "visit", "tube", "sample_id", "population", "parent", "n", "n_parent"],
    )
    files = pd.DataFrame(
        [
            (usubjid, visit, tube, outcome.sample_id, outcome.flow_pct_time, outcome.comp_source)
            for (usubjid, visit, tube), outcome in sorted(chosen.items())
        ],
        columns=["usubjid", "visit", "tube", "sample_id", "flow_pct_time", "comp_source"],
    )
    limits = study.config.check_limits
    dosing, subjects = study.dosing, study.subjects
    il2 = {*dosing.loc[dosing["drug"] == "IL2", "usubjid"], *subjects.loc[subjects["first_il2_dtc"].notna(), "usubjid"]}
    quality = pp.verdict(
        visits, counts, study.samples, limits=limits, tube_limits=study.config.tube_check_limits,
        il2_subjects=sorted(il2),
    )  # fmt: skip
    findings = pp.file_findings(files, tuple(study.config.tubes), study.samples, limits=limits)
    events = quality_table(
        finding.row(usubjid, visit, tube, outcome.sample_id)
        for (usubjid, visit, tube), outcome in sorted(chosen.items())
        for finding in outcome.findings
    )
    others = [
        events,
        panel_findings(gates, visits, chosen),
        specimen_findings(visits),
        channel_swaps(study, visits, chosen, out),
        quality_table(replicate_rows(study, replicates)),
    ]
    quality = pd.concat([quality, findings, *others], ignore_index=True)[list(schema.QUALITY_COLUMNS)]
    quality = quality.sort_values(["usubjid", "visit", "tube", "check"], kind="stable", ignore_index=True)
    quality = pp.apply_overrides(quality, study.overrides, unused=unused)
    pp.summarise(visits, quality)
    visits.uns[schema.UNS_QUALITY] = quality
    return quality


def _facts(study: Study, gates: StudyGates, outcomes: Mapping[str, Outcome], *, cells: bool) -> dict[str, Any]:
    files = {outcome.file: outcome.sha256 for outcome in outcomes.values()} | fmo_hashes(study, gates)
    return {
        "study_id": study.config.study_id,
        "inputs": files | dict(study.inputs) | ({LEDGER: gates.ledger.sha256} if gates.ledger.content else {}),
        "ledger": gates.ledger.facts,
        "rules": dict(rule_hashes()),
        "package_sha256": package_digest(),
        "gates": {
            tube: {"sha256": gates.sha256(tube), "version": s.version, "panel": s.panel} for tube, s in gates.items()
        },
        "compensation": {outcome.sample_id: outcome.comp_source for outcome in outcomes.values() if outcome.gated},
        "versions": versions(),
        "engine": {outcome.sample_id: outcome.engine for outcome in outcomes.values() if outcome.engine is not None},
        "parameters": {
            "cells": cells,
            "attempt_rule": study.config.attempt_rule,
            "engine": _engine_in_words(outcomes.values()),
        },
        "seeds": {},
    }


def _engine_in_words(outcomes: Iterable[Outcome]) -> str:
    """Which tiers of the engine answered for how many files, and how many events were decided exactly."""
    records = [outcome.engine for outcome in outcomes if outcome.engine is not None]
    tiers = Counter(str(record["tier"]) for record in records)
    parts = [f"{name} {tiers[name]} files" for name in ("kernel", "exact", "flowkit") if tiers[name]]
    near = sum(int(record["n_arbiter"]) for record in records if record["tier"] == "kernel")
    return f"{'; '.join(parts) or 'no files'} ({near} events near a gate decided exactly)"


def _counts(outcomes: Mapping[str, Outcome]) -> pd.DataFrame:
    rows = [
        (
            o.sample_id,
            o.file,
            o.tube,
            population,
            label,
            parent,
            path,
            n,
            n_parent,
            100.0 * n / n_parent if n_parent else float("nan"),
        )
        for o in sorted(outcomes.values(), key=lambda o: o.sample_id)
        for population, label, parent, path, n, n_parent in o.counts
    ]
    return pd.DataFrame(rows, columns=list(schema.COUNT_COLUMNS))


def _reconciled(outcomes: Mapping[str, Outcome]) -> pd.DataFrame:
    """Our counts beside those of a workspace, `schema.reconciliation.STUDY_RECONCILE_COLUMNS`."""
    rows = []
    for o in sorted(outcomes.values(), key=lambda o: o.sample_id):
        for population, path, gate, stored, n, verdict, reason in o.stored_counts:
            apart = None if stored is None or n is None or verdict == VERDICT_SHARE else n - stored
            share = None if apart is None or not stored else 100.0 * apart / stored
            rows.append((o.sample_id, o.file, o.tube, population, path, gate, stored, n, apart, share, verdict, reason))
    table = pd.DataFrame(rows, columns=list(STUDY_RECONCILE_COLUMNS))
    return table.astype(dict.fromkeys(("n_flowjo", "n", "difference"), "Int64"))


def _intensities(outcomes: Mapping[str, Outcome]) -> pd.DataFrame:
    """Statistics of intensities that the study asks for, `schema.STUDY_INTENSITY_COLUMNS`."""
    rows = [
        (o.sample_id, o.file, o.tube, *row)
        for o in sorted(outcomes.values(), key=lambda o: o.sample_id)
        for row in o.intensities
    ]
    return pd.DataFrame(rows, columns=list(schema.STUDY_INTENSITY_COLUMNS))
