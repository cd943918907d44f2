"""Where every number of a report comes from: files, gates, compensation, software, rules."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from immunoprofile.gate.ledger import LEDGER
from immunoprofile.report import wording
from immunoprofile.report.batch_controls import noise_words
from immunoprofile.report.content import Block, Bullets, Cell, Row, Table, Text, columns, row
from immunoprofile.report.language import Said
from immunoprofile.report.source import Source

if TYPE_CHECKING:
    from immunoprofile.report.cohort_view import CohortView
    from immunoprofile.report.view import VisitView

TEMPLATE_VERSION: Final = "2"
_TEMPLATES: Final = (
    "base.html.j2", "cohort.html.j2", "macros.html.j2", "report.css", "review.html.j2", "visit.html.j2",
)  # fmt: skip
_BESIDE: Final = frozenset({"reviews.csv", "reviews.parquet", LEDGER})
"""Inputs that may change without changing what was reviewed; the head of the ledger stands in the review block."""

_COMPENSATION: Final = {
    "keyword": "spillover matrix of the FCS file",
    "none": "none: no compensation was applied",
    "compensated": "none here: compensated before (declared, or told by the cytometer)",
}


@cache
def template_hash() -> str:
    """SHA-256 over the templates and the style sheet of the reports."""
    digest = hashlib.sha256()
    for name in _TEMPLATES:
        # Line ends differ between checkouts of different systems; the template does not.
        content = files("immunoprofile.report").joinpath("templates", name).read_bytes().replace(b"\r\n", b"\n")
        digest.update(name.encode() + b"\0" + content + b"\0")
    return digest.hexdigest()


def of_visit(view: VisitView) -> tuple[Block, ...]:
    """Provenance of a visit: its tubes and those of the baseline it is compared with."""
    source, base = view.source, view.baseline_visit
    rows = [
        _tube(source, name, tube, sample_id)
        for name in dict.fromkeys((view.visit, base))
        for tube, sample_id in source.samples.get((view.subject, name), {}).items()
    ]
    heads = columns("Visit", "Tube", "Sample, file", "sha256 of the FCS file", "Panel, gates", "Compensation")
    tubes = Table(heads, tuple(rows), style="files") if rows else Text("No FCS file was used.")
    return (tubes, _facts(source))


def of_cohort(view: CohortView) -> tuple[Block, ...]:
    """Provenance of the cohort: what was used, the gates of every tube, and a hash of every input."""
    source = view.source
    provenance = source.profile.provenance
    gates = sorted(_mapping(provenance.get("gates")).items())
    versions = tuple(row(str(tube), _plain(one.get("version")), Cell(_plain(one.get("sha256")), look="mono"))
                     for tube, one in gates)  # fmt: skip
    inputs = {path: str(sha) for path, sha in sorted(_mapping(provenance.get("inputs")).items()) if path not in _BESIDE}
    listed = tuple(f"{sha[:16]} {'(hidden)' if source.blinded else path}" for path, sha in inputs.items())
    said = "First 16 digits of each sha256; whole in provenance.json."
    return (
        _facts(source),
        *((Table(columns("Gates of tube", "Version", "sha256"), versions),) if versions else ()),
        Text(Said("Inputs: {n} files", n=len(inputs)), heading=True),
        Text(said, small=True),
        Bullets(listed, style="hashes", coded=True),
    )


def _facts(source: Source) -> Table:
    rows = tuple(row(label, Cell(words, look="mono")) for label, words in facts(source))
    return Table(columns("Item", "What was used"), rows, style="facts")


def _tube(source: Source, visit: str, tube: str, sample_id: str) -> Row:
    provenance, own = source.profile.provenance, source.sample_row(sample_id)
    path = own["fcs_path"]
    gates = _mapping(_mapping(provenance.get("gates")).get(tube))
    sha = _plain(_mapping(provenance.get("inputs")).get(path)) or own["sha256"]
    version = f"version {_plain(gates.get('version')) or '?'}"
    return row(
        visit, tube, Cell(sample_id, note="(hidden)" if source.blinded else path),
        Cell(sha or wording.UNKNOWN, look="mono"),
        Cell(_plain(gates.get("panel")) or own["panel_id"],
             note=f"{version}, sha256 {_plain(gates.get('sha256'))[:16] or wording.UNKNOWN}"),
        compensation(source, sample_id),
    )  # fmt: skip


def compensation(source: Source, sample_id: str) -> str:
    """Which compensation was used for an acquisition, in words; "none" is said."""
    recorded = _mapping(source.profile.provenance.get("compensation")).get(sample_id)
    if isinstance(recorded, Mapping):
        recorded = ", ".join(f"{key} {value}" for key, value in sorted(recorded.items()) if _plain(value))
    found = "" if recorded is None else str(recorded)
    flagged = sample_id in source.uncompensated
    if found:
        return _COMPENSATION.get(found, found)
    if flagged:
        return _COMPENSATION["none"]
    declared = source.sample_row(sample_id)["comp_source"]
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
        ("More than noise", f"{noise_words(source)} plus the spread of the change when all cuts lie elsewhere "
                            f"({_cut_shifts(source)})"),
        ("Reference ranges", source.config.reference_ranges or "none applied; ranges shown are orientation"),
        ("CMV assays", "; ".join(
            f"{assay.name}, {assay.specimen}, LLOQ {wording.plain(assay.lloq)} {assay.unit}"
            for assay in source.config.assays.values()) or "none"),
    ]  # fmt: skip
    for name in ("seeds", "parameters"):
        values = _mapping(provenance.get(name))
        if values and not source.blinded:
            found.append((name.capitalize(), _listed(values, " = ")))
    return tuple(found)


def _cut_shifts(source: Source) -> str:
    """What the templates declared, as a share of the scale."""
    table = source.profile.tables.get("gate_spread")
    if table is None or table.empty:
        return "cut_shift not known in these results"
    tubes = table.groupby("tube", sort=True)["cut_shift"].first()
    shares = {str(tube): wording.percent(100 * share) for tube, share in tubes.items()}
    if len(set(shares.values())) == 1:
        return f"cut_shift {next(iter(shares.values()))} of the scale"
    return f"cut_shift of the scale: {_listed(shares, ' ')}"


def _listed(values: Mapping[str, Any], between: str) -> str:
    return ", ".join(f"{name}{between}{_plain(value)}" for name, value in sorted(values.items()))


def _plain(value: object) -> str:
    return "" if value is None else str(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
