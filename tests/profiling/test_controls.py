"""Control aliquots of batches: targets, rules, batches that are held and released; replicates and their precision."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pandas as pd
import pytest

import immunoprofile as ip
from immunoprofile.errors import StudyError
from immunoprofile.io.exceptions import Exceptions
from immunoprofile.profiling.control_runs import batch_table, control_table, note_controls, too_early
from immunoprofile.profiling.decisions import check_decisions
from immunoprofile.profiling.outcome import Outcome
from immunoprofile.profiling.replicates import find_replicates, precision_table, replicate_rows
from tests.small_study import STUDY_YAML, TABLES, write_gates, write_study

HEAD = (
    "sample_id,usubjid,visit,tube_id,role,batch_id,replicate,attempt,control_lot,specimen_type,collected_dtc,"
    "acquired_dtc,fcs_path,beads_per_tube,bead_lot,blood_volume_ul\n"
)
TARGETS = "control_lot,tube_id,population,measure,mean,sd,sd_within,source\nL1,t,t,pct_parent,50,2,,certificate\n"
VAR = pd.DataFrame({"tube": ["t"] * 3, "abs_anchor": [""] * 3}, index=["lymphocytes", "t", "nk"])
RELEASE = "batch_id,tube_id,reason,author,dtc\n"


def control(batch: int, *, lot: str = "L1", replicate: str = "", attempt: str = "", name: str = "") -> str:
    name = name or f"C{batch:02d}"
    day = f"2024-03-{batch:02d}T08:00"
    return f"{name},,,t,control,B{batch:02d},{replicate},{attempt},{lot},WB_EDTA,,{day},fcs/{name}.fcs,,,\n"


def sample(subject: str, visit: str, batch: int, *, role: str = "sample", name: str = "", drawn: str = "") -> str:
    name = name or f"{subject}_{visit}"
    drawn = drawn or {"BL": "2024-03-01T08:00", "D14": "2024-03-14T08:00"}[visit]
    number = name.rpartition("_r")[2] if role == "replicate" else ""
    return (
        f"{name},{subject},{visit},t,{role},B{batch:02d},{number},,,WB_EDTA,{drawn},2024-03-{batch:02d}T10:00,"
        f"fcs/{name}.fcs,,,\n"
    )


def outcome(name: str, t: int, *, nk: int = 2000, lymphocytes: int = 10_000, beads: int | None = None) -> Outcome:
    rows = [
        ("lymphocytes", "", "root", "root/lymphocytes", lymphocytes, 20_000),
        ("t", "", "lymphocytes", "root/lymphocytes/t", t, lymphocytes),
        ("nk", "", "lymphocytes", "root/lymphocytes/nk", nk, lymphocytes),
    ]
    rows += [] if beads is None else [("beads", "", "root", "root/beads", beads, 30_000)]
    return Outcome(name, f"fcs/{name}.fcs", "t", counts=tuple(rows))


class Small:
    """A study of one tube with controls, and what a run would keep of its files."""

    def __init__(self, folder: Path, rows: list[str], t: dict[str, int], **tables: str | None) -> None:
        write_study(folder / "study", files=False, samples=HEAD + "".join(rows), **tables)
        self.study = ip.read_study(folder / "study", require_files=False)
        self.gates = ip.gate.load(write_gates(folder / "gates"))
        self.outcomes = {name: outcome(name, n) for name, n in t.items()}

    @property
    def chosen(self):
        rows = self.study.samples
        rows = rows[rows["role"] == "sample"]
        return {
            (str(row.usubjid), str(row.visit), "t"): self.outcomes[str(row.sample_id)]
            for row in rows.itertuples()
            if row.sample_id in self.outcomes
        }

    @property
    def controls(self) -> pd.DataFrame:
        return control_table(self.study, self.gates, self.outcomes, VAR)

    @property
    def batches(self) -> pd.DataFrame:
        return batch_table(self.study, self.controls, self.chosen).set_index("batch_id")

    @property
    def notes(self) -> pd.DataFrame:
        notes = Exceptions("gating")
        note_controls(self.study, self.controls, batch_table(self.study, self.controls, self.chosen), notes)
        return notes.table()

    def of(self, population: str) -> pd.DataFrame:
        table = self.controls
        return table[table["population"] == population].set_index("batch_id")


def test_declared_target_by_hand_holds_a_batch(tmp_path):
    rows = [control(1), control(2), sample("S-1", "BL", 1), sample("S-1", "D14", 2)]
    counts = {"C01": 5100, "C02": 5620, "S-1_BL": 4000, "S-1_D14": 4000}
    small = Small(tmp_path, rows, counts, control_targets=TARGETS)
    found = small.of("t")
    assert found["value"].tolist() == [51.0, 56.2]
    assert found["z"].tolist() == pytest.approx([0.5, 3.1])  # (51 - 50) / 2, (56.2 - 50) / 2
    assert found["state"].tolist() == ["PASS", "FAIL"]
    assert found.loc["B02", "rules"].split("; ") == ["1-2s", "1-3s"]
    assert found["target_from"].unique() == ["declared"]
    assert found["holds"].all()  # the endpoint of the study
    assert set(small.of("nk")["state"]) == {"NOT_EVALUABLE"}  # no target
    assert small.batches["state"].to_dict() == {"B01": "PASS", "B02": "HELD"}
    assert small.batches["visits"].to_dict() == {"B01": 1, "B02": 1}
    (row,) = small.notes[small.notes["code"] == "CONTROL_FAILED"].to_dict("records")
    assert row["severity"] == "error"
    assert row["sample_id"] == "C02"
    assert "1-3s (56.2, target 50, z +3.10)" in row["message"]
    assert "reports of 1 visit are held" in row["message"]


def test_release_with_a_reason_and_its_limits(tmp_path):
    rows = [control(1), control(2), sample("S-1", "BL", 1), sample("S-1", "D14", 2)]
    counts = {"C01": 5100, "C02": 5620, "S-1_BL": 4000, "S-1_D14": 4000}

    def with_release(folder: str, row: str) -> Small:
        return Small(tmp_path / folder, rows, counts, control_targets=TARGETS, control_releases=RELEASE + row)

    good = with_release("good", "B02,t,old aliquot thawed twice; patients' beads agree,AB,2024-03-02\n")
    row = good.batches.loc["B02"]
    assert row["state"] == "RELEASED"
    assert (row["author"], row["dtc"]) == ("AB", "2024-03-02")
    assert "thawed twice" in row["reason"]
    (note,) = good.notes[good.notes["code"] == "CONTROL_RELEASED"].to_dict("records")
    assert note["severity"] == "note"
    assert "released by AB: old aliquot" in note["message"]

    early = with_release("early", "B02,t,looked fine,AB,2024-03-01\n")
    assert early.batches.loc["B02", "state"] == "HELD"
    assert set(early.notes["code"]) >= {"CONTROL_FAILED", "RELEASE_TOO_EARLY"}

    unused = with_release("unused", "B01,t,to be sure,AB,2024-03-02\n")
    assert unused.batches["state"].to_dict() == {"B01": "PASS", "B02": "HELD"}
    assert "RELEASE_NOT_USED" in set(unused.notes["code"])

    for number, (bad, column) in enumerate(
        (
            ("B02,t,,AB,2024-03-02\n", "reason"),
            ("B02,t,  ,AB,2024-03-02\n", "reason"),
            ("B02,t,why,,2024-03-02\n", "author"),
        )
    ):
        with pytest.raises(StudyError, match=column):
            with_release(f"bad{number}", bad)
    unknown = with_release("unknown", "B07,t,why,AB,2024-03-09\n")
    with pytest.raises(StudyError, match="no control in this batch"):
        check_decisions(unknown.study, unknown.gates)


def test_targets_of_nothing_are_refused_all_at_once(tmp_path):
    rows = "L1,t,tt,pct_parent,50,2,,\nL9,t,t,pct_parent,50,2,,\nL1,x,t,pct_parent,50,2,,\nL1,t,t,abs,50,2,,\n"
    rows += "L1,t,nk,pct_parent,50,2,3,\n"
    head = TARGETS.splitlines(keepends=True)[0]
    small = Small(tmp_path, [control(1), sample("S-1", "BL", 1)], {}, control_targets=head + rows)
    with pytest.raises(StudyError) as error:
        check_decisions(small.study, small.gates)
    text = str(error.value)
    for words in ("no such population", "has this lot", "no such tube", "only the counting tube", "greater than sd"):
        assert words in text
    with pytest.raises(StudyError, match="sd"):
        Small(tmp_path / "zero", [control(1)], {}, control_targets=head + "L1,t,t,pct_parent,50,0,,\n")


def series(seed: int = 1, *, n: int = 12) -> tuple[list[str], dict[str, int]]:
    draw = random.Random(seed)
    values = {f"C{batch:02d}": 5000 + round(draw.gauss(0, 150)) for batch in range(1, n + 1)}
    return [control(batch) for batch in range(1, n + 1)], values


def five_runs() -> str:
    return STUDY_YAML + "controls: {target_runs: 5}\n"


def test_target_from_the_first_runs_of_a_lot(tmp_path):
    rows, values = series()
    values["C09"] = 7000
    small = Small(tmp_path, rows, values, config=five_runs())
    found = small.of("t")
    first = [values[f"C{n:02d}"] / 100 for n in range(1, 6)]
    mean = sum(first) / 5
    sd = math.sqrt(sum((one - mean) ** 2 for one in first) / 4)
    assert found["target"].tolist() == pytest.approx([mean] * 12)
    assert found["sd"].tolist() == pytest.approx([sd] * 12)
    assert found["state"].tolist()[:5] == ["NOT_EVALUABLE"] * 5
    assert "this one among them" in found.loc["B05", "target_from"]
    assert found.loc["B06", "target_from"] == "first 5 runs of the lot"
    assert found.loc["B09", "state"] == "FAIL"
    assert small.batches.loc["B09", "state"] == "HELD"


def test_a_lot_without_enough_runs_is_not_evaluable_and_never_a_pass(tmp_path):
    rows, values = series(n=4)
    small = Small(tmp_path, [*rows, sample("S-1", "BL", 1)], values | {"S-1_BL": 4000}, config=five_runs())
    assert set(small.controls["state"]) == {"NOT_EVALUABLE"}
    assert set(small.controls["target_from"]) == {"none: 4 of 5 runs"}
    assert set(small.batches["state"]) == {"NOT_EVALUABLE"}
    (note,) = small.notes.to_dict("records")
    assert (note["code"], note["severity"]) == ("CONTROL_NOT_EVALUABLE", "warning")
    assert "4 of 5 runs" in note["message"]


def test_each_lot_has_its_own_target(tmp_path):
    rows = [control(n, lot="L1" if n <= 6 else "L2") for n in range(1, 13)]
    values = {f"C{n:02d}": (5000 if n <= 6 else 7000) + 40 * (n % 3) for n in range(1, 13)}
    found = Small(tmp_path, rows, values, config=five_runs()).of("t")
    assert found.loc["B01", "target"] < 51 < 69 < found.loc["B12", "target"]
    assert found.loc["B06", "state"] == found.loc["B12", "state"] == "PASS"


def test_order_of_rows_does_not_matter(tmp_path):
    rows, values = series()
    values |= {f"C{n:02d}": values[f"C{n:02d}"] + 600 for n in (10, 11, 12)}
    plain = Small(tmp_path / "a", rows, values, config=five_runs())
    mixed = rows.copy()
    random.Random(5).shuffle(mixed)
    other = Small(tmp_path / "b", mixed, dict(reversed(values.items())), config=five_runs())
    pd.testing.assert_frame_equal(plain.controls, other.controls)
    pd.testing.assert_frame_equal(plain.batches, other.batches)
    assert "FAIL" in set(plain.of("t")["state"])  # the shift is found


def test_a_later_run_condemns_no_earlier_one(tmp_path):
    rows, values = series()
    values |= {f"C{n:02d}": 5900 for n in (11, 12)}
    whole = Small(tmp_path / "a", rows, values, config=five_runs()).controls
    until = Small(tmp_path / "b", rows[:10], {n: values[n] for n in list(values)[:10]}, config=five_runs()).controls
    early = whole[whole["batch_id"].isin(until["batch_id"].unique())].reset_index(drop=True)
    pd.testing.assert_frame_equal(early, until)


def test_repeating_a_failed_control_does_not_make_it_pass(tmp_path):
    names = [control(1, attempt="1", name="C01"), control(1, attempt="2", name="C01b")]
    small = Small(tmp_path, names, {"C01": 5700, "C01b": 5000}, control_targets=TARGETS)
    assert small.of("t")["samples"].tolist() == ["C01"]
    assert small.batches.loc["B01", "state"] == "HELD"


@pytest.mark.parametrize("again", [False, True])
def test_a_control_that_was_excluded_is_told(tmp_path, again):
    """Leaving out the one that failed ends no hold in silence, whether or not another one stands in."""
    head = HEAD.replace("blood_volume_ul\n", "blood_volume_ul,exclude_flag,exclude_reason\n")
    rows = [control(1, attempt="1", name="C01"), sample("S-1", "BL", 1)]
    rows += [control(1, attempt="2", name="C01b")] if again else []
    text = "".join(row.replace("\n", ",Y,aliquot thawed\n" if row.startswith("C01,") else ",,\n") for row in rows)
    small = Small(tmp_path, [], {"C01b": 5000, "S-1_BL": 4000}, control_targets=TARGETS)
    write_study(tmp_path / "study", files=False, samples=head + text, control_targets=TARGETS)
    small.study = ip.read_study(tmp_path / "study", require_files=False)
    assert small.batches.loc["B01", "state"] == ("PASS" if again else "NO_CONTROL")
    (told,) = small.notes.query("code == 'CONTROL_EXCLUDED'").to_dict("records")
    assert (told["severity"], told["sample_id"]) == ("warning", "C01")
    assert told["message"] == "control C01 of batch B01, tube t was excluded and not judged: aliquot thawed"


def test_replicates_of_a_run_are_judged_by_their_mean_and_their_range(tmp_path):
    names = [control(1, replicate=str(n), name=f"C01r{n}") for n in (1, 2)]
    targets = TARGETS.replace("50,2,,", "50,2,2,")
    small = Small(tmp_path / "mean", names, {"C01r1": 5350, "C01r2": 5250}, control_targets=targets)
    row = small.of("t").loc["B01"]
    # mean 53, SD of a mean of two sqrt(4 - 4/2) = 1.414: z 2.12
    assert (row["value"], row["tubes"]) == (53.0, 2)
    assert row["z"] == pytest.approx(3 / math.sqrt(2))
    spread = Small(tmp_path / "range", names, {"C01r1": 5410, "C01r2": 4590}, control_targets=targets)
    assert "R-4s" in spread.of("t").loc["B01", "rules"]
    assert spread.batches.loc["B01", "state"] == "HELD"


def test_batch_without_control_is_said(tmp_path):
    rows = [control(1), sample("S-1", "BL", 1), sample("S-1", "D14", 2)]
    small = Small(tmp_path, rows, {"C01": 5000, "S-1_BL": 4000, "S-1_D14": 4000}, control_targets=TARGETS)
    assert small.batches["state"].to_dict() == {"B01": "PASS", "B02": "NO_CONTROL"}
    assert small.notes["code"].tolist() == ["CONTROL_MISSING"]
    none = Small(tmp_path / "none", [sample("S-1", "BL", 1)], {"S-1_BL": 4000})
    assert none.batches.empty
    assert none.notes.empty


def test_named_populations_hold_in_place_of_the_endpoints(tmp_path):
    config = STUDY_YAML + "controls: {populations: [nk]}\n"
    small = Small(tmp_path, [control(1)], {"C01": 5700}, control_targets=TARGETS, config=config)
    assert small.batches.loc["B01", "state"] == "NOT_EVALUABLE"  # nk has no target; t failed and is said
    assert small.of("t").loc["B01", "state"] == "FAIL"
    small = Small(tmp_path / "x", [control(1)], {}, config=STUDY_YAML + "controls: {populations: [nkk]}\n")
    with pytest.raises(StudyError, match="did you mean nk"):
        check_decisions(small.study, small.gates)


@pytest.mark.parametrize(
    ("released", "acquired", "early"),
    [
        ("2024-03-02", "2024-03-02T08:00", False),
        ("2024-03-02T07:00", "2024-03-02T08:00", True),
        ("2024-03-01", "2024-03-02T08:00", True),
        ("2024-03-02", "", False),
    ],
)
def test_dates_are_compared_as_far_as_both_say(released, acquired, early):
    assert too_early(released, acquired) is early


# --- replicates -----------------------------------------------------------------------------------


def replicated(tmp_path: Path, *, cv: float, pairs: int, draws: bool, config: str = STUDY_YAML) -> pd.DataFrame:
    """Precision of T cells from pairs of one draw, or of two draws before the first dose, of many subjects."""
    draw = random.Random(7)
    subjects = "usubjid,arm,sex,age_y,first_dose_dtc,first_gcv_dtc,randomised_dtc\n"
    visits = "usubjid,visit,start_dtc,occurred,reason_not_done\n"
    rows, counts = [], {}
    for number in range(pairs):
        name = f"S-{number}"
        subjects += f"{name},A,F,44,2024-03-01,2024-03-01,2024-03-01\n"
        visits += f"{name},BL,2024-03-01,Y,\n"
        rows.append(sample(name, "BL", 1))
        again = "2024-02-28T08:00" if draws else ""
        rows.append(sample(name, "BL", 1, role="replicate", name=f"{name}_BL_r2", drawn=again))
        level = draw.uniform(3000, 6000)
        for one in (f"{name}_BL", f"{name}_BL_r2"):
            counts[one] = round(level * math.exp(draw.gauss(0, cv)))
    small = Small(tmp_path, rows, counts, subjects=subjects, visits=visits, cmv_dna=None, labs=None, config=config)
    found = find_replicates(small.study, small.gates, small.outcomes, small.chosen)
    table = precision_table(small.study, VAR, found)
    return table[(table["population"] == "t") & (table["measure"] == "pct_parent")].set_index("kind")


def test_draws_of_untreated_subjects_replace_the_default(tmp_path):
    row = replicated(tmp_path, cv=0.08, pairs=60, draws=True).loc["draw"]
    assert row["cv_lower"] < 8 < row["cv_upper"]
    assert bool(row["used"])
    assert row["cv"] < row["cv_used"] < 1.06 * row["cv"]  # t of 60 degrees of freedom


def test_tubes_of_one_draw_do_not_lower_the_default(tmp_path):
    row = replicated(tmp_path, cv=0.08, pairs=60, draws=False).loc["tube"]
    assert not bool(row["used"])
    assert "do not hold biology" in row["note"]
    # CV^2 + 1/n <= 0.25^2
    assert row["loq_events"] == math.ceil(1 / (0.25**2 - (row["cv"] / 100) ** 2))
    assert row["loq"] == pytest.approx(row["loq_events"] / 10_000 * 100)


def test_tubes_of_one_draw_with_the_biology_of_the_study(tmp_path):
    config = STUDY_YAML + "controls: {cv_within_subject: 0.12}\n"
    row = replicated(tmp_path, cv=0.08, pairs=60, draws=False, config=config).loc["tube"]
    assert bool(row["used"])
    assert row["cv_used"] == pytest.approx(100 * math.hypot(row["cv"] / 100 * 1.02, 0.12), rel=0.02)


def test_a_poor_assay_raises_the_default(tmp_path):
    row = replicated(tmp_path, cv=0.35, pairs=60, draws=False).loc["tube"]
    assert bool(row["used"])
    assert row["cv_used"] > 25
    assert math.isinf(row["loq_events"])
    assert math.isnan(row["loq"])


def test_few_replicates_replace_nothing(tmp_path):
    row = replicated(tmp_path, cv=0.08, pairs=9, draws=True).loc["draw"]
    assert not bool(row["used"])
    assert "9 degrees of freedom, 10 are needed" in row["note"]


def test_replicate_tubes_of_the_count_tube_agree_in_cd3_by_hand(tmp_path):
    config = STUDY_YAML.replace("staining_protocol: washed", "staining_protocol: lyse_no_wash, counts: true")
    rows = [sample("S-1", "BL", 1), sample("S-1", "BL", 1, role="replicate", name="S-1_BL_r2")]
    rows = [row.replace(",,,\n", ",50000,LOT,50\n") for row in rows]
    small = Small(tmp_path, rows, {"S-1_BL": 4000, "S-1_BL_r2": 4400}, config=config)
    gates = tmp_path / "gates" / "t.csv"
    gates.write_text("# beads: beads\n" + gates.read_text() + "beads,root,rectangle,FSC-A,,1000,,,\n")
    small.gates = ip.gate.load(tmp_path / "gates")
    small.outcomes = {name: outcome(name, n, beads=10_000) for name, n in (("S-1_BL", 4000), ("S-1_BL_r2", 5000))}
    found = find_replicates(small.study, small.gates, small.outcomes, small.chosen)
    (row,) = replicate_rows(small.study, found)
    # 400 and 500 cells/uL: SD 70.7, mean 450
    assert row.value == pytest.approx(100 * 70.7107 / 450, rel=1e-5)
    assert (row.state, row.flag, row.check) == ("WARN", "REPLICATES_DIFFER", "replicates_cd3")


# --- a whole run ----------------------------------------------------------------------------------


def test_a_run_holds_the_reports_of_a_batch(tmp_path):
    from tests.io.fcs_files import events, spill_text, write

    head, *rows = TABLES["samples"].splitlines()
    text = head + ",batch_id,control_lot\n" + "".join(f"{row},B01,\n" for row in rows)
    text += "C01,,,t,control,WB_EDTA,2024-03-01T08:00,fcs/C01.fcs,B01,L1\n"
    targets = TARGETS.replace("50,2,", "10,0.5,")
    study = write_study(tmp_path / "study", samples=text, control_targets=targets)
    write(study / "fcs" / "C01.fcs", events(3000, seed=9), **{"$SPILLOVER": spill_text()})
    profile = ip.profile(ip.read_study(study), ip.gate.load(write_gates(tmp_path / "gates")), out=tmp_path / "out")
    assert profile.tables["control_batches"]["state"].tolist() == ["HELD"]
    assert "CONTROL_FAILED" in set(profile.exceptions["code"])
    assert all("CONTROL_FAILED" in flags for flags in profile.visits.obs["flags"])
    row = profile.tables["controls"].set_index("population").loc["t"]
    counts = profile.counts.set_index(["sample_id", "population"]).loc[("C01", "t")]
    assert row["value"] == counts["pct_parent"]
    pd.testing.assert_frame_equal(
        ip.read_results(tmp_path / "out").tables["controls"], profile.tables["controls"], check_dtype=False
    )
