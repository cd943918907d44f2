"""Everything that a run takes from one FCS file."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from immunoprofile.errors import FcsError, ImmunoprofileError, OutputError
from immunoprofile.gate.batch import gating_exception
from immunoprofile.gate.cells import cells_of
from immunoprofile.gate.evaluate import count_rows, gate_sample
from immunoprofile.gate.flowjo_counts import stored_counts
from immunoprofile.gate.intensities import intensity_table
from immunoprofile.gate.matching import Match
from immunoprofile.gate.overrides_in_force import overridden
from immunoprofile.gate.raster import rasterise, write_rasters
from immunoprofile.gate.scaled import ScaledValues
from immunoprofile.io.files import sha256_of, write_arrays
from immunoprofile.io.h5ad import write_h5ad
from immunoprofile.io.markers import VIABILITY, same_marker
from immunoprofile.profiling.gate_spread import shifted_rows
from immunoprofile.profiling.outcome import Limits, Outcome, Request
from immunoprofile.profiling.records import key_of, path_of, read_record, write_record
from immunoprofile.quality import EventQuality, assess, panel_quantiles
from immunoprofile.resources.checks import Finding, quality_checks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from immunoprofile.gate.evaluate import GatedSample
    from immunoprofile.io.fcs import Sample


def process(request: Request, out: Path, *, cells: bool) -> Outcome:
    """Gate one file, write what belongs to it, and return what the study needs; never raises for a bad file.

    Writes ``rasters/<sample>.npz``, ``quality/<sample>.npz``, ``gating/<sample>.xml``, with ``cells`` also
    ``cells/<sample>.h5ad``, and a record. A record of the same file, gates, options and software is taken instead of
    gating again, when all that it stands for is as it was written.

    Raises
    ------
    OutputError
        The results cannot be written.
    """
    digest = ""
    if path_of(out, request.sample_id).is_file():
        digest = _digest(request.source.path)
        known = read_record(out, request.sample_id, key_of(request, digest, cells=cells))
        if known is not None:
            return known
    panel, written, sample = None, list[Path](), None
    try:
        # Reading hashes the file as well, so a file that is gated for the first time is hashed once.
        sample = request.source.read()
        digest = sample.sha256
        _compare_hash(request, digest)
        outcome, written = _gate(request, sample, out, cells=cells)
        panel = panel_quantiles(sample)
    except OutputError:
        raise  # no fault of the file
    except ImmunoprofileError as error:
        if sample is None:
            digest, error = request.source.refused(error)
        outcome, written = _left_out(request, digest, error), []
    return write_record(out, key_of(request, digest, cells=cells), outcome, panel, written)


def _digest(path: Path) -> str:
    """Content hash; empty when the file cannot be read, which `read_fcs` tells with its reason."""
    try:
        return sha256_of(path)
    except OSError:
        return ""


def _compare_hash(request: Request, digest: str) -> None:
    if request.sha256 and digest and digest != request.sha256:
        raise FcsError(
            "the content is not what samples.csv says (sha256)",
            where=request.file,
            todo="find out which is right: the file or the table",
        )


def _left_out(request: Request, digest: str, error: ImmunoprofileError) -> Outcome:
    """Outcome of a file that could not be gated; that its content is not the one meant comes before other reasons."""
    try:
        _compare_hash(request, digest)
    except FcsError as other:
        error = other
    place = {"sample_id": request.sample_id, "file": request.file}
    row = {name: str(value) for name, value in gating_exception(error, **place).items()}
    return Outcome(request.sample_id, request.file, request.tube, sha256=digest, exception=row)


def _gate(request: Request, sample: Sample, out: Path, *, cells: bool) -> tuple[Outcome, list[Path]]:
    """What the study needs of a file, and the files that were written for it."""
    match = request.gates.match(sample, request.tube, request.source.path, sample_id=request.sample_id)
    if request.placed is not None:
        drawn = request.gates.in_force(request.sample_id, request.tube)
        match = replace(match, strategy=overridden(request.placed, drawn))
    gated = gate_sample(sample, match, comp_source=request.comp_source)
    written = [out / "quality" / f"{request.sample_id}.npz", out / "rasters" / f"{request.sample_id}.npz"]
    events = look_at(gated, request.limits, *written)
    written += request.documents.write(gated, out / "gating" / f"{request.sample_id}.xml")
    if cells:
        written.append(out / "cells" / f"{request.sample_id}.h5ad")
        write_h5ad(cells_of(gated, request.sample_id, flags=events.masks), written[-1])
    outcome = Outcome(
        sample_id=request.sample_id,
        file=request.file,
        tube=request.tube,
        sha256=sample.sha256,
        n_events=sample.n_events,
        comp_source=gated.comp_source,
        counts=tuple(row[1:7] for row in count_rows(gated.strategy, gated.evaluation)),
        medians=tuple((population, marker, value) for (population, marker), value in gated.medians().items()),
        flow_pct_time=events.rate.pct_time if events.rate.assessable else None,
        flow_pct_events=events.rate.pct_events if events.rate.assessable else None,
        flow_reason=events.rate.reason,
        findings=_findings(gated, events, request.limits),
        notices=tuple((n.severity, n.code, n.message, n.action) for n in gated.notices),
        engine=dict(sorted(asdict(gated.engine).items())),  # as its record gives it back
        intensities=_intensities(gated, request.statistics),
        stored_counts=_stored_counts(gated, match),
        shifted=shifted_rows(gated, request),
    )
    return outcome, written


def look_at(gated: GatedSample, limits: Limits, flags: Path, rasters: Path) -> EventQuality:
    """Checks of the events of a file, written with its plots.

    Parameters
    ----------
    gated
        The file with its gates.
    limits
        Limits of the checks that the study sets.
    flags, rasters
        Files to write.
    """
    values = ScaledValues(gated)
    events = _assess(gated, values, limits)
    write_flags(events, flags)
    write_rasters(rasterise(gated, values=values), rasters)
    return events


def _intensities(
    gated: GatedSample, statistics: tuple[str, ...]
) -> tuple[tuple[str, str, str, float, str, int, float], ...]:
    if not statistics:
        return ()
    table = intensity_table(gated, statistics)
    names = ["population", "marker", "statistic", "value", "unit", "n", "left_out_pct"]
    return tuple(table[names].itertuples(index=False, name=None))


def _stored_counts(
    gated: GatedSample, match: Match
) -> tuple[tuple[str, str, str, int | None, int | None, str, str], ...]:
    columns = ("population", "gate_path", "gate", "n_flowjo", "n", "verdict", "reason")
    rows = [] if match.sample is None else stored_counts(gated, match.sample)
    return tuple(tuple(row[name] for name in columns) for row in rows)  # type: ignore[misc]


def _assess(gated: GatedSample, values: ScaledValues, limits: Limits) -> EventQuality:
    """Checks of the events, on the scales of the gates.

    Where a file shows no valley between live and dead cells, the viability gate of the template stands in.
    """
    known = dict(gated.strategy.scales)
    dimensions = [d for gate in gated.bound.gates for d in gate.dimensions if d.scale is not None]
    scales = {d.marker: known[d.scale] for d in dimensions if d.scale is not None}
    viability = [
        d.maximum
        for gate in gated.strategy.gates
        for d in gate.dimensions
        if same_marker(d.marker, VIABILITY) and d.maximum is not None
    ]
    fallback = viability[0] if viability else None
    transformed = {
        column: values.scaled(column, scales[channel.pnn], compensated=True)
        for column, channel in enumerate(gated.sample.channels)
        if channel.pnn in scales
    }
    return assess(
        gated.sample,
        comp=gated.spillover,
        scales=scales,
        transformed=transformed,
        compensated=lambda: gated.compensated,
        dead_fallback=fallback,
        limits=limits,
    )


def _findings(gated: GatedSample, events: EventQuality, limits: Limits) -> tuple[Finding, ...]:
    """Checks of the events and of the compensation.

    Counting beads are exempt from margins and doublets: a saturated bead is a bead. The flow rate is left out: it is a
    check of the visit, see `pp.file_findings`.
    """
    cells = ~gated.mask(gated.strategy.beads) if gated.strategy.beads else None
    found = []
    for finding in events.findings:
        if finding.check == "flow_rate":
            continue
        if (
            cells is not None
            and cells.any()
            and finding.check in ("margins", "doublets")
            and finding.value == finding.value
        ):
            share = 100.0 * float(np.mean(events.masks[finding.check][cells]))
            finding = quality_checks(limits)[finding.check].judge(share)
        found.append(finding)
    return tuple(found if gated.comp_finding is None else [*found, gated.comp_finding])


def write_flags(events: EventQuality, path: Path) -> None:
    """Store the flags of every event, one bit each in the order of the file, and the proposed time gate."""
    packed: dict[str, Any] = {name: np.packbits(mask) for name, mask in sorted(events.masks.items())}
    gate = np.array(events.time_gate, dtype=np.float64).reshape(-1, 2)
    write_arrays(path, n_events=np.array(events.n_events), time_gate=gate, **packed)


def read_flags(path: Path) -> tuple[dict[str, NDArray[np.bool_]], NDArray[np.float64]]:
    """Flags of every event by check, True where flagged, and the time gate as rows (begin, end) in seconds."""
    with np.load(path, allow_pickle=False) as stored:
        n = int(stored["n_events"])
        gate = np.asarray(stored["time_gate"])
        names = [name for name in stored.files if name not in ("n_events", "time_gate")]
        return {name: np.unpackbits(stored[name], count=n).astype(bool) for name in names}, gate
