"""All checks of the events of one file together; flags only, no event is ever deleted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from immunoprofile.compensation import compensate
from immunoprofile.quality.dead_cells import DeadCells, dead_cells
from immunoprofile.quality.doublets import SingletGate, not_gated, singlet_gate
from immunoprofile.quality.flow_rate import FlowRate, flow_rate, moments_of, time_of
from immunoprofile.quality.margins import Margins, margins
from immunoprofile.quality.stability import Stability, signal_stability
from immunoprofile.resources.checks import Finding, quality_checks
from immunoprofile.scale_table import Biexponential

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from immunoprofile.compensation import Spillover
    from immunoprofile.io.fcs import Channel, Sample
    from immunoprofile.resources.checks import StudyLimits

MASKS = ("stability", "flow_rate", "margins", "doublets", "dead")
DEAD_SEARCH = (0.35, 0.75)
"""Range of a viability cut on the default scale: between the upper edge of the unstained and the dead."""
_RASTER = 96


class Scale(Protocol):
    """What turns linear values into the scale of a plot, for instance a scale of a gating template."""

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Transformed values, same shape."""


@dataclass(frozen=True, eq=False)
class EventQuality:
    """What is known of the events of one file.

    Attributes
    ----------
    name, sha256, n_events
        Which file.
    masks
        Check -> flag of every event, in the order of the file: ``stability``, ``flow_rate``, ``margins``,
        ``doublets``, and ``dead`` where there is a viability marker. True is flagged.
    stability, rate, rails, singlets, dead
        Result of each check; ``dead`` is None without a viability marker.
    labels
        Marker of each channel of ``stability``.
    bin_time
        Bins x 2: begin and end of each bin of ``stability``, in seconds (in events when there is no Time).
    raster, raster_edges
        Counts of events over area x height, and the edges of both axes: for the figure.
    time_gate
        Proposed good intervals in seconds, both ends included; empty when Time is not assessable or has fewer than 20
        distinct values.
    findings
        One row a check.
    """

    name: str
    sha256: str
    n_events: int
    masks: dict[str, NDArray[np.bool_]]
    stability: Stability
    rate: FlowRate
    rails: Margins
    singlets: SingletGate
    dead: DeadCells | None
    labels: tuple[str, ...]
    bin_time: NDArray[np.float64]
    raster: NDArray[np.int64]
    raster_edges: tuple[NDArray[np.float64], NDArray[np.float64]]
    time_gate: tuple[tuple[float, float], ...]
    findings: tuple[Finding, ...]

    @property
    def good(self) -> NDArray[np.bool_]:
        """Events that stability, flow rate, margins and doublets leave unflagged."""
        flagged = [self.masks[name] for name in MASKS[:4]]
        return np.asarray(~np.logical_or.reduce(flagged), dtype=np.bool_)

    @property
    def pct(self) -> dict[str, float]:
        """Per cent of the events flagged by each check; NaN = not assessable."""
        results: dict[str, Stability | FlowRate | Margins | SingletGate] = {
            "stability": self.stability,
            "flow_rate": self.rate,
            "margins": self.rails,
            "doublets": self.singlets,
        }
        shares = {name: result.pct_events for name, result in results.items()}
        return shares if self.dead is None else {**shares, "dead": self.dead.pct_events}

    def table(self) -> pd.DataFrame:
        """The findings: ``check``, ``value``, ``unit``, ``limits``, ``state``, ``flag``, ``note``."""
        import pandas as pd

        columns = ["check", "value", "unit", "limits", "state", "flag", "text"]
        table = pd.DataFrame([[getattr(row, name) for name in columns] for row in self.findings], columns=columns)
        return table.rename(columns={"text": "note"})

    def flags(self) -> pd.DataFrame:
        """The masks as a table: events x checks, bool."""
        import pandas as pd

        return pd.DataFrame(self.masks)


def assess(
    sample: Sample,
    *,
    comp: Spillover | None = None,
    scales: Mapping[str, Scale] | None = None,
    transformed: Mapping[int, NDArray[np.float64]] | None = None,
    compensated: Callable[[], NDArray[np.float64]] | None = None,
    order: Literal["time", "file"] = "time",
    dead_search: tuple[float, float] = DEAD_SEARCH,
    dead_fallback: float | None = None,
    limits: StudyLimits | None = None,
) -> EventQuality:
    """Check the events of one file: signal stability, flow rate, margins, doublets, dead cells.

    Parameters
    ----------
    sample
        The file, raw.
    comp
        Spillover matrix for stability and dead cells; None leaves the events as they are.
    scales
        Channel ($PnN) or marker -> scale. The others get logicle (W 0.5, M 4.5, T the top of the channel); scatter is
        linear.
    transformed
        Column -> its values, compensated and on their scale, where they are at hand already; the others are computed.
    compensated
        Gives the events with ``comp`` removed, where others need them as well; asked only where they are needed here.
    order
        ``file`` follows the signal in the order of the file, also without Time. The rules stay the robust ones.
    dead_search, dead_fallback
        Range and template value of the viability cut on its scale.
    limits
        Limits of a study: check -> ``pass`` and ``warn``, each (lowest, highest).

    Returns
    -------
    EventQuality
        A check that could not be made is not evaluable and flags no event; that is never a pass.

    Examples
    --------
    >>> sample = ip.read_fcs("tube.fcs")  # doctest: +SKIP
    >>> quality = ip.quality.assess(sample, comp=ip.compensation.from_keywords(sample))  # doctest: +SKIP
    >>> quality.table(), ip.pl.file_quality(quality)  # doctest: +SKIP
    """
    known = transformed or {}
    followed = channels_to_follow(sample)
    # Compensation changes only what a matrix can name, so nothing is left to do where all of that is at hand.
    inside = () if comp is None else comp.positions(sample)
    events = sample.events
    if any(at in inside and at not in known for at in followed):
        events = compensate(sample, comp) if compensated is None else compensated()
    names = [sample.channels[at].pnn for at in followed]
    values = [
        known[at] if at in known else _transformed(events[:, at], sample.channels[at], scales or {}) for at in followed
    ]
    time, reason = time_of(sample)
    followed_values = values or np.empty((sample.n_events, 0))  # without a channel it is still so many events
    stability = signal_stability(followed_values, names, time=time, order=order, rules="robust")
    if time is None and order == "time" and stability.assessable:
        nothing = np.zeros(sample.n_events, dtype=bool)
        stability = replace(stability, assessable=False, reason=reason, bad_events=nothing)
    rate = flow_rate(sample)
    rails = margins(sample)
    singlets, raster, edges = _singlets(sample, rails)
    dead = _dead(sample, values, followed, singlets, dead_search, dead_fallback)

    masks = {
        "stability": stability.bad_events,
        "flow_rate": rate.bad_events,
        "margins": rails.bad_events,
        "doublets": singlets.bad_events,
    }
    if dead is not None:
        masks["dead"] = dead.bad_events
    untimely = stability.bad_events | rate.bad_events
    gate = good_intervals(time, untimely) if time is not None and not rate.coarse else ()
    return EventQuality(
        name=sample.name,
        sha256=sample.sha256,
        n_events=sample.n_events,
        masks=masks,
        stability=stability,
        rate=rate,
        rails=rails,
        singlets=singlets,
        dead=dead,
        labels=tuple(sample.channels[at].marker for at in followed),
        bin_time=_bin_time(stability, time),
        raster=raster,
        raster_edges=edges,
        time_gate=gate,
        findings=_findings(stability, rate, rails, singlets, dead, time, gate, limits),
    )


def channels_to_follow(sample: Sample) -> list[int]:
    """Columns without Time; of the area, height and width of one detector only the first of them that is there."""
    names = [channel.pnn.strip() for channel in sample.channels]
    chosen: dict[str, int] = {}
    for at, name in enumerate(names):
        if sample.channels[at].kind == "time":
            continue
        stem, _, kind = name.rpartition("-")
        if not stem or kind.upper() not in "AHW":
            chosen[f"{name}\n{at}"] = at
        elif stem not in chosen or kind.upper() < names[chosen[stem]].rpartition("-")[2].upper():
            chosen[stem] = at
    return sorted(chosen.values())


def good_intervals(time: NDArray[np.float64], bad: NDArray[np.bool_]) -> tuple[tuple[float, float], ...]:
    """Longest intervals of Time, ends included, in which no event is flagged.

    Parameters
    ----------
    time
        Seconds, one per event, in any order.
    bad
        Flag of each event. A moment at which any event is flagged is left out.
    """
    moments = moments_of(time)
    flagged = np.zeros(len(moments), dtype=bool)
    flagged[np.searchsorted(moments, time[bad])] = True
    edges = np.flatnonzero(np.diff(np.concatenate([[True], flagged, [True]]).astype(np.int8)))
    return tuple(
        (float(moments[begin]), float(moments[end - 1])) for begin, end in zip(edges[::2], edges[1::2], strict=True)
    )


def in_time_gate(time: NDArray[np.float64], gate: Sequence[tuple[float, float]]) -> NDArray[np.bool_]:
    """Events inside the intervals of a time gate."""
    inside = np.zeros(time.size, dtype=bool)
    for begin, end in gate:
        inside |= (time >= begin) & (time <= end)
    return inside


def _transformed(values: NDArray[np.float64], channel: Channel, scales: Mapping[str, Scale]) -> NDArray[np.float64]:
    scale = scales.get(channel.pnn) or scales.get(channel.marker)
    if scale is not None:
        return scale.apply(values)
    top = (channel.log0 or 1.0) * 10**channel.decades if channel.decades > 0 else channel.pnr / channel.gain
    top = top if np.isfinite(top) and top > 1 else max(float(np.max(values, initial=1.0)), 1.0)
    if channel.kind == "scatter":
        return values / top
    return Biexponential("logicle", t=top, w=0.5, m=4.5, a=0.0).apply(values)


def _singlets(
    sample: Sample, rails: Margins
) -> tuple[SingletGate, NDArray[np.int64], tuple[NDArray[np.float64], NDArray[np.float64]]]:
    names = [channel.pnn.strip().upper() for channel in sample.channels]
    edges = (np.linspace(0, 1, _RASTER + 1), np.linspace(0, 1, _RASTER + 1))
    empty = np.zeros((_RASTER, _RASTER), dtype=np.int64)
    if names.count("FSC-A") != 1 or names.count("FSC-H") != 1:
        reason = "FSC-A and FSC-H are not both there"
        return not_gated(reason, ("FSC-A", "FSC-H"), sample.n_events), empty, edges
    area, height = sample.events[:, names.index("FSC-A")], sample.events[:, names.index("FSC-H")]
    # Saturated events lie on a line of their own and would pull at the band.
    at_rail = np.zeros(sample.n_events, dtype=bool)
    for values, name in ((area, "FSC-A"), (height, "FSC-H")):
        position = [label.strip().upper() for label in rails.channels].index(name)
        at_rail |= values >= rails.upper[position]
    gate = singlet_gate(area, height, fit_on=~at_rail)
    if not gate.assessable:
        return gate, empty, edges
    return gate, *_histogram(area, height)


def _histogram(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.int64], tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Counts on equal bins over the range of each axis, as ``numpy.histogram2d`` but for events on an inner edge."""
    edges, places = [], []
    for values in (x, y):
        low, high = float(values.min()), float(values.max())
        edges.append(np.linspace(low, high, _RASTER + 1))
        factor = _RASTER / (high - low) if high > low else 0.0
        places.append(np.minimum(((values - low) * factor).astype(np.int64), _RASTER - 1))
    counts = np.bincount(places[0] * _RASTER + places[1], minlength=_RASTER**2).reshape(_RASTER, _RASTER)
    return counts, (edges[0], edges[1])


def _dead(
    sample: Sample,
    values: list[NDArray[np.float64]],
    followed: list[int],
    singlets: SingletGate,
    search: tuple[float, float],
    fallback: float | None,
) -> DeadCells | None:
    columns = [number for number, at in enumerate(followed) if sample.channels[at].kind == "viability"]
    if len(columns) != 1:
        return None
    return dead_cells(values[columns[0]], search=search, fallback=fallback, fit_on=~singlets.bad_events)


def _bin_time(stability: Stability, time: NDArray[np.float64] | None) -> NDArray[np.float64]:
    last = np.minimum(stability.starts + stability.events_per_bin, len(stability.order)) - 1
    if not stability.starts.size:
        return np.empty((0, 2))
    if time is None:
        return np.column_stack([stability.starts, last]).astype(np.float64)
    moments = time[stability.order]
    return np.column_stack([moments[stability.starts], moments[last]])


def _findings(
    stability: Stability, rate: FlowRate, rails: Margins, singlets: SingletGate, dead: DeadCells | None,
    time: NDArray[np.float64] | None, gate: tuple[tuple[float, float], ...],
    limits: StudyLimits | None,
) -> tuple[Finding, ...]:  # fmt: skip
    nan = float("nan")
    checks = quality_checks(limits)

    def row(name: str, value: float, *, note: str = "", missing: str = "NOT_ASSESSABLE") -> Finding:
        return checks[name].judge(value, unknown_flag=missing, text=note)

    timeless = "TIME_NOT_ASSESSABLE"
    unseen = "TIME_NOT_ASSESSABLE" if time is None else "FEW_BINS" if not stability.starts.size else "NOT_ASSESSABLE"
    unstable = [name for name, bad in zip(stability.channels, stability.bad_channels.T, strict=True) if bad.any()]
    lost = nan
    if time is not None and not rate.coarse and (stability.assessable or rate.assessable):
        lost = 100.0 * float(np.mean(~in_time_gate(time, gate)))
    drift = row("signal_drift", float(len(stability.drifting)) if stability.assessable else nan, missing=unseen,
                note=", ".join(stability.drifting))  # fmt: skip
    if stability.drifting and stability.assessable:
        drift = replace(drift, flag="SIGNAL_DRIFT")
    rows = [
        row("signal_stability", stability.pct_events, missing=unseen,
            note=", ".join(unstable) if stability.assessable else stability.reason),
        row("signal_bins", float(len(stability.starts)) if stability.assessable else nan, missing=unseen),
        drift,
        row("flow_rate", rate.pct_time, note=rate.reason, missing=timeless),
        row("time_gaps", float(len(rate.gaps)) if rate.assessable else nan, missing=timeless),
        row("time_order", rate.pct_backwards, missing=timeless),
        row("time_loss", lost, missing=timeless),
        row("margins", rails.pct_events),
        row("doublets", singlets.pct_events, note=singlets.reason),
    ]  # fmt: skip
    if dead is not None:
        found = row("dead_cells", dead.pct_events, note=dead.reason)
        if dead.method == "fallback":
            # The template's value without a valley to confirm it is for a person to look at.
            found = replace(found, state="WARN" if found.state == "PASS" else found.state, flag="VIABILITY_FALLBACK")
        rows.append(found)
    return tuple(rows)
