"""Names of a workspace or GatingML document and the ids that reports use: ``populations.csv`` ties one to the other.

Nothing is tied because it looks alike: what comes near an id is proposed, and a person writes the row.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from immunoprofile.errors import Problems
from immunoprofile.gate.definition import definition, differences
from immunoprofile.gate.gates import Gate
from immunoprofile.gate.strategy import ROOT, Strategy
from immunoprofile.resources import populations
from immunoprofile.schema import POPULATION_ID

MAPPING_TABLE = "populations.csv"

_NEAR = 0.82
"""Likeness of two names (difflib ratio) from which one is proposed for the other."""


@dataclass(frozen=True)
class Proposal:
    """A name that could be meant by an id.

    Attributes
    ----------
    tube
        Tube, or strategy of the document.
    source
        Name in the document; its path where the name stands at several places.
    population
        Id of the registry that comes near.
    """

    tube: str
    source: str
    population: str

    @property
    def row(self) -> str:
        """The row for ``populations.csv``."""
        cells = (self.tube, self.source, self.population)
        return ",".join(f'"{cell}"' if re.search(r'[",]', cell) else cell for cell in cells)


def sources_of(strategy: Strategy) -> dict[str, str]:
    """Id -> the shortest name by which the document has it: its label, or its path where labels repeat."""
    labels = {gate.population: gate.label or gate.population for gate in strategy.gates}
    often = [*labels.values()]
    return {
        population: label if often.count(label) == 1 else "/".join((*_path(strategy, population, labels), label))
        for population, label in labels.items()
    }


def _path(strategy: Strategy, population: str, labels: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(labels[name] for name in strategy.path(population)[1:])


def apply_mapping(
    strategies: Sequence[Strategy], rows: Iterable[Mapping[str, str]], tube: str, problems: Problems
) -> tuple[tuple[Strategy, ...], set[int]]:
    """Strategies of a tube with the ids of a mapping in place of the names of their document.

    Parameters
    ----------
    strategies
        Gates of the tube: one, or the trees of a workspace.
    rows
        Rows of ``populations.csv``: ``tube`` (empty: all), ``source`` (a name, or as much of its path as tells it
        apart), ``population`` (id).
    tube
        Tube of the study.
    problems
        Takes what cannot be done, by row.

    Returns
    -------
    strategies
        In which the mapped populations have their ids and no other name; the rest is as it was.
    set of int
        Numbers (from 1) of the rows that found their source.
    """
    used: set[int] = set()
    own = [(n, row) for n, row in enumerate(rows, 1) if row["tube"] in ("", tube)]
    for number, row in own:
        if not re.match(POPULATION_ID, row["population"]) or row["population"] == ROOT:
            problems.add(MAPPING_TABLE, "is no id of a population", row=number, column="population",
                         value=row["population"], allowed="lower-case letters, digits and _")  # fmt: skip
    if problems:
        return tuple(strategies), used
    return tuple(_mapped(strategy, own, used, problems) for strategy in strategies), used


def _mapped(
    strategy: Strategy, rows: Sequence[tuple[int, Mapping[str, str]]], used: set[int], problems: Problems
) -> Strategy:
    labels = {gate.population: gate.label or gate.population for gate in strategy.gates}
    new: dict[str, str] = {}
    for number, row in rows:
        source, population = row["source"], row["population"]
        hits = _find(source, strategy, labels)
        if not hits:
            continue
        used.add(number)
        if len(hits) > 1:
            paths = " or ".join(repr("/".join((*_path(strategy, hit, labels), labels[hit]))) for hit in hits)
            problems.add(
                MAPPING_TABLE, "stands at several places", row=number, column="source", value=source, allowed=paths
            )
        elif hits[0] in new:
            problems.add(MAPPING_TABLE, "a row above gives it another id", row=number, column="source", value=source)
        elif population in new.values():
            problems.add(MAPPING_TABLE, "a row above gives this id to another population of the tube", row=number,
                         column="population", value=population)  # fmt: skip
        else:
            new[hits[0]] = population
    for old, population in new.items():
        if population in strategy and population not in new and population != old:
            taken = labels[population]
            problems.add(MAPPING_TABLE, f"the id is that of {taken!r} already", column="population", value=population,
                         allowed=f"another id, or a row that gives {taken!r} another one")  # fmt: skip
    return strategy if problems else renamed(strategy, new)


def _find(source: str, strategy: Strategy, labels: Mapping[str, str]) -> list[str]:
    """Populations that a source means: by label or id, else by the end of their path."""
    by_name = [population for population, label in labels.items() if source in (label, population)]
    if by_name:
        exact = [population for population in by_name if labels[population] == source]
        return exact or by_name
    wanted = source.strip("/").removeprefix(f"{ROOT}/")
    return [
        population
        for population, label in labels.items()
        if f"/{'/'.join((*_path(strategy, population, labels), label))}".endswith(f"/{wanted}")
    ]


def renamed(strategy: Strategy, ids: Mapping[str, str], *, keep_names: bool = False) -> Strategy:
    """The same strategy with other ids.

    Parameters
    ----------
    strategy
        Gates.
    ids
        Old id -> new id.
    keep_names
        Keep the names that the gates came with. By default a renamed gate is called by its id from now on, and its note
        tells the name.
    """
    if not ids:
        return strategy

    def gate(old: Gate) -> Gate:
        new = ids.get(old.population, old.population)
        came_as = old.label or old.population
        given = old.population in ids and not keep_names
        return replace(
            old,
            population=new,
            parent=ids.get(old.parent, old.parent),
            label="" if given else came_as if came_as != new else "",
            note=old.note or (f"{came_as} in the document" if given and came_as != new else ""),
            operands=tuple(replace(o, population=ids.get(o.population, o.population)) for o in old.operands),
        )

    return replace(
        strategy,
        gates=tuple(gate(old) for old in strategy.gates),
        custom=tuple((sample, gate(old)) for sample, old in strategy.custom),
        beads=ids.get(strategy.beads, strategy.beads),
    )


def proposals(strategy: Strategy, wanted: Iterable[str] | None = None) -> tuple[Proposal, ...]:
    """Names of a strategy that come near an id of the registry and are not mapped.

    A name is near when it is a synonym of the id (``Tregs``, ``NK cells (CD56+)``), spelled almost like one, or when
    its gates are the definition of the id.

    Parameters
    ----------
    strategy
        Gates of a tube.
    wanted
        Only these ids.
    """
    names = sources_of(strategy)
    known = {name: entry for name, entry in populations().items() if wanted is None or name in set(wanted)}
    found = []
    for gate in strategy.gates:
        if gate.population in populations():
            continue
        near = _nearest(gate.label or gate.population, tuple(known)) or _by_gates(strategy, gate.population, known)
        if near and near not in strategy:
            found.append(Proposal(strategy.tube, names[gate.population], near))
    return tuple(found)


def _by_gates(strategy: Strategy, population: str, known: Iterable[str]) -> str:
    """Id whose definition the gates of a population are."""
    registry = populations()
    text = definition(strategy, population)
    for name in known:
        entry = registry[name]
        if not entry.technical and text == entry.marker_string and not differences(strategy, name):
            return name
    return ""


def _nearest(label: str, ids: tuple[str, ...]) -> str:
    """Id that a name is a spelling of, or empty."""
    plain = _plain(label)
    spellings = _spellings()
    exact = [name for name in ids if plain in spellings[name]]
    if exact or not plain:
        return exact[0] if exact else ""
    scored = [
        (difflib.SequenceMatcher(None, plain, spelling).ratio(), name)
        for name in ids
        for spelling in spellings[name]
        if len(spelling) > 3
    ]
    best = max(scored, default=(0.0, ""))
    return best[1] if best[0] >= _NEAR else ""


@cache
def _spellings() -> dict[str, frozenset[str]]:
    return {
        name: frozenset(_plain(text) for text in (name, entry.display, *entry.synonyms))
        for name, entry in populations().items()
    }


def _plain(name: str) -> str:
    """A name without markers in brackets, plurals and the word for cells; a minus behind a marker is kept as a word."""
    bare = re.sub(r"\([^)]*\)", " ", name.casefold())
    bare = re.sub(r"(?<=[a-z0-9])[-\u2212](?=\s*$|[\s,;/]|cd\d)", " neg ", bare)
    words = re.sub(r"[^a-z0-9+]+", " ", bare).split()
    singular = [word.removesuffix("s") if len(word) > 2 else word for word in words]
    return " ".join(word.rstrip("+") for word in singular if word != "cell").strip()
