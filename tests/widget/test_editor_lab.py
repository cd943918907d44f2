"""The editor in JupyterLab itself: drag, exact count, commit, a picture that stays, windowing, restarts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest

pytest.importorskip("anywidget")
pytest.importorskip("jupyterlab")

from tests.widget.lab import EXACT, PICTURE, ROOT, Notebook, jupyterlab, set_windowing, write_notebook

OPEN = (
    "from tests.widget.files import sample, strategy\nimport immunoprofile as ip\n"
    "ed = ip.widget.edit(sample(), strategy(), 'treg')\ned"
)
BY_ENGINE = "print(ip.gate.gate_sample(sample(), ed.strategy).n('treg'))"
DRAWN = """() => { const c = document.querySelector('.ip-plot canvas'); if (!c || !c.width) return false;
  const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; return d.some(v => v) }"""


@pytest.mark.slow
def test_drag_count_commit_and_a_picture_after_the_server_is_gone(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "editor.ipynb"
    write_notebook(path, (OPEN, "1 + 1"))
    with jupyterlab(tmp_path) as base:
        book = Notebook(browser, base, path.name)
        book.ready()
        book.run(0)
        shown = book.drag("corner 2 of 5", -40, -30)
        assert book.kernel(BY_ENGINE) == str(shown)
        # JupyterLab takes letters for commands (d d deletes a cell) unless the editor keeps them
        book.page.locator('.ip-handle[aria-label="corner 2 of 5"]').focus()
        for key in ("d", "d", "x", "Delete", "b"):
            book.page.keyboard.press(key)
        assert book.n_cells == 2
        book.page.wait_for_selector(f'{EXACT}[data-rev="2"]', timeout=60_000)
        assert book.kernel("print(len(ed.gate.vertices))") == "4"
        commit = "print(ed.commit(reason='dim CD127', to='template').version)"
        assert book.kernel(commit) == "4"
        book.page.wait_for_selector(PICTURE, timeout=60_000)
        assert book.page.locator(".ip-gate-editor").count() == 0
        bundle = book.saved(path, 0)
        assert (book.errors, book.outside) == ([], [])
        book.page.close()
    assert "image/png" in bundle and "application/vnd.jupyter.widget-view+json" not in bundle
    assert "dim CD127" in bundle["text/plain"]
    with jupyterlab(tmp_path) as base:
        picture_is_there(browser, base, path.name)


def picture_is_there(browser: Any, base: str, name: str) -> None:
    """A fresh server shows the picture of a committed gate, without its kernel."""
    again = Notebook(browser, base, name)
    again.page.wait_for_selector(PICTURE, timeout=60_000)
    assert again.page.evaluate("document.querySelector('.jp-OutputArea-output img').naturalWidth") > 300
    assert "Error displaying widget" not in again.page.locator("body").inner_text()
    again.page.close()


@pytest.mark.slow
def test_every_windowing_mode_paints_again_after_scrolling(browser: Any, tmp_path: Path) -> None:
    filler = "print('line\\n' * 60)"
    with jupyterlab(tmp_path) as base:
        for mode in ("contentVisibility", "full", "defer", "none"):
            set_windowing(tmp_path, mode)
            path = tmp_path / f"{mode}.ipynb"
            write_notebook(path, (OPEN, *[filler] * 12))
            book = Notebook(browser, base, path.name)
            book.ready()
            chosen = "window.jupyterapp.shell.currentWidget.content.notebookConfig.windowingMode"
            assert book.page.evaluate(chosen) == mode
            for cell in range(13):
                book.run(cell)
            book.place(0)
            book.page.wait_for_function(DRAWN, timeout=60_000)
            first = book.drag("corner 2 of 5", -40, -30)
            for _ in range(2):
                book.place(12)
                book.page.wait_for_function(  # gone from view, from the document, or from both
                    """() => { const e = document.querySelector('.ip-gate-editor'); if (!e?.isConnected) return true;
                    const b = e.getBoundingClientRect(); return b.bottom < 0 || b.width === 0 }""",
                    timeout=60_000,
                )
                book.page.evaluate(  # what a browser may do with a canvas out of sight
                    "() => { const c = document.querySelector('.ip-plot canvas'); if (c) c.width = c.width }"
                )
                book.page.wait_for_timeout(400)
                book.place(0)
                book.page.wait_for_function(DRAWN, timeout=60_000)
                assert int(book.page.locator(".ip-counts").get_attribute("data-count")) == first, mode
            second = book.drag("corner 2 of 5", 25, 10)
            assert book.kernel(BY_ENGINE) == str(second) != str(first), mode
            assert (book.errors, book.outside) == ([], []), mode
            book.page.close()


@pytest.mark.slow
def test_two_browsers_edit_one_gate_and_a_restarted_kernel_loses_nothing_that_was_drawn(
    browser: Any, tmp_path: Path
) -> None:
    path = tmp_path / "two.ipynb"
    write_notebook(path, (OPEN, "1 + 1"))
    with jupyterlab(tmp_path) as base:
        one = Notebook(browser, base, path.name)
        one.ready()
        one.run(0)
        one.drag("corner 2 of 5", -40, -30)
        one.command("docmanager:save")
        one.page.wait_for_timeout(1000)
        two = Notebook(browser, base, path.name)
        two.page.wait_for_selector(f'{EXACT}[data-rev="1"]', timeout=60_000)
        shown = two.drag("corner 3 of 5", 20, 15)
        one.page.wait_for_selector(f'{EXACT}[data-rev="2"][data-count="{shown}"]', timeout=60_000)
        assert one.kernel(BY_ENGINE) == str(shown)
        assert one.kernel("print(len(ed.history()), ed.session.revision.number)") == "3 2"
        assert (two.errors, two.outside) == ([], [])
        two.page.close()
        # The kernel goes while a hand moves: the page says so, with the line that brings the shape back.
        one.page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
        one.ready()
        handle = one.page.locator('.ip-handle[aria-label="corner 1 of 5"]')
        handle.focus()
        handle.press("Shift+ArrowLeft")
        one.page.wait_for_selector(".ip-alert textarea", timeout=60_000)
        assert "The kernel does not answer" in one.page.locator(".ip-alert").inner_text()
        line = one.page.locator(".ip-alert textarea").input_value()
        one.run(0)
        one.page.wait_for_selector(f'{EXACT}[data-rev="0"]', timeout=60_000)
        one.kernel(line)
        one.page.wait_for_selector(f'{EXACT}[data-rev="1"]', timeout=60_000)
        assert one.kernel(BY_ENGINE) == one.page.locator(".ip-counts").get_attribute("data-count")
        corners = "import json; print(json.dumps([list(c) for c in ed.gate.vertices], separators=(',', ':')))"
        assert one.kernel(corners) in line
        one.page.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["01_first_look", "02_gate_and_review"])
def test_shipped_notebook_is_drawn_in_committed_and_seen_again(
    name: str, browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IMMUNOPROFILE_STUDY", raising=False)
    path = tmp_path / f"{name}.ipynb"
    shutil.copy(ROOT / "notebooks" / path.name, path)
    cells = nbformat.read(path, as_version=4).cells
    code = [number for number, cell in enumerate(cells) if cell.cell_type == "code"]
    opening = next(number for number in code if "ip.widget.edit(" in cells[number].source)
    with jupyterlab(tmp_path) as base:
        book = Notebook(browser, base, path.name)
        book.ready()
        for number in (one for one in code if one <= opening):
            book.run(number)
        book.place(opening)
        shown = book.drag("corner 2 of 5", -25, -20)
        engine = "print(ip.gate.gate_sample(editor.session.files[0].gated.sample, editor.strategy).n('treg'))"
        assert book.kernel(engine) == str(shown)
        assert book.kernel("print(editor.counts['treg'])") == str(shown)
        commit = "print(editor.commit(reason='drawn by a test', to='template')['treg'].version)"
        assert book.kernel(commit) == book.kernel("print(int(gates['treg'].version) + 1)")
        assert "drawn by a test" in book.saved(path, opening)["text/plain"]
        assert (book.errors, book.outside) == ([], [])
        book.page.close()
    with jupyterlab(tmp_path) as base:
        again = Notebook(browser, base, path.name)
        again.page.wait_for_selector(".jp-Notebook", timeout=60_000)
        again.place(opening)
        again.page.wait_for_selector(f"{PICTURE}[alt], {PICTURE}", timeout=60_000)
        assert "Error displaying widget" not in again.page.locator("body").inner_text()
        again.page.close()
