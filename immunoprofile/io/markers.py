"""Marker names: one canonical spelling for what cytometers and laboratories write differently.

Aliases follow the usual names of the antigens (CCR7 = CD197, and so on; HLDA workshop names for CD numbers).
Matching ignores case, blanks, hyphens and underscores, and words that name the dye. Nothing is guessed from parts of
words, and two channels with one marker are for the caller to refuse.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

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
    # Clones sold as "CD8" bind the alpha chain; CD8b is another protein and stays what it is.
    "CD8": ("CD8a", "CD8alpha", "CD8α"),
    "FoxP3": ("FOXP3",),
    "Ki-67": ("Ki67",),
    "TCRgd": ("TCRyd", "TCR gamma delta", "TCRγδ", "TCR g/d", "gdTCR", "γδTCR"),
    "TCRab": ("TCR alpha beta", "TCRαβ", "TCR a/b", "abTCR", "αβTCR"),
    "PD-1": ("CD279",),
    "CTLA-4": ("CD152",),
    "ICOS": ("CD278",),
    "TIM-3": ("CD366",),
    "LAG-3": ("CD223",),
    "CXCR3": ("CD183",),
    "CXCR5": ("CD185",),
    "CCR4": ("CD194",),
    "CCR5": ("CD195",),
    "CCR6": ("CD196",),
    "NKG2A": ("CD159a",),
    "NKG2C": ("CD159c",),
    "NKG2D": ("CD314",),
    "NKp46": ("CD335",),
    "CD107a": ("LAMP-1",),
    VIABILITY: ("Aqua", "TO-PRO-3", "Helix NP", "Helix NP Blue", "Helix NP Green", "Helix NP NIR"),
    "CD16+CD56": ("CD16CD56", "CD56+CD16", "CD16/CD56", "CD56/CD16", "CD16/56", "CD16+56"),
    "CD14+CD19": ("CD14CD19", "CD19+CD14", "CD14/CD19", "CD19/CD14", "Dump"),
}  # fmt: skip

# A label of nothing but such words, one of the first list among them, is a viability dye: "L/D Aqua - Viability".
_VIABILITY = (
    "viability viable viab via livedead live dead ld zombie ghost fvs fvd vivid amine viakrome viadye viobility sytox "
    "draq7 aad 7aad dapi pi propidium topro cisplatin"
)
_VIABILITY_BESIDE = (
    "fixable dye stain cell cells marker kit discriminator aqua blue violet yellow green red crimson lime orange far "
    "near ir nir uv efluor ef fluor iodide 7 3"
)
_OF_VIABILITY, _BESIDE_VIABILITY = frozenset(_VIABILITY.split()), frozenset(_VIABILITY_BESIDE.split())
_NUMBERED = re.compile(r"^(?:ef|efluor|fvs|fvd|zombie|ghost)?\d{3}$")

# Words of a label that name the dye, not the antigen. "-A", "-H" and "-W" are area, height and width.
_TANDEM = "|".join((
    r"Cy ?-?[357](?:[.,_-]?5)?", r"CF ?594", r"Dazzle ?594", r"Texas ?Red", "TxRed", "TR", r"Fire ?\d{3}",
    r"Vio ?\d{3}", "H7", "R700", r"e(?:F|Fluor)? ?\d{3}",
))  # fmt: skip
_DYE = "(?:" + "|".join((
    "FITC", rf"(?:PerCP|PE|APC)(?:[-_ ./]?(?:{_TANDEM}))?", r"(?:Cy ?-?[57](?:\.?5)?|H7|R700)[- ](?:PE|APC)",
    "PP", "ECD", r"PC ?5(?:\.5)?", "PC ?7", r"B[UB]?V ?\d{3}", r"BB ?\d{3}", r"BYG ?\d{3}", r"R[BY] ?\d{3}",
    r"SB ?\d{3}", r"Super Bright ?\d{3}", r"Brilliant (?:Violet|Ultra ?Violet|Blue)™? ?\d{3}",
    r"(?:Alexa(?: ?Fluor)?™?|AF|Ax) ?-?\d{3}", r"e(?:F|Fluor™?)? ?\d{3}", "V4[05]0", "V500", "VioBlue", "VioGreen",
    r"VioBright ?\w*", "Pac(?:ific)? ?(?:Blue?|Orange)", "PB", "PO", "KrO", "Krome Orange",
    r"Q(?:dot|D) ?\d{3}", "AmCyan", r"Vio ?\d{3}", r"Real(?:Blue|Yellow)™? ?\d{3}", r"[im]Fluor™?(?: Violet)? ?\d{3}",
    r"Spark(?: ?(?:Blue|Violet|UV|NIR|YG|Red|PLUS))+™? ?[A-Z]?\d{3}", r"cFluor™? ?[A-Z]{1,3} ?\d{3}",
    r"(?:StarBright|SB)™? (?:Ultra ?Violet|Violet|Blue|Yellow|Red) ?\d{3}", r"KIRAVIA(?: Blue)?™? ?\d{3}",
    r"DyLight™? ?\d{3}",
    r"NovaFluor™? (?:Blue|Yellow|Red) ?\d{2,3}(?:/\d+S)?",
    r"Cy ?[57](?:\.5)?",
)) + ")(?:-[AHW])?"  # fmt: skip
_LONGEST_LABEL = 100
_UPPER = {"RA", "RO", "RB", "L"}
_BETWEEN = r"[\s\-_:;,|]+"
_DYE_FIRST = re.compile(rf"^(?:{_DYE}){_BETWEEN}(?P<rest>.+)$", re.IGNORECASE)
_DYE_LAST = re.compile(rf"^(?P<rest>.+?){_BETWEEN}\(?(?:{_DYE})\)?$", re.IGNORECASE)
_DYE_ONLY = re.compile(rf"^(?:{_DYE})$", re.IGNORECASE)
_SPECIES = re.compile(r"^(?:anti[- ]?)?(?:human|hu|anti)[- :_]+(?P<rest>.+)$|^(?P<other>.+?)[- :_]+\(?human\)?$",
                      re.IGNORECASE)  # fmt: skip
# Mass cytometry: isotopes that carry antibodies, as in CD3(Er170)Di, 170Er_CD3 and CD3_170Er.
_ELEMENT = r"(?:Y|Rh|Pd|Cd|In|La|Ce|Pr|Nd|Sm|Eu|Gd|Tb|Dy|Ho|Er|Tm|Yb|Lu|Ir|Pt|Bi)"
_ISOTOPE = rf"(?:{_ELEMENT}\d{{2,3}}|\d{{2,3}}{_ELEMENT})"
_METALS = (
    re.compile(rf"^(?P<rest>.+?)\s*\((?:{_ISOTOPE}|\d{{2,3}}:\d{{2,3}})\)(?:D[id])?$"),
    re.compile(rf"^\(?{_ISOTOPE}\)?(?:D[id])?[\s_\-:]+(?P<rest>.+)$"),
    re.compile(rf"^(?P<rest>.+?)[\s_\-:]+\(?{_ISOTOPE}\)?(?:D[id])?$"),
)
_VENDOR_FIELDS = re.compile(r"^(?P<rest>[^;]+);[^;]*;\d{3}/\d{2,3}@.*$")
# A single letter after a hyphen is area, height or width of a channel: CD3-A is not CD3a.
_CD = re.compile(r"^CD[\s_-]*(\d{1,3})(?:[\s_-]*(RA|RO|RB|L)|[\s_]?([A-Z]))?$", re.IGNORECASE)

# A label with a second name of the same marker, CD197 (CCR7), or with a usual clone, CD3 (OKT3).
_TWO_NAMES = re.compile(r"^(?P<one>[^()\[\]]+?)\s*[(\[](?P<other>[^()\[\]]+)[)\]]$")

_CLONE = re.compile("|".join((
    r"OKT ?[348]", r"UCHT[12]", r"HIT(?:2|3a|8a)", r"SK[1-9]\d?", r"RPA-?T[48]", "L200", r"S?RFT-?[48]\w*", "2H7",
    "L27", "HIB19", "SJ25-?C1", "J3-?119", "M5E2", "6[13]D3", "M(?:φ|phi)P9", "RM052", "3G8", r"B73\.1", "HCD56",
    "B159", r"5\.1H11", r"NCAM16\.2", "CMSSB", "N901", "BC96", "M-?A251", "2A3", r"B1\.49\.9", "A019D5", "HIL-7R-M21",
    "eBioRDR5", r"R34[.-]34", "259D", "206D", "PCH101", "236A/E7", "150D", "HI100", "2H4", "UCHL1", "G043H7", "150503",
    "3D12", "L243", "G46-6", "Immu-?357", "HB7", "LS198-4-3", "HNK-?1", "TB01", "NC1", "NK-1", "B56", "20Raj1", "HI30",
    "2D1", "J33", r"MEM-\d+", r"EH12\.\w+", "DREG-?56", "FN50",
)), re.IGNORECASE)  # fmt: skip

_FUNCTIONAL = {"CD25", "CD127", "FoxP3", "Ki-67", "HLA-DR", "CD38", "CCR7", "CD45RA", "CD45RO", "CD57", "CD62L", "CD69"}

_SCATTER = re.compile(r"^(FSC|SSC|FS|SS)\b|^(FSC|SSC)[-_ ]?[AHW]$", re.IGNORECASE)


@lru_cache(maxsize=1 << 14)
def _plain(name: str) -> str:
    return re.sub(r"[\s_\-]+", "", name).casefold()


_CANONICAL = {_plain(alias): marker for marker, aliases in _ALIASES.items() for alias in (marker, *aliases)}


@lru_cache(maxsize=4096)
def is_scatter(name: str) -> bool:
    """Whether a channel name is a scatter channel (FSC, SSC with or without -A, -H, -W)."""
    return bool(_SCATTER.match(name.strip()))


def is_event_parameter(name: str) -> bool:
    """Whether a channel tells of the shape of a mass cytometer's event (Event_length, Center ...), not of a marker."""
    return _plain(name) in ("eventlength", "celllength", "center", "offset", "width", "residual")


def is_dye(name: str) -> bool:
    """Whether a label is the name of a dye and nothing else (``FITC``, ``PE-Cy7-A``)."""
    return bool(_DYE_ONLY.match(name.strip()))


def is_time(name: str) -> bool:
    """Whether a channel name is the Time channel."""
    return _plain(name) in ("time", "hdrt")


def canonical_marker(name: str) -> str:
    """Canonical spelling of a marker.

    Case, blanks, hyphens and underscores do not count. Words that name the dye, the isotope or the species are taken
    off (``CD3 PE-Cy7``, ``FITC CD4``, ``CD3(Er170)Di``, ``Human CD8``), whole words only: ``CD3`` is never found in
    ``CD38``, and a pair such as ``CD4+CD20`` stays a pair. A name that is not understood keeps its own spelling.

    Examples
    --------
    >>> canonical_marker("PE-Cy7 cd-25"), canonical_marker("CD31 Cy7 PE"), canonical_marker("CD4+CD20")
    ('CD25', 'CD31', 'CD4+CD20')
    """
    name = name.strip()
    return _canonical(name)


@lru_cache(maxsize=4096)
def _canonical(name: str) -> str:
    known = _known(name)
    if known:
        return known
    bare = _bare(name)
    return _known(bare) or bare


def _known(name: str) -> str | None:
    """Canonical spelling of an alias or of a CD number; None for every other name."""
    alias = _CANONICAL.get(_plain(name))
    if alias:
        return alias
    if _is_viability(name):
        return VIABILITY
    if both := _TWO_NAMES.match(name):
        one = _known(both["one"])
        return (
            one if one and (_CLONE.fullmatch(both["other"].strip()) or one == _known(both["other"].strip())) else None
        )
    number = _CD.match(name)
    if not number:
        return None
    suffix = number.group(2) or number.group(3) or ""
    return f"CD{int(number.group(1))}{suffix.upper() if suffix.upper() in _UPPER else suffix.lower()}"


def _is_viability(name: str) -> bool:
    """Whether every word of a label speaks of a viability dye; parts of words are no words."""
    words = re.findall(r"[a-z0-9]+", re.sub(r"\bl\s*/\s*d\b", "ld", name.casefold()))
    numbers = {word for word in words if _NUMBERED.match(word)}
    named = _OF_VIABILITY.intersection(words) or {word for word in numbers if not word.isdigit() and word[0] in "fzg"}
    return bool(named) and set(words) <= _OF_VIABILITY | _BESIDE_VIABILITY | numbers


def _bare(name: str) -> str:
    """The name without words for dye, isotope and species; unchanged when nothing else would be left."""
    if _DYE_ONLY.match(name) or len(name) > _LONGEST_LABEL:
        return name
    for pattern in (_VENDOR_FIELDS, *_METALS, _SPECIES, _DYE_FIRST, _DYE_LAST):
        found = pattern.match(name)
        if found:
            rest = next(text for text in found.groupdict().values() if text).strip()
            if re.fullmatch(r"\([^()]+\)", rest):  # FITC (CD3)
                rest = rest[1:-1].strip()
            # One dye is taken off, and species or isotope besides: "human CD3 FITC".
            return _known(rest) or (rest if _DYE_ONLY.match(rest) else _bare(rest))
    return name


@lru_cache(maxsize=1 << 14)
def same_marker(left: str, right: str) -> bool:
    """Whether two spellings mean one marker."""
    return _plain(canonical_marker(left)) == _plain(canonical_marker(right))


def marker_of_channel(pnn: str, pns: str) -> str:
    """Marker of a channel: from ``$PnS`` first, then from ``$PnN``; scatter and Time keep their channel name."""
    if is_time(pnn):
        return "Time"
    if is_scatter(pnn):
        return pnn.strip().upper()
    return canonical_marker(pns.strip() or pnn)


@lru_cache(maxsize=4096)
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
