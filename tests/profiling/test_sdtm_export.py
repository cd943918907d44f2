"""Export as CDISC SDTM: the committed demo study, every domain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import immunoprofile as ip
from immunoprofile import schema
from immunoprofile.errors import ProblemListError
from immunoprofile.io.sdtm import as_text, mapping, to_sdtm
from immunoprofile.profiling.sdtm_export import _cmv, _fraction, _one_test_a_code, export_sdtm
from immunoprofile.resources import populations

# Variables that the implementation guide (3.4) requires or that a record is useless without.
REQUIRED = {
    "DM": ["USUBJID", "SUBJID", "SITEID", "SEX", "ARMCD", "ARM", "ACTARMCD", "ACTARM"],
    "SV": ["USUBJID", "SVSEQ", "VISITNUM", "VISIT"],
    "VS": ["USUBJID", "VSSEQ", "VSTESTCD", "VSTEST", "VSORRES", "VSORRESU"],
    "LB": ["USUBJID", "LBSEQ", "LBTESTCD", "LBTEST", "LBORRES", "LBORRESU", "LBSTRESN", "LBSTRESU"],
    "MB": ["USUBJID", "MBSEQ", "MBTESTCD", "MBTEST", "MBORRES", "MBSTRESC"],
    "CP": ["USUBJID", "CPSEQ", "CPTESTCD", "CPTEST"],
    "EX": ["USUBJID", "EXSEQ", "EXTRT", "EXDOSE", "EXDOSU", "EXSTDTC"],
    "CM": ["USUBJID", "CMSEQ", "CMTRT"],
    "IE": ["USUBJID", "IESEQ", "IETESTCD", "IETEST", "IECAT", "IEORRES"],
}


def verdicts() -> pd.DataFrame:
    def row(subject: str, criterion: str, kind: str, parent: str, state: str, missing: str = "") -> dict[str, str]:
        blank = dict.fromkeys(schema.ELIGIBILITY_COLUMNS, "")
        return blank | {
            "usubjid": subject, "criterion": criterion, "kind": kind, "parent": parent, "state": state,
            "text": f"text of {criterion}", "date": "2021-02-27", "missing": missing,
        }  # fmt: skip

    one, two = "IL2CMV-01-001", "IL2CMV-02-001"
    return pd.DataFrame(
        [
            row(one, "I3", "INCLUSION", "", "FAIL"),
            row(one, "X2", "EXCLUSION", "", "FAIL"),
            row(one, "X2b", "EXCLUSION", "X2", "FAIL"),
            row(one, "X3", "EXCLUSION", "", "PASS"),
            row(two, "X5", "EXCLUSION", "", "UNKNOWN", "malignancy"),
            row(two, "AGE", "CHECK", "", "FAIL"),
        ]
    )


@pytest.fixture(scope="module")
def profile(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    study = ip.read_study(repository / "data" / "demo")
    done = ip.profile(study, ip.gate.load(repository / "gating"), out=tmp_path_factory.mktemp("sdtm") / "results")
    return replace(done, tables={**done.tables, "eligibility": verdicts()})


@pytest.fixture(scope="module")
def exported(profile: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    out = tmp_path_factory.mktemp("export")
    return export_sdtm(profile, out), out


def test_required_variables_and_names(exported: Any) -> None:
    result, out = exported
    assert set(result.domains) == set(REQUIRED)
    for code, table in result.domains.items():
        written = pd.read_csv(out / f"{code.lower()}.csv", dtype=str, keep_default_na=False)
        assert written.equals(table.astype(str))
        assert len(written) > 0, code
        assert (written["DOMAIN"] == code).all()
        assert (written["STUDYID"] == "IL2CMV").all()
        assert all(len(name) <= 8 and name == name.upper() for name in written.columns)
        done = written[written["CPSTAT"] == ""] if code == "CP" else written
        for name in REQUIRED[code]:
            assert (done[name] != "").all(), (code, name)
        if code != "DM":
            for _, own in written.groupby("USUBJID"):
                assert own[f"{code}SEQ"].tolist() == [str(n) for n in range(1, len(own) + 1)]


def test_nothing_is_lost(profile: Any, exported: Any) -> None:
    result, _ = exported
    study = profile.study
    for code, table in {"DM": study.subjects, "SV": study.visits, "LB": study.labs, "EX": study.dosing}.items():
        assert len(result.domains[code]) == len(table)
    assert len(result.domains["MB"]) == len(profile.virology)
    visits = profile.visits
    cells = [name for name in visits.var_names if name not in populations() or not populations()[name].technical]
    values = np.isfinite(visits[:, cells].X).sum() + np.isfinite(visits[:, cells].layers["abs"]).sum()
    cp = result.domains["CP"]
    listed = (
        result.unmapped.query("domain == 'CP' and column == '' and reason.str.contains('no record')")["records"]
        .astype(int)
        .sum()
    )
    assert len(cp[cp["CPSTAT"] == ""]) + listed == values


def test_every_column_of_a_source_is_mapped_or_listed_with_its_place(profile: Any) -> None:
    """A column that someone adds to a study table cannot be forgotten here."""
    spec = mapping()["domains"]
    for code, name in {"DM": "subjects", "SV": "visits", "EX": "dosing", "CM": "conmeds", "LB": "labs"}.items():
        rules = spec[code]
        read = {r if isinstance(r, str) else r.get("column") for r in rules["variables"].values()}
        known = read | set(rules["elsewhere"]) | set(rules.get("carried", {})) | {"usubjid", "visit", "visitnum"}
        assert set(schema.TABLES[name].column_names) <= known, (code, set(schema.TABLES[name].column_names) - known)


def test_every_term_of_the_study_tables_has_a_code() -> None:
    codes = mapping()["codes"]
    for terms, name in (
        (schema.LAB_TESTS, "lab_testcd"), (schema.LAB_TESTS, "lab_test"), (schema.DRUGS, "treatment"),
        (schema.DOSE_UNITS, "dose_unit"), (schema.ROUTES, "route"), (schema.CMV_SPECIMENS, "specimen"),
        (schema.SPECIMEN_TYPES, "specimen"),
    ):  # fmt: skip
        assert set(terms) <= set(codes[name]), name
    assert len(set(codes["lab_testcd"].values())) == len(codes["lab_testcd"])


def test_a_negative_has_no_number(exported: Any) -> None:
    mb = exported[0].domains["MB"]
    assert set(mb["MBSTRESC"]) & {"NOT DETECTED", "DETECTED BELOW LLOQ"}
    words = mb[~mb["MBSTRESC"].str.fullmatch(r"[0-9.e+]+")]
    assert len(words)
    assert (words["MBSTRESN"] == "").all()
    numbers = mb[mb["MBSTRESN"] != ""]
    assert (numbers["MBSTRESU"] != "").all()


def test_units_and_limits_are_converted_together(profile: Any) -> None:
    labs = pd.DataFrame(
        [("S", "BL", "2021-03-01", "CREAT", 1.0, "mg/dL", 0.5, 1.2, "L1", None, None)],
        columns=list(schema.TABLES["labs"].column_names),
    )
    from immunoprofile.profiling.sdtm_export import _labs

    row = _labs(labs).iloc[0]
    assert (row["standard_value"], row["standard_uln"]) == pytest.approx((88.42, 106.104))
    assert (row["standard_unit"], row["range_indicator"]) == ("umol/L", "NORMAL")


def test_study_day_has_no_zero(exported: Any) -> None:
    domains = exported[0].domains
    days = {int(day) for table in (domains["LB"]["LBDY"], domains["IE"]["IEDY"]) for day in table if day}
    assert 0 not in days
    assert {-2, 1} <= days or min(days) < 0 < max(days)


def test_ie_holds_what_is_not_met_and_the_rest_is_listed(exported: Any) -> None:
    result, _ = exported
    got = result.domains["IE"][["IETESTCD", "IECAT", "IEORRES"]].to_numpy().tolist()
    assert got == [["I3", "INCLUSION", "N"], ["X2b", "EXCLUSION", "Y"]]
    unknown = result.unmapped.query("domain == 'IE'")
    assert unknown["column"].tolist() == ["X5"]
    assert "malignancy" in unknown["reason"].iloc[0]


def test_fraction_and_concentration_have_codes_of_their_own(exported: Any) -> None:
    cp = exported[0].domains["CP"]
    treg = cp[cp["CPTESTCD"] == "TREGP"].iloc[0]
    assert (treg["CPORRESU"], treg["CPRESTYP"], treg["CPTEST"]) == ("%", "NUMBER FRACTION", "TLym Regulatory/TLym Help")
    assert treg["CPMRKSTR"] == "CD3+CD4+CD25hiCD127lo/CD3+CD4+"  # no CD8 in this tube
    assert treg["CPREFID"].endswith("_treg")
    count = cp[cp["CPTESTCD"] == "TREG"].iloc[0]
    assert (count["CPORRESU"], count["CPRESTYP"]) == ("10^6/L", "NUMBER CONCENTRATION")
    states = cp[cp["CPCELSTA"] != ""]
    assert len(states)
    assert (states["CPCSMRKS"] != "").all()


def test_a_visit_that_was_not_measured_is_one_record(exported: Any) -> None:
    cp = exported[0].domains["CP"]
    missing = cp[cp["CPSTAT"] == "NOT DONE"]
    assert (missing["CPTESTCD"] == "CPALL").all()
    assert (missing["CPREASND"] != "").all()
    assert not (set(zip(missing["USUBJID"], missing["VISIT"], strict=True))
                & set(zip(*cp[cp["CPSTAT"] == ""][["USUBJID", "VISIT"]].to_numpy().T, strict=True)))  # fmt: skip


def test_unknown_terms_and_absent_tables_are_listed() -> None:
    dosing = pd.DataFrame(
        [("S1", "GCV", 5.0, "mg/kg", "every other moon", "IV", "2021-03-01", None)],
        columns=["usubjid", "drug", "dose", "unit", "freq", "route", "start_dtc", "end_dtc"],
    )
    result = to_sdtm({"dosing": dosing.assign(colour="red")}, study_id="X")
    assert result.domains["EX"]["EXDOSFRQ"].tolist() == ["every other moon"]
    ex = result.unmapped.query("domain == 'EX'").set_index("column")["reason"]
    assert "frequency" in ex["freq"]
    assert "does not know" in ex["colour"]
    assert set(result.unmapped.query("records == '0'")["domain"]) == set(REQUIRED) - {"EX"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (float("nan"), ""),
        (pd.NA, ""),
        (True, "Y"),
        (np.False_, "N"),
        (88.42, "88.42"),
        (3, "3"),
        ("x", "x"),
    ],
)
def test_text_of_a_cell(value: object, text: str) -> None:
    assert as_text(value) == text


def filled(profile: Any) -> Any:
    """The profile with a value in every column of every table of its study; free text names its column."""
    subject, assay = str(profile.study.subjects["usubjid"].iloc[0]), profile.study.config.assays
    tables = {}
    for name, spec in schema.TABLES.items():
        table = profile.study.tables[name].copy()
        if table.empty:
            dtypes = {column.name: table[column.name].dtype for column in spec.columns}
            table = pd.DataFrame({column.name: [None] for column in spec.columns}).astype(dtypes)
        row = table.index[0]
        for column in spec.columns:
            if table[column.name].notna().any():
                continue
            values = {"str": f"zz {name} {column.name}", "date": "2021-02-03", "float": 1.5, "int": 3, "bool": True}
            value: Any = subject if column.name == "usubjid" else values[column.kind]
            if name == "cmv_dna" and column.name in ("lod", "lloq", "uloq"):
                value = getattr(assay[str(table["assay_id"].iloc[0])], column.name)
            table.loc[row, column.name] = column.allowed[0] if column.allowed else value
        tables[name] = table
    return replace(profile, study=replace(profile.study, tables=tables))


def test_every_column_of_every_study_table_is_exported_or_listed(profile: Any, tmp_path: Path) -> None:
    whole = filled(profile)
    result = export_sdtm(whole, tmp_path)
    texts = {code: table.to_csv() for code, table in result.domains.items()}
    listed = {(row["table"], row["column"]): int(row["records"])
              for row in result.unmapped[(result.unmapped["value"] == "")].to_dict("records")}  # fmt: skip
    spec = mapping()["domains"]
    assert set(mapping()["not_exported"]) | {rules["source"] for rules in spec.values()} >= set(schema.TABLES)
    for name, table in whole.study.tables.items():
        domains = {code: rules for code, rules in spec.items() if rules["source"] == name}
        read = {"usubjid", "visit", "visitnum"} if domains else set()
        for rules in domains.values():
            read |= {r if isinstance(r, str) else r.get("column") for r in rules["variables"].values()}
            read |= set(rules.get("carried", {}))
        for column in schema.TABLES[name].column_names:
            cells = table[column].dropna()
            assert len(cells), (name, column)
            assert (column in read) != ((name, column) in listed), (name, column)
            if column not in read:
                # limits of an assay are listed for every result, also where the row does not repeat them
                own = len(table) if name == "cmv_dna" and column in ("lod", "lloq", "uloq") else len(cells)
                assert listed[name, column] == own, (name, column)
            elif any(str(cell).startswith("zz ") for cell in cells):
                assert any(f"zz {name} {column}" in texts[code] for code in domains), (name, column)
    for domain in ("LB", "MB", "EX", "CM", "SV", "DM"):
        name = spec[domain]["source"]
        rows = len(whole.study.tables[name])
        assert len(result.domains[domain]) == rows, domain


def test_weight_is_exported_and_not_listed(exported: Any) -> None:
    result, _ = exported
    assert "WEIGHT" in set(result.domains["VS"]["VSTESTCD"])
    assert "weight_kg" not in set(result.unmapped["column"])


def test_a_test_has_one_code_and_at_most_40_characters(exported: Any) -> None:
    for code, table in exported[0].domains.items():
        if f"{code}TESTCD" not in table or code == "IE":
            continue
        pairs = table[[f"{code}TESTCD", f"{code}TEST"]].drop_duplicates()
        assert pairs[f"{code}TESTCD"].is_unique, code
        assert pairs[f"{code}TEST"].is_unique, code
        assert (pairs[f"{code}TEST"].str.len() <= 40).all(), code
    cp = exported[0].domains["CP"]
    bright = cp[cp["CPTESTCD"] == "NKBRP"]["CPTEST"].iloc[0]
    assert bright == "NK CD56 Bright/NK Cells"
    subsets = cp[cp["CPTESTCD"] == "TREGSP"]
    marks = subsets[["CPSBMRKS", "CPCELSTA", "CPCSMRKS"]].drop_duplicates().to_numpy().tolist()
    assert sorted(marks) == [["", "PROLIFERATING", "Ki67+"], ["FOXP3+", "", ""]]
    assert set(subsets["CPTEST"]) == {"TLym Regulatory Sub/TLym Regulatory"}


def test_codes_and_names_of_populations_belong_to_each_other() -> None:
    """Whatever populations a panel has: a name of a fraction is at most 40 characters long and has one code."""
    terms, known = mapping()["cell_populations"], populations()
    codes: dict[str, set[str]] = {}
    for name, term in terms.items():
        codes.setdefault(term["test"], set()).add(term["abs"])
        for parent, above in known.items():
            test = _fraction(term, terms, parent, above)
            assert len(test) <= 40, (name, parent)
            assert "/" in test
        codes.setdefault(f"{term['test']}/", set()).add(term["pct"])
    assert all(len(own) == 1 for own in codes.values())
    assert len({code for own in codes.values() for code in own}) == len(codes)


def test_subsets_with_several_parents_are_fractions_of_their_parent() -> None:
    rows = pd.DataFrame(
        {
            "testcd": ["TLYMCSP", "TLYMCSP", "TREGP", ""],
            "test": ["TLym Cytx Sub/TLym Cytx", "TLym Cytx Sub/T Lymphocytes", "TLym Regulatory/TLym Help", ""],
        }
    )
    assert _one_test_a_code(rows)["test"].tolist() == [
        "TLym Cytx Sub/Parent", "TLym Cytx Sub/Parent", "TLym Regulatory/TLym Help", ""
    ]  # fmt: skip


def test_two_codes_of_one_test_break_the_format() -> None:
    visits = pd.DataFrame(
        [("S1", "BL", "A1", "Weight", 1.0), ("S1", "BL", "A2", "Weight", 1.0), ("S1", "BL", "A3", "x" * 41, 1.0)],
        columns=["usubjid", "visit", "testcd", "test", "result"],
    )
    with pytest.raises(ProblemListError) as told:
        to_sdtm({"vital_signs": visits}, study_id="X")
    assert {problem.what for problem in told.value.problems} == {"has several codes", "is longer than 40 characters"}


def test_a_logarithm_keeps_the_unit_in_which_it_was_sent(profile: Any) -> None:
    table = profile.virology.iloc[[0]].assign(result_raw="4.09 log10 IU/mL", kind="QUANT", value=12302.7, unit="IU/mL")
    own = _cmv(replace(profile, virology=table)).iloc[0]
    assert (own["result_raw"], own["result_unit"], own["quantified_unit"]) == ("4.09", "log10 IU/mL", "IU/mL")
