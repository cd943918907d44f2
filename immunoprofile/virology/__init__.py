"""CMV-DNA: results as the laboratory wrote them, what they prove, rules, kinetics and times to clearance."""

from immunoprofile.virology.agreement import agreement
from immunoprofile.virology.assays import known_assays
from immunoprofile.virology.clearance_times import time_to_clearance
from immunoprofile.virology.evaluation import VirologyTables, annotate_visits, evaluate
from immunoprofile.virology.noise import analytical_noise, reference_change_log10, significant_change_log10
from immunoprofile.virology.result_text import ResultTextError, parse_result
from immunoprofile.virology.results import CmvResult, drop_bounds, drop_text, to_copies, to_iu
from immunoprofile.virology.rule_table import rules
from immunoprofile.virology.rulebook import Rule, RuleBook, rulebook
from immunoprofile.virology.series import VIROLOGY_FLAGS_COLUMN, cmv_results
from immunoprofile.virology.tobit import TobitFit, censored_regression
from immunoprofile.virology.viral_kinetics import kinetics

__all__ = [
    "VIROLOGY_FLAGS_COLUMN",
    "CmvResult",
    "ResultTextError",
    "Rule",
    "RuleBook",
    "TobitFit",
    "VirologyTables",
    "agreement",
    "analytical_noise",
    "annotate_visits",
    "censored_regression",
    "cmv_results",
    "drop_bounds",
    "drop_text",
    "evaluate",
    "kinetics",
    "known_assays",
    "parse_result",
    "reference_change_log10",
    "rulebook",
    "rules",
    "significant_change_log10",
    "time_to_clearance",
    "to_copies",
    "to_iu",
]
