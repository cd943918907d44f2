"""The clinical half of a run: CMV-DNA, laboratory safety, doses and eligibility, judged before a file is gated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from immunoprofile import clinical, schema, virology
from immunoprofile.clinical import Eligibility, SafetyTables
from immunoprofile.io.dates import days_between, first_dose
from immunoprofile.io.records import records
from immunoprofile.study import Study
from immunoprofile.virology import VirologyTables

if TYPE_CHECKING:
    import anndata

ENOUGH_DOSES_PCT = 80.0
"""Share of the planned doses of each study drug that a subject per protocol was given."""


@dataclass(frozen=True, eq=False)
class ClinicalHalf:
    """What the study tables alone tell.

    Attributes
    ----------
    virology
        CMV-DNA results, rules, kinetics, times to clearance.
    safety
        Grades, doses, concomitant drugs.
    eligibility
        Criteria and overall verdicts.
    """

    virology: VirologyTables
    safety: SafetyTables
    eligibility: Eligibility

    def tables(self) -> dict[str, pd.DataFrame]:
        """Tables by the name of their file (`schema.RESULT_TABLES`); results of CMV-DNA are `virology`."""
        return {
            "eligibility": self.eligibility.criteria,
            "eligibility_overall": self.eligibility.overall,
            "virology_rules": self.virology.rules,
            "virology_kinetics": self.virology.kinetics,
            "virology_clearance": self.virology.clearance,
            "virology_agreement": self.virology.agreement,
            **{name.removesuffix(".csv"): table for name, table in self.safety.files().items()},
        }


def evaluate_clinical(study: Study) -> ClinicalHalf:
    """Judge what does not need a flow cytometer.

    The doses held against the label come first: rules on refractory CMV-DNA need to know who was dosed appropriately.

    Raises
    ------
    StudyError
        CMV-DNA results or settings that cannot be used, all at once.
    """
    safety = clinical.safety(study)
    return ClinicalHalf(
        virology=virology.evaluate(
            study, adequacy=safety.adequacy, confounders=safety.confounders, as_of=study.config.data_cut
        ),
        safety=safety,
        eligibility=clinical.eligibility(study),
    )


def add_il2_hours(visits: anndata.AnnData, half: ClinicalHalf) -> None:
    """Fill the hours since the last IL-2 dose from the doses where the samples table does not state them.

    Returns
    -------
    None; writes

    ``obs['hours_since_last_il2']``
        the shortest time of the tubes of the visit, h; missing where the doses do not tell either.
    """
    shortest = half.safety.il2_timing.groupby(["usubjid", "visit"])["hours"].min()
    keys = pd.MultiIndex.from_arrays([visits.obs["usubjid"].astype(str), visits.obs["visit"].astype(str)])
    computed = shortest.reindex(keys).to_numpy(dtype="float64")
    stated = visits.obs["hours_since_last_il2"].astype("float64")
    visits.obs["hours_since_last_il2"] = stated.where(stated.notna(), computed)


def add_clinical(visits: anndata.AnnData, study: Study, half: ClinicalHalf) -> None:
    """Put what belongs to a visit on its row, and what statistics need into ``uns``.

    Returns
    -------
    None; writes

    ``obs``
        columns of `schema.CLINICAL_OBS` and `schema.CMV_VISIT_OBS`; visits without such a record are missing or empty.
        The flags of both join ``obs['flags']``. ``per_protocol`` (boolean): eligible, the arm received as planned,
        with at least 80 % of the planned doses of each study drug; missing where one of these is not known.
        ``cmv_confounded`` (bool): a drug that changes CMV-DNA by itself touches a verdict of the subject. The tables of
        clearance and responses have it as ``confounded``.
    ``uns['clearance']``
        time to clearance, `schema.CMV_CLEARANCE_COLUMNS` and the ``arm``, also of subjects without a flow visit.
    ``uns['responses']``
        verdicts of the rules, `schema.RESPONSE_COLUMNS`.
    ``uns['worst_grades']``
        worst laboratory grades, `schema.WORST_GRADE_COLUMNS`; ``test`` is the CTCAE term, since a count may be graded
        as too low and as too high.
    """
    keys = pd.MultiIndex.from_arrays([visits.obs["usubjid"].astype(str), visits.obs["visit"].astype(str)])
    frames = (
        clinical.visit_columns(study, half.safety),
        half.virology.visits.drop_duplicates(["usubjid", "visit"]).set_index(["usubjid", "visit"]),
    )
    for frame in frames:
        own = frame.reindex(keys)
        for name in own.columns:
            values = own[name].array
            visits.obs[name] = own[name].fillna("").to_numpy() if own[name].dtype == object else values
    visits.obs["per_protocol"] = visits.obs["usubjid"].astype(str).map(_per_protocol(study, half)).array
    joined = [
        " ".join(dict.fromkeys(f"{flags} {safety} {cmv}".split()))
        for flags, safety, cmv in zip(
            visits.obs["flags"], visits.obs["clinical_flags"], visits.obs["cmv_flags"], strict=True
        )
    ]
    visits.obs["flags"] = joined
    arms = study.subjects.set_index("usubjid")["arm"].astype(str)
    times = half.virology.clearance
    # The categories keep the order of the study, on which the colours of figures rest.
    own_arms = pd.Categorical(times["usubjid"].map(arms), categories=[arm.code for arm in study.config.arms])
    touched = confounded_subjects(half.virology.rules)
    visits.obs["cmv_confounded"] = visits.obs["usubjid"].astype(str).isin(touched).to_numpy()
    visits.uns[schema.UNS_CLEARANCE] = times.assign(arm=own_arms, confounded=times["usubjid"].isin(touched))
    responses = _responses(half.virology.rules)
    visits.uns[schema.UNS_RESPONSES] = responses.assign(confounded=responses["usubjid"].isin(touched))
    worst = half.safety.worst
    followed = _followed_days(study, half.safety.grades, worst)
    visits.uns[schema.UNS_WORST_GRADES] = worst.assign(test=worst["term"], exposure_days=followed)[
        list(schema.WORST_GRADE_COLUMNS)
    ]


def confounded_subjects(rules: pd.DataFrame) -> set[str]:
    """Subjects with a verdict that a drug touches which changes CMV-DNA by itself."""
    return {str(one) for one in rules.loc[rules["confounders"] != "", "usubjid"]}


def _per_protocol(study: Study, half: ClinicalHalf) -> pd.Series[bool]:
    given = half.safety.exposure.groupby("usubjid")["pct_given"].agg(lambda own: own.min(skipna=False))
    eligible = dict(
        zip(half.eligibility.overall["usubjid"].astype(str), half.eligibility.overall["state"], strict=True)
    )
    state: dict[str, bool | None] = {}
    for row in records(study.subjects, "subjects"):
        subject = row["usubjid"]
        as_planned = row["actual_arm"] == row["arm"] if row["actual_arm"] else None
        lowest = float(given.get(subject, math.nan))
        enough = None if math.isnan(lowest) else lowest >= ENOUGH_DOSES_PCT
        met = (as_planned, enough, {"ELIGIBLE": True, "INELIGIBLE": False}.get(str(eligible.get(subject))))
        state[subject] = False if False in met else None if None in met else True
    return pd.Series(state).astype("boolean")


def _followed_days(study: Study, grades: pd.DataFrame, worst: pd.DataFrame) -> list[float]:
    """Days from the first dose to the last result of the term, both included, for every row of ``worst``.

    A grade can be seen only where blood was drawn for it: days after the last result are not under observation. NaN
    without a dose or a result after it.
    """
    last = grades.groupby(["usubjid", "term"])["collected_dtc"].max()
    days = []
    for usubjid, term in zip(worst["usubjid"].astype(str), worst["term"].astype(str), strict=True):
        dose = first_dose(study.subject(usubjid).to_dict())
        between = days_between(dose, str(last[usubjid, term])) if (usubjid, term) in last.index else None
        days.append(between + 1.0 if between is not None and between >= 0 else math.nan)
    return days


def _responses(rules: pd.DataFrame) -> pd.DataFrame:
    """Verdicts after the baseline: arms are not compared by what they were before treatment."""
    known = virology.rulebook().rules
    later = [
        name not in known or (known[name].compared and not known[name].describes_baseline)
        for name in rules["rule_id"].astype(str)
    ]
    rules = rules[later]
    verdict = rules["result"].map({"TRUE": True, "FALSE": False}).astype("boolean")
    table = rules[["usubjid", "rule_id", "reason"]].assign(response=verdict)
    return table[list(schema.RESPONSE_COLUMNS)]
