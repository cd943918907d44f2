"""FlowKit's transformations from plain numbers: below all other modules of gates, since a scale of FlowJo needs them.

Importing this module imports FlowKit, which takes seconds; other modules import it inside functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flowkit as fk

_TRANSFORMS = {
    "logicle": fk.transforms.LogicleTransform,
    "hyperlog": fk.transforms.HyperlogTransform,
    "asinh": fk.transforms.AsinhTransform,
    "log": fk.transforms.LogTransform,
    "linear": fk.transforms.LinearTransform,
    "biex": fk.transforms.WSPBiexTransform,
    "flowjo_log": fk.transforms.WSPLogTransform,
}


def transform_of(kind: str, arguments: Mapping[str, float]) -> Any:
    """FlowKit's transformation of a kind of scale, its arguments named as FlowKit names them."""
    return _TRANSFORMS[kind](**arguments)
