"""Reports of a profile: one visit, the cohort, or all of them into a folder."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from immunoprofile.errors import NotAvailableError
from immunoprofile.report.cohort_model import build_cohort
from immunoprofile.report.render import Report, render_cohort, render_visit
from immunoprofile.report.source import Source
from immunoprofile.report.visit_model import VisitModel, build_visit

if TYPE_CHECKING:
    from immunoprofile.profiling import Profile
    from immunoprofile.report.cohort_model import CohortModel


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

    Parameters
    ----------
    profile
        Profile of a study.
    out
        Results folder; ``reports`` is made inside it.
    subject, visit
        Only the pages of this subject or visit; the cohort page is then left as it is.
    jobs
        Processes. The bytes written do not depend on it.
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
    """
    from tqdm import tqdm

    from immunoprofile.io.progress import hidden

    folder = Path(out) / "reports"
    source = Source(profile, blinded)
    names = _folder_names(source.subjects)
    models: list[tuple[VisitModel | CohortModel, Path]] = [
        (build_visit(source, one, name), folder / names[one] / f"{_file_name(name)}.html")
        for one in source.subjects
        for name in source.visits_of(one)
        if subject in (None, one) and visit in (None, name)
    ]
    if subject is None and visit is None:
        models.append((build_cohort(source), folder / "cohort.html"))
    elif not models:
        raise NotAvailableError(
            f"no flow visit {visit or ''} of subject {subject or ''}".replace("  ", " "),
            where="report",
            todo=f"subjects: {', '.join(source.subjects)}; visits: {', '.join(source.flow_visits)}",
        )
    # A task gets its model (some 100 kB), never the profile.
    if jobs == 1 or len(models) < 4:
        done = [
            _write(model, path, pdf=pdf)
            for model, path in tqdm(models, desc="reports", unit="report", disable=hidden(wanted=progress))
        ]
    else:
        from joblib import Parallel, delayed

        # The cohort page takes longest and is given out first.
        tasks = (delayed(_write)(model, path, pdf=pdf) for model, path in reversed(models))
        running = Parallel(n_jobs=jobs, backend="loky", return_as="generator")(tasks)
        done = list(tqdm(running, total=len(models), desc="reports", unit="report", disable=hidden(wanted=progress)))[
            ::-1
        ]
    return [path for paths in done for path in paths]


def _write(model: VisitModel | CohortModel, path: Path, *, pdf: bool) -> list[Path]:
    report = render_visit(model) if isinstance(model, VisitModel) else render_cohort(model)
    written = [report.to_json(path.with_suffix(".json")), report.to_html(path)]
    if pdf:
        written.append(report.to_pdf(path.with_suffix(".pdf")))
    return written


def _file_name(name: str) -> str:
    """Name that every file system takes; a changed name carries a hash, so that two never meet."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name).strip(".") or "_"
    reserved = re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", safe)
    if safe == name and reserved is None:
        return safe
    return f"{safe[:60]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _folder_names(subjects: list[str]) -> dict[str, str]:
    """Subject -> folder; subjects that differ only in case are kept apart by a hash."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for subject in subjects:
        name = _file_name(subject)
        if name.casefold() in taken:
            name = f"{name}-{hashlib.sha256(subject.encode()).hexdigest()[:8]}"
        taken.add(name.casefold())
        names[subject] = name
    return names
