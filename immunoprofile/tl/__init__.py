"""Statistics on the visits object: change within arms, arms compared, association with CMV-DNA."""

from immunoprofile.tl.ancova import Ancova, ancova, compare
from immunoprofile.tl.association import RepeatedCorrelation, associate, join_cmv, repeated_correlation
from immunoprofile.tl.declared import declared
from immunoprofile.tl.paired import change
from immunoprofile.tl.ranks import (
    HodgesLehmann,
    RankSum,
    SignedRank,
    hodges_lehmann,
    rank_sum,
    signed_rank,
    smallest_signed_rank_p,
)

__all__ = [
    "Ancova",
    "HodgesLehmann",
    "RankSum",
    "RepeatedCorrelation",
    "SignedRank",
    "ancova",
    "associate",
    "change",
    "compare",
    "declared",
    "hodges_lehmann",
    "join_cmv",
    "rank_sum",
    "repeated_correlation",
    "signed_rank",
    "smallest_signed_rank_p",
]
