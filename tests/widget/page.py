"""The editor's page in a bare browser: a fake model in the page, the widget's own code as its kernel."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from immunoprofile.widget.editor import GateEditor
from immunoprofile.widget.review_board import ReviewBoard

HERE = Path(__file__).resolve().parents[2] / "immunoprofile" / "widget"

FAKE_MODEL = """
const view = VIEW, bytes = text => view(Uint8Array.from(atob(text), c => c.charCodeAt(0)));
const stored = JSON.parse(document.getElementById('traits').textContent);
stored.raster = bytes(stored.raster);
const handlers = window.handlers = {};
const fire = (name, ...args) => (handlers[name] ?? []).forEach(f => f(...args));
window.sent = []; window.stats = [];
window.answer = 'kernel';  // 'kernel', or 'nobody'
window.apply = events => { for (const event of events) {
  if (event.trait) {
    stored[event.trait] = event.trait === 'raster' ? bytes(event.value) : event.value;
    fire('change:' + event.trait);
  }
  else fire('msg:custom', event.message, event.buffers.map(bytes));
} };
const model = {
  get: name => stored[name], set() { throw new Error('a page sets no trait'); },
  on: (name, f) => (handlers[name] ??= []).push(f),
  off: (name, f) => { handlers[name] = (handlers[name] ?? []).filter(g => g !== f); },
  send: message => {
    if (message.type === 'prepare') {
      window.kernel(message).then(said => { window.apply(said); window.ready = true; });
      return;
    }
    window.sent.push(structuredClone(message));
    if (window.answer === 'kernel') window.kernel(message).then(window.apply);
  },
};
const host = PLACE;
host.addEventListener('ip-stat', event => window.stats.push(event.detail), true);
window.start = () => { window.cleanup = editor.render({ model, el: host }); };
window.start();
"""


class Kernel:
    """Takes messages of a page to a widget and collects what it says in return; ``sent`` counts its bytes."""

    def __init__(self, editor: GateEditor | ReviewBoard) -> None:
        self.editor = editor
        self.said: list[dict[str, Any]] = []
        self.sent = 0
        editor.observe(self._trait, names=["state", "spec", "raster"])
        editor.send = self._message  # type: ignore[method-assign]

    def _trait(self, change: Any) -> None:
        value = base64.b64encode(change.new).decode() if change.name == "raster" else change.new
        self.said.append({"trait": change.name, "value": value})

    def _message(self, content: Any, buffers: Any = None) -> None:
        coded = [base64.b64encode(bytes(one)).decode() for one in buffers or ()]
        self.said.append({"message": content, "buffers": coded})

    def receive(self, message: Any) -> list[dict[str, Any]]:
        """What the kernel says after a message."""
        self.said = []
        self.editor._received(None, message, [])
        text = json.dumps(self.said)
        self.sent += len(text)
        return json.loads(text)  # type: ignore[no-any-return]


def _blob(coded: str) -> str:
    """JavaScript of an address under which a module is loaded without a server, as hosts of anywidget do."""
    code = f"Uint8Array.from(atob('{coded}'), c => c.charCodeAt(0))"
    return f"URL.createObjectURL(new Blob([{code}], {{ type: 'text/javascript' }}))"


DATA_VIEW = "bytes => new DataView(bytes.buffer)"
HOST = "document.getElementById('host')"


def html(widget: GateEditor | ReviewBoard, name: str = "editor", *, place: str = HOST, view: str = DATA_VIEW) -> str:
    """The page with the module of a name, its style and the traits of the widget inside.

    ``place`` and ``view`` are JavaScript: the element to render into, and how binary data are handed over.
    """
    model = FAKE_MODEL.replace("VIEW", view).replace("PLACE", place)
    raster = widget.raster if isinstance(widget, GateEditor) else b""
    traits = {"spec": widget.spec, "state": widget.state, "raster": base64.b64encode(raster).decode()}
    module = (HERE / f"{name}.js").read_text(encoding="utf-8")
    coded = base64.b64encode(module.encode()).decode()
    style = (HERE / f"{name}.css").read_text(encoding="utf-8")
    stored = json.dumps(traits).replace("</", "<\\/")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name}</title><style>{style}</style></head>'
        f'<body><main><h1>notebook</h1><h2>cell</h2><h3>output</h3><div id="host"></div></main>'
        f'<script type="application/json" id="traits">{stored}</script><script type="module">'
        f"const {{ default: editor, ...counting }} = await import({_blob(coded)});"
        f"window.counting = counting;{model}</script></body></html>"
    )


class WidgetPage:
    """A page of a widget in Chromium; ``errors`` and ``asked`` must stay empty."""

    def __init__(
        self,
        browser: Any,
        widget: GateEditor | ReviewBoard,
        name: str,
        *,
        width: int = 1280,
        height: int = 900,
        scale: float = 1.0,
        place: str = HOST,
        view: str = DATA_VIEW,
    ) -> None:
        self.kernel = Kernel(widget)
        viewport = {"width": int(width / scale), "height": int(height / scale)}
        self.page = browser.new_page(viewport=viewport, device_scale_factor=scale)
        self.errors: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda r: None if r.url.startswith(("data:", "blob:")) else self.asked.append(r.url))
        self.page.expose_function("kernel", self.kernel.receive)
        self.page.set_content(html(widget, name, place=place, view=view))

    def tell(self) -> None:
        """Take to the page what the kernel said by itself."""
        said, self.kernel.said = self.kernel.said, []
        self.page.evaluate("events => window.apply(events)", json.loads(json.dumps(said)))


class EditorPage(WidgetPage):
    """A page of the gate editor."""

    def __init__(self, browser: Any, editor: GateEditor, **options: Any) -> None:
        super().__init__(browser, editor, "editor", **options)
        self.editor = editor
        self.page.wait_for_function("window.ready")

    def exact(self) -> int:
        """The count, once it is exact."""
        self.page.wait_for_selector('.ip-counts[data-state="exact"]', timeout=30_000)
        return int(self.page.locator(".ip-counts").get_attribute("data-count"))

    @property
    def state(self) -> str:
        """``preview`` or ``exact``."""
        return str(self.page.locator(".ip-counts").get_attribute("data-state"))

    def handle(self, name: str) -> Any:
        """A handle by its name."""
        return self.page.locator(f'.ip-handle[aria-label="{name}"]')

    def drag(self, place: Any, dx: float, dy: float, *, steps: int = 4) -> None:
        """Drag an element, or a point of the page."""
        if not isinstance(place, tuple):
            box = place.bounding_box()
            place = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        mouse = self.page.mouse
        mouse.move(*place)
        mouse.down()
        mouse.move(place[0] + dx, place[1] + dy, steps=steps)
        mouse.up()

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Pixels of a point of the plot given in shares of its sides, from the lower left corner."""
        box = self.page.locator(".ip-frame").bounding_box()
        return box["x"] + x * box["width"], box["y"] + (1 - y) * box["height"]

    def press(self, name: str) -> None:
        """Press a button by its name."""
        self.page.get_by_role("button", name=name, exact=True).click()
