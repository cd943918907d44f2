"""Quality of an acquisition: flags per event and findings per file; no event is ever deleted."""

from __future__ import annotations

from immunoprofile.quality.findings import FileFinding, file_findings
from immunoprofile.quality.flow_rate import FlowRate, flow_rate

__all__ = ["FileFinding", "FlowRate", "file_findings", "flow_rate"]
