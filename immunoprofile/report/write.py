"""Reports of a profile: one visit, the cohort, or all of them into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from immunoprofile.io.files import remove_files, write_table
from immunoprofile.io.only_writer import export_folder
from immunoprofile.profiling.sealing import PARTIAL, PROVENANCE
from immunoprofile.report.cohort_model import build_cohort
from immunoprofile.report.complete import Asked, write_reports
from immunoprofile.report.pages import pages_of, write_pages
from immunoprofile.report.render import Report, render_cohort, render_restatement, render_visit
from immunoprofile.report.restatement_page import build_restatement
from immunoprofile.report.source import Source
from immunoprofile.report.visit_model import build_visit
from immunoprofile.workers import Processes

if TYPE_CHECKING:
    from immunoprofile.profiling import Profile
    from immunoprofile.report.restatement import Restatement


def visit(profile: Profile, subject: str, visit: str, *, blinded: bool = False) -> Report:
    """Immune report of one visit, from what was known at that visit.

    Parameters
    ----------
    profile
        Profile of a study (:func:`immunoprofile.profile` or :func:`immunoprofile.read_results`).
    subject, visit
        Which visit. One that did not take place gives a report that says so.
    blinded
        Leave out arm, doses, hours since a dose, the flag RECENT_IL2, dates, file names and free text.

    Returns
    -------
    Report
        One self-contained HTML page; the same profile gives the same bytes.

    Raises
    ------
    NotAvailableError
        The subject or visit is not in the study; the message lists those that are.

    Examples
    --------
    >>> ip.report.visit(profile, "IL2CMV-01-001", "D14").to_html("D14.html")  # doctest: +SKIP
    """
    return render_visit(build_visit(Source(profile, blinded), subject, visit))


def cohort(profile: Profile, *, blinded: bool = False) -> Report:
    """Cohort report of a study.

    Parameters
    ----------
    profile
        Profile of a study. Statistics are taken from ``visits.uns`` (``tl.compare``, ``tl.change``,
        ``tl.associate``); what was not computed is said to be missing.
    blinded
        Show all subjects together, without arms, doses, dates and comparisons.
    """
    return render_cohort(build_cohort(Source(profile, blinded)))


def write_all(
    profile: Profile,
    out: str | Path,
    *,
    subject: str | None = None,
    visit: str | None = None,
    jobs: int = 1,
    pdf: bool = False,
    progress: bool = False,
    blinded: bool = False,
) -> list[Path]:
    """Write ``reports/<subject>/<visit>.html`` of every flow visit and ``cohort.html``, each with its JSON twin.

    In the results folder of the profile the analyses that the study declares are run as well (`tl.declared`, into
    ``profile.visits.uns``) and written to ``statistics/``, and the folder is sealed again: it is then as one that
    `run_study` or the command line wrote.

    Parameters
    ----------
    profile
        Profile of a study.
    out
        Results folder of the profile, or another folder; ``reports`` is made inside it.
    subject, visit
        Only the pages of this subject or visit; the cohort page is then left as it is.
    jobs
        Processes; fewer than 80 pages without PDF are made in this one, in less time than a process takes to start. The
        bytes written do not depend on it.
    pdf
        Also write each page as PDF (needs the ``pdf`` extra).
    progress
        Show a progress bar.
    blinded
        See :func:`visit`.

    Returns
    -------
    list of Path
        Files written, in the order of subjects and visits, the cohort page last. Every file is written under a
        temporary name and renamed.

    Raises
    ------
    NotAvailableError
        PDF was asked for and cannot be made, or there is no such subject or visit.
    ResultsError
        ``out`` holds results, but not those that the profile was read from, or a run is at work in it.
    """
    out = Path(out)
    asked = Asked(subject, visit, workers=Processes(jobs), pdf=pdf, progress=progress, blinded=blinded, again=True)
    if (out / PROVENANCE).exists() or (out / PARTIAL).exists():
        return write_reports(out, asked, profile)
    source = Source(profile, blinded)
    pages = pages_of(source, out / "reports", subject=subject, visit=visit)
    return write_pages(source, pages, workers=Processes(jobs), pdf=pdf, progress=progress)


def write_restatement(found: Restatement, out: str | Path) -> list[Path]:
    """Write what moved between two results as table and as page.

    Parameters
    ----------
    found
        From `restate`.
    out
        Folder; made when absent.

    Returns
    -------
    list of Path
        ``restatement.csv``, ``restatement.html`` and its machine-readable twin ``restatement.json``.

    Raises
    ------
    ResultsError
        The folder is a results or study folder, or another process is at work in it.
    OutputError
        It cannot be written.
    """
    folder = Path(out)
    page = render_restatement(build_restatement(found))
    paths = [folder / f"restatement.{kind}" for kind in ("csv", "html", "json")]
    with export_folder(folder, "restate"):
        remove_files(paths)  # of an earlier comparison
        write_table(paths[0], found.table)
        page.to_html(paths[1])
        page.to_json(paths[2])
    return paths
