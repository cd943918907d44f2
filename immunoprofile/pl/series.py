"""Plain values that figures are drawn from: no AnnData, no tables, cheap to send to another process."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final, Literal

from immunoprofile import schema
from immunoprofile.errors import NotAvailableError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

Measure = Literal["abs", "pct_parent"]
PanelMeasure = Literal["abs", "pct_parent", "functional"]
"""What a panel shows; a functional readout has a unit of its own."""
BarKind = Literal["il2", "antiviral", "steroid"]

CENSORED_KINDS: Final = ("BLQ", "TND")
"""Kinds that are censored at the LLOQ."""
_DRUG_LABELS: Final = {"IL2": "IL-2", "GCV": "ganciclovir", "VGCV": "valganciclovir"}


@dataclass(frozen=True)
class Series:
    """Values of one population of one subject over time.

    ``days`` count from the immunology anchor (day 0 is the day of the anchor), so that they can share an
    axis with doses and CMV-DNA. ``values`` are cells/uL, per cent, or in ``unit``; NaN breaks the line. ``lower`` and
    ``upper`` are 95 % limits, or empty. ``failed`` marks values of a tube that failed quality control.
    """

    population: str
    display: str
    subject: str
    arm: str
    visits: tuple[str, ...]
    days: tuple[float, ...]
    values: tuple[float, ...]
    lower: tuple[float, ...] = ()
    upper: tuple[float, ...] = ()
    failed: tuple[bool, ...] = ()
    unit: str = ""
    """Of a functional readout."""


@dataclass(frozen=True)
class CmvSeries:
    """CMV-DNA of one subject: ``heights`` are log10, of censored results the LLOQ or ULOQ (plot position only)."""

    subject: str
    arm: str
    days: tuple[float, ...]
    heights: tuple[float, ...]
    kinds: tuple[str, ...]
    lloq: float
    """log10 of the lower limit of quantification, NaN when unknown."""
    unit: str


@dataclass(frozen=True)
class Bar:
    """A treatment from one day to another, drawn as a bar."""

    label: str
    kind: BarKind
    start: float
    end: float


def arm_order(present: Iterable[object], declared: Iterable[object] = ()) -> tuple[str, ...]:
    """All arms in the order that the study declares them; ``present`` ones that it does not declare follow by name.

    A declared arm without subjects keeps its place, so that the others keep their colours.
    """
    known = [name for name in map(text, declared) if name]
    return tuple(dict.fromkeys([*known, *sorted({name for name in map(text, present) if name})]))


def study_arms(visits: AnnData) -> tuple[str, ...]:
    """Arms of a visits object: as its study declares them, else as the categories of ``obs['arm']``, else by name."""
    arms = visits.obs["arm"]
    declared = visits.uns.get(schema.UNS_STUDY, {}).get("arms", ())
    return arm_order(arms, declared if len(declared) else column_arms(arms))


def column_arms(arms: pd.Series[Any]) -> tuple[str, ...]:
    """Order of arms that a column itself states by its categories; nothing for plain text."""
    import pandas as pd

    return tuple(map(str, arms.cat.categories)) if isinstance(arms.dtype, pd.CategoricalDtype) else ()


def axis_day(study_day: float) -> float:
    """Days since the anchor: the study day, which has no day 0, moved so that its day 1 becomes 0."""
    return study_day - 1 if study_day > 0 else study_day


def iso_day(text: object) -> date | None:
    """Calendar day of an ISO 8601 text, None for a missing or partial one."""
    if not isinstance(text, str) or len(text) < 10:
        return None
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None


def days_between(start: date | None, text: object) -> float:
    """Days from ``start`` to an ISO text; NaN when one of them is unknown."""
    day = iso_day(text)
    return float((day - start).days) if start is not None and day is not None else math.nan


def number(value: Any) -> float:
    """Float of anything a table may hold; every kind of missing becomes NaN."""
    import pandas as pd

    if value is None or value is pd.NA:
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def text(value: Any) -> str:
    """Text of anything a table may hold; every kind of missing becomes an empty text."""
    import pandas as pd

    return "" if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)) else str(value)


def population_series(
    visits: AnnData, population: str, *, measure: Measure = "abs", subject: str | None = None
) -> list[Series]:
    """Series of one population, one a subject, in the order of the subjects.

    Raises
    ------
    NotAvailableError
        The population or the layer is not in the object.
    """
    if population not in visits.var_names:
        what = f"population {population!r} is not in the visits object"
        raise NotAvailableError(what, where="pl", todo=f"choose of: {', '.join(map(str, visits.var_names))}")
    if measure == "abs" and schema.ABS not in visits.layers:
        raise NotAvailableError("there are no absolute counts", where="pl", todo='use measure="pct_parent"')
    column = int(visits.var_names.get_loc(population))
    matrix, low, high = (
        (visits.layers[schema.ABS], schema.ABS_LOWER, schema.ABS_UPPER)
        if measure == "abs"
        else (visits.X, schema.PCT_LOWER, schema.PCT_UPPER)
    )
    display = text(visits.var["display"].iloc[column]) if "display" in visits.var else population
    obs = visits.obs
    found = []
    for name in dict.fromkeys(obs["usubjid"].astype(str)):
        if subject is not None and name != subject:
            continue
        rows = [row for row, owner in enumerate(obs["usubjid"].astype(str)) if owner == name]
        rows = [row for row in rows if not math.isnan(number(obs["study_day"].iloc[row]))]
        rows.sort(key=lambda row: number(obs["study_day"].iloc[row]))

        def limits(layer: str, rows: Sequence[int] = rows) -> tuple[float, ...]:
            return tuple(number(visits.layers[layer][row, column]) for row in rows) if layer in visits.layers else ()

        found.append(
            Series(
                population,
                display or population,
                name,
                text(obs["arm"].iloc[rows[0]]) if rows else "",
                tuple(str(obs["visit"].iloc[row]) for row in rows),
                tuple(axis_day(number(obs["study_day"].iloc[row])) for row in rows),
                tuple(number(matrix[row, column]) for row in rows),
                limits(low),
                limits(high),
            )
        )
    return found


def cmv_of_visits(visits: AnnData, *, subject: str | None = None) -> list[CmvSeries]:
    """CMV-DNA as it stands in ``obs`` of the visits object (results at flow visits only)."""
    obs = visits.obs
    found = []
    for name in dict.fromkeys(obs["usubjid"].astype(str)):
        if subject is not None and name != subject:
            continue
        rows = obs.loc[(obs["usubjid"].astype(str) == name).to_numpy()]
        points = []
        for day, kind, value, lower, upper in zip(
            *(rows[name] for name in ("study_day", "cmv_kind", "cmv_log10", "cmv_lower", "cmv_upper")), strict=True
        ):
            height = number(upper if text(kind) in CENSORED_KINDS else lower if text(kind) == "ALQ" else value)
            if text(kind) and not math.isnan(height) and not math.isnan(number(day)):
                points.append((axis_day(number(day)), height, text(kind)))
        censored = [height for _, height, kind in points if kind in CENSORED_KINDS]
        points.sort()
        found.append(
            CmvSeries(
                name,
                text(rows["arm"].iloc[0]),
                tuple(point[0] for point in points),
                tuple(point[1] for point in points),
                tuple(point[2] for point in points),
                min(censored) if censored else math.nan,
                next((text(unit) for unit in rows["cmv_unit"] if text(unit)), ""),
            )
        )
    return found


def cmv_of_table(virology: pd.DataFrame, anchors: dict[str, date], arms: dict[str, str]) -> list[CmvSeries]:
    """CMV-DNA of the virology table (all results, also unscheduled ones), one series a subject.

    ``anchors`` gives day 0 of each subject; a subject without one has no place on the time axis and is left out.
    """
    found = []
    for name, rows in virology.groupby("usubjid", sort=True):
        subject = str(name)
        if subject not in anchors:
            continue
        points = []
        for record in rows.to_dict("records"):
            kind = text(record["kind"])
            lloq, uloq = number(record["lloq"]), number(record["uloq"])
            if kind in CENSORED_KINDS:
                height = math.log10(lloq) if lloq > 0 else math.nan
            elif kind == "ALQ":
                height = math.log10(uloq) if uloq > 0 else math.nan
            else:
                height = number(record["log10_value"])
            day = days_between(anchors[subject], text(record["collected_dtc"]))
            if not (math.isnan(height) or math.isnan(day)):
                points.append((day, height, kind))
        points.sort()
        limits = {number(value) for value in rows["lloq"]} - {0.0}
        limits = {value for value in limits if not math.isnan(value)}
        found.append(
            CmvSeries(
                subject,
                arms.get(subject, ""),
                tuple(point[0] for point in points),
                tuple(point[1] for point in points),
                tuple(point[2] for point in points),
                math.log10(min(limits)) if limits else math.nan,
                next((text(unit) for unit in rows["unit"] if text(unit)), ""),
            )
        )
    return found


def treatment_bars(
    dosing: pd.DataFrame, conmeds: pd.DataFrame, subject: str, anchor: date | None, *, until: float
) -> list[Bar]:
    """Bars of study drugs, other antivirals and systemic steroids of a subject, cut at day ``until``.

    Nothing after ``until`` shows, so that a figure holds no later knowledge. A treatment without a day of its start has
    no place: :func:`undated_treatment` names it.
    """
    bars = []
    for label, kind, start_dtc, end_dtc in _treatments(dosing, conmeds, subject):
        start, end = days_between(anchor, start_dtc), days_between(anchor, end_dtc)
        if not math.isnan(start) and start <= until:
            bars.append(Bar(label, kind, start, until if math.isnan(end) else min(end, until)))
    order = {"il2": 0, "antiviral": 1, "steroid": 2}
    return sorted(bars, key=lambda bar: (order[bar.kind], bar.label, bar.start))


def undated_treatment(
    dosing: pd.DataFrame, conmeds: pd.DataFrame, subject: str, anchor: date | None
) -> tuple[str, ...]:
    """Treatments of a subject whose start is not known to the day, so that they have no bar."""
    found = [
        label
        for label, _, start_dtc, _ in _treatments(dosing, conmeds, subject)
        if math.isnan(days_between(anchor, start_dtc))
    ]
    return tuple(sorted(set(found)))


def _treatments(
    dosing: pd.DataFrame, conmeds: pd.DataFrame, subject: str
) -> Iterator[tuple[str, BarKind, object, object]]:
    """Label, kind, start and end of study drugs, other antivirals and systemic steroids of a subject."""
    from immunoprofile.clinical.courses import dose_tables
    from immunoprofile.clinical.doses import antiviral_name
    from immunoprofile.clinical.steroids import steroid_name

    local = set(dose_tables()["other_routes"])
    for table, concomitant in ((dosing, False), (conmeds, True)):
        for record in table.to_dict("records"):
            if text(record.get("usubjid")) != subject:
                continue
            drug = text(record["drug"])
            kind: BarKind = "il2" if drug == "IL2" else "antiviral"
            if concomitant:
                steroid = steroid_name(drug, record.get("atc"))
                if steroid and text(record.get("route")).upper() in local:
                    continue
                if not steroid and not antiviral_name(drug, record.get("atc")):
                    continue
                kind = "steroid" if steroid else "antiviral"
            dose = number(record.get("dose"))
            amount = "" if math.isnan(dose) else f" {dose:g} {text(record.get('unit'))} {text(record.get('freq'))}"
            label = f"{_DRUG_LABELS.get(drug, drug)}{amount}".rstrip()
            yield label, kind, record.get("start_dtc"), record.get("end_dtc")
