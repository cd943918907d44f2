"""X2a to X2f: blood cultures, hepatitis B and C, HIV, syphilis and EBV."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from immunoprofile.clinical.screening.kleene import Truth, any_of, when_present
from immunoprofile.clinical.screening.records import Case, Evidence, Found, Record, Verdict, latest, statement
from immunoprofile.clinical.screening.rules import Criterion
from immunoprofile.clinical.screening.wording import listed, shown
from immunoprofile.clinical.units import significant

_POSITIVE: dict[str, Truth] = {"POS": True, "BLQ": True, "NEG": False, "IND": None}
"""Detected below the limit of quantification is detected."""

_BLQ_MEANS = {"BLQ": "detected below the limit of quantification", "IND": "indeterminate"}


@dataclass(frozen=True)
class Reading:
    """What a test says: true for detected, false for not detected, unknown with its reason."""

    name: str
    truth: Truth
    said: str
    done: bool
    evidence: tuple[Evidence, ...] = ()
    records: tuple[Record, ...] = ()

    @property
    def date(self) -> str:
        """When the sample was taken."""
        return self.evidence[-1].date if self.evidence else ""

    @property
    def result(self) -> str:
        """Results as they stand in the table."""
        return ", ".join(dict.fromkeys(str(one.value) for one in self.evidence))


def read_test(case: Case, criterion: Criterion, name: str) -> Reading:
    """The latest valid result of a test; simultaneous results are detected when any is."""
    found = valid_results(case.find(criterion, name))
    evidence = tuple(as_evidence(name, one) for one in found.latest)
    if found.why:
        return Reading(name, None, found.why, done=bool(found.unclear), evidence=evidence)
    truth = any_of([_POSITIVE.get(one.text("result")) for one in found.latest])
    said = listed(_said(name, one) for one in found.latest)
    earlier = [one for one in found.within if one not in found.latest and one.text("result")]
    other = [one for one in earlier if _POSITIVE.get(one.text("result")) != truth]
    if other:
        results = ", ".join(f"{one.text('result')} on {one.date}" for one in other)
        said += f" (earlier in the window: {results})"
    return Reading(name, truth, said, done=True, evidence=evidence, records=found.latest)


def valid_results(found: Found) -> Found:
    """The records without those that the laboratory calls invalid; a result that is awaited stays."""
    within = tuple(one for one in found.within if one.text("result") != "INVALID")
    if within or not found.within:
        return replace(found, within=within, latest=latest(within))
    places = ", ".join(one.place for one in found.within)
    return replace(found, within=(), latest=(), absent=f"no valid {found.name} ({places}: invalid)")


def as_evidence(name: str, record: Record) -> Evidence:
    """A result with what belongs to it."""
    more: dict[str, Any] = {key: record.text(key) for key in ("specimen", "adjudication", "lab_id") if record.text(key)}
    numbers = {key: record.cells[key] for key in ("value", "lloq")}
    more |= {key: number for key, number in numbers.items() if not math.isnan(number)}
    return Evidence(name, record.text("result") or None, record.text("unit"), record.date, record.place, more)


def _said(name: str, record: Record) -> str:
    result, test = record.text("result"), name.partition(".")[2]
    if not result:
        return f"{record.place}: the result of {test} is awaited or missing"
    return f"{test} {_BLQ_MEANS.get(result, result)} on {record.date}"


def bacteremia(case: Case, criterion: Criterion) -> Verdict:
    """X2a: any positive culture of the window that was not judged a contaminant, or a statement."""
    name = "screening_tests.BLOOD_CULTURE"
    found = valid_results(case.find(criterion, name))
    said = statement(case, criterion, "attestations.bacteremia")
    cultures: list[Truth] = []
    texts = []
    for one in found.within:
        judged = one.text("adjudication")
        truth = _POSITIVE.get(one.text("result"))
        cultures.append(False if truth is not False and judged == "CONTAMINANT" else truth)
        texts.append(_said(name, one) + (f", judged {judged.lower()}" if judged else ""))
    if found.unclear:
        cultures.append(None)
        texts.append(found.unclear)
    # What is on record and leaves the question open (a culture that is awaited, an answer U) keeps it open.
    sources = [*cultures, *([said.truth] if said.given else [])]
    truth = any_of(sources) if sources else None
    evidence = (*(as_evidence(name, one) for one in found.within), *said.evidence)
    if said.truth is not None:
        texts.append(f"bacteremia stated {'Y' if said.truth else 'N'} on {said.date}")
    elif said.given:
        texts.append(said.why)
    missing = []
    if not sources:
        texts, missing = [found.absent, said.why], [name, said.name]
    elif truth is None:
        missing = [name] if None in cultures else []
        missing += [said.name] if said.given and said.truth is None else []
    dates = [one.date for one in evidence if one.date]
    return Verdict(when_present(truth), listed(texts), value="; ".join(str(one.value) for one in evidence),
                   date=max(dates, default=""), limit="no positive culture", missing=tuple(missing),
                   evidence=evidence)  # fmt: skip


def hepatitis_b(case: Case, criterion: Criterion) -> Verdict:
    """X2b: HBsAg or HBV-DNA; anti-HBc that is not negative needs the DNA."""
    surface, core, dna = _tests(case, criterion)
    needs_dna = core.truth is not False or dna.done
    truth = any_of([surface.truth, dna.truth if needs_dna else False])
    used = [surface, core, *([dna] if needs_dna else [])]
    note = ""
    if truth is False and core.truth:
        note = "isolated anti-HBc with HBV-DNA not detected passes"
    unknown = [surface] if surface.truth is None else []
    if truth is None and needs_dna and dna.truth is None:
        unknown += [core, dna] if core.truth is None and not dna.done else [dna]
    return _verdict(truth, used, note, unknown, limit="HBsAg and HBV-DNA not detected")


def hepatitis_c(case: Case, criterion: Criterion) -> Verdict:
    """X2c: HCV-RNA; a positive antibody needs it."""
    antibody, rna = _tests(case, criterion)
    note = ""
    if antibody.truth is False and not rna.done:
        return _absent([antibody], note, limit="HCV-RNA not detected")
    truth: Truth = rna.truth
    if truth is False and antibody.truth is None:
        truth = None
    if truth is False and antibody.truth:
        note = "anti-HCV with HCV-RNA not detected passes"
    unknown = [one for one in (antibody, rna) if one.truth is None]
    return _verdict(truth, [antibody, rna], note, unknown, limit="HCV-RNA not detected")


def hiv(case: Case, criterion: Criterion) -> Verdict:
    """X2d: antigen/antibody or RNA."""
    screen, rna = _tests(case, criterion)
    used = [screen, *([rna] if rna.done else [])]
    truth = any_of([one.truth for one in used])
    return _verdict(truth, used, "", [one for one in used if one.truth is None], limit="not detected")


def syphilis(case: Case, criterion: Criterion) -> Verdict:
    """X2e: treponemal test with RPR; a scar of the treponemal test passes when treatment is documented."""
    treponemal, rpr = _tests(case, criterion)
    if treponemal.truth is False:
        note = "RPR alone is no syphilis" if rpr.truth else ""
        return _absent([treponemal, *([rpr] if rpr.done else [])], note, limit="not detected")
    if treponemal.truth is None:
        return _verdict(None, [treponemal], "", [treponemal], limit="not detected")
    if rpr.truth is None:
        return _verdict(None, [treponemal, rpr], "a treponemal test alone does not tell", [rpr], limit="not detected")
    if rpr.truth:
        return _verdict(rpr.truth, [treponemal, rpr], "", [], limit="not detected")
    treated = statement(case, criterion, "attestations.syphilis_treated")
    if treated.truth:
        verdict = _absent([treponemal, rpr], f"treated (stated on {treated.date}), passes", limit="not detected")
    else:
        why = treated.why or f"treatment stated N on {treated.date}"
        verdict = _verdict(None, [treponemal, rpr], f"treatment is not documented ({why})", [], limit="not detected")
        verdict = replace(verdict, missing=(treated.name,))
    return replace(verdict, evidence=(*verdict.evidence, *treated.evidence))


def ebv(case: Case, criterion: Criterion) -> Verdict:
    """X2f: EBV-DNA in plasma above the limit of quantification, or above the limit of the study."""
    (reading,) = _tests(case, criterion)
    if not reading.records:
        return _verdict(None, [reading], "", [reading], limit="")
    own, own_unit = case.rules.number("x2f_above"), str(case.rules.parameters["x2f_unit"])
    limit = "not above the limit of quantification" if own is None else f"<= {shown(own)} {own_unit}"
    pairs = [_ebv_result(one, own, own_unit) for one in reading.records]
    truth = any_of([one[0] for one in pairs])
    unknown = [reading] if truth is None else []
    return _verdict(truth, [replace(reading, said=listed(one[1] for one in pairs))], "", unknown, limit=limit)


def _ebv_result(record: Record, own: float | None, own_unit: str) -> tuple[Truth, str]:
    """Whether EBV-DNA is above its limit, and what to say."""
    said = _said("screening_tests.EBV_DNA", record)
    specimen, result = record.text("specimen"), record.text("result")
    if not result:
        return None, said
    if specimen.casefold() != "plasma":
        return None, f"{said}: {record.place} has specimen {specimen or 'missing'}, the criterion is about plasma"
    if result != "POS":
        return (False if result in ("NEG", "BLQ") and own is None else _below_own(record, own, own_unit)), said
    value, unit = record.cells["value"], record.text("unit")
    limit = record.cells["lloq"] if own is None else own
    if not value >= 0:
        return None, f"{said}: {record.place} has no number"
    if not limit >= 0:
        return None, f"{said}: {record.place} has no lloq, and x2f_above is not set"
    if not unit or (own is not None and unit != own_unit):
        wanted = own_unit if own is not None else "its unit"
        return None, f"{said}: {record.place} has unit {unit or 'missing'}; {wanted} is needed, units are never mixed"
    above = significant(value) > limit
    return above, f"EBV-DNA {shown(value, limit)} {unit} on {record.date}, limit {shown(limit)}"


def _below_own(record: Record, own: float | None, own_unit: str) -> Truth:
    """A result without a number against the limit of the study: proven only when its assay quantifies below it."""
    result, lloq = record.text("result"), record.cells["lloq"]
    if result not in ("NEG", "BLQ"):
        return None
    if result == "NEG" or own is None:
        return False
    return False if record.text("unit") == own_unit and lloq <= own else None


def _tests(case: Case, criterion: Criterion) -> list[Reading]:
    """Readings of the screening tests of a criterion, in the order of its inputs."""
    return [read_test(case, criterion, name) for name in criterion.inputs if name.startswith("screening_tests.")]


def _absent(used: list[Reading], note: str, *, limit: str) -> Verdict:
    """The infection is not there, whatever single tests say."""
    infected = False
    return _verdict(infected, used, note, [], limit=limit)


def _verdict(truth: Truth, used: list[Reading], note: str, unknown: list[Reading], *, limit: str) -> Verdict:
    # What passes is told with everything that was looked at, anything else with what decided it.
    decisive = used if truth is False else [one for one in used if one.truth is truth] or used
    first = next((one for one in decisive if one.evidence), decisive[0])
    return Verdict(
        when_present(truth), listed([*(one.said for one in decisive), note]), value=first.result, date=first.date,
        limit=limit,
        missing=tuple(dict.fromkeys(one.name for one in unknown)) if truth is None else (),
        evidence=tuple(piece for one in used for piece in one.evidence),
    )  # fmt: skip
