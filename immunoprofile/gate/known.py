"""What a document of gates tells of the files that it was made for: names, keywords, and the units of its axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal
from urllib.parse import unquote

LimitValues = Literal["file", "fcs", "flowjo"]
"""In which values limits are: of a file as it is read here; as the FCS standard has them, Time in ticks where the file
has no ``$TIMESTEP``; or as FlowJo showed them."""


def limits_of(text: object) -> LimitValues:
    """The word for the values of limits; ``file`` for what is none."""
    return "flowjo" if text == "flowjo" else "fcs" if text == "fcs" else "file"


ACQUISITION = ("guid", "date", "btim", "etim")
"""Keywords that two acquisitions do not have in common all together."""

HINTS = ("src", "smno", "cells", "tube name", "experiment name", "sample id", "wellid", "plateid")
"""Keywords that tell apart samples with one file name; people edit them, so a difference alone is no contradiction."""

KEPT_KEYWORDS = ("fil", "tot", *ACQUISITION, *HINTS)


def _number(value: object) -> float | None:
    return None if value is None else float(str(value))


@dataclass(frozen=True)
class ShownAxis:
    """How the document showed one channel of a sample: what tells the units of the limits on it.

    Attributes
    ----------
    channel
        $PnN.
    gain
        Factor of a linear scale (for Time, FlowJo's seconds of one tick, or 1); None where none is stated.
    top
        Upper end of the scale in the units shown; None where none is stated.
    pnr
        Range ($PnR) of the channel as the document keeps it, or None.
    """

    channel: str
    gain: float | None = None
    top: float | None = None
    pnr: float | None = None


@dataclass(frozen=True)
class StoredCount:
    """What FlowJo counted in one population.

    Attributes
    ----------
    gate_path
        Names from the first gate down to it, with slashes.
    shape
        ``rectangle``, ``polygon``, ``ellipse``, ``and``, ``or``, ``not``, or the name that FlowJo gives it.
    n
        Events; None where none were stored.
    binned
        Whether a polygon or an ellipse has a part in it, which FlowJo looks up in bins of a plot.
    population
        Its id in a study; empty where nobody gave one.
    """

    gate_path: str
    shape: str
    n: int | None
    binned: bool
    population: str = ""


@dataclass(frozen=True)
class KnownSample:
    """One sample of a document of gates.

    Attributes
    ----------
    sample_id
        Under which the strategy keeps the gates of this sample (``Strategy.custom``); unique in the document.
    name
        As the document shows it: often the file name, but people type others.
    uri
        Address of the file that it was made from.
    keywords
        (name, value) pairs of `KEPT_KEYWORDS`, lower case, without ``$``.
    axes
        How the channels of its gates were shown.
    left_out
        (gate, reason) pairs of what could not be read of it.
    counts
        What the document counted.
    """

    sample_id: str
    name: str
    uri: str = ""
    keywords: tuple[tuple[str, str], ...] = ()
    axes: tuple[ShownAxis, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    counts: tuple[StoredCount, ...] = ()

    @property
    def file(self) -> str:
        """Name of the file that it was made from; empty where the document does not say."""
        return self._path.name

    @property
    def folders(self) -> tuple[str, ...]:
        """Folders of that file, outermost first."""
        return tuple(part for part in self._path.parts[:-1] if part not in ("/", "file:"))

    @property
    def _path(self) -> PurePosixPath:
        return PurePosixPath(unquote(self.uri).replace("\\", "/"))

    def keyword(self, name: str) -> str:
        """Value of a keyword, or empty."""
        return dict(self.keywords).get(name, "")

    def axis(self, channel: str) -> ShownAxis | None:
        """How a channel was shown."""
        return next((axis for axis in self.axes if axis.channel == channel), None)

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> KnownSample:
        """From what `dataclasses.asdict` made of one and JSON kept."""
        return cls(
            sample_id=str(content["sample_id"]),
            name=str(content["name"]),
            uri=str(content["uri"]),
            keywords=tuple((str(name), str(value)) for name, value in content["keywords"]),
            axes=tuple(
                ShownAxis(str(axis["channel"]), *(_number(axis[name]) for name in ("gain", "top", "pnr")))
                for axis in content["axes"]
            ),
            left_out=tuple((str(gate), str(reason)) for gate, reason in content["left_out"]),
            counts=tuple(StoredCount(**one) for one in content["counts"]),
        )
