"""Drugs that change CMV-DNA by themselves: recognised in conmeds, and told beside every verdict that they touch."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from immunoprofile import schema
from immunoprofile.clinical import agents_of, cmv_confounders, confounders_of, label_dose, safety
from immunoprofile.clinical.cmv_confounders import confounding_agents
from immunoprofile.profiling.clinical_half import evaluate_clinical
from immunoprofile.virology import evaluate
from tests.clinical.trial import SUBJECT, VISIT, conmed, study


@pytest.mark.parametrize(
    ("drug", "agent"),
    [
        *((drug, "leflunomide") for drug in ("leflunomide", "Arava 20 mg", "LÉFLUNOMIDE", "Leflunomid", "来氟米特片")),
        ("Aubagio", "teriflunomide"), ("anifrolumab-fnia", "anifrolumab"), ("Saphnelo", "anifrolumab"),
        *((drug, "immunoglobulin") for drug in (
            "IVIG", "IV immunoglobulin", "Immune globulin (human)", "Privigen 10%", "Immunoglobuline humaine normale",
            "Immunglobulin i.v.", "Inmunoglobulina", "Gamma-globulin", "静注人免疫球蛋白")),
        *((drug, "cmv_immunoglobulin") for drug in (
            "CMV hyperimmune globulin", "Cytotect CP", "CMV-IVIG", "cytomegalovirus immune globulin")),
        *((drug, "plasmapheresis") for drug in (
            "Plasmapheresis", "therapeutic plasma exchange", "PLEX", "Plasmaaustausch", "échanges plasmatiques",
            "immunoadsorption", "血浆置换")),
        ("Prevymis 480 mg", "letermovir"), ("Livtencity", "maribavir"), ("foscarnet sodium", "foscarnet"),
        ("Cidofovir (Vistide)", "cidofovir"), ("CMV vaccine (mRNA)", "cmv_vaccine"),
    ],
)  # fmt: skip
def test_names_spellings_and_brands(drug: str, agent: str) -> None:
    assert confounders_of(drug, None) == ((agent, ""),)


@pytest.mark.parametrize(
    "drug", ["paracetamol", "prednisone", "hydroxychloroquine", "valaciclovir", "ganciclovir", "valganciclovir",
             "antithymocyte immunoglobulin (rabbit)", "hepatitis B immunoglobulin", "anti-D immunoglobulin", "", None,
             "mycophenolate mofetil", "famotidine", "cyclophosphamide", "varicella zoster immunoglobulin"],
)  # fmt: skip
def test_other_drugs_are_not_taken_for_them(drug: str | None) -> None:
    assert confounders_of(drug, None) == ()


def test_codes_and_misspellings() -> None:
    assert confounders_of("trade name", "L04AA13") == confounders_of("trade name", "l04ak01") == (("leflunomide", ""),)
    for wrong in ("leflunamide", "leflunomde", "lelfunomide", "leflunommide"):
        assert confounders_of(wrong, None) == (("leflunomide", "leflunomide"),), wrong
    tables = safety(study(conmeds=[conmed("Leflunamide", 20.0)]))
    assert not tables.confounders["certain"].any()
    told = tables.exceptions[tables.exceptions["code"] == "DRUG_NAME"]
    assert told["message"].tolist() == ["Leflunamide is taken for leflunomide, which changes CMV-DNA"]
    # what hides CD16 is not what deletes T cells
    assert agents_of("antithymocyte immunoglobulin", None) == ("anti_thymocyte",)


def test_every_agent_says_what_it_does_and_where_that_comes_from() -> None:
    for name, entry in confounding_agents().items():
        assert entry["kind"] in ("lowers", "antiviral", "favours", "serology"), name
        assert set(entry["tag"].values()) <= {"V", "K", "A"}
        assert entry["effect"]
        assert entry["evidence"]
        assert confounders_of(name.replace("_", " "), None)[0][0] == name


CMV = [
    {"usubjid": "S-1", "visit": visit, "collected_dtc": day, "result_raw": text, "unit": "IU/mL", "assay_id": "cap",
     "specimen": "plasma"}
    for visit, day, text in (("BL", "2024-03-01", "20000"), ("D14", "2024-03-14", "800"),
                             ("UNS.01", "2024-03-21", "<137"), ("UNS.02", "2024-03-28", "TND"))
]  # fmt: skip


def judged(*drugs: dict[str, object]) -> pd.DataFrame:
    half = evaluate_clinical(study(cmv_dna=CMV, conmeds=list(drugs)))
    return half.virology.rules.set_index("rule_id")


def test_a_drug_stands_with_every_verdict_that_it_touches() -> None:
    dates = {"start_dtc": "2024-03-10", "end_dtc": "2024-03-12"}
    rules = judged(conmed("foscarnet", 90.0, **dates), conmed("paracetamol", 500.0, **dates))
    assert rules.loc["baseline", "confounders"] == rules.loc["cmv_positive_quant", "confounders"] == ""
    assert rules.loc["vr_d14", "confounders"] == rules.loc["clearance_2", "confounders"] == "foscarnet"
    # 180 days after the last dose leflunomide still counts, 181 days after it does not
    for end, words in (("2023-09-03", "leflunomide"), ("2023-09-02", "")):
        rules = judged(conmed("leflunomide", 20.0, start_dtc="2023-01-01", end_dtc=end))
        assert rules.loc["baseline", "confounders"] == rules.loc["vr_d14", "confounders"] == words
    both = judged(conmed("IVIG", 20.0, start_dtc="2024-02", end_dtc=None), conmed("arava", 20.0))
    assert both.loc["vr_d14", "confounders"] == "immunoglobulin leflunomide"


def test_the_visits_have_the_flag_from_the_first_touched_on() -> None:
    half = evaluate_clinical(study(cmv_dna=CMV, conmeds=[conmed("foscarnet", 90.0, start_dtc="2024-03-16")]))
    flags = half.virology.visits.set_index("visit")["cmv_flags"]
    assert "CMV_CONFOUNDED" not in flags["BL"] + flags["D14"]
    assert "CMV_CONFOUNDED" in flags["UNS.01"].split()
    assert "CMV_CONFOUNDED" in schema.FLAGS


@settings(max_examples=30)
@given(
    st.lists(st.sampled_from(["arava", "IVIG", "PLEX", "prevymis", "paracetamol", "leflunamide"]), max_size=4),
    st.sampled_from(["2024-01", "2024-03-05", "2023-06-01", None]),
    st.sampled_from(["2024-03-20", None, "2023-08"]),
    st.randoms(use_true_random=False),
)
def test_no_drug_changes_a_verdict_and_no_order_changes_the_flags(drugs, start, end, random) -> None:
    """Blanking: a date that is not known never takes a flag away."""
    rows = [conmed(drug, 20.0, start_dtc=start, end_dtc=end) for drug in drugs]
    made = study(cmv_dna=CMV, conmeds=rows)
    table = cmv_confounders(made)
    with_drugs, without = (evaluate(made, confounders=one).rules for one in (table, None))
    columns = [name for name in schema.CMV_RULE_COLUMNS if name != "confounders"]
    pd.testing.assert_frame_equal(with_drugs[columns], without[columns])
    random.shuffle(rows)
    again = cmv_confounders(study(cmv_dna=CMV, conmeds=rows))
    pd.testing.assert_frame_equal(again.drop(columns="row"), table.drop(columns="row"))
    blank = [row | {"start_dtc": None, "end_dtc": None} for row in rows]
    more = evaluate(made, confounders=cmv_confounders(study(cmv_dna=CMV, conmeds=blank))).rules
    for few, many in zip(with_drugs["confounders"], more["confounders"], strict=True):
        assert set(few.split()) <= set(many.split())


def test_serology_after_immunoglobulins_is_questioned() -> None:
    def told(end: str, igg: str = "POS") -> int:
        made = study(subjects=[SUBJECT | {"cmv_igg_baseline": igg}], conmeds=[conmed("IVIG", 30.0, end_dtc=end)])
        return int((safety(made).exceptions["code"] == "SEROLOGY_PASSIVE").sum())

    early = conmed("IVIG", 30.0, start_dtc="2023-01-01", end_dtc="2023-02-01")
    assert told("2024-03-10") == 1
    assert told("2024-03-10", "NEG") == 0
    made = study(subjects=[SUBJECT | {"cmv_igg_baseline": "POS"}], visits=[VISIT], conmeds=[early])
    assert not (safety(made).exceptions["code"] == "SEROLOGY_PASSIVE").any()


def test_maintenance_of_valganciclovir_below_25() -> None:
    """450 mg twice a week is 900 mg a week; half of the induction dose would be 112.5 mg a day."""
    for crcl, dose in ((24.999, 900 / 7), (10, 900 / 7), (25, 225.0)):
        assert label_dose("VGCV", crcl, "MAINTENANCE") == pytest.approx(dose)
    ratios = {mg: mg * per_day / (900 / 7) for mg, per_day in ((450, 2 / 7), (150, 1), (100, 1), (225, 1))}
    assert {mg: round(ratio, 2) for mg, ratio in ratios.items()} == {450: 1.0, 150: 1.17, 100: 0.78, 225: 1.75}
