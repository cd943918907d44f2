"""Where every number of a report comes from: files, gates, compensation, software, rules."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

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
    base = source.obs(source.baselines.get(subject), "visit")
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
    path = row["fcs_path"]
    gates = _mapping(_mapping(provenance.get("gates")).get(tube))
    sha = _mapping(provenance.get("inputs")).get(path) or row["sha256"]
    gate_text = f"version {gates.get('version') or '?'}, sha256 {(gates.get('sha256') or '')[:16] or wording.UNKNOWN}"
    return TubeRow(
        visit, tube, sample_id, "(hidden)" if source.blinded else path, sha or wording.UNKNOWN,
        gates.get("panel") or row["panel_id"], gate_text, compensation(source, sample_id),
    )  # fmt: skip


def compensation(source: Source, sample_id: str) -> str:
    """Which compensation was used for an acquisition, in words; "none" is said."""
    recorded = _mapping(source.profile.provenance.get("compensation")).get(sample_id)
    if isinstance(recorded, Mapping):
        recorded = ", ".join(f"{key} {value}" for key, value in sorted(recorded.items()) if _plain(value))
    found = "" if recorded is None else str(recorded)
    flagged = any(row["sample_id"] == sample_id and row["flag"] == "COMP_NONE" for row in source.records["quality"])
    if found:
        return _COMPENSATION.get(found, found)
    if flagged:
        return _COMPENSATION["none"]
    declared = source.sample_rows[sample_id]["comp_source"]
    return f"{_COMPENSATION[declared]} (as declared)" if declared in _COMPENSATION else wording.UNKNOWN


def facts(source: Source) -> tuple[tuple[str, str], ...]:
    """Versions, rules, seeds and parameters."""
    provenance = source.profile.provenance
    versions = _mapping(provenance.get("versions"))
    found = [
        ("Report template", f"version {TEMPLATE_VERSION}, sha256 {template_hash()}"),
        ("Software", _listed(versions, " ") or wording.UNKNOWN),
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
            found.append((name.capitalize(), _listed(values, " = ")))
    return tuple(found)


def _listed(values: Mapping[str, Any], between: str) -> str:
    return ", ".join(f"{name}{between}{_plain(value)}" for name, value in sorted(values.items()))


def _plain(value: object) -> str:
    return "" if value is None else str(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
