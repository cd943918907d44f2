"""What counting says of every population of a visit, and the background of its gate: rare_populations.csv."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from immunoprofile import schema
from immunoprofile.pp.rare_populations import background_p, rare_table
from immunoprofile.resources import populations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from immunoprofile.gate.study_gates import StudyGates
    from immunoprofile.profiling.background import Background, Found
    from immunoprofile.profiling.outcome import Chosen

NO_BACKGROUND = "no background measured"


def add_backgrounds(visits: AnnData, chosen: Chosen, found: Found) -> None:
    """Write the background of each value into the visits object.

    Parameters
    ----------
    visits
        Visits x populations.
    chosen
        The attempt used for each tube.
    found
        From `background.backgrounds`.

    Returns
    -------
    None; writes

    ``visits.layers['background_counts']``, ``['background_parent_counts']``
        events of the FMO control of the batch in the gate and in its parent; NaN where no background was measured.
    """
    layers = {name: np.full(visits.shape, np.nan) for name in (schema.BACKGROUND, schema.BACKGROUND_PARENT)}
    tubes = visits.var["tube"].astype(str)
    keys = zip(visits.obs["usubjid"].astype(str), visits.obs["visit"].astype(str), strict=True)
    counts, parents = (np.asarray(visits.layers[name]) for name in (schema.COUNTS, schema.PARENT_COUNTS))
    for i, (subject, visit) in enumerate(keys):
        for j, (population, tube) in enumerate(zip(map(str, visits.var_names), tubes, strict=True)):
            outcome = chosen.get((subject, visit, tube))
            if outcome is None:
                continue
            own = found.get((outcome.sample_id, population), ())
            one = weakest(counts[i, j], parents[i, j], own)
            if one is not None:
                layers[schema.BACKGROUND][i, j] = one.n
                layers[schema.BACKGROUND_PARENT][i, j] = one.n_parent
    for name, values in layers.items():
        visits.layers[name] = values


def weakest(n: float, n_parent: float, backgrounds: Sequence[Background]) -> Background | None:
    """Of the controls that lack one marker each, the one that leaves least of the count; None where none has events."""
    known = [one for one in backgrounds if one.control and one.n_parent > 0]
    p = [float(background_p(n, n_parent, background=one.n, background_parent=one.n_parent)) for one in known]
    ranked = sorted(zip(p, known, strict=True), key=lambda pair: (-pair[0], -pair[1].n / pair[1].n_parent))
    return ranked[0][1] if ranked else None


def rare_populations_table(visits: AnnData, gates: StudyGates, chosen: Chosen, found: Found) -> pd.DataFrame:
    """Counting statistics of every population of every visit in its reporting tube.

    Parameters
    ----------
    visits
        With the layers of `add_backgrounds`.
    gates, chosen, found
        The gates, the attempt used for each tube, and `background.backgrounds`.

    Returns
    -------
    pandas.DataFrame
        `schema.RARE_COLUMNS`, one row a visit and population. Steps on the way (singlets, live cells) and beads have
        none.
    """
    known = populations()
    beads = {strategy.beads for strategy in gates.values()}
    columns = [j for j, name in enumerate(visits.var_names)
               if name not in beads and not (name in known and known[name].technical)]  # fmt: skip
    names: list[tuple[Any, ...]] = []
    places: list[tuple[int, int]] = []
    keys = list(zip(visits.obs["usubjid"].astype(str), visits.obs["visit"].astype(str), strict=True))
    tubes, names_of = visits.var["tube"].astype(str).tolist(), visits.var_names.astype(str).tolist()
    counts, parents = (np.asarray(visits.layers[name]) for name in (schema.COUNTS, schema.PARENT_COUNTS))
    for i, (subject, visit) in enumerate(keys):
        for j in columns:
            population, tube = names_of[j], tubes[j]
            outcome = chosen.get((subject, visit, tube))
            if outcome is None or np.isnan(counts[i, j]):
                continue
            own = found.get((outcome.sample_id, population), ())
            deciding = weakest(float(counts[i, j]), float(parents[i, j]), own)
            control, note = _told(deciding, own, single=bool(gates.trees[tube][0].samples))
            names.append((subject, visit, outcome.sample_id, tube, population, gates[tube][population].parent,
                          control, note))  # fmt: skip
            places.append((i, j))
    rows, cols = (np.array([place[axis] for place in places], dtype=int) for axis in (0, 1))
    layers = (schema.COUNTS, schema.PARENT_COUNTS, schema.BACKGROUND, schema.BACKGROUND_PARENT)
    numbers = rare_table(*(np.asarray(visits.layers[name])[rows, cols] for name in layers))
    heads = ("usubjid", "visit", "sample_id", "tube", "population", "parent", "background_from", "note")
    table = pd.concat([pd.DataFrame(names, columns=list(heads)), numbers], axis=1)
    return table[list(schema.RARE_COLUMNS)]


def _told(deciding: Background | None, own: Sequence[Background], *, single: bool) -> tuple[str, str]:
    """The control that decides, and what is to be known of the others."""
    words = []
    if single:
        words.append("the gates of a workspace belong to its files, no control is counted in them")
    elif not own:
        words.append("the gate takes the brighter events of no marker: no control is a blank of it")
    for one in own:
        if one is deciding:
            continue
        if not one.control:
            words.append(one.reason)
        elif not one.n_parent:
            words.append(f"{one.control}, without {one.marker}: no event in the parent")
        else:
            words.append(f"without {one.marker}: {one.n} of {one.n_parent} ({one.control})")
    if deciding is None:
        return "", "; ".join((NO_BACKGROUND, *words))
    return deciding.control, "; ".join((f"without {deciding.marker}", *words))
