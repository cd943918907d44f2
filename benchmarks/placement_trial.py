"""Placement of gates judged on the simulated trial, whose truth is known cell by cell; fixed gates beside.

    python -m benchmarks.placement_trial gains [SUBJECTS] [EVENTS]
    python -m benchmarks.placement_trial cd25
    python -m benchmarks.placement_trial cost [ROUNDS]

``gains``: every batch has gains of its own, +-15 % a channel, shared by patients and the control aliquot; the same
cells without gains beside. ``cd25``: CD25 of all CD4 cells raised after the first dose, without or with more Treg.
``cost``: a run of the demo with fixed and with placed gates in turn, one job: processor time of the gating stage.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

import immunoprofile as ip
from benchmarks.whole_run import ROOT, call
from immunoprofile.datasets import panels, study_folder
from immunoprofile.datasets.composition import control_compositions
from immunoprofile.datasets.cytometer import acquire
from immunoprofile.datasets.fcs_writer import write_fcs
from immunoprofile.gate.check import check
from immunoprofile.placement import place
from immunoprofile.placement.in_study import place_study
from immunoprofile.report import noise

GAIN = 0.15
LINEAGE = {"count": ("t", "b", "nk", "cd4", "cd8"), "treg": ("t", "cd4"), "effector": ("t", "cd4", "cd8", "nk")}


def f1(found: np.ndarray, true: np.ndarray) -> float:
    return 2 * np.count_nonzero(found & true) / max(1, np.count_nonzero(found) + np.count_nonzero(true))


@contextmanager
def gains(seed: int = 1):
    """Gains of every batch and channel, on patients and controls alike."""
    usual = study_folder._Writer.batch_shift

    def shifted(writer, panel, batch):
        rng = np.random.default_rng([seed, batch, len(panel.tube)])
        found = usual(writer, panel, batch)
        return {marker: value + float(np.log10(1 + rng.uniform(-GAIN, GAIN))) for marker, value in found.items()}

    study_folder._Writer.batch_shift = shifted
    try:
        yield
    finally:
        study_folder._Writer.batch_shift = usual


def gated(folder: Path, *, placed: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Treg of every sample of the Treg tube, and F1 of the lineages of every sample."""
    study = ip.read_study(folder)
    shipped = ip.gate.shipped_folder()
    gates = ip.gate.load(shipped / "placed" if placed else shipped)
    own = place_study(study, check(gates, study)).strategies if placed else {}
    treg, lineage = [], []
    samples = study.samples
    for row in samples[samples["role"] == "sample"].to_dict("records"):
        name, tube = row["sample_id"], row["tube_id"]
        sample = study.fcs_source(name).read()
        found = ip.gate.gate_sample(sample, own.get(name, gates[tube]))
        truth = np.load(folder.with_name(folder.name + "-truth") / "events" / f"{name}.npz", allow_pickle=False)
        names = truth["populations"].tolist()
        member = np.unpackbits(truth["member"], axis=1, count=len(names)).astype(bool)
        lineage += [(name, tube, p, f1(found.mask(p), member[:, names.index(p)])) for p in LINEAGE[tube]]
        if tube == "treg":
            true = {p: int(member[:, names.index(p)].sum()) for p in ("treg", "cd4")}
            treg.append((row["usubjid"], row["visit"], found.n("treg") / found.n("cd4"), true["treg"] / true["cd4"]))
    shares = pd.DataFrame(treg, columns=["usubjid", "visit", "share", "true"])
    return shares, pd.DataFrame(lineage, columns=["sample", "tube", "population", "f1"])


def effect(shares: pd.DataFrame, arms: pd.Series, column: str) -> float:
    """Arm effect on Treg at the last visit: ratio of the arms' geometric means of the fold change from baseline."""
    wide = np.log(shares.pivot(index="usubjid", columns="visit", values=column))
    change = (wide[next(name for name in wide if name != "BL")] - wide["BL"]).dropna()
    by_arm = change.groupby(arms.reindex(change.index)).mean()
    return float(np.exp(by_arm["IL2_GCV"] - by_arm["GCV"]))


def run_gains(subjects: int, events: int) -> None:
    rows = []
    still = None
    with tempfile.TemporaryDirectory() as folder:
        for name in ("no gains", "gains of +-15 %"):
            out = Path(folder) / name.replace(" ", "_").replace("%", "pct")
            options = {"subjects": subjects, "visits": 2, "events": events, "warts": False}
            if name == "no gains":
                ip.datasets.il2_cmv(out, **options)
            else:
                with gains():
                    ip.datasets.il2_cmv(out, **options)
            arms = ip.read_study(out).subjects.set_index("usubjid")["arm"]
            for placed in (False, True):
                shares, lineage = gated(out, placed=placed)
                own = effect(shares, arms, "share")
                still = own if still is None else still
                by = lineage.groupby("population")["f1"].mean()
                rows.append({"data": name, "gates": "placed" if placed else "fixed", "arm effect": own,
                             "true": effect(shares, arms, "true"), "against fixed, no gains": own / still - 1,
                             "Treg %CD4, mean": 100 * shares["share"].mean(),
                             "SD of log(share/true)": float(np.log(shares["share"] / shares["true"]).std()),
                             "least F1 of a sample": lineage["f1"].min(),
                             **{f"F1 {p}": by[p] for p in ("t", "b", "nk", "cd4", "cd8")}})  # fmt: skip
    print(pd.DataFrame(rows).round(4).T.to_string())


def tube(folder: Path, name: str, composition, seed: int, events: int = 200_000) -> ip.Sample:
    panel = panels.PANELS["treg"]
    got = acquire(panel, composition, events, rng=np.random.default_rng(seed))
    write_fcs(folder / f"{name}.fcs", got.data, panel, begin=datetime(2020, 1, 1))
    return ip.read_fcs(folder / f"{name}.fcs")


def run_cd25() -> None:
    """A held gate against raised CD25, and against a real change of Treg."""
    base = control_compositions()["treg"]
    treg = base.weights["treg"]
    template = ip.gate.load(ip.gate.shipped_folder() / "placed")["treg"]

    def changed(raised: float, times: float):
        """CD25 of all CD4 cells raised; Treg times a factor, taken from the conventional CD4 cells."""
        weights = dict(base.weights)
        weights["treg"] = treg * times
        weights["tconv"] -= treg * (times - 1)
        shift = {**base.log10_shift, **{(cell, "CD25"): raised for cell in ("treg", "tconv", "tconv_act")}}
        return replace(base, weights=weights, log10_shift=shift)

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        before = tube(Path(folder), "before", base, 1)
        held = place(before, template).strategy
        first = ip.gate.gate_sample(before, held)
        for number, (raised, times) in enumerate(
            ((0.0, 1.0), (0.1, 1.0), (0.2, 1.0), (0.3, 1.0), (0.3, 1.6), (0.0, 2.0), (0.2, 2.0))
        ):
            sample = tube(Path(folder), f"after-{number}", changed(raised, times), 10 + number)
            now = ip.gate.gate_sample(sample, held)
            follows = ip.gate.gate_sample(sample, place(sample, template).strategy)

            def fold(found, population, first=first):
                return (found.n(population) / found.n("cd4")) / (first.n(population) / first.n("cd4"))

            ratio, confirmed = fold(now, "treg"), fold(now, "foxp3_cd127lo")
            one, other = noise.judge(ratio, 1.0), noise.judge(confirmed, 1.0)
            verdict = noise.with_confirmation(one, other, what="FoxP3+ CD127lo CD4 T cells")
            rows.append({"CD25 raised, log10": raised, "Treg times": times, "held gate": ratio,
                         "FoxP3+ of the gate": fold(now, "treg_foxp3"),
                         "FoxP3+ CD127lo": confirmed,
                         "gate that follows": fold(follows, "treg"),
                         "held alone": one.level, "FoxP3 alone": other.level, "verdict": verdict.level})  # fmt: skip
    print(pd.DataFrame(rows).round(3).to_string(index=False))


def run_cost(rounds: int) -> None:
    """What placing the gates of the demo adds to the gating stage; the first round compiles, and is not counted."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        study, times = Path(folder) / "study", Path(folder) / "times.json"
        call(ROOT, ["simulate", str(study)], times)
        for number in range(-1, rounds):
            spent = {}
            for name, gates in (("fixed", ROOT / "gating"), ("placed", ROOT / "gating" / "placed")):
                out = Path(folder) / f"{name}-{number}"
                words = ["run", str(study), "--out", str(out), "--gates", str(gates), "--jobs", "1"]
                spent[name] = call(ROOT, words, times)["gate the files"][1]
            if number >= 0:
                rows.append(spent | {"more, %": 100 * (spent["placed"] / spent["fixed"] - 1)})
    table = pd.DataFrame(rows)
    print(table.round(2).to_string(), f"\nmedian: {table['more, %'].median():.0f} % more")


def main() -> None:
    logging.disable(logging.WARNING)
    what, *sizes = sys.argv[1:] or ["gains"]
    if what == "cd25":
        run_cd25()
    elif what == "cost":
        run_cost(int(sizes[0]) if sizes else 3)
    else:
        subjects, events = (int(text) for text in [*sizes, "12", "8000"][:2]) if sizes else (12, 8000)
        run_gains(subjects, events)


if __name__ == "__main__":
    main()
