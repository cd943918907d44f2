"""Placement of gates: a template says how each gate is placed, events inside its parent say where.

`gate.methods` names the methods with their arguments, `limits` and `methods` hold the estimators, `place` walks from
parents to children, and `in_study` decides over which samples: baseline and controls, then frozen.
"""

from __future__ import annotations

from immunoprofile.gate.methods import METHODS
from immunoprofile.placement.cuts import Cut
from immunoprofile.placement.in_study import gates_of
from immunoprofile.placement.place import Placement, place, with_references

__all__ = ["METHODS", "Cut", "Placement", "gates_of", "place", "with_references"]
