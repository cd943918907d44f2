"""Figures: one function a figure, each returns a matplotlib ``Figure`` and never shows it.

Figures are built without pyplot, so that no figure stays open behind the user's back. In JupyterLab
the returned figure displays itself; ``pl.to_svg`` gives the same bytes for the same data.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from immunoprofile.pl.cmv import cmv
    from immunoprofile.pl.completeness import completeness
    from immunoprofile.pl.composition import differentiation, ratios
    from immunoprofile.pl.forest import forest
    from immunoprofile.pl.gating import gating
    from immunoprofile.pl.style import to_data_uri, to_svg
    from immunoprofile.pl.trajectory import trajectory

_HOMES = {
    "cmv": "cmv",
    "completeness": "completeness",
    "differentiation": "composition",
    "forest": "forest",
    "gating": "gating",
    "ratios": "composition",
    "to_data_uri": "style",
    "to_svg": "style",
    "trajectory": "trajectory",
}

__all__ = [
    "cmv",
    "completeness",
    "differentiation",
    "forest",
    "gating",
    "ratios",
    "to_data_uri",
    "to_svg",
    "trajectory",
]


def __getattr__(name: str) -> Any:
    # matplotlib takes most of a second to import, so a figure's module is loaded when it is asked for.
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    # A submodule of the same name would hide the function once it is imported.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
