"""The gates of each sample as GatingML, made and read back once for all files that have the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from immunoprofile.gate.exchange import save_gatingml
from immunoprofile.io.files import write_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from immunoprofile.gate.evaluate import GatedSample


class GateDocuments:
    """Writes the effective gates of samples; threads may share one.

    To compare a document with the gates that it was made of, FlowKit has to parse it, which takes as long as the
    checks of a few channels. Files of one panel with one spillover matrix have the same document.
    """

    def __init__(self) -> None:
        self._known: dict[object, bytes] = {}

    def write(self, gated: GatedSample, path: Path) -> list[Path]:
        """Write the gates of one file, with its channels and its spillover matrix.

        Returns
        -------
        list of Path
            Files written: the document, and those of gates of single samples.

        Raises
        ------
        GateError
            As `gate.exchange.save_gatingml`.
        """
        channels = {
            dimension.marker: bound.marker
            for gate, bound_gate in zip(gated.strategy.gates, gated.bound.gates, strict=True)
            for dimension, bound in zip(gate.dimensions, bound_gate.dimensions, strict=True)
        }
        matrix = None if gated.spillover is None else (gated.spillover.channels, gated.spillover.matrix.tobytes())
        key = (gated.strategy, tuple(sorted(channels.items())), matrix)
        known = self._known.get(key)
        if known is not None:
            write_bytes(path, known)
            return [path]
        written = save_gatingml(gated.strategy, path, channels=channels, spillover=gated.spillover)
        if len(written) == 1:  # else gates of single samples stand in documents of their own
            self._known[key] = path.read_bytes()
        return written
