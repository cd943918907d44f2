"""The pages in a browser: accessible by axe-core, nothing loaded from outside, nothing wider than the page."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from immunoprofile import report, schema
from tests.fake_clinical import make_tables
from tests.pages_in_browser import PAPERS, chromium, problems

S1 = "IL2CMV-01-001"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def pages(profile: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    judged = copy.copy(profile)
    judged.tables = make_tables(list(profile.study.subjects["usubjid"]), profile.study.labs)
    judged.visits = profile.visits.copy()
    long = judged.visits.uns["compare"].assign(
        population="probable_refractory_kotton2025", effect_kind="difference, percentage points",
        effect=-100.0, effect_lower=-100.0, effect_upper=-18.25, note="IL2_GCV: 0 of 4; GCV: 2 of 2; " * 4,
    )  # fmt: skip
    judged.visits.uns["responders"] = long
    keys = (("compare", "S3"), ("responders", "S18"))
    judged.visits.uns["plan_runs"] = pd.DataFrame(
        [{"key": key, "method_id": method, "role": "secondary"} for key, method in keys],
        columns=list(schema.PLAN_RUN_COLUMNS),
    )
    folder = tmp_path_factory.mktemp("pages")
    made = {
        "visit": report.visit(judged, S1, "D14"),
        "failed": report.visit(judged, "IL2CMV-01-002", "D14"),
        "missed": report.visit(judged, "IL2CMV-01-003", "D28"),
        "cohort": report.cohort(judged),
        "blinded": report.visit(judged, S1, "D14", blinded=True),
    }
    return {name: one.to_html(folder / f"{name}.html") for name, one in made.items()}


@pytest.mark.parametrize("name", ["visit", "failed", "missed", "cohort", "blinded"])
def test_page_needs_nothing_from_outside(browser: Any, pages: dict[str, Path], name: str) -> None:
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    asked: list[str] = []
    errors: list[str] = []
    own = pages[name].as_uri()

    def refuse(route: Any) -> None:
        if route.request.url == own or route.request.url.startswith("data:"):
            route.continue_()
        else:
            asked.append(route.request.url)
            route.abort()

    page.route("**/*", refuse)
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(own)
    assert asked == []
    assert errors == []
    page.close()


@pytest.mark.parametrize("name", ["visit", "failed", "missed", "cohort", "blinded"])
def test_page_fits_screens_and_paper_and_is_accessible(browser: Any, pages: dict[str, Path], name: str) -> None:
    assert problems(browser, pages[name]) == []


def test_a_bad_page_is_found_out(browser: Any, tmp_path: Path) -> None:
    wide = (
        '<div class="scroll" style="overflow-x:auto"><table><tr><td style="min-width:1300px">x</td></tr></table></div>'
    )
    dark = "@media (prefers-color-scheme: dark) { body { background: #000; color: #222 } }"
    path = tmp_path / "bad.html"
    path.write_text(
        f"<!DOCTYPE html><html lang='en'><head><title>t</title><style>{dark}</style></head><body><main><h1>t</h1>"
        f"<p style='width:500px'>narrow</p>{wide}</main></body></html>",
        encoding="utf-8",
    )
    found = problems(browser, path)
    assert [one for one in found if one.startswith(("360", "390"))] == [
        "360: the page scrolls sideways", "360: P narrow", "390: the page scrolls sideways", "390: P narrow",
    ]  # fmt: skip
    assert not any(one.startswith(("640", "768", "1280")) for one in found)
    assert {"A4: TABLE x", "Letter: TABLE x"} <= set(found)
    assert any(one.startswith("dark: color-contrast") for one in found)
    assert not any(one.startswith("light: color-contrast") for one in found)


def test_contents_stay_in_view_and_lead_everywhere(browser: Any, pages: dict[str, Path]) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(pages["cohort"].as_uri())
    broken = page.evaluate(
        """() => [...document.querySelectorAll('a[href^="#"]')].map(a => a.getAttribute('href'))
            .filter(href => document.querySelector(href) === null)"""
    )
    assert broken == []
    assert page.locator('nav a[href="#association"]').count() == 1
    page.locator('nav a[href="#association"]').click()
    assert abs(page.evaluate("document.querySelector('nav').getBoundingClientRect().top")) < 1
    top = page.evaluate("document.getElementById('association').getBoundingClientRect().top")
    assert 0 <= top < 120
    # Every visit of every subject has its link.
    assert page.locator("table.pages a").count() == 50
    page.close()


@pytest.mark.parametrize("name", ["visit", "cohort"])
def test_folded_parts_are_open_in_print(browser: Any, pages: dict[str, Path], name: str) -> None:
    page = browser.new_page(viewport={"width": PAPERS["A4"], "height": 1000})
    page.goto(pages[name].as_uri())
    folded = page.locator("details table.glossary").first
    assert not folded.is_visible()
    page.emulate_media(media="print")
    assert folded.bounding_box()["height"] > 50
    page.close()
