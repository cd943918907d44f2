"""Figures: one function a figure, each returns a matplotlib ``Figure`` and never shows it.

Figures are built without pyplot, so that no figure stays open behind the user's back. In JupyterLab
the returned figure displays itself; ``pl.to_svg`` gives the same bytes for the same data.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from immunoprofile.pl.association_panels import association
    from immunoprofile.pl.clearance_curves import clearance
    from immunoprofile.pl.cmv_curves import cmv
    from immunoprofile.pl.composition import differentiation, ratios
    from immunoprofile.pl.control_chart import levey_jennings
    from immunoprofile.pl.file_quality_figure import file_quality
    from immunoprofile.pl.forest_plot import forest
    from immunoprofile.pl.gate_board import gate_grid
    from immunoprofile.pl.gating_hierarchy import back_gating, gating_tree
    from immunoprofile.pl.heat_map import completeness
    from immunoprofile.pl.overlays import overlay
    from immunoprofile.pl.paired_panels import paired_change
    from immunoprofile.pl.patient_timeline import timeline
    from immunoprofile.pl.placement_figure import placement
    from immunoprofile.pl.power_figure import power_curve
    from immunoprofile.pl.quality_table import quality_overview
    from immunoprofile.pl.safety_shift_table import safety_shift
    from immunoprofile.pl.style import alt_text, to_data_uri, to_svg
    from immunoprofile.pl.thumbnails import gating
    from immunoprofile.pl.trajectories import trajectory

_HOMES = {
    "alt_text": "style",
    "association": "association_panels",
    "back_gating": "gating_hierarchy",
    "clearance": "clearance_curves",
    "cmv": "cmv_curves",
    "completeness": "heat_map",
    "differentiation": "composition",
    "file_quality": "file_quality_figure",
    "forest": "forest_plot",
    "gate_grid": "gate_board",
    "gating": "thumbnails",
    "gating_tree": "gating_hierarchy",
    "levey_jennings": "control_chart",
    "overlay": "overlays",
    "paired_change": "paired_panels",
    "placement": "placement_figure",
    "power_curve": "power_figure",
    "quality_overview": "quality_table",
    "ratios": "composition",
    "safety_shift": "safety_shift_table",
    "timeline": "patient_timeline",
    "to_data_uri": "style",
    "to_svg": "style",
    "trajectory": "trajectories",
}

__all__ = [
    "alt_text",
    "association",
    "back_gating",
    "clearance",
    "cmv",
    "completeness",
    "differentiation",
    "file_quality",
    "forest",
    "gate_grid",
    "gating",
    "gating_tree",
    "levey_jennings",
    "overlay",
    "paired_change",
    "placement",
    "power_curve",
    "quality_overview",
    "ratios",
    "safety_shift",
    "timeline",
    "to_data_uri",
    "to_svg",
    "trajectory",
]


def __getattr__(name: str) -> Any:
    # matplotlib takes most of a second to import, so a figure's module is loaded when it is asked for.
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    # No module bears the name of a function: once imported it would hide the function.
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
