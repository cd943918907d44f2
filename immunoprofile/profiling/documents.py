"""The gates of each sample as a document, made and read back once for all files that have the same."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from immunoprofile.errors import GateError
from immunoprofile.gate.exchange import effective, save, save_gatingml
from immunoprofile.io.files import write_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from immunoprofile.gate.evaluate import GatedSample

_log = logging.getLogger(__name__)


class GateDocuments:
    """Writes the effective gates of samples; threads may share one.

    To compare a document with the gates that it was made of, FlowKit has to parse it, which takes as long as the
    checks of a few channels. Files of one panel with one spillover matrix have the same document, and gates that were
    placed from one template differ in numbers alone: one of them is read, and what FlowKit read in it is kept in the
    user's cache for the next run.
    """

    def __init__(self) -> None:
        self._known: dict[object, tuple[str, bytes]] = {}
        self._read_alike: set[str] = set()

    def write(self, gated: GatedSample, path: Path) -> list[Path]:
        """Write the gates of one file, with its channels and its spillover matrix.

        The document is GatingML; where GatingML has no words for the gates (scales of FlowJo), it is ``.json``, which
        holds every kind.

        Parameters
        ----------
        gated
            The file.
        path
            Document to write.

        Returns
        -------
        list of Path
            Files written: the document, and those of gates of single samples.
        """
        channels = {
            dimension.marker: bound.marker
            for gate, bound_gate in zip(gated.strategy.gates, gated.bound.gates, strict=True)
            for dimension, bound in zip(gate.dimensions, bound_gate.dimensions, strict=True)
        }
        matrix = None if gated.spillover is None else (gated.spillover.channels, gated.spillover.matrix.tobytes())
        key = (gated.strategy, tuple(sorted(channels.items())), matrix)
        if key in self._known:
            suffix, content = self._known[key]
            write_bytes(path.with_suffix(suffix), content)
            return [path.with_suffix(suffix)]
        try:
            written = save_gatingml(gated.strategy, path, channels=channels, spillover=gated.spillover,
                                    remember=True, read_alike=self._read_alike)  # fmt: skip
        except GateError as error:
            _log.debug("%s is kept as .json: %s", path.stem, error)
            written = save(effective(gated.strategy, channels, gated.spillover), path.with_suffix(".json"))
        if len(written) == 1:  # else gates of single samples stand in documents of their own
            self._known[key] = written[0].suffix, written[0].read_bytes()
        return written
