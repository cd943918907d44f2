"""A gated study as HTML: what was measured and how good it is, what was left out, where the results are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from immunoprofile import schema
from immunoprofile.markup import LEGEND, SYMBOLS, block, counted, folded, hinted, line, table
from immunoprofile.pp.verdict import tube_states

if TYPE_CHECKING:
    from markupsafe import Markup

    from immunoprofile.profiling.results import Profile

_MOST_SUBJECTS: Final = 40


def profile_view(profile: Profile) -> str:
    """Key numbers, completeness and quality of every tube, what was left out, and the folder."""
    config = profile.study.config
    left_out = profile.exceptions[profile.exceptions["severity"] == "error"]
    version = str(profile.provenance.get("versions", {}).get("immunoprofile", ""))
    return block(
        f"Profile of study {config.study_id}",
        line(
            "simulated data" if config.synthetic else "",
            f"{profile.visits.n_obs:,} visits x {profile.visits.n_vars} populations",
            f"{counted(profile.counts['sample_id'].nunique(), 'file')} gated",
            f"✕ {counted(len(left_out), 'exception')} that left something out" if len(left_out) else "nothing left out",
            _queries(profile),
        ),
        line(_verdicts(profile)),
        _grid(profile),
        line(LEGEND),
        _left_out(profile),
        _folder(profile, version),
    )


def _queries(profile: Profile) -> str:
    if "queries" not in profile.tables:
        return ""
    closed = profile.tables["queries"]["closed"].fillna(value=False).astype(bool)
    return f"{counted(int((~closed).sum()), 'open query', 'open queries')}"


def _verdicts(profile: Profile) -> str:
    """How many visits passed; a visit without verdict is said to have none."""
    if "qc_status" not in profile.visits.obs:
        return ""
    states = profile.visits.obs["qc_status"].astype(object).fillna("no verdict").astype(str).value_counts()
    known = [*schema.QUALITY_STATES, *sorted(set(states.index) - set(schema.QUALITY_STATES))]
    parts = [f"{SYMBOLS.get(state, '?')} {state} {int(states[state])}" for state in known if state in states]
    return "visits by quality: " + ", ".join(parts)


def _grid(profile: Profile) -> Markup:
    config = profile.study.config
    visits = [visit.visit for visit in config.visits if visit.flow]
    states = tube_states(profile.quality)
    tubes = list(config.tubes)
    heads = ["subject", "arm", *(f"{visit} {tube}" for visit in visits for tube in tubes)]
    subjects = profile.study.subjects
    rows = []
    for usubjid, arm in zip(subjects["usubjid"].astype(str), subjects["arm"].astype(str), strict=True):
        own = [states.get((usubjid, visit, tube), "") for visit in visits for tube in tubes]
        rows.append((usubjid, arm, *(hinted(SYMBOLS[state], state or "not measured") for state in own)))
    more = len(rows) - _MOST_SUBJECTS
    rest = line(f"… and {counted(more, 'subject')} more: profile.quality") if more > 0 else ""
    caption = "Completeness and quality: the worst check of each tube of each flow visit"
    return table(heads, rows[:_MOST_SUBJECTS], caption=caption) + rest


def _left_out(profile: Profile) -> Markup | str:
    table_of = profile.exceptions[profile.exceptions["severity"] == "error"]
    if table_of.empty:
        return ""
    columns = ("code", "usubjid", "visit", "file", "message")
    rows = [tuple(row) for row in table_of[list(columns)].astype(str).head(20).itertuples(index=False)]
    rest = line(f"… and {len(table_of) - 20} more: profile.exceptions") if len(table_of) > 20 else ""
    return folded("Left out, with the reason", table(columns, rows), rest)


def _folder(profile: Profile, version: str) -> Markup:
    tables = [
        ("profile.visits", "visits.h5ad", f"{profile.visits.n_obs:,} x {profile.visits.n_vars}"),
        *(
            (f"profile.{name}", f"{name}.csv", f"{len(getattr(profile, name)):,}")
            for name in ("counts", "quality", "exceptions", "virology")
        ),
        *((f'profile.tables["{name}"]', f"{name}.csv", f"{len(one):,}") for name, one in profile.tables.items()),
    ]
    statistics = [name for name, one in profile.visits.uns.items() if "method_id" in getattr(one, "columns", ())]
    return folded(
        f"Results folder {profile.folder}",
        table(("in Python", "file", "rows"), tables, numbers=(2,)),
        line("statistics: " + (", ".join(statistics) or "none yet; ip.tl.run_plan(profile.visits) makes them")),
        line(f"written by immunoprofile {version}" if version else ""),
    )
