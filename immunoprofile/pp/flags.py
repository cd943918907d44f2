"""Flag codes of a visit, kept as text in ``obs['flags']``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from immunoprofile.schema import FLAGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from anndata import AnnData

FLAG_COLUMN = "flags"


def join_flags(codes: Iterable[str]) -> str:
    """Codes in the order of ``schema.FLAGS``, each once, joined by a blank; ValueError for an unknown code."""
    wanted = {code for code in codes if code}
    if unknown := wanted - FLAGS.keys():
        message = f"unknown flag {', '.join(sorted(unknown))}; known flags stand in schema.FLAGS"
        raise ValueError(message)
    return " ".join(code for code in FLAGS if code in wanted)


def split_flags(text: object) -> tuple[str, ...]:
    """Codes of a flag text; none for missing text."""
    return tuple(text.split()) if isinstance(text, str) else ()


def update_flags(adata: AnnData, rows: Sequence[Iterable[str]], *, owned: Iterable[str]) -> None:
    """Replace the ``owned`` codes of every row by ``rows`` and keep all others, so that a second run changes nothing.

    Writes ``adata.obs['flags']``.
    """
    mine = set(owned)
    old = adata.obs[FLAG_COLUMN] if FLAG_COLUMN in adata.obs else [""] * adata.n_obs
    adata.obs[FLAG_COLUMN] = [
        join_flags([*(code for code in split_flags(before) if code not in mine), *new])
        for before, new in zip(old, rows, strict=True)
    ]
