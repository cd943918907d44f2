"""Which marker stands on which channel, across files that name them differently."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from immunoprofile.errors import FcsError, ProblemListError, Problems
from immunoprofile.io.fcs import Sample
from immunoprofile.io.fcs_outline import read_outline
from immunoprofile.io.markers import marker_of_channel, marker_type, same_marker

if TYPE_CHECKING:
    import pandas as pd

_Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, eq=False)
class PanelTable:
    """Channels of many files under one set of marker names.

    Attributes
    ----------
    channels
        One row per panel and channel: ``panel`` (1, 2 ... in the order met), ``channel`` ($PnN), ``label`` ($PnS),
        ``marker``, ``kind``.
    files
        Panel -> names of the files that have exactly these channels and labels, in any order of channels.
    """

    channels: pd.DataFrame
    files: Mapping[int, tuple[str, ...]]

    @property
    def markers(self) -> pd.DataFrame:
        """Markers x panels: the channel that carries each marker, empty where the panel lacks it."""
        stained = self.channels[~self.channels["kind"].isin(["scatter", "time"])]
        order = list(dict.fromkeys(stained["marker"]))
        table = stained.pivot_table(index="marker", columns="panel", values="channel", aggfunc="first", sort=False)
        return table.reindex(index=order, columns=sorted(self.files)).fillna("")

    @property
    def shared(self) -> tuple[str, ...]:
        """Markers that all panels have, in the order of the first."""
        table = self.markers
        return tuple(str(marker) for marker in table.index[(table != "").all(axis=1)])

    def of_file(self, name: str) -> dict[str, str]:
        """Channel ($PnN) -> marker of a file; KeyError for an unknown one."""
        panel = next((number for number, names in self.files.items() if name in names), None)
        if panel is None:
            raise KeyError(name)
        rows = self.channels[self.channels["panel"] == panel]
        return dict(zip(rows["channel"], rows["marker"], strict=True))


def harmonise(files: Iterable[str | Path | Sample], *, aliases: Mapping[str, str] | None = None) -> PanelTable:
    """Bring the channels of files with different naming schemes under one set of markers.

    Parameters
    ----------
    files
        FCS files (only their keywords are read) or samples already read.
    aliases
        Further names that mean a marker, for example ``{"CD8b": "CD8"}``: said by a person, never inferred.

    Returns
    -------
    PanelTable

    Raises
    ------
    ProblemListError
        A file carries one marker on several channels (the candidates are named), has a channel name twice, or cannot
        be read; all files at once.

    Examples
    --------
    >>> ip.io.harmonise(sorted(Path("fcs").glob("*.fcs"))).markers  # doctest: +SKIP
    """
    import pandas as pd

    problems = Problems()
    found: dict[frozenset[tuple[str, str]], tuple[_Labels, list[str]]] = {}
    for item in files:
        name = item.name if isinstance(item, Sample) else Path(item).name
        try:
            labels = item.labels if isinstance(item, Sample) else channel_labels(Path(item))
        except FcsError as error:
            problems.add(name, error.what)
            continue
        if frozenset(labels) not in found:
            _check(name, labels, aliases or {}, problems)
        found.setdefault(frozenset(labels), (labels, []))[1].append(name)
    if problems:
        raise ProblemListError(
            "the panels are not clear", problems.found,
            todo="correct the labels ($PnS) on the cytometer, or name the channel in the template",
        )  # fmt: skip
    rows = []
    for number, (labels, _) in enumerate(found.values(), 1):
        for pnn, pns in labels:
            marker = marker_with(pnn, pns, aliases or {})
            rows.append((number, pnn, pns, marker, marker_type(marker)))
    table = pd.DataFrame(rows, columns=["panel", "channel", "label", "marker", "kind"])
    return PanelTable(table, {number: tuple(names) for number, (_, names) in enumerate(found.values(), 1)})


def channel_labels(path: Path) -> _Labels:
    """(``$PnN``, ``$PnS``) of each channel, read from the keywords alone.

    Raises
    ------
    FcsError
        The file cannot be taken apart.
    """
    outline = read_outline(path)
    return tuple((outline.get(f"P{n}N"), outline.get(f"P{n}S")) for n in range(1, outline.channels + 1))


def marker_with(pnn: str, pns: str, aliases: Mapping[str, str]) -> str:
    """Marker of a channel after aliases that a person declared; the label as written may be an alias, too."""
    marker = marker_of_channel(pnn, pns)
    return next((meant for name, meant in aliases.items() if same_marker(name, marker) or name == (pns or pnn)), marker)


def _check(name: str, labels: _Labels, aliases: Mapping[str, str], problems: Problems) -> None:
    names = [pnn for pnn, _ in labels]
    for pnn in sorted({pnn for pnn in names if names.count(pnn) > 1}):
        problems.add(name, "a channel name stands twice", value=pnn)
    carriers: dict[str, list[tuple[str, str]]] = {}
    for pnn, pns in labels:
        marker = marker_with(pnn, pns, aliases)
        if marker_type(marker) not in ("scatter", "time"):
            carriers.setdefault(marker.casefold(), []).append((pnn, pns))
    for marker, candidates in carriers.items():
        if len(candidates) > 1 and len({pnn for pnn, _ in candidates}) > 1:
            text = ", ".join(f"{pnn} ({pns or 'no label'})" for pnn, pns in candidates)
            problems.add(name, f"marker {marker.upper()} is ambiguous", allowed=f"one of {text}")
