"""The file ``study.yaml``: arms, visit schedule, tubes, endpoints and assays of a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from immunoprofile.errors import Problems, StudyError
from immunoprofile.io.analysis_plan import MOST_KEY_ENDPOINTS, AnalysisPlan, FunctionalEndpoint, VirologyEndpoint
from immunoprofile.io.cmv_assay import Assay, DateText, StudyModel, is_full_date
from immunoprofile.io.control_settings import AbsoluteCounts, ControlSettings
from immunoprofile.io.files import write_text
from immunoprofile.io.inputs import LARGEST_YAML, Inputs, reason
from immunoprofile.io.logo import SUFFIXES
from immunoprofile.schema import (
    MOST_ARMS,
    TABLES,
)

CONFIG_NAME = "study.yaml"
_LONGEST_REASON = 500
CHECKS_OF_A_TUBE = (
    "collection_to_stain", "collection_to_stain_heparin", "collection_to_stain_pbmc_fresh",
    "collection_to_stain_pbmc_frozen",
)  # fmt: skip
"""Checks whose limits a single tube may set: tubes of one draw may keep for different times."""


def _version_text(value: object) -> object:
    # YAML reads an unquoted 6 or 6.0 as a number.
    text = f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else value
    return text.removeprefix("v").removesuffix(".0") if isinstance(text, str) else text


class Arm(StudyModel):
    """A treatment arm."""

    code: str
    label: str


class ScheduledVisit(StudyModel):
    """A visit of the schedule.

    ``day`` is the planned study day on the immunology anchor (day 1 is the day of the anchor);
    ``flow`` says whether blood for flow cytometry is planned.
    """

    visit: str
    visitnum: float
    day: int
    flow: bool = True
    baseline: bool = False


class QualityLimits(StudyModel):
    """Limits of a quality check: lowest and highest value that pass, and that only warn; null is open."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_by_name=True, validate_by_alias=True)

    passes: tuple[float | None, float | None] | None = Field(default=None, alias="pass")
    warns: tuple[float | None, float | None] | None = Field(default=None, alias="warn")


class Tube(StudyModel):
    """A tube of a visit: its panel and the template that gates it."""

    panel: str
    gates: str
    """Name of the template, without suffix, for example ``treg``."""
    label: str = ""
    staining_protocol: Literal["lyse_no_wash", "washed", "permeabilised", "unknown"] = "unknown"
    counts: bool = False
    """Absolute counts come from this tube (counting beads, or the tube whose lymphocytes meet the blood count)."""
    amplifiers: dict[str, Literal["log", "linear"]] = Field(default_factory=dict)
    """What floating point data hold whose ``$PnE`` names a log amplifier, by ``$PnN`` (``*``: all others)."""
    quality_limits: dict[str, QualityLimits] = Field(default_factory=dict)
    """Time from the draw to staining within which this tube counts, by the check of its specimen."""

    @field_validator("quality_limits")
    @classmethod
    def _of_a_tube(cls, value: dict[str, QualityLimits]) -> dict[str, QualityLimits]:
        unknown = sorted(set(value) - set(CHECKS_OF_A_TUBE))
        if unknown:
            known = ", ".join(CHECKS_OF_A_TUBE)
            what = f"{', '.join(unknown)}: a tube sets limits of {known} only"
            raise ValueError(f"{what}; the others stand in quality_limits of the study")
        return value


class Endpoint(StudyModel):
    """An immune endpoint that the study declares."""

    population: str
    measure: Literal["pct_parent", "abs"] = "pct_parent"
    label: str = ""
    primary: bool = False
    key: bool = False
    """One of the key secondary endpoints, corrected together with the primary one."""


class TableForm(StudyModel):
    """How one table file is written, where the file itself leaves it open."""

    sheet: str = ""
    """Sheet of a workbook; empty: the one called like the table, else the first."""
    separator: Literal["comma", "semicolon", "tab", "bar"] | None = None
    decimal: Literal["point", "comma"] | None = None
    dates: Literal["iso", "day-month-year", "month-day-year", "excel-1900", "excel-1904"] | None = None
    encoding: str = ""
    """Name of the encoding of a text file, for example cp1250; empty: UTF-8, else Windows-1252."""

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            "".encode(value or "utf-8")
        except (LookupError, ValueError):
            raise ValueError(f"{value!r} is not an encoding, for example utf-8, cp1252, cp1250 or latin-1") from None
        return value


class EligibilitySettings(StudyModel):
    """What this study decides about its criteria; names and values are checked where the criteria are known."""

    parameters: dict[str, bool | int | float | str | tuple[str, ...] | None] = Field(default_factory=dict)
    """Parameter of resources/eligibility.yaml -> value of this study."""
    lookback_d: dict[str, dict[str, int]] = Field(default_factory=dict)
    """Criterion -> input -> days before the reference date in which a record counts."""


def _pairs(
    limits: dict[str, QualityLimits],
) -> dict[str, dict[str, tuple[float | None, float | None]]]:
    return {
        name: {key: pair for key, pair in (("pass", own.passes), ("warn", own.warns)) if pair is not None}
        for name, own in limits.items()
    }


class StudyConfig(StudyModel):
    """Everything that ``study.yaml`` says."""

    study_id: str
    title: str
    registry_id: str = ""
    synthetic: bool = False
    data_cut: DateText = ""
    """ISO date on which the data were taken; a later date in any table is an error. Empty: not checked."""
    arms: tuple[Arm, ...]
    reference_arm: str
    visits: tuple[ScheduledVisit, ...]
    intensity_statistics: tuple[str, ...] = ()
    """Statistics of intensities beside the median, see `gate.INTENSITY_STATISTICS`."""
    immunology_anchor: Literal["first_il2", "randomised", "first_il2_or_randomised"] = "first_il2_or_randomised"
    virology_anchor: Literal["first_gcv"] = "first_gcv"
    primary_visit: str
    endpoints: tuple[Endpoint, ...]
    functional_endpoints: tuple[FunctionalEndpoint, ...] = ()
    virology_endpoints: tuple[VirologyEndpoint, ...] = ()
    plan: AnalysisPlan | None = None
    """Analyses that the study declares; without them those of the package run on the endpoints."""
    tubes: dict[str, Tube]
    reporting_tube: dict[str, str] = Field(default_factory=dict)
    """Population -> tube, for populations that several tubes see; the others are reported by the tube that has them."""
    attempt_rule: Literal["last", "first", "last_passing"] = "last_passing"
    on_missing_file: Literal["refuse", "exclude"] = "refuse"
    """Whether a run is refused when an FCS file of samples.csv is missing, or goes on without the sample."""
    assays: dict[str, Assay] = Field(default_factory=dict)
    controls: ControlSettings = Field(default_factory=ControlSettings)
    """Control aliquots and replicates: runs of a target, what holds a report, limit of the CV."""
    absolute_counts: AbsoluteCounts = Field(default_factory=AbsoluteCounts)
    """Errors that the intervals of cells/uL hold beside counting."""
    ctcae: Annotated[Literal["5", "6"], BeforeValidator(_version_text)] = "5"
    """Version of CTCAE by which laboratory values are graded, as the protocol says; printed with every grade."""
    eligibility_profile: Literal["seed", "registry", "successor"] = "seed"
    eligibility: EligibilitySettings = Field(default_factory=EligibilitySettings)
    institution: str = ""
    """Name of the institution in the header of every report."""
    logo: str = ""
    """File of the study folder, PNG or SVG, in the header of every report; empty for none."""
    report_footer: tuple[str, ...] = ()
    """Lines at the end of every report, for example an address or a document number."""
    reference_ranges: str = ""
    """Name of a table of the package's resources, or empty for none."""
    tables: dict[str, TableForm] = Field(default_factory=dict)
    """Table -> how its file is written."""
    quality_limits: dict[str, QualityLimits] = Field(default_factory=dict)
    """Check -> limits of this study, in place of those of the package (resources/quality_checks.yaml)."""

    @field_validator("data_cut")
    @classmethod
    def _full_date(cls, value: str) -> str:
        if value and not is_full_date(value):
            raise ValueError(f"{value!r} is not a full ISO date such as 2024-03-01")
        return value

    @field_validator("logo")
    @classmethod
    def _picture(cls, value: str) -> str:
        if value and not value.casefold().endswith(SUFFIXES):
            raise ValueError(
                f"{value!r} is neither PNG nor SVG; give a file of the study folder that ends in .png or .svg"
            )
        return value

    @model_validator(mode="after")
    def _consistent(self) -> StudyConfig:
        problems = []
        arms = [arm.code for arm in self.arms]
        names = [visit.visit for visit in self.visits]
        if len(set(arms)) != len(arms):
            problems.append("arms: a code stands twice")
        if self.reference_arm not in arms:
            problems.append(f"reference_arm {self.reference_arm!r} is not an arm ({', '.join(arms)})")
        if len(set(names)) != len(names):
            problems.append("visits: a visit stands twice")
        if len(set(visit.visitnum for visit in self.visits)) != len(names):
            problems.append("visits: a visitnum stands twice")
        if sum(visit.baseline for visit in self.visits) != 1:
            problems.append("visits: exactly one visit must have baseline: true")
        if len(self.arms) > MOST_ARMS:
            problems.append(f"arms: {len(self.arms)}; figures can tell {MOST_ARMS} apart, pool some of them")
        if self.primary_visit not in names:
            problems.append(f"primary_visit {self.primary_visit!r} is not a visit ({', '.join(names)})")
        if sum(tube.counts for tube in self.tubes.values()) > 1:
            problems.append("tubes: only one tube may have counts: true")
        immune: tuple[Endpoint | FunctionalEndpoint, ...] = (*self.endpoints, *self.functional_endpoints)
        if sum(endpoint.primary for endpoint in immune) > 1:
            problems.append("endpoints: only one may be primary")
        if sum(endpoint.primary or endpoint.key for endpoint in immune) > MOST_KEY_ENDPOINTS:
            problems.append(f"endpoints: at most {MOST_KEY_ENDPOINTS} may be primary or key")
        if sum(endpoint.primary for endpoint in self.virology_endpoints) > 1:
            problems.append("virology_endpoints: only one may be primary")
        problems += self._unknown_visits(names)
        problems += [
            f"tables.{name}: is not a table ({', '.join(TABLES)})" for name in self.tables if name not in TABLES
        ]
        for tube_id, tube in self.tubes.items():
            if tube.counts and tube.staining_protocol in ("washed", "permeabilised"):
                problems.append(
                    f"tubes.{tube_id}: a {tube.staining_protocol} tube loses cells and beads, no concentration can "
                    "come from it; set counts: false"
                )
        for population, tube_id in self.reporting_tube.items():
            if tube_id not in self.tubes:
                problems.append(f"reporting_tube.{population}: {tube_id!r} is not a tube ({', '.join(self.tubes)})")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _unknown_visits(self, names: list[str]) -> list[str]:
        if self.plan is None:
            return []
        asked = [(f"plan.{analysis.key}", visit) for analysis in self.plan.analyses for visit in analysis.visits]
        asked += [("plan.windows", visit) for visit in self.plan.windows]
        known = ", ".join(names)
        return [f"{place}: {visit!r} is not a visit ({known})" for place, visit in asked if visit not in names]

    @property
    def baseline_visit(self) -> str:
        """Name of the baseline visit."""
        return next(visit.visit for visit in self.visits if visit.baseline)

    @property
    def visit_names(self) -> tuple[str, ...]:
        """Names of the visits in the order of their numbers."""
        return tuple(visit.visit for visit in sorted(self.visits, key=lambda visit: visit.visitnum))

    @property
    def arm_labels(self) -> dict[str, str]:
        """Arm code -> label."""
        return {arm.code: arm.label for arm in self.arms}

    @property
    def check_limits(self) -> dict[str, dict[str, tuple[float | None, float | None]]]:
        """Limits of checks that the study sets, as `pp.quality_checks` takes them."""
        return _pairs(self.quality_limits)

    @property
    def tube_check_limits(self) -> dict[str, dict[str, dict[str, tuple[float | None, float | None]]]]:
        """Tube -> limits of checks in force for it where it has any of its own: those of the study, then its own."""
        return {name: self.check_limits | _pairs(tube.quality_limits) for name, tube in self.tubes.items()
                if tube.quality_limits}  # fmt: skip

    @property
    def count_tube(self) -> str | None:
        """The tube that absolute counts come from, or None."""
        return next((tube_id for tube_id, tube in self.tubes.items() if tube.counts), None)


class _PlainLoader(yaml.SafeLoader):
    """Safe YAML without aliases (a few lines of them unfold to gigabytes) that notes keys that stand twice."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.twice: list[str] = []

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not allowed; write the value where it is needed")
        return super().compose_node(parent, index)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        first: dict[object, yaml.Node] = {}
        for key, _ in node.value:
            # Two merge keys are no key twice, and what is no plain value is refused later.
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                before = first.setdefault(self.construct_object(key), key)
                if before is not key:
                    lines = f"lines {before.start_mark.line + 1} and {key.start_mark.line + 1}"
                    self.twice.append(f"key {key.value!r} stands twice ({lines})")
        return node


def load_plain_yaml(text: str) -> Any:
    """Content of YAML text that holds nothing but plain values: no objects, no aliases, no key twice.

    Raises
    ------
    yaml.YAMLError, ValueError, RecursionError
        The text is no such YAML; ValueError for a date that does not exist or a number with thousands of digits.
    """
    loader = _PlainLoader(text)
    try:
        node = loader.get_single_node()
        if loader.twice:
            raise yaml.YAMLError("; ".join(loader.twice))
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def read_config(folder: Path, *, inputs: Inputs | None = None) -> StudyConfig:
    """Read and check ``study.yaml`` of a study folder.

    Parameters
    ----------
    folder
        Study folder.
    inputs
        Reads the files of this folder and keeps their hashes.

    Raises
    ------
    StudyError
        The file is missing, is no YAML, or says something that is not allowed; all problems at once.
    """
    path = folder / CONFIG_NAME
    problems = Problems()
    if not path.exists():
        problems.add(CONFIG_NAME, "file is missing")
        raise StudyError(
            "this is not a study folder", problems.found, where=str(folder), todo="see docs/study-folder.md"
        )
    try:
        content = load_plain_yaml((inputs or Inputs(folder)).read(CONFIG_NAME, LARGEST_YAML).decode("utf-8-sig"))
    except OSError as error:
        problems.add(CONFIG_NAME, f"cannot be read: {reason(error)}")
        raise StudyError("study.yaml cannot be read", problems.found, where=str(folder)) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # ValueError: no UTF-8, a date that does not exist, or a number with thousands of digits.
        problems.add(CONFIG_NAME, f"cannot be read as YAML: {str(error)[:_LONGEST_REASON]}")
        raise StudyError("study.yaml cannot be read", problems.found, where=str(folder)) from error
    try:
        return StudyConfig.model_validate(content)
    except ValidationError as error:
        for item in error.errors():
            place = ".".join(str(part) for part in item["loc"])
            found = "" if isinstance(item.get("input"), dict | list) or not place else item.get("input", "")
            problems.add(CONFIG_NAME, item["msg"], column=place, value=found)
        raise StudyError(
            "study.yaml is not valid", problems.found, where=str(folder), todo="see docs/study-folder.md"
        ) from error


def write_config(config: StudyConfig, folder: Path) -> Path:
    """Write ``study.yaml``; the text re-reads to an equal configuration."""
    path = folder / CONFIG_NAME
    content = config.model_dump(mode="json", exclude_defaults=True, by_alias=True)
    write_text(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    return path
