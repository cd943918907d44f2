"""CMV-DNA results that were sent as bare logarithms in rows that say IU/mL or copies/mL.

A single text with decimals far below the limit of quantification is refused where it is read (`parse_result`). What
only the neighbours of a result betray is found here.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from immunoprofile.schema import LOG10, cmv_unit
from immunoprofile.virology.result_text import HIGHEST_LOGARITHM, bare_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from immunoprofile.io.cmv_assay import Assay
    from immunoprofile.virology.results import CmvResult

FAR_APART_LOG10: Final = 2.0
"""Two results of a subject in a row that differ by more than this are not on one scale, where one is below 10."""


class _Bare(NamedTuple):
    """A result that is nothing but a number."""

    place: int
    number: float
    decimals: bool

    @property
    def low(self) -> bool:
        """It may be a logarithm."""
        return self.number < HIGHEST_LOGARITHM


def bare_logarithms(
    rows: Sequence[Mapping[str, Any]], assays: Mapping[str, Assay], parsed: Sequence[CmvResult]
) -> dict[int, str]:
    """Rows whose number is a logarithm by the company that it keeps.

    Parameters
    ----------
    rows
        Of ``cmv_dna``, as `io.records` gives them.
    assays
        Registered assays; rows of others are told elsewhere.
    parsed
        What was read from each row; one that is INVALID was told already.

    Returns
    -------
    dict
        Place of the row (from 0) -> why: all bare numbers of the assay, or of a subject where the assay quantifies from
        more than 10 on, lie below 10; a number with decimals below 10 stands beside one that is more than 2 log10 away;
        or it is a whole number below 10 of a subject and assay that have such ones, or of an assay that quantifies from
        more than 10 on and of which no number between 10 and the LLOQ was sent: who sends "<LLOQ" for those sends no 4.
        A number with its unit in the text is none of these: it says what it is.
    """
    series: dict[tuple[str, str, str], list[_Bare]] = {}
    for place in sorted(range(len(rows)), key=lambda one: (rows[one]["collected_dtc"], one)):
        subject, assay, specimen = (rows[place][name] for name in ("usubjid", "assay_id", "specimen"))
        found = bare_number(rows[place]["result_raw"])
        if assay in assays and found is not None and found[0] > 0:
            if not cmv_unit(rows[place]["unit"]).startswith(LOG10):
                series.setdefault((assay, subject, specimen), []).append(_Bare(place, *found))
    found_rows: dict[int, str] = {}
    for assay in {key[0] for key in series}:
        own = [numbers for key, numbers in series.items() if key[0] == assay]
        if all(one.low for numbers in own for one in numbers):
            why = "every number of the assay is below 10: these look like logarithms"
            found_rows |= {one.place: why for numbers in own for one in numbers}
            continue
        lloq = assays[assay].lloq
        if lloq > HIGHEST_LOGARITHM and not any(HIGHEST_LOGARITHM <= one.number < lloq for ns in own for one in ns):
            why = (f"a number below 10, and no other below the LLOQ of {lloq:g} was sent: a logarithm that lost its "
                   "decimals, or a result that is not quantified")  # fmt: skip
            found_rows |= {one.place: why for numbers in own for one in numbers if one.low}
        for numbers in own:
            found_rows |= _out_of_scale(numbers, lloq)
    return {place: why for place, why in found_rows.items() if parsed[place].valid}


def _out_of_scale(numbers: Sequence[_Bare], lloq: float) -> dict[int, str]:
    """Of one series: numbers on another scale than their neighbours, and whole ones in their company."""
    far_below = lloq > HIGHEST_LOGARITHM
    told = {one.place for one in numbers if one.low and one.decimals and one.number < lloq and far_below}
    if far_below and len(numbers) > 1 and all(one.low for one in numbers):
        told |= {one.place for one in numbers}
    for one, other in pairwise(numbers):
        low = min(one, other, key=lambda bare: bare.number)
        if low.low and low.decimals and abs(math.log10(one.number / other.number)) > FAR_APART_LOG10:
            told.add(low.place)
    why = "the number is on another scale than the assay or its neighbours: it looks like a logarithm"
    return {one.place: why for one in numbers if told and one.low}
