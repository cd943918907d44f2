"""Cells of one file as AnnData: events x channels, with a Boolean column per population."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from immunoprofile import schema
from immunoprofile.io.markers import is_event_parameter, is_scatter, same_marker

if TYPE_CHECKING:
    import anndata
    from numpy.typing import NDArray

    from immunoprofile.gate.evaluate import GatedSample
    from immunoprofile.io.fcs import Channel


def cells_of(
    gated: GatedSample,
    sample_id: str,
    *,
    events: NDArray[np.int64] | None = None,
    flags: Mapping[str, NDArray[np.bool_]] | None = None,
) -> anndata.AnnData:
    """Cells object of one gated file.

    Parameters
    ----------
    gated
        The file with its gates.
    sample_id
        Goes into ``obs`` and the names of the cells.
    events
        Positions of the events to take, in order; all by default.
    flags
        Quality flags of every event, check -> True where flagged; they become ``qc_<check>`` and ``qc_pass`` in
        ``obs``.

    Returns
    -------
    anndata.AnnData
        ``X`` float32: fluorescence compensated and on the scale of its gates, without gates on the one that the
        template declares for it (``marker_scales``, else ``default_scale``, else its first logicle); scatter and the
        event length of a mass cytometer divided by their range, Time in seconds. ``layers``: ``raw`` and ``comp`` on
        the linear scale. ``obs``: ``sample_id``, ``time`` (s), ``gate_<population>`` and ``population`` (the deepest).
        ``uns``: ``spillover``, ``transform``, ``immunoprofile``.
    """
    import anndata
    import pandas as pd

    sample = gated.sample
    chosen = np.arange(sample.n_events) if events is None else np.asarray(events, dtype=np.int64)
    raw = sample.events[chosen]
    comp = gated.compensated[chosen]
    scales = _scale_names(gated)
    known = dict(gated.strategy.scales)
    values = np.empty(comp.shape, dtype=np.float32)
    for column, channel in enumerate(sample.channels):
        name = scales[column]
        if name == "range":
            values[:, column] = comp[:, column] / channel.pnr if channel.pnr > 0 else comp[:, column]
        elif name == "none":
            values[:, column] = comp[:, column]
        else:
            values[:, column] = known[name].apply(comp[:, column])
    names = [f"{sample_id}_{event}" for event in chosen]
    obs = pd.DataFrame({"sample_id": pd.Categorical([sample_id] * len(chosen))}, index=pd.Index(names, name=None))
    times = [i for i, channel in enumerate(sample.channels) if channel.kind == "time"]
    obs["time"] = comp[:, times[0]] if times else np.nan
    for population in gated.strategy.populations:
        obs[f"{schema.GATE_PREFIX}{population}"] = gated.masks[population][chosen]
    obs["population"] = _deepest(gated, chosen)
    for name, mask in sorted((flags or {}).items()):
        obs[f"qc_{name}"] = mask[chosen]
    if flags:
        obs["qc_pass"] = ~np.logical_or.reduce([mask[chosen] for mask in flags.values()])
    in_matrix = set(gated.spillover.channels) if gated.spillover is not None else set()
    var = pd.DataFrame(
        {
            "channel": [c.pnn for c in sample.channels],
            "pnn": [c.pnn for c in sample.channels],
            "pns": [c.pns for c in sample.channels],
            "marker_type": [c.kind for c in sample.channels],
            "pnr": [c.pnr for c in sample.channels],
            "comp": [c.pnn in in_matrix for c in sample.channels],
            "scale": scales,
        },
        index=_unique([c.marker for c in sample.channels]),
    )
    result = anndata.AnnData(X=values, obs=obs, var=var)
    result.layers[schema.LAYER_RAW] = raw.astype(np.float32)
    result.layers[schema.LAYER_COMP] = comp.astype(np.float32)
    if gated.spillover is not None:
        result.uns["spillover"] = {
            "matrix": gated.spillover.matrix,
            "channels": list(gated.spillover.channels),
            "source": gated.spillover.source,
        }
    applied = "compensated" if gated.spillover is not None else "as recorded"
    result.uns["layers"] = {
        "X": "transformed",
        schema.LAYER_RAW: "as recorded, linear",
        schema.LAYER_COMP: f"{applied} ({gated.comp_source}), linear",
    }
    result.uns["transform"] = {name: {"kind": s.kind, **s.by_letter} for name, s in gated.strategy.scales}
    result.uns[schema.UNS_VERSION] = {
        "schema_version": schema.SCHEMA_VERSION,
        "gating_template": gated.strategy.tube,
        "gating_template_sha256": gated.strategy.sha256,
        "fcs_sha256": sample.sha256,
        "comp_source": gated.comp_source,
    }
    return result


def _scale_names(gated: GatedSample) -> list[str]:
    """Scale of each channel: that of its gates, else the one that the strategy declares for it, else its usual one.

    ``range`` for scatter and for what a mass cytometer says of an event: linear, whatever the others are.
    """
    of_channel = {d.marker: d.scale for gate in gated.bound.gates for d in gate.dimensions if d.scale is not None}
    usual = gated.strategy.usual_scale or "none"

    def scale_of(channel: Channel) -> str:
        if channel.pnn in of_channel:
            return of_channel[channel.pnn]
        declared = (
            name
            for marker, name in gated.strategy.marker_scales
            if marker == channel.pnn or same_marker(marker, channel.marker)
        )
        linear = is_scatter(channel.pnn) or is_event_parameter(channel.pnn)
        return next(declared, "range" if linear else usual)

    return ["none" if channel.kind == "time" else scale_of(channel) for channel in gated.sample.channels]


def _deepest(gated: GatedSample, chosen: NDArray[np.int64]) -> Any:
    """The most specific population of each event; of two equally deep ones the later in the template."""
    import pandas as pd

    strategy = gated.strategy
    order = sorted(strategy.gates, key=lambda gate: len(strategy.path(gate.population)))
    codes = np.full(len(chosen), -1, dtype=np.int64)
    names = [gate.population for gate in order]
    for code, name in enumerate(names):
        codes[gated.masks[name][chosen]] = code
    return pd.Categorical.from_codes(codes.tolist(), categories=pd.Index(names))


def _unique(names: list[str]) -> list[str]:
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}.{seen[name]}")
    return [name.replace("/", "_") for name in result]
