"""The gate editor as an anywidget: carries messages between pages and an `EditSession`, and decides nothing.

Messages of a page are JSON: ``{"type", "page", "seq", "base", ...}``. Each is answered by one message ``state`` with
the same ``page`` and ``seq``; the trait ``state`` holds the same for pages that come later. ``serial`` rises with every
state, so that a page drops what is older than what it shows. docs/gate-editor.md lists all messages.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from immunoprofile.errors import ImmunoprofileError
from immunoprofile.widget.committing import Target, committed
from immunoprofile.widget.overlays import overlay_of, overlays_of
from immunoprofile.widget.plot import RARE, Plot, part_of, plot_of
from immunoprofile.widget.shapes import axes_of, hidden_limits, new_cells, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd

    from immunoprofile.gate.gates import Gate
    from immunoprofile.gate.strategy import GateSet, Strategy
    from immunoprofile.study import Study
    from immunoprofile.widget.opening import Opened

_HERE = Path(__file__).parent
PROTOCOL = 1
"""Version of the messages."""


class GateEditor(anywidget.AnyWidget):
    """Gate editor of one population in one file; made by `ip.widget.edit`.

    The gate in force is `gate` (or `gates`, of a quadrant gate), `strategy` the strategy with it; `commit` ends the
    edit. The same can be done without a mouse: `change`, `undo`, `redo`, `reset`, `to_polygon`.
    """

    _esm = _HERE / "editor.js"
    _css = _HERE / "editor.css"
    spec = traitlets.Dict().tag(sync=True)
    raster = traitlets.Bytes().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self.session = opened.session
        self._serial = 0
        self._displays: list[str] = []
        self._plot = self._make_plot()
        super().__init__(spec=self._spec(), raster=self._plot.payload, state=self._state())
        self.session.watch(self._told)
        self.on_msg(self._received)

    # --- for the notebook -------------------------------------------------------------------------

    @property
    def gate(self) -> Gate | None:
        """The gate as it is now; None while a new population has no shape. Of a quadrant gate the first quadrant."""
        return self.session.gates[0] if self.session.gates else None

    @property
    def gates(self) -> tuple[Gate, ...]:
        """The gate, or all quadrants of a quadrant gate, as they are now."""
        return self.session.gates

    @property
    def strategy(self) -> Strategy:
        """The strategy of the file with the gate as it is now."""
        return self.session.strategy

    @property
    def counts(self) -> dict[str, int]:
        """Population -> number of events of the file, exact."""
        return dict(self.session.revision.counts.get(self.session.files[0].label, {}))

    def history(self) -> pd.DataFrame:
        """All revisions with their counts; see `EditSession.history`."""
        return self.session.history()

    def change(self, shape: Gate | Mapping[str, Any]) -> None:
        """Put another shape: a `Gate`, or the JSON that a page shows when its kernel is gone."""
        from immunoprofile.gate.gates import Gate

        if isinstance(shape, Gate):
            self.session.set(shape)
        else:
            self.session.change(shape)

    def undo(self) -> None:
        """Return to the gate before the last change."""
        self.session.undo()

    def redo(self) -> None:
        """Take back the last undo."""
        self.session.redo()

    def reset(self, *, to_template: bool = False) -> None:
        """Return to the gate as it was found; or, where it was drawn anew or placed, to that of the template."""
        self.session.reset(to_template=to_template)

    def to_polygon(self) -> None:
        """Put a polygon in place of an ellipse or a closed rectangle."""
        self.session.convert()

    def commit(
        self,
        *,
        reason: str,
        to: Target = "sample",
        author: str = "",
        version: str = "",
        study: Study | None = None,
    ) -> GateSet | Strategy:
        """End the edit, write it where it belongs, and put a picture in the place of the editor.

        Parameters
        ----------
        reason
            Why the gate is moved; it stays with the gate.
        to
            ``sample``: an override of this sample (`ip.gate.override`). ``subject``: the same for every sample of the
            subject in this tube; needs ``study``. ``template``: the gate of all files, in a template with a new
            version; new populations and quadrants go there.
        author
            Code of the person; an override needs it.
        version
            Version of the new template; by default the whole number after the present one.
        study
            The study of the sample: overrides are recorded in its ledger, ``gating/overrides.jsonl``. Without one they
            stay in the gates that are returned.

        Returns
        -------
        GateSet or Strategy
            The gates that were given to `ip.widget.edit`, changed; with an override always a set.

        Raises
        ------
        GateError
            There is no reason, nothing was drawn, or the gate cannot be put there; the edit goes on.
        ResultsError
            The study is locked.
        """
        gates = committed(self._opened, reason=reason, to=to, author=author, version=version, study=study)
        self._freeze(reason, to)
        self.session.close(f"committed to the {to}: {reason}")
        return gates

    # --- for the notebook's display ---------------------------------------------------------------

    def _ipython_display_(self) -> None:
        """Show the editor under an id, by which `commit` finds its output again."""
        from IPython.display import display

        name = uuid.uuid4().hex
        self._displays.append(name)
        bundle = self._repr_mimebundle_()
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle or {}, {})
        display(data, metadata=metadata, raw=True, display_id=name)  # type: ignore[no-untyped-call]

    def _freeze(self, reason: str, to: str) -> None:
        from immunoprofile.widget.picture import picture

        if not self._displays:
            return
        from IPython.display import update_display

        data = picture(self.session, self._plot, f"Committed to the {to}: {reason}")
        for name in self._displays:
            update_display(data, raw=True, display_id=name)  # type: ignore[no-untyped-call]

    def __repr__(self) -> str:
        counts = ", ".join(f"{name} {n:,}" for name, n in self.counts.items()) or "not drawn yet"
        own = self.session.files[0]
        return f"GateEditor({self._opened.shown_name!r}, {counts} of {own.n_events:,} {own.population})"

    # --- messages ---------------------------------------------------------------------------------

    def _make_plot(self) -> Plot:
        session = self.session
        own = session.files[0]
        shown = session.shown
        n = min((session.revision.counts.get(own.label, {}).get(gate.population, 0) for gate in session.gates),
                default=own.n_events)  # fmt: skip
        rare = own.n_events > 0 and n < RARE * own.n_events
        return plot_of(own, axes_of(shown), _places(session.gates), rare=rare)

    def _spec(self) -> dict[str, Any]:
        session, opened = self.session, self._opened
        own = session.files[0]
        siblings = [
            {"population": gate.population, "shape": shape_of((gate,))}
            for gate in own.gated.strategy.gates
            if gate.parent == own.population
            and gate.population not in {one.population for one in session.shown}
            and gate.kind in ("rectangle", "polygon", "ellipsoid")
            and axes_of((gate,)) == self._plot.axes
        ]
        return {
            "protocol": PROTOCOL,
            "tube": own.gated.strategy.tube,
            "file": opened.shown_name,
            "parent": own.population,
            "populations": [gate.population for gate in (session.pattern if session.fresh else session.shown)],
            "kind": "new" if session.fresh else session.shown[0].kind,
            "complement": session.shown[0].complement,
            "axes": list(self._plot.described),
            "bins": self._plot.bins,
            "hidden": list(hidden_limits(session.shown)),
            "template": bool(session.template),
            "quadrants": new_cells(session.pattern[0], session.taken) if session.fresh else {},
            "siblings": siblings,
            "overlays": overlays_of(session, blinded=opened.blinded),
            "channels": opened.channels if session.fresh else [],
            "problems": opened.doubts(),
        }

    def _state(self, page: str = "", seq: int = 0, error: str = "") -> dict[str, Any]:
        self._serial += 1
        return {**self.session.state(), "serial": self._serial, "page": page, "seq": seq, "error": error}

    def _told(self) -> None:
        self.state = self._state()

    def _received(self, _: object, message: Mapping[str, Any], buffers: object) -> None:
        page, seq = str(message.get("page", "")), int(message.get("seq", 0))
        error = ""
        try:
            self._handle(message, page, seq)
        except ImmunoprofileError as refused:
            error = self._opened.words_of(refused)
        self.state = self._state(page, seq, error)
        self.send({"type": "state", **self.state})

    def _handle(self, message: Mapping[str, Any], page: str, seq: int) -> None:
        base = message.get("base")
        base = int(base) if base is not None else None
        acts: dict[str, Callable[[], object]] = {
            "change": lambda: self.session.change(message["shape"], base=base, by=page),
            "undo": lambda: self.session.undo(base=base, by=page),
            "redo": lambda: self.session.redo(base=base, by=page),
            "reset": lambda: self.session.reset(to_template=message.get("to") == "template", base=base, by=page),
            "convert": lambda: self.session.convert(base=base, by=page),
            "axes": lambda: self._turn(message, page),
            "overlay": lambda: self._send_overlay(str(message["id"]), page, seq),
            "view": lambda: self._send_view(message["extent"], page, seq),
            "place": lambda: self._opened.place(self.session, message, base, page),
            "prepare": self.session.prepare,
        }
        name = str(message.get("type"))
        if name not in acts:
            raise ImmunoprofileError(f"the kernel does not know the message {name!r}", where="gate editor",
                                     todo="restart the kernel: page and package are of different versions")  # fmt: skip
        acts[name]()

    def _turn(self, message: Mapping[str, Any], page: str) -> None:
        gates = self._opened.new_axes(self.session, [str(one) for one in message["markers"]])
        plot = plot_of(self.session.files[0], axes_of(gates))
        self.session.turn(gates, by=page)
        self._plot = plot
        self.raster = plot.payload
        self.spec = self._spec()

    def _send_overlay(self, name: str, page: str, seq: int) -> None:
        data, raster = overlay_of(self.session, name, self._plot)
        self.send({"type": "overlay", "page": page, "seq": seq, "id": name, **data}, buffers=[raster])

    def _send_view(self, extent: list[list[float]], page: str, seq: int) -> None:
        """The events of a part of the plot, in full resolution, for a page that zoomed in."""
        limits = tuple((float(low), float(high)) for low, high in extent)
        lines, counts = part_of(self.session.files[0], self._plot, limits)
        head = {"type": "view", "page": page, "seq": seq, "extent": [list(one) for one in limits], "lines": lines}
        self.send(head, buffers=[counts])


def _places(gates: tuple[Gate, ...]) -> list[list[float]]:
    """Per axis of the plot, the limits and corners that have to be on it."""
    shape = shape_of(gates)
    if shape["kind"] in ("polygon", "ellipsoid"):
        corners = shape.get("vertices") or shape["outline"]
        return [[corner[axis] for corner in corners] for axis in (0, 1)]
    if shape["kind"] == "rectangle":
        return [[one for one in pair if one is not None] for pair in shape["limits"]]
    return [list(one) for one in shape.get("dividers", [])]
