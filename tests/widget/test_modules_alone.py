"""The modules of the widgets without Jupyter, as other hosts of anywidget load them: marimo and VS Code's notebook.

marimo renders inside a shadow root with the style in it; VS Code renders into an element that it attaches later, from
a module that comes as a blob. All hand over binary data as one of the views of JavaScript.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from typing import Any

import pytest

from immunoprofile.gate import gate_sample
from tests.widget.files import sample, strategy
from tests.widget.stand_in import stand_in

pytest.importorskip("anywidget")

from immunoprofile.widget import edit, review
from tests.widget.page import HERE, EditorPage, WidgetPage

SHADOW = """(() => { const root = document.getElementById('host').attachShadow({ mode: 'open' });
  root.append(document.querySelector('style').cloneNode(true), document.createElement('div'));
  document.querySelector('style').remove(); return root.lastChild; })()"""
LATER = """(() => { const el = document.createElement('div');
  setTimeout(() => document.getElementById('host').append(el), 200); return el; })()"""
VIEWS = {
    "DataView": "bytes => new DataView(bytes.buffer)",
    "Uint8Array": "bytes => { const a = new Uint8Array(bytes.length + 8); a.set(bytes, 8); return a.subarray(8) }",
    "ArrayBuffer": "bytes => bytes.buffer",
}
HOSTS = {"marimo": (SHADOW, "Uint8Array"), "vscode": (LATER, "DataView"), "other": (LATER, "ArrayBuffer")}
_numbers = itertools.count()


@pytest.mark.parametrize("host", HOSTS)
def test_editor_in_another_host(host: str, browser: Any) -> None:
    place, view = HOSTS[host]
    file = replace(sample(), sha256=f"alone {next(_numbers)}")
    page = EditorPage(browser, edit(file, strategy(), "treg"), place=place, view=VIEWS[view])
    page.drag(page.handle("corner 2 of 5"), -40, -30)
    assert page.exact() == gate_sample(file, page.editor.strategy).n("treg")
    pixels = "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v)"
    assert page.page.locator(".ip-plot canvas").evaluate(pixels)
    page.page.get_by_label("contours").check()
    page.page.wait_for_function("window.sent.some(one => one.type === 'overlay')")
    styled = page.page.locator(".ip-gate-editor").evaluate("e => getComputedStyle(e).backgroundColor")
    assert styled == "rgb(255, 255, 255)"
    assert (page.errors, page.asked) == ([], [])
    page.page.evaluate("window.cleanup()")
    assert page.page.evaluate("Object.values(window.handlers).flat().length") == 0, "nothing listens any more"
    page.page.close()


@pytest.mark.parametrize("host", HOSTS)
def test_board_in_another_host(host: str, browser: Any) -> None:
    place, view = HOSTS[host]
    study = stand_in(events=600)
    board = review(study, study.gates, "treg/treg")  # type: ignore[arg-type]
    page = WidgetPage(browser, board, "board", place=place, view=VIEWS[view])
    page.page.wait_for_function("window.stats.some(one => one.kind === 'tiles')")
    first = page.page.locator(".rb-tile").first
    first.focus()
    page.page.keyboard.press("a")
    page.page.wait_for_function("() => window.sent.some(one => one.type === 'decide')")
    page.page.locator('.rb-tile[data-decision="accept"]').wait_for()
    assert board.decisions()["decision"].tolist()[0] == "accept"
    assert (page.errors, page.asked) == ([], [])
    page.page.evaluate("window.cleanup()")
    assert page.page.evaluate("Object.values(window.handlers).flat().length") == 0
    page.page.close()


@pytest.mark.parametrize("name", ["editor", "board"])
def test_module_needs_nothing_from_outside(name: str) -> None:
    source = (HERE / f"{name}.js").read_text(encoding="utf-8")
    assert not re.search(r"^\s*import\b|\bimport\(|\bfetch\(|XMLHttpRequest|WebSocket|\beval\(", source, re.MULTILINE)
    addresses = set(re.findall(r"https?://[^\"'` ]+", source))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert "export default { render }" in source
    style = (HERE / f"{name}.css").read_text(encoding="utf-8")
    assert "url(" not in style and "@import" not in style
