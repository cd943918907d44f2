"""Control aliquots of every batch held against the target of their lot, and what follows for the reports of a batch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from immunoprofile.io.records import numbered, records
from immunoprofile.placement.controls import attempt_of, place_of
from immunoprofile.pp.control_rules import REJECTING, Run, Target, established, judge_runs
from immunoprofile.pp.flags import split_flags, update_flags
from immunoprofile.profiling.tube_values import UNITS, TubeValue, tube_values
from immunoprofile.schema import CONTROL_BATCH_COLUMNS, CONTROL_COLUMNS

if TYPE_CHECKING:
    import anndata

    from immunoprofile.gate.strategy import Strategy
    from immunoprofile.io.exceptions import Exceptions
    from immunoprofile.profiling.outcome import Chosen, Outcome
    from immunoprofile.study import Study

DECLARED: Final = "declared"
_FLAGS: Final = {"HELD": "CONTROL_FAILED", "RELEASED": "CONTROL_RELEASED", "WARN": "CONTROL_WARN"}
_MEASURES: Final = {"pct_parent": "% of parent", "abs": "cells/uL"}

Batch = tuple[str, str, str]
"""Batch, tube and panel."""


@dataclass(frozen=True)
class _Tube:
    """One control tube that is judged."""

    row: Mapping[Any, Any]
    values: Mapping[tuple[str, str], TubeValue]

    @property
    def series(self) -> tuple[str, str, str, str]:
        """Tube, panel, lot and instrument: what has one target."""
        row = self.row
        return row["tube_id"], row["panel_id"], row["control_lot"], row["cytometer_sn"] or row["instrument"]

    @property
    def run(self) -> str:
        """Its batch; a control without one is a run of its own."""
        return str(self.row["batch_id"] or self.row["sample_id"])


def control_table(
    study: Study, gates: Mapping[str, Strategy], outcomes: Mapping[str, Outcome], var: pd.DataFrame
) -> pd.DataFrame:
    """Every control run, population and measure with its target, its deviate, and the rules that it breaks.

    Parameters
    ----------
    study, gates
        The study and the gates of its tubes.
    outcomes
        What the run kept of each file.
    var
        ``var`` of the visits object: which populations are endpoints, and where their cells/uL come from.

    Returns
    -------
    pandas.DataFrame
        `schema.CONTROL_COLUMNS`. Of several attempts of a control the first is judged: repeating one until it passes
        would find nothing. Runs from which a target is established are not judged by it.
    """
    series: dict[tuple[str, str, str, str], dict[str, list[_Tube]]] = {}
    for one in _judged_tubes(study, gates, outcomes):
        series.setdefault(one.series, {}).setdefault(one.run, []).append(one)
    declared = {
        (row["control_lot"], row["tube_id"], row["population"], row["measure"]): Target(
            row["mean"], row["sd"], 0.0 if math.isnan(row["sd_within"]) else row["sd_within"]
        )
        for row in records(study.control_targets, "control_targets")
    }
    rows: list[dict[str, Any]] = []
    for key in sorted(series):
        tube, _, lot, _ = key
        keys = {name for tubes in series[key].values() for one in tubes for name in one.values}
        holding = _holding(study, var, tube, keys)
        order = {name: number for number, name in enumerate(gates[tube].populations)}
        for population, measure in sorted(keys, key=lambda name: (order[name[0]], name[1] == "abs")):
            target = declared.get((lot, tube, population, measure))
            rows += _series_rows(
                key, series[key], population, measure, target, study.config.controls.target_runs,
                holds=(population, measure) in holding,
            )  # fmt: skip
    return pd.DataFrame(rows, columns=list(CONTROL_COLUMNS)).astype({"holds": "boolean"})


def _judged_tubes(study: Study, gates: Mapping[str, Strategy], outcomes: Mapping[str, Outcome]) -> list[_Tube]:
    """Control tubes in order of acquisition: of each replicate of a run the first attempt that was gated."""
    first: dict[tuple[str, str, str, str], tuple[float, str]] = {}
    rows = [row for row in records(study.samples, "samples") if row["role"] == "control" and row["tube_id"] in gates]
    gated = [row for row in rows if row["sample_id"] in outcomes and outcomes[row["sample_id"]].gated]
    for row in gated:
        place = _replicate_of(row)
        rank = (attempt_of(row), str(row["sample_id"]))
        first[place] = min(first.get(place, rank), rank)
    taken = [row for row in gated if first[_replicate_of(row)][1] == row["sample_id"]]
    taken.sort(key=lambda row: (place_of(row).time, row["batch_id"], row["sample_id"]))
    count_tube = study.config.count_tube
    return [
        _Tube(
            row,
            tube_values(outcomes[row["sample_id"]], row, gates[row["tube_id"]], counts=row["tube_id"] == count_tube),
        )
        for row in taken
    ]


def _replicate_of(row: Mapping[Any, Any]) -> tuple[str, str, str, str]:
    """What attempts of one control share; a control with neither attempt nor replicate is one by itself."""
    number = float(row["replicate"])
    alone = number != number and attempt_of(row) == 0
    name = str(row["sample_id"]) if alone or not row["batch_id"] else f"{number:g}"
    return row["tube_id"], row["panel_id"], row["batch_id"], name


def _holding(study: Study, var: pd.DataFrame, tube: str, measured: Set[tuple[str, str]]) -> set[tuple[str, str]]:
    """What of a tube the declared endpoints rest on, or all measures of the populations that the study names.

    Cells/uL rest on those of the ancestor in the count tube and, of a population of another tube, on its percentage
    there. A count tube whose controls have no beads tells by its percentages.
    """
    if named := study.config.controls.populations:
        return {one for one in measured if one[0] in named}
    found: set[tuple[str, str]] = set()
    for endpoint in study.config.endpoints:
        name = endpoint.population
        if name not in var.index:
            continue
        own, anchor = str(var.loc[name, "tube"]), str(var.loc[name, "abs_anchor"])
        if endpoint.measure == "abs" and tube == study.config.count_tube and anchor:
            found.add((anchor, "abs") if (anchor, "abs") in measured else (anchor, "pct_parent"))
        if own == tube and (endpoint.measure == "pct_parent" or anchor != name):
            found.add((name, "pct_parent"))
    return found & measured


def _series_rows(
    key: tuple[str, str, str, str],
    tubes: Mapping[str, Sequence[_Tube]],
    population: str,
    measure: str,
    declared: Target | None,
    wanted: int,
    *,
    holds: bool,
) -> list[dict[str, Any]]:
    """Rows of one population and measure, run by run."""
    measured = {
        name: [(one, one.values[population, measure]) for one in own if (population, measure) in one.values]
        for name, own in tubes.items()
    }
    measured = {name: own for name, own in measured.items() if own}
    runs = [Run(name, tuple(value.value for _, value in own)) for name, own in measured.items()]
    target = declared or established(runs, wanted=wanted)
    start = 0 if declared else min(wanted, len(runs))
    judged = judge_runs(runs[start:], target) if target is not None else []
    if declared:
        source = DECLARED
    elif target is not None:
        source = f"first {wanted} runs of the lot"
    else:
        source = f"none: {len(runs)} of {wanted} runs" if len(runs) < wanted else "none: the runs do not vary"
    rows = []
    for number, (run, own) in enumerate(zip(runs, measured.values(), strict=True)):
        row: dict[str, Any] = dict(zip(("tube", "panel_id", "control_lot", "instrument"), key, strict=True))
        row |= {
            "batch_id": own[0][0].row["batch_id"], "acquired_dtc": place_of(own[0][0].row).time,
            "samples": "; ".join(str(one.row["sample_id"]) for one, _ in own), "tubes": len(own),
            "population": population, "measure": measure, "value": run.mean, "unit": UNITS[measure],
            "n": sum(value.n for _, value in own), "target_from": source, "rules": "", "state": "NOT_EVALUABLE",
            "target": math.nan, "sd": math.nan, "z": math.nan, "ewma": math.nan, "holds": holds,
        }  # fmt: skip
        if target is not None:
            row |= {"target": target.mean, "sd": target.sd_of(len(own))}
            if number < start:
                # A run of the target itself: where it lies is drawn, but no rule is held against it.
                row |= {"z": (run.mean - target.mean) / row["sd"], "target_from": f"{source}, this one among them"}
            else:
                one = judged[number - start]
                state = "FAIL" if one.failed else "WARN" if one.rules else "PASS"
                row |= {"z": one.z, "ewma": one.ewma, "rules": "; ".join(one.rules), "state": state}
        rows.append(row)
    return rows


def batch_table(study: Study, controls: pd.DataFrame, chosen: Chosen) -> pd.DataFrame:
    """What the control says of each batch and tube, and who released it.

    Parameters
    ----------
    study
        With ``control_releases``.
    controls
        From `control_table`.
    chosen
        The attempt used for each tube of a visit.

    Returns
    -------
    pandas.DataFrame
        `schema.CONTROL_BATCH_COLUMNS`, one row a batch, tube and panel; empty where the study has no control. A tube
        that never had one is left out.
    """
    samples = {row["sample_id"]: row for row in records(study.samples, "samples")}
    with_controls = {row["tube_id"] for row in samples.values() if row["role"] == "control"}
    visits: Counter[Batch] = Counter(
        batch_of(samples[one.sample_id]) for one in chosen.values() if one.tube in with_controls
    )
    own: dict[Batch, list[dict[str, Any]]] = {}
    for row in records(controls, "controls"):
        own.setdefault((row["batch_id"], row["tube"], row["panel_id"]), []).append(row)
    tried = {batch_of(row) for row in samples.values() if row["role"] == "control"}
    rows = []
    for batch in sorted({*visits, *own, *tried}):
        found = own.get(batch, [])
        state, why = _state(found)
        names = "; ".join(dict.fromkeys(name for row in found for name in row["samples"].split("; ")))
        release = _release(study, batch, found) if state == "HELD" else None
        row = dict(zip(("batch_id", "tube", "panel_id"), batch, strict=True))
        row |= {"state": state, "why": why, "samples": names, "visits": visits[batch]}
        if release is not None:
            row |= {"state": "RELEASED"} | {name: release[name] for name in ("author", "dtc", "reason")}
        rows.append({name: row.get(name, "") for name in CONTROL_BATCH_COLUMNS})
    return pd.DataFrame(rows, columns=list(CONTROL_BATCH_COLUMNS))


def batch_of(row: Mapping[Any, Any]) -> Batch:
    """Batch, tube and panel of a row of the samples table."""
    return row["batch_id"], row["tube_id"], row["panel_id"]


def _state(rows: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """State of a batch by the rows of its control, and why in words."""
    if not rows:
        return "NO_CONTROL", "no control of this batch and tube was judged: none there, not readable, or excluded"
    failed = [row for row in rows if row["state"] == "FAIL"]
    holding = [row for row in rows if row["holds"]]
    if held := [row for row in failed if row["holds"]]:
        return "HELD", "; ".join(_words(row) for row in held)
    if not holding or all(row["state"] == "NOT_EVALUABLE" for row in holding):
        what = dict.fromkeys(row["target_from"] for row in holding or rows)
        none = "" if holding else "no population of this tube holds a report; "
        if not holding and failed:
            return "WARN", "; ".join(_words(row) for row in failed)
        if not holding and any(row["state"] != "NOT_EVALUABLE" for row in rows):
            return _looked(rows)
        return "NOT_EVALUABLE", f"{none}target {', '.join(what)}"
    return _looked(rows)


def _looked(rows: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    odd = [row for row in rows if row["state"] in ("FAIL", "WARN")]
    return ("WARN", "; ".join(_words(row) for row in odd)) if odd else ("PASS", "")


def _words(row: Mapping[str, Any]) -> str:
    rules = [rule for rule in row["rules"].split("; ") if row["state"] != "FAIL" or rule in REJECTING]
    value, target = f"{row['value']:.4g}", f"{row['target']:.4g}"
    what = f"{row['population']} {_MEASURES[row['measure']]} {', '.join(rules)}"
    return f"{what} ({value}, target {target}, z {row['z']:+.2f})"


def _release(study: Study, batch: Batch, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The release of a batch and tube; one that is older than the control was of something else."""
    latest = max(row["acquired_dtc"] for row in rows)
    for row in records(study.control_releases, "control_releases"):
        if (row["batch_id"], row["tube_id"]) == batch[:2] and not too_early(row["dtc"], latest):
            return row
    return None


def too_early(released: str, acquired: str) -> bool:
    """Whether a release is older than the control that it is about; dates are compared as far as both say."""
    length = min(len(released), len(acquired))
    return released[:length] < acquired[:length]


def note_controls(study: Study, controls: pd.DataFrame, batches: pd.DataFrame, notes: Exceptions) -> None:
    """Rows of exceptions.csv: batches that are held or released, without a control or a target, releases of nothing.

    Parameters
    ----------
    study
        With ``control_releases``.
    controls, batches
        From `control_table` and `batch_table`.
    notes
        Takes the rows.
    """
    unknown: dict[tuple[str, str], list[str]] = {}
    for row in records(batches, "control_batches"):
        what = f"control of batch {row['batch_id'] or '(none)'}, tube {row['tube']}"
        place = {"table": "samples", "sample_id": row["samples"].split("; ")[0]}
        visits = f"{row['visits']:.0f} {'visit' if row['visits'] == 1 else 'visits'}"
        if row["state"] == "HELD":
            notes.add(
                "error", "CONTROL_FAILED", f"{what} failed: {row['why']}; the reports of {visits} are held", **place,
                action="look at controls.csv and the chart of the cohort page; find the cause and run the batch again, "
                "or release it in control_releases with a reason",
            )  # fmt: skip
        elif row["state"] == "RELEASED":
            released = f"released by {row['author']}: {row['reason']}"
            notes.add("note", "CONTROL_RELEASED", f"{what} failed: {row['why']}; {released}", **place)
        elif row["state"] == "WARN":
            notes.add("warning", "CONTROL_WARN", f"{what} asks for a look: {row['why']}", **place)
        elif row["state"] == "NO_CONTROL" and row["visits"]:
            notes.add(
                "warning", "CONTROL_MISSING",
                f"{what}: none was judged (none there, not readable, or excluded), so nothing is known of it",
                table="samples", action="run a control aliquot with every batch",
            )  # fmt: skip
        elif row["state"] == "NOT_EVALUABLE":
            unknown.setdefault((row["tube"], row["why"]), []).append(row["batch_id"])
    for (tube, why), names in unknown.items():
        notes.add("warning", "CONTROL_NOT_EVALUABLE", f"controls of tube {tube}, batches {', '.join(names)}: {why}",
                  table="control_targets", action="declare a target in control_targets")  # fmt: skip
    for row in records(study.samples, "samples"):
        if row["role"] == "control" and row["exclude_flag"]:
            # It may be the one that failed: who looks at the batch has to know that there was another.
            what = f"control {row['sample_id']} of batch {row['batch_id'] or '(none)'}, tube {row['tube_id']}"
            notes.add("warning", "CONTROL_EXCLUDED", f"{what} was excluded and not judged: {row['exclude_reason']}",
                      table="samples", sample_id=row["sample_id"])  # fmt: skip
    _note_releases(study, controls, batches, notes)


def _note_releases(study: Study, controls: pd.DataFrame, batches: pd.DataFrame, notes: Exceptions) -> None:
    states = {(row["batch_id"], row["tube"]): row["state"] for row in records(batches, "control_batches")}
    acquired: dict[tuple[str, str], str] = {}
    for row in records(controls, "controls"):
        key = (row["batch_id"], row["tube"])
        acquired[key] = max(acquired.get(key, ""), row["acquired_dtc"])
    for number, row in numbered(study.control_releases, "control_releases"):
        key = (row["batch_id"], row["tube_id"])
        what = f"release of batch {key[0]}, tube {key[1]}"
        if states.get(key) == "HELD" and too_early(row["dtc"], acquired[key]):
            early = f"{what} ({row['dtc']}) is older than its control ({acquired[key]}) and was not used"
            todo = "look at the control, then release it anew"
            notes.add("error", "RELEASE_TOO_EARLY", early, table="control_releases", row=number, action=todo)
        elif states.get(key) != "RELEASED":
            notes.add("warning", "RELEASE_NOT_USED", f"{what}: no control of it failed", table="control_releases",
                      row=number)  # fmt: skip


def flag_batches(visits: anndata.AnnData, study: Study, batches: pd.DataFrame, chosen: Chosen) -> None:
    """Flag the visits whose batches are held, released or to be looked at. Writes ``visits.obs['flags']``."""
    states = {
        (row["batch_id"], row["tube"], row["panel_id"]): row["state"] for row in records(batches, "control_batches")
    }
    samples = {row["sample_id"]: row for row in records(study.samples, "samples")}
    found: dict[tuple[str, str], list[str]] = {}
    for (subject, visit, _), outcome in sorted(chosen.items()):
        flag = _FLAGS.get(states.get(batch_of(samples[outcome.sample_id]), ""))
        if flag:
            found.setdefault((subject, visit), []).append(flag)
    keys = zip(visits.obs["usubjid"].astype(str), visits.obs["visit"].astype(str), strict=True)
    codes = [split_flags(" ".join(found.get(key, ()))) for key in keys]
    update_flags(visits, codes, owned=tuple(_FLAGS.values()))
