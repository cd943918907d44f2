"""Quality of an acquisition: flags per event and findings per file; no event is ever deleted."""

from __future__ import annotations

from immunoprofile.quality.flow_rate import FlowRate, flow_rate

__all__ = ["FlowRate", "flow_rate"]
