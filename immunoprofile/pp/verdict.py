"""Verdict on samples and visits: declared checks with limits from a file, and their summary.

FAIL is kept for technical faults. Few cells is the disease, not a fault: it becomes a flag, and the numbers enter the
statistics with their precision. What could not be judged is NOT_EVALUABLE, which is never a pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.io.records import Parts, cells, records
from immunoprofile.pp.flags import split_flags, update_flags
from immunoprofile.resources.checks import QualityRow, quality_checks, quality_table
from immunoprofile.schema import FLAGS, QUALITY_COLUMNS, UNS_QUALITY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray

    from immunoprofile.resources.checks import State, StudyLimits

TUBE_COLUMNS = ("usubjid", "visit", "tube", "sample_id", "population", "n", "n_parent")
"""Columns that ``verdict`` needs of its table of counts; ``parent`` is used where it is there."""


def verdict(
    adata: AnnData,
    tubes: pd.DataFrame,
    samples: pd.DataFrame | None = None,
    *,
    limits: StudyLimits | None = None,
    tube_limits: Mapping[str, StudyLimits] | None = None,
    il2_subjects: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Check every visit of the object; a pure function, see :func:`summarise` for what is written back.

    Parameters
    ----------
    adata
        Visits x populations after :func:`immunoprofile.pp.absolute`. Read: ``obs`` (``usubjid``, ``visit``,
        ``n_beads``, ``alc``, ``wbc``, ``cbc_differential`` (``manual`` or ``analyser``),
        ``hours_since_last_il2``, ``baseline_flag``), ``layers`` ``counts``,
        ``parent_counts``, ``abs``, ``abs_bead``, ``var`` ``is_key``.
    tubes
        Counts of *all* tubes, one row a sample x population, columns ``TUBE_COLUMNS`` (and ``parent``): the
        acquisitions that were chosen, one a tube and visit.
    samples
        The samples table (``sample_id``, ``specimen_type``, ``collected_dtc``, ``stained_dtc``, ``acquired_dtc``,
        ``bead_lot``, ``bead_expiry``); without it the times and the kind of specimen are unknown.
    limits
        Other limits, see :func:`quality_checks`.
    tube_limits
        Tube -> all limits in force for it, where it has limits of its own.
    il2_subjects
        Subjects that received IL-2. By default those of every arm in which the time since a dose is known of anybody.

    Returns
    -------
    DataFrame with ``schema.QUALITY_COLUMNS``; ``tube`` and ``sample_id`` are empty for checks of a visit. A check of
    populations is made in every tube that has them; when no tube of the visit has them, one row says NOT_EVALUABLE.

    Raises
    ------
    AnalysisError
        ``tubes`` lacks a column, or names one population of a sample twice.
    """
    from immunoprofile.pp._visit_checks import Visit, visit_rows

    if missing := [name for name in TUBE_COLUMNS if name not in tubes.columns]:
        raise AnalysisError(f"columns are missing: {', '.join(missing)}", where="tubes")
    twice = tubes.duplicated(["sample_id", "population"])
    if twice.any():
        first = tubes[twice].iloc[0]
        raise AnalysisError(f"{first['population']} of sample {first['sample_id']} stands twice", where="tubes")
    checks = quality_checks(limits)
    of_tube = {tube: quality_checks(own) for tube, own in (tube_limits or {}).items()}
    treated = _treated(adata, il2_subjects)
    by_visit = Parts(tubes, "usubjid", "visit")
    of_sample = {} if samples is None else {row["sample_id"]: row for row in reversed(records(samples, "samples"))}
    # Taken out once: AnnData looks at its shape whenever a layer is asked for.
    layers = {name: np.asarray(values) for name, values in adata.layers.items()}
    rows: list[QualityRow] = []
    for number, row in enumerate(records(adata.obs, "obs")):
        key = (row["usubjid"], row["visit"])
        visit = Visit(adata, number, row, by_visit.of(*key), of_sample, received_il2=key[0] in treated, layers=layers)

        def add(
            name: str,
            value: float,
            *,
            of: str = "",
            tube: str = "",
            sample_id: str = "",
            standard_error: float = 0.0,
            unknown_flag: str = "",
            key: tuple[str, str] = key,
        ) -> None:
            found = of_tube.get(tube, checks)[name].judge(
                value, standard_error=standard_error, unknown_flag=unknown_flag
            )
            rows.append(found.row(*key, tube, sample_id, of=of))

        visit_rows(visit, add)
    return quality_table(rows)


def summarise(adata: AnnData, quality: pd.DataFrame) -> None:
    """Write the outcome of the checks into the visits object.

    Parameters
    ----------
    adata
        Visits x populations.
    quality
        Rows of :func:`verdict`, and of other rooms with the same columns.

    Returns
    -------
    None; writes

    ``adata.obs['qc_status']``
        FAIL when any check failed, else WARN when any warned, else PASS when any passed, else NOT_EVALUABLE. A check
        that could not be evaluated is never a pass, and alone makes no warning.
    ``adata.obs['flags']``
        the codes of the checks joined to the codes that were there.
    ``adata.uns['quality']``
        the table.
    """
    if missing := [name for name in QUALITY_COLUMNS if name not in quality.columns]:
        raise AnalysisError(f"columns are missing: {', '.join(missing)}", where="quality")
    owned = {check.flag for check in quality_checks().values() if check.flag}
    owned |= {"NO_CBC", "RERUN", "TIME_NOT_ASSESSABLE", "COMP_ASK", "OVERRIDE"}
    # BEADS_LOW also comes from pp.absolute; both mean the same number, the union is right
    owned.discard("BEADS_LOW")
    states: dict[tuple[str, str], set[str]] = {}
    flags: dict[tuple[str, str], set[str]] = {}
    table = quality[["usubjid", "visit", "state", "flag"]].astype({"usubjid": str, "visit": str})
    for subject, visit, state, flag in table.itertuples(index=False):
        states.setdefault((subject, visit), set()).add(state)
        flags.setdefault((subject, visit), set()).update(split_flags(flag))
    keys = list(zip(adata.obs["usubjid"].astype(str), adata.obs["visit"].astype(str), strict=True))
    adata.obs["qc_status"] = [worst_state(states.get(key, set())) for key in keys]
    update_flags(adata, [sorted(flags.get(key, set()) & FLAGS.keys()) for key in keys], owned=owned)
    adata.uns[UNS_QUALITY] = quality.reset_index(drop=True)


def worst_state(states: set[str]) -> State:
    """FAIL > WARN > PASS; NOT_EVALUABLE only when nothing else was found."""
    order: tuple[State, ...] = ("FAIL", "WARN", "PASS")
    return next((state for state in order if state in states), "NOT_EVALUABLE")


PANEL_CHECKS = ("nk_without_monocytes",)
"""Checks that the design of a panel decides: no sample of it could pass, the flag tells it, no tube is judged by it."""
_TUBE_ORDER: tuple[State, ...] = ("FAIL", "WARN", "NOT_EVALUABLE", "PASS")


def tube_states(quality: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    """Status of every tube: (subject, visit, tube) -> the worst state of the checks that judge it.

    Parameters
    ----------
    quality
        Table of checks, ``schema.QUALITY_COLUMNS``.

    Returns
    -------
    dict
        FAIL before WARN before NOT_EVALUABLE before PASS: a check that the tube should have allowed and that could not
        be made is no pass. Checks that the panel rules out for every sample (``PANEL_CHECKS``) stand as flags in the
        table and judge no tube; one that has nothing else is NOT_EVALUABLE. Checks of the visit as a whole are left
        out, and so is a tube without any row.
    """
    judged: dict[tuple[str, str, str], set[str]] = {}
    columns = (cells(quality[name], "text") for name in ("usubjid", "visit", "tube", "check", "state"))
    for subject, visit, tube, check, state in zip(*columns, strict=True):
        if tube:
            own = judged.setdefault((subject, visit, tube), set())
            if check not in PANEL_CHECKS:
                own.add(state)
    return {
        place: next((state for state in _TUBE_ORDER if state in found), "NOT_EVALUABLE")
        for place, found in judged.items()
    }


def _treated(adata: AnnData, il2_subjects: Sequence[str] | None) -> set[str]:
    if il2_subjects is not None:
        return {str(subject) for subject in il2_subjects}
    if "hours_since_last_il2" not in adata.obs:
        return set()
    known = adata.obs["hours_since_last_il2"].notna()
    arms = adata.obs["arm"].astype(str)
    return set(adata.obs.loc[arms.isin(arms[known]), "usubjid"].astype(str))


_FAILED_COLUMNS = ("check", "tube", "usubjid", "visit")
ABSOLUTE_CHECKS = ("lymphocytes_plausible",)
"""Checks of cells/uL: percentages do not rest on them."""


def failed_rows(adata: AnnData, population: str, *, measure: str = "pct_parent") -> NDArray[np.bool_]:
    """Rows in which a tube that a population rests on failed for a technical reason.

    Parameters
    ----------
    adata
        Visits x populations after :func:`summarise`.
    population
        Population id.
    measure
        ``pct_parent`` rests on the reporting tube; ``abs`` also on the tube of the population that the count comes
        from.

    Returns
    -------
    numpy.ndarray
        bool, one value a row. A failure of one tube does not touch what the other tubes of the visit measured; a failed
        check of the visit as a whole touches everything. Without a table of checks ``obs['qc_status']`` decides.
    """
    quality = adata.uns.get(UNS_QUALITY)
    if quality is None:
        if "qc_status" not in adata.obs:
            return np.zeros(adata.n_obs, dtype=bool)
        return np.asarray((adata.obs["qc_status"].astype(str) == "FAIL").to_numpy(), dtype=bool)
    tubes = {"", str(adata.var.loc[population, "tube"])}
    anchor = str(adata.var.loc[population, "abs_anchor"]) if "abs_anchor" in adata.var else ""
    if measure == "abs" and anchor:
        tubes.add(str(adata.var.loc[anchor, "tube"]))
    # Values instead of tables: an analysis asks this for every endpoint and gating.
    failed = np.flatnonzero((quality["state"] == "FAIL").to_numpy(dtype=bool))
    spared = () if measure == "abs" else ABSOLUTE_CHECKS
    if not len(failed):
        return np.zeros(adata.n_obs, dtype=bool)
    found = zip(*(cells(quality[name].iloc[failed], "text") for name in _FAILED_COLUMNS), strict=True)
    places = {(usubjid, visit) for check, tube, usubjid, visit in found if tube in tubes and check not in spared}
    rows = zip(cells(adata.obs["usubjid"], "text"), cells(adata.obs["visit"], "text"), strict=True)
    return np.array([row in places for row in rows], dtype=bool)
