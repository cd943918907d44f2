"""Quality of an acquisition: flags per event and findings per file; no event is ever deleted."""

from __future__ import annotations

from immunoprofile.quality.assess import EventQuality, assess, good_intervals, in_time_gate
from immunoprofile.quality.channel_swap import PanelComparison, PanelQuantiles, Swap, compare_panels, panel_quantiles
from immunoprofile.quality.dead_cells import DeadCells, dead_cells
from immunoprofile.quality.doublets import SingletGate, doublets_by_ratio, singlet_gate
from immunoprofile.quality.flow_rate import FlowRate, flow_rate
from immunoprofile.quality.margins import Margins, margins
from immunoprofile.quality.stability import Stability, signal_stability
from immunoprofile.resources.checks import Finding

__all__ = [
    "DeadCells",
    "EventQuality",
    "Finding",
    "FlowRate",
    "Margins",
    "PanelComparison",
    "PanelQuantiles",
    "SingletGate",
    "Stability",
    "Swap",
    "assess",
    "compare_panels",
    "dead_cells",
    "doublets_by_ratio",
    "flow_rate",
    "good_intervals",
    "in_time_gate",
    "margins",
    "panel_quantiles",
    "signal_stability",
    "singlet_gate",
]
