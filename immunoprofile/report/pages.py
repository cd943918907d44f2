"""Which pages a results folder has, and writing them, one after another or on several workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from immunoprofile.errors import NotAvailableError
from immunoprofile.report.addresses import file_name, folder_names
from immunoprofile.report.cohort_model import build_cohort
from immunoprofile.report.render import render_cohort, render_visit
from immunoprofile.report.visit_model import VisitModel, build_visit
from immunoprofile.workers import Processes, Workers

if TYPE_CHECKING:
    from immunoprofile.report.cohort_model import CohortModel
    from immunoprofile.report.source import Source


WORTH_WORKERS = 4
"""Pages for which it pays to send them to workers that are there, or to start processes for PDF."""
_WORTH_PROCESSES = 80
"""Pages without PDF for which it pays to start processes: one starts in the time of some 35 pages."""


@dataclass(frozen=True)
class Page:
    """One report as a file.

    Attributes
    ----------
    path
        The HTML file; the twin and the PDF lie beside it.
    subject, visit
        Of a visit report; empty for the cohort.
    """

    path: Path
    subject: str = ""
    visit: str = ""

    def files(self, *, pdf: bool) -> list[Path]:
        """Files of the page, in the order in which they are written."""
        suffixes = (".json", ".html", ".pdf") if pdf else (".json", ".html")
        return [self.path.with_suffix(suffix) for suffix in suffixes]


def pages_of(source: Source, folder: Path, *, subject: str | None = None, visit: str | None = None) -> list[Page]:
    """Pages of a study in the order of subjects and visits, the cohort last; or those of one subject or visit.

    Raises
    ------
    NotAvailableError
        There is no such subject or visit.
    """
    names = folder_names(tuple(source.subjects))
    pages = [
        Page(folder / names[one] / f"{file_name(name)}.html", one, name)
        for one in source.subjects
        for name in source.visits_of(one)
        if subject in (None, one) and visit in (None, name)
    ]
    if subject is None and visit is None:
        pages.append(Page(folder / "cohort.html"))
    elif not pages:
        raise NotAvailableError(
            f"no flow visit {visit or ''} of subject {subject or ''}".replace("  ", " "),
            where="report",
            todo=f"subjects: {', '.join(source.subjects)}; visits: {', '.join(source.flow_visits)}",
        )
    return pages


def write_pages(
    source: Source,
    pages: Sequence[Page],
    *,
    workers: Workers | None = None,
    pdf: bool = False,
    progress: bool = False,
    wrote: Callable[[list[Path]], None] = lambda _: None,
) -> list[Path]:
    """Write pages; each is built, drawn and forgotten, so that memory does not grow with their number.

    Parameters
    ----------
    source
        What they show.
    pages
        From `pages_of`.
    workers
        Where pages are made; None is this process. The bytes written do not depend on it.
    pdf
        Also as PDF.
    progress
        Show a progress bar.
    wrote
        Called with the files of each page when they are written.

    Returns
    -------
    list of Path
        Files written, in the order of the pages.
    """
    from tqdm import tqdm

    from immunoprofile.io.progress import hidden

    there = workers is not None and (workers.elsewhere or are_there(workers))
    least = WORTH_WORKERS if pdf or there else _WORTH_PROCESSES
    few = workers is None or len(pages) < least
    make = _Make(source, pdf=pdf)
    # The cohort page takes longest and is given out first.
    written = (Processes(1) if few or workers is None else workers).results(
        make, reversed(pages), name=lambda page: str(page.path)
    )
    for paths in tqdm(written, total=len(pages), desc="reports", unit="report", disable=hidden(wanted=progress)):
        wrote(paths)
    return [path for page in pages for path in page.files(pdf=pdf)]


def are_there(workers: Workers | None) -> bool:
    """Whether processes of this machine were begun already, which then make even few pages."""
    return isinstance(workers, Processes) and workers.begun


@dataclass(frozen=True)
class _Make:
    """Builds, draws and writes pages; where it is sent, the source is sent once and read there."""

    source: Source
    pdf: bool

    def __call__(self, page: Page) -> list[Path]:
        """Files of a page, written."""
        own = build_visit(self.source, page.subject, page.visit) if page.subject else build_cohort(self.source)
        return _write(own, page.path, self.pdf)


def _write(model: VisitModel | CohortModel, path: Path, pdf: bool) -> list[Path]:  # noqa: FBT001
    report = render_visit(model) if isinstance(model, VisitModel) else render_cohort(model)
    written = [report.to_json(path.with_suffix(".json")), report.to_html(path)]
    if pdf:
        written.append(report.to_pdf(path.with_suffix(".pdf")))
    return written
