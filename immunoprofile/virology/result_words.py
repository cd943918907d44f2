"""What laboratories write for a CMV-DNA result, in several languages: words, signs, limits, units, logarithms.

Patterns are matched against `normalised` text: lower case, half-width signs, no accents.
"""

from __future__ import annotations

import re
from typing import Final

from immunoprofile.schema import CMV_UNIT_NAMES, without_accents

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_SUPERSCRIPT_RUN = re.compile("[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_SIGNS: Final = (
    ("≤", "<"), ("≦", "<"), ("⩽", "<"), ("≥", ">"), ("≧", ">"), ("⩾", ">"), ("−", "-"), ("’", "'"), ("小于等于", "<"),
    ("大于等于", ">"), ("不高于", "<"), ("不低于", ">"),
)  # fmt: skip
_LESS_THAN: Final = re.compile(
    "(低于|小于|少于|less than|below|under|inferieure? a|inferiore? a|menor (?:que|de|a)|menos de|moins de|kleiner als"
    "|unter|minder dan|lager dan|mindre (?:an|end|enn)|ponizej|mniej niz|меньше|менее|ниже)(?= ?\\d)"
)
_MORE_THAN: Final = re.compile(
    "(高于|大于|超过|greater than|more than|above|over|superieure? a|superiore? a|mayor (?:que|de|a)|maior (?:que|de)"
    "|mas de|plus de|grosser als|groesser als|uber|ueber|meer dan|hoger dan|mere? (?:an|end|enn)|powyzej|wiecej niz"
    "|больше|более|выше)(?= ?\\d)"
)


def normalised(text: str) -> str:
    """Lower case, half-width signs, no accents; a superscript becomes a power, not the next digit of the number."""
    powers = _SUPERSCRIPT_RUN.sub(lambda run: "^" + run.group().translate(_SUPERSCRIPTS), text)
    plain = without_accents(powers)
    for old, new in _SIGNS:
        plain = plain.replace(old, new)
    plain = _MORE_THAN.sub(">", _LESS_THAN.sub("<", plain))
    return re.sub(r"\s+", " ", plain.replace("<=", "<").replace(">=", ">"))


INVALID: Final = re.compile(
    r"invalid|inhibit|h(a)?emoly[sz]|hamoly|insufficient|insuffisant|insuficiente|unzureichend|qns|indeterminate"
    r"|not (done|tested|reported)|non (realise|fait|effectue|rendu|eseguit|valid)|no (realizad|valorable|valid)"
    r"|nicht (auswertbar|bestimmt|durchgefuhrt)|ungultig|ininterpretable|failed|error|missing|clotted"
    r"|(?:ikke|ej) (?:utfor|utfør|udfør)\w*|nie wykona\w+|не (?:выполн|провод)\w+"
    r"|无效|溶血|抑制|失败|标本量不足|样本量不足|未做|未测(?!出|到)|凝块|n/a|^na$"
)
_VIRUS = (
    r"(?:(?:human|the|of|de|d'|del|du|any|cmv|hcmv|cytomegalovirus|citomegalovirus|viral|virus|virale|target|dna|adn"
    r"|genome|amplification|sequences?)[- ]*)*"
)
NEGATIVE: Final = re.compile(
    r"not[- ]detect(ed|able)|undetect(ed|able)|none detected|no target|negative|\bneg\b|\bnd\b|\btnd\b|^nd$"
    rf"|\bno {_VIRUS}(?:was |were )?(?:detected|found|seen)"
    rf"|\bnon[- ]detecte|\bnon[- ]detectable|\bindetect\w+|\bnegati[fv]\w*|\babsence {_VIRUS}"
    rf"|\b(?:aucun|pas) {_VIRUS}detecte"
    r"|\bno (?:se )?(?:detect|detec)\w+|\bnao (?:detect|detet)\w+|\bnon rileva\w+|\bassente\b"
    rf"|\bnicht (?:nachweisbar|nachgewiesen|detektierbar)|\bkeine? {_VIRUS}(?:nachweisbar|nachgewiesen)"
    r"|\bniet (?:aantoonbaar|aangetoond|detecteerbaar|gedetecteerd)|\bnie wykryto|\bniewykrywaln\w+"
    rf"|\bkein nachweis(?: (?:von|der))? ?{_VIRUS}|^absent$|^n\. ?[nd]\.?$"
    r"|\b(?:ej|inte|icke|ikke) (?:pavis|detekt|funn|fund)\w+|\bei (?:todettu|havaittu|osoitettu)"
    r"|\bneprokazan\w*|\bnedetekov\w+|\bnezjisten\w*|\bnem (?:kimutathat|detektalhat)\w+|\bujemn\w+"
    r"|\bsaptanmad\w|\btespit edilmedi|\bαρνητικ\w+|\b(?:δεν|μη) ανιχνευ\w+|\bне (?:обнаружен|выявлен)\w*"
    r"|\bотрицательн\w+|음성|검출되지 ?않\w*|미검출|불검출|検出され(?:ず|ません|なかった)"
    r"|阴性|陰性|未检出|未檢出|未检测到|未检测出|未测出|未测到|检测不到|検出せず|^\(-\)$"
)
_BELOW = (
    r"(<|below|under|less than|低于|小于|未达|inferieure?s? (?:au|a la)|inferiore? (?:al|alla)|sous l[ea]|abaixo do"
    r"|(?:por )?debajo del?|(?:al di )?sotto (?:il|del|al)|unter(?:halb)?(?: der)?|onder de)\s*(the |le |la |el |il )?"
    r"(assay )?"
)
BELOW_LOD: Final = re.compile(
    _BELOW + r"(lod\b|limit of detection|(lower )?detection limit|lower limit of detection|最?低?检(测|出)(下)?限"
    r"|(?:seuil|limite) de (?:detection|deteccion|deteccao)|limite di rileva\w+|nachweisgrenze|detektionsgrenze"
    r"|detectiegrens)"
    r"|检(测|出)下?限以下"
)
BELOW_LLOQ: Final = re.compile(
    _BELOW + r"(lloq\b|loq\b|lower limit of quanti\w*|limit of quanti\w*|quanti\w*( limit| range)?"
    r"|最?低?定量(检测)?(下)?限|(?:seuil|limite) d[ei] (?:quanti|cuanti)\w*|bestimmungsgrenze|kwantificatiegrens)"
    r"|定量(检测)?(下)?限以下|\bblq\b|\bdnq\b|(not|non|un)[- ]?quanti\w+|no cuanti\w+|nao quanti\w+"
    r"|nicht quanti\w+|niet (?:k|q)\w*anti\w+"
)
ABOVE_ULOQ: Final = re.compile(
    r"(>|above|over|greater than|高于|大于|超过|超出|superieure? (?:au|a la)|superiore? (?:al|alla)"
    r"|(?:por )?encima del?|uber(?: der)?|boven de)\s*(the |le |la |el |il )?(assay )?"
    r"(uloq\b|upper limit( of quanti\w*)?|limit of quanti\w*|quanti\w*( limit| range)?|最?高?定量(检测)?(上)?限"
    r"|(?:seuil|limite)(?: superieure?| superiore?)? d[ei] (?:quanti|cuanti)\w*|bestimmungsgrenze)"
    r"|\balq\b|定量(检测)?上限以上"
)
LIMIT_NAME: Final = re.compile(r"\b(lloq|uloq|loq|lod)\b|定量下限|定量上限|检测下限|检出限")
WORDS_WITHOUT_MEANING: Final = re.compile(
    r"detected|detectable|positive|\bpos\b|\bcmv|dna|but|result|target|plasma|blood|viral load|viremia|阳性|陽性|检出"
    r"|\bdetecte?e?s?\b|detecta[db][oal]\w*|positi[fv]\w*|\badn\b|charge virale|carga viral(?:e)?|carica virale"
    r"|\bviral(?:e|na)?\b|\bpavis(?:t|ad)\b|\bwykryto\b|\bdodatni\w*|\bобнаружен\w*|\bвыявлен\w*|\bположительн\w*"
    r"|\bднк\b|\bцмв\b|\bwynik\b|\bрезультат\b|양성|검출"
    r"|viruslast|nachweisbar|nachgewiesen|rilevat\w+|\bmais\b|\bpero\b|\baber\b|\bma\b|\bmas\b|resultat|resultado"
    r"|[(),;:.\[\]=/\s+]|\bhcmv\b|\bvirus\b|pcr"
)

_PER_ML = r"\s*(?:/|\bper\b|\bpor\b|\bpar\b|\bpro\b)\s*(?:ml|毫升)"
_NAMES = {
    unit: "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    for unit, names in CMV_UNIT_NAMES.items()
}
UNITS: Final = {unit: re.compile(rf"(?<![a-z\[{{])(?:{names}){_PER_ML}") for unit, names in _NAMES.items()}
"""Unit -> how it stands inside a result."""

ANY_UNIT: Final = re.compile(r"[a-z%\u4e00-\u9fff]+\s*/\s*(10\s*\^\s*\d+\s*)?[a-zμµ\u4e00-\u9fff]+")

NUMBER: Final = re.compile(
    r"""
    (?P<power_only>(?<![\d.])10\s*\^\s*(?P<bare_exponent>[+-]?\d+))            # 10^3
    | (?P<mantissa>\d{1,3}(?:[,' ]\d{3})+(?:\.\d+)?(?!\d)|\d+(?:\.\d+)?)        # 12,400  12400  1.24
      (?: \s*[x*×·]\s*10\s*\^?\s*(?P<exponent>[+-]?\d+) | (?:e|\s?e(?=[+-]))(?P<e>[+-]?\d+) )?   # x10^4  E+04
    """,
    re.VERBOSE,
)
AMBIGUOUS_POINT: Final = re.compile(r"\d{1,3}\.\d{3}")
AMBIGUOUS_POWER: Final = re.compile(r"10\s*e\+?\d+")

LOG_WORD: Final = re.compile(r"(?<![a-z])(?:log(?:arithm\w*)?|lg)(?![a-z])")
_LOG = r"(?<![a-z])(?:log(?:arithm\w*)?|lg)[\s_]*(?:10(?![\d.,]*\d))?"
_UNIT_AFTER = rf"(?:\s*[\[(]?(?P<unit>(?:{'|'.join(_NAMES.values())}){_PER_ML})[\])]?)?"
_LOG_NUMBER = r"(?P<sign>[<>]?)\s*(?<![\d.,])(?P<number>\d{1,2}(?:[.,]\d+)?)(?![\d.,]*\d)"
LOGARITHMS: Final = (
    re.compile(rf"[(\[;,/=]?\s*{_LOG_NUMBER}\s*{_LOG}{_UNIT_AFTER}\s*[)\]]?"),
    re.compile(rf"[(\[;,/=]?\s*{_LOG}{_UNIT_AFTER}\s*[:=]?\s*{_LOG_NUMBER}\s*[)\]]?"),
)
"""A number beside the word log: ``(4.09 log10 IU/mL)``, ``log10: 4.09``, also with a decimal comma."""

DECIMAL_COMMA: Final = re.compile(r"(?<![\d.,])(\d{1,2}),(\d{1,2})(?![\d.,])")
