"""What docstrings and comments point to exists in this repository."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

from tests.test_structure import MODULES, PACKAGE, ROOT, tracked_files

NAMED = re.compile(r"(?<!`)`([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)(?:\([^`]*\))?`(?!`)")
"""A dotted name between single backticks, with or without arguments; double backticks hold literals."""
ROLE = re.compile(r":(?:func|class|mod|meth|attr):`~?(immunoprofile[\w.]*)`")
FOLDERS = {path.parent.name for path in MODULES} | {path.stem for path in MODULES}
UNPUBLISHED = re.compile(
    r"\(?\bdecisions? \d|\bdomain (?:page|section|specification|\d)|\bspecification(?:,)? (?:section )?\d"
    r"|\b(?:quality|domain) specification|of the specification, section"
)
"""Words that send a reader to papers which do not come with the repository."""


def resolved(name: str, inside: Path) -> bool:
    """A dotted name as somebody in that module may write it: from the package, the room, a module, or a class of it."""
    room = inside.parent.relative_to(ROOT).as_posix().replace("/", ".")
    module = inside.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
    for start in ("", "immunoprofile.", f"{room}.", f"{module}.", *(f"immunoprofile.{one}." for one in SUBROOMS)):
        if found(start + name):
            return True
    return False


SUBROOMS = sorted({path.parent.relative_to(PACKAGE).as_posix().replace("/", ".") for path in MODULES} - {"."})


def found(path: str) -> bool:
    """Whether a full dotted path leads to a module, a name in it, or an attribute of that."""
    parts = path.split(".")
    value: Any = None
    for used in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:used]))
        except ImportError:
            continue
        for number, part in enumerate(parts[used:], used):
            fields = getattr(value, "__annotations__", {}) if isinstance(value, type) else {}
            if not hasattr(value, part):
                return part in fields and number == len(parts) - 1
            value = getattr(value, part)
        return True
    return False


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_names_between_backticks_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    missing = {name for name in ROLE.findall(text) if not found(name)}
    for name in NAMED.findall(text):
        # names of our own modules only: `visits.csv` is a file, `adata.obs` an object of the caller
        if name.split(".")[0] in FOLDERS | {"immunoprofile", "ip"} and not name.endswith(
            (".csv", ".yaml", ".md", ".py")
        ):
            missing |= set() if resolved(name.removeprefix("ip."), path) else {name}
    assert missing == set()


def test_nothing_sends_the_reader_to_papers_that_are_not_here() -> None:
    told = []
    for path in tracked_files():
        if path.suffix not in (".py", ".md", ".yaml", ".toml", ".csv") or path == Path(__file__):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if UNPUBLISHED.search(line.lower()) or "kernels.gate" + "_block" in line:
                told.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert told == []
