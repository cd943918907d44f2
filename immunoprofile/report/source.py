"""What reports read of a profile, looked up once: rows, states, samples, days."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from immunoprofile import schema
from immunoprofile.errors import NotAvailableError
from immunoprofile.get import layer_names
from immunoprofile.io.dates import iso_day
from immunoprofile.io.records import BLANK, Rows, cells, records
from immunoprofile.pl.series import anchors_of, axis_day
from immunoprofile.pp.verdict import tube_states
from immunoprofile.report import wording
from immunoprofile.report.moved_cuts import MovedCuts
from immunoprofile.report.subject_studies import RecentRasters, SubjectStudies
from immunoprofile.report.value import Measure, Value
from immunoprofile.resources.checks import check_title

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray

    from immunoprofile.io.config import StudyConfig
    from immunoprofile.profiling import Profile


# What would tell a blinded reader the treatment, or when it was given.
BLINDED_FLAGS: Final = frozenset({"RECENT_IL2", "GCV_UNDERDOSED", "GCV_HAEM_LIMIT"})
BLINDED_CHECKS: Final = frozenset({"hours_since_il2"})


@dataclass(frozen=True, eq=False)
class Source:
    """Read access to a profile for the report models; it changes nothing."""

    profile: Profile
    blinded: bool = False
    config: StudyConfig = field(init=False)
    visits: AnnData = field(init=False)
    _failures: dict[tuple[str, str], NDArray[np.bool_]] = field(init=False, default_factory=dict)
    _results: dict[str, Rows] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "config", self.profile.study.config)
        object.__setattr__(self, "visits", self.profile.visits)

    @cached_property
    def logo(self) -> str:
        """Address of the data of the logo of the institution; empty without one."""
        content = self.profile.study.logo
        kind = "png" if self.config.logo.casefold().endswith(".png") else "svg+xml"
        return f"data:image/{kind};base64,{base64.b64encode(content).decode()}" if content else ""

    # --- tables -------------------------------------------------------------------------------

    @cached_property
    def records(self) -> dict[str, Rows]:
        """Tables of the study and of the run as plain rows."""
        study, made = self.profile.study, self.profile.tables
        tables: dict[str, pd.DataFrame] = {
            name: getattr(study, name) for name in ("subjects", "visits", "samples", "labs", "reviews")
        }
        tables |= {name: getattr(self.profile, name) for name in ("quality", "exceptions", "virology")}
        tables["queries"] = made.get("queries", study.queries)
        tables |= {name: made[name] for name in ("controls", "control_batches", "precision") if name in made}
        return {name: Rows(table, name) for name, table in tables.items()}

    def of_subject(self, name: str, subject: str) -> list[dict[str, Any]]:
        """Rows of a table of `records` about a subject, found without reading the others again."""
        return self.records[name].about(subject, "usubjid")

    def study_of(self, subject: str) -> SimpleNamespace:
        """The study as if it had this subject only (`SubjectStudies`)."""
        return self._studies.of(subject)

    @cached_property
    def _studies(self) -> SubjectStudies:
        return SubjectStudies(self.profile)

    def labs_of(self, subject: str) -> list[dict[str, Any]]:
        """Laboratory values of a subject."""
        return self.of_subject("labs", subject)

    def exceptions_of(self, subject: str, sample_ids: Iterable[str]) -> list[dict[str, Any]]:
        """Exceptions about a subject or one of its samples, in the order of the table."""
        rows = self.records["exceptions"]
        places = set(rows.places("usubjid").get(subject, ()))
        places.update(*(rows.places("sample_id").get(one, ()) for one in sample_ids))
        return rows.at(sorted(places))

    def queries_about(self, asked: Iterable[str]) -> list[dict[str, Any]]:
        """Queries about any of these records, in the order of the table."""
        rows = self.records["queries"]
        return rows.at(sorted({place for one in asked for place in rows.places("record").get(one, ())}))

    @cached_property
    def uncompensated(self) -> frozenset[str]:
        """Acquisitions that the checks flag as not compensated."""
        return self._checked("flag", "COMP_NONE")

    def _checked(self, column: str, value: str) -> frozenset[str]:
        """Acquisitions with a row of the quality table that says so."""
        checks = self.records["quality"]
        said = zip(checks.column("sample_id"), checks.column(column), strict=True)
        return frozenset(sample_id for sample_id, one in said if one == value)

    def results_of(self, name: str, subject: str) -> list[dict[str, Any]] | None:
        """Rows of a table of the results folder (`schema.RESULT_TABLES`) about a subject; None when it is not there."""
        table = self.profile.tables.get(name)
        if table is None:
            return None
        if name not in self._results:
            self._results[name] = Rows(table, name)
        return self._results[name].about(subject, "usubjid")

    @cached_property
    def subjects(self) -> list[str]:
        """All subjects in the order of the table."""
        return self.records["subjects"].column("usubjid")

    def subject(self, usubjid: str) -> dict[str, Any]:
        """Row of a subject; KeyError for an unknown one."""
        own = self.of_subject("subjects", usubjid)
        if not own:
            raise KeyError(usubjid)
        return own[0]

    @cached_property
    def flow_visits(self) -> list[str]:
        """Visits for which flow cytometry is planned, in order."""
        flow = {visit.visit for visit in self.config.visits if visit.flow}
        return [name for name in self.config.visit_names if name in flow]

    def visits_of(self, subject: str) -> list[str]:
        """Visits that have a report: the planned flow visits, and unscheduled ones that were measured."""
        own = [str(self.obs(row, "visit")) for row in self.rows_of(subject)]
        extra = [visit for visit in own if visit not in self.config.visit_names]
        return [*self.flow_visits, *extra]

    @cached_property
    def planned_days(self) -> dict[str, float]:
        """Visit -> planned days since the anchor."""
        return {visit.visit: axis_day(visit.day) for visit in self.config.visits}

    # --- rows and days ------------------------------------------------------------------------

    @cached_property
    def rows(self) -> dict[tuple[str, str], int]:
        """(subject, visit) -> row of the visits object."""
        return {key: places[-1] for key, places in self._obs.places("usubjid", "visit").items()}

    def rows_of(self, subject: str) -> list[int]:
        """Rows of a subject."""
        return list(self._obs.places("usubjid").get(subject, ()))

    def virology_of(self, subject: str) -> pd.DataFrame:
        """CMV-DNA results of a subject."""
        places = self._virology_places.get(subject)
        return self.profile.virology.iloc[[] if places is None else places]

    @cached_property
    def _virology_places(self) -> Mapping[Any, Any]:
        return self.profile.virology.groupby(self.profile.virology["usubjid"].astype(str), sort=False).indices

    @cached_property
    def baselines(self) -> dict[str, int]:
        """Subject -> baseline row."""
        marked = zip(self._obs.column("usubjid"), self._obs.column("baseline_flag"), strict=True)
        return {subject: row for row, (subject, flag) in enumerate(marked) if flag}

    @cached_property
    def anchors(self) -> dict[str, date]:
        """Subject -> day 0 of the immunology anchor, from the draws, else from the subjects table."""
        found = anchors_of(self.visits)
        columns = {
            "first_il2": ("first_il2_dtc",),
            "randomised": ("randomised_dtc",),
            "first_il2_or_randomised": ("first_il2_dtc", "randomised_dtc"),
        }[self.config.immunology_anchor]
        for row in self.records["subjects"]:
            days = [iso_day(row[name]) for name in columns]
            day = next((one for one in days if one is not None), None)
            if day is not None:
                found.setdefault(row["usubjid"], day)
        return found

    def previous_row(self, subject: str, visit: str) -> int | None:
        """Last measured row of the subject before a visit."""
        day = self.visit_day(subject, visit)
        own = [(self.visit_day(subject, self.obs(row, "visit")), row) for row in self.rows_of(subject)]
        return max((pair for pair in own if pair[0] < day), default=(0.0, None))[1]

    def visit_day(self, subject: str, visit: str) -> float:
        """Days since the anchor of a visit; the planned day when it did not take place."""
        row = self.rows.get((subject, visit))
        day = math.nan if row is None else axis_day(self.obs(row, "study_day"))
        return self.planned_days[visit] if math.isnan(day) else day

    def course_day(self, row: int) -> float:
        """Days since the anchor of a measured visit; the planned ones where the anchor is not known."""
        day = axis_day(self.obs(row, "study_day"))
        return self.planned_days.get(self.obs(row, "visit"), math.nan) if math.isnan(day) else day

    def check_visit(self, subject: str, visit: str) -> None:
        """NotAvailableError for an unknown subject or visit, with the ones there are."""
        if subject not in self.subjects:
            todo = f"choose of: {', '.join(self.subjects)}"
            raise NotAvailableError(f"no subject {subject!r} in this study", where="report.visit", todo=todo)
        if visit not in self.config.visit_names and (subject, visit) not in self.rows:
            todo = f"choose of: {', '.join(self.config.visit_names)}"
            raise NotAvailableError(f"no visit {visit!r} in the schedule", where="report.visit", todo=todo)

    # --- quality ------------------------------------------------------------------------------

    @cached_property
    def states(self) -> dict[tuple[str, str, str], str]:
        """(subject, visit, tube) -> worst state of the checks that judge the tube."""
        return tube_states(self.profile.quality)

    def checks(self, subject: str, visit: str) -> list[dict[str, Any]]:
        """Rows of the quality table about a visit, without those that would unblind."""
        own = self.records["quality"].about((subject, visit), "usubjid", "visit")
        if not self.blinded:
            return own
        return [row for row in own if row["flag"] not in BLINDED_FLAGS and row["check"] not in BLINDED_CHECKS]

    def fail_reason(self, subject: str, visit: str, tube: str) -> str:
        """Why a tube failed: each check with its value and its limits."""
        words = [
            f"{check_title(row['check'])} {wording.measured(row['value'], row['unit'])} "
            f"({wording.limit_words(row['limits'], row['unit'])})"
            for row in self.checks(subject, visit)
            if row["tube"] == tube and row["state"] == "FAIL"
        ]
        return "; ".join(dict.fromkeys(words)) or "quality check failed"

    @cached_property
    def samples(self) -> dict[tuple[str, str], dict[str, str]]:
        """(subject, visit) -> tube -> the acquisition that was used.

        The quality table names the acquisitions that were chosen and judged. Where it names several of one tube, or
        none, the last attempt that did not fail is taken.
        """
        gated = set(cells(self.profile.counts["sample_id"], "text"))
        found: dict[tuple[str, str], dict[str, list[tuple[float, str]]]] = {}
        judged, failed = set(self.records["quality"].column("sample_id")), self._checked("state", "FAIL")
        for row in self.records["samples"]:
            name = row["sample_id"]
            if row["role"] == "sample" and name in gated:
                key = row["usubjid"], row["visit"]
                attempt = 0.0 if math.isnan(row["attempt"]) else row["attempt"]
                rank = attempt - 1000.0 * (name in failed) + 10_000.0 * (name in judged)
                found.setdefault(key, {}).setdefault(row["tube_id"], []).append((rank, name))
        return {key: {tube: max(names)[1] for tube, names in tubes.items()} for key, tubes in found.items()}

    def percentages(self, sample_id: str) -> dict[str, float]:
        """Population -> per cent of its parent in one acquisition."""
        return {name: row["pct_parent"] for name, row in self._counted(sample_id).items()}

    @cached_property
    def rasters(self) -> RecentRasters:
        """Gating plots by acquisition."""
        return RecentRasters(self.profile)

    def parents_of(self, sample_id: str) -> dict[str, str]:
        """Population -> parent in one acquisition."""
        return {name: row["parent"] for name, row in self._counted(sample_id).items()}

    def _counted(self, sample_id: str) -> dict[str, dict[str, Any]]:
        own = self._counts.about(sample_id, "sample_id")
        return {row["population"]: row for row in reversed(own)}  # the first of a population counts

    @cached_property
    def _counts(self) -> Rows:
        return Rows(self.profile.counts, "counts")

    def sample_row(self, sample_id: str) -> dict[str, Any]:
        """Row of the samples table; KeyError for an unknown acquisition."""
        rows = self.records["samples"]
        return rows[rows.places("sample_id")[sample_id][-1]]

    def flags(self, subject: str, visit: str) -> list[str]:
        """Flag codes of a visit in the order of the vocabulary, without those that would unblind."""
        row = self.rows.get((subject, visit))
        codes = set() if row is None else set(self.obs(row, "flags").split())
        codes |= {check["flag"] for check in self.checks(subject, visit)} - {""}
        if self.blinded:
            codes -= BLINDED_FLAGS
        return [code for code in schema.FLAGS if code in codes] + sorted(codes - schema.FLAGS.keys())

    # --- values -------------------------------------------------------------------------------

    @cached_property
    def _obs(self) -> Rows:
        return Rows(self.visits.obs, "obs")

    @cached_property
    def _var(self) -> dict[str, dict[str, Any]]:
        names = map(str, self.visits.var_names)
        return dict(zip(names, records(self.visits.var, "var"), strict=True))

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {str(name): column for column, name in enumerate(self.visits.var_names)}

    @cached_property
    def _layers(self) -> dict[str, NDArray[np.float64]]:
        # An access to adata.layers costs a quarter of a millisecond, and a report makes hundreds.
        layers = self.visits.layers
        return {name: np.asarray(layers[name], dtype=np.float64) for name in layer_names(self.visits)}

    @cached_property
    def obsm(self) -> dict[str, Any]:
        """Tables beside the visits object; to be asked for one, anndata compares the visits of all of them."""
        return dict(self.visits.obsm)

    @cached_property
    def _positive(self) -> Mapping[str, NDArray[np.float64]]:
        from immunoprofile.pp.baseline import positive_absolute, positive_percentages

        return {"pct_parent": positive_percentages(self.visits), "abs": positive_absolute(self.visits)}

    def has(self, population: str) -> bool:
        """Whether a population is in the visits object."""
        return population in self._columns

    def display(self, population: str) -> str:
        """Name of a population for people."""
        return self._var[population]["display"] or population if self.has(population) else population

    def var(self, population: str, name: str) -> Any:
        """Entry of ``var`` of a population."""
        return self._var[population][name]

    def tubes_of(self, population: str, measure: Measure) -> list[str]:
        """Tubes that a number comes from: its own, and for cells/uL the one that counts."""
        tube, count_tube = self.var(population, "tube"), self.config.count_tube
        return [tube] if measure == "pct_parent" or count_tube in ("", None, tube) else [tube, count_tube]

    def definition(self, population: str) -> str:
        """Definition by the gates in force, and how it differs from what the id usually means."""
        one = self._var[population]
        note = f" ({one['definition_note']})" if one["definition_note"] else ""
        return f"{one['marker_string']}{note}"

    def obs(self, row: int | None, name: str) -> Any:
        """Entry of ``obs``; blank (empty text, NaN) without a row or column."""
        blank = BLANK[schema.cell_kinds("obs").get(name, "text")]
        return blank if row is None else self._obs.cell(row, name, blank)

    def layer(self, name: str, row: int, population: str) -> float:
        """One number of a layer; NaN when there is no such layer."""
        layer = self._layers.get(name)
        return math.nan if layer is None else float(layer[row, self._columns[population]])

    def value(self, row: int | None, population: str, measure: Measure) -> Value:
        """Value of a population at a row, with interval and counting variance, or the reason why there is none."""
        if row is None:
            return Value(math.nan, state="missing", reason="not done")
        subject, visit = (self.obs(row, name) for name in ("usubjid", "visit"))
        found = (
            self.layer(schema.ABS, row, population)
            if measure == "abs"
            else float(self.visits.X[row, self._columns[population]])
        )
        for name in self.tubes_of(population, measure):
            if self.states.get((subject, visit, name)) == "FAIL":
                reason = f"{name} tube FAIL: {self.fail_reason(subject, visit, name)}"
                return Value(math.nan, state="suppressed", reason=reason, withheld=found)
        if self._failed(population, measure)[row]:
            reason = f"FAIL: {self.fail_reason(subject, visit, '')}"
            return Value(math.nan, state="suppressed", reason=reason, withheld=found)
        events, parent = self.layer(schema.COUNTS, row, population), self.layer(schema.PARENT_COUNTS, row, population)
        if math.isnan(found):
            return Value(math.nan, events=events, state="missing", reason=self._why_missing(row, population, measure))
        column = self._columns[population]
        if measure == "abs":
            low, high = self.layer(schema.ABS_LOWER, row, population), self.layer(schema.ABS_UPPER, row, population)
            cv = self.layer(schema.ABS_CV, row, population) / 100
            variance = cv * cv if not math.isnan(cv) else 2.0
        else:
            low, high = self.layer(schema.PCT_LOWER, row, population), self.layer(schema.PCT_UPPER, row, population)
            # Binomial on the log scale; half an event in place of none.
            variance = max(1 / max(events, 0.5) - 1 / parent, 0.0) if parent > 0 else math.nan
        shifts = self.moved_cuts.of(row, population, measure)
        return Value(found, low, high, events, float(self._positive[measure][row, column]), variance, shifts=shifts)

    @cached_property
    def moved_cuts(self) -> MovedCuts:
        """The values under moved cuts."""
        return MovedCuts(self.visits)

    def _failed(self, population: str, measure: Measure) -> NDArray[np.bool_]:
        """Rows whose value failed: the same rule as in the statistics."""
        key = (population, measure)
        if key not in self._failures:
            from immunoprofile.pp.verdict import failed_rows

            self._failures[key] = failed_rows(self.visits, population, measure=measure)
        return self._failures[key]

    def _why_missing(self, row: int, population: str, measure: Measure) -> str:
        subject, visit = (self.obs(row, name) for name in ("usubjid", "visit"))
        tube = self.var(population, "tube")
        if tube not in self.samples.get((subject, visit), {}):
            return f"not done: {tube} tube not measured or not readable"
        if measure == "abs" and self.obs(row, "abs_method") in ("", "none"):
            return "not done: no bead count and no blood count"
        if self.layer(schema.PARENT_COUNTS, row, population) == 0:
            return "not done: no events in the parent"
        return "not done: not gated in this tube"
