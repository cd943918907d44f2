"""Marker names: one canonical spelling for what cytometers and laboratories write differently.

Aliases follow the usual names of the antigens (spec: CCR7 = CD197, and so on). Matching ignores case, blanks,
hyphens and underscores.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from immunoprofile.schema import MARKER_TYPES

VIABILITY = "Viability"

_ALIASES: dict[str, tuple[str, ...]] = {
    "CCR7": ("CD197",),
    "CD25": ("IL-2Ra", "IL2Ralpha", "IL-2R alpha", "IL-2Rα"),
    "CD127": ("IL-7Ra", "IL7Ralpha", "IL-7R alpha", "IL-7Rα"),
    "HLA-DR": ("HLADR", "HLA DR"),
    "CD56": ("NCAM",),
    "CD16": ("FcgRIII", "FcgammaRIII", "FcγRIII"),
    "CD45": ("LCA",),
    "FoxP3": ("FOXP3",),
    "Ki-67": ("Ki67",),
    VIABILITY: ("L/D", "LD", "Live/Dead", "LiveDead", "Live", "Dead", "Zombie", "Zombie Aqua", "Zombie NIR", "Aqua",
                "FVS", "FVS510", "FVS780", "7-AAD", "DAPI", "PI", "Viability dye"),
    "CD16+CD56": ("CD16CD56", "CD56+CD16", "CD16/CD56", "CD56/CD16", "CD16/56", "CD16+56"),
    "CD14+CD19": ("CD14CD19", "CD19+CD14", "CD14/CD19", "CD19/CD14", "Dump"),
}  # fmt: skip

_FUNCTIONAL = {"CD25", "CD127", "FoxP3", "Ki-67", "HLA-DR", "CD38", "CCR7", "CD45RA", "CD45RO", "CD57", "CD62L", "CD69"}

_SCATTER = re.compile(r"^(FSC|SSC|FS|SS)\b|^(FSC|SSC)[-_ ]?[AHW]$", re.IGNORECASE)


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-]+", "", name).casefold()


_CANONICAL = {_plain(alias): marker for marker, aliases in _ALIASES.items() for alias in (marker, *aliases)}


def is_scatter(name: str) -> bool:
    """Whether a channel name is a scatter channel (FSC, SSC with or without -A, -H, -W)."""
    return bool(_SCATTER.match(name.strip()))


def is_time(name: str) -> bool:
    """Whether a channel name is the Time channel."""
    return _plain(name) in ("time", "hdrt")


def canonical_marker(name: str) -> str:
    """Canonical spelling of a marker; a name without a known alias keeps its own spelling."""
    name = name.strip()
    return _CANONICAL.get(_plain(name), name)


def same_marker(left: str, right: str) -> bool:
    """Whether two spellings mean one marker."""
    return _plain(canonical_marker(left)) == _plain(canonical_marker(right))


def marker_of_channel(pnn: str, pns: str) -> str:
    """Marker of a channel: from ``$PnS`` first, then from ``$PnN``; scatter and Time keep their channel name."""
    if is_time(pnn):
        return "Time"
    if is_scatter(pnn):
        return pnn.strip().upper()
    return canonical_marker(pns or pnn)


def marker_type(marker: str) -> str:
    """``scatter``, ``time``, ``viability``, ``functional`` or ``lineage``."""
    if is_time(marker):
        kind = "time"
    elif is_scatter(marker):
        kind = "scatter"
    elif same_marker(marker, VIABILITY):
        kind = "viability"
    else:
        kind = "functional" if any(same_marker(marker, name) for name in _FUNCTIONAL) else "lineage"
    assert kind in MARKER_TYPES
    return kind


def find_marker(wanted: str, markers: Sequence[str], labels: Iterable[tuple[str, str]] = ()) -> list[int]:
    """Positions of the channels that carry a marker.

    Parameters
    ----------
    wanted
        Marker, scatter channel or ``Time`` as a template names it.
    markers
        Marker of each channel.
    labels
        (``$PnN``, ``$PnS``) of each channel; used when no marker matches, so that a template may name a channel.

    Returns
    -------
    list of int
        No, one or several positions; several are ambiguous and it is for the caller to refuse them.
    """
    hits = [position for position, marker in enumerate(markers) if same_marker(wanted, marker)]
    if hits:
        return hits
    plain = _plain(wanted)
    return [position for position, names in enumerate(labels) if plain in (_plain(names[0]), _plain(names[1]))]
