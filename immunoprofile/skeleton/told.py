"""Subject, visit and tube as keywords and the groups of a workspace tell them, beside the names of files.

A keyword counts when its own name says what it is (Subject, VISIT, Time point). What a person edited in FlowJo stands
above what the cytometer wrote; both stand above a reading of names that nobody confirmed, and below a pattern that a
person gave. Whatever differs is named.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from immunoprofile.errors import Problems
from immunoprofile.skeleton.keywords import OF_PATIENTS, plain_word, told_by_keywords
from immunoprofile.skeleton.names import is_visit
from immunoprofile.skeleton.tubes import Head, plain_name

if TYPE_CHECKING:
    from immunoprofile.skeleton.workspace import FilesOfWorkspace

FIELD: Final = {"usubjid": "subject", "visit": "visit"}


def with_workspace(heads: Sequence[Head], known: FilesOfWorkspace, problems: Problems) -> list[Head]:
    """Heads with the keywords of the workspace in place of those of the files; where they differ is a problem."""
    result = []
    for head in heads:
        words = known.keywords.get(head.where, {})
        told = told_by_keywords(words)
        for column, (keyword, value) in told.items():
            _, own = head.told.get(column, ("", ""))
            if own and own != value:
                problems.add(head.where, f"keyword {keyword} is {value} in {known.name} and {own} in the file",
                             column=column, value=value, allowed="that of the workspace is taken")  # fmt: skip
        name = plain_name(words.get("TUBE NAME", ""))
        if name and head.tube_name and name != head.tube_name:
            problems.add(head.where, f"keyword TUBE NAME is {name} in {known.name} and {head.tube_name} in the file",
                         column="tube_id", value=name, allowed="that of the workspace is taken")  # fmt: skip
        result.append(replace(head, told=head.told | told, tube_name=name or head.tube_name))
    return result


def told_values(
    column: str, heads: Sequence[Head], named: Mapping[str, str], *, fixed: bool, problems: Problems
) -> tuple[dict[str, str], str]:
    """Path -> value of a column, for the files whose keywords decide it.

    Parameters
    ----------
    column
        ``usubjid`` or ``visit``.
    heads
        Files of samples.
    named
        Path -> value as the names of files tell it.
    fixed
        Whether a person said how names are read: then keywords only fill what they leave open.
    problems
        Gets the files whose name says another than the keyword.

    Returns
    -------
    tuple of dict and str
        The values, and the keywords that gave some, in words.
    """
    stated = {head.where: head.told[column] for head in heads if column in head.told}
    values = {where: value for where, (_, value) in stated.items()}
    whole = len(values) == len(heads) and (len(set(values.values())) > 1 or len(set(named.values())) < 2)
    fixed = fixed or any(plain_word(keyword) in OF_PATIENTS for keyword, _ in stated.values())
    decided: dict[str, str] = {}
    # Where every file would be a subject of its own, its name was not really read.
    each_its_own = column == "usubjid" and not fixed and len(set(named.values())) == len(named)
    spelling = (each_its_own and not set(named.values()) & set(values.values())) or _only_spelling(
        {where: (named[where], value) for where, value in values.items() if where in named}
    )
    others = {value.casefold(): value for value in named.values()}
    for where, value in values.items():
        if where not in named:
            decided[where] = value if whole else others.get(value.casefold(), value)
            continue
        if not fixed and (whole or value.casefold() in others):
            decided[where] = value if whole else others[value.casefold()]
        if plain_word(named[where]) != plain_word(value) and not spelling:
            taken = "the keyword" if where in decided else "the name"
            what = f"the name says {FIELD[column]} {named[where]}, keyword {stated[where][0]} says {value}"
            problems.add(where, what, column=column, allowed=f"{taken} is taken")
    return decided, ", ".join(sorted({stated[where][0] for where in decided}))


def _only_spelling(pairs: Mapping[str, tuple[str, str]]) -> bool:
    """Whether names and keywords tell the same in other words: D14 is Week 2 in every file."""
    distinct = {(plain_word(a), plain_word(b)) for a, b in pairs.values()}
    left, right = {a for a, _ in distinct}, {b for _, b in distinct}
    return 1 < len(distinct) == len(left) == len(right) and not left & right


def told_by_groups(
    heads: Sequence[Head], known: FilesOfWorkspace, subjects: Mapping[str, str], notes: list[str]
) -> tuple[str, dict[str, str]]:
    """What the groups of a workspace are, and the name that they give each file.

    Parameters
    ----------
    heads
        Files of samples.
    known
        The workspace.
    subjects
        Path -> subject, as far as it is known.
    notes
        Gets what the groups were taken for.

    Returns
    -------
    tuple of str and dict
        ``tube_id``, ``visit``, or empty where the groups are neither; path -> name.
    """
    files = [head for head in heads if head.where in known.groups]
    members: dict[str, set[str]] = defaultdict(set)
    for head in files:
        for name in known.groups[head.where]:
            members[name].add(head.where)
    if not members:
        return "", {}
    smaller = {name: held for name, held in members.items() if len(held) < len(files)}
    groups = smaller if _partition(smaller, {head.where for head in files}) else members
    listed = ", ".join(groups)
    if not _partition(groups, {head.where for head in files}):
        notes.append(f"groups of {known.name} ({listed}) do not part its files: they name no tubes")
        return "", {}
    of_file = {where: name for name, held in groups.items() for where in held}
    if all(is_visit(name) for name in groups):
        return "visit", of_file
    panels = {name: {head.panel for head in files if head.where in held} for name, held in groups.items()}
    if len(groups) > 1 and _of_subjects(groups, subjects) and len(set.union(*panels.values())) < len(groups):
        notes.append(f"groups of {known.name} ({listed}) part the subjects: they name no tubes")
        return "", {}
    if any(len(held) > 1 for held in panels.values()):
        notes.append(f"groups of {known.name} ({listed}) hold several panels: they name no tubes")
        return "", {}
    plain = {name: plain_name(name) for name in groups}
    if len({name.casefold() for name in plain.values()} - {""}) < len(groups):
        notes.append(f"groups of {known.name} ({listed}) cannot be names of tubes: letters, digits, - and _")
        return "", {}
    return "tube_id", {where: plain[name] for where, name in of_file.items()}


def _partition(groups: Mapping[str, Set[str]], files: Set[str]) -> bool:
    return bool(groups) and sum(map(len, groups.values())) == len(files) == len(set().union(*groups.values()))


def _of_subjects(groups: Mapping[str, Set[str]], subjects: Mapping[str, str]) -> bool:
    """Whether each subject has its files in one group, as arms and sites have, where a subject has several files."""
    held = [{subjects[where] for where in files if where in subjects} for files in groups.values()]
    everyone = set().union(*held)
    repeated = len(everyone) < len(subjects)
    return repeated and sum(map(len, held)) == len(everyone)
