"""The part of ``study.yaml`` that declares analyses: endpoints beyond the populations, families, windows."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Role = Literal["primary", "secondary", "exploratory", "sensitivity"]
MethodId = Literal[
    "S1", "S2", "S3", "S3_gatings", "S3_tipping", "S4", "S5", "S6", "S8", "S9", "S10", "S12", "S13", "S14", "S15",
    "S17", "S18", "S19_shift", "S19_rate",
]  # fmt: skip
LeftOut = Literal["qc_warn", "recent_il2", "protocol_deviation", "cmv_confounded", "few_events"]
Option = bool | int | float | str | tuple[str, ...] | tuple[float, ...]

METHOD_IDS: tuple[str, ...] = get_args(MethodId)
MOST_KEY_ENDPOINTS = 3
"""Key endpoints that one Holm family holds at most."""


class PlanModel(BaseModel):
    """Base of what the plan declares: unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FunctionalEndpoint(PlanModel):
    """A functional readout that the study declares as endpoint: CD107a, killing, virus-specific T cells ..."""

    readout: str
    """Column of the functional readouts in the visits object."""
    label: str = ""
    primary: bool = False
    key: bool = False


class VirologyEndpoint(PlanModel):
    """A virological endpoint: time to a clearance rule, or the verdict of a response rule."""

    rule: str
    kind: Literal["time_to_event", "response"]
    label: str = ""
    primary: bool = False


class Analysis(PlanModel):
    """One analysis of the plan.

    ``key`` names its table in ``uns`` and in ``statistics/``. ``endpoints`` are populations (or functional readouts,
    with ``measure: functional``); none means those that the study declares, ``["all"]`` every population. ``visits``
    none means the primary visit. ``leave_out`` takes rows with a quality warning, rows shortly after IL-2, subjects
    that deviated from the protocol, subjects with a drug that changes CMV-DNA by itself, or values of fewer than 30
    events (or of a parent of fewer than 100) out. ``options`` are further arguments of the function by name.
    """

    key: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    method: MethodId
    role: Role = "exploratory"
    endpoints: tuple[str, ...] = ()
    measure: Literal["pct_parent", "abs", "functional"] | None = None
    visits: tuple[str, ...] = ()
    rule: str = ""
    family: str = ""
    leave_out: tuple[LeftOut, ...] = ()
    options: dict[str, Option] = Field(default_factory=dict)


class AnalysisFamily(PlanModel):
    """Analyses whose p-values are corrected together; with ``contrast`` only their rows of that contrast."""

    name: str
    correction: Literal["Holm", "Benjamini-Hochberg"]
    contrast: str = ""


class AnalysisPlan(PlanModel):
    """Analyses in the order in which they run, their families and the windows of the visits.

    ``windows`` gives the first and last study day that count as a visit; rows outside leave the analyses and are
    counted.
    """

    analyses: tuple[Analysis, ...]
    families: tuple[AnalysisFamily, ...] = ()
    windows: dict[str, tuple[int, int]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> AnalysisPlan:
        problems = []
        keys = [analysis.key for analysis in self.analyses]
        families = [family.name for family in self.families]
        problems += [f"plan: key {key!r} stands twice" for key in sorted({key for key in keys if keys.count(key) > 1})]
        if len(set(families)) != len(families):
            problems.append("plan: a family stands twice")
        for analysis in self.analyses:
            if analysis.family and analysis.family not in families:
                problems.append(f"plan.{analysis.key}: family {analysis.family!r} is not declared "
                                f"({', '.join(families) or 'none is'})")  # fmt: skip
            if analysis.role == "sensitivity" and analysis.family:
                problems.append(f"plan.{analysis.key}: a sensitivity analysis repeats a question and has no family")
        for visit, (first, last) in self.windows.items():
            if first > last:
                problems.append(f"plan.windows.{visit}: first day {first} is after the last day {last}")
        if problems:
            raise ValueError("; ".join(problems))
        return self
