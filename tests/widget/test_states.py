"""Every state of editor and board: accessible, no wider than its place, at 1,280 and 800 px and at a zoom of 200 %."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from immunoprofile.gate import gate_sample
from tests.widget.files import axis, sample, strategy
from tests.widget.stand_in import stand_in

pytest.importorskip("anywidget")

from immunoprofile.widget import edit, review
from tests.widget.page import EditorPage, WidgetPage

_numbers = itertools.count()


def editor(browser: Any, population: str = "treg", *, gates: Any = None, **options: Any) -> EditorPage:
    sizes = {name: options.pop(name) for name in ("width", "scale") if name in options}
    file = replace(sample(), sha256=f"state {next(_numbers)}")
    return EditorPage(browser, edit(file, gates or strategy(), population, **options), **sizes)


def dead(browser: Any, **sizes: Any) -> EditorPage:
    page = editor(browser, **sizes)
    page.page.evaluate("window.answer = 'nobody'")
    page.handle("corner 2 of 5").press("ArrowLeft")
    page.page.wait_for_selector(".ip-alert textarea")
    return page


def refused(browser: Any, **sizes: Any) -> EditorPage:
    page = editor(browser, "middle", **sizes)
    page.handle("CD4 upper limit").focus()
    page.page.locator(".ip-typed input").fill("-600")
    page.page.locator(".ip-typed input").press("Enter")
    page.page.wait_for_selector(".ip-alert:not([hidden])")
    return page


def drawing(browser: Any, **sizes: Any) -> EditorPage:
    page = editor(browser, "odd", parent="cd3", axes=("CD25", "CD127"), **sizes)
    for place in ((0.3, 0.3), (0.7, 0.3)):
        page.page.mouse.click(*page.point(*place))
    return page


def crossed(browser: Any, **sizes: Any) -> EditorPage:
    page = editor(browser, "odd", parent="cd3", axes=("CD25", "CD127"), baseline=sample(seed=5), **sizes)
    page.press("Click places the cross of four quadrants")
    page.page.locator(".ip-frame").scroll_into_view_if_needed()
    page.page.mouse.click(*page.point(0.5, 0.5))
    page.exact()
    return page


def overlaid(browser: Any, **sizes: Any) -> EditorPage:
    others = {"baseline": sample(seed=5, name="BL.fcs"), "fmo": sample(seed=6, name="FMO.fcs")}
    page = editor(browser, **others, **sizes)
    for label in ("contours", "baseline (BL.fcs)", "child: deep"):
        page.page.get_by_label(label, exact=True).check()
    page.page.locator(".ip-layers label", has_text="child: deep (").wait_for()
    page.page.locator(".ip-help summary").click()
    return page


def empty(browser: Any, **sizes: Any) -> EditorPage:
    nothing = strategy().with_gate(replace(strategy()["cd3"], dimensions=(axis("CD3", 5.0),)))
    return editor(browser, gates=nothing, **sizes)


def committed(browser: Any, **sizes: Any) -> EditorPage:
    page = editor(browser, **sizes)
    page.handle("corner 2 of 5").press("ArrowLeft")
    page.exact()
    page.kernel.said = []
    page.editor.commit(reason="dim CD127", to="template")
    page.tell()
    return page


def board(browser: Any, **sizes: Any) -> WidgetPage:
    study = stand_in(events=600)
    widget = review(study, study.gates, "treg/treg", blinded=False)  # type: ignore[arg-type]
    page = WidgetPage(browser, widget, "board", **sizes)
    page.page.wait_for_function("window.stats.some(one => one.kind === 'tiles')")
    page.page.locator(".rb-tile").first.focus()
    page.page.keyboard.press("a")
    page.page.locator('.rb-tile[data-decision="accept"]').wait_for()
    page.page.keyboard.press("f")
    page.page.keyboard.press("Enter")  # without a reason
    page.page.locator(".rb-alert:not([hidden])").wait_for()
    return page


STATES: tuple[Callable[..., WidgetPage], ...] = (dead, refused, drawing, crossed, overlaid, empty, committed, board)


@pytest.mark.parametrize(("width", "scale"), [(1280, 1.0), (800, 1.0), (1280, 2.0)])
@pytest.mark.parametrize("state", STATES, ids=lambda one: one.__name__)
def test_state_is_accessible_and_no_wider_than_its_place(
    state: Callable[..., WidgetPage], width: int, scale: float, browser: Any
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = state(browser, width=width, scale=scale)
    found = axe.Axe().run(page.page).response["violations"]
    assert [(one["id"], [node["html"][:150] for node in one["nodes"]]) for one in found] == []
    assert page.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    cut = page.page.evaluate(
        "[...document.querySelectorAll('section :is(button, input, select, p, textarea)')]"
        ".filter(one => one.checkVisibility() && one.getBoundingClientRect().right > window.innerWidth + 1).length"
    )
    assert cut == 0
    assert (page.errors, page.asked) == ([], [])
    page.page.close()


def focused(page: Any) -> str:
    """Name of the element that has the focus."""
    return str(
        page.evaluate(
            """() => { const e = document.activeElement;
            return e.getAttribute('aria-label') || e.labels?.[0]?.textContent || e.textContent }"""
        )
    ).strip()


def reached(page: Any, wanted: str, *, most: int = 60) -> list[str]:
    """Press Tab until the element with a name has the focus; all that had it on the way."""
    seen = []
    for _ in range(most):
        page.keyboard.press("Tab")
        seen.append(focused(page))
        if seen[-1].startswith(wanted):
            return seen
    raise AssertionError(f"Tab does not come to {wanted!r}, only to {seen}")


def test_a_population_is_drawn_and_moved_without_a_mouse(browser: Any) -> None:
    page = editor(browser, "odd", parent="cd3", axes=("CD25", "CD127"))
    keys = page.page.keyboard
    reached(page.page, "Put a polygon in the middle")
    keys.press("Enter")
    first = page.exact()
    assert focused(page.page) == "corner 1 of 4"
    assert reached(page.page, "corner 3 of 4") == ["corner 2 of 4", "corner 3 of 4"]
    for key in ("Shift+ArrowRight", "Shift+ArrowRight", "Shift+ArrowUp", "Insert"):
        keys.press(key)
    page.page.wait_for_selector('.ip-handle[aria-label="corner 5 of 5"]')
    moved = page.exact()
    file = page.editor.session.files[0].gated.sample
    assert moved == gate_sample(file, page.editor.strategy).n("odd") != first
    keys.press("Enter")
    assert focused(page.page).startswith("CD25")
    keys.type("20,000")
    before = page.editor.session.revision.number
    keys.press("Enter")
    page.page.wait_for_selector(f'.ip-counts[data-rev="{before + 1}"]')
    assert page.exact() == gate_sample(file, page.editor.strategy).n("odd")
    keys.press("Escape")
    assert focused(page.page) == "corner 3 of 5"
    assert page.handle("corner 3 of 5").get_attribute("aria-valuetext").startswith("CD25 20,000;")
    way = reached(page.page, "contours")
    assert {"whole gate", "Undo the last change (Ctrl+Z)", "Zoom in", "Pan up"} <= set(way)
    keys.press("Space")
    page.page.wait_for_function("window.sent.some(one => one.type === 'overlay')")
    reached(page.page, "Mouse and keyboard")
    keys.press("Control+z")  # the typed value
    keys.press("Control+z")  # the corner
    page.page.wait_for_selector('.ip-handle[aria-label="corner 4 of 4"]')
    assert (page.errors, page.asked) == ([], [])
    page.page.close()


def test_quadrants_are_drawn_named_and_moved_without_a_mouse(browser: Any) -> None:
    page = editor(browser, "odd", parent="cd3", axes=("CD25", "CD127"))
    keys = page.page.keyboard
    reached(page.page, "Put quadrants in the middle")
    keys.press("Enter")
    page.exact()
    assert focused(page.page) == "CD25 divider"
    keys.press("Shift+ArrowLeft")
    reached(page.page, "centre of the quadrants")
    keys.press("Shift+ArrowUp")
    page.page.wait_for_selector('.ip-counts[data-rev="3"]')
    reached(page.page, "CD25+ CD127−")
    keys.press("Control+a")
    keys.type("cd25_hi")
    keys.press("Enter")
    page.page.wait_for_selector('.ip-counts[data-rev="4"]')
    page.exact()
    file = page.editor.session.files[0].gated.sample
    whole = gate_sample(file, page.editor.strategy)
    assert page.editor.counts == {gate.population: whole.n(gate.population) for gate in page.editor.gates}
    assert page.editor.gates[2].population == "cd25_hi"
    reached(page.page, "Undo the last change (Ctrl+Z)")
    keys.press("Control+z")
    page.page.wait_for_selector('.ip-counts[data-rev="5"]')
    assert page.editor.gates[2].population == "cd25_pos_cd127_neg"
    assert (page.errors, page.asked) == ([], [])
    page.page.close()
