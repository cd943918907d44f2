"""Gate every file of a study, file by file, and write the results folder."""

from __future__ import annotations

import json
import logging
import platform
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from immunoprofile import pp, schema
from immunoprofile._version import __version__
from immunoprofile.errors import ResultsError
from immunoprofile.gate.batch import in_order
from immunoprofile.gate.sources import left_out_gates
from immunoprofile.gate.strategy import GateSet
from immunoprofile.gate.template import write_template
from immunoprofile.io.files import remove_leftovers, write_table
from immunoprofile.profiling.assemble import assemble, choose_attempts
from immunoprofile.profiling.checkpoint import FOLDER as PARTIAL
from immunoprofile.profiling.clinical_half import add_clinical, add_il2_hours
from immunoprofile.profiling.documents import GateDocuments
from immunoprofile.profiling.findings import channel_swaps, panel_findings, specimen_findings
from immunoprofile.profiling.functional import add_functional
from immunoprofile.profiling.notes import note_visits, notes_of_files
from immunoprofile.profiling.one_file import process
from immunoprofile.profiling.outcome import Outcome, Request
from immunoprofile.profiling.preflight import acquisition_notes, prepare
from immunoprofile.profiling.queries import join_queries
from immunoprofile.profiling.results import PROVENANCE, VISITS, Profile, seal, write_visits
from immunoprofile.resources.checks import quality_table
from immunoprofile.study import Study

if TYPE_CHECKING:
    import anndata

_log = logging.getLogger(__name__)

GATED_ROLES = ("sample", "control", "replicate")
"""Roles whose files have the whole panel; FMO controls and single stains lack markers on purpose."""

_REPORTED_VERSIONS = (
    "immunoprofile",
    "flowkit",
    "flowio",
    "flowutils",
    "anndata",
    "numpy",
    "pandas",
    "scipy",
    "statsmodels",
)


def profile(
    study: Study, gates: GateSet, *, out: str | Path, jobs: int = 1, cells: bool = False, progress: bool = False
) -> Profile:
    """Gate a whole study and write its results folder.

    The same command resumes a run that was killed and ends with the same bytes. A file that cannot be gated is listed
    in ``exceptions.csv`` with its reason; the others go on.

    Parameters
    ----------
    study
        From `read_study`.
    gates
        One strategy per tube, from `gate.load`.
    out
        Results folder. It is made, or completed when it holds an earlier run of the same study.
    jobs
        Number of threads.
    cells
        Also write ``cells/<sample>.h5ad`` with all events of every sample.
    progress
        Show a progress bar.

    Returns
    -------
    Profile

    Raises
    ------
    GateError
        The gates do not fit the study; nothing was written.
    StudyError
        CMV-DNA results that cannot be understood, all at once; nothing was written.
    ResultsError
        ``out`` holds something else than results.

    Examples
    --------
    >>> profile = ip.profile(study, gates, out="results", jobs=2)  # doctest: +SKIP
    """
    out = Path(out)
    prepared = prepare(study, gates)
    gates, half = prepared.gates, prepared.clinical
    virology = half.virology.results
    _prepare(out, study)
    requests = _requests(study, gates)
    outcomes = _gate_all(requests, out, jobs=jobs, cells=cells, progress=progress)
    flow = pp.quality_checks(study.config.check_limits)["flow_rate"]
    chosen = choose_attempts(study, outcomes, passes=lambda pct: flow.state(pct) == "PASS")
    notes = notes_of_files(study, outcomes, chosen)
    notes.rows += left_out_gates(gates)
    visits = assemble(study, gates, chosen, virology)
    note_visits(visits, study, notes)
    add_functional(visits, study.functional, notes)
    pp.percentages(visits)
    pp.absolute(visits)
    pp.ratios(visits)
    pp.baseline_change(visits)
    add_il2_hours(visits, half)
    quality = _verdict(visits, study, gates, chosen, out)
    add_clinical(visits, study, half)
    exceptions = pd.concat(
        [study.exceptions, acquisition_notes(study), half.safety.exceptions, notes.table()], ignore_index=True
    )
    tables = half.tables() | {"queries": join_queries(study.queries, exceptions, quality)}
    provenance = _provenance(study, gates, outcomes, cells=cells)
    visits.uns[schema.UNS_PROVENANCE] = {"versions": provenance["versions"], "gates": provenance["gates"]}
    visits.uns[schema.UNS_VERSION] = __version__
    _remove_stale(out, outcomes, cells=cells)
    _write(out, study, gates, visits, outcomes, quality, exceptions, virology, tables, provenance)
    shutil.rmtree(out / PARTIAL, ignore_errors=True)
    return Profile.read(out, study=study)


def _prepare(out: Path, study: Study) -> None:
    if out.exists() and not out.is_dir():
        raise ResultsError("is a file, not a folder", where=str(out), todo="choose another folder for the results")
    marks = (PROVENANCE, PARTIAL)
    if out.is_dir() and any(out.iterdir()) and not any((out / mark).exists() for mark in marks):
        raise ResultsError(
            "the folder is not empty and holds no results",
            where=str(out),
            todo="choose an empty folder for the results",
        )
    if (out / PROVENANCE).is_file():
        other = json.loads((out / PROVENANCE).read_text(encoding="utf-8")).get("study_id")
        if other != study.config.study_id:
            raise ResultsError(
                f"the folder holds the results of study {other}", where=str(out), todo="choose another folder"
            )
    (out / PARTIAL).mkdir(parents=True, exist_ok=True)
    for folder in (out, *(path for path in out.rglob("*") if path.is_dir())):
        remove_leftovers(folder)


def _remove_stale(out: Path, outcomes: Mapping[str, Outcome], *, cells: bool) -> None:
    """Take out what an earlier run wrote of samples and subjects that are no longer in the study.

    Reports and statistics are written anew after every run, so those of the earlier one go as a whole.
    """
    gated = {outcome.sample_id for outcome in outcomes.values() if outcome.gated}
    for folder, suffix, kept in (
        ("rasters", ".npz", gated),
        ("quality", ".npz", gated),
        ("gating", ".xml", gated),
        ("cells", ".h5ad", gated if cells else set()),
    ):
        for path in (out / folder).glob(f"*{suffix}"):
            if path.stem not in kept:
                path.unlink()
    for folder in ("reports", "statistics"):
        shutil.rmtree(out / folder, ignore_errors=True)


def _requests(study: Study, gates: GateSet) -> list[Request]:
    rows = study.samples[study.samples["role"].isin(GATED_ROLES)].sort_values("sample_id", kind="stable")
    excluded = rows["exclude_flag"].fillna(value=False).astype(bool)
    hashes = {tube: strategy.sha256 for tube, strategy in gates.items()}
    documents = GateDocuments()
    return [
        Request(
            sample_id=str(row.sample_id),
            path=study.fcs_path(str(row.sample_id)),
            file=str(row.fcs_path),
            strategy=gates[str(row.tube_id)],
            gates_sha256=hashes[str(row.tube_id)],
            comp_source=None if pd.isna(row.comp_source) else str(row.comp_source),
            sha256=None if pd.isna(row.sha256) else str(row.sha256),
            limits=study.config.check_limits,
            documents=documents,
        )
        for row in rows[~excluded].itertuples()
    ]


def _gate_all(requests: list[Request], out: Path, *, jobs: int, cells: bool, progress: bool) -> dict[str, Outcome]:
    from tqdm import tqdm

    # FlowKit takes seconds to import; doing it here keeps the threads from importing it at the same time.
    from immunoprofile.gate import _flowkit  # noqa: F401
    from immunoprofile.io.progress import hidden

    results = in_order(lambda request: process(request, out, cells=cells), requests, jobs=jobs)
    done = tqdm(results, total=len(requests), desc="gating", unit="file", disable=hidden(wanted=progress))
    return {outcome.sample_id: outcome for outcome in done}


def _verdict(
    visits: anndata.AnnData, study: Study, gates: GateSet, chosen: Mapping[tuple[str, str, str], Outcome], out: Path
) -> pd.DataFrame:
    """Checks of every sample and visit, and their summary in ``obs``."""
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
    quality = pp.verdict(visits, counts, study.samples, limits=limits, il2_subjects=sorted(il2))
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
    ]
    quality = pd.concat([quality, findings, *others], ignore_index=True)[list(schema.QUALITY_COLUMNS)]
    quality = quality.sort_values(["usubjid", "visit", "tube", "check"], kind="stable", ignore_index=True)
    quality = pp.apply_overrides(quality, study.overrides)
    pp.summarise(visits, quality)
    visits.uns[schema.UNS_QUALITY] = quality
    return quality


def _provenance(study: Study, gates: GateSet, outcomes: Mapping[str, Outcome], *, cells: bool) -> dict[str, Any]:
    files = {outcome.file: outcome.sha256 for outcome in outcomes.values()}
    return {
        "study_id": study.config.study_id,
        "inputs": files | dict(study.inputs),
        "gates": {tube: {"sha256": s.sha256, "version": s.version, "panel": s.panel} for tube, s in gates.items()},
        "compensation": {outcome.sample_id: outcome.comp_source for outcome in outcomes.values() if outcome.gated},
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _REPORTED_VERSIONS}},
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


def _version(name: str) -> str:
    if name == "immunoprofile":
        return __version__
    return metadata.version(name)


def _write(
    out: Path,
    study: Study,
    gates: GateSet,
    visits: anndata.AnnData,
    outcomes: Mapping[str, Outcome],
    quality: pd.DataFrame,
    exceptions: pd.DataFrame,
    virology: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame],
    provenance: Mapping[str, Any],
) -> None:
    rows = [
        (
            o.sample_id,
            o.file,
            o.tube,
            label,
            parent,
            path,
            n,
            n_parent,
            100.0 * n / n_parent if n_parent else float("nan"),
        )
        for o in sorted(outcomes.values(), key=lambda o: o.sample_id)
        for _, label, parent, path, n, n_parent in o.counts
    ]
    write_table(out / "counts.csv", pd.DataFrame(rows, columns=list(schema.COUNT_COLUMNS)))
    write_table(out / "quality.csv", quality)
    write_table(out / "exceptions.csv", exceptions)
    write_table(out / "virology.csv", virology)
    for name, table in tables.items():
        write_table(out / f"{name}.csv", table)
    study.write(out / "study")
    for tube, strategy in gates.items():
        write_template(strategy, out / "gating" / "templates" / f"{tube}.csv")
    write_visits(visits, out / VISITS)
    seal(out, provenance)
