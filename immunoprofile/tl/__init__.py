"""Statistics on the visits object: change, arms compared, association with CMV-DNA, times to clearance, safety."""

from immunoprofile.tl.aft import Aft, Permutation, interval_aft, permutation_test, profile_interval, time_ratio
from immunoprofile.tl.ancova import Ancova, ancova, compare
from immunoprofile.tl.association import RepeatedCorrelation, associate, join_cmv, repeated_correlation
from immunoprofile.tl.clearance import clearance_exact, clearance_incidence, clearance_interval
from immunoprofile.tl.clearance_predictors import landmark, time_varying
from immunoprofile.tl.confounding import batch_confounding
from immunoprofile.tl.declared import declared
from immunoprofile.tl.grades import grade_rates, grade_shifts, rate_table, shift_table
from immunoprofile.tl.multiplicity import Family, adjust, adjust_families
from immunoprofile.tl.paired import change
from immunoprofile.tl.plan import methods, run_plan
from immunoprofile.tl.power_simulation import (
    AncovaScenario,
    ClearanceScenario,
    TrialScenario,
    events_needed,
    power,
    smallest_correlation,
)
from immunoprofile.tl.proportions import Difference, proportion_difference, responders
from immunoprofile.tl.ranks import (
    HodgesLehmann,
    RankSum,
    SignedRank,
    hodges_lehmann,
    rank_sum,
    signed_rank,
    smallest_signed_rank_p,
)
from immunoprofile.tl.survival import (
    Cox,
    Curve,
    LogRank,
    cox,
    cox_time_varying,
    cumulative_incidence,
    kaplan_meier,
    log_rank,
)
from immunoprofile.tl.turnbull import Turnbull, turnbull

__all__ = [
    "Aft",
    "Ancova",
    "AncovaScenario",
    "ClearanceScenario",
    "Cox",
    "Curve",
    "Difference",
    "Family",
    "HodgesLehmann",
    "LogRank",
    "Permutation",
    "RankSum",
    "RepeatedCorrelation",
    "SignedRank",
    "TrialScenario",
    "Turnbull",
    "adjust",
    "adjust_families",
    "ancova",
    "associate",
    "batch_confounding",
    "change",
    "clearance_exact",
    "clearance_incidence",
    "clearance_interval",
    "compare",
    "cox",
    "cox_time_varying",
    "cumulative_incidence",
    "declared",
    "events_needed",
    "grade_rates",
    "grade_shifts",
    "hodges_lehmann",
    "interval_aft",
    "join_cmv",
    "kaplan_meier",
    "landmark",
    "log_rank",
    "methods",
    "permutation_test",
    "power",
    "profile_interval",
    "proportion_difference",
    "rank_sum",
    "rate_table",
    "repeated_correlation",
    "responders",
    "run_plan",
    "shift_table",
    "signed_rank",
    "smallest_correlation",
    "smallest_signed_rank_p",
    "time_ratio",
    "time_varying",
    "turnbull",
]
