"""Statistics on the visits object: change, arms compared, association with CMV-DNA, times to clearance, safety."""

from immunoprofile.tl.aft import Aft, Permutation, interval_aft, permutation_test, profile_interval, time_ratio
from immunoprofile.tl.ancova import Ancova, ancova, compare
from immunoprofile.tl.association import RepeatedCorrelation, associate, join_cmv, repeated_correlation
from immunoprofile.tl.censored import associate_censored
from immunoprofile.tl.clearance import clearance_exact, clearance_incidence, clearance_interval
from immunoprofile.tl.clearance_predictors import landmark, time_varying
from immunoprofile.tl.confounding import batch_confounding
from immunoprofile.tl.declared import declared
from immunoprofile.tl.gatings import compare_gatings
from immunoprofile.tl.grades import grade_rates, grade_shifts, rate_table, shift_table
from immunoprofile.tl.lagged import associate_lagged
from immunoprofile.tl.linear_mixed import LinearMixed, fit_linear_mixed
from immunoprofile.tl.mmrm import mmrm
from immunoprofile.tl.multiplicity import Family, adjust, adjust_families
from immunoprofile.tl.paired import change, change_t
from immunoprofile.tl.plan import methods, run_plan
from immunoprofile.tl.plan_check import check_plan
from immunoprofile.tl.power_simulation import (
    AncovaScenario,
    ClearanceScenario,
    TrialScenario,
    events_needed,
    power,
    smallest_correlation,
)
from immunoprofile.tl.proportions import Difference, proportion_difference, responders
from immunoprofile.tl.rank_compare import RankAncova, compare_ranks, rank_ancova
from immunoprofile.tl.ranks import (
    HodgesLehmann,
    RankSum,
    SignedRank,
    hodges_lehmann,
    rank_sum,
    signed_rank,
    smallest_signed_rank_p,
)
from immunoprofile.tl.reml import Reml, fit_reml
from immunoprofile.tl.slopes import compare_slopes
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
from immunoprofile.tl.tipping import Pooled, pool, tipping_point
from immunoprofile.tl.tobit_mixed import TobitMixed, fit_tobit_mixed
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
    "LinearMixed",
    "LogRank",
    "Permutation",
    "Pooled",
    "RankAncova",
    "RankSum",
    "Reml",
    "RepeatedCorrelation",
    "SignedRank",
    "TobitMixed",
    "TrialScenario",
    "Turnbull",
    "adjust",
    "adjust_families",
    "ancova",
    "associate",
    "associate_censored",
    "associate_lagged",
    "batch_confounding",
    "change",
    "change_t",
    "check_plan",
    "clearance_exact",
    "clearance_incidence",
    "clearance_interval",
    "compare",
    "compare_gatings",
    "compare_ranks",
    "compare_slopes",
    "cox",
    "cox_time_varying",
    "cumulative_incidence",
    "declared",
    "events_needed",
    "fit_linear_mixed",
    "fit_reml",
    "fit_tobit_mixed",
    "grade_rates",
    "grade_shifts",
    "hodges_lehmann",
    "interval_aft",
    "join_cmv",
    "kaplan_meier",
    "landmark",
    "log_rank",
    "methods",
    "mmrm",
    "permutation_test",
    "pool",
    "power",
    "profile_interval",
    "proportion_difference",
    "rank_ancova",
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
    "tipping_point",
    "turnbull",
]
