"""The analyses that a study declares, run as data, and the methods text of what was really run."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from immunoprofile.errors import AnalysisError, StudyError
from immunoprofile.resources import populations
from immunoprofile.schema import (
    ESTIMATED,
    NOT_ESTIMABLE,
    PLAN_RUN_COLUMNS,
    STATISTIC_COLUMNS,
    UNS_ASSOCIATE,
    UNS_ASSOCIATE_CENSORED,
    UNS_ASSOCIATE_LAGGED,
    UNS_CHANGE,
    UNS_CHANGE_T,
    UNS_CLEARANCE,
    UNS_CLEARANCE_CURVES,
    UNS_CLEARANCE_EXACT,
    UNS_CLEARANCE_INTERVAL,
    UNS_COMPARE,
    UNS_COMPARE_GATINGS,
    UNS_COMPARE_RANKS,
    UNS_COMPARE_SLOPES,
    UNS_CUMULATIVE_INCIDENCE,
    UNS_GRADE_RATES,
    UNS_GRADE_SHIFTS,
    UNS_LANDMARK,
    UNS_METHODS,
    UNS_MMRM,
    UNS_PLAN_RUNS,
    UNS_RESPONDERS,
    UNS_RESPONSES,
    UNS_STUDY,
    UNS_TIME_VARYING,
    UNS_TIPPING_POINT,
    UNS_WINDOWS,
)
from immunoprofile.tl._few_events import FEW_EVENTS, leave_few_events
from immunoprofile.tl._frame import statistic_row, statistic_table
from immunoprofile.tl.confounding import batch_confounding
from immunoprofile.tl.default_plan import default_plan
from immunoprofile.tl.multiplicity import Family, adjust_families

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray

    from immunoprofile.io.analysis_plan import Analysis, AnalysisPlan


class _Method(NamedTuple):
    """Where an analysis lives: module and function of this room, and the key that the function writes."""

    module: str
    function: str
    key: str


_METHODS: Final[dict[str, _Method]] = {
    "S1": _Method("paired", "change", UNS_CHANGE),
    "S2": _Method("paired", "change_t", UNS_CHANGE_T),
    "S3": _Method("ancova", "compare", UNS_COMPARE),
    "S3_gatings": _Method("gatings", "compare_gatings", UNS_COMPARE_GATINGS),
    "S3_tipping": _Method("tipping", "tipping_point", UNS_TIPPING_POINT),
    "S4": _Method("rank_compare", "compare_ranks", UNS_COMPARE_RANKS),
    "S5": _Method("mmrm", "mmrm", UNS_MMRM),
    "S6": _Method("slopes", "compare_slopes", UNS_COMPARE_SLOPES),
    "S8": _Method("association", "associate", UNS_ASSOCIATE),
    "S9": _Method("lagged", "associate_lagged", UNS_ASSOCIATE_LAGGED),
    "S10": _Method("censored", "associate_censored", UNS_ASSOCIATE_CENSORED),
    "S12": _Method("clearance", "clearance_exact", UNS_CLEARANCE_EXACT),
    "S13": _Method("clearance", "clearance_interval", UNS_CLEARANCE_INTERVAL),
    "S14": _Method("clearance_predictors", "landmark", UNS_LANDMARK),
    "S15": _Method("clearance_predictors", "time_varying", UNS_TIME_VARYING),
    "S17": _Method("clearance", "clearance_incidence", UNS_CUMULATIVE_INCIDENCE),
    "S18": _Method("proportions", "responders", UNS_RESPONDERS),
    "S19_shift": _Method("grades", "grade_shifts", UNS_GRADE_SHIFTS),
    "S19_rate": _Method("grades", "grade_rates", UNS_GRADE_RATES),
}
_DISTRIBUTIONS: Final = ("numpy", "scipy", "pandas", "statsmodels", "lifelines", "anndata")
_ROWS_LEFT_OUT: Final = {
    "qc_warn": "rows with a quality warning",
    "recent_il2": "rows shortly after IL-2",
    "protocol_deviation": "rows of subjects that deviated from the protocol or of whom that is not known",
    "cmv_confounded": "rows of subjects with a drug that changes CMV-DNA by itself",
}


def run_plan(adata: AnnData, *, plan: AnalysisPlan | None = None) -> None:
    """Run the analyses that a study declares, correct their p-values, and record what was run.

    Parameters
    ----------
    adata
        Visits x populations, with the tables that the analyses need.
    plan
        The plan; default is that of the study (``uns['study']['plan']``, JSON), else the default plan on its endpoints.

    Returns
    -------
    None; writes

    ``adata.uns[<key of the analysis>]``
        the table of each analysis. One that the data do not allow holds a row NOT_ESTIMABLE whose ``note`` has the
        reason. ``family``, ``adjusted`` and ``p_adjusted`` are filled; ``exclusions`` has what the plan left out.
    ``adata.uns['clearance_curves']``
        the curves of the analyses of clearance that are no sensitivity analyses.
    ``adata.uns['confounding']``
        see :func:`batch_confounding`.
    ``adata.uns['plan_runs']``
        DataFrame with ``schema.PLAN_RUN_COLUMNS``, one row an analysis in the order of the plan: arguments, versions,
        rows, subjects, what was left out.
    ``adata.uns['methods']``
        see :func:`methods`.
    ``adata.uns['visit_windows']``
        DataFrame ``visit``, ``first_day``, ``last_day``: the study days that counted as a visit.

    Raises
    ------
    AnalysisError
        The plan names a method that this version does not have, or an option that its function does not take.
    """
    import pandas as pd

    chosen = plan or _stored(adata) or default_plan(adata, methods=_METHODS)
    functions = [check_arguments(analysis) for analysis in chosen.analyses]
    adata.uns.pop(UNS_CLEARANCE_CURVES, None)
    batch_confounding(adata)
    adata.uns[UNS_WINDOWS] = pd.DataFrame(
        [(visit, first, last) for visit, (first, last) in chosen.windows.items()],
        columns=["visit", "first_day", "last_day"],
    )
    parts: dict[bytes, AnnData] = {}
    runs = [_run(adata, analysis, run, chosen, parts) for analysis, run in zip(chosen.analyses, functions, strict=True)]
    adjust_families(
        adata,
        [
            Family(
                family.name,
                family.correction,
                tuple(a.key for a in chosen.analyses if a.family == family.name),
                contrast=family.contrast,
            )
            for family in chosen.families
        ],
    )
    adata.uns[UNS_PLAN_RUNS] = pd.DataFrame(runs, columns=list(PLAN_RUN_COLUMNS))
    methods(adata)


def methods(adata: AnnData) -> None:
    """Write the methods section from the analyses that were really run.

    Parameters
    ----------
    adata
        Object after :func:`run_plan`.

    Returns
    -------
    None; writes

    ``adata.uns['methods']``
        text, one line an analysis: id, what was fitted, arguments, rows and subjects, correction, what was left out;
        then the windows of the visits and the versions of the software.

    Raises
    ------
    AnalysisError
        No plan was run on this object.
    """
    if UNS_PLAN_RUNS not in adata.uns:
        raise AnalysisError("no plan was run", where=f"uns[{UNS_PLAN_RUNS!r}]", todo="run tl.run_plan first")
    runs: pd.DataFrame = adata.uns[UNS_PLAN_RUNS]
    lines = [_sentence(adata.uns[str(run["key"])], {str(k): v for k, v in run.items()}) for run in
             runs.to_dict("records")]  # fmt: skip
    versions = json.loads(str(runs["versions"].iloc[0])) if len(runs) else {}
    windows = adata.uns.get(UNS_WINDOWS)
    if windows is not None and len(windows):
        days = zip(windows["visit"], windows["first_day"], windows["last_day"], strict=True)
        lines.append(
            "Windows, study days: " + ", ".join(f"{visit} {first} to {last}" for visit, first, last in days) + "."
        )
    if versions:
        lines.append("Software: " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".")
    adata.uns[UNS_METHODS] = "\n".join(lines)


def _sentence(table: pd.DataFrame, run: dict[str, Any]) -> str:
    parts = []
    if "method" in table:
        # names of methods hold commas
        parts.append(" | ".join(dict.fromkeys(word for word in table["method"].astype(str) if word)))
    arguments = json.loads(str(run["parameters"]))
    parts.append("arguments " + (", ".join(f"{name} = {_plain(value)}" for name, value in arguments.items()) or "none"))
    parts.append(f"{run['rows']} rows of the table ({run['not_estimable']} not estimable), {run['subjects']} subjects "
                 "in the object")  # fmt: skip
    if "n" in table and "status" in table and table["n"].notna().any():
        n = table.loc[table["n"].notna(), "n"]
        parts.append(f"n {n.min()}" + (f" to {n.max()}" if n.max() != n.min() else ""))
    if "family" in table:
        families = sorted({(str(a), str(b)) for a, b in zip(table["family"], table["adjusted"], strict=True)
                           if a and b != "none"})  # fmt: skip
        parts += [f"p-values corrected within {family} ({correction})" for family, correction in families]
    parts += [str(run[name]) for name in ("exclusions", "note") if run[name]]
    return f"{str(run['method_id']).split('_')[0]} ({run['key']}, {run['role']}): {'; '.join(p for p in parts if p)}."


def _plain(value: object) -> str:
    return " ".join(str(part) for part in value) if isinstance(value, list) else str(value)


def _stored(adata: AnnData) -> AnalysisPlan | None:
    text = adata.uns.get(UNS_STUDY, {}).get("plan", "")
    if not text:
        return None
    from immunoprofile.io.analysis_plan import AnalysisPlan

    return AnalysisPlan.model_validate_json(str(text))


def check_arguments(analysis: Analysis) -> Callable[..., None]:
    """Function of an analysis, its arguments checked before anything runs.

    Raises
    ------
    AnalysisError
        This version has no such method, or its function does not take an option of the analysis.
    """
    if analysis.method not in _METHODS:
        raise AnalysisError(f"method {analysis.method} cannot be run from a plan", where=f"plan {analysis.key}",
                            todo=f"one of: {', '.join(_METHODS)}")  # fmt: skip
    place = _METHODS[analysis.method]
    run: Callable[..., None] = getattr(import_module(f"immunoprofile.tl.{place.module}"), place.function)
    takes = set(inspect.signature(run).parameters)
    asked = set(analysis.options)
    asked |= {name for name, given in (("populations", analysis.endpoints), ("measure", analysis.measure),
                                       ("rule", analysis.rule)) if given}  # fmt: skip
    if analysis.visits:
        asked.add("visits" if "visits" in takes else "visit")
    if unknown := sorted(asked - takes):
        raise AnalysisError(f"{place.function} takes no {', '.join(unknown)}", where=f"plan {analysis.key}",
                            todo=f"it takes: {', '.join(sorted(takes - {'adata'}))}")  # fmt: skip
    return run


def _arguments(adata: AnnData, analysis: Analysis, run: Callable[..., None]) -> dict[str, Any]:
    arguments: dict[str, Any] = dict(analysis.options)
    if analysis.endpoints:
        everything = analysis.endpoints == ("all",)
        arguments["populations"] = _explored(adata)[0] if everything else list(analysis.endpoints)
    if analysis.measure:
        arguments["measure"] = analysis.measure
    if analysis.visits and "visits" in inspect.signature(run).parameters:
        arguments["visits"] = list(analysis.visits)
    elif analysis.visits:
        one = len(analysis.visits) == 1
        arguments["visit"] = analysis.visits[0] if one else list(analysis.visits)
    if analysis.rule:
        arguments["rule"] = analysis.rule
    return arguments


def _explored(adata: AnnData) -> tuple[list[str], list[str]]:
    """Populations that an analysis of every population takes, and those that it leaves out.

    Helper gates of a template (no entry in the registry of populations), steps on the way and denominators answer no
    question and would only cost power in the correction of the others. A declared endpoint is never left out.
    """
    explored = {name for name, entry in populations().items() if entry.explored}
    declared = adata.uns.get(UNS_STUDY, {}).get("endpoints")
    explored |= set() if declared is None else {str(name) for name in declared["population"]}
    taken = [str(name) for name in adata.var_names if name in explored]
    if not taken:
        raise AnalysisError("no population of the object is in the registry", where="endpoints all",
                            todo="name the populations in the plan")  # fmt: skip
    return taken, [str(name) for name in adata.var_names if name not in explored]


def _endpoint_populations(adata: AnnData) -> list[str]:
    declared = adata.uns.get(UNS_STUDY, {}).get("endpoints")
    return list(adata.var_names) if declared is None else [str(name) for name in declared["population"]]


def _part(adata: AnnData, rows: NDArray[np.intp], parts: dict[bytes, AnnData]) -> AnnData:
    """The rows of an analysis, with all tables that were written so far.

    Analyses of the same rows share them, since they write nothing but tables: to copy an object takes as long as most
    analyses.
    """
    key = rows.tobytes()
    if key not in parts:
        parts[key] = adata[rows].copy()
    parts[key].uns = dict(adata.uns)
    return parts[key]


def _run(
    adata: AnnData, analysis: Analysis, run: Callable[..., None], plan: AnalysisPlan, parts: dict[bytes, AnnData]
) -> dict[str, Any]:
    place = _METHODS[analysis.method]
    arguments: dict[str, Any] = {}
    note, words, unexplored, subjects = "", "", "", 0
    try:
        arguments = _arguments(adata, analysis, run)
        if analysis.endpoints == ("all",):
            unexplored = ", ".join(_explored(adata)[1])
        rows, words, taken = _rows(adata, analysis, plan)
        work = _part(adata, rows, parts)
        subjects = int(work.obs["usubjid"].nunique())
        gone = adata.obs["usubjid"].nunique() - subjects
        lost = f"{gone} subject{'s' if gone > 1 else ''} without any row left" if gone else ""
        words = "; ".join(part for part in (words, lost) if part)
        taken += _leave_subjects(work, adata, analysis)
        if "few_events" in analysis.leave_out:
            work = work.copy()  # other analyses have the same rows
            few = leave_few_events(work, arguments.get("populations") or _endpoint_populations(adata))
            words, taken = "; ".join(part for part in (words, f"{few} {FEW_EVENTS} left out") if part), taken + few
        if analysis.role == "sensitivity" and analysis.leave_out and not taken:
            # the same rows give the same numbers: printed again they would pass for a second result that agrees
            raise AnalysisError(f"nothing is left out ({words}), the result would be that of the main analysis")
        run(work, **arguments)
        table = work.uns[place.key]
        if analysis.role != "sensitivity" and UNS_CLEARANCE_CURVES in work.uns:
            adata.uns[UNS_CLEARANCE_CURVES] = work.uns[UNS_CLEARANCE_CURVES]
    except (AnalysisError, StudyError) as refused:
        note = f"refused: {refused}"
        visit = " ".join(analysis.visits) or str(adata.uns.get(UNS_STUDY, {}).get("primary_visit", ""))
        table = statistic_table([statistic_row(method_id=analysis.method.split("_")[0], visit=visit, note=note,
                                               adjusted="none")])  # fmt: skip
    statistics = set(STATISTIC_COLUMNS) <= set(table.columns)
    if statistics and words:
        table["exclusions"] = [f"{words}; {own}" if own else words for own in table["exclusions"]]
    adata.uns[analysis.key] = table
    missing = int((table["status"] == NOT_ESTIMABLE).sum()) if statistics else 0
    return {
        "key": analysis.key,
        "method_id": analysis.method,
        "role": analysis.role,
        "status": NOT_ESTIMABLE if statistics and missing == len(table) else ESTIMATED,
        "rows": len(table),
        "not_estimable": missing,
        "subjects": subjects,
        "parameters": json.dumps(_written(run, arguments), sort_keys=True),
        "versions": json.dumps(_versions()),
        "exclusions": "; ".join(part for part in (words, f"not explored: {unexplored}" if unexplored else "") if part),
        "note": note,
    }


def _written(run: Callable[..., None], arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a call with the defaults that it used, as JSON can hold them."""
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(run).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in (defaults | arguments).items()
        if value is not None and value != ()
    }


def _rows(adata: AnnData, analysis: Analysis, plan: AnalysisPlan) -> tuple[Any, str, int]:
    """Rows that take part, what was left out in words, and how many rows the analysis itself leaves out."""
    keep = np.ones(adata.n_obs, dtype=bool)
    words, taken = [], 0
    for reason in (one for one in analysis.leave_out if one in _ROWS_LEFT_OUT):
        out = _left_out(adata, reason) & keep
        keep &= ~out
        taken += int(out.sum())
        words.append(f"{int(out.sum())} {_ROWS_LEFT_OUT[reason]} left out")
    visits = adata.obs["visit"].astype(str).to_numpy()
    for visit, (first, last) in plan.windows.items():
        day = adata.obs["study_day"].to_numpy(dtype=np.float64, na_value=np.nan)
        out = keep & (visits == visit) & ~((day >= first) & (day <= last))
        keep &= ~out
        if out.any():
            words.append(f"{int(out.sum())} rows of {visit} outside days {first} to {last} left out")
    return np.flatnonzero(keep), "; ".join(words), taken


def _left_out(adata: AnnData, reason: str) -> Any:
    needed = {"qc_warn": "qc_status", "recent_il2": "flags", "protocol_deviation": "per_protocol"}.get(reason, reason)
    if needed not in adata.obs:
        raise AnalysisError(f"it is not known which are the {_ROWS_LEFT_OUT[reason]}", where=f"obs {needed}")
    column = adata.obs[needed]
    if reason == "qc_warn":
        return (column.astype(str) == "WARN").to_numpy()
    if reason == "recent_il2":
        return np.array(["RECENT_IL2" in str(flags).split() for flags in column], dtype=bool)
    if reason == "cmv_confounded":
        return column.to_numpy(dtype=bool)
    return ~column.astype("boolean").fillna(value=False).to_numpy(dtype=bool)


def _leave_subjects(work: AnnData, adata: AnnData, analysis: Analysis) -> int:
    """Subjects that are left out for what they are also leave the tables of clearance and response: rows that leave."""
    taken = 0
    for reason in ("protocol_deviation", "cmv_confounded"):
        if reason not in analysis.leave_out:
            continue
        out = set(adata.obs.loc[_left_out(adata, reason), "usubjid"].astype(str))
        for key in (UNS_CLEARANCE, UNS_RESPONSES):
            if key in work.uns:
                table = work.uns[key]
                leaves = table["usubjid"].astype(str).isin(out)
                if reason == "cmv_confounded" and "confounded" in table:
                    leaves |= table["confounded"].astype(bool)
                work.uns[key], taken = table[~leaves].reset_index(drop=True), taken + int(leaves.sum())
    return taken


@cache
def _versions() -> dict[str, str]:
    from importlib.metadata import version

    from immunoprofile._version import __version__

    return {"immunoprofile": __version__} | {name: version(name) for name in _DISTRIBUTIONS}
