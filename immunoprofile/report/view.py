"""What a reportlet of a visit sees: the source, which visit, and what was known until then, each looked up once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from immunoprofile.io.dates import days_since
from immunoprofile.io.records import cells
from immunoprofile.report import comments, key_table, visit_quality, visit_summary
from immunoprofile.report import visit_results as results
from immunoprofile.report.source import Source

if TYPE_CHECKING:
    import pandas as pd

    from immunoprofile.virology.courses import Course


@dataclass(frozen=True, eq=False)
class VisitView:
    """One visit of one subject.

    Raises
    ------
    NotAvailableError
        The subject or the visit is not in the study; the message lists those that are.
    """

    source: Source
    subject: str
    visit: str

    def __post_init__(self) -> None:
        self.source.check_visit(self.subject, self.visit)

    # --- when ---------------------------------------------------------------------------------

    @cached_property
    def row(self) -> int | None:
        """Row of the visits object; None when nothing was measured."""
        return self.source.rows.get((self.subject, self.visit))

    @cached_property
    def baseline_row(self) -> int | None:
        """Row of the baseline of the subject."""
        return self.source.baselines.get(self.subject)

    @cached_property
    def previous_row(self) -> int | None:
        """Row of the last measured visit before this one."""
        return self.source.previous_row(self.subject, self.visit)

    @cached_property
    def baseline_visit(self) -> str:
        """Name of the baseline visit; empty without one."""
        return str(self.source.obs(self.baseline_row, "visit"))

    @cached_property
    def previous_visit(self) -> str:
        """Name of the previous visit; empty without one."""
        return str(self.source.obs(self.previous_row, "visit"))

    @cached_property
    def until(self) -> float:
        """Day of the visit since the anchor: nothing later enters a report."""
        return self.source.visit_day(self.subject, self.visit)

    @cached_property
    def date(self) -> str:
        """ISO date of the visit: of the draw, else when the visit began; empty when neither is known."""
        found = str(self.source.obs(self.row, "collected_dtc") or self.record.get("start_dtc", ""))
        return found[:10] if len(found) >= len("2025-01-01") else ""

    @cached_property
    def virology_day(self) -> float:
        """Day of the visit since the first ganciclovir; NaN when a date is missing."""
        return days_since(self.source.subject(self.subject)["first_gcv_dtc"], self.date)

    # --- what ---------------------------------------------------------------------------------

    @cached_property
    def record(self) -> dict[str, Any]:
        """Row of the visits table; empty without one."""
        own = self.source.of_subject("visits", self.subject)
        return next((one for one in own if one["visit"] == self.visit), {})

    @cached_property
    def tubes(self) -> dict[str, str]:
        """Tube -> acquisition that was used."""
        return self.source.samples.get((self.subject, self.visit), {})

    @cached_property
    def sample_ids(self) -> frozenset[str]:
        """Every acquisition of the visit in the samples table, used or not."""
        own = self.source.of_subject("samples", self.subject)
        return frozenset(one["sample_id"] for one in own if one["visit"] == self.visit)

    @cached_property
    def rows(self) -> tuple[key_table.Row, ...]:
        """Key populations."""
        return key_table.build_rows(self)

    @cached_property
    def flags(self) -> list[str]:
        """Flag codes."""
        return self.source.flags(self.subject, self.visit)

    @cached_property
    def judged(self) -> list[dict[str, Any]]:
        """Rows of the quality table."""
        return self.source.checks(self.subject, self.visit)

    @cached_property
    def checks(self) -> tuple[visit_quality.CheckRow, ...]:
        """Quality checks."""
        return visit_quality.check_rows(self)

    @cached_property
    def virology(self) -> tuple[results.CmvRow, ...]:
        """CMV-DNA results until the visit."""
        return results.cmv_rows(self)

    @cached_property
    def shown_labs(self) -> list[tuple[float, dict[str, Any]]]:
        """(day, row) of the laboratory values near the visit."""
        return results.shown_labs(self)

    @cached_property
    def labs(self) -> tuple[results.LabRow, ...]:
        """The same for print."""
        return tuple(results.lab_row(day, one) for day, one in self.shown_labs)

    @cached_property
    def exceptions(self) -> tuple[results.ExceptionRow, ...]:
        """Exceptions that touch the visit."""
        return results.exception_rows(self.source, self)

    @cached_property
    def queries(self) -> tuple[visit_summary.Query, ...]:
        """Open queries on the subject, the visit or one of its samples."""
        return visit_summary.open_queries(self)

    @cached_property
    def comments(self) -> tuple[comments.Comment, ...]:
        """Automatic comments."""
        return comments.build_comments(self)

    @cached_property
    def summary(self) -> visit_summary.Summary:
        """Usable, limited or unusable."""
        return visit_summary.summarise(self)

    @cached_property
    def statements(self) -> tuple[str, ...]:
        """The change of every key population, and CMV-DNA, in one line each."""
        return visit_summary.statements(self)

    def table(self, name: str) -> list[dict[str, Any]] | None:
        """Rows of the subject in a table of the results folder; None when the run has no such table."""
        return self.source.results_of(name, self.subject)

    @cached_property
    def cmv_results(self) -> pd.DataFrame:
        """CMV-DNA results that were known at the visit, those that the visit reported included."""
        own = self.source.virology_of(self.subject)
        anchor = self.source.anchors.get(self.subject)
        known = [
            visit == self.visit or days_since(anchor, dtc) <= self.until
            for visit, dtc in zip(cells(own["visit"], "text"), cells(own["collected_dtc"], "text"), strict=True)
        ]
        return own[known].reset_index(drop=True)

    @cached_property
    def courses(self) -> list[Course]:
        """The course of CMV-DNA of the subject as it was known at the visit."""
        from immunoprofile.virology.courses import courses

        days = [*cells(self.cmv_results["virology_day"], "number"), self.virology_day]
        last = max((day for day in days if not math.isnan(day)), default=math.nan)
        study = self.source.study_of(self.subject)
        found = courses(study, self.cmv_results, study.dose_adequacy, confounders=study.cmv_confounders)
        return found if math.isnan(last) else [course.until(int(last)) for course in found]

    def obs(self, name: str) -> Any:
        """Entry of ``obs`` of the visit."""
        return self.source.obs(self.row, name)
