"""What a reportlet of a visit sees: the source, which visit, and what was known until then."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from immunoprofile.io.dates import days_since
from immunoprofile.io.records import cells
from immunoprofile.report.source import Source

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class VisitView:
    """One visit of one subject."""

    source: Source
    subject: str
    visit: str

    @cached_property
    def row(self) -> int | None:
        """Row of the visits object; None when nothing was measured."""
        return self.source.rows.get((self.subject, self.visit))

    @cached_property
    def until(self) -> float:
        """Day of the visit since the anchor: nothing later enters a report."""
        return self.source.visit_day(self.subject, self.visit)

    @cached_property
    def date(self) -> str:
        """ISO date of the visit: of the draw, else when the visit began; empty when neither is known."""
        found = self.source.obs(self.row, "collected_dtc")
        for visit in self.source.records["visits"]:
            if not found and (visit["usubjid"], visit["visit"]) == (self.subject, self.visit):
                found = visit["start_dtc"]
        return found[:10] if len(found) >= len("2025-01-01") else ""

    @cached_property
    def virology_day(self) -> float:
        """Day of the visit since the first ganciclovir; NaN when a date is missing."""
        return days_since(self.source.subject(self.subject)["first_gcv_dtc"], self.date)

    def table(self, name: str) -> list[dict[str, Any]] | None:
        """Rows of the subject in a table of the results folder; None when the run has no such table."""
        rows = self.source.results_of(name)
        return None if rows is None else rows.get(self.subject, [])

    @cached_property
    def cmv_results(self) -> pd.DataFrame:
        """CMV-DNA results that were known at the visit, those that the visit reported included."""
        table: pd.DataFrame = self.source.profile.virology
        own = table[table["usubjid"].astype(str) == self.subject]
        anchor = self.source.anchors.get(self.subject)
        known = [
            visit == self.visit or days_since(anchor, dtc) <= self.until
            for visit, dtc in zip(cells(own["visit"], "text"), cells(own["collected_dtc"], "text"), strict=True)
        ]
        return own[known].reset_index(drop=True)

    def obs(self, name: str) -> Any:
        """Entry of ``obs`` of the visit."""
        return self.source.obs(self.row, name)
