"""Numbers of the cohort that hang on gates a reader has to know of, and in how many visits.

Drawn anew by a person, left at the value of the template, placed by a fallback, or frozen without a control that tells
whether the instrument moved. Marked with the sign that visit pages have behind numbers of gates that were drawn anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

from immunoprofile.gate.overrides_in_force import hanging_on
from immunoprofile.io.records import records
from immunoprofile.report.content import Block, Bullets, Cell, Fold, Table, Text, columns, row
from immunoprofile.report.drawn_gates import MARK, gates_behind, in_force
from immunoprofile.report.key_table import technical
from immunoprofile.report.language import Said

if TYPE_CHECKING:
    from immunoprofile.report.cohort_view import CohortView
    from immunoprofile.report.source import Source
    from immunoprofile.report.value import Measure

KINDS: Final[Mapping[str, str]] = {
    "drawn": "a gate drawn anew by a person",
    "template": "a gate that kept the value of the template",
    "fallback": "a gate placed by a fallback",
    "held": "a frozen gate of which no control tells whether the instrument moved",
}
_HEADS: Final = {"drawn": "Drawn anew", "template": "Template value", "fallback": "Fallback", "held": "Held"}


@dataclass(frozen=True)
class Known:
    """Visits behind a number.

    Attributes
    ----------
    visits
        Visits at which the population was gated.
    marked
        Of them, those with a gate of any kind of `KINDS`.
    kinds
        Visits of each kind; one visit may have several.
    """

    visits: int = 0
    marked: int = 0
    kinds: Mapping[str, int] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """Counts as a phrase."""
        return "; ".join(f"{n} of {self.visits} visits with {KINDS[kind]}" for kind, n in self.kinds.items() if n)


class GatesToKnow:
    """Finds for a population and measure the visits whose gates a reader has to know of.

    Parameters
    ----------
    source
        Read once.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._known: dict[tuple[str, str], Known] = {}

    def of(self, population: str, measure: Measure) -> Known:
        """Counts of visits; none for what is no population."""
        key = (population, measure)
        if key not in self._known:
            self._known[key] = self._count(population, measure) if self._source.has(population) else Known()
        return self._known[key]

    def mark(self, population: str, measure: Measure) -> str:
        """`MARK` where a visit has such a gate, else nothing."""
        return MARK if self.of(population, measure).marked else ""

    def _count(self, population: str, measure: Measure) -> Known:
        names = gates_behind(self._source, population, measure)
        tube = self._source.var(population, "tube")
        visits = marked = 0
        kinds = dict.fromkeys(KINDS, 0)
        for place, samples in self._source.samples.items():
            if tube not in samples or place not in self._source.rows:
                continue
            visits += 1
            found = [kind for kind in KINDS if names & self._behind(place, kind)]
            marked += bool(found)
            for kind in found:
                kinds[kind] += 1
        return Known(visits, marked, kinds)

    def _behind(self, place: tuple[str, str], kind: str) -> set[tuple[str, str]]:
        """(tube, population) of a visit that hang on a gate of a kind."""
        if kind == "drawn":
            drawn = in_force(self._source, *place)
            return {(one["tube"], name) for one in drawn for name in one["affects"].split("; ")}
        found: set[tuple[str, str]] = set()
        for tube, sample in self._source.samples[place].items():
            gates = self._placed.get((sample, kind))
            if gates:
                found |= self._hanging(tube, gates)
        return found

    def _hanging(self, tube: str, gates: frozenset[str]) -> frozenset[tuple[str, str]]:
        key = (tube, gates)
        if key not in self._lower:
            strategy = self._source.profile.gates[tube]
            self._lower[key] = frozenset((tube, name) for name in hanging_on(strategy, gates))
        return self._lower[key]

    @cached_property
    def _lower(self) -> dict[tuple[str, frozenset[str]], frozenset[tuple[str, str]]]:
        return {}

    @cached_property
    def _placed(self) -> dict[tuple[str, str], frozenset[str]]:
        """(Sample, kind) -> its gates, from placement.csv."""
        table = self._source.profile.tables.get("placement")
        found: dict[tuple[str, str], set[str]] = {}
        for one in records(table, "placement") if table is not None and len(table) else ():
            kind = "template" if one["method"] == "template" else "fallback" if one["reason"] else ""
            for name in (kind, "held" if one.get("held") else ""):
                if name:
                    found.setdefault((one["sample_id"], name), set()).add(one["population"])
        return {key: frozenset(names) for key, names in found.items()}


def of_cohort(view: CohortView) -> tuple[Block, ...]:
    """Footnote of the marks: in how many visits which gates, the declared endpoints first; nothing without marks."""
    declared = [(one.population, one.measure) for one in view.source.config.endpoints]
    items = tuple(
        f"{view.source.display(name)} ({'cells/µL' if measure == 'abs' else '% of parent'}): {known.words}."
        for name, measure in dict.fromkeys(declared)
        if (known := view.gates.of(name, measure)).marked
    )
    every = [str(name) for name in view.source.visits.var_names if str(name) not in technical()]
    rows = tuple(
        row(view.source.display(name), Cell(str(known.visits), known.visits),
            *(Cell(str(known.kinds[kind]), known.kinds[kind]) for kind in KINDS))
        for name in every
        if (known := view.gates.of(name, "pct_parent")).marked
    )  # fmt: skip
    if not items and not rows:
        return ()
    title = Said("{mark} Gates to know of", mark=MARK)
    blocks: list[Block] = [Bullets(items, title) if items else Text(f"{title}: none behind a declared endpoint.")]
    heads = columns("Population", "#Visits", *(f"#{_HEADS[kind]}" for kind in KINDS))
    caption = (
        "Visits whose percentage hangs on such a gate, of the population or above it. Template value: the method found "
        "no place; held: no control aliquot of the batch. Nothing is left out. Cut by cut: placement.csv."
    )
    table = Table(heads, rows, "", caption)
    return (*blocks, Fold("Gates to know of, every population", (table,))) if rows else tuple(blocks)
