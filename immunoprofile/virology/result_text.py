"""Reading the text of a CMV-DNA result as the laboratory wrote it, on the linear or the logarithmic scale."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NoReturn

from immunoprofile.errors import ImmunoprofileError, UnitError
from immunoprofile.schema import LOG10, cmv_unit, linear_unit
from immunoprofile.virology import result_words as words
from immunoprofile.virology.results import NAN, Censoring, CmvResult

if TYPE_CHECKING:
    from immunoprofile.io.cmv_assay import Assay

HIGHEST_LOGARITHM: Final = 10.0
"""No viral load has a decimal logarithm of so much or more; a bare number below it may be one."""

_LONGEST_SHOWN = 60
_LONGEST_TEXT = 500
_DIGITS: Final = re.compile("[0-9e.]+")
_THREE_FIGURES_LOG10 = 0.0045
"""What rounding or cutting off a number to three figures changes of its logarithm, at most: 100.999 to 100."""


class ResultTextError(ImmunoprofileError):
    """The text of a laboratory result cannot be read without a guess."""


@dataclass(frozen=True)
class _Logarithm:
    """A decimal logarithm that the text states beside the word log, or that its unit declares."""

    sign: str
    value: float
    decimals: int

    @property
    def last_place(self) -> float:
        """One unit of the last decimal: what rounding or cutting off may change."""
        return float(10.0**-self.decimals) * (1 + 1e-9)

    def is_of(self, number: float | None) -> bool:
        """Whether it is the logarithm of a number, both rounded or cut off."""
        within = max(self.last_place, _THREE_FIGURES_LOG10)
        return number is not None and number > 0 and abs(math.log10(number) - self.value) <= within


@dataclass(frozen=True)
class _Reading:
    """What is left of a text after its words: a comparison sign and a number on the linear scale."""

    sign: str
    number: float | None
    decimals: int


def parse_result(text: str, assay: Assay, *, unit: str | None = None, censoring: Censoring = "lloq") -> CmvResult:
    """Read a CMV-DNA result as the laboratory wrote it.

    Parameters
    ----------
    text
        For example ``12,400 IU/mL``, ``1.24E+04``, ``10^3``, ``12400 (4.09 log)``, ``<137``, ``detected <LLOQ``,
        ``DNQ``, ``not detected``, ``No CMV DNA detected``, the words for negative, not detected and not quantifiable
        in several languages, ``> 9,100,000``, ``haemolysed``; also in full-width signs.
    assay
        Registered assay with its limits.
    unit
        Unit of the table row; must be that of the assay, or its logarithm (``log10 IU/mL``): then a bare number is a
        decimal logarithm.
    censoring
        ``lloq``: what is not detected is left-censored at the limit of quantification. ``lod``, a sensitivity
        analysis: at the limit of detection, where the assay has one.

    Returns
    -------
    CmvResult
        On the linear scale. A number below the LLOQ is BLQ and one above the ULOQ is ALQ. An empty text is INVALID.

    Raises
    ------
    ResultTextError
        The text is not understood or contradicts itself; a bare ``<`` (or ``>``) number is no limit of the assay;
        the number is zero; a logarithm stands where the unit is linear: named as one, or a bare number with decimals
        below 10 where the assay quantifies from more than 10 on.
    UnitError
        The text or the row carries another unit than the assay.

    Examples
    --------
    >>> from immunoprofile.io.cmv_assay import Assay
    >>> assay = Assay(name="A", unit="IU/mL", specimen="plasma", lod=91, lloq=137, uloq=9.1e6)
    >>> parse_result("12,400 IU/mL (4.09 log)", assay).value
    12400.0
    >>> parse_result("<137", assay).kind, parse_result("not detected", assay).kind
    ('BLQ', 'TND')
    >>> round(parse_result("4.09", assay, unit="log10 IU/mL").value)
    12303
    """
    declared = assay.unit if unit is None else cmv_unit(unit)
    if linear_unit(declared) != assay.unit:
        _raise_unit(text, declared, assay)
    logarithmic = declared.startswith(LOG10)
    plain = words.normalised(text)
    if len(plain) > _LONGEST_TEXT and not _DIGITS.fullmatch(plain):
        raise ResultTextError(f"{text[:_LONGEST_SHOWN]!r}... is no result: {len(text):,} characters", where=assay.name)
    if not plain or words.INVALID.search(plain):
        return CmvResult("INVALID", NAN, NAN, NAN)
    plain, stated = _split_logarithm(plain, text, assay)
    named = words.UNITS[assay.unit].search(plain)
    plain = _without_unit(plain, text, assay)
    if logarithmic and stated is None:
        plain = words.DECIMAL_COMMA.sub(r"\1.\2", plain)
        if named and len(words.NUMBER.findall(plain)) == 1:
            raise ResultTextError(
                f"{text!r} is in {assay.unit}, the row says {declared}",
                where=assay.name,
                todo="write in the column unit what the number is",
            )
    negative = bool(words.NEGATIVE.search(plain))
    reading = _reading(words.NEGATIVE.sub(" ", plain), text, assay, logarithmic=logarithmic and stated is None)
    if stated is not None and reading.number is None and logarithmic:
        reading = _Reading(reading.sign or stated.sign, _antilog(stated, assay), 0)
    elif stated is not None:
        _check_stated(stated, reading, text, assay, negative=negative, plain=plain)
    return _judged(plain, reading, text, assay, negative=negative, censoring=censoring)


def _judged(
    plain: str, reading: _Reading, text: str, assay: Assay, *, negative: bool, censoring: Censoring
) -> CmvResult:
    sign, number = reading.sign, reading.number
    not_detected = _left_censored("TND", assay, censoring)
    if negative:
        if number is not None and (sign == "<" or words.LIMIT_NAME.search(plain)):
            _limit_kind(number, text, assay)
        elif number is not None or sign == ">" or words.ABOVE_ULOQ.search(plain):
            raise ResultTextError(
                f"{text!r} is negative and a number at once", where=assay.name, todo="ask the laboratory which it is"
            )
        return not_detected
    if words.BELOW_LOD.search(plain):
        _agrees(number, assay.lod, "LOD", text, assay)
        return not_detected
    if words.BELOW_LLOQ.search(plain):
        _agrees(number, assay.lloq, "LLOQ", text, assay)
        return _left_censored("BLQ", assay)
    if words.ABOVE_ULOQ.search(plain):
        _agrees(number, assay.uloq, "ULOQ", text, assay)
        return _right_censored(text, assay)
    if number is None or words.LIMIT_NAME.search(plain):
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
                todo=_if_logarithm(number, assay.uloq) or "correct the result or the limits in study.yaml",
            )
        return _right_censored(text, assay)
    if number == 0:
        raise ResultTextError(f"{text!r}: zero is no result", where=assay.name, todo="write 'not detected'")
    if number < HIGHEST_LOGARITHM < assay.lloq and reading.decimals:
        raise ResultTextError(
            f"{text!r} looks like a logarithm: it would be {10**number:,.0f} {assay.unit}",
            where=assay.name,
            todo=f"write {LOG10}{assay.unit} in the column unit if it is one, otherwise <{assay.lloq:g}",
        )
    if number < assay.lloq:
        return _left_censored("BLQ", assay)
    if assay.uloq is not None and number > assay.uloq:
        return _right_censored(text, assay)
    return CmvResult("QUANT", number, math.log10(number), math.log10(number))


def bare_number(text: str) -> tuple[float, bool] | None:
    """The number of a result that is nothing but a number, and whether it has decimals; None for any other text."""
    plain = words.normalised(text)
    found = words.NUMBER.fullmatch(plain)
    if found is None or found["power_only"] or found["exponent"] or found["e"]:
        return None
    return _value(found), "." in found["mantissa"]


def _split_logarithm(plain: str, text: str, assay: Assay) -> tuple[str, _Logarithm | None]:
    """The text without a number that is named as a logarithm, and that number."""
    if not words.LOG_WORD.search(plain):
        return plain, None
    for pattern in words.LOGARITHMS:
        found = pattern.search(plain)
        if found is None:
            continue
        rest = f"{plain[: found.start()]} {plain[found.end() :]}"
        if words.LOG_WORD.search(rest):
            break
        unit = linear_unit(cmv_unit(found["unit"])) if found["unit"] else assay.unit
        if unit != assay.unit:
            _raise_unit(text, unit, assay)
        number = found["number"].replace(",", ".")
        return rest, _Logarithm(found["sign"], float(number), len(number.partition(".")[2]))
    _raise_logarithm(text, assay)


def _raise_logarithm(text: str, assay: Assay) -> NoReturn:
    raise ResultTextError(
        f"{text!r} is a logarithm",
        where=assay.name,
        todo=f"write {LOG10}{assay.unit} in the column unit, or enter the result on the linear scale",
    )


def _check_stated(
    stated: _Logarithm, reading: _Reading, text: str, assay: Assay, *, negative: bool, plain: str
) -> None:
    """A logarithm beside a result on the linear scale must be that of the result, or of a limit of the assay."""
    below = negative or words.BELOW_LOD.search(plain) or words.BELOW_LLOQ.search(plain)
    above = words.ABOVE_ULOQ.search(plain)
    if reading.number is None and not below and not above:
        _raise_logarithm(text, assay)
    if reading.number is not None:
        agrees = stated.is_of(reading.number) and stated.sign in ("", reading.sign)
    elif below:
        agrees = stated.sign == "<" and (stated.is_of(assay.lloq) or stated.is_of(assay.lod))
    else:
        agrees = stated.sign != "<" and stated.is_of(assay.uloq)
    if not agrees:
        raise ResultTextError(
            f"{text!r}: the logarithm {stated.sign}{stated.value:g} is not that of the result",
            where=assay.name,
            todo="ask the laboratory which of the two it is",
        )


def _antilog(stated: _Logarithm, assay: Assay) -> float:
    """The number of a logarithm. Where rounding alone keeps it from a limit of the assay it is that limit."""
    if stated.value >= HIGHEST_LOGARITHM:
        raise ResultTextError(
            f"{stated.value:g} is no logarithm of a viral load",
            where=assay.name,
            todo=f"write {assay.unit} in the column unit of results on the linear scale",
        )
    if stated.value == 0:
        return 0.0  # what a laboratory writes for nothing, refused like every zero
    value = float(10.0**stated.value)
    if not stated.decimals:
        return value
    limits = [limit for limit in (assay.lloq, assay.lod, assay.uloq) if limit is not None]
    if stated.sign:
        return next((limit for limit in limits if stated.is_of(limit)), value)
    half = stated.last_place / 2
    if value < assay.lloq and math.log10(assay.lloq) - stated.value <= half:
        return assay.lloq
    if assay.uloq is not None and value > assay.uloq and stated.value - math.log10(assay.uloq) <= half:
        return assay.uloq
    return value


def _without_unit(plain: str, text: str, assay: Assay) -> str:
    for name, pattern in words.UNITS.items():
        if name != assay.unit and pattern.search(plain):
            _raise_unit(text, name, assay)
    plain = words.UNITS[assay.unit].sub(" ", plain)
    unknown = words.ANY_UNIT.search(plain)
    if unknown:
        raise UnitError(
            f"{text!r}: the unit {unknown.group()!r} is not known", where=assay.name,
            todo=f"ask the laboratory for {assay.unit}, the unit of the assay",
        )  # fmt: skip
    return plain


def _reading(plain: str, text: str, assay: Assay, *, logarithmic: bool) -> _Reading:
    """The comparison sign and the only number; whatever is left over must be words without meaning."""
    named = plain
    for pattern in (words.BELOW_LOD, words.BELOW_LLOQ, words.ABOVE_ULOQ, words.LIMIT_NAME):
        named = pattern.sub(" ", named)
    numbers = list(words.NUMBER.finditer(named))
    rest = words.WORDS_WITHOUT_MEANING.sub("", words.NUMBER.sub(" ", named))
    if len(numbers) == 2:
        # 12400 (4.09): a number and its logarithm, told apart by their values.
        numbers = _number_of_pair(numbers)
        rest = rest[:1] if rest in ("<<", ">>") else rest
        logarithmic = False
    if len(numbers) > 1 or rest not in ("", "<", ">", "-"):
        raise ResultTextError(f"{text!r} is not understood", where=assay.name, todo="write one number and its sign")
    if rest == "-" and numbers:
        raise ResultTextError(f"{text!r}: a viral load is not negative", where=assay.name)
    if not logarithmic and any(words.AMBIGUOUS_POINT.fullmatch(found.group()) for found in numbers):
        raise ResultTextError(
            f"{text!r} may mean a thousands separator or a decimal point",
            where=assay.name,
            todo="write 12,400 or 12400 for thousands",
        )
    if any(words.AMBIGUOUS_POWER.fullmatch(found.group()) for found in numbers):
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
    if not numbers:
        return _Reading(sign, None, 0)
    number, decimals = _value(numbers[0]), _decimals(numbers[0])
    if logarithmic:
        return _Reading(sign, _antilog(_Logarithm(sign, number, decimals), assay), 0)
    return _Reading(sign, number, decimals)


def _number_of_pair(numbers: list[re.Match[str]]) -> list[re.Match[str]]:
    """Of a number and its logarithm the number; both, when they are not such a pair."""
    for number, other in (numbers, numbers[::-1]):
        logarithm = _Logarithm("", _value(other), _decimals(other))
        if logarithm.decimals and logarithm.is_of(_value(number)):
            return [number]
    return numbers


def _decimals(found: re.Match[str]) -> int:
    """Decimals of a plain number; none of one with a power of ten."""
    if found["power_only"] or found["exponent"] or found["e"]:
        return 0
    return len(str(found["mantissa"]).partition(".")[2])


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
        todo=_if_logarithm(number, assay.lloq, assay.lod)
        or "correct the result, or register the assay that was used in study.yaml",
    )


def _if_logarithm(number: float, *limits: float | None) -> str:
    """What to do when a number is the logarithm of a limit, to two decimals; empty when it is of none."""
    if any(_Logarithm("", number, 2).is_of(limit) for limit in limits):
        return "it is the logarithm of that limit: write log10 before the unit in the column unit"
    return ""


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


def _raise_unit(text: str, unit: str, assay: Assay) -> NoReturn:
    raise UnitError(
        f"{text!r} is in {unit}, the assay reports {assay.unit}",
        where=assay.name,
        todo="register the assay in that unit, or convert with a factor determined for it; units are never mixed",
    )


def _show(limit: float | None) -> str:
    return "none" if limit is None else f"{limit:g}"
