"""The pure model of a visit report: everything that is printed, already in words, without drawing anything."""

from __future__ import annotations

from dataclasses import dataclass

from immunoprofile.report import visit_summary
from immunoprofile.report.addresses import Links, links_of
from immunoprofile.report.content import Part, assemble
from immunoprofile.report.drawn_gates import record_words
from immunoprofile.report.reviews import Reviewed, reviews_of
from immunoprofile.report.source import Source
from immunoprofile.report.view import VisitView
from immunoprofile.report.visit_sections import VISIT_SECTIONS


@dataclass(frozen=True)
class VisitModel:
    """Everything a visit report shows."""

    subject: str
    visit: str
    study_id: str
    study_title: str
    institution: str
    logo: str
    """Address of its data; empty without one."""
    footer: tuple[str, ...]
    synthetic: bool
    blinded: bool
    took_place: bool
    header: tuple[tuple[str, str], ...]
    summary: visit_summary.Summary
    statements: tuple[str, ...]
    links: Links
    reviews: tuple[Reviewed, ...]
    record: str
    """Head of the ledger of overrides, and data cut."""
    parts: tuple[Part, ...]
    """Sections of the page in order."""


def build_visit(source: Source, subject: str, visit: str) -> VisitModel:
    """Model of a visit report from what was known at that visit: nothing later enters.

    Raises
    ------
    NotAvailableError
        The subject or the visit is not in the study; the message lists those that are.
    """
    view = VisitView(source, subject, visit)
    return VisitModel(
        subject=subject,
        visit=visit,
        study_id=source.config.study_id,
        study_title="" if source.blinded else source.config.title,
        institution=source.config.institution,
        logo=source.logo,
        footer=source.config.report_footer,
        synthetic=source.config.synthetic,
        blinded=source.blinded,
        took_place=view.row is not None,
        header=visit_summary.header(view),
        summary=view.summary,
        statements=view.statements,
        links=links_of(source, subject, visit),
        reviews=reviews_of(source, subject, visit),
        record=record_words(source.profile.provenance),
        parts=assemble(VISIT_SECTIONS, view),
    )
