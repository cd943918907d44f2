"""Statistics on the visits object: change within arms, arms compared, association with CMV-DNA."""

from immunoprofile.tl.ancova import Ancova, ancova, compare
from immunoprofile.tl.association import RepeatedCorrelation, associate, join_cmv, repeated_correlation
from immunoprofile.tl.censored import associate_censored
from immunoprofile.tl.declared import declared
from immunoprofile.tl.lagged import associate_lagged
from immunoprofile.tl.linear_mixed import LinearMixed, fit_linear_mixed
from immunoprofile.tl.mmrm import mmrm
from immunoprofile.tl.paired import change, change_t
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
from immunoprofile.tl.tipping import Pooled, pool, tipping_point
from immunoprofile.tl.tobit_mixed import TobitMixed, fit_tobit_mixed

__all__ = [
    "Ancova",
    "HodgesLehmann",
    "LinearMixed",
    "Pooled",
    "RankAncova",
    "RankSum",
    "Reml",
    "RepeatedCorrelation",
    "SignedRank",
    "TobitMixed",
    "ancova",
    "associate",
    "associate_censored",
    "associate_lagged",
    "change",
    "change_t",
    "compare",
    "compare_ranks",
    "compare_slopes",
    "declared",
    "fit_linear_mixed",
    "fit_reml",
    "fit_tobit_mixed",
    "hodges_lehmann",
    "join_cmv",
    "mmrm",
    "pool",
    "rank_ancova",
    "rank_sum",
    "repeated_correlation",
    "signed_rank",
    "smallest_signed_rank_p",
    "tipping_point",
]
