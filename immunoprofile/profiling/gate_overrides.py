"""Gates that a person drew anew, as a run tells them: ``gate_overrides.csv``, exceptions, and flags of visits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from immunoprofile.gate.data_units import about_in_data_units
from immunoprofile.gate.overrides_in_force import hanging_on
from immunoprofile.io.records import records
from immunoprofile.pp.flags import split_flags, update_flags

if TYPE_CHECKING:
    import anndata

    from immunoprofile.gate.overrides import Override
    from immunoprofile.gate.strategy import Dimension, Gate, Strategy
    from immunoprofile.gate.study_gates import StudyGates
    from immunoprofile.io.exceptions import Exceptions
    from immunoprofile.profiling.outcome import Chosen
    from immunoprofile.study import Study

FLAG: Final = "GATE_OVERRIDE"
COLUMNS: Final = (
    "row", "tube", "population", "sample_id", "usubjid", "visit", "in_force", "author", "time", "reason", "n_parent",
    "n_before", "n_after", "before", "after", "affects",
)  # fmt: skip


def override_table(study: Study, gates: StudyGates) -> pd.DataFrame:
    """Every row of the ledger with what it is about.

    Parameters
    ----------
    study, gates
        The study, and its gates with the ledger.

    Returns
    -------
    pandas.DataFrame
        `COLUMNS`, one row a row of the ledger. ``row`` is its number; ``in_force`` is False where a later row drew the
        gate again or took it back; ``before`` and ``after`` are the gates in units of the data; ``affects`` names the
        populations whose events depend on the gate.
    """
    samples = {row["sample_id"]: row for row in records(study.samples, "samples")}
    rows = []
    for number, one in enumerate(gates.ledger.overrides, 1):
        place = samples[one.sample]
        current = any(one is other for other in gates.in_force(one.sample, one.tube))
        known = gates[one.tube] if one.population in gates[one.tube] else None
        affects = () if known is None or not current else hanging_on(known, [one.population])
        rows.append((
            number, one.tube, one.population, one.sample, place["usubjid"], place["visit"], current,
            one.author, one.time, one.reason, one.n_parent, one.n_before, one.n_after, in_words(one, one.before),
            "taken back: the gate of the strategy" if one.after is None else in_words(one, one.after),
            "; ".join(affects),
        ))  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def in_words(override: Override, gate: Gate) -> str:
    """A gate in units of the data, for people; the ledger holds every digit."""
    scales = dict(override.scales)

    def place(dimension: Dimension, value: float) -> str:
        return f"{about_in_data_units(scales.get(dimension.scale or ''), value):.6g}"

    def limits(dimension: Dimension) -> Iterator[str]:
        if dimension.minimum is not None:
            yield f"{dimension.marker} at least {place(dimension, dimension.minimum)}"
        if dimension.maximum is not None:
            yield f"{dimension.marker} below {place(dimension, dimension.maximum)}"

    if gate.kind == "polygon":
        x, y = gate.dimensions
        corners = " ".join(f"({place(x, one)}, {place(y, two)})" for one, two in gate.vertices)
        words = f"polygon of {x.marker}, {y.marker}: {corners}"
    elif gate.ellipsoid is not None:
        centre = ", ".join(
            f"{axis.marker} {place(axis, one)}" for axis, one in zip(gate.dimensions, gate.ellipsoid.mean, strict=True)
        )
        words = f"ellipsoid around {centre}"
    else:
        words = ", ".join(words for dimension in gate.dimensions for words in limits(dimension))
    return f"outside of {words}" if gate.complement else words


def note_gate_overrides(
    table: pd.DataFrame, study: Study, gates: StudyGates, notes: Exceptions, *, placed: Mapping[str, Strategy]
) -> None:
    """A row of exceptions.csv for each override in force, and one where the gate that it replaced is another one now.

    Parameters
    ----------
    table
        From `override_table`.
    study, gates
        The study and its gates.
    notes
        Takes the rows.
    placed
        Sample -> gates that were placed for it.
    """
    files = dict(zip(study.samples["sample_id"].astype(str), study.samples["fcs_path"].astype(str), strict=True))
    for row in table[table["in_force"].astype(bool)].to_dict("records"):
        one = gates.ledger.overrides[row["row"] - 1]
        place: Mapping[str, Any] = {
            "table": "gating/overrides.jsonl", "row": row["row"], "usubjid": row["usubjid"], "visit": row["visit"],
            "sample_id": one.sample, "file": files[one.sample],
        }  # fmt: skip
        counts = f"{one.n_before} -> {one.n_after} of {one.n_parent} events" if one.n_parent is not None else ""
        message = f"gate {one.place} was drawn anew by {one.author}: {one.reason} ({counts}; affects {row['affects']})"
        notes.add("note", "GATE_OVERRIDDEN", message, **place)
        earlier = [old.after for old in gates.ledger.overrides[: row["row"] - 1]
                   if (old.sample, old.place) == (one.sample, one.place)]  # fmt: skip
        now = placed.get(one.sample, gates[one.tube])[one.population]
        if not any(_same_place(one.before, other) for other in (now, *earlier) if other is not None):
            notes.add("warning", "OVERRIDE_OF_ANOTHER_GATE",
                      f"gate {one.place} is another one now than when it was drawn anew", **place,
                      action="look whether the override is still meant; draw it again, or take it back")  # fmt: skip


def _same_place(gate: Gate, other: Gate) -> bool:
    """Whether two gates hold the same events, whatever their template says of methods."""
    return all(getattr(gate, name) == getattr(other, name)
               for name in ("kind", "dimensions", "vertices", "ellipsoid", "complement"))  # fmt: skip


def flag_visits(visits: anndata.AnnData, table: pd.DataFrame, chosen: Chosen) -> None:
    """Flag the visits whose numbers come from an override. Writes ``visits.obs['flags']``."""
    drawn = set(table.loc[table["in_force"].astype(bool), "sample_id"])
    flagged = {(subject, visit) for (subject, visit, _), outcome in chosen.items() if outcome.sample_id in drawn}
    keys = zip(visits.obs["usubjid"].astype(str), visits.obs["visit"].astype(str), strict=True)
    update_flags(visits, [split_flags(FLAG) if key in flagged else () for key in keys], owned=(FLAG,))
