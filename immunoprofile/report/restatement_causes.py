"""Why a number moved between two results: what differs in inputs, gates, overrides, rules and software, by place."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

from immunoprofile.gate.ledger import LEDGER, Ledger, parse_ledger
from immunoprofile.gate.overrides_in_force import in_force
from immunoprofile.schema import TABLES

Kind = Literal[
    "data", "template", "baseline", "control", "override", "compensation", "configuration", "rule", "version"
]
KINDS: Final[tuple[Kind, ...]] = (
    "data", "template", "baseline", "control", "override", "compensation", "configuration", "rule", "version",
)  # fmt: skip
_OF_EVENTS: Final = frozenset({"counts", "gate_spread", "intensities", "rare_populations", "reconcile"})
"""Tables of what is counted in files: neither the rules nor the other tables of a study touch them."""
_OF_FILES: Final = (*sorted(_OF_EVENTS), "placement", "quality", "exceptions", "queries", "il2_timing")
"""Tables that files and gates touch; the visits, statistics and reports are made of all."""
_RULES_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "assays.yaml": ("virology",), "cmv_rules.yaml": ("virology",), "cmv_confounders.yaml": ("virology", "cmv_"),
    "ctcae.yaml": ("safety",), "doses.yaml": ("dos", "exposure", "clearance"), "eligibility.yaml": ("eligibility",),
    "immunosuppressants.yaml": ("immunosuppressants",), "quality_checks.yaml": ("quality", "visits"),
    "sdtm.yaml": (),
}  # fmt: skip
"""File of rules -> beginnings of the tables whose cells it can move, where they are few; statistics and reports are
made of all of them."""


@dataclass(frozen=True)
class Cause:
    """One difference between two results.

    Attributes
    ----------
    kind
        Which kind of difference.
    words
        What differs, from what to what.
    sample, subject
        Where: a sample, a subject, or empty for all.
    visit
        Visit of the sample.
    only, never
        Tables that it can touch (beginnings of their names; None is all), and those that it cannot.
    """

    kind: Kind
    words: str
    sample: str = ""
    subject: str = ""
    visit: str = ""
    only: tuple[str, ...] | None = None
    never: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.kind}: {self.words}"

    def touches(self, table: str) -> bool:
        """Whether it can move a cell of a table."""
        if table in self.never:
            return False
        made_of_all = table.startswith(("statistics/", "reports/", "visits"))
        return self.only is None or made_of_all or table.startswith(self.only)


@dataclass(frozen=True)
class Results:
    """What is read of one results folder to compare it: its provenance and small tables."""

    folder: Path
    provenance: Mapping[str, Any]

    def rows(self, name: str) -> list[dict[str, str]]:
        """Rows of a CSV table of the folder as text; none where it is not there."""
        if name not in self.provenance["outputs"]:
            return []
        text = (self.folder / name).read_text(encoding="utf-8")
        return [{str(k): str(v or "") for k, v in row.items()} for row in csv.DictReader(io.StringIO(text))]

    @cached_property
    def samples(self) -> dict[str, dict[str, str]]:
        """Rows of the samples table by sample."""
        return {row["sample_id"]: row for row in self.rows("study/samples.csv")}

    @cached_property
    def placed_on(self) -> dict[str, frozenset[str]]:
        """Sample -> samples on which its gates were placed; none where no gate was placed."""
        found: dict[str, set[str]] = {}
        for row in self.rows("placement.csv"):
            found.setdefault(row["sample_id"], set()).add(row["source"])
        return {name: frozenset(sources - {""}) for name, sources in found.items()}

    def state_of(self, name: str) -> tuple[str, str] | None:
        """Content hash and compensation of the file of a sample; None where the study does not have it."""
        row = self.samples.get(name)
        if row is None:
            return None
        applied = self.provenance["compensation"].get(name) or row.get("comp_source", "")
        return str(self.provenance["inputs"].get(row["fcs_path"], "")), str(applied)

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger that was followed."""
        if LEDGER not in self.provenance["outputs"]:
            return Ledger()
        return parse_ledger((self.folder / LEDGER).read_bytes(), str(self.folder))

    def output(self, *names: str) -> str:
        """Hash of the first of some outputs that is there; empty without any."""
        outputs = self.provenance["outputs"]
        return next((str(outputs[name]) for name in names if name in outputs), "")


def causes(old: Results, new: Results) -> tuple[Cause, ...]:
    """Everything that differs between two results and can move a number.

    Parameters
    ----------
    old, new
        The two results.
    """
    found = [*_software(old, new), *_tables(old, new)]
    placing = _Placing(old, new, rebuilt=any(one.kind == "version" for one in found))
    for name in sorted({*old.samples, *new.samples}):
        found += _of_sample(old, new, name, placing)
    return tuple(sorted(dict.fromkeys(found), key=lambda one: (KINDS.index(one.kind), one.sample, one.subject)))


def _software(old: Results, new: Results) -> Iterable[Cause]:
    then, now = (one.provenance["versions"] for one in (old, new))
    changed = [f"{name} {then.get(name, 'none')} -> {now.get(name, 'none')}" for name in sorted({*then, *now})
               if then.get(name) != now.get(name)]  # fmt: skip
    builds = [one.provenance.get("package_sha256", "unknown") for one in (old, new)]
    if not any(words.startswith("immunoprofile ") for words in changed) and builds[0] != builds[1]:
        changed.append(f"immunoprofile, another build of {now.get('immunoprofile')}")
    if changed:
        yield Cause("version", ", ".join(changed))
    before, after = (one.provenance.get("rules") for one in (old, new))
    if before is not None and after is not None:
        for name in sorted({*before, *after}):
            if before.get(name) != after.get(name):
                yield Cause("rule", f"{name} is another one", only=_RULES_OF.get(name), never=_OF_EVENTS)
    if old.output("study/study.yaml") != new.output("study/study.yaml"):
        yield Cause("configuration", "study.yaml is another one")


def _tables(old: Results, new: Results) -> Iterable[Cause]:
    """Rows of tables that differ, by subject; those of the ledger and of files are told by sample."""
    for table in TABLES:
        name = f"study/{table}.csv"
        if old.output(name) == new.output(name):
            continue
        before, after = (Counter(tuple(sorted(row.items())) for row in one.rows(name)) for one in (old, new))
        gone, came = (
            Counter(dict(row).get("usubjid", "") for row in apart.elements())
            for apart in (before - after, after - before)
        )
        subjects = gone | came  # a row that was changed is gone and came: one row, so the larger of both counts
        for subject, rows in sorted(subjects.items()):
            words = f"{table}.csv, {rows} row{'s' if rows > 1 else ''}" + (f" of {subject}" if subject else "")
            never = frozenset() if table == "samples" else _OF_EVENTS
            yield Cause("data", f"{words} differ{'s' if rows == 1 else ''}", subject=subject, never=never)


def _of_sample(old: Results, new: Results, name: str, placing: _Placing) -> Iterable[Cause]:
    before, after = old.samples.get(name), new.samples.get(name)
    row = after or before or {}

    def cause(kind: Kind, words: str, only: tuple[str, ...] = _OF_FILES) -> Cause:
        subject, visit = row.get("usubjid", ""), row.get("visit", "")
        return Cause(kind, words, sample=name, subject=subject, visit=visit, only=only)

    if before is None or after is None:
        yield cause("data", f"{name} is {'new' if before is None else 'gone'}")
        return
    files = [one.provenance["inputs"].get(own["fcs_path"], "") for one, own in ((old, before), (new, after))]
    if files[0] != files[1]:
        yield cause("data", f"the FCS file of {name} is another one")
    applied = [one.provenance["compensation"].get(name) for one in (old, new)]
    if applied[0] != applied[1]:
        yield cause("compensation", f"{name}: {applied[0] or 'none'} -> {applied[1] or 'none'}")
    drawn = [in_force(one.ledger.overrides, name) for one in (old, new)]
    for gone in (one for one in drawn[0] if one not in drawn[1] and one.place not in {o.place for o in drawn[1]}):
        yield cause("override", f"{gone.place} of {name} by {gone.author} was taken back or is gone")
    for one in (one for one in drawn[1] if one not in drawn[0]):
        yield cause("override", f"{one.place} of {name} by {one.author}: {one.reason}")
    in_use = [one.output(f"gating/{name}.xml", f"gating/{name}.json") for one in (old, new)]
    only = _OF_FILES if in_use[0] != in_use[1] else ("placement",)
    moved = [cause(kind, words, only) for kind, words in placing.behind(name)]
    yield from moved
    tube = row.get("tube_id", "")
    gates = [(one.provenance["gates"].get(tube) or {}).get("sha256", "") for one in (old, new)]
    placed = any(name in one.placed_on for one in (old, new))
    if gates[0] != gates[1] and (in_use[0] != in_use[1] or not all(in_use) or placed):
        # a placed gate may lie where it lay; its record holds the place of the template too
        yield cause("template", f"the gates of tube {tube} are others", only if all(in_use) else _OF_FILES)
    elif (
        in_use[0] != in_use[1] and drawn[0] == drawn[1] and files[0] == files[1] and applied[0] == applied[1]
        and not (moved or placing.rebuilt)
    ):  # fmt: skip
        yield cause("template", f"the gates of {name} are others")


_CONTROLS: Final = {"control": "the control aliquot", "fmo": "the FMO control"}


class _Placing:
    """What differs of the samples on which gates were placed, and of the controls of their batches."""

    def __init__(self, old: Results, new: Results, *, rebuilt: bool) -> None:
        self.rebuilt = rebuilt  # another package may place gates elsewhere, and is a cause by itself
        self._both = (old, new)
        self._rows = {**old.samples, **new.samples}
        self._controls: dict[tuple[str, str, str], set[str]] = {}
        for one in self._both:
            for name, row in one.samples.items():
                if row["role"] in _CONTROLS and (batch := _batch(row)):
                    self._controls.setdefault(batch, set()).add(name)

    def behind(self, name: str) -> Iterable[tuple[Kind, str]]:
        """Kind of cause and words, for the gates of a sample; nothing where none were placed."""
        sources = [one.placed_on.get(name, frozenset()) for one in self._both]
        then, now = ({other for other in own if self._role(other) not in _CONTROLS} for own in sources)
        if then and now and then != now:
            yield (
                "baseline",
                f"the gates of {name} lie on {', '.join(sorted(now))}, before on {', '.join(sorted(then))}",
            )
        for other in sorted((then & now) - {name}):
            if self._differs(other):
                yield "baseline", f"{other}, on which the gates of {name} lie, is {self._differs(other)}"
        if any(sources):
            batches = {_batch(one.samples.get(other, {})) for one in self._both for other in (name, *then, *now)}
            near = {other for batch in batches if batch for other in self._controls.get(batch, ())}
            used = {other for own in sources for other in own if self._role(other) in _CONTROLS}
            for other in sorted((near | used) - {name}):
                if what := self._differs(other):
                    row = self._rows[other]
                    yield "control", f"{_CONTROLS[row['role']]} {other} of batch {row.get('batch_id', '')} is {what}"

    def _role(self, name: str) -> str:
        return self._rows.get(name, {}).get("role", "")

    def _differs(self, name: str) -> str:
        then, now = (one.state_of(name) for one in self._both)
        if then == now:
            return ""
        return "new" if then is None else "gone" if now is None else "another file, or compensated otherwise"


def _batch(row: Mapping[str, str]) -> tuple[str, str, str] | None:
    """Tube, panel and batch; None without a batch."""
    batch = row.get("batch_id", "")
    return (row["tube_id"], row.get("panel_id", ""), batch) if batch else None


class Attribution:
    """Finds the causes of a place: those of the narrowest place around it at which something differs.

    Parameters
    ----------
    found
        From `causes`.
    """

    def __init__(self, found: Iterable[Cause]) -> None:
        self._all = tuple(found)
        self._known: dict[tuple[str, str, str, str], tuple[Cause, ...]] = {}

    def of(self, table: str, subject: str = "", visit: str = "", sample: str = "") -> tuple[Cause, ...]:
        """Causes of a cell.

        Parameters
        ----------
        table
            Table or page of the cell.
        subject, visit, sample
            What the cell is about; empty where it is about all.
        """
        key = (table, subject, visit, sample)
        if key not in self._known:
            self._known[key] = self._find(*key)
        return self._known[key]

    def _find(self, table: str, subject: str, visit: str, sample: str) -> tuple[Cause, ...]:
        touching = [one for one in self._all if one.touches(table)]
        everywhere = [one for one in touching if not one.sample and not one.subject]
        own = [one for one in touching if one not in everywhere]
        scopes = [
            [one for one in own if sample and sample == one.sample],
            [one for one in own if subject and subject == one.subject and visit and one.visit in (visit, "")],
            [one for one in own if subject and subject == one.subject],
            own,
        ]
        if sample:
            del scopes[1]
        # A page of a visit holds the baseline and the visit before it, and a statistic everybody.
        scopes = scopes[-2:] if subject and table.startswith(("reports/", "visits, change")) else scopes
        near = next((scope for scope in scopes if scope), [])
        return tuple(one for one in self._all if one in near or one in everywhere)
