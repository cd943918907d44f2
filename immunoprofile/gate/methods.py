"""Placement methods as a template names them: name, arguments with defaults and ranges, kinds of gates.

These are the words of the columns ``method``, ``arguments``, ``group_by`` and ``fallback``. What a method does with
events stands in the room `placement`; a test holds that every method here has its estimator there, and no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from immunoprofile.gate.gates import BOOLEAN_KINDS, Gate, GateKind

TEMPLATE: Final = "template"
"""Fallback: the value of the template, with a flag for review. The last resort of every method."""
EARLIER_BATCH: Final = "earlier_batch"
"""Fallback of a method that needs an FMO control: that of the last batch before, moved by the control aliquots."""

GROUPS: Final = ("subject", "batch", "sample")
"""Over which samples a gate is placed: the first pre-dose sample of the subject, then frozen (default); the control
aliquot of the batch; or each sample by itself, which follows whatever the drug does."""


CUT_SHIFT: Final = 0.01
"""How far a cut may well lie off (standard uncertainty), as a share of its scale, where a template does not say it. On
a logicle scale of 4.5 decades it is 11 % in intensity."""
MOST_CUT_SHIFT: Final = 0.10
"""Largest share that a template may say: beyond it another population is meant."""


@dataclass(frozen=True)
class Argument:
    """One argument of a method.

    Attributes
    ----------
    name, meaning
        As it is typed, and what it says.
    default
        Its type is the type of the argument: a number or a word.
    low, high
        Range of a number, both included.
    choices
        Words that are allowed; empty for any.
    """

    name: str
    meaning: str
    default: float | str
    low: float = 0.0
    high: float = 0.0
    choices: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """The legal values in words."""
        if isinstance(self.default, str):
            return ", ".join(self.choices) or "a name"
        return f"a number from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Method:
    """A way to place a gate.

    Attributes
    ----------
    name, meaning, source
        As it is typed; what it does; where the method comes from.
    kinds
        Kinds of gates that it can place.
    arguments
        What can be set.
    by_limit
        Whether it places each limit by itself, so that it can stand in for another such method as a fallback.
    needs
        ``reference`` (density of the template sample), ``fmo`` (control without the marker), or nothing.
    """

    name: str
    meaning: str
    source: str
    kinds: tuple[GateKind, ...]
    arguments: tuple[Argument, ...] = ()
    by_limit: bool = False
    needs: str = ""

    @property
    def defaults(self) -> dict[str, float | str]:
        """Every argument with its default."""
        return {argument.name: argument.default for argument in self.arguments}


_AXES = Argument("axes", "markers whose limits are placed, separated by a comma; empty: all that are on a scale", "")
_WITHIN = Argument("within", "population above it whose events are looked at; empty: the parent", "")
_SHIFT = Argument("shift", "farthest that a cut may lie from the template, as a share of the scale", 0.10, 0.0, 0.5)
_EVENTS = Argument("events", "fewest events inside the parent", 500.0, 20.0, 1e9)
_ADJUST = Argument("adjust", "factor on the bandwidth nrd0 of the density", 2.0, 0.1, 10.0)
_AGREE = Argument("agree", "least correlation of the square roots of both densities", 0.80, 0.0, 1.0)

_GAP = Argument(
    "gap", "whether a limit may be moved from a gap into or across a population", "kept", choices=("kept", "left")
)

_ALL: Final = (
    Method("fixed", "the value of the template", "", ("rectangle", "polygon", *BOOLEAN_KINDS)),
    Method(
        "mindensity",
        "the deepest valley of the density near the value of the template, between the two highest peaks if one is",
        "openCyto, Finak et al. 2014, doi:10.1371/journal.pcbi.1003806",
        ("rectangle",),
        (_AXES, _WITHIN, _SHIFT, _EVENTS, _ADJUST),
        by_limit=True,
    ),
    Method(
        "tailgate",
        "where the tail of the reference peak flattens: the first derivative of the density is below a share of its "
        "largest size",
        "openCyto, Finak et al. 2014, doi:10.1371/journal.pcbi.1003806",
        ("rectangle",),
        (
            _AXES, _WITHIN, _SHIFT, _EVENTS, _ADJUST,
            Argument("peak", "the reference peak", "tallest", choices=("tallest", "lowest", "highest")),
            Argument("side", "on which side of the peak the tail is", "right", choices=("right", "left")),
            Argument("flat", "share of the largest derivative that counts as flat", 0.01, 0.0001, 0.5),
        ),
        by_limit=True,
    ),
    Method(
        "fmo_quantile",
        "a quantile of the FMO control inside the same parent; of a small control, its median and robust SDs",
        "Roederer 2001, doi:10.1002/1097-0320(20011101)45:3<194::AID-CYTO1163>3.0.CO;2-C",
        ("rectangle",),
        (
            _AXES, _WITHIN, _SHIFT,
            Argument("quantile", "share of the control that is negative", 0.995, 0.5, 0.99999),
            Argument("events", "fewest events inside the parent of the control for a quantile", 4000.0, 20.0, 1e9),
            Argument("few", "fewest events for the median and robust SDs", 100.0, 20.0, 1e9),
            Argument("k", "robust SDs (1.4826 MAD) above the median, of a small control", 2.5758, 0.0, 20.0),
        ),
        by_limit=True,
        needs="fmo",
    ),
    Method(
        "landmark",
        "the limits of the template, moved by the shift that brings the density of the template sample onto this one",
        "Hahne et al. 2010 (landmarks), doi:10.1002/cyto.a.20823; here by correlation of square roots of densities",
        ("rectangle",),
        (_AXES, _WITHIN, _SHIFT, _EVENTS, _ADJUST, _AGREE, _GAP),
        by_limit=True,
        needs="reference",
    ),
    Method(
        "polygon",
        "the corners of the template, moved on each axis by the shift of `landmark`",
        "as landmark",
        ("polygon",),
        (_AXES, _WITHIN, _SHIFT, _EVENTS, _ADJUST, _AGREE),
        needs="reference",
    ),
    Method(
        "quad",
        "the dividers of a quadrant, each by a method for one limit",
        "as the method named",
        ("rectangle",),
        (
            _AXES, _WITHIN, _SHIFT, _EVENTS, _ADJUST,
            Argument("by", "method of both dividers", "mindensity", choices=("mindensity", "landmark")),
        ),
    ),
    Method(
        "singlet",
        "a band around a robust line of height on area",
        "flowStats; Huber 1981",
        ("polygon",),
        (_EVENTS, Argument("band", "share of the singlets that the band is made for", 0.99, 0.5, 0.99999)),
    ),
    Method(
        "ref", "the limits or corners of another gate of the tree on the same axes", "", ("rectangle", "polygon"),
        (Argument("of", "population whose gate is used again", ""),),
    ),
    Method("boolean", "follows the gates that it combines", "", BOOLEAN_KINDS),
)  # fmt: skip

METHODS: Final[Mapping[str, Method]] = {method.name: method for method in _ALL}


def read_arguments(text: str, method: Method) -> tuple[tuple[tuple[str, float | str], ...], list[tuple[str, str, str]]]:
    """Arguments of a method from ``name=value; name=value``, and what is wrong with them.

    Returns
    -------
    pairs, faults
        (name, value) pairs in the order typed, and (fault, value found, what is allowed) for each that is wrong.
    """
    known = {argument.name: argument for argument in method.arguments}
    pairs: dict[str, float | str] = {}
    faults: list[tuple[str, str, str]] = []
    for part in (part.strip() for part in text.split(";")):
        if not part:
            continue
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value:
            faults.append(("an argument is written name=value", part, ""))
        elif name not in known:
            faults.append((f"{method.name} has no argument of this name", name, ", ".join(known) or "none"))
        elif name in pairs:
            faults.append(("an argument stands twice", name, ""))
        else:
            argument = known[name]
            found = _value(value, argument)
            if found is None:
                faults.append((f"argument {name} has another value than allowed", value, argument.allowed))
            else:
                pairs[name] = found
    return tuple(pairs.items()), faults


def _value(text: str, argument: Argument) -> float | str | None:
    if isinstance(argument.default, str):
        return text if not argument.choices or text in argument.choices else None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if argument.low <= number <= argument.high else None


def cut_shift_in(text: str | None) -> float:
    """Share of a scale that a document says; the default for what is none."""
    try:
        share = float(text or "")
    except ValueError:
        return CUT_SHIFT
    return share if 0 <= share <= MOST_CUT_SHIFT else CUT_SHIFT


def arguments_in_words(arguments: tuple[tuple[str, float | str], ...]) -> str:
    """Arguments as a template has them."""
    return "; ".join(f"{name}={value if isinstance(value, str) else repr(value)}" for name, value in arguments)


def arguments_of(gate: Gate) -> dict[str, float | str]:
    """Every argument of the method of a gate: its own, else the default."""
    return {**METHODS[gate.method].defaults, **dict(gate.arguments)}


def seen_in(gate: Gate) -> str:
    """Population whose events a cut is made of: ``within``, else the parent."""
    known = gate.method in METHODS  # a document from elsewhere may name another
    return (str(arguments_of(gate).get("within", "")) if known else "") or gate.parent


def axes_of(arguments: Mapping[str, float | str]) -> tuple[str, ...]:
    """Markers that ``axes`` names; empty for all."""
    return tuple(name.strip() for name in str(arguments.get("axes", "")).split(",") if name.strip())


def placement_faults(gate: Gate, above: Mapping[str, Gate]) -> Iterator[tuple[str, str, object, str]]:
    """What is wrong with how a gate is to be placed: (column, fault, value, what is allowed).

    Parameters
    ----------
    gate
        With its method and arguments.
    above
        Gates that come before it, by population.
    """
    method = METHODS.get(gate.method)
    if method is None:
        yield "method", "unknown method", gate.method, ", ".join(METHODS)
        return
    if gate.kind not in method.kinds:
        yield "method", f"{method.name} does not place a gate '{gate.kind}'", gate.method, _for_kind(gate.kind)
    if gate.group_by and gate.group_by not in GROUPS:
        yield "group_by", "unknown group", gate.group_by, ", ".join(GROUPS)
    yield from _fallback_faults(gate, method)
    arguments = arguments_of(gate)
    markers = [dimension.marker for dimension in gate.dimensions]
    for name in axes_of(arguments):
        if name not in markers:
            yield "arguments", "axes names a marker that is no axis of the gate", name, ", ".join(markers)
    within = str(arguments.get("within", ""))
    if within and within not in above:
        yield "arguments", "within names no population above it", within, ", ".join(above)
    if method.name == "quad" and not (
        len(gate.dimensions) == 2 and all((d.minimum is None) != (d.maximum is None) for d in gate.dimensions)
    ):
        yield "method", "quad needs two axes with one limit each", gate.population, ""
    if method.name == "singlet" and len(gate.vertices) != 4:
        yield "method", "singlet needs a template polygon of four corners", len(gate.vertices), ""
    if method.name == "ref":
        other = above.get(str(arguments["of"]))
        if other is None:
            yield "arguments", "ref needs of=<a population above it>", arguments["of"], ", ".join(above)
        elif other.kind != gate.kind or [d.marker for d in other.dimensions] != markers:
            yield "arguments", "the gate that ref names is of another kind or has other axes", other.population, ""


def _fallback_faults(gate: Gate, method: Method) -> Iterator[tuple[str, str, object, str]]:
    names = fallbacks_of(gate)
    allowed = [TEMPLATE]
    if method.by_limit:
        allowed += [m.name for m in METHODS.values() if m.by_limit and m is not method]
        allowed += [EARLIER_BATCH] * (method.needs == "fmo")
    for name in names:
        if name not in allowed:
            yield "fallback", f"is no fallback of {method.name}", name, ", ".join(allowed)


def fallbacks_of(gate: Gate) -> tuple[str, ...]:
    """What is tried when the method of a gate fails, in order; the template value comes last in any case."""
    return tuple(name for name in (part.strip() for part in gate.fallback.split(";")) if name)


def _for_kind(kind: GateKind) -> str:
    return ", ".join(method.name for method in METHODS.values() if kind in method.kinds)


def is_placed(gate: Gate) -> bool:
    """Whether a gate is placed from events, and not only the template or what follows from other gates."""
    return gate.method not in ("fixed", "boolean", "ref")
