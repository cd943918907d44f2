"""The review board as an anywidget: pictures on request, decisions to a `Board`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import numpy as np
import traitlets

from immunoprofile.errors import ImmunoprofileError, NotAvailableError
from immunoprofile.widget.beside import files_beside
from immunoprofile.widget.board import Board
from immunoprofile.widget.opening import open_gate
from immunoprofile.widget.session import words_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from immunoprofile.gate.raster import GateRaster
    from immunoprofile.gate.strategy import GateSet, Strategy
    from immunoprofile.widget.editor import GateEditor

_HERE = Path(__file__).parent
PROTOCOL = 1
MOST_AT_ONCE = 64
"""Pictures in one message."""


class ReviewBoard(anywidget.AnyWidget):
    """One gate over all samples; made by `ip.widget.review`. `decisions` is the table of what was decided."""

    _esm = _HERE / "board.js"
    _css = _HERE / "board.css"
    spec = traitlets.Dict().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)

    def __init__(self, board: Board, gates: GateSet | Strategy, *, blinded: bool) -> None:
        self.board = board
        self.blinded = blinded
        self._gates = gates
        self._serial = 0
        super().__init__(spec=self._spec(), state=self._state())
        self.on_msg(self._received)

    def decisions(self) -> pd.DataFrame:
        """One row a sample: its counts, flags, and what was decided, by whom and when."""
        return self.board.table()

    def decide(self, number: int, verdict: str, reason: str = "") -> None:
        """Decide without a page on the sample with a number of the board, counted from 1."""
        self.board.decide(self._sample(number), verdict, reason)
        self.state = self._state()

    def edit(self, number: int) -> GateEditor:
        """Open the gate of the sample with a number of the board in the editor; the FCS files must be at hand.

        The baseline visit of the subject and the FMO controls of its batch, where there are any, can be laid under the
        plot; one that cannot be read is told there.

        Raises
        ------
        NotAvailableError
            They are not; `read_results` with ``study=`` finds them.
        """
        from immunoprofile.widget.editor import GateEditor

        sample = self._sample(number)
        place = f"{self.board.tube}/{self.board.population}"
        try:
            gated = self.board.profile.gated(sample)
            others, notes = files_beside(self.board, sample, gated, blinded=self.blinded)
            return GateEditor(
                open_gate(gated, self._gates, place, others=others, sample_id=sample, blinded=self.blinded, notes=notes)
            )
        except ImmunoprofileError as error:
            if not self.blinded:
                raise
            what = f"number {number} cannot be opened ({type(error).__name__}); why would name its file"
        # Outside of the handler: the error that names the file is no part of what is shown.
        raise NotAvailableError(what, where="review", todo="whoever is not blinded sees it with blinded=False")

    def __repr__(self) -> str:
        done, of = len(self.board.done), len(self.board.items)
        return f"ReviewBoard({self.board.tube}/{self.board.population}, {done} of {of} samples decided)"

    def _sample(self, number: int) -> str:
        if not 1 <= number <= len(self.board.items):
            raise ImmunoprofileError(
                f"there is no number {number}", where="review", todo=f"1 to {len(self.board.items)}"
            )
        return self.board.items[number - 1].sample_id

    def _spec(self) -> dict[str, Any]:
        board = self.board
        frame: dict[str, Any] = {}
        if board.frame is not None:
            frame = {"x": list(board.frame.x_range), "y": list(board.frame.y_range)}
        items = []
        for item in board.items:
            one = {"n": item.n, "n_parent": item.n_parent, "flags": list(item.flags)}
            if not self.blinded:
                one |= {"subject": item.usubjid, "visit": item.visit, "batch": item.batch}
            items.append(one)
        return {
            "protocol": PROTOCOL,
            "population": board.population,
            "parent": board.profile.gates[board.tube][board.population].parent,
            "tube": board.tube,
            "blinded": self.blinded,
            "frame": frame,
            "items": items,
            "recorded": board.record is not None,
            "of_other_gates": board.of_other_gates,
        }

    def _state(self, page: str = "", seq: int = 0, error: str = "") -> dict[str, Any]:
        self._serial += 1
        place = {item.sample_id: number for number, item in enumerate(self.board.items, 1)}
        done = {
            str(place[name]): {"decision": one.decision, "reason": one.reason}
            for name, one in self.board.done.items()
            if name in place
        }
        return {"serial": self._serial, "page": page, "seq": seq, "error": error, "done": done}

    def _received(self, _: object, message: Mapping[str, Any], buffers: object) -> None:
        page, seq, error = str(message.get("page", "")), int(message.get("seq", 0)), ""
        try:
            if message.get("type") == "tiles":
                self._send_tiles([int(number) for number in message["numbers"]][:MOST_AT_ONCE], page)
                return
            if message.get("type") != "decide":
                what = f"the kernel does not know the message {message.get('type')!r}"
                raise ImmunoprofileError(what, where="review", todo="restart the kernel and reload the page")
            self.board.decide(self._sample(int(message["number"])), str(message["decision"]), str(message["reason"]))
        except ImmunoprofileError as refused:
            error = words_of(refused)
        self.state = self._state(page, seq, error)
        self.send({"type": "state", **self.state})

    def _send_tiles(self, numbers: list[int], page: str) -> None:
        tiles: list[dict[str, Any]] = []
        pictures: list[bytes] = []
        for number in numbers:
            raster = self.board.raster(self._sample(number))
            if raster is None:
                tiles.append({"number": number, "bins": 0})
                continue
            outline = raster.outlines[0]
            tiles.append({
                "number": number,
                "bins": int(raster.counts.shape[0]),
                "x": list(raster.x_range),
                "y": list(raster.y_range),
                "outline": [[float(x), float(y)] for x, y in zip(outline.x, outline.y, strict=True)],
            })  # fmt: skip
            pictures.append(levels(raster))
        self.send({"type": "tiles", "page": page, "tiles": tiles}, buffers=pictures)


def levels(raster: GateRaster) -> bytes:
    """Log density of a raster as bytes, rows from low to high y; 0 is no event, 255 the densest bin."""
    level = np.log1p(raster.counts.astype(np.float64))
    top = max(float(level.max()), 1e-9)
    return np.where(raster.counts > 0, np.maximum(np.round(255 * level / top), 1), 0).astype(np.uint8).tobytes()
