"""The pure model of the cohort page: its synopsis and its sections, in words, without drawing anything."""

from __future__ import annotations

from dataclasses import dataclass

from immunoprofile import schema
from immunoprofile.io.config import Endpoint
from immunoprofile.report import wording
from immunoprofile.report.cohort_sections import COHORT_SECTIONS
from immunoprofile.report.cohort_view import CohortView
from immunoprofile.report.content import Part, assemble
from immunoprofile.report.effect_tables import Headline, headline
from immunoprofile.report.reviews import COHORT, Reviewed, reviews_of
from immunoprofile.report.source import Source
from immunoprofile.report.statistics_tables import Effect


@dataclass(frozen=True)
class CohortModel:
    """Everything the cohort page shows."""

    study_id: str
    study_title: str
    registry_id: str
    synthetic: bool
    blinded: bool
    subjects: tuple[str, ...]
    primary_visit: str
    endpoints: tuple[tuple[str, bool], ...]
    """Declared endpoints in words, and whether each is primary."""
    headline: tuple[Headline, ...]
    """Declared endpoints and the time ratio of clearance, for the synopsis."""
    clearance_rule: str
    reviews: tuple[Reviewed, ...]
    parts: tuple[Part, ...]
    """Sections of the page in order."""


def build_cohort(source: Source) -> CohortModel:
    """Model of the cohort page."""
    config, view = source.config, CohortView(source)
    return CohortModel(
        study_id=config.study_id,
        study_title="" if source.blinded else config.title,
        registry_id="" if source.blinded else config.registry_id,
        synthetic=config.synthetic,
        blinded=source.blinded,
        subjects=tuple(source.subjects),
        primary_visit=config.primary_visit,
        endpoints=tuple((_endpoint(view, one), one.primary) for one in config.endpoints),
        headline=_headline(view),
        clearance_rule=view.clearance_rule,
        reviews=reviews_of(source, "", COHORT),
        parts=assemble(COHORT_SECTIONS, view),
    )


def _endpoint(view: CohortView, one: Endpoint) -> str:
    unit = wording.MICRO if one.measure == "abs" else "% of parent"
    return one.label or f"{view.displays.get(one.population, one.population)}, {unit}"


def _headline(view: CohortView) -> tuple[Headline, ...]:
    shown = view.effects(schema.UNS_COMPARE) + view.effects(schema.UNS_COMPARE_FUNCTIONAL) + _time_ratio(view)
    return tuple(headline(one, view.source.config.arm_labels) for one in shown if one.population)


def _time_ratio(view: CohortView) -> tuple[Effect, ...]:
    """First model of the primary analysis of clearance."""
    return tuple(one for one in view.effects(schema.UNS_CLEARANCE_INTERVAL) if one.kind == "time ratio")[:1]
