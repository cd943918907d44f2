"""Export of a profile as CDISC SDTM: the tables of the study and the results of flow cytometry as flat records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from immunoprofile import schema
from immunoprofile.gate.definition import definition
from immunoprofile.io.dates import days_between, drawn_before, first_dose
from immunoprofile.io.records import records, text_of
from immunoprofile.io.sdtm import LONGEST_TEST, Sdtm, mapping, not_exported, to_sdtm
from immunoprofile.resources import Population, populations

if TYPE_CHECKING:
    from immunoprofile.profiling.results import Profile

_NOT_DONE = {"testcd": "CPALL", "test": "Cell Phenotyping", "status": "NOT DONE"}
_LOINC = {
    ("IU/mL", "plasma"): "72493-0",
    ("IU/mL", "serum"): "72493-0",
    ("copies/mL", "whole_blood"): "29604-6",
}
_ANY_COPIES = "33006-8"
_PARENT = "Parent"
_CMV_COLUMNS = ("usubjid", "visit", "collected_dtc", "assay_id", "specimen", "unit", "kind")


def export_sdtm(profile: Profile, out: str | Path) -> Sdtm:
    """Write a profile as CDISC SDTM tables: DM, SV, VS, LB, MB, CP, EX, CM, IE.

    Parameters
    ----------
    profile
        From `profile` or `read_results`.
    out
        Folder for ``<domain>.csv`` and ``unmapped.csv``; made when absent.

    Returns
    -------
    Sdtm
        The tables that were written; ``unmapped`` lists what the domains cannot hold.

    Notes
    -----
    The mapping is data (``resources/sdtm.yaml``). Flow results are one record per population for the percentage of the
    parent (``%``) and one for the concentration (``10^6/L`` = cells/uL); what was planned but not measured is one
    record ``NOT DONE``. Codes of populations that the guide does not print must be looked up before a submission.
    """
    mapped = to_sdtm(sources(profile), study_id=profile.study.config.study_id)
    listed = [mapped.unmapped, _undecided(profile), not_exported(profile.study.tables)]
    result = Sdtm(mapped.domains, pd.concat(listed, ignore_index=True))
    result.write(out)
    return result


def sources(profile: Profile) -> dict[str, pd.DataFrame]:
    """The flat tables that the mapping reads, by its names."""
    study = profile.study
    numbers = {visit.visit: visit.visitnum for visit in study.config.visits}
    days = {visit.visit: visit.day for visit in study.config.visits}
    starts = {row["usubjid"]: first_dose(row) for row in records(study.subjects, "subjects")}

    def dated(table: pd.DataFrame, column: str = "collected_dtc") -> pd.DataFrame:
        own = table.copy()
        if "visit" in own:
            own["visitnum"] = own["visit"].map(numbers)
        pairs = zip(own["usubjid"], own[column], strict=True)
        own["study_day"] = pd.array([_study_day(starts.get(str(u), ""), when) for u, when in pairs], dtype="Int64")
        return own

    visits = study.visits.assign(visitnum=study.visits["visit"].map(numbers))
    visits = visits.assign(visit_day_planned=visits["visit"].map(days), prespecified="Y")
    vital_signs, labs, cmv = dated(_vital_signs(study.visits)), dated(_labs(study.labs)), dated(_cmv(profile))
    return {
        "subjects": _subjects(profile),
        "visits": visits,
        "vital_signs": _last_before_dose(vital_signs, starts, ["testcd"], vital_signs["value"].notna()),
        "labs": _last_before_dose(labs, starts, ["test"], labs["value"].notna()),
        "cmv_dna": _last_before_dose(cmv, starts, ["assay_id", "specimen"], cmv["kind"] != "INVALID"),
        "flow": _flow(profile, dated),
        "dosing": dated(study.dosing, "start_dtc").assign(
            end_day=lambda table: pd.array(
                [
                    _study_day(starts.get(str(u), ""), e)
                    for u, e in zip(table["usubjid"], table["end_dtc"], strict=True)
                ],
                dtype="Int64",
            )
        ),
        "conmeds": _conmeds(study.conmeds),
        "eligibility": _not_met(profile, dated),
    }


def _study_day(start: str, when: object) -> int | None:
    days = days_between(start, when)
    return None if days is None else days + (days >= 0)


def _last_before_dose(
    table: pd.DataFrame, starts: dict[str, str], of: list[str], valid: pd.Series[bool]
) -> pd.DataFrame:
    """Mark the last record with a valid result on or before the first dose, for each subject and what ``of`` names."""
    flag = pd.Series("", index=table.index)
    before = [
        bool(starts.get(str(subject))) and drawn_before(when, starts[str(subject)])
        for subject, when in zip(table["usubjid"], table["collected_dtc"], strict=True)
    ]
    usable = table[np.array(before, dtype=bool) & valid.to_numpy(dtype=bool)]
    for _, group in usable.groupby(["usubjid", *of], sort=True):
        flag[group["collected_dtc"].fillna("").sort_values(kind="stable").index[-1]] = "Y"
    return table.assign(last_before_dose=flag)


def _subjects(profile: Profile) -> pd.DataFrame:
    labels = profile.study.config.arm_labels
    table = profile.study.subjects.copy()
    table["arm_label"] = table["arm"].map(labels)
    table["actual_arm_label"] = table["actual_arm"].map(labels)
    table["death_flag"] = np.where(table["death_dtc"].notna(), "Y", "")
    table["age_unit"] = np.where(table["age_y"].notna(), "YEARS", "")
    return table


def _vital_signs(visits: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for row in records(visits, "visits"):
        for column, term in mapping()["vital_signs"].items():
            if np.isnan(row[column]):
                continue
            rows.append(
                {"usubjid": row["usubjid"], "visit": row["visit"], "collected_dtc": row["start_dtc"], **term}
                | {"result": row[column], "value": row[column]}
            )
    columns = ["usubjid", "visit", "collected_dtc", "testcd", "test", "unit", "result", "value"]
    return pd.DataFrame(rows, columns=columns)


def _labs(labs: pd.DataFrame) -> pd.DataFrame:
    table = labs.copy()
    factors = [
        schema.LAB_UNITS[str(test)][1][str(unit)] for test, unit in zip(table["test"], table["unit"], strict=True)
    ]
    units = [schema.LAB_UNITS[str(test)][0] for test in table["test"]]
    for column, standard in (("value", "standard_value"), ("lln", "standard_lln"), ("uln", "standard_uln")):
        table[standard] = table[column].astype("float64") * np.array(factors)
    value, low, high = (table[name].to_numpy(dtype=np.float64) for name in ("value", "lln", "uln"))
    known = np.isfinite(value) & (np.isfinite(low) | np.isfinite(high))
    indicator = np.where(value < low, "LOW", np.where(value > high, "HIGH", np.where(known, "NORMAL", "")))
    return table.assign(
        result=table["value"],
        standard_text=table["standard_value"],
        standard_unit=units,
        range_indicator=indicator,
        specimen="BLOOD",
    )


def _cmv(profile: Profile) -> pd.DataFrame:
    assays = profile.study.config.assays
    genotype = profile.study.cmv_dna.get("genotype")
    words = {"BLQ": "DETECTED BELOW LLOQ", "TND": "NOT DETECTED", "ALQ": "ABOVE ULOQ", "INVALID": "INVALID"}
    rows = []
    for row in records(profile.virology, "virology"):
        quantified = row["kind"] == "QUANT"
        assay = assays.get(row["assay_id"])
        unit = row["unit"]
        # The value stands on the linear scale; a result that was sent as a logarithm keeps its own unit.
        raw, logarithm = row["result_raw"], schema.LOG10 + unit
        sent = logarithm if raw.endswith(logarithm) else unit
        plasma = _LOINC.get((unit, row["specimen"]), _ANY_COPIES if unit == "copies/mL" else "")
        rows.append(
            {name: row[name] for name in ("usubjid", "visit", "collected_dtc", "assay_id", "specimen", "unit")}
            | {name: row[name] for name in ("kind", "lloq", "lod", "uloq")}
            | {
                "result_raw": raw.removesuffix(f" {logarithm}"),
                "result_unit": sent,
                "quantified": row["value"] if quantified else np.nan,
                "quantified_unit": unit if quantified else "",
                "standard_text": f"{row['value']:.10g}" if quantified else words[row["kind"]],
                "assay_name": assay.name if assay is not None else row["assay_id"],
                "iu_factor": assay.iu_factor if assay is not None else None,
                "loinc": plasma,
            }
        )
    table = pd.DataFrame(rows, columns=None if rows else list(_CMV_COLUMNS))
    if genotype is not None and genotype.notna().any() and len(table):
        own = profile.study.cmv_dna[["usubjid", "collected_dtc", "assay_id", "specimen", "genotype"]]
        table = table.merge(own, on=["usubjid", "collected_dtc", "assay_id", "specimen"], how="left")
    return table


def _conmeds(conmeds: pd.DataFrame) -> pd.DataFrame:
    ongoing = conmeds["ongoing"].fillna(value=False).to_numpy(dtype=bool)
    return conmeds.assign(
        drug_standard=conmeds["drug"].str.upper(),
        ongoing_text=np.where(ongoing, "ONGOING", ""),
        ongoing_at=np.where(ongoing, "END OF STUDY", ""),
    )


def _gated_parent(profile: Profile, tube: str, parent: str, known: Population | None) -> str:
    """Definition of a parent by the gates of the tube that the result comes from."""
    strategy = profile.gates.get(tube)
    if strategy is None or parent not in strategy or (known is not None and known.technical):
        return known.marker_string if known is not None else ""
    return definition(strategy, parent)


def _flow(profile: Profile, dated: Any) -> pd.DataFrame:
    """One record per population, visit and kind of result; one NOT DONE record where a planned visit has none."""
    visits = profile.visits
    terms, known = mapping()["cell_populations"], populations()
    samples = profile.study.samples.set_index("sample_id")
    lower, upper = (visits.var[name].to_numpy(dtype=np.float64) for name in ("ref_low", "ref_high"))
    rows: list[dict[str, Any]] = []
    obs = visits.obs
    for i, (subject, visit, drawn) in enumerate(zip(obs["usubjid"], obs["visit"], obs["collected_dtc"], strict=True)):
        for j, population in enumerate(visits.var_names):
            entry = known.get(population)
            if entry is not None and entry.technical:
                continue
            term = terms.get(population, {})
            tube = str(visits.var["tube"].iloc[j])
            sample_id = profile.sample_of(str(subject), str(visit), tube)
            sample: dict[Any, Any] = samples.loc[sample_id].to_dict() if sample_id in samples.index else {}
            parent = str(visits.var["parent"].iloc[j])
            marker, above = str(visits.var["marker_string"].iloc[j]), known.get(parent)
            common = {
                "usubjid": str(subject), "visit": str(visit), "collected_dtc": text_of(drawn),
                "population": population, "sample_id": sample_id or "", "panel_id": visits.var["panel_id"].iloc[j],
                "laboratory": sample.get("site", ""), "specimen": "BLOOD" if "specimen_type" not in sample
                else mapping()["codes"]["specimen"][str(sample["specimen_type"])],
                "sub_markers": term.get("sub_markers", ""), "cell_state": term.get("state", ""),
                "state_markers": term.get("state_markers", ""), "method": "FLOW CYTOMETRY",
                "result_scale": "QUANTITATIVE",
                "gate": above.display if above is not None else parent,
                "gate_definition": _gated_parent(profile, tube, parent, above),
            }  # fmt: skip
            percentage = float(visits.X[i, j])
            if np.isfinite(percentage):
                of = f"{marker}/{common['gate_definition']}" if common["gate_definition"] else marker
                rows.append(
                    common
                    | _result(percentage, "%", lower[j], upper[j])
                    | {"testcd": term.get("pct", ""), "test": _fraction(term, terms, parent, above)}
                    | {"result_type": "NUMBER FRACTION", "marker_string": of}
                )
            count = float(visits.layers[schema.ABS][i, j])
            if np.isfinite(count):
                rows.append(
                    common
                    | _result(count, "10^6/L", np.nan, np.nan)
                    | {"testcd": term.get("abs", ""), "test": term.get("test", "")}
                    | {"result_type": "NUMBER CONCENTRATION", "marker_string": marker}
                )
    table = _one_test_a_code(pd.DataFrame(rows))
    done = set(zip(table["usubjid"], table["visit"], strict=True)) if rows else set()
    flow_visits = {visit.visit for visit in profile.study.config.visits if visit.flow}
    planned = profile.study.visits[profile.study.visits["visit"].isin(flow_visits)]
    missing = [
        {"usubjid": row["usubjid"], "visit": row["visit"], "collected_dtc": row["start_dtc"], **_NOT_DONE}
        | {"reason_not_done": row["reason_not_done"] or "NO USABLE FILE"}
        for row in records(planned, "visits")
        if (row["usubjid"], row["visit"]) not in done
    ]
    table = pd.concat([table, pd.DataFrame(missing)], ignore_index=True) if missing else table
    if table.empty:
        return table
    order = {visit: number for number, visit in enumerate(profile.study.config.visit_names)}
    place = table["visit"].map(order).fillna(len(order))
    table = table.assign(place=place).sort_values(["usubjid", "place"], kind="stable").drop(columns="place")
    table = pd.DataFrame(dated(table.reset_index(drop=True)))
    baseline = visits.obs[visits.obs["baseline_flag"].fillna(value=False).to_numpy(dtype=bool)]
    first = set(zip(baseline["usubjid"].astype(str), baseline["visit"].astype(str), strict=True))
    pairs = zip(table["usubjid"], table["visit"], strict=True)
    flags = ["Y" if pair in first else "" for pair in pairs]
    return table.assign(last_before_dose=np.where(table["status"].notna(), "", flags) if missing else flags)


def _fraction(term: dict[str, str], terms: dict[str, dict[str, str]], parent: str, above: Any) -> str:
    """Name of a fraction: of what, within 40 characters; CPGATE has the parent in full."""
    if not term:
        return ""
    of = terms.get(parent, {}).get("test") or (above.display if above is not None else "")
    short = terms.get(parent, {}).get("short", of)
    names = (f"{term['test']}/{of}", f"{term.get('short', term['test'])}/{short}", f"{term['test']}/{_PARENT}")
    return next((name for name in names if of and len(name) <= LONGEST_TEST), f"{term['test']}/{_PARENT}")


def _one_test_a_code(table: pd.DataFrame) -> pd.DataFrame:
    """One name for a code: subsets that share it and have several parents are fractions of their parent."""
    if table.empty:
        return table
    tests = table[table["testcd"] != ""].groupby("testcd")["test"].unique()
    several = {str(code): str(names[0]).partition("/")[0] for code, names in tests.items() if len(names) > 1}
    renamed = [
        f"{several[code]}/{_PARENT}" if code in several else test
        for code, test in zip(table["testcd"], table["test"], strict=True)
    ]
    return table.assign(test=renamed)


def _result(value: float, unit: str, low: float, high: float) -> dict[str, Any]:
    indicator = ""
    if np.isfinite(low) or np.isfinite(high):
        indicator = "LOW" if value < low else "HIGH" if value > high else "NORMAL"
    return {"value": value, "result": value, "unit": unit, "ref_low": low, "ref_high": high} | {
        "range_indicator": indicator
    }


def _criteria(profile: Profile) -> pd.DataFrame:
    """Verdicts on single criteria; those that only sum up others stand in no SDTM record."""
    table = profile.tables.get("eligibility", pd.DataFrame(columns=list(schema.ELIGIBILITY_COLUMNS)))
    return table[~table["criterion"].isin(set(table["parent"])) & table["kind"].isin(["INCLUSION", "EXCLUSION"])]


def _not_met(profile: Profile, dated: Any) -> pd.DataFrame:
    """Criteria that were not met: an inclusion that is not fulfilled (N), an exclusion that is present (Y)."""
    failed = _criteria(profile).query("state == 'FAIL'")
    table = failed[["usubjid", "criterion", "text"]].assign(
        category=failed["kind"],
        result=np.where(failed["kind"] == "INCLUSION", "N", "Y"),
        collected_dtc=failed["date"],
    )
    return pd.DataFrame(dated(table))


def _undecided(profile: Profile) -> pd.DataFrame:
    """Criteria that nobody can decide yet: IE holds only what is not met, so they are listed."""
    unknown = _criteria(profile).query("state == 'UNKNOWN'")
    return pd.DataFrame(
        {
            "domain": "IE",
            "table": "eligibility",
            "column": unknown["criterion"],
            "value": unknown["usubjid"],
            "records": "1",
            "reason": "UNKNOWN: IE holds only criteria that are not met; missing " + unknown["missing"],
        }
    )
