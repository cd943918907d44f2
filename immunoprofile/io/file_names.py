"""Patterns of file names with named fields."""

from __future__ import annotations

import re

from immunoprofile.errors import ImmunoprofileError

FIELDS = (
    "subject", "visit", "tube", "role", "attempt", "replicate", "batch", "site", "fmo_marker", "panel", "date",
)  # fmt: skip
_TOKEN = re.compile(r"\{([^{}]*)\}|(\[)|(\])|([^{}\[\]]+)")


class NamePattern:
    """How the names of files are built.

    Parameters
    ----------
    text
        ``{subject}_{visit}_{tube}[_{attempt}].fcs`` or a regular expression with named groups ``(?P<subject>...)``.

    Raises
    ------
    ImmunoprofileError
        A field is unknown or stands twice, two fields touch each other, brackets do not match, or the expression is
        none.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.whole_path = "/" in text
        try:
            self.expression = re.compile(text if "(?P<" in text else _translate(text))
        except re.error as error:
            raise ImmunoprofileError(
                f"the pattern is no regular expression: {error}", where=text, todo="see docs/manifest.md"
            ) from error
        unknown = sorted(set(self.expression.groupindex) - set(FIELDS))
        if unknown or not self.expression.groupindex:
            what = f"unknown fields: {', '.join(unknown)}" if unknown else "the pattern names no field"
            raise ImmunoprofileError(what, where=text, todo=f"fields are {', '.join(FIELDS)}")
        self._stem_only = re.search(r"\.(fcs|lmd)\W*$", text, re.IGNORECASE) is None

    def match(self, path: str) -> dict[str, str] | None:
        """Fields in a path (with slashes), without those that are absent; None when it does not match.

        Without a ``/`` in the pattern the last part of the path counts; without ``.fcs`` at its end, the name without
        its suffix.
        """
        name = path if self.whole_path else path.rsplit("/", 1)[-1]
        if self._stem_only:
            name = name.rsplit(".", 1)[0]
        found = self.expression.fullmatch(name)
        if found is None:
            return None
        return {field: value for field, value in found.groupdict().items() if value}


def _translate(text: str) -> str:
    """Regular expression of a template; a field never holds the characters that stand beside it."""
    tokens = list(_TOKEN.finditer(text))
    if "".join(token.group() for token in tokens) != text:
        raise ImmunoprofileError("braces or brackets do not match", where=text, todo="see docs/manifest.md")
    parts: list[str] = []
    seen: set[str] = set()
    depth = 0
    for position, token in enumerate(tokens):
        field, opening, closing, literal = token.groups()
        if opening:
            depth += 1
            parts.append("(?:")
        elif closing:
            depth -= 1
            parts.append(")?")
        elif literal:
            parts.append(re.escape(literal))
        else:
            field = field.strip()
            if field in seen:
                raise ImmunoprofileError(f"field {field!r} stands twice", where=text, todo="see docs/manifest.md")
            ends = _neighbours(tokens, position, text)
            body = "[^/" + "".join(re.escape(mark) for mark in sorted(ends)) + "]+"
            parts.append(f"(?P<{field}>{body})" if field else f"(?:{body})")
            seen |= {field} - {""}
            if field and field not in FIELDS:
                raise ImmunoprofileError(f"unknown fields: {field}", where=text, todo=f"fields are {', '.join(FIELDS)}")
        if depth not in (0, 1):
            raise ImmunoprofileError("braces or brackets do not match", where=text, todo="see docs/manifest.md")
    if depth:
        raise ImmunoprofileError("braces or brackets do not match", where=text, todo="see docs/manifest.md")
    return "".join(parts)


def _neighbours(tokens: list[re.Match[str]], position: int, text: str) -> set[str]:
    """Characters that separate a field from the fields beside it: it must not hold them, or the split were a guess."""
    ends: set[str] = set()
    depth, passing = 0, False
    for token in tokens[position + 1 :]:
        field, opening, closing, literal = token.groups()
        if opening or closing:
            depth += 1 if opening else -1
            passing = False
        elif passing:
            continue  # the rest of an optional part whose beginning was seen
        elif field is not None:
            raise ImmunoprofileError(
                "two fields touch each other: nothing tells where the first ends", where=text,
                todo="use a regular expression with named groups",
            )  # fmt: skip
        else:
            ends.add(literal[0])
            if depth <= 0:
                break
            passing = True
    before = [token.groups() for token in tokens[:position]]
    literals = [n for n, (_, _, _, literal) in enumerate(before) if literal]
    if literals and any(field is not None for field, _, _, _ in before[: literals[-1]]):
        ends.add(before[literals[-1]][3][-1])
    return ends
