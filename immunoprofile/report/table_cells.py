"""Cells of the tables of a page as markup: a page has hundreds, which a template writes one word at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from markupsafe import Markup, escape

from immunoprofile.report.content import Cell, Column
from immunoprofile.report.language import Said


def cell_writer(write: Callable[[str], str]) -> Callable[..., Markup]:
    """A function for the templates that writes a cell.

    Parameters
    ----------
    write
        What is done to every text before it is escaped: language, signs, spaces that do not break.

    Returns
    -------
    callable
        ``cell(one, column, is_head, labelled)`` gives ``<td>`` or ``<th>``; ``labelled`` cells carry the head of their
        column, which a narrow screen shows beside them.
    """

    @lru_cache(maxsize=4096)
    def plain(text: str) -> str:
        return str(escape(write(text)))

    def said(text: str) -> str:
        # Two fixed texts may read alike and still be two in another language.
        return str(escape(write(text))) if isinstance(text, Said) else plain(text)

    def cell(one: Cell, column: Column, is_head: bool, labelled: bool = False) -> Markup:  # noqa: FBT001, FBT002
        tag = "th" if is_head else "td"
        opened = f"th scope={'rowgroup' if one.rows > 1 else 'row'}" if is_head else "td"
        look = " ".join(part for part in ("num" if column.numeric and one.columns == 1 else "", one.look) if part)
        parts = [f"<{opened}"]
        if look:
            parts.append(f' class="{said(look)}"')
        if one.rows > 1:
            parts.append(f' rowspan="{one.rows}"')
        if one.columns > 1:
            parts.append(f' colspan="{one.columns}"')
        if one.hint:
            parts.append(f' title="{said(one.hint)}"')
        if labelled and not is_head:
            parts.append(f' data-head="{said(column.head)}"')
        parts.append(">")
        if one.struck:
            parts.append(f"<s>{said(one.struck)}</s> ")
        words = said(one.words)
        if one.mark:
            parts.append(f'<span class="chip {said(one.mark)}">{words}</span>')
        elif one.address:
            parts.append(f'<a href="{said(one.address)}">{words}</a>')
        elif one.look == "code":
            parts.append(f"<code>{words}</code>")
        else:
            parts.append(words)
        if one.note:
            parts.append(f' <span class="why">{said(one.note)}</span>')
        parts.append(f"</{tag}>")
        # Every text inside is escaped above.
        return Markup("".join(parts))

    return cell
