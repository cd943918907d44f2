"""Plain values that figures are drawn from: no AnnData, no tables, cheap to send to another process."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from immunoprofile import schema
from immunoprofile.errors import NotAvailableError
from immunoprofile.io.dates import days_since, iso_day
from immunoprofile.io.records import cells, records

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
    measure: Measure = "abs"


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
    known, others = cells(declared, "text"), sorted(set(cells(present, "text")))
    return tuple(dict.fromkeys(name for name in [*known, *others] if name))


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
    display = cells(visits.var["display"], "text")[column] if "display" in visits.var else population
    owned: dict[str, list[tuple[float, int, dict[str, Any]]]] = {}
    for row, one in enumerate(records(visits.obs, "obs")):
        own = owned.setdefault(one["usubjid"], [])
        if not math.isnan(one["study_day"]):
            own.append((one["study_day"], row, one))
    found = []
    for name, own in owned.items():
        if subject is not None and name != subject:
            continue
        own.sort(key=lambda place: place[0])

        def limits(layer: str, own: Sequence[tuple[float, int, Any]] = own) -> tuple[float, ...]:
            return (
                tuple(float(visits.layers[layer][row, column]) for _, row, _ in own) if layer in visits.layers else ()
            )

        found.append(
            Series(
                population,
                display or population,
                name,
                own[0][2]["arm"] if own else "",
                tuple(one["visit"] for _, _, one in own),
                tuple(axis_day(day) for day, _, _ in own),
                tuple(float(matrix[row, column]) for _, row, _ in own),
                limits(low),
                limits(high),
                measure=measure,
            )
        )
    return found


def cmv_of_visits(visits: AnnData, *, subject: str | None = None) -> list[CmvSeries]:
    """CMV-DNA as it stands in ``obs`` of the visits object (results at flow visits only)."""
    owned: dict[str, list[dict[str, Any]]] = {}
    for row in records(visits.obs, "obs"):
        owned.setdefault(row["usubjid"], []).append(row)
    found = []
    for name, rows in owned.items():
        if subject is not None and name != subject:
            continue
        points = []
        for row in rows:
            kind, day = row["cmv_kind"], axis_day(row["study_day"])
            height = row["cmv_upper" if kind in CENSORED_KINDS else "cmv_lower" if kind == "ALQ" else "cmv_log10"]
            if kind and not math.isnan(height) and not math.isnan(day):
                points.append((day, height, kind))
        censored = [height for _, height, kind in points if kind in CENSORED_KINDS]
        points.sort()
        found.append(
            CmvSeries(
                name,
                rows[0]["arm"],
                tuple(point[0] for point in points),
                tuple(point[1] for point in points),
                tuple(point[2] for point in points),
                min(censored) if censored else math.nan,
                next((row["cmv_unit"] for row in rows if row["cmv_unit"]), ""),
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
        own = records(rows, "virology")
        for record in own:
            kind = record["kind"]
            lloq, uloq = record["lloq"], record["uloq"]
            if kind in CENSORED_KINDS:
                height = math.log10(lloq) if lloq > 0 else math.nan
            elif kind == "ALQ":
                height = math.log10(uloq) if uloq > 0 else math.nan
            else:
                height = record["log10_value"]
            day = days_since(anchors[subject], record["collected_dtc"])
            if not (math.isnan(height) or math.isnan(day)):
                points.append((day, height, kind))
        points.sort()
        limits = {record["lloq"] for record in own if record["lloq"] > 0}
        found.append(
            CmvSeries(
                subject,
                arms.get(subject, ""),
                tuple(point[0] for point in points),
                tuple(point[1] for point in points),
                tuple(point[2] for point in points),
                math.log10(min(limits)) if limits else math.nan,
                next((record["unit"] for record in own if record["unit"]), ""),
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
        start, end = days_since(anchor, start_dtc), days_since(anchor, end_dtc)
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
        if math.isnan(days_since(anchor, start_dtc))
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
        for record in records(table, "conmeds" if concomitant else "dosing"):
            if record["usubjid"] != subject:
                continue
            drug = record["drug"]
            kind: BarKind = "il2" if drug == "IL2" else "antiviral"
            if concomitant:
                steroid = steroid_name(drug, record["atc"])
                if steroid and record["route"].upper() in local:
                    continue
                if not steroid and not antiviral_name(drug, record["atc"]):
                    continue
                kind = "steroid" if steroid else "antiviral"
            dose = record["dose"]
            amount = "" if math.isnan(dose) else f" {dose:g} {record['unit']} {record['freq']}"
            label = f"{_DRUG_LABELS.get(drug, drug)}{amount}".rstrip()
            yield label, kind, record["start_dtc"], record["end_dtc"]


def anchors_of(visits: AnnData) -> dict[str, date]:
    """Day 0 of each subject, from the draws whose date and study day are both known."""
    found: dict[str, date] = {}
    for row in records(visits.obs, "obs"):
        owner, dtc, day = row["usubjid"], row["collected_dtc"], row["study_day"]
        drawn, since = iso_day(dtc), axis_day(day)
        if owner not in found and drawn is not None and not math.isnan(since):
            found[owner] = drawn - timedelta(days=since)
    return found
