"""The editor's page in bare Chromium: hands, keyboard, stale answers, dead kernels, accessibility.

The kernel's side is the widget itself, so that every count on the page is compared with the engine on the whole file.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from immunoprofile.gate import Gate, Strategy, gate_sample
from tests.widget.files import axis, sample, strategy

pytest.importorskip("anywidget")

from immunoprofile.widget.entry import edit
from immunoprofile.widget.shapes import shape_of
from tests.widget.page import EditorPage

Open = Callable[..., EditorPage]
_numbers = itertools.count()


@pytest.fixture
def opened(browser: Any) -> Iterator[Open]:
    pages: list[EditorPage] = []

    def make(population: str, *, width: int = 1280, scale: float = 1.0, gates: Strategy | None = None,
             placed: Gate | None = None, **options: Any) -> EditorPage:  # fmt: skip
        file = replace(sample(), sha256=f"page {next(_numbers)}")
        given = file if placed is None else gate_sample(file, strategy().with_gate(placed))
        editor = edit(given, gates or strategy(), population, **options)
        pages.append(EditorPage(browser, editor, width=width, scale=scale))
        return pages[-1]

    yield make
    for one in pages:
        assert one.errors == [] and one.asked == []
        one.page.close()


def by_engine(page: EditorPage) -> int:
    """The first population of the page counted over the whole file."""
    return gate_sample(sample(), page.editor.strategy).n(page.editor.gates[0].population)


def test_dragged_corner_counts_as_the_engine_and_others_keep_their_bits(opened: Open) -> None:
    page = opened("treg")
    before = page.editor.gates[0].vertices
    start = page.exact()
    page.drag(page.handle("corner 2 of 5"), -40, -30)
    assert page.exact() == by_engine(page) != start
    after = page.editor.gates[0].vertices
    assert [n for n in range(5) if after[n] != before[n]] == [1]
    changes = [one for one in page.page.evaluate("window.sent") if one["type"] == "change"]
    assert len(changes) == 1, "one message for one drag"


@pytest.mark.parametrize(
    ("population", "handle", "move"),
    [
        ("cd3", "CD3 lower limit", (30, 0)),
        ("cd3", "CD3 upper limit", (-60, 0)),
        ("middle", "whole gate", (25, 0)),
        ("box", "CD127 upper limit", (0, 30)),
        ("quads", "centre of the quadrants", (30, 20)),
        ("quads", "CD25 divider", (-30, 0)),
        ("outside", "corner 1 of 5", (-50, 0)),
        ("lymph", "whole gate", (40, -20)),
    ],
)
def test_every_kind_is_dragged(opened: Open, population: str, handle: str, move: tuple[int, int]) -> None:
    page = opened(population)
    start = page.editor.gates
    page.drag(page.handle(handle), *move)
    assert page.exact() == by_engine(page)
    assert page.editor.gates != start
    assert [g.population for g in page.editor.gates] == [g.population for g in start]


def test_approximate_count_comes_at_once_and_is_marked(opened: Open) -> None:
    page = opened("treg")
    page.page.evaluate("window.answer = 'nobody'")
    page.drag(page.handle("corner 2 of 5"), -40, -30)
    assert page.state == "preview"
    text = page.page.locator(".ip-counts").inner_text()
    assert "≈" in text and "=" not in text
    approximate = int(page.page.locator(".ip-counts").get_attribute("data-count"))
    sent = page.page.evaluate("window.sent")[-1]
    page.editor.change(sent["shape"])
    assert abs(approximate - by_engine(page)) < 0.05 * by_engine(page)


def test_stale_answers_are_dropped_and_one_message_is_in_flight(opened: Open) -> None:
    page = opened("treg")
    page.page.evaluate("window.answer = 'nobody'")
    handle = page.handle("corner 2 of 5")
    for _ in range(6):
        handle.press("ArrowLeft")
    sent = page.page.evaluate("window.sent")
    assert len(sent) == 1, "the rest waits"
    old = dict(page.editor.state)
    first = page.kernel.receive(sent[0])
    page.page.evaluate("events => window.apply(events)", [{"message": {"type": "state", **old}, "buffers": []}])
    assert page.state == "preview", "an older state is no answer"
    page.page.evaluate("events => window.apply(events)", first)
    assert page.state == "preview", "five more moves were made meanwhile"
    sent = page.page.evaluate("window.sent")
    assert len(sent) == 2, "waiting changes go as one"
    second = page.kernel.receive(sent[1])
    page.page.evaluate("events => window.apply(events)", second)
    assert page.exact() == by_engine(page)
    assert page.editor.gates[0].vertices[1] == tuple(sent[1]["shape"]["vertices"][1])


def test_change_from_python_and_from_another_page_is_shown(opened: Open) -> None:
    page = opened("treg")
    page.kernel.said = []
    page.editor.change({"kind": "polygon", "vertices": [[0.4, 0.1], [0.4, 0.4], [0.8, 0.5]]})
    page.tell()
    assert page.exact() == by_engine(page)
    assert page.handle("corner 3 of 3").count() == 1
    # another page draws on revision 0, after this one saw revision 1
    page.kernel.receive({"type": "change", "page": "other", "seq": 1, "base": 0,
                         "shape": {"kind": "polygon", "vertices": [[0.3, 0.1], [0.3, 0.4], [0.8, 0.5]]}})  # fmt: skip
    page.tell()
    assert page.exact() == by_engine(page)
    assert "Another page changed the gate meanwhile" in page.page.locator(".ip-note").inner_text()
    page.press("Undo the last change (Ctrl+Z)")
    page.page.wait_for_function("document.querySelector('.ip-counts').dataset.rev === '3'")
    assert page.exact() == by_engine(page)
    assert page.editor.gates[0].vertices[0] == (0.4, 0.1)


def test_everything_by_keyboard(opened: Open) -> None:
    page = opened("treg")
    handle = page.handle("corner 2 of 5")
    handle.focus()
    handle.press("Shift+ArrowLeft")
    assert page.exact() == by_engine(page)
    assert "CD25" in handle.get_attribute("aria-valuetext")
    handle.press("Insert")
    page.page.wait_for_selector('.ip-handle[aria-label="corner 6 of 6"]')
    assert page.exact() == by_engine(page) and len(page.editor.gates[0].vertices) == 6
    page.handle("corner 3 of 6").press("Delete")
    assert page.exact() == by_engine(page) and len(page.editor.gates[0].vertices) == 5
    moved = page.editor.gates
    page.page.keyboard.press("Control+z")
    page.page.wait_for_selector('.ip-handle[aria-label="corner 6 of 6"]')
    page.page.keyboard.press("Control+y")
    page.page.wait_for_selector('.ip-handle[aria-label="corner 5 of 5"]')
    page.exact()
    assert page.editor.gates == moved
    page.press("Reset to the gate as it was found")
    page.page.wait_for_function("document.querySelector('.ip-counts').dataset.rev === '6'")
    assert page.editor.gates == (strategy()["treg"],)


def test_a_placed_gate_can_go_back_to_the_template(opened: Open) -> None:
    page = opened("treg")
    assert not page.page.get_by_role("button", name="Return to the gate of the template").is_visible()
    moved = replace(strategy()["treg"], vertices=((0.3, 0.3), (0.5, 0.3), (0.5, 0.6)))
    page = opened("treg", placed=moved)
    page.press("Return to the gate of the template")
    page.page.wait_for_selector('.ip-counts[data-rev="1"]')
    assert page.exact() == by_engine(page)
    assert page.editor.gates == (strategy()["treg"],)
    page.press("Undo the last change (Ctrl+Z)")
    page.page.wait_for_selector('.ip-counts[data-rev="2"]')
    assert page.editor.gates == (moved,)


def test_delete_opens_a_limit_and_an_open_one_can_be_set(opened: Open) -> None:
    page = opened("middle")
    page.handle("CD4 upper limit").press("Delete")
    assert page.exact() == by_engine(page)
    limits = page.editor.gates[0].dimensions[0]
    assert (limits.minimum, limits.maximum) == (0.35, None)
    assert page.handle("CD4 upper limit").get_attribute("aria-valuetext") == "open"
    page.handle("CD4 upper limit").press("Shift+ArrowLeft")
    assert page.exact() == by_engine(page)
    assert page.editor.gates[0].dimensions[0].maximum is not None


def test_typed_value_in_data_units(opened: Open) -> None:
    page = opened("cd3")
    page.handle("CD3 lower limit").focus()
    page.page.locator(".ip-typed input").fill("1,000")
    page.page.locator(".ip-typed input").press("Enter")
    page.page.wait_for_function("document.querySelector('.ip-counts').dataset.rev === '1'")
    assert page.exact() == by_engine(page)
    assert page.editor.gates[0].dimensions[0].minimum == float(axis_place(1000.0))
    assert page.handle("CD3 lower limit").get_attribute("aria-valuetext") == "CD3 1,000"


def axis_place(value: float) -> float:
    return float(dict(strategy().scales)["logicle"].apply(np.array([value]))[0])


def test_ellipse_becomes_a_polygon(opened: Open) -> None:
    page = opened("round")
    assert page.page.locator(".ip-handle").count() == 0
    page.press("Turn the shape into a polygon")
    page.page.wait_for_selector('.ip-handle[aria-label="corner 48 of 48"]')
    assert page.exact() == by_engine(page)


def test_new_population_is_drawn_by_mouse_and_by_keyboard(opened: Open) -> None:
    page = opened("odd", parent="cd3", axes=("CD25", "CD127"))
    assert "not drawn yet" in page.page.locator(".ip-counts").inner_text()
    page.page.get_by_label("x axis").select_option("CD4")
    page.page.wait_for_function("document.querySelector('.ip-axis').textContent.startsWith('CD4')")
    for place in ((0.3, 0.3), (0.8, 0.3), (0.8, 0.8)):
        page.page.mouse.click(*page.point(*place))
    page.page.mouse.dblclick(*page.point(0.3, 0.8))
    assert page.exact() == by_engine(page) > 0
    assert page.editor.gates[0].kind == "polygon" and len(page.editor.gates[0].vertices) == 4
    assert [d.marker for d in page.editor.gates[0].dimensions] == ["CD4", "CD127"]
    page.press("Undo the last change (Ctrl+Z)")
    page.page.wait_for_selector("[aria-label='Put a rectangle in the middle']")
    page.press("Put a rectangle in the middle")
    assert page.exact() == by_engine(page)
    assert page.editor.gates[0].kind == "rectangle"


def test_box_and_threshold_are_drawn_by_mouse(opened: Open) -> None:
    page = opened("odd", parent="cd3", axes=("CD25", "CD127"))
    page.press("Drag a rectangle")
    page.drag(page.point(0.4, 0.3), 120, -100)
    assert page.exact() == by_engine(page) > 0
    page = opened("odd", parent="cd3", axes=("CD25",))
    page.page.mouse.click(*page.point(0.5, 0.5))
    assert page.exact() == by_engine(page) > 0


def shown_counts(page: EditorPage) -> dict[str, int]:
    """Population -> count as the page words them."""
    page.exact()
    words = page.page.locator(".ip-counts div").all_inner_texts()
    return {one.split(": = ")[0]: int(one.split(": = ")[1].split(" of ")[0].replace(",", "")) for one in words}


def test_new_quadrants_are_drawn_with_one_click_and_renamed(opened: Open) -> None:
    page = opened("odd", parent="cd3", axes=("CD25", "CD127"))
    page.page.get_by_label("x axis").select_option("CD4")
    page.page.wait_for_function("document.querySelector('.ip-axis').textContent.startsWith('CD4')")
    page.press("Click places the cross of four quadrants")
    assert "named by both markers" in page.page.locator(".ip-note").inner_text()
    page.page.mouse.click(*page.point(0.55, 0.5))
    told = shown_counts(page)
    assert list(told) == ["cd4_neg_cd127_pos", "cd4_pos_cd127_pos", "cd4_pos_cd127_neg", "cd4_neg_cd127_neg"]
    whole = gate_sample(sample(), page.editor.strategy)
    assert told == {name: whole.n(name) for name in told} and sum(told.values()) == whole.n("cd3")
    assert min(told.values()) > 0
    fields = page.page.get_by_role("form", name="Names of the quadrants")
    fields.get_by_label("CD4+ CD127−").fill("memory")
    fields.get_by_label("CD4+ CD127+").fill("memory")
    fields.get_by_role("button", name="Rename").click()
    assert "cannot both be called “memory”" in page.page.locator(".ip-alert").inner_text()
    fields.get_by_label("CD4+ CD127+").fill("treg")
    fields.get_by_label("CD4+ CD127+").press("Enter")
    page.page.wait_for_function("document.querySelector('.ip-alert').textContent.includes('of this name already')")
    assert shown_counts(page) == told, "the truth returns"
    assert fields.get_by_label("CD4+ CD127+").input_value() == "treg", "what was typed can be mended"
    fields.get_by_label("CD4+ CD127+").fill("naive")
    fields.get_by_label("CD4+ CD127+").press("Enter")
    page.page.wait_for_selector('.ip-counts[data-rev="3"]')
    renamed = shown_counts(page)
    assert list(renamed.items())[1:3] == [("naive", told["cd4_pos_cd127_pos"]), ("memory", told["cd4_pos_cd127_neg"])]
    page.drag(page.handle("centre of the quadrants"), -40, 30)
    moved, whole = shown_counts(page), gate_sample(sample(), page.editor.strategy)
    assert moved == {name: whole.n(name) for name in renamed} != renamed
    for _ in range(2):
        page.press("Undo the last change (Ctrl+Z)")
    page.page.wait_for_selector('.ip-counts[data-rev="6"]')
    assert shown_counts(page) == told
    assert fields.get_by_label("CD4+ CD127+").input_value() == "cd4_pos_cd127_pos"
    page.press("Redo (Ctrl+Y)")
    page.page.wait_for_selector('.ip-counts[data-rev="7"]')
    assert shown_counts(page) == renamed
    page.kernel.said = []
    changed = page.editor.commit(reason="CD4 by CD127", to="template")
    page.tell()
    assert isinstance(changed, Strategy) and changed.quadrants["odd"][1].population == "naive"
    assert not fields.is_visible() and page.page.locator(".ip-handle").count() == 0


def test_dead_kernel_keeps_new_quadrants_with_their_names(opened: Open) -> None:
    page = opened("odd", parent="cd3", axes=("CD25", "CD127"))
    page.page.evaluate("window.answer = 'nobody'")
    page.press("Put quadrants in the middle")
    page.page.wait_for_selector(".ip-alert textarea", timeout=30_000)
    estimates = page.page.locator(".ip-counts div").all_inner_texts()
    assert len(estimates) == 4 and all("≈" in one for one in estimates)
    line = page.page.locator(".ip-alert textarea").input_value()
    file = replace(sample(), sha256="after the restart quadrants")
    ed = edit(file, strategy(), "odd", parent="cd3", axes=("CD25", "CD127"))
    exec(line, {"ed": ed})
    assert shape_of(ed.gates) == page.page.evaluate("window.sent")[0]["shape"]


def test_zoom_asks_for_detail_and_a_drag_there_is_exact(opened: Open) -> None:
    page = opened("treg")
    page.handle("corner 2 of 5").focus()
    page.press("Zoom in")
    page.press("Zoom in")
    page.page.wait_for_function("window.sent.some(one => one.type === 'view')")
    page.drag(page.handle("corner 2 of 5"), -40, -30)
    assert page.exact() == by_engine(page)
    page.press("Pan left")
    page.press("Show the whole plot")
    assert page.handle("corner 2 of 5").bounding_box() is not None


def test_overlays_come_from_the_kernel(opened: Open) -> None:
    other = sample(seed=5, name="BL.fcs")
    page = opened("treg", baseline=other, fmo=sample(seed=6, name="FMO.fcs"))
    for label in (
        "contours",
        "baseline (BL.fcs)",
        "FMO (FMO.fcs)",
        "parent: all of lymph",
        "child: deep",
        "sibling: box",
    ):
        page.page.get_by_label(label, exact=True).check()
        page.page.wait_for_function("n => document.querySelectorAll('.ip-layers input:checked').length === n", arg=1)
        page.page.wait_for_function(
            "label => [...document.querySelectorAll('.ip-layers label')]"
            ".some(one => one.textContent.startsWith(label + ' ('))",
            arg=label,
        )
        page.page.locator(".ip-layers input:checked").uncheck()
    text = page.page.locator(".ip-counts").inner_text()
    assert f"baseline, treg: = {gate_sample(other, strategy()).n('treg'):,}" in text


def test_events_of_a_child_follow_the_gate_when_the_hand_rests(opened: Open) -> None:
    page = opened("treg")
    page.page.get_by_label("child: deep", exact=True).check()
    page.page.get_by_label("sibling: box", exact=True).check()
    label = page.page.locator(".ip-layers label", has_text="child: deep")
    n = gate_sample(sample(), strategy()).n("deep")
    label.filter(has_text=f"({n:,})").wait_for()
    page.drag(page.handle("corner 2 of 5"), -60, -40)
    page.exact()
    moved = gate_sample(sample(), page.editor.strategy).n("deep")
    assert moved != n
    label.filter(has_text=f"({moved:,})").wait_for()
    asked = [one["id"] for one in page.page.evaluate("window.sent") if one["type"] == "overlay"]
    assert asked == ["pop:deep", "pop:box", "pop:deep"], "once a revision, and only what hangs on the gate"
    assert page.exact() == by_engine(page)


def test_refused_shape_is_told_and_truth_returns(opened: Open) -> None:
    page = opened("middle")
    page.drag(page.handle("CD4 upper limit"), -300, 0)
    page.page.wait_for_selector(".ip-alert:not([hidden])")
    alert = page.page.locator(".ip-alert").inner_text()
    assert alert == "Not recorded: middle: the shape is no gate yet: minimum of CD4 is not below its maximum"
    assert page.page.locator(".ip-typed input").input_value() == page.handle("CD4 upper limit").get_attribute(
        "aria-valuetext"
    ).removeprefix("CD4 ")
    assert page.editor.gates == (strategy()["middle"],)
    assert page.exact() == by_engine(page)


@pytest.mark.parametrize(("population", "handle"), [("treg", "corner 2 of 5"), ("cd3", "CD3 lower limit")])
def test_dead_kernel_is_told_with_a_way_to_keep_the_shape(opened: Open, population: str, handle: str) -> None:
    page = opened(population)
    page.page.evaluate("window.answer = 'nobody'")
    page.handle(handle).press("ArrowLeft")
    page.page.wait_for_selector(".ip-alert textarea", timeout=30_000)
    assert "The kernel does not answer" in page.page.locator(".ip-alert").inner_text()
    line = page.page.locator(".ip-alert textarea").input_value()
    ed = edit(replace(sample(), sha256=f"after the restart {population}"), strategy(), population)
    exec(line, {"ed": ed})
    assert shape_of(ed.gates) == page.page.evaluate("window.sent")[0]["shape"]


def test_empty_parent_is_told(opened: Open) -> None:
    nothing = strategy().with_gate(replace(strategy()["cd3"], dimensions=(axis("CD3", 5.0),)))
    page = opened("treg", gates=nothing)
    assert "cd3 has no events" in page.page.locator(".ip-note").inner_text()
    page.drag(page.handle("corner 2 of 5"), -40, -30)
    assert page.exact() == 0


def test_page_that_was_detached_shows_everything_again(opened: Open) -> None:
    page = opened("treg")
    drawn = "(() => { const c = document.querySelector('.ip-plot canvas'), d = c.getContext('2d')" \
            ".getImageData(0, 0, c.width, c.height).data; return d.some(v => v) })()"  # fmt: skip
    assert page.page.evaluate(drawn)
    page.page.evaluate(
        "() => { const c = document.querySelector('.ip-plot canvas'); window.parked = document.getElementById('host');"
        " c.width = c.width; parked.remove(); }"
    )
    # A frame without it: whoever is gone for less keeps its picture, and nobody is told.
    page.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.page.evaluate("document.querySelector('main').append(window.parked)")
    page.page.wait_for_function(drawn)
    page.drag(page.handle("corner 2 of 5"), -40, -30)
    assert page.exact() == by_engine(page)
    page.page.evaluate("() => { window.cleanup(); document.getElementById('host').replaceChildren(); window.start(); }")
    page.page.wait_for_selector(".ip-counts")
    assert page.exact() == by_engine(page), "a second view of the model has the present revision"


def test_committed_edit_takes_no_more_changes(opened: Open) -> None:
    page = opened("treg")
    page.drag(page.handle("corner 2 of 5"), -40, -30)
    page.exact()
    page.kernel.said = []
    changed = page.editor.commit(reason="dim CD127", to="template")
    page.tell()
    assert changed.version == "4" and changed["treg"].note == "dim CD127"
    assert changed["treg"].vertices == page.editor.gates[0].vertices
    assert "The edit is over: committed to the template: dim CD127" in page.page.locator(".ip-note").inner_text()
    assert page.page.locator(".ip-handle").count() == 0
    assert not page.page.locator(".ip-typed").is_visible()
    assert page.page.locator(".ip-gate-editor input:visible").count() == 0
    assert page.page.locator('[aria-label="Gate"] button:enabled').count() == 0


@pytest.mark.parametrize(
    ("population", "width", "scale"), [("treg", 1280, 1.0), ("cd3", 800, 1.0), ("quads", 1280, 2.0), ("odd", 800, 2.0)]
)
def test_accessible_and_not_wider_than_its_place(opened: Open, population: str, width: int, scale: float) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    options = {"parent": "cd3", "axes": ("CD25", "CD127")} if population == "odd" else {"baseline": sample(seed=9)}
    page = opened(population, width=width, scale=scale, **options)
    if page.page.locator(".ip-handle").count():
        page.page.locator(".ip-handle").first.focus()
    found = axe.Axe().run(page.page)
    assert [(one["id"], [node["html"][:150] for node in one["nodes"]]) for one in found.response["violations"]] == []
    assert page.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    small = page.page.evaluate(
        "[...document.querySelectorAll('.ip-gate-editor button')].filter(b => b.offsetParent)"
        ".filter(b => b.getBoundingClientRect().height < 24).length"
    )
    assert small == 0
