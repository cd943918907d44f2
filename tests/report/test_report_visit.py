from __future__ import annotations

import copy
import html as entities
import math
import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest

from immunoprofile import report
from immunoprofile.errors import NotAvailableError
from immunoprofile.report.cohort_figures import endpoint_courses
from immunoprofile.report.cohort_view import CohortView
from immunoprofile.report.render import Report, environment
from immunoprofile.report.source import Source
from immunoprofile.report.view import VisitView
from immunoprofile.report.visit_figures import bars, gating_panels, series
from immunoprofile.report.visit_quality import flag_meaning
from immunoprofile.report.wording import RESEARCH_USE, fall_or_rise, printed

S1 = "IL2CMV-01-001"
HOSTILE = "<script>alert('x')</script>\"'&{{7*7}}"


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def printed_as_plain(words: str) -> str:
    """Words with plain blanks and plain signs of units."""
    plain = words.replace("\N{NO-BREAK SPACE}", " ").replace("⁹", "^9").replace("µmol", "umol")
    return re.sub(r"\s+", " ", plain)


def without_figures(page: str) -> str:
    return re.sub(r"data:image/svg\+xml;base64,[A-Za-z0-9+/=]+", "", page)


def twin_table(made: Report, section: str, place: int) -> list[dict[str, Any]]:
    """A table of the machine-readable twin: rows as head of column -> cell."""
    part = next(one for one in made.data["content"]["parts"] if one["id"] == section)
    found = [block for block in part["blocks"] if block["kind"] == "table"][place]
    heads = [column["head"] for column in found["columns"]]
    return [dict(zip(heads, row, strict=True)) for row in found["rows"]]


@pytest.fixture(scope="module")
def d14(profile: Any) -> Report:
    return report.visit(profile, S1, "D14")


def test_every_section_and_the_disclaimer(d14: Report) -> None:
    page = Page(d14.html)
    heads = re.findall(r"<h2[^>]*>(.*?)</h2>", d14.html)
    assert heads == [
        "Key populations (7 rows)", "Course", "Open queries", "Review", "Key populations in full", "Gating", "Quality",
        "Virology", "Safety", "Functional readouts", "Ratios", "CD8 differentiation", "Glossary", "Provenance",
    ]  # fmt: skip
    assert page.text.count(RESEARCH_USE) == 2
    assert "SYNTHETIC DATA" in page.text
    assert "not an electronic signature" in page.text


def test_page_is_accessible(d14: Report) -> None:
    page = Page(d14.html)
    assert ("html", {"lang": "en"}) in page.tags
    assert sum(tag == "h1" for tag, _ in page.tags) == 1
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(attrs.get("alt") for tag, attrs in page.tags if tag == "img")
    assert all(attrs.get("scope") for tag, attrs in page.tags if tag == "th")
    assert "<title>Immune report" in d14.html


def test_nothing_is_loaded_from_outside(profile: Any, d14: Report) -> None:
    for page in (d14.html, report.cohort(profile).html):
        for tag, attrs in Page(page).tags:
            for name in ("src", "href", "srcset", "action", "data"):
                assert (attrs.get(name) or "data:").startswith("data:") or tag == "a"
            if tag == "a":
                assert re.fullmatch(r"#[a-z-]+|(\.\./|[\w.-]+/)?[\w.-]+\.html", attrs["href"] or "")
        assert "@import" not in page
        assert "url(" not in without_figures(page)
        assert not any(tag == "script" for tag, _ in Page(page).tags)


def test_same_bytes_twice(profile: Any, d14: Report) -> None:
    assert report.visit(profile, S1, "D14").html == d14.html


def test_flags_are_those_of_the_data(profile: Any) -> None:
    for (subject, visit), row in Source(profile).rows.items():
        model = VisitView(Source(profile), subject, visit)
        expected = set(profile.visits.obs["flags"].iloc[row].split())
        quality = profile.quality
        own = quality[(quality["usubjid"] == subject) & (quality["visit"] == visit)]
        expected |= set(own["flag"]) - {""}
        assert set(model.flags) == expected
        assert all(flag_meaning(code) for code in model.flags)


def test_numbers_are_those_of_the_object(profile: Any) -> None:
    model = VisitView(Source(profile), S1, "D14")
    visits = profile.visits
    row, base = f"{S1}_D14", f"{S1}_BL"
    treg = next(one for one in model.rows if one.population == "treg")
    now = float(visits[row, "treg"].X[0, 0])
    then = float(visits[base, "treg"].X[0, 0])
    assert treg.lines[0].now.words == f"{now:.1f} %"
    assert treg.lines[0].from_baseline == f"{now - then:+.1f} points (×{now / then:.2f})"
    count = float(visits[row, "treg"].layers["abs"][0, 0])
    cells = next(line for line in treg.lines if line.measure == "cells/µL")
    assert cells.now.words == f"{count:.0f}"
    # FoxP3-confirmed Treg as a percentage of CD4, by hand from the counts, inside its interval
    n = float(visits[row, "treg_foxp3"].layers["counts"][0, 0])
    parent = float(visits[row, "treg"].layers["parent_counts"][0, 0])
    assert treg.lines[1].now.words == f"{100 * n / parent:.1f} %"
    low, high = re.findall(r"[\d.]+", treg.lines[1].interval)
    assert float(low) <= 100 * n / parent <= float(high)


def test_every_number_of_the_key_table_has_a_unit(profile: Any) -> None:
    for subject in Source(profile).subjects:
        for line in (line for row in VisitView(Source(profile), subject, "D14").rows for line in row.lines):
            assert line.measure.startswith("cells/µL" if line.scale == "abs" else "% of ")
            if line.scale == "pct_parent" and line.now.state == "ok":
                assert line.now.words.endswith("%")
                assert line.interval.endswith("%")
                assert line.interval_kind == "counting only"
            assert " L" not in line.reference
            assert " H" not in line.reference


def test_failed_tube_hides_its_numbers_and_says_why(profile: Any) -> None:
    model = VisitView(Source(profile), "IL2CMV-01-002", "D14")
    treg = next(row for row in model.rows if row.population == "treg")
    assert all(line.now.state == "suppressed" for line in treg.lines)
    assert "FAIL" in treg.lines[0].now.words
    assert treg.lines[0].verdict.level == "NOT_ASSESSABLE"
    assert treg.lines[0].interval == treg.lines[0].from_baseline == ""
    assert model.summary.level == "limited"
    assert next(row for row in model.rows if row.population == "nk").lines[0].now.state == "ok"
    assert any(query.record == "S002-D14-treg" for query in model.queries)
    failed = next(one for one in gating_panels(model) if one.tube == "treg")
    assert all(panel is not None and panel.remark == "FAIL" and not panel.percentages for panel in failed.now)
    page = report.visit(profile, "IL2CMV-01-002", "D14").html
    assert f"<s>{treg.lines[0].now.withheld}</s> FAIL" in printed_as_plain(page)
    assert "overrides.csv" in page


def test_missing_things_are_said_not_blank(profile: Any) -> None:
    source = Source(profile)
    missed = VisitView(source, "IL2CMV-01-003", "D28")
    assert missed.summary.sentence == "Unusable: visit not done (reason: missed); no values."
    assert any(row.code == "VISIT_NOT_DONE" for row in missed.exceptions)
    truncated = VisitView(source, "IL2CMV-01-004", "D7")
    assert truncated.summary.level == "limited"
    assert any(row.code == "FCS_TRUNCATED" for row in truncated.exceptions)
    uncounted = VisitView(source, "IL2CMV-01-006", "D14")
    line = uncounted.rows[0].lines[2]
    assert (line.measure, line.now.words) == ("cells/µL", "not done: no bead count and no blood count")
    assert {one.measure for one in series(uncounted)} == {"pct_parent"}
    none = VisitView(source, "IL2CMV-01-008", "W8")
    bright = next(row for row in none.rows if row.population == "nk_bright").lines[0]
    assert bright.now.words == "0.0 %"
    assert bright.interval.startswith("0.0 to ")
    assert bright.events == "0†"


def test_nothing_later_than_the_visit_is_shown(profile: Any) -> None:
    model = VisitView(Source(profile), S1, "D7")
    assert [row.visit for row in model.virology] == ["BL", "D7"]
    assert max(day for one in series(model) for day in one.days) == 7
    assert max(bar.end for bar in bars(model)) <= 7
    assert all(row.visit in ("D7",) for row in model.labs)


def test_unscheduled_results_stand_on_the_visit_they_touch(profile: Any) -> None:
    model = VisitView(Source(profile), "IL2CMV-01-003", "D14")
    assert any(row.visit == "UNS.01" and row.value == "66 10^9/L" and row.mark == "L" for row in model.labs)


def test_censored_results_stay_bounds(profile: Any) -> None:
    rows = VisitView(Source(profile), S1, "W8").virology
    censored = [row for row in rows if row.kind in ("BLQ", "TND")]
    assert censored
    assert all(row.log10 == "< 2.14" and row.fall.startswith("≥") for row in censored)


def test_checks_that_did_not_pass_stand_first_and_lose_nothing(profile: Any) -> None:
    model = VisitView(Source(profile), "IL2CMV-01-002", "D14")
    passed = [row.passed for row in model.checks]
    assert passed == sorted(passed)
    assert not all(passed)
    page = report.visit(profile, "IL2CMV-01-002", "D14").html
    tables = "".join(re.findall(r'<table class="checks.*?</table>', page, re.DOTALL))
    assert "<details>" in page
    printed = printed_as_plain(Page(tables).text)
    quality = profile.quality
    own = quality[(quality["usubjid"] == "IL2CMV-01-002") & (quality["visit"] == "D14")]
    for flag in set(own["flag"]) - {""}:
        assert flag in printed
    for row in model.checks:
        assert row.check in printed
        for cell in row.cells:
            if cell is not None:
                assert cell.value in printed
                assert cell.state == "PASS" or cell.state_text in printed
    assert tables.count("<td>✓") == sum(
        cell is not None and cell.state == "PASS" for row in model.checks for cell in row.cells
    )


def test_flags_of_a_check_name_their_places_when_they_differ(profile: Any) -> None:
    other = copy.copy(profile)
    rows = profile.quality[(profile.quality["usubjid"] == S1) & (profile.quality["visit"] == "D14")].iloc[:3].copy()
    rows[["check", "unit", "limits"]] = ["made_up", "%", "pass at most 1"]
    rows["tube"] = ["count", "treg", "effector"]
    rows["state"] = ["WARN", "WARN", "PASS"]
    rows["value"] = 2.0
    rows["flag"] = ["LOW_EVENTS", "LOW_EVENTS", ""]
    other.quality = rows
    (check,) = VisitView(Source(other), S1, "D14").checks
    assert (check.remark, check.limits, check.unit) == ("LOW_EVENTS", "pass at most 1 %", "%")
    rows["flag"] = ["LOW_EVENTS", "", ""]
    (check,) = VisitView(Source(other), S1, "D14").checks
    assert check.remark == "LOW_EVENTS (count)"
    assert [cell.value for cell in check.cells if cell] == ["2.0 %", "2.0 %", "2.0 %"]


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ((1.31, math.nan, math.nan), "fall 1.31"),
        ((-1.44, math.nan, math.nan), "rise 1.44"),
        ((-0.001, math.nan, math.nan), "fall 0.00"),
        ((math.nan, 0.861, math.nan), "fall ≥0.86"),
        ((math.nan, math.nan, 0.301), "fall ≤0.31"),
        # A fall of at least -0.5 is a rise of at most 0.5; one of at most -1 is a rise of at least 1.
        ((math.nan, -0.5, math.nan), "rise ≤0.50"),
        ((math.nan, math.nan, -1.009), "rise ≥1.00"),
        ((math.nan, -0.9, -0.4), "rise 0.40 to 0.90"),
        ((math.nan, -0.301, 0.4), "rise 0.31 to fall 0.40"),
        ((math.nan, math.nan, math.nan), ""),
    ],
)
def test_a_rise_is_called_a_rise(bounds: tuple[float, float, float], words: str) -> None:
    assert fall_or_rise(*bounds) == words


def test_a_rise_of_the_virus_is_said_everywhere_and_signed_in_the_twin(profile: Any) -> None:
    other = copy.copy(profile)
    other.virology = profile.virology.copy()
    here = (other.virology["usubjid"] == S1) & (other.virology["visit"] == "D14")
    for name in ("log10_drop", "log10_drop_lower", "log10_drop_upper"):
        other.virology.loc[here, name] = -1.44
    other.virology.loc[here, "kind"] = "QUANT"
    made = report.visit(other, S1, "D14")
    said = Page(made.html).text
    assert "rise from baseline 1.44 log10" in said
    assert "CMV-DNA rose by 1.44 log10 from baseline." in said
    assert "-1.44" not in said
    (row,) = [one for one in twin_table(made, "virology", 0) if one["Visit"]["words"].endswith("(this visit)")]
    assert (row["From baseline, log10"]["number"], row["From baseline, log10"]["words"]) == (1.44, "rise 1.44")


def test_units_are_printed_as_signs_and_stay_plain_in_the_twin(profile: Any) -> None:
    made = report.visit(profile, "IL2CMV-01-003", "D14")
    assert "66\N{NO-BREAK SPACE}10⁹/L" in made.html
    assert "10^9/L" not in made.html
    assert any(row["Value"]["words"] == "66 10^9/L" for row in twin_table(made, "safety", -1))
    assert printed("14 dogs of 900 mg, 3 d, < 2.14") == (
        "14 dogs of 900\N{NO-BREAK SPACE}mg, 3\N{NO-BREAK SPACE}d, <\N{NO-BREAK SPACE}2.14"
    )


@pytest.mark.parametrize(("subject", "visit"), [(S1, "W8"), ("IL2CMV-01-002", "D14"), ("IL2CMV-01-003", "D28")])
def test_page_one_is_one_page(profile: Any, subject: str, visit: str) -> None:
    """The review block ends on the page that the summary begins on, also with more queries than usual."""
    weasyprint = pytest.importorskip("weasyprint")
    other = copy.copy(profile)
    other.study = copy.copy(profile.study)
    question = "Was the tube kept at room temperature until it was stained, and for how many hours?"
    asked = [{"record": f"{subject} {visit}", "question": question, "owner": "site"}] * 3
    other.study.queries = pd.concat([profile.study.queries, pd.DataFrame(asked)], ignore_index=True)
    page = report.visit(other, subject, visit).html
    assert page.count(question) == 3
    # Without what follows, the first page is all there is.
    first = page[: page.index('<section class="full-table">')] + "</div></main></body></html>"
    assert len(weasyprint.HTML(string=first).render().pages) == 1


def test_closed_queries_are_not_printed(profile: Any) -> None:
    assert VisitView(Source(profile), "IL2CMV-01-002", "BL").queries == ()
    assert [query.record for query in VisitView(Source(profile), S1, "D14").queries] == [f"{S1} D14"]


@pytest.mark.parametrize("kind", ["visit", "cohort"])
def test_blinded_mode_leaks_nothing(profile: Any, kind: str) -> None:
    pages = (
        [report.visit(profile, subject, visit, blinded=True).html for subject, visit in ((S1, "D7"), (S1, "D14"))]
        if kind == "visit"
        else [report.cohort(profile, blinded=True).html]
    )
    for page in pages:
        body = without_figures(page).replace("IL2CMV", "")
        words = Page(body).text + " ".join(str(value) for _, attrs in Page(body).tags for value in attrs.values())
        for secret in ("IL-2", "IL2", "GCV", "anciclovir", "MIU", "prednisone", "RECENT_IL2", ".fcs", "Low-dose"):
            assert secret not in words, secret
        assert not re.search(r"20\d\d-\d\d", words)
    assert "BLINDED" in pages[0]


def test_blinded_figures_have_no_bars_and_no_arms(profile: Any) -> None:
    assert bars(VisitView(Source(profile, blinded=True), S1, "D14")) == ()
    view = CohortView(Source(profile, blinded=True))
    assert view.arms == ()
    assert {one.arm for _, group in endpoint_courses(view) for one in group} == {""}
    assert {one.arm for one in view.cmv} == {""}
    assert view.effects("compare") == view.effects("change") == ()


def test_hostile_text_is_only_text(fake: Any) -> None:
    hostile = fake.make_profile(hostile=HOSTILE)
    subject = S1 + HOSTILE
    for made in (report.visit(hostile, subject, "D14"), report.cohort(hostile)):
        page = Page(made.html)
        assert not any(tag == "script" for tag, _ in page.tags)
        assert "<script" not in without_figures(made.html)
        assert HOSTILE in "".join(page.words) + str(page.tags)
    frame = report.visit(hostile, subject, "D14")._repr_html_()
    assert frame.count("<iframe") == 1
    assert "<script" not in frame
    source = re.search(r'srcdoc="([^"]*)"', frame)
    assert source is not None
    assert entities.unescape(source.group(1)).startswith("<!DOCTYPE html>")


def test_unknown_subject_or_visit_names_the_known_ones(profile: Any) -> None:
    with pytest.raises(NotAvailableError, match="IL2CMV-01-010"):
        report.visit(profile, "nobody", "D14")
    with pytest.raises(NotAvailableError, match="BL, D7, D14"):
        report.visit(profile, S1, "D15")


def test_an_unknown_name_in_a_template_is_an_error() -> None:
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError):
        environment().from_string("{{ nothing }}").render()
    assert environment().from_string("{{ x }}").render(x="<b>") == "&lt;b&gt;"


def test_profile_without_anything_optional(fake: Any) -> None:
    bare = copy.copy(fake.make_profile(synthetic=False))
    bare.visits = bare.visits.copy()
    for name in ("change", "compare", "associate"):
        del bare.visits.uns[name]
    del bare.visits.obsm["ratios"], bare.visits.obsm["log2_ratios"]
    bare.visits = bare.visits[:, ["lymphocytes", "t", "cd4", "cd8"]].copy()
    bare.visits.X = np.where(np.arange(bare.visits.n_obs)[:, None] % 3 == 0, np.nan, bare.visits.X)
    bare.virology = bare.virology.iloc[:0]
    bare.quality = bare.quality.iloc[:0]
    bare.exceptions = bare.exceptions.iloc[:0]
    bare.provenance = {}
    bare.study = copy.copy(bare.study)
    bare.study.queries = bare.study.queries.iloc[:0]
    bare.study.labs = bare.study.labs.iloc[:0]
    bare.study.conmeds = bare.study.conmeds.iloc[:0]
    page = report.visit(bare, S1, "D14").html
    assert "SYNTHETIC DATA" not in page
    assert "Not in the panels of this study: treg" in page
    assert "Not computed." in report.cohort(bare).html


def test_compensation_is_stated(profile: Any, fake: Any) -> None:
    other = copy.copy(profile)
    other.provenance = profile.provenance | {"compensation": {"S001-D14-count": "none"}}
    page = Page(report.visit(other, S1, "D14").html).text
    assert "none: no compensation was applied" in page
    assert "spillover matrix of the FCS file (as declared)" in page


@pytest.mark.parametrize("kind", ["visit", "cohort"])
def test_header_and_footer_of_the_institution(profile: Any, kind: str) -> None:
    other = copy.copy(profile)
    other.study = copy.copy(profile.study)
    said = {"institution": HOSTILE, "report_footer": ("Form 12, version 3",)}
    other.study.config = profile.study.config.model_copy(update=said)
    page = (report.visit(other, S1, "D14") if kind == "visit" else report.cohort(other)).html
    assert entities.escape(HOSTILE, quote=False).replace('"', "&#34;").replace("'", "&#39;") in page
    assert page.index("Form 12, version 3") > page.index("<footer>")
    assert "<script" not in page
