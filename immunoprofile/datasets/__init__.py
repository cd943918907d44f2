"""The seeded synthetic trial: FCS files and tables, or counts only. No network."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from immunoprofile.datasets.il2_cmv import il2_cmv
    from immunoprofile.datasets.visits import il2_cmv_counts

__all__ = ["il2_cmv", "il2_cmv_counts"]
_HOME = {"il2_cmv": "il2_cmv", "il2_cmv_counts": "visits"}


def __getattr__(name: str) -> object:
    """Load a public name when it is first used; the simulator needs modules that take time to import."""
    if name not in _HOME:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value  # from now on the function, not the submodule of the same name
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
