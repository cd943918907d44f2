"""Reportlets of the analyses that were run, from the record of the plan: what was asked, found, and cannot be said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from immunoprofile import schema
from immunoprofile.io.records import records
from immunoprofile.report import cohort_figures, wording
from immunoprofile.report.cohort_view import CohortView
from immunoprofile.report.content import Block, Bullets, Cell, Fold, Table, Text, columns, not_available, row
from immunoprofile.report.effect_tables import contrast_words, effect_table, remark_parts
from immunoprofile.report.key_table import technical
from immunoprofile.report.statistics_tables import methods, said_plainly

if TYPE_CHECKING:
    import pandas as pd

_WITHOUT_DRUGS: Final = "without subjects with a drug that changes CMV-DNA"

BETWEEN: Final = ("S3", "S4", "S5", "S6")
WITHIN: Final = ("S1", "S2")
ASSOCIATION: Final = ("S10", "S8", "S9", "S14", "S15")
CLEARANCE: Final = ("S13", "S12", "S17")
RESPONSE: Final = ("S18",)
SENSITIVITY: Final = "sensitivity"
BLINDED: Final = "Left out in blinded mode."
_WITHOUT_PLAN: Final = {"compare": "S3", "change": "S1", "associate": "S8"}
_TITLES: Final[dict[str, str]] = {
    "compare": "Declared endpoints",
    "change": "Change from baseline inside each arm",
    schema.UNS_COMPARE_FUNCTIONAL: "Declared functional endpoints",
    "mmrm": "Mixed model for repeated measures",
    "compare_all_pct": "Every population, % of parent (exploratory)",
    "compare_all_abs": "Every population, cells/µL (exploratory)",
    "associate_censored": "Censored mixed model with time",
    "associate": "Repeated-measures correlation (descriptive)",
    "associate_lagged": "Correlation with a lag",
    "landmark": "Landmark: change until the landmark, clearance after it",
    "time_varying": "Latest value before clearance",
    "clearance_interval": "Time to clearance, interval-censored (primary)",
    "clearance_exact": "Time to clearance, exact days",
    "cumulative_incidence": "Cumulative incidence",
    "responders": "Responders by rule",
    schema.UNS_COMPARE_GATINGS: "with cuts moved in all samples",
    "compare_per_protocol": "per protocol",
    "compare_without_qc_warn": "without quality warnings",
    "compare_without_recent_il2": "without draws soon after IL-2",
    "clearance_interval_unconfirmed": "clearance_1: one result below the LLOQ",
    "clearance_interval_tnd": "clearance_tnd: not detected",
    "clearance_interval_per_protocol": "per protocol",
    "clearance_interval_without_cmv_drugs": _WITHOUT_DRUGS,
    "associate_censored_without_cmv_drugs": _WITHOUT_DRUGS,
    "responders_without_cmv_drugs": _WITHOUT_DRUGS,
}


def runs(view: CohortView, wanted: tuple[str, ...], *, sensitivity: bool = False) -> list[tuple[str, str]]:
    """(key, method) of the analyses of some methods, in the order of these methods."""
    table = view.source.visits.uns.get(schema.UNS_PLAN_RUNS)
    if table is None:
        found = [(key, method) for key, method in _WITHOUT_PLAN.items() if key in view.source.visits.uns]
        found = [] if sensitivity else found
    else:
        found = [
            (one["key"], one["method_id"].partition("_")[0])
            for one in records(table, "plan_runs")
            if (one["role"] == SENSITIVITY) == sensitivity
        ]
    return sorted((one for one in found if one[1] in wanted), key=lambda one: wanted.index(one[1]))


def _tables(view: CohortView, wanted: tuple[str, ...]) -> tuple[Block, ...]:
    if view.blinded:
        return (Text(BLINDED),)
    folded = _exploratory(view)
    found = [
        (Fold(_TITLES.get(key, key.replace("_", " ")), made),) if key in folded and made else made
        for key, _ in runs(view, wanted)
        for made in (analysis(view, key),)
    ]
    return tuple(block for blocks in found for block in blocks) or (Text("Not computed."),)


def _exploratory(view: CohortView) -> set[str]:
    """Analyses that the plan calls exploratory: folded on the screen."""
    table = view.source.visits.uns.get(schema.UNS_PLAN_RUNS)
    rows = [] if table is None else records(table, "plan_runs")
    return {one["key"] for one in rows if one["role"] == "exploratory"}


def analysis(view: CohortView, key: str) -> tuple[Block, ...]:
    """Table of one analysis; its refusal in words when the data did not allow it."""
    table = view.statistics(key)
    title = _TITLES.get(key, key.replace("_", " "))
    if table is None:
        return not_available(title, f"no table {key} in the statistics of these results")
    if not set(schema.STATISTIC_COLUMNS) <= set(table.columns) | {"p_adjusted", "family", "status", "exclusions"}:
        return ()
    rows = [one for one in view.effects(key) if one.population_id not in technical()]
    refused = list(dict.fromkeys(one.note for one in rows if not one.population and one.note))
    shown = [one for one in rows if one.population]
    blocks: list[Block] = [Text(f"{title}: not estimated; {note}.") for note in refused]
    if shown:
        blocks.append(effect_table(title, shown, view.source.config.arm_labels))
    return tuple(blocks)


def between_arms(view: CohortView) -> tuple[Block, ...]:
    """Arms compared: the declared endpoints first, then models and every population."""
    estimand = Text(
        "Estimand: difference between arms in the change from baseline, adjusted for baseline, treatment policy. At "
        "one visit subjects with a baseline and a value there take part (complete cases): that assumes that who is "
        "missing changed as those with the same arm and baseline. The mixed model uses every visit of a subject and "
        "assumes the same given all of its values before. Read estimate, n and interval first.",
    )
    if view.blinded:
        return (Text(BLINDED),)
    if view.why_no_comparison:
        return (Text(view.why_no_comparison),)
    return (estimand, *cohort_figures.forest(view), *_tables(view, BETWEEN))


def within_arms(view: CohortView) -> tuple[Block, ...]:
    """Change inside each arm, with why it says little."""
    from immunoprofile.tl import smallest_signed_rank_p

    words = (
        "Placed after the comparisons on purpose: patients who enter a trial when they are sick tend to improve "
        "without treatment (regression to the mean), so that a change within one arm is no effect of treatment."
    )
    blocks: list[Block] = [Text(words)]
    smallest = min((len(names) for names in view.members.values()), default=0)
    reach = smallest_signed_rank_p(smallest)
    if reach >= 0.05:  # NaN, without a subject, is not
        blocks.append(
            Text(
                f"With {smallest} subjects in an arm the exact signed-rank test cannot reach p < 0.05 (smallest "
                f"two-sided p = {reach:g}), whatever the data."
            )
        )
    return (*blocks, *cohort_figures.paired(view), *_tables(view, WITHIN))


def associations(view: CohortView) -> tuple[Block, ...]:
    """Populations and CMV-DNA: the censored model first."""
    if not view.has_cmv:
        return (Text("No CMV-DNA result: nothing to hold the cells against."),)
    why = "" if view.blinded else ": ganciclovir lowers both viral load and activation"
    guard = f"Association, not causation{why}. Time must be in the model, since shared trends alone correlate."
    return (Text(guard, small=True), *cohort_figures.association(view), *_tables(view, ASSOCIATION))


def clearance(view: CohortView) -> tuple[Block, ...]:
    """Time to clearance."""
    return (*cohort_figures.clearance(view), *_tables(view, CLEARANCE)) if view.has_cmv else ()


def responders(view: CohortView) -> tuple[Block, ...]:
    """Who responded by each rule, and the difference between arms."""
    return () if view.blinded or not view.has_cmv else tuple(
        block for key, _ in runs(view, RESPONSE) for block in _responder_blocks(view, key)
    )  # fmt: skip


def _responder_blocks(view: CohortView, key: str) -> tuple[Block, ...]:
    from immunoprofile.virology import rulebook

    table, responses = view.statistics(key), view.source.visits.uns.get(schema.UNS_RESPONSES)
    title = _TITLES.get(key, key.replace("_", " "))
    if table is None or responses is None:
        return not_available(title, f"no table {schema.UNS_RESPONSES} in these results")
    order = {name: place for place, name in enumerate(rulebook().rules)}
    found = view.effects(key)
    refused = tuple(Text(f"{title}: not estimated; {one.note}.") for one in found if not one.population)
    rows = sorted((one for one in found if one.population), key=lambda one: order.get(one.population_id, len(order)))
    labels = view.source.config.arm_labels
    contrasts = {contrast_words(one, labels)[0] for one in rows}
    cells = []
    for one in rows:
        own = responses[responses["rule_id"].astype(str) == one.population_id]
        everybody = one.contrast.endswith(schema.NO_RESPONSE)
        counted = [_responder_count(own[own["usubjid"].isin(names)]["response"], everybody=everybody)
                   for names in view.members.values()]  # fmt: skip
        cells.append(row(
            wording.rule_name(one.population_id) + (f", {schema.NO_RESPONSE}" if everybody else ""),
            *([contrast_words(one, labels)[0]] if len(contrasts) > 1 else []), *counted,
            Cell(one.effect or "none", one.value),
            one.interval_at_level or "none", one.p or "none",
            one.p_adjusted or "none", one.conclusion,
        ))  # fmt: skip
    heads = ("Rule", *(("Arms",) if len(contrasts) > 1 else ()), *view.groups, "#Difference, points",
             "#Interval", "#p", "#p adjusted", "Reading")  # fmt: skip
    only = f"{next(iter(contrasts))}. " if len(contrasts) == 1 else ""
    caption = (
        f"{only}Subjects for whom the rule is true, of those for whom it can be judged; who cannot is left out, "
        f"neither a response nor a failure (reasons in statistics/{key}.csv), but for the rows that say otherwise. "
        "Points: percentage points. "
        + "; ".join(f"{name}: {words}" for name, words in dict.fromkeys((one.method_id, one.method) for one in rows))
        + f". p adjusted: {', '.join(dict.fromkeys(one.adjustment for one in rows if one.adjustment)) or 'none'}. "
        "Rules about a return ask only those who cleared and were followed on: they do not compare the arms as "
        "randomised."
    )
    return (*refused, Table(columns(*heads), tuple(cells), title, caption, "effects")) if cells else refused


def _responder_count(verdicts: pd.Series[Any], *, everybody: bool = False) -> str:
    known = verdicts.astype("boolean")
    known = known.fillna(value=False) if everybody else known.dropna()
    lost = len(verdicts) - len(known)
    return f"{int(known.sum())} of {len(known)}" + (f" ({lost} not evaluable)" if lost else "")


def sensitivity(view: CohortView) -> tuple[Block, ...]:
    """Every sensitivity analysis beside the main analysis that it varies."""
    if view.blinded:
        return (Text(BLINDED),)
    every = tuple(f"S{number}" for number in range(1, 21))
    varied = runs(view, every, sensitivity=True)
    if not varied:
        return ()
    rows: list[tuple[str, tuple[Cell, ...]]] = []
    for method in dict.fromkeys(method for _, method in varied):
        main = next((key for key, _ in runs(view, (method,))), "")
        rows += _varied(view, main, "main analysis") if main else []
        for key in (key for key, one in varied if one == method):
            rows += _varied(view, key, _TITLES.get(key, key.replace("_", " ")))
    order = list(dict.fromkeys(endpoint for endpoint, _ in rows))
    rows.sort(key=lambda one: order.index(one[0]))  # stable: the main analysis stays in front
    caption = (
        "Of each analysis the first comparison of arms; its other rows are in the folder of statistics. Contrast and "
        "day are those of the main analysis. A conclusion that only one of them supports is not robust."
    )
    heads = ("Endpoint", "Analysis", "#n", "Effect", "#Estimate", "#Interval", "Reading", "Remark")
    return (Table(columns(*heads), tuple(cells for _, cells in rows), "Sensitivity analyses", caption, "effects"),)


def _varied(view: CohortView, key: str, name: str) -> list[tuple[str, tuple[Cell, ...]]]:
    """First comparison of every endpoint of an analysis, with the endpoint."""
    found: dict[str, tuple[Cell, ...]] = {}
    for one in view.effects(key):
        endpoint = ", ".join(part for part in (one.population, one.measure) if part) or "all"
        if endpoint in found or one.kind in schema.DESCRIPTIVE_EFFECTS or one.contrast in view.members:
            continue
        found[endpoint] = row(
            endpoint, name, one.n, one.kind, Cell(one.effect or "none", one.value),
            one.interval_at_level or "none", one.conclusion, "; ".join(remark_parts(one)),
        )  # fmt: skip
    return list(found.items())


def confounding(view: CohortView) -> tuple[Block, ...]:
    """Whether batches of staining go with visits or arms."""
    table = view.statistics(schema.UNS_CONFOUNDING)
    if view.blinded:
        return ()
    if table is None:
        return not_available("Batches", "whether they go with visits or arms was not assessed")
    words = {"SEPARATE": "separate", "PARTIAL": "confounded in part", "COMPLETE": "confounded",
             "NOT_ASSESSABLE": "not assessable"}  # fmt: skip
    rows = tuple(
        row(
            one["factor"],
            Cell(words.get(one["state"], one["state"]),
                 mark="" if one["state"] == "SEPARATE" else "RULE_NOT_EVALUABLE"),
            one["message"],
        )
        for one in records(table)
    )  # fmt: skip
    caption = "Where batch and visit or arm go together a difference may be the batch's; no batch correction is made."
    return (Table(columns("Batch against", "Verdict", "What was found"), rows, "Staining batches", caption),)


def methods_text(view: CohortView) -> tuple[Block, ...]:
    """Methods of what was really run."""
    if view.blinded:
        return (Text(BLINDED),)
    written = str(view.source.visits.uns.get(schema.UNS_METHODS, ""))
    if written:
        return (Bullets(tuple(said_plainly(line) for line in written.splitlines() if line.strip())),)
    found = [table for key in _WITHOUT_PLAN if (table := view.statistics(key)) is not None]
    return (Bullets(methods(found) or ("No statistic was computed.",)),)
