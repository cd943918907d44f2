"""The pages in a browser: accessible by axe-core, nothing loaded from outside, nothing wider than the page."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from immunoprofile import report, schema
from tests.fake_clinical import make_tables

S1 = "IL2CMV-01-001"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
A4_WIDTH = 718
"""Pixels between the margins of an A4 page at 96 dots per inch."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        if os.environ.get("CI", "").casefold() == "true":
            pytest.fail("no Chromium on PATH, and CI=true")
        pytest.skip("no Chromium on PATH")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


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
def test_page_is_accessible_and_needs_nothing(browser: Any, pages: dict[str, Path], name: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
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
    found = axe.Axe().run(page)
    assert [(one["id"], [node["html"][:150] for node in one["nodes"]]) for one in found.response["violations"]] == []
    assert asked == []
    assert errors == []
    page.close()


@pytest.mark.parametrize("name", ["visit", "cohort"])
def test_printed_tables_are_not_cut(browser: Any, pages: dict[str, Path], name: str) -> None:
    page = browser.new_page(viewport={"width": A4_WIDTH, "height": 1000})
    page.emulate_media(media="print")
    page.goto(pages[name].as_uri())
    wide = page.evaluate(
        """width => [...document.querySelectorAll('table, figure, p, ul')]
            .filter(one => one.getBoundingClientRect().right > width + 1 || one.scrollWidth > one.clientWidth + 1)
            .map(one => (one.tagName + ' ' + one.textContent.slice(0, 60)).trim() + ' '
                 + one.getBoundingClientRect().right)""",
        A4_WIDTH,
    )
    assert wide == []
    page.close()


@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_no_page_scrolls_sideways(browser: Any, pages: dict[str, Path], width: int) -> None:
    """Wide tables and figures scroll inside their own box; nothing else reaches over the edge of the screen."""
    for name, path in pages.items():
        page = browser.new_page(viewport={"width": width, "height": 844})
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        over = page.evaluate(
            """width => [...document.querySelectorAll('p, li, dd, h1, h2, h3, .scroll, figure, nav, summary')]
                .filter(one => !one.closest('.scroll .scroll') && one.getBoundingClientRect().right > width + 1
                    && !(one.matches('li') && one.closest('nav')))
                .map(one => one.tagName + ' ' + one.textContent.trim().slice(0, 40))""",
            width,
        )
        assert over == [], name
        page.close()


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
    page = browser.new_page(viewport={"width": A4_WIDTH, "height": 1000})
    page.goto(pages[name].as_uri())
    folded = page.locator("details table.glossary").first
    assert not folded.is_visible()
    page.emulate_media(media="print")
    assert folded.bounding_box()["height"] > 50
    page.close()
