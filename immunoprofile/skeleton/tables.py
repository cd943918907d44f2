"""The tables of a new study: what names and keywords tell, and empty cells for what only a person knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pandas as pd

from immunoprofile.errors import FcsError, ImmunoprofileError, Problems
from immunoprofile.io.manifest import fcs_files, propose_manifest
from immunoprofile.io.records import cells, records
from immunoprofile.schema import SAMPLES, SUBJECTS, VISITS
from immunoprofile.skeleton.names import Visit, in_order, is_visit, propose_pattern, role_of
from immunoprofile.skeleton.texts import ARM
from immunoprofile.skeleton.told import FIELD, told_by_groups, told_values, with_workspace
from immunoprofile.skeleton.tubes import Head, name_tubes, plain_name, read_head

if TYPE_CHECKING:
    from immunoprofile.errors import Problem
    from immunoprofile.skeleton.workspace import FilesOfWorkspace

FIRST_VISIT = "BL"
"""The visit of files whose names and dates tell none."""


@dataclass
class Tables:
    """Proposed tables.

    Attributes
    ----------
    subjects, visits, samples
        As the study has them; ``fcs_path`` is relative to the folder of the files.
    schedule
        Visits in their order.
    tubes
        Tube -> paths of its files below the folder.
    markers
        Tube -> its markers in words.
    pattern
        Pattern that the names were read with; empty for none.
    notes
        What was proposed from what.
    problems
        What disagrees, repeats or cannot be read.
    """

    subjects: pd.DataFrame
    visits: pd.DataFrame
    samples: pd.DataFrame
    schedule: list[Visit]
    tubes: dict[str, list[str]]
    markers: dict[str, str]
    pattern: str = ""
    notes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def propose_tables(
    folder: Path, pattern: Sequence[str], specimen: str, known: FilesOfWorkspace | None = None
) -> Tables:
    """Tables from the names and keywords of the files below a folder, and from a workspace that knows them.

    Raises
    ------
    ImmunoprofileError
        The folder holds no FCS file, or the pattern cannot be understood.
    """
    heads, broken = _heads(folder)
    notes: list[str] = []
    differing = Problems()
    if known is not None:
        heads = with_workspace(heads, known, differing)
    patterns = list(pattern)
    of_samples = [head for head in heads if role_of(head.where) == "sample"]
    if heads and not of_samples:
        raise ImmunoprofileError("all files are called controls (unstained, FMO, single stain)", where=str(folder),
                                 todo="name the folder of the samples too")  # fmt: skip
    if not patterns:
        patterns = _proposed_pattern(of_samples, known, notes)
    found = propose_manifest(folder, pattern=patterns or "{subject}")  # whatever the name is
    table = found.table.set_index("fcs_path", drop=False)
    table = table.loc[[head.where for head in heads]].astype(object)
    if not patterns:
        table["usubjid"] = None
    asked = [head.where for head in of_samples]
    for column in FIELD:
        named = zip(asked, cells(table.loc[asked, column], "text"), strict=True)
        by_name = {where: name for where, name in named if name}
        values, by = told_values(column, of_samples, by_name, fixed=bool(pattern), problems=differing)
        for where, value in values.items():
            table.loc[where, column] = value
        if by:
            notes.append(f"{FIELD[column]}s are read from the keyword {by} ({len(values)} of {len(asked)} files)")
    subjects_known = {
        str(where): name for where, name in zip(table.index, cells(table["usubjid"], "text"), strict=True) if name
    }
    if not patterns:
        own_names = _own_names([head.where for head in heads])
        for where in table.index[table["usubjid"].isna()]:
            table.loc[where, "usubjid"] = own_names[str(where)]
        if len(subjects_known) < len(of_samples):
            notes.append("the names do not tell which part is the subject: each file is a subject of its own")
            notes.append("say it with --pattern, for example '{subject}_{visit}_{tube}.fcs', into an empty folder")
    if known is not None:
        _fill_from_groups(table, told_by_groups(of_samples, known, subjects_known, notes), known, notes,
                          fixed=bool(pattern))  # fmt: skip
    roles = {head.where: role_of(head.where) for head in heads}
    table["role"] = [
        role or roles[str(where)] for where, role in zip(table.index, cells(table["role"], "text"), strict=True)
    ]
    # A second tube of a draw is no second attempt, of which one is chosen and the other left out.
    further = (table["role"] == "sample") & (pd.to_numeric(table["replicate"]) > 1)
    table.loc[further, "role"] = "replicate"
    control = ~table["role"].isin(("sample", "replicate"))
    if not patterns:
        table.loc[control, "usubjid"] = None
    tube_names = [plain_name(tube) if tube else None for tube in cells(table["tube_id"], "text")]
    tube_of = name_tubes(heads, tube_names, controls={where for where, role in roles.items() if role != "sample"})
    table["tube_id"] = [tube_of[where] for where in table["fcs_path"]]
    table["panel_id"] = [f"{tube}-1" for tube in table["tube_id"]]
    if specimen:
        table["specimen_type"] = specimen
    _fill_visits(table, notes)
    _name_samples(table)
    subjects = sorted(table.loc[~control, "usubjid"].dropna().unique())
    schedule = in_order([str(visit) for visit in table.loc[~control, "visit"].dropna()]) or [Visit(FIRST_VISIT, 1)]
    held = set(zip(table["usubjid"], table["visit"], strict=True))
    rows = [(subject, visit.name) for subject in subjects for visit in schedule if (subject, visit.name) in held]
    tubes: dict[str, list[str]] = {}
    for where, tube, role in zip(table["fcs_path"], table["tube_id"], table["role"], strict=True):
        if role in ("sample", "replicate", "control"):
            tubes.setdefault(tube, []).append(where)
    return Tables(
        subjects=pd.DataFrame({"usubjid": subjects, "arm": ARM}).reindex(columns=list(SUBJECTS.column_names)),
        visits=pd.DataFrame(rows, columns=["usubjid", "visit"])
        .assign(occurred=True)
        .reindex(columns=list(VISITS.column_names)),
        samples=table.reset_index(drop=True)[list(SAMPLES.column_names)],
        schedule=schedule,
        tubes=dict(sorted(tubes.items())),
        markers={tube: _markers(tube, heads, tube_of) for tube in tubes},
        pattern=patterns[0] if patterns else "",
        notes=notes,
        problems=[*broken, *differing.found, *(p for p in found.problems if _belongs_here(p, broken))],
    )


def _own_names(paths: Sequence[str]) -> dict[str, str]:
    """A name for each file that no other one has: its stem, with its folders where several files have that stem."""
    stems = Counter(PurePosixPath(path).stem.casefold() for path in paths)
    whole = {path: "_".join(PurePosixPath(path).with_suffix("").parts) for path in paths}
    alone = {path: PurePosixPath(path).stem for path in paths if stems[PurePosixPath(path).stem.casefold()] == 1}
    return whole | alone


def _proposed_pattern(heads: Sequence[Head], known: FilesOfWorkspace | None, notes: list[str]) -> list[str]:
    """The pattern that the names show, where they show one."""
    told = [[head.told["visit"][1] for head in heads]] if all("visit" in head.told for head in heads) else []
    groups = [known.groups.get(head.where, ()) for head in heads] if known is not None else [()]
    if all(len(names) == 1 and is_visit(names[0]) for names in groups):
        told.append([names[0] for names in groups])
    proposed = propose_pattern([head.where for head in heads], [head.panel for head in heads], told)
    if proposed is None:
        return []
    notes.append(f"names are read as {proposed}; another reading is said with --pattern")
    return [proposed]


def _fill_from_groups(
    table: pd.DataFrame, groups: tuple[str, dict[str, str]], known: FilesOfWorkspace, notes: list[str], *, fixed: bool
) -> None:
    """Tubes and visits as the groups of a workspace are called; what a pattern by a person read stays."""
    column, name_of = groups
    several = len(set(name_of.values())) > 1
    used: set[str] = set()
    other: dict[str, str] = {}
    for where, name in name_of.items():
        (there,) = cells([table.loc[where, column]], "text")
        if not there or (column == "tube_id" and several and not fixed):
            table.loc[where, column] = name
            used.add(name)
        elif there.casefold() != name.casefold():
            other[there] = name
    what = "tubes" if column == "tube_id" else "visits"
    if other:
        pairs = ", ".join(f"{mine} (group {theirs})" for mine, theirs in sorted(other.items()))
        notes.append(f"{what} keep what names and keywords say, where groups of {known.name} say another: {pairs}")
    if used:
        notes.append(f"{what} are called as the groups of {known.name}: {', '.join(sorted(used))}")


def _heads(folder: Path) -> tuple[list[Head], list[Problem]]:
    problems = Problems()
    heads = []
    paths = fcs_files(folder, problems)
    for path in paths:
        where = path.relative_to(folder).as_posix()
        try:
            heads.append(read_head(path, where))
        except FcsError as error:
            problems.add(where, error.what, allowed="left out of the study")
    if problems and not heads:
        raise ImmunoprofileError(f"none of the {len(problems)} files can be read", where=str(folder),
                                 todo=f"the first: {problems.found[0]}")  # fmt: skip
    return heads, problems.found


def _belongs_here(problem: Problem, broken: Sequence[Problem]) -> bool:
    """Cells that nobody filled yet are for `check`; attempts without an order too, once their visits are known."""
    empty = problem.what.startswith(("is not known", "keyword "))
    return not (empty or problem.column == "attempt" or problem.where in {one.where for one in broken})


def _fill_visits(table: pd.DataFrame, notes: list[str]) -> None:
    """A visit for files whose name has none: by the order of their dates inside subject and tube."""
    loose = table["visit"].isna() & table["usubjid"].notna()
    if not loose.any():
        return
    part = table[loose]
    days = pd.Series([text[:10] for text in cells(part["acquired_dtc"], "text")], index=part.index, dtype=object)
    order = {subject: sorted(set(days[part["usubjid"] == subject]) - {""}) for subject in part["usubjid"].unique()}
    repeated = part.groupby(["usubjid", "tube_id"]).size().max() > 1
    if repeated and (days != "").all():
        names = [f"V{order[subject].index(day) + 1}" for subject, day in zip(part["usubjid"], days, strict=True)]
        table.loc[loose, "visit"] = names
        notes.append("visits V1, V2 ... are the days on which the files of a subject were acquired, in their order")
    else:
        table.loc[loose, "visit"] = FIRST_VISIT
        notes.append(f"no name tells a visit: all files without one stand at {FIRST_VISIT}")


def _name_samples(table: pd.DataFrame) -> None:
    """Sample ids of what is known now; the name of the file where two would be called the same."""
    wanted = []
    for where, entry in zip(table.index, records(table, "samples"), strict=True):
        parts = [entry["usubjid"], entry["visit"], entry["tube_id"]]
        whole = all(parts) and entry["role"] == "sample"
        more = [f"a{entry['attempt']:.0f}"] if entry["attempt"] > 1 else []
        wanted.append("_".join([*parts, *more]) if whole else Path(str(where)).stem)
    # Two ids that differ in case only would be one file of the results on some systems.
    valid = [_valid(name) for name in wanted]
    often = Counter(name.casefold() for name in valid)
    seen: Counter[str] = Counter()
    ids = []
    for name, sha in zip(valid, table["sha256"], strict=True):
        one = name if often[name.casefold()] == 1 else f"{name[:80]}_{str(sha)[:8]}"
        seen[one] += 1
        ids.append(one if seen[one] == 1 else f"{one}_{seen[one]}")
    table["sample_id"] = ids


def _valid(name: str) -> str:
    """A name that a file of the results can have on every system."""
    plain = "".join(mark if mark.isascii() and (mark.isalnum() or mark in "._-") else "-" for mark in name)
    return (plain if plain[:1].isalnum() else f"s{plain}")[:100]


def _markers(tube: str, heads: Sequence[Head], tube_of: dict[str, str]) -> str:
    panels = Counter(head.panel for head in heads if tube_of[head.where] == tube)
    return ", ".join(sorted(panels.most_common(1)[0][0])) or "no fluorescence"
