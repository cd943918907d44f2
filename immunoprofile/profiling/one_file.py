"""Everything that a run takes from one FCS file, and the checkpoint that lets a killed run go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from immunoprofile._version import __version__
from immunoprofile.errors import FcsError, ImmunoprofileError
from immunoprofile.gate.batch import gating_exception
from immunoprofile.gate.cells import cells_of
from immunoprofile.gate.evaluate import gate_sample
from immunoprofile.gate.exchange import save_gatingml
from immunoprofile.gate.raster import rasterise, write_rasters
from immunoprofile.gate.strategy import Strategy
from immunoprofile.io.fcs import read_fcs
from immunoprofile.io.files import replacing, sha256_of, write_json
from immunoprofile.io.markers import VIABILITY, same_marker
from immunoprofile.quality import EventQuality, assess, find

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from immunoprofile.gate.evaluate import GatedSample


Limits = Mapping[str, Mapping[str, tuple[float | None, float | None]]]


@dataclass(frozen=True)
class Request:
    """One file to gate."""

    sample_id: str
    path: Path
    file: str
    """Path as the samples table has it."""
    strategy: Strategy
    comp_source: str | None
    sha256: str | None
    """Content hash that the samples table expects."""
    limits: Limits
    """Limits of the checks that the study sets."""


@dataclass(frozen=True)
class Outcome:
    """What a run keeps of one file.

    Attributes
    ----------
    sample_id, file, tube
        Which file.
    sha256
        Its content hash; empty when the file is missing.
    n_events
        Recorded events.
    comp_source
        ``keyword``, ``none`` or ``compensated``.
    counts
        Rows (population, label, parent, gate_path, n, n_parent).
    medians
        Rows (population, marker, median linear compensated intensity).
    flow_pct_time, flow_pct_events
        Per cent of time and of events at an unstable flow rate; None when not assessable.
    flow_reason
        Why the flow rate is not assessable.
    findings
        Checks of the events: (check, value, unit, limits, state, flag).
    repairs
        Repairs that reading the file needed.
    comp_finding
        Fields of the `compensation.Finding` on data that look compensated already, or None.
    exception
        Row of exceptions.csv when the file could not be gated, else None.
    """

    sample_id: str
    file: str
    tube: str
    sha256: str = ""
    n_events: int = 0
    comp_source: str = ""
    counts: tuple[tuple[str, str, str, str, int, int], ...] = ()
    medians: tuple[tuple[str, str, float], ...] = ()
    flow_pct_time: float | None = None
    flow_pct_events: float | None = None
    flow_reason: str = ""
    findings: tuple[tuple[str, float, str, str, str, str], ...] = ()
    repairs: tuple[str, ...] = ()
    comp_finding: dict[str, Any] | None = None
    exception: dict[str, str] | None = field(default=None)

    @property
    def gated(self) -> bool:
        """Whether the file was gated."""
        return self.exception is None

    def count(self, population: str) -> int | None:
        """Events of a population; None when the tube does not have it."""
        return next((row[4] for row in self.counts if row[0] == population), None)


def process(request: Request, out: Path, *, cells: bool) -> Outcome:
    """Gate one file, write what belongs to it, and return what the study needs; never raises for a bad file.

    Writes ``rasters/<sample>.npz``, ``quality/<sample>.npz``, ``gating/<sample>.xml``, with ``cells`` also
    ``cells/<sample>.h5ad``, and a checkpoint. A checkpoint of the same file, gates, options and version is taken
    instead of gating again.
    """
    digest = sha256_of(request.path) if request.path.is_file() else ""
    key = _key(request, digest, cells=cells)
    checkpoint = out / ".partial" / f"{request.sample_id}.json"
    known = _read_checkpoint(checkpoint, key)
    if known is not None:
        return known
    try:
        outcome = _gate(request, digest, out, cells=cells)
    except ImmunoprofileError as error:
        place = {"sample_id": request.sample_id, "file": request.file}
        row = {name: str(value) for name, value in gating_exception(error, **place).items()}
        outcome = Outcome(request.sample_id, request.file, request.strategy.tube, sha256=digest, exception=row)
    write_json(checkpoint, {"key": key, "outcome": asdict(outcome)})
    return outcome


def _gate(request: Request, digest: str, out: Path, *, cells: bool) -> Outcome:
    if request.sha256 and digest != request.sha256:
        raise FcsError(
            "the content is not what samples.csv says (sha256)",
            where=request.file,
            todo="find out which is right: the file or the table",
        )
    sample = read_fcs(request.path)
    gated = gate_sample(sample, request.strategy, comp_source=request.comp_source)
    events = _assess(gated, request.limits)
    write_flags(events, out / "quality" / f"{request.sample_id}.npz")
    write_rasters(rasterise(gated), out / "rasters" / f"{request.sample_id}.npz")
    channels = {
        marker.marker: bound.marker
        for gate, bound_gate in zip(request.strategy.gates, gated.bound.gates, strict=True)
        for marker, bound in zip(gate.dimensions, bound_gate.dimensions, strict=True)
    }
    save_gatingml(
        request.strategy, out / "gating" / f"{request.sample_id}.xml", channels=channels, spillover=gated.spillover
    )
    if cells:
        with replacing(out / "cells" / f"{request.sample_id}.h5ad") as temporary:
            cells_of(gated, request.sample_id, flags=events.masks).write_h5ad(temporary, compression="gzip")
    return Outcome(
        sample_id=request.sample_id,
        file=request.file,
        tube=request.strategy.tube,
        sha256=digest,
        n_events=sample.n_events,
        comp_source=gated.comp_source,
        counts=_count_rows(gated),
        medians=tuple((population, marker, value) for (population, marker), value in gated.medians().items()),
        flow_pct_time=events.rate.pct_time if events.rate.assessable else None,
        flow_pct_events=events.rate.pct_events if events.rate.assessable else None,
        flow_reason=events.rate.reason,
        findings=_findings(gated, events, request.limits),
        repairs=sample.repairs,
        comp_finding=None if gated.comp_finding is None else asdict(gated.comp_finding),
    )


def _assess(gated: GatedSample, limits: Limits) -> EventQuality:
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
    return assess(gated.sample, comp=gated.spillover, scales=scales, dead_fallback=fallback, limits=limits)


def _findings(
    gated: GatedSample, events: EventQuality, limits: Limits
) -> tuple[tuple[str, float, str, str, str, str], ...]:
    """Checks of the events; counting beads are exempt from margins and doublets (decisions 3).

    The flow rate is left out: it is a check of the visit, see `pp.file_findings`.
    """
    cells = ~gated.mask(gated.strategy.beads) if gated.strategy.beads else None
    rows = []
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
            finding = find(finding.check, share, limits=limits)
        rows.append((finding.check, finding.value, finding.unit, finding.limits, finding.state, finding.flag))
    return tuple(rows)


def write_flags(events: EventQuality, path: Path) -> None:
    """Store the flags of every event, one bit each in the order of the file, and the proposed time gate."""
    packed: dict[str, Any] = {name: np.packbits(mask) for name, mask in sorted(events.masks.items())}
    with replacing(path) as temporary:
        gate = np.array(events.time_gate, dtype=np.float64).reshape(-1, 2)
        np.savez_compressed(temporary, n_events=np.array(events.n_events), time_gate=gate, **packed)


def read_flags(path: Path) -> tuple[dict[str, NDArray[np.bool_]], NDArray[np.float64]]:
    """Flags of every event by check, True where flagged, and the time gate as rows (begin, end) in seconds."""
    with np.load(path, allow_pickle=False) as stored:
        n = int(stored["n_events"])
        gate = np.asarray(stored["time_gate"])
        names = [name for name in stored.files if name not in ("n_events", "time_gate")]
        return {name: np.unpackbits(stored[name], count=n).astype(bool) for name in names}, gate


def _count_rows(gated: GatedSample) -> tuple[tuple[str, str, str, str, int, int], ...]:
    rows = gated.counts().to_dict("records")
    return tuple(
        (gate.population, str(r["population"]), str(r["parent"]), str(r["gate_path"]), int(r["n"]), int(r["n_parent"]))
        for gate, r in zip(gated.strategy.gates, rows, strict=True)
    )


def _key(request: Request, digest: str, *, cells: bool) -> str:
    limits = {name: {key: list(pair) for key, pair in own.items()} for name, own in request.limits.items()}
    content = [
        __version__,
        digest,
        request.strategy.sha256,
        request.comp_source,
        request.sha256,
        request.file,
        cells,
        limits,
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _read_checkpoint(path: Path, key: str) -> Outcome | None:
    if not path.is_file():
        return None
    try:
        stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    if stored.get("key") != key:
        return None
    content = stored["outcome"]
    for name in ("counts", "medians", "findings"):
        content[name] = tuple(tuple(row) for row in content[name])
    return Outcome(**{**content, "repairs": tuple(content["repairs"])})
