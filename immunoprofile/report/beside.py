"""Pages of visits that are made while the statistics of the trial are: they show none of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from immunoprofile.report.pages import WORTH_WORKERS, Page, are_there, write_pages
from immunoprofile.report.source import Source

if TYPE_CHECKING:
    from immunoprofile.workers import Workers


class _EndedError(Exception):
    """Nobody waits for the pages any more."""


def parted(pages: Sequence[Page], workers: Workers | None) -> tuple[list[Page], list[Page]]:
    """Pages that are made beside the statistics, and those after them.

    The first are those of visits, where processes are there that have nothing else to do; else there are none.
    """
    of_visits = [page for page in pages if page.subject]
    if not are_there(workers) or len(of_visits) < WORTH_WORKERS:
        return [], list(pages)
    return of_visits, [page for page in pages if not page.subject]


@contextmanager
def written_beside(
    source: Source,
    pages: Sequence[Page],
    workers: Workers | None,
    *,
    pdf: bool,
    progress: bool,
    wrote: Callable[[list[Path]], None],
) -> Iterator[Callable[[], object]]:
    """Write pages while a block is at work; an error of the block ends it after the page that is made.

    Parameters
    ----------
    source
        What they show. The block may write into ``visits.uns``: the pages are made of what it was before.
    pages
        From `parted`, the first.
    workers, pdf, progress
        As for `write_pages`.
    wrote
        Called in another thread.

    Yields
    ------
    Callable
        Waits until all are written, and raises what went wrong.
    """
    if not pages:
        yield lambda: None
        return
    ended = Event()

    def noted(paths: list[Path]) -> None:
        if ended.is_set():
            raise _EndedError
        wrote(paths)

    own = Source(replace(source.profile, visits=source.visits.copy()), source.blinded)
    with ThreadPoolExecutor(1) as beside:
        written = beside.submit(write_pages, own, pages, workers=workers, pdf=pdf, progress=progress, wrote=noted)
        try:
            yield written.result
        except BaseException:
            ended.set()
            raise
