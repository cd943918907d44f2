"""Eligibility: the criteria of the trial as data, judged by named functions in a logic of three values."""

from immunoprofile.clinical.screening.evaluate import Eligibility, eligibility, reference_date
from immunoprofile.clinical.screening.rules import Criterion, Input, RuleSet, load_rules

__all__ = ["Criterion", "Eligibility", "Input", "RuleSet", "eligibility", "load_rules", "reference_date"]
