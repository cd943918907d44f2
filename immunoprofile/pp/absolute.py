"""Cells per microlitre on the visits object: beads and blood count side by side, one method a subject."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.io.records import cells
from immunoprofile.pp.concentration import (
    CV_BEADS,
    CV_BLOOD_COUNT,
    CV_PIPETTING,
    ENOUGH_BEADS,
    MINIMUM_BEADS,
    Concentration,
    analyser_alc,
    bead_concentration,
    bridge,
    cells_per_ul,
    dual_platform,
    volumetric_concentration,
)
from immunoprofile.pp.flags import update_flags
from immunoprofile.schema import (
    ABS,
    ABS_BEAD,
    ABS_CV,
    ABS_DUAL,
    ABS_LOWER,
    ABS_UPPER,
    ANCHOR_COUNTS,
    COUNTS,
    PCT_LEUKOCYTES,
    PCT_LYMPHOCYTES,
    UNS_STUDY,
)

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]

__all__ = [
    "Concentration",
    "absolute",
    "analyser_alc",
    "bead_concentration",
    "bridge",
    "cells_per_event",
    "cells_per_ul",
    "dual_platform",
    "volumetric_concentration",
]

AbsoluteMethod = Literal["auto", "bead", "volumetric", "dual"]

_FLAGS = ("BEADS_LOW", "NO_BEADS", "ABS_METHOD_SWITCHED")


def absolute(
    adata: AnnData,
    *,
    method: AbsoluteMethod = "auto",
    cv_pipetting: float = CV_PIPETTING,
    cv_beads: float = CV_BEADS,
    cv_blood_count: float = CV_BLOOD_COUNT,
    confidence: float = 0.95,
) -> None:
    """Cells/uL of every population from beads, drawn volume and blood count, bridged to the other tubes.

    Parameters
    ----------
    adata
        Visits x populations with ``layers['counts']``, ``var['tube']``, ``var['abs_anchor']``,
        ``uns['study']['count_tube']`` and, for populations of other tubes, ``layers['anchor_counts']``. Beads come from
        ``obs`` ``n_beads``, ``beads_per_tube``, ``blood_volume_ul``, ``dilution`` (missing = not diluted) and, where
        the column exists, ``bead_lot``; the volume of a volumetric cytometer from ``acquired_volume_ul`` with
        ``dilution``, where a visit has no beads per tube; the blood count from ``obs`` ``alc`` and ``wbc`` (cells/uL)
        with the layers ``pct_lymphocytes`` and ``pct_leukocytes``.
    method
        ``auto`` takes, for each subject as a whole, beads when every visit has them, else the blood count when every
        visit has one, else the one that more visits have (beads when equal), and leaves the other visits empty. A
        drawn volume goes before the blood count in the same way and after beads. ``bead``, ``volumetric`` and
        ``dual`` name the method for all subjects.
    cv_pipetting, cv_beads, cv_blood_count
        CV of the pipetted blood (or drawn) volume, of the beads in a tube, and of the blood count, fractions.
    confidence
        Coverage of the limits.

    Returns
    -------
    None; writes

    ``adata.layers['abs_bead']``, ``adata.layers['abs_dual']``
        cells/uL by either method, NaN where it is not possible.
    ``adata.layers['abs']``, ``['abs_cv']``, ``['abs_lower']``, ``['abs_upper']``
        cells/uL by the method of the subject, its CV in per cent and its limits (counting, pipetting, beads
        and blood count only).
    ``adata.obs['abs_method']``
        ``bead``, ``volumetric``, ``dual_lymph``, ``dual_wbc`` or ``none``.
    ``adata.obs['flags']``
        ``BEADS_LOW`` below 1,000 beads (below 500 there is no count), ``NO_BEADS`` where the study uses beads and a
        visit lacks their record, ``ABS_METHOD_SWITCHED`` where it uses beads and the subject had to change to the
        blood count or the drawn volume.

    Raises
    ------
    AnalysisError
        An input named above is missing from the object, an anchor is no population, or ``method='bead'`` is asked of
        separated cells (PBMC).
    """
    if method not in ("auto", "bead", "volumetric", "dual"):
        raise AnalysisError(
            f"method {method!r} is not known", where="pp.absolute", todo="one of: auto, bead, volumetric, dual"
        )
    in_count_tube = _in_count_tube(adata)
    whole_blood = _whole_blood(adata)
    if method in ("bead", "volumetric") and not whole_blood.all():
        rows = ", ".join(adata.obs_names[~whole_blood][:5])
        raise AnalysisError(
            f"{'counting beads give' if method == 'bead' else 'a drawn volume gives'} no concentration in separated "
            f"cells ({rows})",
            where="obs specimen_type",
            todo="use method='dual' with the blood count of the same draw",
        )
    beads = _bead_series(adata, in_count_tube, whole_blood, (cv_pipetting, cv_beads), confidence)
    drawn = _volumetric_series(adata, in_count_tube, whole_blood, cv_pipetting, confidence)
    by_lymphocytes = _dual_series(
        adata, in_count_tube, ("alc", PCT_LYMPHOCYTES, "lymphocytes"), cv_blood_count, confidence
    )
    by_leukocytes = _dual_series(
        adata, in_count_tube, ("wbc", PCT_LEUKOCYTES, "leukocytes"), cv_blood_count, confidence
    )

    subjects = adata.obs["usubjid"].astype(str).to_numpy()
    use_lymphocytes = _prefer_first(subjects, _has_values(by_lymphocytes), _has_values(by_leukocytes))
    dual = _choose(use_lymphocytes, by_lymphocytes, by_leukocytes)
    if method == "auto":
        use_drawn = _prefer_first(subjects, _has_values(drawn), _has_values(dual)) & _any_of(
            subjects, _has_values(drawn)
        )
        others = _choose(use_drawn, drawn, dual)
        use_beads = _prefer_first(subjects, _has_values(beads), _has_values(others))
    else:
        use_beads = np.full(adata.n_obs, method == "bead")
        use_drawn = np.full(adata.n_obs, method == "volumetric")
        others = _choose(use_drawn, drawn, dual)
    chosen = _choose(use_beads, beads, others)

    adata.layers[ABS_BEAD], adata.layers[ABS_DUAL] = beads.value, dual.value
    adata.layers[ABS], adata.layers[ABS_CV] = chosen.value, chosen.cv
    adata.layers[ABS_LOWER], adata.layers[ABS_UPPER] = chosen.lower, chosen.upper
    names = np.where(use_lymphocytes, "dual_lymph", "dual_wbc")
    names = np.where(use_beads, "bead", np.where(use_drawn, "volumetric", names))
    adata.obs["abs_method"] = np.where(_has_values(chosen), names, "none")

    n_beads = _obs_floats(adata, "n_beads")
    recorded = ~np.isnan(n_beads) & _bead_record(adata)
    # Also where every record is incomplete: a count of another method is not what the study meant to have.
    study_has_beads = bool((recorded | ~np.isnan(_obs_floats(adata, "beads_per_tube"))).any())
    codes = [
        [
            "BEADS_LOW" if recorded[row] and n_beads[row] < ENOUGH_BEADS else "",
            "NO_BEADS" if study_has_beads and not recorded[row] else "",
            "ABS_METHOD_SWITCHED" if method == "auto" and study_has_beads and not use_beads[row] else "",
        ]
        for row in range(adata.n_obs)
    ]
    update_flags(adata, codes, owned=_FLAGS)


def cells_per_event(adata: AnnData) -> Floats:
    """Cells/uL that one gated event stands for, visits x populations; NaN where ``abs`` is missing.

    It turns the half event that stands for a count of zero into cells/uL. Needs the slots that
    :func:`absolute` writes.
    """
    counts = np.asarray(adata.layers[COUNTS], dtype=np.float64)
    values = np.asarray(adata.layers[ABS], dtype=np.float64)
    in_count_tube = _in_count_tube(adata)
    with np.errstate(invalid="ignore", divide="ignore"):
        each = np.where((counts > 0) & (values > 0), values / counts, np.nan)
    # all populations of the count tube share one factor per visit: take it where most events were counted
    factor = np.full(adata.n_obs, np.nan)
    for row in range(adata.n_obs):
        usable = in_count_tube & ~np.isnan(each[row])
        if usable.any():
            factor[row] = each[row, np.flatnonzero(usable)[np.argmax(counts[row, usable])]]
    result: Floats = each
    result = np.where(np.isnan(result) & in_count_tube[None, :], factor[:, None], result)
    anchors, anchor_counts = _anchor_index(adata), _anchor_counts(adata)
    for column in np.flatnonzero(~in_count_tube & (anchors >= 0)):
        events = anchor_counts[:, column]
        bridged = values[:, anchors[column]] / np.where(events > 0, events, np.nan)
        missing = np.isnan(result[:, column])
        result[missing, column] = np.where(bridged > 0, bridged, np.nan)[missing]
    return np.where(np.isnan(values), np.nan, result)


def _in_count_tube(adata: AnnData) -> Mask:
    study = adata.uns.get(UNS_STUDY, {})
    if "count_tube" not in study:
        raise AnalysisError(
            "the study does not say which tube is counted",
            where="uns['study']['count_tube']",
            todo="set it to the tube with counts: true, or to an empty text when there is none",
        )
    missing = [name for name in ("tube", "abs_anchor") if name not in adata.var]
    if missing:
        raise AnalysisError(f"columns are missing: {', '.join(missing)}", where="var")
    tube = study["count_tube"]
    if not tube:
        return np.zeros(adata.n_vars, dtype=bool)
    return np.asarray(adata.var["tube"].astype(str).to_numpy() == str(tube))


def _whole_blood(adata: AnnData) -> Mask:
    if "specimen_type" not in adata.obs:
        raise AnalysisError("the specimen is not known", where="obs specimen_type")
    return np.asarray(adata.obs["specimen_type"].astype(str).str.startswith("WB").to_numpy())


def _bead_record(adata: AnnData) -> Mask:
    """Rows whose count tube has all that the bead formula needs besides the events."""
    known = ~np.isnan(_obs_floats(adata, "beads_per_tube")) & ~np.isnan(_obs_floats(adata, "blood_volume_ul"))
    if "bead_lot" in adata.obs:
        lot: pd.Series[str] = adata.obs["bead_lot"].astype("string").fillna("")
        known &= (lot.str.strip() != "").to_numpy(dtype=bool)
    return np.asarray(known)


def _bead_series(
    adata: AnnData, in_count_tube: Mask, whole_blood: Mask, cvs: tuple[float, float], confidence: float
) -> Concentration:
    """Beads; ``cvs`` are those of pipetting and of the beads in a tube."""
    counts = np.asarray(adata.layers[COUNTS], dtype=np.float64)
    usable = whole_blood & _bead_record(adata)
    n_beads = np.where(usable, _obs_floats(adata, "n_beads"), np.nan)
    dilution = _obs_floats(adata, "dilution")
    direct = bead_concentration(
        np.where(in_count_tube[None, :], counts, np.nan),
        np.where(n_beads >= MINIMUM_BEADS, n_beads, np.nan)[:, None],
        beads_per_tube=_obs_floats(adata, "beads_per_tube")[:, None],
        volume_ul=_obs_floats(adata, "blood_volume_ul")[:, None],
        dilution=np.where(np.isnan(dilution), 1.0, dilution)[:, None],
        cv_pipetting=cvs[0],
        cv_beads=cvs[1],
        confidence=confidence,
    )
    return _bridged(adata, direct, in_count_tube, confidence)


def _volumetric_series(
    adata: AnnData, in_count_tube: Mask, whole_blood: Mask, cv_volume: float, confidence: float
) -> Concentration:
    """Volume of a volumetric cytometer; a tube with beads is counted by its beads."""
    counts = np.asarray(adata.layers[COUNTS], dtype=np.float64)
    usable = whole_blood & np.isnan(_obs_floats(adata, "beads_per_tube"))
    dilution = _obs_floats(adata, "dilution")
    direct = volumetric_concentration(
        np.where(in_count_tube[None, :], counts, np.nan),
        np.where(usable, _obs_floats(adata, "acquired_volume_ul"), np.nan)[:, None],
        dilution=np.where(np.isnan(dilution), 1.0, dilution)[:, None],
        cv_volume=cv_volume,
        confidence=confidence,
    )
    return _bridged(adata, direct, in_count_tube, confidence)


def _dual_series(
    adata: AnnData, in_count_tube: Mask, blood: tuple[str, str, str], cv_blood_count: float, confidence: float
) -> Concentration:
    """Blood count x share of its denominator in the count tube; a population that is no part of it has none.

    ``blood`` names the column of obs, the layer of the shares, and the denominator.
    """
    blood_column, layer, denominator = blood
    counts = np.where(in_count_tube[None, :], np.asarray(adata.layers[COUNTS], dtype=np.float64), np.nan)
    total = np.full(adata.n_obs, np.nan)
    if denominator in adata.var_names and in_count_tube[adata.var_names.get_loc(denominator)]:
        total = counts[:, adata.var_names.get_loc(denominator)]
    totals = np.broadcast_to(total[:, None], counts.shape)
    if layer in adata.layers:
        share = np.asarray(adata.layers[layer], dtype=np.float64)
        # the layer says which populations are part of the denominator, and gives it where it has no column
        from_share = np.where(share > 0, 100 * counts / np.where(share > 0, share, np.nan), np.nan)
        totals = np.where(np.isnan(totals), from_share, totals)
        counts = np.where(np.isnan(share), np.nan, counts)
    else:
        part = np.array([_is_part(adata, name, denominator) for name in adata.var_names])
        counts = np.where(part[None, :], counts, np.nan)
    counts = np.where(counts <= totals, counts, np.nan)
    known = np.broadcast_to(_obs_floats(adata, blood_column)[:, None], counts.shape)
    direct = dual_platform(counts, totals, alc=known, cv_analyser=cv_blood_count, confidence=confidence)
    return _bridged(adata, direct, in_count_tube, confidence)


def _is_part(adata: AnnData, name: str, ancestor: str) -> bool:
    parents = adata.var["parent"].astype(str).to_dict()
    seen: set[str] = set()
    while name not in seen:
        if name == ancestor:
            return True
        seen.add(name)
        name = parents.get(name, name)
    return False


def _bridged(adata: AnnData, direct: Concentration, in_count_tube: Mask, confidence: float) -> Concentration:
    """Fill the columns of the other tubes through their anchor."""
    counts = np.asarray(adata.layers[COUNTS], dtype=np.float64)
    anchors, anchor_counts = _anchor_index(adata), _anchor_counts(adata)
    columns = np.flatnonzero(~in_count_tube & (anchors >= 0))
    filled = Concentration(*(np.array(part) for part in direct))
    if len(columns):
        origin = Concentration(*(part[:, anchors[columns]] for part in direct))
        bridged = bridge(origin, counts[:, columns], anchor_counts[:, columns], confidence=confidence)
        for target, part in zip(filled, bridged, strict=True):
            target[:, columns] = part
    return filled


def _anchor_index(adata: AnnData) -> NDArray[np.intp]:
    """Column of each population's anchor, -1 for none."""
    names = np.array(cells(adata.var["abs_anchor"], "text"), dtype=object)
    unknown = sorted({name for name in names if name and name not in adata.var_names})
    if unknown:
        raise AnalysisError(f"anchor {', '.join(unknown)} is no population of the object", where="var abs_anchor")
    return np.array([adata.var_names.get_loc(name) if name else -1 for name in names], dtype=np.intp)


def _anchor_counts(adata: AnnData) -> Floats:
    if ANCHOR_COUNTS in adata.layers:
        return np.asarray(adata.layers[ANCHOR_COUNTS], dtype=np.float64)
    return np.full(adata.shape, np.nan)


def _obs_floats(adata: AnnData, name: str) -> Floats:
    """A numeric obs column as floats, all missing when the object has no such column."""
    if name not in adata.obs:
        return np.full(adata.n_obs, np.nan)
    return np.asarray(adata.obs[name].to_numpy(dtype=np.float64, na_value=np.nan))


def _has_values(series: Concentration) -> Mask:
    return np.asarray((~np.isnan(series.value)).any(axis=1))


def _prefer_first(subjects: NDArray[np.object_], first: Mask, second: Mask) -> Mask:
    """Rows of the subjects that use the first method: it has all rows, or second lacks some and has no more rows."""
    use = np.zeros(len(subjects), dtype=bool)
    for subject in np.unique(subjects):
        rows = subjects == subject
        complete_first, complete_second = bool(first[rows].all()), bool(second[rows].all())
        use[rows] = complete_first or (not complete_second and first[rows].sum() >= second[rows].sum())
    return use


def _any_of(subjects: NDArray[np.object_], rows: Mask) -> Mask:
    """Rows of the subjects that have any of the rows."""
    return np.isin(subjects, np.unique(subjects[rows]))


def _choose(use_first: Mask, first: Concentration, second: Concentration) -> Concentration:
    return Concentration(*(np.where(use_first[:, None], a, b) for a, b in zip(first, second, strict=True)))
