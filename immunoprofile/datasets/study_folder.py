"""Writes the synthetic trial as a study folder, and its hidden truth beside it."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from immunoprofile.datasets import parameters as par
from immunoprofile.datasets import warts as wart_names
from immunoprofile.datasets.cases import Case, place_cases, with_cases
from immunoprofile.datasets.cohort import Cohort, Effect, generator, simulate_cohort, true_effects
from immunoprofile.datasets.composition import compositions, control_compositions
from immunoprofile.datasets.cytometer import Acquisition, acquire, single_stain
from immunoprofile.datasets.fcs_writer import CYTOMETER, SERIAL, write_fcs
from immunoprofile.datasets.new_study import new_study
from immunoprofile.datasets.panels import PANELS, RELATIVE_EVENTS, Panel
from immunoprofile.datasets.people import FIRST_ENROLMENT, Person, people
from immunoprofile.datasets.rows import Row, date, minute, write_table
from immunoprofile.datasets.tables import write_tables
from immunoprofile.datasets.warts import Wart, find, place_warts
from immunoprofile.io.analysis_plan import FunctionalEndpoint, VirologyEndpoint
from immunoprofile.io.cmv_assay import Assay
from immunoprofile.io.config import Arm, Endpoint, QualityLimits, ScheduledVisit, StudyConfig, Tube, write_config
from immunoprofile.io.control_settings import AbsoluteCounts

BATCH_D: Final = 28
"""One staining batch, with one lot of reagents and one control aliquot per tube, lasts four weeks."""
BATCH_SHIFT_SD: Final = 0.008
SUBJECT_SHIFT_SD: Final = 0.006
BEAD_LOT: Final = "SIMBEADS-01"
BEAD_EXPIRY: Final = "2022-12-31"
CONTROL_LOT: Final = "SIMCTRL-1"
"""Lot of the control material: one stabilised donor in all batches."""
CONTROL_EVENTS_SHARE: Final = 0.25
"""Share of the events of a sample that FMO controls and the unstained tube have; control aliquots are run in full."""
SINGLE_STAIN_EVENTS: Final = 2_000
_TUBES: Final = tuple(PANELS)
_REPORTING: Final = {
    **dict.fromkeys(("leukocytes", "lymphocytes", "b", "t", "nk", "cd4", "cd8", "t_dn", "t_dp"), "count"),
    **dict.fromkeys(("treg", "treg_foxp3", "foxp3_cd127lo", "treg_naive", "treg_mem", "treg_ki67", "tconv"), "treg"),
    **dict.fromkeys(
        ("nkt_like", "nk_bright", "nk_dim", "cd8_naive", "cd8_cm", "cd8_em", "cd8_temra", "cd8_act"), "effector"
    ),
}


def study_config(flow: tuple[str, ...]) -> StudyConfig:
    """Configuration of the synthetic trial, with flow cytometry at the visits named."""
    visits = tuple(
        ScheduledVisit(visit=name, visitnum=number, day=day, flow=name in flow, baseline=day == 1)
        for name, number, day in par.SCHEDULE
    )
    return StudyConfig(
        study_id=par.STUDY_ID,
        title="Low-dose IL-2 and ganciclovir in CMV infection (synthetic data)",
        registry_id="NCT04225780",
        synthetic=True,
        arms=(
            Arm(code=par.TREATED, label="Low-dose IL-2 + ganciclovir"),
            Arm(code=par.REFERENCE, label="Ganciclovir"),
        ),
        reference_arm=par.REFERENCE,
        visits=visits,
        primary_visit="D14",
        endpoints=(
            Endpoint(population="treg", label="Regulatory T cells, % of CD4", primary=True),
            Endpoint(population="nk", measure="abs", label="NK cells, cells/uL"),
            Endpoint(population="cd8", measure="abs", label="CD8+ T cells, cells/uL"),
        ),
        functional_endpoints=(
            FunctionalEndpoint(readout="nk_degranulation_k562_cd107a", label="NK cytotoxicity (CD107a), % of NK"),
        ),
        virology_endpoints=(
            VirologyEndpoint(rule="clearance_2", kind="time_to_event", label="Time to clearance", primary=True),
            VirologyEndpoint(rule="vr_d14", kind="response", label="Virologic response at day 14"),
        ),
        tubes={
            panel.tube: Tube.model_validate(
                {
                    "panel": panel.panel_id,
                    "gates": panel.tube,
                    "label": panel.label,
                    "staining_protocol": panel.staining_protocol,
                    "counts": panel.beads,
                }
            )
            for panel in PANELS.values()
        },
        reporting_tube=_REPORTING,
        reference_ranges="chng2004",
        absolute_counts=AbsoluteCounts(cv_pipetting=0.03, cv_beads=0.02, cv_blood_count=0.05),
        # The patients are lymphopenic: 1,000 lymphocytes, even 500, gave equivalent percentages in such samples
        # (Lape-Nixon and Prince, Cytometry 1996; 26: 223-226).
        quality_limits={
            "gated_lymphocytes": QualityLimits.model_validate({"pass": (1000, None), "warn": (500, None)}),
            # A file of 20,000 events has 79 bins: enough for the outlier rule, too few for the isolation tree.
            "signal_bins": QualityLimits.model_validate({"pass": (20, None), "warn": (0, None)}),
        },
        assays={
            par.CMV_ASSAY: Assay(
                name="simulated plasma CMV-DNA PCR",
                unit=par.CMV_UNIT,
                specimen=par.CMV_SPECIMEN,
                lod=par.CMV_LOD,
                lloq=par.CMV_LLOQ,
                uloq=par.CMV_ULOQ,
                iu_factor=par.CMV_IU_PER_COPY,
                iu_factor_source="assumption for synthetic data",
                source="limits as published for the Roche CAP/CTM assay",
            )
        },
    )


@dataclass
class _Writer:
    """Writes files of one study and collects the rows of ``samples`` and of the truth."""

    out: Path
    truth: Path
    seed: int
    rows: list[Row] = field(default_factory=list)
    counts: list[Row] = field(default_factory=list)

    def batch_shift(self, panel: Panel, batch: int) -> dict[str, float]:
        rng = generator(self.seed, 13, batch, _TUBES.index(panel.tube))
        return {marker: float(BATCH_SHIFT_SD * rng.standard_normal()) for marker in panel.markers}

    def subject_shift(self, panel: Panel, batch: int, subject: int) -> dict[str, float]:
        rng = generator(self.seed, 14, subject, _TUBES.index(panel.tube))
        shifts = self.batch_shift(panel, batch)
        return {marker: shift + float(SUBJECT_SHIFT_SD * rng.standard_normal()) for marker, shift in shifts.items()}

    def add(self, sample_id: str, path: str, got: Acquisition, panel: Panel, *, row: Row, begin: datetime,
            keep: float = 1.0) -> None:  # fmt: skip
        """Write one file (only the share ``keep`` of its bytes), its row and its truth."""
        file = self.out / path
        file.parent.mkdir(parents=True, exist_ok=True)
        write_fcs(file, got.data, panel, begin=begin)
        content = file.read_bytes()
        if keep < 1:
            content = content[: int(keep * len(content))]
            file.write_bytes(content)
        self.rows.append(
            {
                "sample_id": sample_id, "tube_id": panel.tube, "panel_id": panel.panel_id, "specimen_type": "WB_EDTA",
                "staining_protocol": panel.staining_protocol, "acquired_dtc": minute(begin), "instrument": CYTOMETER,
                "cytometer_sn": SERIAL, "operator": "OP1", "fcs_path": path,
                "sha256": hashlib.sha256(content).hexdigest(), "n_events_recorded": len(got.data),
                "comp_source": "keyword", "attempt": 1, "dilution": 1.0, "exclude_flag": "N", **row,
            }
        )  # fmt: skip
        np.savez(
            self.truth / "events" / f"{sample_id}.npz",
            classes=np.array(got.classes),
            code=got.code,
            populations=np.array(list(got.member)),
            member=np.packbits(np.column_stack(list(got.member.values())), axis=1),
        )
        for population, mask in got.member.items():
            self.counts.append(
                {"sample_id": sample_id, "tube": panel.tube, "population": population, "n": int(mask.sum())}
            )


def _batch(person: Person, visit: int) -> int:
    return (person.draws[visit] - FIRST_ENROLMENT).days // BATCH_D


def _bead_record(panel: Panel, *, beads: bool) -> Row:
    if not (panel.beads and beads):
        return {}
    return {
        "beads_per_tube": par.BEADS_PER_TUBE, "bead_lot": BEAD_LOT, "bead_expiry": BEAD_EXPIRY,
        "blood_volume_ul": par.BLOOD_VOLUME_UL,
    }  # fmt: skip


def _draw(
    writer: _Writer, cohort: Cohort, person: Person, *, subject: int, visit: int, events: int, warts: tuple[Wart, ...]
) -> None:
    """The tubes of one draw."""
    name, draw, batch = par.VISIT_NAMES[visit], person.draws[visit], _batch(person, visit)
    beads = not find(warts, wart_names.NO_BEADS, subject, name, "count")
    tubes = compositions(cohort, subject, visit, beads=beads)
    for number, (tube, panel) in enumerate(PANELS.items()):
        has = {
            wart: find(warts, wart, subject, name, tube)
            for wart in (wart_names.RERUN_TUBE, wart_names.TRUNCATED_FCS, wart_names.CLOG, wart_names.SAME_NAME)
        }
        first_id = f"{person.usubjid}_{name}_{tube}"
        for attempt in (1, 2) if has[wart_names.RERUN_TUBE] else (1,):
            failed = has[wart_names.RERUN_TUBE] and attempt == 1
            full = events * RELATIVE_EVENTS[tube]
            got = acquire(
                panel,
                tubes[tube],
                max(1, int(full * wart_names.FIRST_ATTEMPT_EVENTS)) if failed else full,
                rng=generator(writer.seed, 20, subject, visit, number, attempt),
                log10_shift=writer.subject_shift(panel, batch, subject),
                clog=failed or has[wart_names.CLOG],
            )
            sample_id = first_id if attempt == 1 else f"{first_id}_run{attempt}"
            path = f"fcs/{person.usubjid}/{sample_id}.fcs"
            if has[wart_names.SAME_NAME]:
                path = f"fcs/{person.usubjid}/{name}/{wart_names.SHARED_FILE_NAME}"
            steroid = draw - (draw.replace(hour=8, minute=30) - timedelta(days=1))
            row: Row = {
                "usubjid": person.usubjid, "visit": name, "role": "sample", "batch_id": f"B{batch + 1:02d}",
                "attempt": attempt, "supersedes": first_id if attempt == 2 else None,
                "site": person.site, "collected_dtc": minute(draw), "stained_dtc": minute(draw + timedelta(hours=1)),
                "hours_since_last_il2": person.hours_since_il2(draw),
                "hours_since_last_steroid": round(steroid.total_seconds() / 3600, 1),
                **_bead_record(panel, beads=beads),
            }  # fmt: skip
            begin = draw + timedelta(hours=2 + number + (attempt - 1) * 0.5)
            keep = wart_names.TRUNCATED_SHARE if has[wart_names.TRUNCATED_FCS] else 1.0
            writer.add(sample_id, path, got, panel, row=row, begin=begin, keep=keep)


def _controls(writer: _Writer, batches: list[int], events: int) -> None:
    """One control aliquot per batch and tube; FMO controls, single stains and an unstained tube in the first batch."""
    tubes = control_compositions()
    size = max(1, int(events * CONTROL_EVENTS_SHARE))
    stain_size = min(size, SINGLE_STAIN_EVENTS)
    for batch in batches:
        day = FIRST_ENROLMENT + timedelta(days=batch * BATCH_D, hours=8)
        for number, (tube, panel) in enumerate(PANELS.items()):
            shift = writer.batch_shift(panel, batch)
            plan: list[tuple[str, str, tuple[str, ...]]] = [("control", "", ())]
            if batch == batches[0]:
                plan += [("fmo", marker, (marker,)) for marker in panel.fmo]
                plan += [("unstained", "", panel.markers)]
                plan += [("single_stain", marker, ()) for marker in panel.markers]
            for position, (role, marker, unstained) in enumerate(plan):
                rng = generator(writer.seed, 21, batch, number, position)
                if role == "single_stain":
                    got = single_stain(panel, marker, stain_size, rng=rng)
                else:
                    run = events * RELATIVE_EVENTS[tube] if role == "control" else size
                    got = acquire(panel, tubes[tube], run, rng=rng, log10_shift=shift, unstained=unstained)
                slug = "".join(c for c in marker if c.isalnum())
                sample_id = "_".join(part for part in (f"B{batch + 1:02d}", tube, role, slug) if part)
                row: Row = {
                    "role": role, "fmo_marker": marker or None, "batch_id": f"B{batch + 1:02d}",
                    "control_lot": CONTROL_LOT if role == "control" else None,
                    "site": "01", "collected_dtc": date(day), "stained_dtc": minute(day),
                    **_bead_record(panel, beads=role != "single_stain"),
                }  # fmt: skip
                writer.add(
                    sample_id, f"fcs/controls/{sample_id}.fcs", got, panel, row=row,
                    begin=day + timedelta(hours=1, minutes=5 * position),
                )  # fmt: skip


def _write_truth(
    truth: Path, cohort: Cohort, counts: list[Row], warts: tuple[Wart, ...], cases: tuple[Case, ...]
) -> None:
    ids = cohort.usubjid
    states = [
        {"usubjid": ids[i], "visit": visit, "quantity": name, "unit": unit, "value": float(value[i, j])}
        for values, unit in ((cohort.per_ul, "cells/uL"), (cohort.share, "share of parent"))
        for name, value in values.items()
        for i in range(cohort.n_subjects)
        for j, visit in enumerate(par.VISIT_NAMES)
    ]
    virology = cohort.virology
    kinetics = {"usubjid": ids, "arm": cohort.arm, "half_life_d": virology.half_life_d, "hump": virology.hump,
                "rebound": virology.rebound}  # fmt: skip
    loads = [
        {"usubjid": ids[i], "visit": visit, "log10_iu_ml": virology.true_log10[i, j], "kind": virology.kind[i, j]}
        for i in range(cohort.n_subjects)
        for j, visit in enumerate(par.VISIT_NAMES)
    ]
    tables = {
        "counts": pd.DataFrame(counts),
        "visits": pd.DataFrame(states),
        "kinetics": pd.DataFrame(kinetics),
        "cmv": pd.DataFrame(loads),
        "effects": true_effects(cohort.effect),
    }
    for name, table in tables.items():
        table.to_csv(truth / f"{name}.csv", index=False, lineterminator="\n", encoding="utf-8")
    with (truth / "warts.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ("name", "usubjid", "visit", "tube", "note"), lineterminator="\n")
        writer.writeheader()
        writer.writerows(wart.as_dict(ids) for wart in warts)
    with (truth / "cases.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ("case", "usubjid", "table", "rule", "expected", "note"), lineterminator="\n")
        writer.writeheader()
        writer.writerows(row for case in cases for row in case.rows(ids))


def il2_cmv(
    out: str | Path,
    *,
    subjects: int = 10,
    visits: int = 5,
    events: int = 20_000,
    seed: int = 2020,
    effect: Effect = "il2",
    warts: bool = True,
    cases: bool | None = None,
    progress: bool = False,
) -> Path:
    """Write the synthetic low-dose IL-2 and ganciclovir trial as a study folder.

    All numbers are assumptions for demonstration, not results: population sizes, IL-2 effects and CMV-DNA kinetics
    stand in `immunoprofile.datasets.parameters`. Same arguments, same bytes.

    Parameters
    ----------
    out
        Folder to write; must not exist or must be empty. The hidden truth goes to ``<out>-truth`` beside it.
    subjects
        Number of subjects, at least 2, in two arms.
    visits
        Number of visits with flow cytometry, 2 to 7 (five: BL, D7, D14, D28, W8); CMV-DNA and blood counts are taken
        at all seven.
    events
        Events per FCS file, at least 200; the Treg tube records twice as many, FMO controls a quarter.
    seed
        Seed of everything.
    effect
        ``none`` switches the effect of IL-2 on cells and virus off.
    warts
        Deliberate flaws, listed in ``warts.csv`` of the truth (see `immunoprofile.datasets.warts`).
    cases
        Named clinical cases (ineligible, indeterminate, refractory ...) in the tables of the first eight subjects,
        listed with the expected verdicts in ``cases.csv`` of the truth (see `immunoprofile.datasets.cases`). They
        change CMV-DNA, neutrophils, creatinine, doses and screening of those subjects, never their lymphocytes.
        By default they are there when ``warts`` are.
    progress
        Show a progress bar.

    Returns
    -------
    The study folder.

    Raises
    ------
    ImmunoprofileError
        The folder, or the folder of the truth, is not empty; another process is at work in it; it cannot be written.
        Nothing was written then.
    ValueError
        A number out of range or an unknown effect.

    Examples
    --------
    >>> import tempfile
    >>> from immunoprofile.datasets import il2_cmv
    >>> study = il2_cmv(tempfile.mkdtemp(), subjects=2, visits=2, events=200)
    >>> (study / "study.yaml").is_file()
    True
    """
    if events < 200:
        msg = f"events must be at least 200, not {events}"
        raise ValueError(msg)
    flow = par.flow_visits(visits)
    cohort = simulate_cohort(subjects, seed=seed, effect=effect)
    placed = place_warts(subjects, flow) if warts else ()
    named = place_cases(subjects) if (warts if cases is None else cases) else ()
    cohort = with_cases(cohort, named)
    with new_study(Path(out)) as (folder, truth):
        _write(folder, truth, cohort, flow, placed, named, events=events, seed=seed, progress=progress)
    return Path(out)


def _write(
    folder: Path,
    truth: Path,
    cohort: Cohort,
    flow: tuple[str, ...],
    placed: tuple[Wart, ...],
    named: tuple[Case, ...],
    *,
    events: int,
    seed: int,
    progress: bool,
) -> None:
    from tqdm import tqdm

    from immunoprofile.io.progress import hidden

    subjects, persons = cohort.n_subjects, people(cohort)
    (truth / "events").mkdir()
    write_config(study_config(flow), folder)
    write_tables(folder, cohort, persons, warts=placed, cases=named, flow=flow)
    writer = _Writer(folder, truth, seed)
    draws = [(i, par.VISIT_NAMES.index(visit)) for i in range(subjects) for visit in flow]
    taken = [(i, j) for i, j in draws if not find(placed, wart_names.MISSING_VISIT, i, par.VISIT_NAMES[j])]
    for i, j in tqdm(taken, desc="simulate", unit="visit", disable=hidden(wanted=progress)):
        _draw(writer, cohort, persons[i], subject=i, visit=j, events=events, warts=placed)
    _controls(writer, sorted({_batch(persons[i], j) for i, j in taken}), events)
    write_table(folder, "samples", writer.rows)
    _write_truth(truth, cohort, writer.counts, placed, named)
