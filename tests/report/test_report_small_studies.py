"""Studies of one subject, of one arm and without CMV-DNA: pages that say so and claim nothing that was not measured."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

import immunoprofile as ip
from tests.small_study import TABLES, write_gates, write_study

CODE = re.compile(r"\btl\.\w+|uns\[|\bobs [a-z]+:| -&gt; |->|Traceback|\bNone\b[^.]|\bnan\b")
"""What is said to people who program, and to nobody else."""


def words(path: Path) -> str:
    """A page as it is read."""
    page = re.sub(r"(?s)<style.*?</style>|<svg.*?</svg>", "", path.read_text(encoding="utf-8"))
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


def part(text: str, start: str, end: str) -> str:
    """Words of a section, found behind the contents."""
    begin = text.rindex(start)
    return text[begin : text.index(end, begin)].strip()


def pages(folder: Path) -> dict[str, str]:
    write_gates(folder / "gates")
    ip.run_study(ip.read_study(folder / "study"), ip.gate.load(folder / "gates"), out=folder / "results")
    found = sorted((folder / "results" / "reports").rglob("*.html"))
    return {path.relative_to(folder / "results" / "reports").as_posix(): words(path) for path in found}


def without(table: str, text: str) -> str:
    """A table of the small study without the rows of somebody."""
    return "\n".join(line for line in TABLES[table].splitlines() if not line.startswith(text)) + "\n"


@pytest.fixture(scope="module")
def one_subject(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("subject")
    write_study(folder / "study")
    for name in TABLES:
        (folder / "study" / f"{name}.csv").write_text(without(name, "S-2"), encoding="utf-8")
    samples = [line for line in TABLES["samples"].splitlines() if not line.startswith("S-2")]
    (folder / "study" / "samples.csv").write_text("\n".join(samples) + "\n", encoding="utf-8")
    return pages(folder)


@pytest.fixture(scope="module")
def one_arm_without_cmv(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("arm")
    write_study(folder / "study")
    study = folder / "study"
    text = (study / "study.yaml").read_text(encoding="utf-8")
    text = text.replace("  - {code: A, label: Drug}\n", "").replace("label: Control", "label: Everybody")
    (study / "study.yaml").write_text(text, encoding="utf-8")
    (study / "subjects.csv").write_text("usubjid,arm\nS-1,B\nS-2,B\n", encoding="utf-8")
    for name in ("cmv_dna", "labs"):
        (study / f"{name}.csv").unlink()
    return pages(folder)


@pytest.mark.parametrize("study", ["one_subject", "one_arm_without_cmv"])
def test_no_page_speaks_to_programmers(study: str, request: pytest.FixtureRequest) -> None:
    for name, text in request.getfixturevalue(study).items():
        assert [text[found.start() - 60 : found.end() + 40] for found in CODE.finditer(text)] == [], name


def test_one_subject_is_not_compared(one_subject: dict[str, str]) -> None:
    cohort = one_subject["cohort.html"]
    assert "1 subject; exploratory" in cohort
    sentence = "One subject: nothing can be compared; see the pages of its visits."
    assert cohort.count(sentence) == 2  # first screen, and where the comparisons would stand
    assert "Estimand" not in cohort
    visit = one_subject["S-1/D14.html"]
    assert "CMV-DNA: <137 IU/mL" in visit
    assert "fall" in visit


def test_one_arm_is_not_compared(one_arm_without_cmv: dict[str, str]) -> None:
    cohort = one_arm_without_cmv["cohort.html"]
    sentence = "One arm: there is nothing to compare it with; see Change within each arm."
    assert cohort.count(sentence) == 2
    assert part(cohort, "Immune change", "CMV-DNA No CMV-DNA result.").endswith(sentence)
    assert "not compared in these results" not in cohort


def test_without_cmv_dna_nothing_is_said_of_it(one_arm_without_cmv: dict[str, str]) -> None:
    cohort = one_arm_without_cmv["cohort.html"]
    assert "Did CMV-DNA follow? no CMV-DNA result in this study not measured" in cohort
    said = "CMV-DNA No CMV-DNA result."
    assert part(cohort, said, "Association") == said
    assert "No CMV-DNA result: nothing to hold the cells against." in cohort
    assert "Kaplan" not in part(cohort, said, "Safety")
    for name in ("S-1/BL.html", "S-1/D14.html"):
        assert "CMV-DNA: not done at this visit." in one_arm_without_cmv[name]


def test_what_was_not_measured_is_not_counted_as_none(one_arm_without_cmv: dict[str, str]) -> None:
    """Without laboratory values nobody can say that no grade was reached."""
    cohort = one_arm_without_cmv["cohort.html"]
    assert "no laboratory value was graded; adverse events: none recorded; deaths recorded: 0" in cohort
    assert "new laboratory grade" not in cohort
    assert "Age none recorded" in cohort
    assert "Women none recorded" in cohort


def test_visits_without_a_known_day_are_drawn_at_their_planned_day(one_arm_without_cmv: dict[str, str]) -> None:
    page = one_arm_without_cmv["S-1/D14.html"]
    assert "Study days are not known: visits stand at their planned days." in page
    assert "No value to draw." not in page


def test_a_study_of_controls_alone_has_results_of_its_files_and_no_visit(tmp_path: Path) -> None:
    """Before the first subject comes, only batch controls are measured; a control may have no subject."""
    write_study(tmp_path / "study")
    usual = ip.profile(
        ip.read_study(tmp_path / "study"), ip.gate.load(write_gates(tmp_path / "gates")), out=tmp_path / "usual"
    )
    samples = TABLES["samples"].replace(",sample,", ",control,").replace("S-2_BL,S-2,BL,", "S-2_BL,,,")
    (tmp_path / "study" / "samples.csv").write_text(samples, encoding="utf-8")
    written = pages(tmp_path)
    controls = ip.read_results(tmp_path / "results")
    assert controls.counts.equals(usual.counts)
    assert controls.visits.shape == (0, usual.visits.n_vars)
    assert set(controls.visits.obs.columns) == set(usual.visits.obs.columns)
    assert set(controls.visits.layers) == set(usual.visits.layers)
    missing = controls.exceptions[controls.exceptions["code"] == "TUBE_MISSING"]
    assert set(zip(missing["usubjid"], missing["visit"], strict=True)) == {("S-1", "BL"), ("S-1", "D14"), ("S-2", "BL")}
    assert "Flow visits measured 0 of 2 visits 0 of 2 visits" in written["cohort.html"]
    for page in written.values():
        assert not CODE.search(page)
