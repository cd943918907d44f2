"""What moved between two results of one study: every number, verdict and sentence, by how much and why."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from immunoprofile import schema
from immunoprofile.errors import ResultsError
from immunoprofile.profiling.sealing import AGAIN, VISITS, read_provenance, verify
from immunoprofile.report.drawn_gates import MARK
from immunoprofile.report.restatement_causes import Attribution, Cause, Results, causes

if TYPE_CHECKING:
    from anndata import AnnData

COLUMNS: Final = (
    "kind", "where", "usubjid", "visit", "sample_id", "item", "column", "old", "new", "difference", "per_cent",
    "causes",
)  # fmt: skip
"""``kind`` is ``words`` (a verdict, state, flag or sentence), ``printed`` (another cell of a page), ``number`` (with
all its digits), or ``row`` (one that appeared or disappeared)."""
UNEXPLAINED: Final = "unexplained"
CHANGES: Final = "visits, change from baseline"
"""Differences and logarithms, of which a per cent means nothing."""
_NAMES: Final = frozenset({
    "usubjid", "visit", "sample_id", "tube", "population", "gate_path", "gate", "check", "collected_dtc", "date",
    "from_date", "start_dtc", "lab_id", "test", "term", "direction", "drug", "agent", "steroid", "source", "phase",
    "route", "criterion", "profile", "rule_id", "series", "arm", "event", "method_id", "measure", "contrast", "scale",
    "effect_kind", "factor", "key", "role", "flag", "statistic", "marker", "assay_id", "specimen", "rule", "other",
    "row", "family",
})  # fmt: skip
"""Columns that say what a row is about, wherever they stand."""
_ALSO: Final[Mapping[str, frozenset[str]]] = {
    "placement": frozenset({"limit"}),
    "safety_shift": frozenset({"baseline_grade", "worst_grade"}),
    "statistics/grade_shifts": frozenset({"baseline_grade", "worst_grade"}),
    "statistics/clearance_curves": frozenset({"lower_day"}),
}
_NOT: Final[Mapping[str, frozenset[str]]] = {"placement": frozenset({"source"})}
"""Columns of these names that say something of a row here."""
_WHOLE: Final = frozenset({"exceptions", "queries"})
"""Tables of which a row is one statement: it is there or not."""
_LEFT_OUT: Final = frozenset({"gate_overrides"})
"""A cause, not what it moved."""
_VERDICTS: Final = frozenset({"Verdict", "Found", "Reading", "State", "Result", "Meaning"})
"""Heads of columns of pages that say a verdict."""
_HASHES: Final = frozenset({"provenance", "glossary"})
"""Parts of a page that tell the causes, or explain words."""
_OBS: Final = (
    "qc_status",
    "flags",
    "abs_method",
    "cmv_raw",
    "cmv_kind",
    "cmv_log10",
    "cmv_drop",
    "alc",
    "wbc",
    "n_beads",
)


@dataclass(frozen=True)
class Restatement:
    """What moved.

    Attributes
    ----------
    table
        `COLUMNS`, one row a cell that is another one.
    causes
        Everything that differs between the two results and can move a number.
    compared
        Cells that were compared.
    old, new
        Provenance of the two results.
    """

    table: pd.DataFrame
    causes: tuple[Cause, ...]
    compared: int
    old: Mapping[str, Any]
    new: Mapping[str, Any]

    @property
    def unexplained(self) -> int:
        """Rows for which nothing differs."""
        return int((self.table["causes"] == UNEXPLAINED).sum())


@dataclass(frozen=True)
class _Cell:
    """A cell under a name that both results can have: what it is about, and what stands in it."""

    subject: str = ""
    visit: str = ""
    sample: str = ""
    item: str = ""
    column: str = ""
    printed: bool = False
    """A cell of a page that is no verdict."""


def restate(old: str | Path, new: str | Path) -> Restatement:
    """Compare two results folders of one study, cell by cell.

    Parameters
    ----------
    old, new
        Results folders.

    Returns
    -------
    Restatement

    Raises
    ------
    ResultsError
        A folder holds no complete results, is not as it was written, or they are of two studies.
    """
    before, after = (_read(Path(folder)) for folder in (old, new))
    if before.provenance["study_id"] != after.provenance["study_id"]:
        raise ResultsError(f"the results are of two studies: {before.provenance['study_id']} and "
                           f"{after.provenance['study_id']}", where=str(new))  # fmt: skip
    found = causes(before, after)
    attribution = Attribution(found)
    rows: list[tuple[Any, ...]] = []
    compared = 0
    for where, then, now in _pairs(before, after):
        compared += len({*then, *now})
        for name in dict.fromkeys([*then, *now]):
            if (moved := _moved(then.get(name), now.get(name), share=where != CHANGES)) is not None:
                why = attribution.of(where, name.subject, name.visit, name.sample)
                rows.append((
                    "printed" if name.printed else moved[0], where, name.subject, name.visit, name.sample, name.item,
                    name.column, *moved[1:],
                    "; ".join(dict.fromkeys(map(str, why))) or UNEXPLAINED,
                ))  # fmt: skip
    return Restatement(pd.DataFrame(rows, columns=list(COLUMNS)), found, compared, before.provenance, after.provenance)


def _read(folder: Path) -> Results:
    provenance = read_provenance(folder)
    if changed := verify(folder):
        raise ResultsError(f"is not as it was written: {'; '.join(changed[:5])}", where=str(folder), todo=AGAIN)
    return Results(folder, provenance)


_Content = dict[_Cell, str]


def _pairs(old: Results, new: Results) -> Iterator[tuple[str, _Content, _Content]]:
    """(Table or page, cells of the old, cells of the new) of everything that is compared."""
    names = sorted({*old.provenance["outputs"], *new.provenance["outputs"]})
    tables = [name.removesuffix(".csv") for name in names if name.endswith(".csv") and _is_table(name)]
    for table in tables:
        then, now = (_table(one.rows(f"{table}.csv"), table) for one in (old, new))
        yield table, then, now
    visits = [_visits(one.folder / VISITS) for one in (old, new)]
    for where in dict.fromkeys([*visits[0], *visits[1]]):
        yield where, visits[0].get(where, {}), visits[1].get(where, {})
    for name in (name for name in names if name.startswith("reports/") and name.endswith(".json")):
        then, now = (_page(one, name) for one in (old, new))
        yield name.removesuffix(".json"), then, now


def _is_table(name: str) -> bool:
    place, _, rest = name.rpartition("/")
    return place in ("", "statistics") and rest.removesuffix(".csv") not in _LEFT_OUT


def _table(rows: Iterable[Mapping[str, str]], table: str) -> _Content:
    names = (_NAMES | _ALSO.get(table, frozenset())) - _NOT.get(table, frozenset())
    seen: dict[tuple[str, ...], int] = {}
    found: _Content = {}
    for row in rows:
        own = {name: value for name, value in row.items() if table in _WHOLE or name in names}
        key = tuple(own.values())
        seen[key] = seen.get(key, 0) + 1
        place = own.get("usubjid", ""), own.get("visit", ""), own.get("sample_id", "")
        words = [value for name, value in own.items() if value and name not in ("usubjid", "visit", "sample_id")]
        item = ", ".join([*words, f"number {seen[key]}"] if seen[key] > 1 else words)
        found[_Cell(*place, item)] = "there"
        for name, value in row.items():
            if name not in own and name != "file":
                found[_Cell(*place, item, name)] = value
    return found


def _visits(path: Path) -> dict[str, _Content]:
    """Cells of the visits object: percentages, layers, changes, and what ``obs`` says of a visit."""
    import anndata

    visits = anndata.read_h5ad(path)
    found: dict[str, _Content] = {"visits": {}, CHANGES: {}}
    places = list(zip(visits.obs["usubjid"].astype(str), visits.obs["visit"].astype(str), strict=True))
    for name, table in _numbers(visits):
        where = CHANGES if "baseline" in name else "visits"
        for place, row in zip(places, table.to_numpy(dtype=float), strict=True):
            for population, value in zip(table.columns, row, strict=True):
                found[where][_Cell(*place, "", str(population), name)] = "" if math.isnan(value) else repr(float(value))
    for name in (name for name in _OBS if name in visits.obs):
        for place, value in zip(places, visits.obs[name], strict=True):
            found["visits"][_Cell(*place, "", "visit", name)] = "" if pd.isna(value) else str(value)
    for name in ("marker_string", "definition_note", "tube", "parent"):
        for population, value in visits.var[name].items():
            found["visits"][_Cell("", "", "", str(population), name)] = str(value)
    return found


def _numbers(visits: AnnData) -> Iterator[tuple[str, pd.DataFrame]]:
    columns = [str(name) for name in visits.var_names]
    yield "pct_parent", pd.DataFrame(visits.X, columns=columns)
    for name in (name for name in schema.VISIT_LAYERS if name in visits.layers):
        yield name, pd.DataFrame(visits.layers[name], columns=columns)
    for name in (name for name in visits.obsm if name not in schema.VISIT_GATINGS):
        yield str(name), pd.DataFrame(visits.obsm[name])


def _page(results: Results, name: str) -> _Content:
    """Sentences and cells of a page."""
    if name not in results.provenance["outputs"]:
        return {}
    content = json.loads((results.folder / name).read_text(encoding="utf-8"))["content"]
    place = str(content.get("subject", "")), str(content.get("visit", "")), ""
    found: _Content = {}
    seen: dict[tuple[str, str], int] = {}

    def add(item: str, column: str, words: str, *, printed: bool = False) -> None:
        seen[item, column] = seen.get((item, column), 0) + 1
        again = f" ({seen[item, column]})" if seen[item, column] > 1 else ""
        found[_Cell(*place, f"{item}{again}", column, printed)] = words

    summary = content.get("summary")
    if summary:
        add("Summary", "sentence", summary["sentence"])
    for words in content.get("findings", ()):
        add("Summary", words.partition(":")[0], words)
    for block in content.get("synopsis", ()):
        _block(block, "Synopsis", add)
    for part in content["parts"]:
        for block in part["blocks"] if part["id"] not in _HASHES else ():
            _block(block, part["title"], add)
    return found


def _block(block: Mapping[str, Any], title: str, add: Any) -> None:
    kind = block["kind"]
    if kind == "text" and not block["heading"]:
        add(title, "sentence", block["words"])
    elif kind == "bullets":
        for words in block["items"]:
            # A sentence of a rule is found again by the code of the rule, wherever it stands.
            column = words.partition(" ")[0] if block["coded"] else "sentence"
            add(f"{title}: {block['title']}" if block["title"] else title, column, words)
    elif kind == "table" and block["style"] != "exceptions":  # exceptions.csv has them
        _block_table(block, f"{title}: {block['title']}" if block["title"] else title, add)
    elif kind == "fold":
        for inner in block["blocks"]:
            _block(inner, title, add)
    elif kind == "beside":
        for side in block["sides"]:
            for inner in side:
                _block(inner, title, add)


def _block_table(block: Mapping[str, Any], title: str, add: Any) -> None:
    heads = [column["head"] for column in block["columns"]]
    last: dict[int, str] = {}
    for row in block["rows"]:
        for place, cell in enumerate(row):
            if cell is not None and place < max(block["heads"], 1):
                last[place] = cell["words"]
        name = ", ".join(last[place].removesuffix(MARK) for place in sorted(last) if last[place])
        for place, cell in enumerate(row):
            if cell is not None and place >= block["heads"]:
                note = f" ({cell['note']})" if cell["note"] else ""
                words = f"{cell['struck']} {cell['words']}{note}".strip()
                verdict = bool(cell["mark"]) or heads[place] in _VERDICTS
                add(f"{title}: {name}", heads[place], words, printed=not verdict)


def _moved(old: str | None, new: str | None, *, share: bool = True) -> tuple[str, str, str, float, float] | None:
    """(Kind, old, new, difference, per cent) of a cell; None where it is the same."""
    if "there" in (old, new):
        return None if old == new else ("row", old or "absent", new or "absent", math.nan, math.nan)
    before, after = old or "", new or ""
    if before == after:
        return None
    then, now = _number(before), _number(after)
    if (then is None and before) or (now is None and after):
        return "words", before, after, math.nan, math.nan
    if then == now:  # another spelling
        return None
    if then is None or now is None:  # appeared, or is missing now
        return "number", before, after, math.nan, math.nan
    return "number", before, after, now - then, 100 * (now - then) / abs(then) if then and share else math.nan


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
