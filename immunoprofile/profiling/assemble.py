"""From the counts of single files to the visits object: one row a visit, each population from its reporting tube."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from immunoprofile import schema
from immunoprofile.gate.definition import definition, difference_in_words, differences
from immunoprofile.gate.strategy import Strategy
from immunoprofile.io.dates import days_between
from immunoprofile.io.records import Parts, records
from immunoprofile.io.references import UNSCHEDULED
from immunoprofile.profiling import timeline
from immunoprofile.profiling.outcome import Chosen, Outcome
from immunoprofile.resources import populations as known_populations
from immunoprofile.resources import reference_ranges
from immunoprofile.study import Study

if TYPE_CHECKING:
    import anndata

LYMPHOCYTES = "lymphocytes"
LEUKOCYTES = "leukocytes"
_OF_SAMPLE = (
    "specimen_type", "collected_dtc", "stained_dtc", "acquired_dtc", "batch_id", "hours_since_last_il2",
    "hours_since_last_steroid",
)  # fmt: skip
"""Columns of obs that come from the sample whose times stand for the visit."""


def reporting_tubes(study: Study, gates: Mapping[str, Strategy]) -> dict[str, str]:
    """Population -> tube that reports it: as declared, else the counting tube, else the first tube that has it."""
    order = [tube for tube in study.config.tubes if tube in gates]
    if study.config.count_tube in order:
        order = [str(study.config.count_tube), *(t for t in order if t != study.config.count_tube)]
    found: dict[str, str] = {}
    for tube in order:
        for population in gates[tube].populations:
            found.setdefault(population, tube)
    return found | {p: t for p, t in study.config.reporting_tube.items() if t in gates and p in gates[t]}


def choose_attempts(
    study: Study, outcomes: Mapping[str, Outcome], *, passes: Callable[[float], bool]
) -> dict[tuple[str, str, str], Outcome]:
    """The attempt of each tube that is used, by the rule of the study, before any result is looked at.

    ``last`` and ``first`` go by the attempt number among the files that could be gated; ``last_passing`` takes the last
    that passes the check of the flow rate, or the last when none does. ``passes`` is that check for a
    per cent of the time; a flow rate that could not be assessed has not passed.
    """
    samples = study.samples[study.samples["role"] == "sample"]
    chosen: dict[tuple[str, str, str], Outcome] = {}
    for key, group in samples.groupby(["usubjid", "visit", "tube_id"], sort=True):
        ordered = group.sort_values(["attempt", "sample_id"], kind="stable", na_position="first")
        usable = [outcomes[s] for s in ordered["sample_id"] if s in outcomes and outcomes[s].gated]
        if not usable:
            continue
        if study.config.attempt_rule == "first":
            best = usable[0]
        else:
            stable = [o for o in usable if o.flow_pct_time is not None and passes(o.flow_pct_time)]
            best = stable[-1] if study.config.attempt_rule == "last_passing" and stable else usable[-1]
        usubjid, visit, tube = (str(part) for part in key)
        chosen[usubjid, visit, tube] = best
    return chosen


def assemble(study: Study, gates: Mapping[str, Strategy], chosen: Chosen, virology: pd.DataFrame) -> anndata.AnnData:
    """The visits object with counts, percentages of common denominators and everything that ``obs`` and ``var`` hold.

    Cells/uL, intervals, ratios, changes and verdicts are added by `immunoprofile.pp`.

    Parameters
    ----------
    study, gates
        The study and its gates.
    chosen
        The attempt used for each tube.
    virology
        Table of `schema.VIROLOGY_COLUMNS` with a visit for each result.
    """
    import anndata

    var = _var(study, gates)
    rows = _rows(study)
    obs = _obs(study, gates, rows, chosen, virology)
    shape = (len(rows), len(var))
    names = (schema.COUNTS, schema.PARENT_COUNTS, schema.PCT_LYMPHOCYTES, schema.PCT_LEUKOCYTES, schema.ANCHOR_COUNTS)
    layers = {name: np.full(shape, np.nan) for name in names}
    columns = [
        (population, tube, anchor, {*gates[tube].path(population), population})
        for population, tube, anchor in zip(var.index, var["tube"], var["abs_anchor"], strict=True)
    ]
    for i, (usubjid, visit) in enumerate(rows):
        of_tubes = {
            tube: {row[0]: (row[4], row[5]) for row in chosen[usubjid, visit, tube].counts}
            for tube in dict.fromkeys(var["tube"])
            if (usubjid, visit, tube) in chosen
        }
        for j, (population, tube, anchor, lineage) in enumerate(columns):
            counts = of_tubes.get(tube, {})
            if population not in counts:  # not measured, or this sample of a workspace was gated without it
                continue
            n, n_parent = counts[population]
            layers[schema.COUNTS][i, j] = n
            layers[schema.PARENT_COUNTS][i, j] = n_parent
            for ancestor, layer in ((LYMPHOCYTES, schema.PCT_LYMPHOCYTES), (LEUKOCYTES, schema.PCT_LEUKOCYTES)):
                if ancestor in lineage and counts[ancestor][0]:
                    layers[layer][i, j] = 100.0 * n / counts[ancestor][0]
            if anchor in counts:
                layers[schema.ANCHOR_COUNTS][i, j] = counts[anchor][0]
    with np.errstate(invalid="ignore", divide="ignore"):
        parents = layers[schema.PARENT_COUNTS]
        percentages = np.where(parents > 0, 100.0 * layers[schema.COUNTS] / parents, np.nan)
    visits = anndata.AnnData(X=percentages, obs=obs, var=var, layers=layers)
    visits.obsm[schema.MDFI] = _by_marker(rows, var, chosen, obs.index, lambda outcome: outcome.medians)
    for name in study.config.intensity_statistics:
        found = _by_marker(rows, var, chosen, obs.index, _rows_of(name))
        visits.obsm[f"{schema.INTENSITY_PREFIX}{name}"] = found
    visits.uns |= _uns(study, gates)
    if study.config.reference_ranges:
        _add_ranges(visits, reference_ranges(study.config.reference_ranges))
    return visits


def _rows(study: Study) -> list[tuple[str, str]]:
    samples = study.samples[study.samples["role"] == "sample"]
    order = {visit: number for number, visit in enumerate(_visit_order(study))}
    pairs = set(zip(samples["usubjid"], samples["visit"], strict=True))
    return sorted(pairs, key=lambda pair: (pair[0], order[pair[1]]))


def _visit_order(study: Study) -> list[str]:
    """Visits of the schedule by their number, then unscheduled ones."""
    samples = study.samples[study.samples["role"] == "sample"]
    extra = {str(v) for v in samples["visit"].dropna() if str(v).startswith(UNSCHEDULED)}
    return [*study.config.visit_names, *sorted(extra)]


def _var(study: Study, gates: Mapping[str, Strategy]) -> pd.DataFrame:
    tubes = reporting_tubes(study, gates)
    registry = known_populations()
    keys = {endpoint.population for endpoint in study.config.endpoints}
    ordered = [p for tube in study.config.tubes if tube in gates for p in gates[tube].populations if tubes[p] == tube]
    rows = []
    for population in ordered:
        tube = tubes[population]
        strategy = gates[tube]
        entry = registry.get(population)
        anchor = _anchor(population, strategy, tubes, study.config.count_tube)
        apart = differences(strategy, population)
        rows.append(
            {
                "display": entry.display if entry else strategy[population].label or population,
                "parent": strategy[population].parent,
                "tube": tube,
                "marker_string": (
                    entry.marker_string if entry and entry.technical else definition(strategy, population)
                ),
                "definition_note": difference_in_words(apart),
                "cl_id": entry.cl_id or "" if entry else "",
                "cl_match": ("broad" if apart and entry.cl_id else entry.cl_match) if entry else "none",
                "panel_id": study.config.tubes[tube].panel,
                "abs_anchor": anchor,
                "is_key": population in keys,
                "ref_low": np.nan,
                "ref_high": np.nan,
            }
        )
    return pd.DataFrame(rows, index=pd.Index(ordered, name=None))


def _anchor(population: str, strategy: Strategy, tubes: Mapping[str, str], count_tube: str | None) -> str:
    """Nearest ancestor (or itself) that the counting tube reports; empty for what is no cell population.

    Beads, singlets or live cells have no concentration in blood: only leukocytes, lymphocytes and what is below them.
    """
    lineage = (population, *reversed(strategy.path(population)[1:]))
    blood = {LEUKOCYTES, LYMPHOCYTES}
    if count_tube is None or not blood & set(lineage):
        return ""
    return next((name for name in lineage if tubes.get(name) == count_tube), "")


def _obs(
    study: Study, gates: Mapping[str, Strategy], rows: Sequence[tuple[str, str]], chosen: Chosen, virology: pd.DataFrame
) -> pd.DataFrame:
    samples: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in records(study.samples, "samples"):
        if row["role"] == "sample":
            samples.setdefault((row["usubjid"], row["visit"]), []).append(row)
    used = {outcome.sample_id for outcome in chosen.values()}
    numbers = {visit.visit: visit.visitnum for visit in study.config.visits}
    unscheduled = [visit for visit in _visit_order(study) if visit not in numbers]
    numbers |= {visit: 900.0 + n for n, visit in enumerate(unscheduled, 1)}
    count_tube = study.config.count_tube
    # Taken apart once: a look through the whole tables for every visit would grow with the square of the study.
    results = Parts(virology, "usubjid", "visit")
    labs = study.labs[study.labs["test"].isin(timeline.BLOOD_COUNT)]
    counts = Parts(labs, "usubjid")
    table: list[dict[str, Any]] = []
    for usubjid, visit in rows:
        subject = study.subject(usubjid)
        own = samples[usubjid, visit]
        # The sample whose times stand for the visit: that of the counting tube, else the first.
        lead = min(own, key=lambda row: (row["tube_id"] != count_tube, row["sample_id"] not in used, row["sample_id"]))
        record: dict[str, Any] = {
            "usubjid": usubjid,
            "visit": visit,
            "visitnum": numbers[visit],
            "study_day": timeline.study_day(subject, lead["collected_dtc"], study.config.immunology_anchor),
            "virology_day": days_between(subject["first_gcv_dtc"], lead["collected_dtc"]),
            "arm": subject["arm"],
            **{name: lead[name] for name in _OF_SAMPLE},
        }
        record |= _beads(own, chosen.get((usubjid, visit, str(count_tube))), count_tube, gates)
        count = timeline.blood_count(counts.of(usubjid), usubjid, lead["collected_dtc"])
        record |= {"alc": count.alc, "wbc": count.wbc, "cbc_hours": count.hours, "cbc_ambiguous": count.ambiguous}
        record |= _cmv(results.of(usubjid, visit))
        table.append(record)
    obs = pd.DataFrame(table, index=pd.Index([f"{u}_{v}" for u, v in rows], name=None)) if table else _no_visits()
    obs["visit"] = pd.Categorical(obs["visit"], categories=_visit_order(study), ordered=True)
    obs["arm"] = pd.Categorical(obs["arm"], categories=[arm.code for arm in study.config.arms])
    for name in ("study_day", "virology_day"):
        obs[name] = obs[name].astype("Int64")
    measured = [f"{usubjid}_{visit}" for usubjid, visit, _ in chosen]
    obs["baseline_flag"] = pd.array(timeline.baseline_rows(obs, study, measured), dtype="boolean")
    return obs


def _no_visits() -> pd.DataFrame:
    """The columns of ``obs`` for a study of controls alone, which has results of files but no visit."""
    kinds = dict.fromkeys((*_OF_SAMPLE, "bead_lot"), "text") | schema.cell_kinds("obs")
    dtypes = {"text": "object", "number": "float64", "flag": "boolean"}
    columns = {name: pd.Series(dtype=dtypes[kind]) for name, kind in kinds.items()}
    return pd.DataFrame(columns, index=pd.Index([], dtype="object"))


def _beads(
    own: Sequence[Mapping[str, Any]], outcome: Outcome | None, count_tube: str | None, gates: Mapping[str, Strategy]
) -> dict[str, Any]:
    names = ("beads_per_tube", "blood_volume_ul", "acquired_volume_ul", "dilution")
    if outcome is None or count_tube is None or count_tube not in gates:
        return {"n_beads": np.nan, **dict.fromkeys(names, np.nan), "bead_lot": ""}
    record = next(row for row in own if row["sample_id"] == outcome.sample_id)
    beads = gates[count_tube].beads
    counted = outcome.count(beads) if beads and not np.isnan(record["beads_per_tube"]) else None
    return {
        "n_beads": np.nan if counted is None else float(counted),
        **{name: record[name] for name in names},
        "bead_lot": record["bead_lot"],
    }


def _cmv(own: pd.DataFrame) -> dict[str, Any]:
    """CMV-DNA columns of a visit, from its last valid result; the others are listed in virology.csv.

    ``cmv_series`` names assay and specimen: results of different series are never compared.
    """
    own = own.sort_values("collected_dtc", kind="stable")
    own = own[own["kind"] != "INVALID"] if (own["kind"] != "INVALID").any() else own
    columns = {
        "cmv_kind": "kind", "cmv_raw": "result_raw", "cmv_unit": "unit", "cmv_log10": "log10_value",
        "cmv_lower": "log10_lower", "cmv_upper": "log10_upper", "cmv_drop": "log10_drop",
        "cmv_drop_lower": "log10_drop_lower", "cmv_drop_upper": "log10_drop_upper",
    }  # fmt: skip
    if own.empty:
        texts = dict.fromkeys(("cmv_kind", "cmv_raw", "cmv_unit", "cmv_series", "flags"), "")
        return dict.fromkeys(columns, np.nan) | texts
    last = own.iloc[-1]
    series = f"{last['assay_id']}, {last['specimen']}"
    return {name: last[source] for name, source in columns.items()} | {"cmv_series": series, "flags": last["flags"]}


def _rows_of(statistic: str) -> Callable[[Outcome], list[tuple[str, str, float]]]:
    """(population, marker, value) rows of one statistic of a file."""
    return lambda outcome: [(row[0], row[1], row[3]) for row in outcome.intensities if row[2] == statistic]


def _by_marker(
    rows: Sequence[tuple[str, str]],
    var: pd.DataFrame,
    chosen: Chosen,
    index: pd.Index[Any],
    values: Callable[[Outcome], Iterable[tuple[str, str, float]]],
) -> pd.DataFrame:
    """Intensities, one column a population and marker of its reporting tube."""
    found: list[dict[str, float]] = []
    for usubjid, visit in rows:
        row: dict[str, float] = {}
        for population, tube in zip(var.index, var["tube"], strict=True):
            outcome = chosen.get((usubjid, visit, tube))
            if outcome is not None:
                row |= {f"{name}_{_key(marker)}": v for name, marker, v in values(outcome) if name == population}
        found.append(row)
    columns = sorted({name for row in found for name in row})
    return pd.DataFrame(found, columns=columns, index=index, dtype="float64")


@lru_cache(maxsize=1024)
def _key(marker: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in marker.casefold())


def _uns(study: Study, gates: Mapping[str, Strategy]) -> dict[str, Any]:
    config = study.config
    return {
        schema.UNS_SCHEDULE: pd.DataFrame(
            [(v.visit, v.visitnum, v.day, v.flow, v.baseline) for v in sorted(config.visits, key=lambda v: v.visitnum)],
            columns=["visit", "visitnum", "day", "flow", "baseline"],
        ),
        schema.UNS_TEMPLATES: {
            tube: {"version": s.version, "panel": s.panel, "sha256": s.sha256} for tube, s in gates.items()
        },
        schema.UNS_STUDY: {
            "study_id": config.study_id,
            "title": config.title,
            "synthetic": config.synthetic,
            "arms": [arm.code for arm in config.arms],
            "arm_labels": [arm.label for arm in config.arms],
            "reference_arm": config.reference_arm,
            "primary_visit": config.primary_visit,
            "baseline_visit": config.baseline_visit,
            "count_tube": config.count_tube or "",
            "endpoints": pd.DataFrame([e.model_dump() for e in config.endpoints]),
            **{
                name: pd.DataFrame([e.model_dump() for e in declared])
                for name, declared in (
                    ("functional_endpoints", config.functional_endpoints),
                    ("virology_endpoints", config.virology_endpoints),
                )
                if declared
            },
            "plan": "" if config.plan is None else config.plan.model_dump_json(),
            "schema_version": schema.SCHEMA_VERSION,
        },
    }


def _add_ranges(visits: anndata.AnnData, ranges: pd.DataFrame) -> None:
    """The table of reference ranges, and in ``var`` the limits of X that hold for both sexes."""
    visits.uns[schema.UNS_RANGES] = ranges
    both = ranges[(ranges["measure"] == "pct_parent") & (ranges["sex"] == "any")].drop_duplicates("population")
    for name, column in (("ref_low", "low"), ("ref_high", "high")):
        visits.var[name] = both.set_index("population")[column].reindex(visits.var_names).to_numpy(dtype=float)
