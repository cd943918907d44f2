"""The seeded synthetic trial: FCS files and tables, or counts only. No network."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from immunoprofile.datasets.study_folder import il2_cmv as il2_cmv
    from immunoprofile.datasets.visits import il2_cmv_counts as il2_cmv_counts

__all__ = ["il2_cmv", "il2_cmv_counts"]
_HOME = {"il2_cmv": "study_folder", "il2_cmv_counts": "visits"}


def __getattr__(name: str) -> object:
    """Load a public name when it is first used; the simulator needs modules that take time to import."""
    if name not in _HOME:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
