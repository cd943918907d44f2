"""Where every number of a report comes from: files, gates, compensation, software, rules."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from immunoprofile.pl.series import text
from immunoprofile.report import noise, wording
from immunoprofile.report.reviews import NO_LEDGER
from immunoprofile.report.source import Source

TEMPLATE_VERSION: Final = "1"
_TEMPLATES: Final = (
    "base.html.j2", "cohort.html.j2", "cohort_parts.html.j2", "macros.html.j2", "report.css", "review.html.j2",
    "visit.html.j2", "visit_parts.html.j2",
)  # fmt: skip

_COMPENSATION: Final = {
    "keyword": "spillover matrix of the FCS file",
    "none": "none: no compensation was applied",
    "compensated": "none here: compensated before (declared, or told by the cytometer)",
}


@dataclass(frozen=True)
class TubeRow:
    """One acquisition: file, gates, compensation."""

    visit: str
    tube: str
    sample_id: str
    file: str
    sha256: str
    panel: str
    gates: str
    compensation: str


@dataclass(frozen=True)
class Provenance:
    """Tubes and facts of a report."""

    tubes: tuple[TubeRow, ...]
    facts: tuple[tuple[str, str], ...]


@cache
def template_hash() -> str:
    """SHA-256 over the templates and the style sheet of the reports."""
    digest = hashlib.sha256()
    for name in _TEMPLATES:
        # Line ends differ between checkouts of different systems; the template does not.
        content = files("immunoprofile.report").joinpath("templates", name).read_bytes().replace(b"\r\n", b"\n")
        digest.update(name.encode() + b"\0" + content + b"\0")
    return digest.hexdigest()


def of_visit(source: Source, subject: str, visit: str) -> Provenance:
    """Provenance of a visit: its tubes and those of the baseline it is compared with."""
    base = text(source.obs(source.baselines.get(subject), "visit"))
    visits = [visit] if base in ("", visit) else [visit, base]
    rows = [
        tube_row(source, name, tube, sample_id)
        for name in visits
        for tube, sample_id in source.samples.get((subject, name), {}).items()
    ]
    return Provenance(tuple(rows), facts(source))


def tube_row(source: Source, visit: str, tube: str, sample_id: str) -> TubeRow:
    """One line of the provenance table."""
    provenance = source.profile.provenance
    row = source.sample_rows[sample_id]
    path = text(row.get("fcs_path"))
    gates = _mapping(_mapping(provenance.get("gates")).get(tube))
    sha = text(_mapping(provenance.get("inputs")).get(path)) or text(row.get("sha256"))
    gate_text = (
        f"version {text(gates.get('version')) or '?'}, sha256 {text(gates.get('sha256'))[:16] or wording.UNKNOWN}"
    )
    return TubeRow(
        visit, tube, sample_id, "(hidden)" if source.blinded else path, sha or wording.UNKNOWN,
        text(gates.get("panel")) or text(row.get("panel_id")), gate_text, compensation(source, sample_id),
    )  # fmt: skip


def compensation(source: Source, sample_id: str) -> str:
    """Which compensation was used for an acquisition, in words; "none" is said."""
    recorded = _mapping(source.profile.provenance.get("compensation")).get(sample_id)
    if isinstance(recorded, Mapping):
        recorded = ", ".join(f"{key} {text(value)}" for key, value in sorted(recorded.items()) if text(value))
    found = text(recorded)
    flagged = any(
        text(row["sample_id"]) == sample_id and text(row["flag"]) == "COMP_NONE" for row in source.records["quality"]
    )
    if found:
        return _COMPENSATION.get(found, found)
    if flagged:
        return _COMPENSATION["none"]
    declared = text(source.sample_rows[sample_id].get("comp_source"))
    return f"{_COMPENSATION[declared]} (as declared)" if declared in _COMPENSATION else wording.UNKNOWN


def facts(source: Source) -> tuple[tuple[str, str], ...]:
    """Versions, rules, seeds and parameters."""
    provenance = source.profile.provenance
    versions = _mapping(provenance.get("versions"))
    found = [
        ("Report template", f"version {TEMPLATE_VERSION}, sha256 {template_hash()}"),
        ("Software", ", ".join(f"{name} {text(value)}" for name, value in sorted(versions.items())) or wording.UNKNOWN),
        ("Absolute counts", "beads or blood count of the same draw; one method for all visits of a subject; "
                            "populations of other tubes are bridged over their parent in the count tube"),
        ("More than noise", f"asymmetric reference change value, CV {noise.DEFAULT_CV:.2f} of a visit (default, no "
                            "replicates of this study) plus counting noise of both visits"),
        ("Reference ranges", source.config.reference_ranges or "none applied; ranges shown are orientation"),
        ("CMV assays", "; ".join(
            f"{assay.name}, {assay.specimen}, LLOQ {wording.plain(assay.lloq)} {assay.unit}"
            for assay in source.config.assays.values()) or "none"),
        ("Ledger of overrides", NO_LEDGER),
    ]  # fmt: skip
    for name in ("seeds", "parameters"):
        values = _mapping(provenance.get(name))
        if values and not source.blinded:
            found.append(
                (name.capitalize(), ", ".join(f"{key} = {text(value)}" for key, value in sorted(values.items())))
            )
    return tuple(found)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
