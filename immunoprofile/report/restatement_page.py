"""The page of a restatement: verdicts and sentences first, then numbers, and what differs between the two results."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from immunoprofile.report.content import Block, Cell, Fold, Part, Section, Table, Text, assemble, columns, row
from immunoprofile.report.language import Said
from immunoprofile.report.restatement import UNEXPLAINED, Restatement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SHOWN: Final = 200
"""Rows of a table on the page; the others stand in restatement.csv, which is said."""
_LONGEST: Final = 160
_SUMMARY: Final = ("Summary", "Synopsis", "Key populations")
"""Where a page says its verdicts."""


@dataclass(frozen=True)
class RestatementModel:
    """Everything the page shows."""

    study_id: str
    sentence: str
    level: str
    """Colour of the sentence: ``usable`` when nothing moved, ``limited`` when all is explained, else ``unusable``."""
    parts: tuple[Part, ...]
    institution: str = ""
    logo: str = ""
    footer: tuple[str, ...] = ()
    synthetic: bool = False
    blinded: bool = False
    reviews: tuple[Any, ...] = ()
    record: str = ""


def build_restatement(found: Restatement) -> RestatementModel:
    """Model of the page of a restatement."""
    numbers, words = (int(found.table["kind"].isin(kinds).sum()) for kinds in (("number", "printed"), ("words",)))
    rows = len(found.table) - numbers - words
    level = "usable" if found.table.empty else "unusable" if found.unexplained else "limited"
    if found.table.empty:
        sentence = f"Nothing moved: {found.compared:,} numbers, states and sentences are the same."
    else:
        why = f"{found.unexplained:,} of them unexplained" if found.unexplained else "each with its cause"
        moved = f"{numbers:,} numbers, {words:,} states and sentences and {rows:,} rows moved"
        sentence = f"{moved}, of {found.compared:,} compared; {why}."
    return RestatementModel(str(found.new["study_id"]), sentence, level, assemble(_SECTIONS, found))


def _causes(found: Restatement) -> tuple[Block, ...]:
    """What differs between the two results, with how many rows each touched."""
    text = found.table["causes"]
    rows = []
    for cause in found.causes:
        touched = int(sum(str(cause) in words.split("; ") for words in text))
        rows.append(row(cause.kind, cause.sample or cause.subject or "all", cause.words, Cell(f"{touched:,}", touched)))
    if found.unexplained:
        rows.append(row(UNEXPLAINED, "all", "nothing differs at these places: look for it before anything is issued",
                        Cell(f"{found.unexplained:,}", found.unexplained, mark="state FAIL")))  # fmt: skip
    said = "Where several causes touch a row all are named; how much each of them moved it is not divided."
    table = Table(columns("Cause", "Where", "What differs", "#Rows"), tuple(rows[:SHOWN]), caption=said)
    return (table, *_more(len(rows))) if rows else ()


def _records(found: Restatement) -> tuple[Block, ...]:
    """Versions, cut and head of the ledger of both."""
    rows = [
        row(label, *(Cell(words, look="mono") for words in pair))
        for label, pair in zip(
            ("immunoprofile", "Data cut", "Head of the ledger", "Seal of the results"),
            zip(_record(found.old), _record(found.new), strict=True),
            strict=True,
        )
    ]
    return (Table(columns("Record", "Old", "New"), tuple(rows), style="facts"),)


def _record(provenance: Mapping[str, Any]) -> tuple[str, ...]:
    cut, ledger = (provenance.get(name) or {} for name in ("cut", "ledger"))
    version = str(provenance["versions"].get("immunoprofile", ""))
    head = str(ledger.get("head") or "no overrides")
    return version, str(cut.get("cut", "not locked")), head, str(provenance.get("seal", ""))


def _verdicts(found: Restatement) -> tuple[Block, ...]:
    """Sentences and states, those of first pages first."""
    table = found.table[found.table["kind"] == "words"]
    rows = table.to_dict("records")
    rows.sort(key=lambda one: (not str(one["where"]).startswith("reports/"), not str(one["item"]).startswith(_SUMMARY)))
    return _listed(rows)


def _printed(found: Restatement) -> tuple[Block, ...]:
    """Cells of pages, as they were printed."""
    return _listed(found.table[found.table["kind"] == "printed"].to_dict("records"))


def _visits(found: Restatement) -> tuple[Block, ...]:
    """Percentages, cells/µL and changes of the visits."""
    table = found.table[(found.table["kind"] == "number") & found.table["where"].str.startswith("visits")]
    return _listed(table.to_dict("records"))


def _statistics(found: Restatement) -> tuple[Block, ...]:
    """Numbers of the analyses."""
    table = found.table[(found.table["kind"] == "number") & found.table["where"].str.startswith("statistics/")]
    return _listed(table.to_dict("records"))


def _others(found: Restatement) -> tuple[Block, ...]:
    """Every other number, table by table."""
    where = found.table["where"]
    table = found.table[(found.table["kind"] == "number") & ~where.str.startswith(("visits", "statistics/"))]
    return tuple(
        Fold(Said("{table}: {n} numbers", table=name, n=f"{len(rows):,}"), _listed(rows.to_dict("records")))
        for name, rows in table.groupby("where", sort=True)
    )


def _appeared(found: Restatement) -> tuple[Block, ...]:
    """Rows that appeared or disappeared."""
    return _listed(found.table[found.table["kind"] == "row"].to_dict("records"))


def _listed(rows: Sequence[dict[Any, Any]]) -> tuple[Block, ...]:
    if not rows:
        return ()
    numbers = rows[0]["kind"] == "number"
    made = []
    for one in rows[:SHOWN]:
        about = " ".join(one[name] for name in ("usubjid", "visit", "sample_id") if one[name]) or "all"
        what = ", ".join(words for words in (one["item"], one["column"]) if words)
        unexplained = one["causes"] == UNEXPLAINED
        why = Cell(one["causes"], mark="state FAIL") if unexplained else Cell(_short(one["causes"]))
        moved = "" if math.isnan(one["difference"]) else f"{one['difference']:+.4g}"
        share = "" if math.isnan(one["per_cent"]) else f"{one['per_cent']:+.3g} %"
        difference = (Cell(moved, one["difference"], note=share),) if numbers else ()
        old, new = (_value(one[name], number=numbers) for name in ("old", "new"))
        made.append(row(about, Cell(_short(what), note=one["where"]), old, new, *difference, why))
    heads = ("#Old", "#New", "#Difference") if numbers else ("Old", "New")
    table = Table(columns("About", "What", *heads, "Because of"), tuple(made), style="exceptions")
    return (table, *_more(len(rows)))


def _value(text: str, *, number: bool) -> Cell:
    if not number:
        return Cell(_short(text) or "none")
    return Cell(f"{float(text):.6g}", float(text)) if text else Cell("none")


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 2]} …"


def _more(count: int) -> tuple[Block, ...]:
    if count <= SHOWN:
        return ()
    return (Text(Said("{n} of {all} rows; all stand in restatement.csv.", n=SHOWN, all=f"{count:,}"), small=True),)


_SECTIONS: Final = (
    Section("records", "The two results", (_records,)),
    Section("causes", "What differs", (_causes,), empty="Nothing that can move a number."),
    Section("verdicts", "Verdicts, states and sentences that moved", (_verdicts,), empty="None."),
    Section("printed", "Numbers on the pages that moved", (_printed,), empty="None."),
    Section("visits", "Percentages, cells/µL and changes that moved", (_visits,), empty="None."),
    Section("statistics", "Statistics that moved", (_statistics,), empty="None."),
    Section("others", "Other numbers that moved", (_others,)),
    Section("rows", "Rows that appeared or disappeared", (_appeared,)),
)
