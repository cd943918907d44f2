"""Replicates of a study: precision of each population, CV that judges a change, and replicate tubes that disagree."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pandas as pd

from immunoprofile.io.records import records
from immunoprofile.pp.precision import DEFAULT_CV, Precision, Replicate, limit_of_quantification, precision
from immunoprofile.profiling.tube_values import UNITS, TubeValue, tube_values
from immunoprofile.resources.checks import QualityRow, quality_checks
from immunoprofile.schema import PRECISION_COLUMNS

if TYPE_CHECKING:
    from immunoprofile.gate.strategy import Strategy
    from immunoprofile.profiling.outcome import Chosen, Outcome
    from immunoprofile.study import Study

CHECK: Final = "replicates_cd3"
CD3: Final = "t"

Values = Mapping[tuple[str, str], TubeValue]


@dataclass(frozen=True)
class _Draw:
    """The tubes of one kind that were stained of one draw."""

    values: tuple[Values, ...]
    untreated: bool
    """Drawn before the first dose of the subject."""


@dataclass(frozen=True)
class Replicates:
    """Replicates of a study.

    Attributes
    ----------
    groups
        (tube, what) -> its draws; what is a visit of a subject, or a control run.
    visits
        (subject, visit) -> tubes of the draw of the visit in the count tube.
    """

    groups: Mapping[tuple[str, str], tuple[_Draw, ...]]
    visits: Mapping[tuple[str, str], tuple[Values, ...]]


def find_replicates(
    study: Study, gates: Mapping[str, Strategy], outcomes: Mapping[str, Outcome], chosen: Chosen
) -> Replicates:
    """Replicate tubes of visits (role ``replicate``, beside the tube that is used) and control tubes of one run.

    Replicates of a visit with the time of the draw of its sample are tubes of one draw; with another time they are
    draws of their own. Without a time of the draw they count as tubes of one draw.
    """
    rows = {row["sample_id"]: row for row in records(study.samples, "samples")}
    used = {outcome.sample_id for outcome in chosen.values()}
    first_dose = {row["usubjid"]: row["first_dose_dtc"] for row in records(study.subjects, "subjects")}
    found: dict[tuple[str, str], dict[str, list[Values]]] = {}
    before: dict[tuple[str, str], bool] = {}
    visits: dict[tuple[str, str], list[Values]] = {}
    drawn = {
        (subject, visit, tube): str(rows[outcome.sample_id]["collected_dtc"])
        for (subject, visit, tube), outcome in chosen.items()
    }
    for name in sorted(outcomes):
        row, outcome = rows[name], outcomes[name]
        tube = outcome.tube
        if not outcome.gated or tube not in gates:
            continue
        counts = tube == study.config.count_tube
        place = (row["usubjid"], row["visit"])
        if row["role"] == "replicate" or (row["role"] == "sample" and name in used):
            own = drawn.get((*place, tube), "")
            draw = row["collected_dtc"] or own
            values = tube_values(outcome, row, gates[tube], counts=counts)
            key = (tube, f"{row['usubjid']} {row['visit']}")
            found.setdefault(key, {}).setdefault(draw, []).append(values)
            dose = first_dose.get(row["usubjid"], "")
            before[key] = before.get(key, True) and bool(dose and draw and draw[:10] <= dose[:10])
            if counts and draw == own:
                visits.setdefault(place, []).append(values)
        elif row["role"] == "control" and row["batch_id"]:
            key = (tube, f"control {row['batch_id']} {row['panel_id']} {row['control_lot']}")
            found.setdefault(key, {}).setdefault("", []).append(tube_values(outcome, row, gates[tube], counts=counts))
    groups = {
        key: tuple(_Draw(tuple(values), before.get(key, False)) for _, values in sorted(draws.items()))
        for key, draws in sorted(found.items())
        if sum(map(len, draws.values())) > 1
    }
    return Replicates(groups, {place: tuple(values) for place, values in visits.items() if len(values) > 1})


def precision_table(study: Study, var: pd.DataFrame, found: Replicates) -> pd.DataFrame:
    """Precision of every population that has replicates, and the CV by which its changes are judged.

    Parameters
    ----------
    study
        With the key ``controls`` of ``study.yaml``.
    var
        ``var`` of the visits object: the tube that reports each population.
    found
        From `find_replicates`.

    Returns
    -------
    pandas.DataFrame
        `schema.PRECISION_COLUMNS`. A CV is used from 10 degrees of freedom on. Draws of an untreated subject hold
        biology and assay and replace the default; tubes of one draw hold the assay only: with ``cv_within_subject``
        of the study both together replace the default, without it they can raise it and never lower it.
    """
    settings = study.config.controls
    rows = []
    for population in var.index.astype(str):
        tube = str(var.loc[population, "tube"])
        own = [draws for (one, _), draws in found.groups.items() if one == tube]
        for measure, unit in UNITS.items():
            key = (population, measure)
            tubes = precision([_logarithms(draw.values, key) for draws in own for draw in draws])
            untreated = [draws for draws in own if len(draws) > 1 and all(draw.untreated for draw in draws)]
            between = precision([[_mean(_logarithms(draw.values, key)) for draw in draws
                                  if any(key in one for one in draw.values)] for draws in untreated])  # fmt: skip
            parents = [one[key] for draws in own for draw in draws for one in draw.values if key in one]
            kinds = [(kind, result) for kind, result in (("tube", tubes), ("draw", between)) if result is not None]
            decided = _decided(tubes, between, settings.cv_within_subject)
            for kind, result in kinds:
                events = limit_of_quantification(result.cv, settings.cv_limit) if kind == "tube" else math.nan
                cv_used, note = decided.get(kind, (math.nan, ""))
                rows.append((
                    population, tube, measure, kind, result.groups, result.values, result.dof, 100 * result.cv,
                    100 * result.lower, 100 * result.upper, events, _in_unit(events, parents), unit,
                    not math.isnan(cv_used), 100 * cv_used, note,
                ))  # fmt: skip
    return pd.DataFrame(rows, columns=list(PRECISION_COLUMNS)).astype({"used": "boolean"})


def _decided(
    tubes: Precision | None, between: Precision | None, within_subject: float | None
) -> dict[str, tuple[float, str]]:
    """Kind -> CV that is used (NaN: none) and why, in words."""

    def few(one: Precision) -> str:
        return f"{one.dof} degrees of freedom, 10 are needed: the CV of {DEFAULT_CV:.2f} stays"

    found: dict[str, tuple[float, str]] = {}
    if between is not None:
        found["draw"] = (between.for_change, "") if between.enough else (math.nan, few(between))
    if tubes is None:
        return found
    if between is not None and between.enough:
        found["tube"] = (math.nan, "draws of untreated subjects judge changes: they hold biology too")
    elif not tubes.enough:
        found["tube"] = (math.nan, few(tubes))
    elif within_subject is not None:
        both = math.hypot(tubes.for_change, within_subject)
        found["tube"] = (both, f"with the CV of {within_subject:.2f} between draws that the study states")
    elif tubes.for_change > DEFAULT_CV:
        found["tube"] = (tubes.for_change, f"above the CV of {DEFAULT_CV:.2f}; biology is not in it")
    else:
        found["tube"] = (
            math.nan,
            f"tubes of one draw do not hold biology: the CV of {DEFAULT_CV:.2f} stays; "
            "state controls.cv_within_subject, or draw untreated subjects twice",
        )
    return found


def _logarithms(values: Sequence[Values], key: tuple[str, str]) -> list[Replicate]:
    found = []
    for one in values:
        if key not in one:
            continue
        value = one[key]
        # half an event in place of none, in the unit of the value; without any event of cells/uL there is no factor
        positive = value.value if value.n else 50.0 / value.n_parent if key[1] == "pct_parent" else math.nan
        if positive > 0:
            found.append(Replicate(math.log(positive), value.counting))
    return found


def _mean(values: Sequence[Replicate]) -> Replicate:
    n = len(values)
    return Replicate(
        math.fsum(one.logarithm for one in values) / n, math.fsum(one.counting for one in values) / (n * n)
    )


def _in_unit(events: float, values: Sequence[TubeValue]) -> float:
    """Events in the unit of the measure, at the median of what one event stands for in the replicates."""
    each = [one.value / one.n for one in values if one.n]
    return events * statistics.median(each) if each and math.isfinite(events) else math.nan


def replicate_rows(study: Study, found: Replicates) -> list[QualityRow]:
    """The check that replicate tubes of a draw agree in CD3+ cells/uL, for the visits that have them."""
    check = quality_checks(study.config.check_limits)[CHECK]
    rows = []
    for (subject, visit), values in sorted(found.visits.items()):
        counted = [one[CD3, "abs"].value for one in values if (CD3, "abs") in one]
        mean = statistics.fmean(counted) if counted else math.nan
        cv = 100 * statistics.stdev(counted) / mean if len(counted) > 1 and mean > 0 else math.nan
        rows.append(check.judge(cv).row(subject, visit, str(study.config.count_tube)))
    return rows
