"""JupyterLab on a folder, and a notebook in it that a test uses as a person would."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).resolve().parents[2]
READY = """() => { const w = window.jupyterapp && window.jupyterapp.shell.currentWidget, c = w && w.sessionContext;
  return Boolean(c && c.isReady && c.session && c.session.kernel && c.session.kernel.status === 'idle'
    && w.content.widgets.length) }"""
EXACT = '.ip-counts[data-state="exact"]'
PICTURE = ".jp-OutputArea-output img"


def write_notebook(path: Path, cells: Sequence[str]) -> None:
    """A notebook of code cells."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in cells],
                                    metadata={"kernelspec": kernel})  # fmt: skip
    nbformat.write(made, path)


def set_windowing(folder: Path, mode: str) -> None:
    """Choose the windowing mode of the notebooks that are opened from now on."""
    settings = folder / ".settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "tracker.jupyterlab-settings").write_text(f'{{"windowingMode": "{mode}"}}', encoding="utf-8")


@contextlib.contextmanager
def jupyterlab(folder: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {name: str(folder / f".{name.lower()}") for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR",
                                                               "JUPYTER_RUNTIME_DIR")}  # fmt: skip
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

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return int(self.page.evaluate("window.jupyterapp.shell.currentWidget.content.widgets.length"))

    def run(self, cell: int, *, seconds: float = 300.0) -> None:
        """Run the cell with a number, counted from 0, and wait until the kernel is idle."""
        self.page.evaluate(
            """async number => { const book = window.jupyterapp.shell.currentWidget.content;
            book.activeCellIndex = number; book.deselectAll();
            await window.jupyterapp.commands.execute('notebook:run-cell') }""",
            cell,
        )
        self.page.wait_for_function(READY, timeout=1000 * seconds)
        failed = self.page.evaluate(
            """number => window.jupyterapp.shell.currentWidget.model.cells.get(number).toJSON().outputs
            ?.filter(one => one.output_type === 'error').map(one => one.ename + ': ' + one.evalue) ?? []""",
            cell,
        )
        assert failed == [], (cell, failed)

    def place(self, cell: int) -> None:
        """Scroll to a cell."""
        self.page.evaluate(
            """number => { const book = window.jupyterapp.shell.currentWidget.content;
            book.activeCellIndex = number; return book.scrollToItem(number, 'start') }""",
            cell,
        )

    def drag(self, name: str, dx: float, dy: float) -> int:
        """Drag a handle of the editor, and the exact count after it."""
        counts = self.page.locator(".ip-counts")
        self.page.wait_for_selector(EXACT, timeout=60_000)
        before = int(counts.get_attribute("data-rev"))
        handle = self.page.locator(f'.ip-handle[aria-label="{name}"]')
        handle.scroll_into_view_if_needed()
        box = handle.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + dx, y + dy, steps=5)
        self.page.mouse.up()
        self.page.wait_for_selector(f'{EXACT}[data-rev="{before + 1}"]', timeout=60_000)
        return int(counts.get_attribute("data-count"))

    def saved(self, path: Path, cell: int) -> dict[str, Any]:
        """Save, and the last output of a cell in the file, by media type, once it holds a picture."""
        for _ in range(150):
            self.command("docmanager:save")
            time.sleep(0.3)
            outputs = nbformat.read(path, as_version=4).cells[cell].get("outputs", [])
            if any("image/png" in one.get("data", {}) for one in outputs):
                return dict(outputs[-1]["data"])
        raise AssertionError("no picture was saved")

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
