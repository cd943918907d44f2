"""Documents of other programs that are handed in for gates: recognised by their beginning, with the way out.

Only the first bytes are looked at, as text: nothing is parsed here.
"""

from __future__ import annotations

import re

from immunoprofile.errors import GateError, Problems

_LOOKED_AT = 65536

_SAVE_AS_WSP = "open it in FlowJo 10 and save it as a workspace (.wsp)"

_GATING_ML_15 = "http://www.isac-net.org/std/Gating-ML/v1.5"

_SKIPPED = re.compile(r"\ufeff?(?:\s+|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*(?:\[[^\]]*\])?\s*>)*", re.DOTALL)
_ROOT = re.compile(r"<\s*(?:[\w.-]+:)?([\w.-]+)([^>]*)", re.DOTALL)


def refuse(content: bytes, where: str) -> None:
    """Refuse a document that is recognised as something that holds no gates that can be read here.

    Parameters
    ----------
    content
        The document.
    where
        Its file name.

    Raises
    ------
    GateError
        FlowJo 9 and older, FACSDiva, GatingML 1.5, archives (ACS, Kaluza), FCS files; with what to do instead.
    """
    what, todo = _recognised(content)
    if what:
        problems = Problems()
        problems.add(where, what)
        raise GateError("the gates cannot be read", problems.found, todo=todo)


def is_workspace(content: bytes) -> bool:
    """Whether a document is a FlowJo workspace, whatever its file is called."""
    return _root(content)[0] == "Workspace"


def _recognised(content: bytes) -> tuple[str, str]:
    if content.startswith(b"PK"):
        return "is an archive (ACS, Kaluza)", "unpack it and give the workspace (.wsp) or the GatingML that it holds"
    if content.startswith(b"FCS"):
        return "is an FCS file and holds no gates", "name FCS files as files, and gates with --gates"
    root, attributes = _root(content)
    if root == "Workspace":
        version = _attribute(attributes, "flowJoVersion")
        old = version and version.split(".")[0].isdigit() and int(version.split(".")[0]) < 10
        if old or (not version and re.fullmatch(r"1(\.\d+)?", _attribute(attributes, "version"))):
            name = f"FlowJo {version}" if version else "FlowJo 9"
            return f"is a workspace of {name}, no workspace of FlowJo 10 or later", _SAVE_AS_WSP
    if root == "bdfacs":
        return "is an experiment of FACSDiva, whose gates cannot be read", _SAVE_AS_WSP
    if root == "Gating-ML" and _GATING_ML_15 in attributes:
        return "is GatingML 1.5", "export GatingML 2.0"
    return "", ""


def _root(content: bytes) -> tuple[str, str]:
    """Name of the first element without its prefix, and its attributes as text."""
    start = content[:_LOOKED_AT]
    wide = start.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = start.decode("utf-16" if wide else "utf-8", errors="replace")
    skipped = _SKIPPED.match(text)
    found = _ROOT.match(text, skipped.end() if skipped else 0)
    return (found[1], found[2]) if found else ("", "")


def _attribute(attributes: str, name: str) -> str:
    found = re.search(rf"""(?:^|\s){name}\s*=\s*["']([^"']*)["']""", attributes)
    return found[1] if found else ""
