"""The editor in JupyterLab itself: drag, exact count, commit, a picture that outlives the server."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

pytest.importorskip("anywidget")
pytest.importorskip("jupyterlab")

ROOT = Path(__file__).resolve().parents[2]
READY = """() => { const w = window.jupyterapp && window.jupyterapp.shell.currentWidget, c = w && w.sessionContext;
  return Boolean(c && c.isReady && c.session && c.session.kernel && c.session.kernel.status === 'idle'
    && w.content.widgets.length) }"""
CELLS = (
    "from tests.widget.files import sample, strategy\nimport immunoprofile as ip\n"
    "ed = ip.widget.edit(sample(), strategy(), 'treg')\ned",
    "1 + 1",
)


@contextlib.contextmanager
def jupyterlab(folder: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {name: str(folder / f".{name.lower()}") for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR",
                                                               "JUPYTER_RUNTIME_DIR")}  # fmt: skip
    settings = folder / ".settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True, exist_ok=True)
    mode = os.environ.get("IMMUNOPROFILE_WINDOWING", "")
    if mode:
        (settings / "tracker.jupyterlab-settings").write_text(f'{{"windowingMode": "{mode}"}}', encoding="utf-8")
    environment = dict(os.environ, PYTHONPATH=str(ROOT), JUPYTERLAB_SETTINGS_DIR=str(folder / ".settings"), **own)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
               "--IdentityProvider.token=", "--ServerApp.disable_check_xsrf=True", "--expose-app-in-browser",
               f"--ServerApp.root_dir={folder}", "--LabApp.news_url=",
               "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]  # fmt: skip
    with (folder / "lab.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=folder)
        try:
            base = f"http://127.0.0.1:{port}"
            for _ in range(400):
                with contextlib.suppress(urllib.error.URLError, OSError):
                    urllib.request.urlopen(f"{base}/api", timeout=1)
                    break
                assert server.poll() is None, (folder / "lab.log").read_text()[-2000:]
                time.sleep(0.25)
            yield base
        finally:
            server.terminate()
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:  # it waits for its kernels, which a busy machine draws out
                server.kill()
                server.wait(30)


class Notebook:
    """A notebook that is open in JupyterLab."""

    def __init__(self, browser: Any, base: str, name: str) -> None:
        self.page = browser.new_page(viewport={"width": 1280, "height": 900})
        self.errors: list[str] = []
        self.outside: list[str] = []
        here = (base, base.replace("http", "ws"), "data:", "blob:")
        self.page.on("request", lambda r: None if r.url.startswith(here) else self.outside.append(r.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(f"{base}/lab/tree/{name}?reset")
        self.page.wait_for_selector(".jp-Notebook", timeout=120_000)

    def ready(self) -> None:
        self.page.wait_for_function(READY, timeout=120_000)
        self.page.wait_for_timeout(300)

    def command(self, name: str) -> None:
        self.page.evaluate("name => { window.jupyterapp.commands.execute(name) }", name)

    def kernel(self, code: str) -> str:
        """What the kernel of the notebook prints."""
        return str(
            self.page.evaluate(
                """async code => { const k = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
                let out = ''; const f = k.requestExecute({code, store_history: false});
                f.onIOPub = m => { if (m.header.msg_type === 'stream') out += m.content.text;
                  if (m.header.msg_type === 'error') out += m.content.ename + ': ' + m.content.evalue };
                await f.done; return out }""",
                code,
            )
        ).strip()


@pytest.mark.slow
def test_drag_count_commit_and_a_picture_after_the_server_is_gone(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "editor.ipynb"
    cells = [nbformat.v4.new_code_cell(code) for code in CELLS]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    with jupyterlab(tmp_path) as base:
        book = Notebook(browser, base, path.name)
        book.ready()
        book.command("notebook:run-all-cells")
        counts = book.page.locator(".ip-counts")
        book.page.wait_for_selector('.ip-counts[data-state="exact"]', timeout=180_000)
        handle = book.page.locator('.ip-handle[aria-label="corner 2 of 5"]')
        box = handle.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        book.page.mouse.move(x, y)
        book.page.mouse.down()
        book.page.mouse.move(x - 40, y - 30, steps=5)
        book.page.mouse.up()
        book.page.wait_for_selector('.ip-counts[data-state="exact"][data-rev="1"]', timeout=60_000)
        shown = int(counts.get_attribute("data-count"))
        engine = "print(ip.gate.gate_sample(sample(), ed.strategy).n('treg'))"
        assert book.kernel(engine) == str(shown)
        # JupyterLab takes letters for commands (d d deletes a cell) unless the editor keeps them
        handle.focus()
        for key in ("d", "d", "x", "Delete", "b"):
            book.page.keyboard.press(key)
        assert book.page.evaluate("window.jupyterapp.shell.currentWidget.content.widgets.length") == 2
        book.page.wait_for_selector('.ip-counts[data-state="exact"][data-rev="2"]', timeout=60_000)
        assert book.kernel("print(len(ed.gate.vertices))") == "4"
        assert (
            book.kernel("import json; print(json.dumps(ed.commit(reason='dim CD127', to='template')['treg'].vertices))")
            != ""
        )
        picture = ".jp-OutputArea-output img"
        book.page.wait_for_selector(picture, timeout=60_000)
        assert book.page.locator(".ip-gate-editor").count() == 0
        book.command("docmanager:save")
        for _ in range(100):
            saved = nbformat.read(path, as_version=4)
            if any("image/png" in output.get("data", {}) for output in saved.cells[0].outputs):
                break
            time.sleep(0.2)
        assert (book.errors, book.outside) == ([], [])
        book.page.close()
    bundle = nbformat.read(path, as_version=4).cells[0].outputs[-1]["data"]
    assert "image/png" in bundle and "application/vnd.jupyter.widget-view+json" not in bundle
    assert "dim CD127" in bundle["text/plain"]
    with jupyterlab(tmp_path) as base:
        again = Notebook(browser, base, path.name)
        again.page.wait_for_selector(picture, timeout=60_000)
        assert again.page.evaluate("document.querySelector('.jp-OutputArea-output img').naturalWidth") > 300
        assert "Error displaying widget" not in again.page.locator("body").inner_text()
        again.page.close()
