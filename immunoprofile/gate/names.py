"""Names: those that populations and tubes can have, and those that GatingML keeps for itself."""

from __future__ import annotations

import re

FCS_SPILLOVER = "FCS"
"""GatingML's name for "the matrix that the file carries", used in templates."""

UNCOMPENSATED = "uncompensated"


def population_id(name: str, taken: set[str]) -> str:
    """A valid id for a name: the name itself where it is one, else its letters and digits with ``+`` and ``-`` said."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.casefold().replace("+", "_pos_").replace("-", "_neg_")).strip("_") or "gate"
    plain = plain if plain[0].isalpha() else f"g_{plain}"
    if re.fullmatch(r"[a-z][a-z0-9_]*", name):
        plain = name
    candidate, number = plain, 2
    while candidate in taken:
        candidate, number = f"{plain}_{number}", number + 1
    return candidate


def tube_name(name: str) -> str:
    """A name that a tube can have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._-") or "tube"
