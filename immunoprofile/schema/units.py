"""Units of CMV-DNA and of laboratory values, and the spellings in which laboratories write them."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

LINEAR_CMV_UNITS: Final = ("IU/mL", "copies/mL")
"""Units in which CMV-DNA is analysed."""

LOG10: Final = "log10 "
"""Prefix of a unit that says: the number is the decimal logarithm of the quantity in the unit after it."""

CMV_UNITS: Final = (*LINEAR_CMV_UNITS, *(LOG10 + unit for unit in LINEAR_CMV_UNITS))
"""Units that a row of ``cmv_dna`` or an assay may declare."""

CMV_UNIT_NAMES: Final = {
    "IU/mL": (
        "iu", "i.u.", "[iu]", "ui", "u.i.", "ie", "i.e.", "international units", "unites internationales",
        "unidades internacionales", "internationale einheiten", "j.m.", "ме", "国际单位",
    ),
    "copies/mL": (
        "copies", "copy", "{copies}", "[copies]", "cop", "cp", "cps", "c", "copias", "copie", "kopien", "kopieen",
        "kopii", "kopie", "kopier", "kopioita", "kopija", "копии", "コピー", "拷贝数", "拷贝",
    ),
}  # fmt: skip
"""Unit -> how its numerator is written, in lower case and without accents."""

_LOG_OF: Final = re.compile(r"^(?:log[\s_]*(?:10)?|lg)\s*(?:[(\[](?P<inside>.+)[)\]]|(?P<rest>.+))$")
_OF_LOG: Final = re.compile(r"^(?P<rest>.+?)\s*[(\[,]?\s*(?:log[\s_]*(?:10)?|lg)[)\]]?$")
_PER_ML: Final = re.compile(
    r"^(?P<name>.+?)\s*(?:(?:/|per|por|par|pro|на)\s*(?:ml|milliliter|millilitre|мл|毫升)\.?|[.·*]?\s*ml\^?-1)$"
)


def without_accents(text: str) -> str:
    """Lower case in half-width signs and without accents: ``DÉTECTÉ`` is ``detecte``."""
    plain = unicodedata.normalize("NFKC", text).casefold().strip()
    return unicodedata.normalize("NFC", re.sub(r"[\u0300-\u036f]", "", unicodedata.normalize("NFD", plain)))


def cmv_unit(text: str) -> str:
    """A unit of CMV-DNA as this package spells it (`CMV_UNITS`), or the text itself when it is none.

    Examples
    --------
    >>> cmv_unit("UI/ml"), cmv_unit("Log10 cp/mL"), cmv_unit("IU/mL (log10)"), cmv_unit("geq/mL")
    ('IU/mL', 'log10 copies/mL', 'log10 IU/mL', 'geq/mL')
    """
    plain = without_accents(text)
    logarithm = _LOG_OF.match(plain) or _OF_LOG.match(plain)
    rest = next(part for part in logarithm.groupdict().values() if part) if logarithm else plain
    found = _PER_ML.match(rest.strip())
    for unit, names in CMV_UNIT_NAMES.items():
        if found and found["name"] in names:
            return LOG10 + unit if logarithm else unit
    return text


def linear_unit(unit: str) -> str:
    """The unit of the quantity itself: of ``log10 IU/mL`` it is ``IU/mL``."""
    return unit.removeprefix(LOG10)


_CELLS: Final = ("10^9/L", {
    "10^9/L": 1.0, "10^3/uL": 1.0, "K/uL": 1.0, "10^6/L": 1e-3, "cells/uL": 1e-3, "/uL": 1e-3, "/mm3": 1e-3,
})  # fmt: skip

LAB_UNITS: Final[dict[str, tuple[str, dict[str, float]]]] = {
    **dict.fromkeys(("ANC", "WBC", "ALC", "PLT", "EOS", "CD4"), _CELLS),
    "LYMPH_PCT": ("%", {"%": 1.0}),
    "HGB": ("g/L", {"g/L": 1.0, "g/dL": 10.0}),
    "CREAT": ("umol/L", {"umol/L": 1.0, "mg/dL": 88.42}),
    "TBIL": ("umol/L", {"umol/L": 1.0, "mg/dL": 17.10}),
    **dict.fromkeys(("ALT", "AST", "ALP"), ("U/L", {"U/L": 1.0, "IU/L": 1.0, "ukat/L": 60.0})),
    "BUN": ("mmol/L", {"mmol/L": 1.0, "mg/dL": 0.357}),
    "CRP": ("mg/L", {"mg/L": 1.0, "mg/dL": 10.0}),
    "EGFR": ("mL/min/1.73m2", {"mL/min/1.73m2": 1.0}),
}
"""Test -> unit of analysis, and the units that a value may carry with their factors to it."""

_SIGNS: Final = str.maketrans({
    "μ": "u", "µ": "u", "²": "2", "³": "3", "⁹": "^9", "⁶": "^6", "·": ".", "×": "x", "⁻": "-", "¹": "1",
})  # fmt: skip
_PER_VOLUME: Final = re.compile(r"[.*]?(?P<volume>(?:l|dl|ul|mcl|mm3))\^?-1$", re.IGNORECASE)
_POWER: Final = re.compile(r"^[x*]?10(?:\^|\*\*?|e|exp|x|\()?\+?(?P<power>[369])\)?")
_THOUSANDS: Final = re.compile(r"^(?:k|thou|thous|th|tsd\.?|tausend|thousands?|tys\.?|[x*]?1[.,]?000)(?=/)")
_CELL_WORDS: Final = re.compile(r"^(?:cells?|\{cells?\}|zellen|cellules|celulas|cellule|cel|cellen|celler|#)(?=/)")
_VOLUMES: Final = {
    "l": "L", "liter": "L", "litre": "L", "ul": "uL", "mcl": "uL", "mm3": "mm3", "mm^3": "mm3", "cmm": "mm3",
    "cumm": "mm3", "nl": "nL",
}  # fmt: skip
_SAME_CONCENTRATION: Final = {
    ("9", "L"): "10^9/L", ("6", "L"): "10^6/L", ("3", "uL"): "10^3/uL", ("3", "mm3"): "10^3/uL", ("", "uL"): "/uL",
    ("", "mm3"): "/mm3", ("", "nL"): "10^9/L",
}  # fmt: skip
_WORDS: Final = {
    "[iu]/l": "IU/L", "ui/l": "IU/L", "u.i./l": "IU/L", "ie/l": "IU/L", "mcmol/l": "umol/L", "micromol/l": "umol/L",
    "gm/dl": "g/dL", "gr/dl": "g/dL", "g/100ml": "g/dL", "mg%": "mg/dL", "g%": "g/dL", "mg/100ml": "mg/dL",
    "percent": "%", "e/l": "U/L",
    "ml/min/{1.73_m2}": "mL/min/1.73m2", "ml/min/1.73": "mL/min/1.73m2", "ml/min/1,73m2": "mL/min/1.73m2",
    "ml/min/1.73m^2": "mL/min/1.73m2", "ml/min/1.73m*2": "mL/min/1.73m2", "ml/min/[1.73_m2]": "mL/min/1.73m2",
}  # fmt: skip


def lab_unit(test: str, text: str) -> str:
    """A unit of a laboratory test as `LAB_UNITS` spells it, or the text itself when it is none of the test.

    UCUM (``10*9/L``, ``[IU]/L``), the giga of cells (``G/L``), powers with and without a multiplication sign, other
    volumes of the same concentration and any case are read. ``G/L`` of haemoglobin is grams, of cells 10^9.

    Examples
    --------
    >>> lab_unit("WBC", "10*9/L"), lab_unit("PLT", "G/L"), lab_unit("HGB", "G/L"), lab_unit("CREAT", "mg/dl")
    ('10^9/L', '10^9/L', 'g/L', 'mg/dL')
    """
    if test not in LAB_UNITS:
        return text
    known = LAB_UNITS[test][1]
    plain = _PER_VOLUME.sub(r"/\g<volume>", re.sub(r"\s+", "", text.translate(_SIGNS).strip()))
    if plain in known:
        return plain
    if known is _CELLS[1]:
        # a small g is a gram, which no cells are counted in
        if (plain.startswith("G") and plain.casefold() in ("g/l", "giga/l", "gpt/l")) or plain == "giga/L":
            return "10^9/L"
        return _concentration(without_accents(plain)) or text
    lower = plain.casefold()
    found = _WORDS.get(lower) or next((unit for unit in known if unit.casefold() == lower), "")
    return found if found in known else text


def _concentration(plain: str) -> str:
    """Cells per volume: an optional power or word, a slash, a volume."""
    power = ""
    if found := _POWER.match(plain):
        power, plain = found["power"], plain[found.end() :]
    elif found := _THOUSANDS.match(plain):
        power, plain = "3", plain[found.end() :]
    words = _CELL_WORDS.match(plain)
    if words:
        plain = plain[words.end() :]
    volume = _VOLUMES.get(plain.removeprefix("/"), "") if plain.startswith("/") else ""
    if words and (power, volume) == ("", "uL"):
        return "cells/uL"
    return _SAME_CONCENTRATION.get((power, volume), "")
