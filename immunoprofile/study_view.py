"""A study as HTML: who came to which visit, what was measured, what does not fit."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from immunoprofile import schema
from immunoprofile.io.records import records
from immunoprofile.markup import block, counted, folded, hinted, line, table

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

    from immunoprofile.study import Study

_MOST_SUBJECTS: Final = 40
_LEGEND: Final = (
    "✓ took place, with tubes measured of planned · ! tubes are missing · – did not take place · ? not recorded"
)


def study_view(study: Study) -> str:
    """Arms, subjects x visits, rows of the tables, and what `Study.exceptions` lists."""
    config = study.config
    subjects = study.tables["subjects"]
    per_arm = subjects["arm"].value_counts()
    unscheduled = sorted(
        {
            (str(usubjid), str(visit))
            for name in ("samples", "cmv_dna", "labs", "functional")
            for usubjid, visit in zip(study.tables[name]["usubjid"], study.tables[name]["visit"], strict=True)
            if str(visit) not in config.visit_names and str(usubjid) != "nan"
        }
    )
    return block(
        f"Study {config.study_id}: {config.title}",
        line(
            "simulated data" if config.synthetic else "",
            f"registry {config.registry_id}" if config.registry_id else "",
            f"folder {study.folder}",
        ),
        line(
            *(f"{arm.label} ({arm.code}): {counted(int(per_arm.get(arm.code, 0)), 'subject')}" for arm in config.arms),
        ),
        _grid(study),
        line(f"{counted(len(unscheduled), 'unscheduled visit')} with results (UNS.01 …)" if unscheduled else ""),
        folded("Tables", _tables(study)),
        _exceptions(study.exceptions),
    )


def _grid(study: Study) -> Markup:
    visits = [visit.visit for visit in study.config.visits]
    held = {
        (row["usubjid"], row["visit"]): (bool(row["occurred"]), row["reason_not_done"])
        for row in records(study.tables["visits"], "visits")
    }
    measured: dict[tuple[str, str], set[str]] = {}
    for row in records(study.tables["samples"], "samples"):
        if row["role"] == "sample":
            measured.setdefault((row["usubjid"], row["visit"]), set()).add(row["tube_id"])
    flow = {visit.visit for visit in study.config.visits if visit.flow}
    subjects = study.tables["subjects"]
    rows = []
    for usubjid, arm in zip(subjects["usubjid"].astype(str), subjects["arm"].astype(str), strict=True):
        cells = [
            _cell(held.get((usubjid, visit)), measured.get((usubjid, visit), set()), tuple(study.config.tubes),
                  flow=visit in flow)
            for visit in visits
        ]  # fmt: skip
        rows.append((usubjid, arm, *cells))
    more = len(rows) - _MOST_SUBJECTS
    rest = line(f"… and {counted(more, 'subject')} more: study.visits" if more > 0 else "")
    return table(("subject", "arm", *visits), rows[:_MOST_SUBJECTS]) + rest + line(_LEGEND)


def _cell(record: tuple[bool, str] | None, tubes: set[str], planned: tuple[str, ...], *, flow: bool) -> Markup:
    if record is None:
        return hinted("? not recorded", "planned, and not in visits.csv")
    occurred, reason = record
    if not occurred:
        return hinted("– missed", f"did not take place: {reason or 'no reason given'}")
    if not flow and not tubes:
        return hinted("✓ held", "")
    missing = [tube for tube in planned if tube not in tubes]
    count = f"{len(planned) - len(missing)}/{len(planned)}"
    return hinted(f"! {count} tubes", f"missing: {', '.join(missing)}") if missing else hinted(f"✓ {count} tubes", "")


def _tables(study: Study) -> Markup:
    rows = []
    for name, spec in schema.TABLES.items():
        number = len(study.tables[name])
        rows.append((f"study.{name}", f"{number:,}" if number or spec.required else "– (absent or empty)"))
    return table(("table", "rows"), rows, numbers=(1,))


def _exceptions(exceptions: pd.DataFrame) -> Markup:
    if exceptions.empty:
        return line("✓ no exceptions: everything fits")
    words = {"error": "✕ error, left out", "warning": "! warning, used", "note": "note"}
    counts = Counter(zip(exceptions["severity"].astype(str), exceptions["code"].astype(str), strict=True))
    order = sorted(counts, key=lambda pair: (list(words).index(pair[0]), pair[1]))
    rows = [(words[severity], code, f"{counts[severity, code]:,}") for severity, code in order]
    found = exceptions["severity"].value_counts()
    summary = ", ".join(counted(int(found[name]), name) for name in words if name in found)
    return folded(f"Exceptions: {summary}", table(("severity", "code", "rows"), rows, numbers=(2,)), opened=True)
