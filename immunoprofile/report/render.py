"""From a model to one HTML file that needs nothing else, and from there to PDF."""

from __future__ import annotations

import hashlib
import html as html_entities
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from immunoprofile.errors import NotAvailableError
from immunoprofile.io.files import replacing, write_text
from immunoprofile.report import wording
from immunoprofile.report.language import ENGLISH, Language, Said
from immunoprofile.report.provenance import TEMPLATE_VERSION
from immunoprofile.report.reviews import judge
from immunoprofile.report.twin import twin

if TYPE_CHECKING:
    from jinja2 import Environment

    from immunoprofile.report.cohort_model import CohortModel
    from immunoprofile.report.restatement_page import RestatementModel
    from immunoprofile.report.visit_model import VisitModel

_ID_PLACE: Final = "0" * 11 + "report-id" + "0" * 12
_REVIEW_PLACE: Final = "0" * 11 + "review-block" + "0" * 12


@dataclass(frozen=True)
class Report:
    """A finished report: one self-contained HTML page.

    Attributes
    ----------
    html
        The page.
    title
        Its title.
    data
        The same facts as plain data: ``schema_version``, ``report`` (visit or cohort), ``report_id``, ``reviews`` and
        ``content``. A number that is missing is None.
    """

    html: str
    title: str
    data: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def to_json(self, path: str | Path) -> Path:
        """Write the machine-readable twin: the same facts as plain data, with a schema version, all or nothing."""
        target = Path(path)
        write_text(target, _lines(self.data) + "\n")
        return target

    def to_html(self, path: str | Path) -> Path:
        """Write the page, all or nothing; missing folders are made."""
        target = Path(path)
        write_text(target, self.html)
        return target

    def to_pdf(self, path: str | Path) -> Path:
        """Write the page as tagged PDF, all or nothing.

        The tags hold headings, tables, figures with their texts, and the language. PDF/UA is not claimed: no validator
        has passed it, a table over two pages is tagged on each, and cells do not say which heads they belong to.

        Raises
        ------
        NotAvailableError
            WeasyPrint, or the Pango library that it needs of the system, is not installed.
        """
        target = Path(path)
        with replacing(target) as temporary:
            temporary.write_bytes(self._pdf())
        return target

    def _pdf(self) -> bytes:
        try:
            from weasyprint import HTML
        except (ImportError, OSError) as error:
            # An OSError is how WeasyPrint tells that Pango is missing from the system.
            raise NotAvailableError(
                f"PDF needs WeasyPrint and the Pango library of the system ({error})",
                where="Report.to_pdf",
                todo="pip install 'immunoprofile[pdf]', and install Pango (Debian: apt install libpango-1.0-0 "
                "libpangoft2-1.0-0); the HTML report needs neither",
            ) from error
        # The identifier replaces the random one, so that the same page gives the same bytes.
        identifier = hashlib.sha256(self.html.encode()).digest()[:16]
        content: bytes = HTML(string=self.html).write_pdf(pdf_tags=True, pdf_identifier=identifier)
        return content

    def _repr_html_(self) -> str:
        """The page in a frame of its own, so that its style does not leak into the notebook."""
        return (
            f'<iframe srcdoc="{html_entities.escape(self.html)}" title="{html_entities.escape(self.title)}" '
            'sandbox="" style="width:100%;height:900px;border:1px solid #999"></iframe>'
        )


_SHOWN_DEPTH: Final = 4
"""Levels of a twin that have a line for each entry: its facts, the sections of a page, their blocks."""


def _lines(value: Any, depth: int = 0) -> str:
    """JSON with a line for each entry of the upper levels; below them the encoder is ten times as fast."""
    within, end = f"\n{' ' * (depth + 1)}", f"\n{' ' * depth}"
    if depth < _SHOWN_DEPTH and value and isinstance(value, dict):
        entries = (f"{json.dumps(key, ensure_ascii=False)}: {_lines(one, depth + 1)}" for key, one in value.items())
        return f"{{{within}{f',{within}'.join(entries)}{end}}}"
    if depth < _SHOWN_DEPTH and value and isinstance(value, list):
        return f"[{within}{f',{within}'.join(_lines(one, depth + 1) for one in value)}{end}]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


@cache
def environment(kind: str = "cohort", language: Language = ENGLISH) -> Environment:
    """Jinja2 environment: everything is escaped, an unknown name is an error, fixed words are those of a language."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # The tables of the cohort have so many columns of numbers that these must be free to break.
    write = wording.printed if kind == "visit" else wording.with_signs

    def finalize(value: Any) -> Any:
        """Every text that a template writes, before it is escaped; what is markup or a figure is left as it is."""
        if type(value) not in (str, Said) or value.startswith("data:"):
            return value
        return write(language.say(value))

    from immunoprofile.report.table_cells import cell_writer

    loader = PackageLoader("immunoprofile.report", "templates")
    made = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        finalize=finalize,
    )  # fmt: skip
    made.globals |= {"review_place": _REVIEW_PLACE, "lang": language.code, "say": language.say, "Said": Said}
    made.globals["cell"] = cell_writer(finalize)
    return made


def _render(
    template: str, kind: str, title: Said, m: VisitModel | CohortModel | RestatementModel, language: Language
) -> Report:
    from markupsafe import Markup

    from immunoprofile.report.drawing import pictures

    css = files("immunoprofile.report").joinpath("templates", "report.css").read_text(encoding="utf-8")
    page = environment(kind, language).get_template(template).render(
        # The only text that is trusted: the style sheet of the package.
        css=Markup(css), title=title, research_use=wording.RESEARCH_USE, report_id=_ID_PLACE,
        template_version=TEMPLATE_VERSION, m=m, figures=pictures(m),
    )  # fmt: skip
    # The id of a report is the hash of its content, so that a changed report cannot keep its id. Reviews refer to it
    # and are therefore no part of it.
    data = twin(kind, m)
    report_id = str(data["report_id"])
    block = (
        environment(language=language)
        .get_template("review.html.j2")
        .render(reviews=judge(m.reviews, report_id), report_id=report_id, ledger=m.record)
    )
    return Report(page.replace(_ID_PLACE, report_id).replace(_REVIEW_PLACE, block), language.say(title), data)


def render_visit(model: VisitModel, language: Language = ENGLISH) -> Report:
    """Page of a visit."""
    title = Said("Immune report {subject} {visit}", subject=model.subject, visit=model.visit)
    return _render("visit.html.j2", "visit", title, model, language)


def render_restatement(model: RestatementModel, language: Language = ENGLISH) -> Report:
    """Page of what moved between two results."""
    title = Said("Restatement {study}", study=model.study_id)
    return _render("restatement.html.j2", "restatement", title, model, language)


def render_cohort(model: CohortModel, language: Language = ENGLISH) -> Report:
    """Page of the cohort."""
    return _render("cohort.html.j2", "cohort", Said("Cohort report {study}", study=model.study_id), model, language)
