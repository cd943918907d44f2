"""A hand-written study of two subjects, for tests of intake: small enough to read."""

from __future__ import annotations

from pathlib import Path

from tests.io.fcs_files import events, spill_text, write

STUDY_YAML = """\
study_id: SMALL
title: A small study
arms:
  - {code: A, label: Drug}
  - {code: B, label: Control}
reference_arm: B
visits:
  - {visit: BL, visitnum: 1, day: 1, baseline: true}
  - {visit: D14, visitnum: 2, day: 14}
primary_visit: D14
endpoints:
  - {population: t, measure: pct_parent, label: T cells, primary: true}
tubes:
  t: {panel: T-1, gates: t, staining_protocol: washed}
assays:
  cap: {name: CAP/CTM, unit: IU/mL, specimen: plasma, lod: 91, lloq: 137, uloq: 9100000}
"""

TABLES = {
    "subjects": """\
usubjid,arm,sex,age_y,first_dose_dtc,first_gcv_dtc,randomised_dtc
S-1,A,F,44,2024-03-01,2024-03-01,2024-03-01
S-2,B,M,51,2024-03-04,2024-03-04,2024-03-04
""",
    "visits": """\
usubjid,visit,start_dtc,occurred,reason_not_done
S-1,BL,2024-03-01,Y,
S-1,D14,2024-03-14,Y,
S-2,BL,2024-03-04,Y,
S-2,D14,,N,MISSED
""",
    "samples": """\
sample_id,usubjid,visit,tube_id,role,specimen_type,collected_dtc,fcs_path
S-1_BL,S-1,BL,t,sample,WB_EDTA,2024-03-01T08:00,fcs/S-1_BL.fcs
S-1_D14,S-1,D14,t,sample,WB_EDTA,2024-03-14T08:00,fcs/S-1_D14.fcs
S-2_BL,S-2,BL,t,sample,WB_EDTA,2024-03-04T08:00,fcs/S-2_BL.fcs
""",
    "cmv_dna": """\
usubjid,visit,collected_dtc,result_raw,unit,assay_id,specimen
S-1,BL,2024-03-01,"10,000",IU/mL,cap,plasma
S-1,D14,2024-03-14,<137,IU/mL,cap,plasma
S-1,,2024-03-20,not detected,IU/mL,cap,plasma
S-2,BL,2024-03-04,5000,IU/mL,cap,plasma
""",
    "labs": """\
usubjid,visit,collected_dtc,test,value,unit,lln,uln,lab_id
S-1,BL,2024-03-01T07:50,WBC,3.2,10^9/L,3.5,9.5,L1
S-1,BL,2024-03-01T07:50,LYMPH_PCT,25,%,20,50,L1
S-1,,2024-03-20T09:00,ALC,900,cells/uL,1100,3200,L1
""",
}

TEMPLATE = """\
# tube: t
# panel: T-1
# scales: {logicle: {kind: logicle, T: 262144, W: 0.5, M: 4.5, A: 0}}
# default_scale: logicle
# channels: {CD3: FITC-A, CD56: PE-A}
population,parent,gate,dim_1,min_1,max_1,dim_2,min_2,max_2
lymphocytes,root,rectangle,FSC-A,70000,,SSC-A,,60000
t,lymphocytes,rectangle,CD3,0.45,,CD56,,
nk,lymphocytes,rectangle,CD3,,0.45,CD56,0.45,
"""


def write_study(folder: Path, *, files: bool = True, **changed: str | None) -> Path:
    """Write the study; a keyword replaces the text of a table (None leaves the table out)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.yaml").write_text(changed.pop("config", None) or STUDY_YAML, encoding="utf-8")
    for name, text in (TABLES | changed).items():
        if text is not None:
            (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    if files:
        for seed, name in enumerate(("S-1_BL", "S-1_D14", "S-2_BL"), 1):
            write(folder / "fcs" / f"{name}.fcs", events(3000, seed=seed), **{"$SPILLOVER": spill_text()})
    return folder


def write_gates(folder: Path) -> Path:
    """Write the template of the study."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "t.csv").write_text(TEMPLATE)
    return folder
