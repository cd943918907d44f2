"""Gates: load and save them, check them against a study, evaluate them on files.

FlowKit holds the gating model and GatingML; it is imported only when something is evaluated or exchanged.
"""

from __future__ import annotations

from immunoprofile.gate.batch import batch, batch_intensities, membership
from immunoprofile.gate.change import change, counts_before_after
from immunoprofile.gate.check import check
from immunoprofile.gate.evaluate import GatedSample, gate_sample
from immunoprofile.gate.exchange import from_flowkit, holds_gates, load, shipped_folder, to_flowkit
from immunoprofile.gate.flowjo_counts import reconcile
from immunoprofile.gate.intensities import INTENSITY_STATISTICS, intensity_table
from immunoprofile.gate.overrides import Override
from immunoprofile.gate.raster import GateRaster, Outline, rasterise
from immunoprofile.gate.record_override import override
from immunoprofile.gate.saving import save
from immunoprofile.gate.scales import Scale
from immunoprofile.gate.strategy import Dimension, Ellipsoid, Gate, GateSet, Matrix, Operand, Ratio, Strategy
from immunoprofile.gate.write_fcs import write_fcs

__all__ = [
    "INTENSITY_STATISTICS",
    "Dimension",
    "Ellipsoid",
    "Gate",
    "GateRaster",
    "GateSet",
    "GatedSample",
    "Matrix",
    "Operand",
    "Outline",
    "Override",
    "Ratio",
    "Scale",
    "Strategy",
    "batch",
    "batch_intensities",
    "change",
    "check",
    "counts_before_after",
    "from_flowkit",
    "gate_sample",
    "holds_gates",
    "intensity_table",
    "load",
    "membership",
    "override",
    "rasterise",
    "reconcile",
    "save",
    "shipped_folder",
    "to_flowkit",
    "write_fcs",
]
