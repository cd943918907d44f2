"""A single CMV-DNA result: reading the text of the laboratory, and what the result proves."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from immunoprofile.errors import ImmunoprofileError, UnitError

if TYPE_CHECKING:
    from immunoprofile.io.config import Assay

CmvKind = Literal["QUANT", "BLQ", "TND", "ALQ", "INVALID"]
Censoring = Literal["lloq", "lod"]

NAN = math.nan
_LONGEST_SHOWN = 60


class ResultTextError(ImmunoprofileError):
    """The text of a laboratory result cannot be read without a guess."""


@dataclass(frozen=True)
class CmvResult:
    """What a CMV-DNA result says.

    Attributes
    ----------
    kind
        ``QUANT`` a number; ``BLQ`` detected below the limit of quantification; ``TND`` not detected; ``ALQ`` above
        the range of the assay; ``INVALID`` no result.
    value
        The number of a QUANT result in the unit of the assay, NaN for all other kinds.
    log10_lower, log10_upper
        Bounds on the log10 scale; NaN is open. Equal for QUANT. BLQ and TND are both left-censored at the limit
        of quantification: a limit of detection is a 95 % hit rate, not a floor. (The sensitivity analysis ``lod``
        censors TND at the limit of detection.)
    """

    kind: CmvKind
    value: float
    log10_lower: float
    log10_upper: float

    @property
    def log10_value(self) -> float:
        """log10 of a QUANT result, NaN for all other kinds."""
        return math.log10(self.value) if self.kind == "QUANT" else NAN

    @property
    def valid(self) -> bool:
        """The assay gave an answer."""
        return self.kind != "INVALID"


class Bounds(NamedTuple):
    """A quantity known exactly or between bounds; NaN is unknown or open."""

    point: float
    lower: float
    upper: float


_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_SUPERSCRIPT_RUN = re.compile("[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")

_INVALID = re.compile(
    r"invalid|inhibit|h(a)?emoly[sz]|insufficient|qns|indeterminate|not (done|tested|reported)|failed|error|missing"
    r"|clotted|无效|溶血|抑制|失败|标本量不足|样本量不足|未做|未测(?!出|到)|凝块|n/a|^na$"
)
_NEGATIVE = re.compile(
    r"not[- ]detect(ed|able)|undetect(ed|able)|none detected|no target|negative|\bneg\b|\bnd\b|\btnd\b|^nd$"
    r"|阴性|未检出|未检测到|未检测出|未测出|未测到|检测不到|^\(-\)$"
)
_BELOW_LOD = re.compile(
    r"(<|below|under|less than|低于|小于|未达)\s*(the )?(assay )?"
    r"(lod\b|limit of detection|(lower )?detection limit|lower limit of detection|最?低?检(测|出)(下)?限)"
    r"|检(测|出)下?限以下"
)
_BELOW_LLOQ = re.compile(
    r"(<|below|under|less than|低于|小于|未达)\s*(the )?(assay )?"
    r"(lloq\b|loq\b|lower limit of quanti\w*|limit of quanti\w*|quanti\w*( limit| range)?|最?低?定量(检测)?(下)?限)"
    r"|定量(检测)?(下)?限以下|\bblq\b|(not|non|un)[- ]?quantif(iable|ied)"
)
_ABOVE_ULOQ = re.compile(
    r"(>|above|over|greater than|高于|大于|超过|超出)\s*(the )?(assay )?"
    r"(uloq\b|upper limit( of quanti\w*)?|limit of quanti\w*|quanti\w*( limit| range)?|最?高?定量(检测)?(上)?限)"
    r"|\balq\b|定量(检测)?上限以上"
)
_UNIT = re.compile(r"(iu|copies|copy|cps?|拷贝数?|国际单位)\s*/\s*(ml|毫升)", re.IGNORECASE)
_ANY_UNIT = re.compile(r"[a-z%\u4e00-\u9fff]+\s*/\s*(10\s*\^\s*\d+\s*)?[a-zμµ\u4e00-\u9fff]+")
_LIMIT_NAME = re.compile(r"\b(lloq|uloq|loq|lod)\b|定量下限|定量上限|检测下限|检出限")
_NUMBER = re.compile(
    r"""
    (?P<power_only>(?<![\d.])10\s*\^\s*(?P<bare_exponent>[+-]?\d+))            # 10^3
    | (?P<mantissa>\d{1,3}(?:[,' ]\d{3})+(?:\.\d+)?(?!\d)|\d+(?:\.\d+)?)        # 12,400  12400  1.24
      (?: \s*[x*×·]\s*10\s*\^?\s*(?P<exponent>[+-]?\d+) | (?:e|\s?e(?=[+-]))(?P<e>[+-]?\d+) )?   # x10^4  E+04
    """,
    re.VERBOSE,
)
_AMBIGUOUS_POINT = re.compile(r"\d{1,3}\.\d{3}")
_AMBIGUOUS_POWER = re.compile(r"10\s*e\+?\d+")
_WORDS_WITHOUT_MEANING = re.compile(
    r"detected|positive|\bpos\b|cmv|dna|but|result|target|plasma|blood|阳性|检出|[(),;:.\s+]|\bhcmv\b|pcr"
)


def parse_result(text: str, assay: Assay, *, unit: str | None = None, censoring: Censoring = "lloq") -> CmvResult:
    """Read a CMV-DNA result as the laboratory wrote it.

    Parameters
    ----------
    text
        For example ``12,400 IU/mL``, ``1.24E+04``, ``10^3``, ``<137``, ``detected <LLOQ``, ``not detected``, the
        Chinese words for negative and not detected, ``> 9,100,000``, ``haemolysed``; also in full-width signs.
    assay
        Registered assay with its limits.
    unit
        Unit of the table row; must be that of the assay.
    censoring
        ``lloq``: what is not detected is left-censored at the limit of quantification. ``lod``, a sensitivity
        analysis: at the limit of detection, where the assay has one.

    Returns
    -------
    CmvResult
        A number below the LLOQ is BLQ and one above the ULOQ is ALQ. An empty text is INVALID.

    Raises
    ------
    ResultTextError
        The text is not understood or contradicts itself; a bare ``<`` (or ``>``) number is no limit of the assay;
        the number is zero or a logarithm.
    UnitError
        The text or the row carries another unit than the assay.

    Examples
    --------
    >>> from immunoprofile.io.config import Assay
    >>> assay = Assay(name="A", unit="IU/mL", specimen="plasma", lod=91, lloq=137, uloq=9.1e6)
    >>> parse_result("12,400 IU/mL", assay).value
    12400.0
    >>> parse_result("<137", assay).kind, parse_result("not detected", assay).kind
    ('BLQ', 'TND')
    """
    if unit is not None and unit != assay.unit:
        _raise_unit(text, unit, assay)
    plain = _normalise(text)
    if not plain or _INVALID.search(plain):
        return CmvResult("INVALID", NAN, NAN, NAN)
    if "log" in plain.replace("lloq", ""):
        raise ResultTextError(f"{text!r} is a logarithm", where=assay.name, todo="enter the result on the linear scale")
    plain = _without_unit(plain, text, assay)
    negative = bool(_NEGATIVE.search(plain))
    sign, number = _sign_and_number(_NEGATIVE.sub(" ", plain), text, assay)
    not_detected = _left_censored("TND", assay, censoring)

    if negative:
        if number is not None and (sign == "<" or _LIMIT_NAME.search(plain)):
            _limit_kind(number, text, assay)
        elif number is not None or sign == ">" or _ABOVE_ULOQ.search(plain):
            raise ResultTextError(
                f"{text!r} is negative and a number at once", where=assay.name, todo="ask the laboratory which it is"
            )
        return not_detected
    if _BELOW_LOD.search(plain):
        _agrees(number, assay.lod, "LOD", text, assay)
        return not_detected
    if _BELOW_LLOQ.search(plain):
        _agrees(number, assay.lloq, "LLOQ", text, assay)
        return _left_censored("BLQ", assay)
    if _ABOVE_ULOQ.search(plain):
        _agrees(number, assay.uloq, "ULOQ", text, assay)
        return _right_censored(text, assay)
    if number is None or _LIMIT_NAME.search(plain):
        raise ResultTextError(
            f"{text!r} is not understood",
            where=assay.name,
            todo="a number, <LLOQ, not detected, >ULOQ or a reason why there is no result",
        )
    if sign == "<":
        return _left_censored(_limit_kind(number, text, assay), assay, censoring)
    if sign == ">":
        if assay.uloq is None or not math.isclose(number, assay.uloq, rel_tol=1e-9):
            raise ResultTextError(
                f"{text!r} is not the upper limit of the assay ({_show(assay.uloq)})",
                where=assay.name,
                todo="correct the result or the limits in study.yaml",
            )
        return _right_censored(text, assay)
    if number == 0:
        raise ResultTextError(f"{text!r}: zero is no result", where=assay.name, todo="write 'not detected'")
    if number < assay.lloq:
        return _left_censored("BLQ", assay)
    if assay.uloq is not None and number > assay.uloq:
        return _right_censored(text, assay)
    return CmvResult("QUANT", number, math.log10(number), math.log10(number))


def drop_bounds(baseline: CmvResult, later: CmvResult) -> Bounds:
    """Fall from baseline in log10; a point only when both results are QUANT, else what the bounds prove.

    Examples
    --------
    A baseline of 1,000 and a result below 137 prove a fall of at least 0.86 log10 and no more.

    >>> low = drop_bounds(CmvResult("QUANT", 1e3, 3.0, 3.0), CmvResult("BLQ", NAN, NAN, math.log10(137))).lower
    >>> round(low, 4)
    0.8633
    """
    if baseline.kind == "QUANT" and later.kind == "QUANT":
        point = baseline.log10_value - later.log10_value
        return Bounds(point, point, point)
    return Bounds(NAN, baseline.log10_lower - later.log10_upper, baseline.log10_upper - later.log10_lower)


def drop_text(point: float, lower: float, upper: float) -> str:
    """A fall for people, in log10: ``1.10``, ``≥0.86``, ``≤1.20``, ``0.40 to 0.90``, or empty when nothing is known.

    A lower bound is rounded down and an upper bound up, so that the text never claims more than was measured.
    """
    low = "" if math.isnan(lower) else f"{math.floor(round(lower * 100, 6)) / 100:.2f}"
    high = "" if math.isnan(upper) else f"{math.ceil(round(upper * 100, 6)) / 100:.2f}"
    if not math.isnan(point):
        return f"{point:.2f}"
    if low and high:
        return f"{low} to {high}"
    if low:
        return f"≥{low}"
    return f"≤{high}" if high else ""


def to_iu(copies: float, assay: Assay) -> float:
    """IU/mL from copies/mL with the factor determined for this assay and specimen.

    Raises
    ------
    UnitError
        The assay has no factor: copies stay copies and are never mixed with IU.
    """
    return copies * _factor(assay)


def to_copies(iu: float, assay: Assay) -> float:
    """copies/mL from IU/mL with the factor determined for this assay and specimen.

    Raises
    ------
    UnitError
        The assay has no factor: IU stay IU and are never mixed with copies.
    """
    return iu / _factor(assay)


def _factor(assay: Assay) -> float:
    if assay.iu_factor is None:
        raise UnitError(
            "copies/mL and IU/mL cannot be converted without a factor determined for the assay and specimen",
            where=assay.name,
            todo="set iu_factor in study.yaml with its source, or keep the unit of the assay",
        )
    return assay.iu_factor


def _normalise(text: str) -> str:
    """Lower case, half-width signs; a superscript becomes a power, not the next digit of the number."""
    powers = _SUPERSCRIPT_RUN.sub(lambda run: "^" + run.group().translate(_SUPERSCRIPTS), text)
    plain = unicodedata.normalize("NFKC", powers).casefold().strip()
    for old, new in (("≤", "<"), ("≦", "<"), ("⩽", "<"), ("≥", ">"), ("≧", ">"), ("⩾", ">"), ("−", "-"), ("’", "'")):
        plain = plain.replace(old, new)
    for old, new in (("小于等于", "<"), ("大于等于", ">"), ("不高于", "<"), ("不低于", ">")):
        plain = plain.replace(old, new)
    plain = re.sub("(低于|小于|少于|less than|below|under)(?= ?\\d)", "<", plain)
    plain = re.sub("(高于|大于|超过|greater than|more than|above|over)(?= ?\\d)", ">", plain)
    plain = plain.replace("<=", "<").replace(">=", ">")
    return re.sub(r"\s+", " ", plain)


def _without_unit(plain: str, text: str, assay: Assay) -> str:
    for found in _UNIT.finditer(plain):
        name = "IU/mL" if found.group(1) in ("iu", "国际单位") else "copies/mL"
        if name != assay.unit:
            _raise_unit(text, name, assay)
    plain = _UNIT.sub(" ", plain)
    unknown = _ANY_UNIT.search(plain)
    if unknown:
        raise UnitError(
            f"{text!r}: the unit {unknown.group()!r} is not known", where=assay.name,
            todo=f"ask the laboratory for {assay.unit}, the unit of the assay",
        )  # fmt: skip
    return plain


def _sign_and_number(plain: str, text: str, assay: Assay) -> tuple[str, float | None]:
    """The comparison sign and the only number; whatever is left over must be words without meaning."""
    named = _LIMIT_NAME.sub(" ", _ABOVE_ULOQ.sub(" ", _BELOW_LLOQ.sub(" ", _BELOW_LOD.sub(" ", plain))))
    numbers = list(_NUMBER.finditer(named))
    rest = _WORDS_WITHOUT_MEANING.sub("", _NUMBER.sub(" ", named))
    if len(numbers) > 1 or rest not in ("", "<", ">", "-"):
        raise ResultTextError(f"{text!r} is not understood", where=assay.name, todo="write one number and its sign")
    if rest == "-" and numbers:
        raise ResultTextError(f"{text!r}: a viral load is not negative", where=assay.name)
    if any(_AMBIGUOUS_POINT.fullmatch(found.group()) for found in numbers):
        raise ResultTextError(
            f"{text!r} may mean a thousands separator or a decimal point",
            where=assay.name,
            todo="write 12,400 or 12400 for thousands",
        )
    if any(_AMBIGUOUS_POWER.fullmatch(found.group()) for found in numbers):
        raise ResultTextError(
            f"{text!r} may mean a power of ten or ten times it",
            where=assay.name,
            todo="write 1E+03 or 10^3 for one thousand",
        )
    if numbers and not math.isfinite(_value(numbers[0])):
        raise ResultTextError(f"{text[:_LONGEST_SHOWN]!r} is larger than any viral load", where=assay.name)
    sign = rest if rest in ("<", ">") else ""
    if sign and not numbers:
        raise ResultTextError(f"{text!r} has no number", where=assay.name)
    return sign, _value(numbers[0]) if numbers else None


def _value(found: re.Match[str]) -> float:
    if found["power_only"]:
        return float(f"1e{found['bare_exponent']}")
    mantissa = re.sub("[,' ]", "", found["mantissa"])
    return float(f"{mantissa}e{found['exponent'] or found['e'] or '0'}")


def _limit_kind(number: float, text: str, assay: Assay) -> Literal["BLQ", "TND"]:
    if math.isclose(number, assay.lloq, rel_tol=1e-9):
        return "BLQ"
    if assay.lod is not None and math.isclose(number, assay.lod, rel_tol=1e-9):
        return "TND"
    raise ResultTextError(
        f"{text!r} is neither the LLOQ ({_show(assay.lloq)}) nor the LOD ({_show(assay.lod)}) of the assay",
        where=assay.name,
        todo="correct the result, or register the assay that was used in study.yaml",
    )


def _agrees(number: float | None, limit: float | None, name: str, text: str, assay: Assay) -> None:
    """A number that stands beside the name of a limit must be that limit of the registered assay."""
    if number is not None and (limit is None or not math.isclose(number, limit, rel_tol=1e-9)):
        raise ResultTextError(
            f"{text!r} contradicts the {name} of the assay ({_show(limit)})",
            where=assay.name,
            todo="register the assay and limits that were used in study.yaml, or correct the result",
        )


def _left_censored(kind: Literal["BLQ", "TND"], assay: Assay, censoring: Censoring = "lloq") -> CmvResult:
    limit = assay.lod if censoring == "lod" and kind == "TND" and assay.lod is not None else assay.lloq
    return CmvResult(kind, NAN, NAN, math.log10(limit))


def _right_censored(text: str, assay: Assay) -> CmvResult:
    if assay.uloq is None:
        raise ResultTextError(
            f"{text!r}: the assay has no upper limit", where=assay.name, todo="set uloq in study.yaml"
        )
    return CmvResult("ALQ", NAN, math.log10(assay.uloq), NAN)


def _raise_unit(text: str, unit: str, assay: Assay) -> None:
    raise UnitError(
        f"{text!r} is in {unit}, the assay reports {assay.unit}",
        where=assay.name,
        todo="register the assay in that unit, or convert with a factor determined for it; units are never mixed",
    )


def _show(limit: float | None) -> str:
    return "none" if limit is None else f"{limit:g}"
