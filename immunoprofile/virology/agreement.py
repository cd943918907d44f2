"""How far definitions of one thing agree on the subjects of a study."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from immunoprofile.schema import CMV_AGREEMENT_COLUMNS
from immunoprofile.virology.rulebook import RuleBook, rulebook

if TYPE_CHECKING:
    import pandas as pd


def agreement(rules: pd.DataFrame, *, book: RuleBook | None = None) -> pd.DataFrame:
    """Verdicts of every two definitions of one thing held against each other.

    Parameters
    ----------
    rules
        Table of `virology.rules`.
    book
        Rules and what they define; default those that ship.

    Returns
    -------
    DataFrame
        ``schema.CMV_AGREEMENT_COLUMNS``, one row per concept and pair of its rules, in the order of the rule book.
        Subjects for whom both rules say TRUE or FALSE are counted in one of four cells; the others in
        ``n_not_evaluable``: an unknown verdict agrees with nothing. ``agree_pct`` is missing when there are none.
        ``differ`` names the subjects on whom the two differ.

    Notes
    -----
    Counts and per cent only: with a handful of subjects a coefficient of agreement says less than they do.
    """
    import pandas as pd

    chosen = rulebook() if book is None else book
    verdicts = {
        str(rule): dict(zip(own["usubjid"].astype(str), own["result"].astype(str), strict=True))
        for rule, own in rules.groupby("rule_id", sort=False)
    }
    subjects = sorted({str(one) for one in rules["usubjid"]})
    rows = []
    for concept, names in chosen.concepts.items():
        for one, other in combinations(names, 2):
            pairs = {subject: (verdicts.get(one, {}).get(subject, ""), verdicts.get(other, {}).get(subject, ""))
                     for subject in subjects}  # fmt: skip
            known = {subject: pair for subject, pair in pairs.items() if set(pair) <= {"TRUE", "FALSE"}}
            cells = [sum(pair == cell for pair in known.values()) for cell in
                     (("TRUE", "TRUE"), ("TRUE", "FALSE"), ("FALSE", "TRUE"), ("FALSE", "FALSE"))]  # fmt: skip
            agree = 100 * (cells[0] + cells[3]) / len(known) if known else float("nan")
            differ = " ".join(subject for subject, pair in known.items() if pair[0] != pair[1])
            rows.append((concept, one, other, *cells, len(subjects) - len(known), agree, differ))
    return pd.DataFrame(rows, columns=list(CMV_AGREEMENT_COLUMNS)).astype({"agree_pct": "float64"})
