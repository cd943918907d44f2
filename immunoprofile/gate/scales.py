"""Scales of a dimension: how linear intensities are drawn and gated (GatingML 2.0 transformations, and FlowJo's)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from immunoprofile.scale_table import Biexponential

if TYPE_CHECKING:
    from numpy.typing import NDArray

ScaleKind = Literal["logicle", "asinh", "linear", "log", "hyperlog", "biex", "flowjo_log"]

SCALE_PARAMETERS: dict[str, tuple[str, ...]] = {
    "logicle": ("T", "W", "M", "A"),
    "hyperlog": ("T", "W", "M", "A"),
    "asinh": ("T", "M", "A"),
    "log": ("T", "M"),
    "linear": ("T", "A"),
    "biex": ("negative", "width", "positive", "max_value"),
    "flowjo_log": ("offset", "decades"),
}
"""Parameters of each kind: the letters of GatingML 2.0, or FlowJo's words."""

FLOWJO_KINDS: tuple[ScaleKind, ...] = ("biex", "flowjo_log")
"""Scales that only FlowJo has; GatingML cannot say them."""

BIEX_CHANNELS = 4096.0
"""Top of a ``biex`` scale: FlowJo draws on channels, not on 0 to 1."""


@dataclass(frozen=True)
class Scale:
    """A named transformation with its GatingML parameters.

    Attributes
    ----------
    kind
        ``logicle``, ``hyperlog``, ``asinh``, ``log`` or ``linear``; ``biex`` and ``flowjo_log`` of FlowJo workspaces.
    parameters
        (name, value) pairs in the order of `SCALE_PARAMETERS`: T top of the linear scale, W linear decades,
        M decades, A additional negative decades; of FlowJo its own settings, ``max_value`` being the top.
    """

    kind: ScaleKind
    parameters: tuple[tuple[str, float], ...]

    def __post_init__(self) -> None:
        expected = SCALE_PARAMETERS.get(self.kind)
        if expected is None:
            msg = f"scale kind {self.kind!r} is not one of {', '.join(SCALE_PARAMETERS)}"
            raise ValueError(msg)
        if tuple(letter for letter, _ in self.parameters) != expected:
            msg = f"a {self.kind} scale needs the parameters {', '.join(expected)}"
            raise ValueError(msg)
        if not all(np.isfinite(value) for _, value in self.parameters):
            msg = f"the parameters of a {self.kind} scale are finite numbers"
            raise ValueError(msg)

    @classmethod
    def of(cls, kind: str, parameters: Mapping[str, float]) -> Scale:
        """A scale from the values of its letters, in any order; ValueError when the kind or a letter is wrong."""
        letters = SCALE_PARAMETERS.get(kind, ())
        if set(letters) != set(parameters):
            msg = f"scale kind {kind!r} does not have the parameters {', '.join(parameters)}"
            raise ValueError(msg)
        return cls(cast("ScaleKind", kind), tuple((letter, float(parameters[letter])) for letter in letters))

    @property
    def by_letter(self) -> dict[str, float]:
        """Parameters by their letter."""
        return dict(self.parameters)

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Transformed values, same shape: about 0 to 1 over the range of the detector, 0 to 4096 of a ``biex``."""
        from flowutils import transforms

        p = self.by_letter
        flat = np.ascontiguousarray(values, dtype=np.float64).ravel()
        if self.kind == "biex":
            out = _biex(self).apply(flat)
        elif self.kind == "flowjo_log":
            floor = np.where(flat < p["offset"], p["offset"], flat)
            out = 1.0 / p["decades"] * (np.log10(floor) - np.log10(p["offset"]))
        elif self.kind in ("logicle", "hyperlog"):
            out = self._biexponential().exactly(flat)
        elif self.kind == "asinh":
            out = transforms.asinh(flat, None, t=p["T"], m=p["M"], a=p["A"])
        elif self.kind == "log":
            out = transforms.log(flat, None, t=p["T"], m=p["M"])
        else:
            out = (flat + p["A"]) / (p["T"] + p["A"])
        return np.asarray(out, dtype=np.float64).reshape(np.shape(values))

    def shown(self, values: NDArray[np.float64], *, by_table: bool = False) -> NDArray[np.float64]:
        """`apply` for figures, medians and checks: many values by a table, within 1e-12 of it. Gates never use it.

        ``by_table`` also takes few from it: `Biexponential.apply`.
        """
        if self.kind not in ("logicle", "hyperlog"):
            return self.apply(values)
        return self._biexponential().apply(values, by_table=by_table)

    def _biexponential(self) -> Biexponential:
        p = self.by_letter
        kind = cast("Literal['logicle', 'hyperlog']", self.kind)
        return Biexponential(kind, t=p["T"], w=p["W"], m=p["M"], a=p["A"])

    def times(self, factor: float) -> Scale:
        """The scale on which a value times a factor has the place that the value has on this one.

        All scales depend on values only through their ratio to the top (``flowjo_log``: to the offset).
        """
        stretched = ("T", "max_value", "offset") if self.kind != "linear" else ("T", "A")
        return Scale(self.kind, tuple((n, v * factor if n in stretched else v) for n, v in self.parameters))

    @property
    def top(self) -> float:
        """Where the top of the linear scale comes to lie."""
        return BIEX_CHANNELS if self.kind == "biex" else 1.0

    @lru_cache(maxsize=64)  # noqa: B019 - scales are few, immutable, and equal ones share
    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Positions on the scale and labels in linear units, for an axis of a gating plot."""
        p = self.by_letter
        top = p["max_value"] if self.kind == "biex" else p.get("T") or p["offset"] * 10 ** p["decades"]
        if self.kind == "linear":
            linear = [top * quarter / 4 for quarter in range(5)]
            labels = [f"{value / 1000:.0f}k" for value in linear]
        else:
            decades = range(3, int(np.floor(np.log10(top))) + 1)
            linear = [10.0**decade for decade in decades]
            labels = [f"$10^{decade}$" for decade in decades]
            if self.kind not in ("log", "flowjo_log"):
                linear = [-1000.0, 0.0, *linear]
                labels = ["$-10^3$", "0", *labels]
        positions = self.apply(np.array(linear))
        return tuple(zip((float(position) for position in positions), labels, strict=True))


def flowkit_argument(name: str) -> str:
    """What FlowKit calls a parameter: ``param_t`` for the letter T; the names of FlowJo's settings are the same."""
    return f"param_{name.lower()}" if len(name) == 1 else name


def flowkit_arguments(scale: Scale) -> dict[str, float]:
    """Parameters of a scale as FlowKit's transformation takes them."""
    return {flowkit_argument(name): value for name, value in scale.parameters}


@lru_cache(maxsize=64)
def _biex(scale: Scale) -> Any:
    """FlowJo's table, which is FlowKit's to make: any other way to compute it would differ in the last bits."""
    from immunoprofile.gate._flowkit_scales import transform_of

    return transform_of(scale.kind, flowkit_arguments(scale))
