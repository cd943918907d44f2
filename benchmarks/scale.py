"""Bookkeeping at scale: processor time per file and per page, and peak memory, for 10, 40 and 160 subjects.

    python -m benchmarks.scale                     all sizes, one after another, each in a process of its own
    python -m benchmarks.scale --subjects 40       one size; prints one line
    python -m benchmarks.scale --large             200 and 10,000 files, one run of each; half an hour

Small files (1,000 events, one tube, two visits), so that what is measured is the bookkeeping and not the gating of
events. Processor time, not wall time: other work on the machine changes the latter. Each process runs a study of three
subjects first, which takes imports and compilation. Then a study of three and one of the size are run in turn: what the
former take is the fixed part of a run (the visits object, some twenty tables) and six files; the cost of a file or page
is that of each one beyond them. Small studies are run more often, since less of them is files; the medians count.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import immunoprofile as ip
from tests.io.fcs_files import events, spill_text, write
from tests.small_study import STUDY_YAML, write_gates

SIZES = (10, 40, 160)
LARGE = (100, 5_000)
_FEW = 3
_STAGES = {"read": "read", "gate": "gate the files", "statistics": "statistics", "reports": "reports", "seal": "hashes"}
_PLAN = "plan: {analyses: [{key: change, method: S1}, {key: compare, method: S3}, {key: associate, method: S8}]}\n"


def study(folder: Path, subjects: int) -> Path:
    """A study of so many subjects, two visits each."""
    folder.mkdir(parents=True)
    (folder / "study.yaml").write_text(STUDY_YAML + _PLAN, encoding="utf-8")
    people = [f"S-{number:04d}" for number in range(1, subjects + 1)]
    visits = {"BL": "2024-03-01", "D14": "2024-03-14"}
    rows: dict[str, list[str]] = {
        "subjects": ["usubjid,arm,sex,age_y,first_dose_dtc,first_gcv_dtc,randomised_dtc"],
        "visits": ["usubjid,visit,start_dtc,occurred,reason_not_done"],
        "samples": ["sample_id,usubjid,visit,tube_id,role,specimen_type,collected_dtc,fcs_path"],
        "cmv_dna": ["usubjid,visit,collected_dtc,result_raw,unit,assay_id,specimen"],
        "labs": ["usubjid,visit,collected_dtc,test,value,unit,lln,uln,lab_id"],
    }
    for number, person in enumerate(people):
        rows["subjects"].append(f"{person},{'AB'[number % 2]},{'FM'[number % 2]},44,2024-03-01,2024-03-01,2024-03-01")
        for place, (visit, day) in enumerate(visits.items()):
            name = f"{person}_{visit}"
            rows["visits"].append(f"{person},{visit},{day},Y,")
            rows["samples"].append(f"{name},{person},{visit},t,sample,WB_EDTA,{day}T08:00,fcs/{name}.fcs")
            rows["cmv_dna"].append(f"{person},{visit},{day},{9000 // (1 + 8 * place) + number},IU/mL,cap,plasma")
            rows["labs"].append(f"{person},{visit},{day}T07:50,WBC,{3.2 + number % 5 / 10},10^9/L,3.5,9.5,L1")
            write(folder / "fcs" / f"{name}.fcs", events(1000, seed=2 * number + place), **{"$SPILLOVER": spill_text()})
    for name, lines in rows.items():
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def measure(subjects: int, rounds: int = 0) -> dict[str, float]:
    """Processor seconds of the stages of a run, and the peak of the memory of this process, MiB."""
    import resource

    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as place:
        gates = ip.gate.load(write_gates(Path(place) / "gates"))
        _run(Path(place) / "imports", gates, _FEW)
        # in turn, so that what drifts (other work, a warmer processor) meets both alike
        runs = [[_run(Path(place) / f"{size}-{n}", gates, size) for size in (_FEW, subjects)]
                for n in range(rounds or max(3, 200 // subjects))]  # fmt: skip
        few, own = (_medians(list(of_size)) for of_size in zip(*runs, strict=True))
    files, pages = own["files"] - few["files"], own["pages"] - few["pages"]
    more = {stage: own[stage] - few[stage] for stage in own}
    return {
        "subjects": subjects,
        "files": own["files"],
        "pages": own["pages"],
        **{f"{name}_s_of_{_FEW}_subjects": round(few[stage], 3) for name, stage in _STAGES.items()},
        "read_ms_per_file": 1000 * more["read"] / files,
        "gate_ms_per_file": 1000 * more["gate the files"] / files,
        "statistics_s": own["statistics"],
        "reports_ms_per_page": 1000 * more["reports"] / pages,
        "seal_ms_per_file": 1000 * more["hashes"] / files,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _run(place: Path, gates: ip.gate.GateSet, subjects: int) -> dict[str, float]:
    """Processor seconds of each stage of one run, with the numbers of its files and pages."""
    seconds: dict[str, float] = {"files": 2 * subjects}

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        begun = time.process_time()
        yield
        seconds[name] = time.process_time() - begun

    folder = study(place / "study", subjects)
    gc.collect()  # what an earlier run left is not taken away on the time of this one
    with stage("read"):
        found = ip.read_study(folder)
    ip.run_study(found, gates, out=place / "out", stage=stage)
    seconds["pages"] = len(list((place / "out" / "reports").rglob("*.html")))
    return seconds


def _medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def main() -> None:
    """Print the table, or one line of it."""
    parser = argparse.ArgumentParser(description="Measure the bookkeeping of runs of several sizes.")
    parser.add_argument("--subjects", type=int)
    parser.add_argument("--rounds", type=int, default=0, help="runs of each size; 0: more of small ones")
    parser.add_argument("--large", action="store_true", help="200 and 10,000 files, one run of each")
    options = parser.parse_args()
    if options.subjects:
        print(json.dumps(measure(options.subjects, options.rounds)))
        return
    for size in LARGE if options.large else SIZES:
        rounds = ["--rounds", "1"] if options.large else []
        done = subprocess.run([sys.executable, "-m", "benchmarks.scale", "--subjects", str(size), *rounds],
                              capture_output=True, text=True, check=True)  # fmt: skip
        print(done.stdout.strip().splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
