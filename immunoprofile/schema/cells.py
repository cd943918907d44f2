"""The cells object."""

from __future__ import annotations

from typing import Final

LAYER_RAW: Final = "raw"
LAYER_COMP: Final = "comp"
GATE_PREFIX: Final = "gate_"
MARKER_TYPES: Final = ("scatter", "lineage", "functional", "viability", "time")
