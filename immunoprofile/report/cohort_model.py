"""The pure model of the cohort page: its synopsis and its sections, in words, without drawing anything."""

from __future__ import annotations

from dataclasses import dataclass

from immunoprofile.io.config import Endpoint
from immunoprofile.report import wording
from immunoprofile.report.cohort_sections import COHORT_SECTIONS
from immunoprofile.report.cohort_view import CohortView
from immunoprofile.report.content import Block, Part, assemble
from immunoprofile.report.drawn_gates import record_words
from immunoprofile.report.reviews import COHORT, Reviewed, reviews_of
from immunoprofile.report.source import Source
from immunoprofile.report.synopsis import synopsis


@dataclass(frozen=True)
class CohortModel:
    """Everything the cohort page shows."""

    study_id: str
    study_title: str
    registry_id: str
    institution: str
    logo: str
    """Address of its data; empty without one."""
    footer: tuple[str, ...]
    synthetic: bool
    blinded: bool
    subjects: tuple[str, ...]
    primary_visit: str
    endpoints: tuple[tuple[str, bool], ...]
    """Declared endpoints in words, and whether each is primary."""
    synopsis: tuple[Block, ...]
    """First screen: the answers in one table."""
    reviews: tuple[Reviewed, ...]
    record: str
    """Head of the ledger of overrides, and data cut."""
    parts: tuple[Part, ...]
    """Sections of the page in order."""


def build_cohort(source: Source) -> CohortModel:
    """Model of the cohort page."""
    config, view = source.config, CohortView(source)
    return CohortModel(
        study_id=config.study_id,
        study_title="" if source.blinded else config.title,
        registry_id="" if source.blinded else config.registry_id,
        institution=config.institution,
        logo=source.logo,
        footer=config.report_footer,
        synthetic=config.synthetic,
        blinded=source.blinded,
        subjects=tuple(source.subjects),
        primary_visit=config.primary_visit,
        endpoints=tuple((_endpoint(view, one), one.primary) for one in config.endpoints),
        synopsis=synopsis(view),
        reviews=reviews_of(source, "", COHORT),
        record=record_words(source.profile.provenance),
        parts=assemble(COHORT_SECTIONS, view),
    )


def _endpoint(view: CohortView, one: Endpoint) -> str:
    unit = wording.MICRO if one.measure == "abs" else "% of parent"
    return one.label or f"{view.displays.get(one.population, one.population)}, {unit}"
