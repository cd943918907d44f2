"""Is a change of one subject more than noise? Asymmetric reference change values with counting noise and moved cuts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from immunoprofile.pp.precision import DEFAULT_CV

Z95: Final = 1.959963984540054

Level = Literal["MORE_THAN_NOISE", "WITHIN_NOISE", "NOT_ASSESSABLE", "BASELINE"]

LEVEL_TEXT: Final[dict[str, str]] = {
    "MORE_THAN_NOISE": "more than noise",
    "WITHIN_NOISE": "within noise",
    "NOT_ASSESSABLE": "not assessable",
    "BASELINE": "baseline",
}


@dataclass(frozen=True)
class Verdict:
    """Verdict on a change.

    Attributes
    ----------
    level
        What is concluded.
    fold
        Value over reference value, NaN when unknown.
    down, up
        Fold changes between which a change is within noise.
    reason
        Why a change is not assessable.
    gate_sd
        SD of the natural logarithm of the change when the cuts lie elsewhere, as far as it is in ``down`` and ``up``;
        NaN where it is not known.
    """

    level: Level
    fold: float = math.nan
    down: float = math.nan
    up: float = math.nan
    reason: str = ""
    gate_sd: float = math.nan

    @property
    def symbol(self) -> str:
        """Symbol that stands beside the words, so that colour is never needed."""
        if self.level == "MORE_THAN_NOISE":
            return "▲" if self.fold > 1 else "▼"
        return {"WITHIN_NOISE": "=", "NOT_ASSESSABLE": "?", "BASELINE": "○"}[self.level]

    @property
    def text(self) -> str:
        """The words of the verdict."""
        return LEVEL_TEXT[self.level]


def reference_change(
    *, cv: float = DEFAULT_CV, variance_now: float = 0.0, variance_then: float = 0.0, gate_sd: float = math.nan
) -> tuple[float, float]:
    """Fold changes between which two results of an unchanged subject lie with 95 %.

    Asymmetric reference change value for a log-normal quantity: the log SD is sqrt(ln(1 + CV^2)), two results
    differ with twice its variance, and the variances of counting add to it (Fokkema et al., Clin Chem 2006;52:1602).
    The default CV of 0.20 alone gives 0.58 and 1.73, that is -42 % and +73 %.

    Parameters
    ----------
    cv
        Coefficient of variation of one result without counting noise, as a fraction.
    variance_now, variance_then
        Variances of the natural logarithms of the two results from counting.
    gate_sd
        SD of the natural logarithm of the *change* when the cuts of the gates lie elsewhere
        (`pp.gate_spread.change_spread`): one number, since baseline and visit have the same cuts. NaN where it is not
        known. It can only widen the limits.
    """
    moved_cuts = 0.0 if math.isnan(gate_sd) else gate_sd * gate_sd
    spread = Z95 * math.sqrt(2 * math.log(1 + cv * cv) + variance_now + variance_then + moved_cuts)
    return math.exp(-spread), math.exp(spread)


def judge(
    now: float,
    then: float,
    *,
    variance_now: float = 0.0,
    variance_then: float = 0.0,
    cv: float = DEFAULT_CV,
    gate_sd: float = math.nan,
) -> Verdict:
    """Verdict on the change from ``then`` to ``now`` (positive values; half an event in place of none)."""
    if math.isnan(now) or math.isnan(then) or now <= 0 or then <= 0:
        return Verdict("NOT_ASSESSABLE", reason="a value is missing")
    down, up = reference_change(cv=cv, variance_now=variance_now, variance_then=variance_then, gate_sd=gate_sd)
    change = now / then
    return Verdict("WITHIN_NOISE" if down <= change <= up else "MORE_THAN_NOISE", change, down, up, gate_sd=gate_sd)


def not_assessable(reason: str, *, fold: float = math.nan) -> Verdict:
    """Verdict that nothing can be concluded, with the reason."""
    return Verdict("NOT_ASSESSABLE", fold, reason=reason)


def with_confirmation(verdict: Verdict, confirmed: Verdict, *, what: str) -> Verdict:
    """Verdict of a population that a second, stricter definition must support.

    IL-2 raises CD25 on all CD4 cells and inflates a held CD25 gate: a change that the FoxP3-confirmed cells do
    not share is not assessable.
    """
    if verdict.level not in ("MORE_THAN_NOISE", "WITHIN_NOISE"):
        return verdict
    if confirmed.level not in ("MORE_THAN_NOISE", "WITHIN_NOISE"):
        return not_assessable(f"{what}: {confirmed.reason or 'missing'}", fold=verdict.fold)
    same_way = (verdict.fold > 1) == (confirmed.fold > 1) or verdict.level == "WITHIN_NOISE"
    if verdict.level == confirmed.level and same_way:
        return verdict
    return not_assessable(f"{what} disagrees (×{confirmed.fold:.2f}, {confirmed.text})", fold=verdict.fold)
