"""What is wrong with a page in Chromium: wider than screen or paper, unreadable in the dark, not accessible."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SCREENS = (360, 390, 640, 768, 1280)
"""Widths in CSS pixels; 640 is a screen of 1,280 at a zoom of 200 %."""
PAPERS = {"A4": 710, "Letter": 733}
"""Pixels between the margins of a page of paper, at 96 an inch."""

_OVER_THE_EDGE = """width => [...document.querySelectorAll(
    'p, li, dd, dt, h1, h2, h3, caption, figcaption, .scroll, figure, nav, summary')]
    .filter(one => one.checkVisibility()
        && (one.matches('caption, figcaption') || !one.parentElement.closest('.scroll, figure'))
        && one.getBoundingClientRect().right > width + 1)
    .map(one => one.tagName + ' ' + one.textContent.trim().slice(0, 40))"""
_CUT_ON_PAPER = """width => [...document.querySelectorAll('table, figure, img, p, ul, caption')]
    .filter(one => one.checkVisibility()
        && (one.getBoundingClientRect().right > width + 1 || one.scrollWidth > one.clientWidth + 1))
    .map(one => (one.tagName + ' ' + one.textContent.slice(0, 40)).trim())"""


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser; the test is skipped where there is none, and fails where CI needs one."""
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


def too_wide(page: Any) -> list[str]:
    """What reaches over the edge of a screen or a sheet, with the width; tables and figures may scroll in their box,
    what is written below them may not."""
    found = []
    for width in SCREENS:
        page.set_viewport_size({"width": width, "height": 844})
        if page.evaluate("document.documentElement.scrollWidth") > width:
            found.append(f"{width}: the page scrolls sideways")
        found += [f"{width}: {one}" for one in page.evaluate(_OVER_THE_EDGE, width)]
    page.emulate_media(media="print")
    for paper, width in PAPERS.items():
        page.set_viewport_size({"width": width, "height": 1000})
        found += [f"{paper}: {one}" for one in page.evaluate(_CUT_ON_PAPER, width)]
    page.emulate_media(media="screen")
    return found


def violations(page: Any, *, scheme: str = "light") -> list[str]:
    """Violations that axe-core finds, contrast among them."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page.set_viewport_size({"width": 1200, "height": 900})
    page.emulate_media(color_scheme=scheme)
    found = axe.Axe().run(page).response["violations"]
    return [f"{scheme}: {one['id']} {[node['html'][:150] for node in one['nodes']][:3]}" for one in found]


def problems(browser: Any, path: Path) -> list[str]:
    """Everything that is wrong with one page."""
    page = browser.new_page()
    page.goto(path.as_uri())
    found = [*too_wide(page), *violations(page), *violations(page, scheme="dark")]
    page.close()
    return found
