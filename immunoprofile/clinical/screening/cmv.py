"""I2 and X1: the latest CMV-DNA result before treatment."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from immunoprofile.clinical.screening.kleene import Truth, all_of, negated, when_met, when_present
from immunoprofile.clinical.screening.records import Case, Evidence, Found, Record, Verdict, latest
from immunoprofile.clinical.screening.rules import Criterion
from immunoprofile.clinical.screening.wording import listed, shown
from immunoprofile.clinical.units import significant
from immunoprofile.errors import ImmunoprofileError
from immunoprofile.virology import CmvResult, parse_result

if TYPE_CHECKING:
    from immunoprofile.io.cmv_assay import Assay

CMV = "cmv_dna.result_raw"
BLQ_PARAMETER = "study.yaml i2_blq_counts"
_BLQ_TRUTH: dict[str, Truth] = {"pass": True, "fail": False, "unknown": None}


def cmv_positive_plasma(case: Case, criterion: Criterion) -> Verdict:
    """S2: the latest valid result of plasma is positive."""
    return cmv_positive(case, criterion, specimen="plasma")


def cmv_positive(case: Case, criterion: Criterion, *, specimen: str = "") -> Verdict:
    """I2: the latest valid result is positive, and above the threshold of the profile."""
    found, results = _latest_results(case, criterion, specimen)
    if found.why:
        return Verdict("UNKNOWN", found.why, missing=(CMV,), evidence=_evidence(results))
    limit = case.rules.number("i2_above_copies_ml")
    readings = []
    for record, result, trouble in results:
        truth, because, missing = _detected(case, record, result, trouble)
        if limit is not None and not trouble:
            above, why, needed = _above(result, case.assays[record.text("assay_id")], limit)
            truth = all_of([truth, above])
            because = listed([because, why])
            missing = (*missing, *needed) if truth is None else ()
        readings.append((truth, because, missing))
    # Simultaneous results of two assays: all must be positive.
    truth = all_of([one[0] for one in readings])
    return _verdict(when_met(truth), truth, readings, results,
                    "quantified" if limit is None else f"> {shown(limit)} copies/mL")  # fmt: skip


def cmv_negative(case: Case, criterion: Criterion) -> Verdict:
    """X1: the latest valid result is negative; the complement of the positivity that I2 asks for."""
    found, results = _latest_results(case, criterion)
    if found.why:
        return Verdict("UNKNOWN", found.why, missing=(CMV,), evidence=_evidence(results))
    readings = [_detected(case, record, result, trouble) for record, result, trouble in results]
    negative = negated(all_of([one[0] for one in readings]))
    return _verdict(when_present(negative), negated(negative), readings, results, "not detected")


_Reading = tuple[Truth, str, tuple[str, ...]]
_Result = tuple[Record, CmvResult, str]


def _latest_results(case: Case, criterion: Criterion, specimen: str = "") -> tuple[Found, list[_Result]]:
    """The latest results that are valid or cannot be read; one that the laboratory calls invalid is passed over."""
    found = case.find(criterion, CMV)
    if specimen:
        own = tuple(one for one in found.within if one.text("specimen") == specimen)
        absent = f"no CMV-DNA of {specimen}" if found.within and not own else found.absent
        found = replace(found, within=own, absent=absent)
    read = {id(record): _read(case, record) for record in found.within}
    usable = [one for one in found.within if read[id(one)][1] or read[id(one)][0].valid]
    chosen = latest(usable)
    if found.within and not usable:
        places = ", ".join(one.place for one in found.within)
        found = replace(found, absent=f"no valid CMV-DNA result ({places}: invalid)")
    return replace(found, latest=chosen), [(one, *read[id(one)]) for one in chosen]


def _read(case: Case, record: Record) -> tuple[CmvResult, str]:
    """The result and, when it cannot be used, why."""
    nothing = CmvResult("INVALID", float("nan"), float("nan"), float("nan"))
    raw, assay = record.text("result_raw"), case.assays.get(record.text("assay_id"))
    if not raw:
        return nothing, f"{record.place}: the result is missing"
    if assay is None:
        return nothing, f"{record.place}: unknown assay {record.text('assay_id')!r}; register it in study.yaml"
    if record.text("specimen") != assay.specimen:
        specimen = record.text("specimen") or "missing"
        return nothing, f"{record.place}: specimen {specimen}, the assay is registered for {assay.specimen}"
    try:
        return parse_result(raw, assay, unit=record.text("unit")), ""
    except ImmunoprofileError as error:
        return nothing, f"{record.place}: {error}"


def _detected(case: Case, record: Record, result: CmvResult, trouble: str) -> _Reading:
    """Whether a result is positive."""
    if trouble:
        return None, trouble, (CMV,)
    said = f"CMV-DNA {record.text('result_raw')} ({result.kind}, {record.text('unit')}) on {record.date}"
    if result.kind == "BLQ":
        setting = case.rules.parameters["i2_blq_counts"]
        truth = _BLQ_TRUTH[setting]
        if truth is None:
            why = "detected below the limit of quantification; the investigator must set i2_blq_counts to pass or fail"
            return None, f"{said}: {why}", (BLQ_PARAMETER,)
        return truth, f"{said} counts as {'positive' if truth else 'negative'} (i2_blq_counts: {setting})", ()
    return result.kind != "TND", said, ()


def _above(result: CmvResult, assay: Assay, limit: float) -> _Reading:
    """Whether a result is above a threshold in copies/mL, strictly; a censored one only as far as its bounds prove."""
    if result.kind == "TND":
        return False, "", ()
    factor = 1.0 if assay.unit == "copies/mL" else assay.iu_factor
    if factor is None:
        return None, f"{assay.unit} of assay {assay.name} cannot be converted to copies/mL: set its iu_factor", (
            "study.yaml iu_factor",
        )  # fmt: skip
    if result.kind == "QUANT":
        copies = significant(result.value / factor)
        above = copies > limit
        converted = "" if factor == 1.0 and assay.unit == "copies/mL" else f"{shown(copies, limit)} copies/mL; "
        return above, f"{converted}{'above' if above else 'not above'} {shown(limit)} copies/mL", ()
    if result.kind == "BLQ":
        ceiling = significant(assay.lloq / factor)
        if ceiling <= limit:
            return False, f"below {shown(ceiling)} copies/mL, so not above {shown(limit)} copies/mL", ()
        return None, f"below {shown(ceiling)} copies/mL: may be above {shown(limit)} copies/mL", (CMV,)
    floor = significant((assay.uloq or 0.0) / factor)
    if floor >= limit:
        return True, f"above {shown(floor)} copies/mL", ()
    return None, f"above {shown(floor)} copies/mL: may not be above {shown(limit)} copies/mL", (CMV,)


def _verdict(state: str, truth: Truth, readings: list[_Reading], results: list[_Result], limit: str) -> Verdict:
    decisive = [number for number, one in enumerate(readings) if one[0] == truth]
    record, _, _ = results[decisive[0]]
    missing = tuple(dict.fromkeys(name for one in readings for name in one[2])) if truth is None else ()
    return Verdict(
        state,  # type: ignore[arg-type]
        listed(readings[number][1] for number in decisive),
        value=record.text("result_raw"), unit=record.text("unit"), date=record.date, limit=limit, missing=missing,
        evidence=_evidence(results),
    )  # fmt: skip


def _evidence(results: list[_Result]) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(CMV, record.text("result_raw"), record.text("unit"), record.date, record.place,
                 {"kind": result.kind, "assay_id": record.text("assay_id"), "specimen": record.text("specimen")})
        for record, result, _ in results
    )  # fmt: skip
