"""Open a gate for editing: which file, which gates, which events; everything that can be wrong is told here."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from immunoprofile.errors import GateError, ImmunoprofileError, Problem
from immunoprofile.gate.data_units import on_scale
from immunoprofile.gate.evaluate import GatedSample, gate_sample
from immunoprofile.gate.file_units import in_units_of
from immunoprofile.gate.gates import Dimension, Gate
from immunoprofile.gate.matching import match
from immunoprofile.gate.overrides_in_force import for_names
from immunoprofile.gate.parent_events import FileEvents
from immunoprofile.gate.strategy import ROOT, GateSet, Strategy
from immunoprofile.io.fcs import Sample, read_fcs
from immunoprofile.io.markers import find_marker, is_event_parameter, is_scatter, is_time, same_marker
from immunoprofile.widget.plot import channel_words
from immunoprofile.widget.session import EditSession, words_of
from immunoprofile.widget.shapes import edited_gates

OpenFile = Sample | GatedSample | str | Path
_OPEN: weakref.WeakValueDictionary[tuple[object, ...], EditSession] = weakref.WeakValueDictionary()
"""Edits that are going on: a gate that is opened twice is one edit with one truth."""


@dataclass(frozen=True, eq=False)
class Opened:
    """An edit and where it came from.

    Attributes
    ----------
    session
        The edit.
    given
        Gates as they were given.
    sample_id
        What the study calls the sample.
    blinded
        Whether pages must not learn which file it is.
    channels
        (marker, label) of the channels on which a new population can be drawn.
    notes
        What else the person should know of the files; a blinded editor shows them as they are.
    """

    session: EditSession
    given: GateSet | Strategy
    sample_id: str
    blinded: bool
    channels: list[list[str]]
    notes: tuple[str, ...] = ()

    @property
    def shown_name(self) -> str:
        """What pages call the file."""
        own = self.session.files[0]
        return own.label if self.blinded else own.gated.sample.name

    def doubts(self) -> list[str]:
        """What is not sure about the file, in words for a page.

        Blinded, what was compared to find its gates is hidden: it names files, samples and times of acquisition.
        """
        gated = self.session.files[0].gated
        compared = gated.match.problems if self.blinded and gated.match is not None else ()
        shown = [self._without_names(str(problem)) for problem in gated.problems if problem not in compared]
        if compared:
            shown.append(f"How the file met its gates: {len(compared)} to know, hidden in a blinded editor.")
        return [*shown, *self.notes]

    def words_of(self, error: ImmunoprofileError) -> str:
        """An error in words for a page."""
        return self._without_names(words_of(error))

    def _without_names(self, text: str) -> str:
        """Blinded, files are called by their labels."""
        if self.blinded:
            for one in sorted(self.session.files, key=lambda one: len(one.gated.sample.name), reverse=True):
                text = text.replace(one.gated.sample.name, one.label)
        return text

    def new_axes(self, session: EditSession, markers: Sequence[str]) -> tuple[Gate, ...]:
        """The pattern of a new population on other axes."""
        gated = session.files[0].gated
        return (_pattern(gated, session.pattern[0].population, session.pattern[0].parent, markers),)

    def place(self, session: EditSession, message: Mapping[str, Any], base: int | None, page: str) -> None:
        """Put a corner, limit or divider where a person typed, in data units: exactly the place of such an event.

        ``path`` leads to the number in the shape: a key, then positions.
        """
        shape = session.state()["shape"]
        axis = session.shown[0].dimensions[int(message["axis"])]
        scale = dict(session.files[0].gated.strategy.scales).get(axis.scale or "")
        try:
            value = on_scale(scale, float(message["value"]))
        except ValueError as error:
            raise GateError(str(error), (), where=axis.marker) from error
        key, *positions = message["path"]
        target = shape[key]
        for position in positions[:-1]:
            target = target[int(position)]
        target[int(positions[-1])] = value
        session.change(shape, base=base, by=page)


def open_gate(
    sample: OpenFile,
    gates: GateSet | Strategy,
    population: str,
    *,
    others: Mapping[str, OpenFile | None] | None = None,
    parent: str | None = None,
    axes: Sequence[str] = (),
    sample_id: str = "",
    blinded: bool = False,
    notes: tuple[str, ...] = (),
) -> Opened:
    """The edit behind `edit`, without a widget; two calls for one gate of one file give one edit."""
    tube, _, name = population.rpartition("/")
    strategy = _strategy(sample, gates, tube)
    gated = _gated(sample, _in_force(sample, gates, strategy, sample_id))
    if parent is not None and name not in gated.strategy and name not in gated.strategy.quadrants:
        pattern: tuple[Gate, ...] = (_pattern(gated, name, parent, axes or _first_axes(gated)),)
        fresh = True
    else:
        if parent is not None:
            fault = Problem(name, "is in the strategy already, so that it takes no parent=")
            raise GateError("the population is not new", [fault], where=gated.strategy.tube)
        pattern, fresh = edited_gates(gated.strategy, name), False
    template = () if fresh else _of_template(gated.sample, strategy, name, pattern)
    files = [FileEvents(gated, pattern[0].parent)]
    for label, other in (others or {}).items():
        if other is not None:
            files.append(FileEvents(_gated(other, _in_force(other, gates, strategy)), pattern[0].parent, label))
    key = (
        tuple((one.label, _identity(one.gated.sample)) for one in files),
        gated.strategy.sha256,
        name,
        fresh,
        template,
    )
    session = _OPEN.get(key)
    if session is None or session.closed:
        session = EditSession(files, pattern, fresh=fresh, template=template)
        _OPEN[key] = session
    return Opened(session, gates, sample_id or gated.sample.name, blinded, _channels(gated), notes)


def _of_template(sample: Sample, strategy: Strategy, name: str, found: tuple[Gate, ...]) -> tuple[Gate, ...]:
    """The gates of the template where others were found for the file (drawn anew, or placed); else none."""
    if any(gate.population not in strategy for gate in found):
        return ()
    own = in_units_of(sample, strategy)[0]
    gates = edited_gates(own, name) if name in own or name in own.quadrants else ()
    same_place = [(g.population, g.parent, [d.marker for d in g.dimensions]) for g in gates] == [
        (g.population, g.parent, [d.marker for d in g.dimensions]) for g in found
    ]
    return gates if same_place and gates != found else ()


def _identity(sample: Sample) -> object:
    return sample.sha256 or id(sample)


def _strategy(sample: OpenFile, gates: GateSet | Strategy, tube: str) -> Strategy:
    if isinstance(gates, Strategy):
        if tube and tube != gates.tube:
            raise GateError(f"the strategy is of tube {gates.tube}", (), where=tube, todo="pass the gates of the tube")
        return gates
    if tube:
        if tube not in gates:
            fault = Problem(tube, "is no tube of the gates", allowed=", ".join(gates))
            raise GateError("there is no such tube", [fault])
        return gates[tube]
    raw = sample.sample if isinstance(sample, GatedSample) else sample
    found = match(raw if isinstance(raw, Sample) else read_fcs(raw), gates)
    return gates[found.strategy.tube] if found.strategy.tube in gates else found.strategy


def _in_force(sample: OpenFile, gates: GateSet | Strategy, strategy: Strategy, sample_id: str = "") -> Strategy:
    """The strategy with the gates that were drawn for a sample before."""
    if isinstance(gates, Strategy) or not gates.overrides or isinstance(sample, GatedSample):
        return strategy
    name = sample.name if isinstance(sample, Sample) else Path(sample).name
    return for_names(gates, strategy, [one for one in (sample_id, name, Path(name).stem) if one])


def _gated(sample: OpenFile, strategy: Strategy) -> GatedSample:
    if isinstance(sample, GatedSample):
        return sample
    path = None if isinstance(sample, Sample) else Path(sample)
    read = sample if isinstance(sample, Sample) else read_fcs(sample)
    return gate_sample(read, match(read, strategy, path=path))


def _pattern(gated: GatedSample, population: str, parent: str, markers: Sequence[str]) -> Gate:
    if parent != ROOT and parent not in gated.strategy:
        known = ", ".join((ROOT, *gated.strategy.populations))
        fault = Problem(population, "its parent is unknown", value=parent, allowed=known)
        raise GateError("the new population has no place", [fault], where=gated.strategy.tube)
    if not 1 <= len(set(markers)) == len(markers) <= 2:
        raise GateError("a plot has one or two different axes", (), where=population, todo=f"axes were {markers}")
    dimensions = tuple(axis_for(gated, marker) for marker in markers)
    return Gate(population, parent, "polygon" if len(dimensions) == 2 else "rectangle", dimensions)


def axis_for(gated: GatedSample, marker: str) -> Dimension:
    """An axis for a marker or channel as the other gates of the strategy would have it: its scale, compensated or not.

    Raises
    ------
    FcsError
        No channel of the file, or several, carry the marker; the candidates are named.
    """
    strategy, sample = gated.strategy, gated.sample
    column = sample.position(marker)
    channel = sample.channels[column]
    for gate in strategy.gates:
        for d in gate.dimensions:
            if d.ratio is None and (d.marker in (marker, channel.pnn) or same_marker(d.marker, channel.marker)):
                return d.without_limits
    alone = len(find_marker(channel.marker, sample.markers, sample.labels)) == 1
    name = channel.marker if alone else channel.pnn
    if is_scatter(name) or is_scatter(channel.pnn) or is_time(name) or is_event_parameter(channel.pnn):
        return Dimension(name)
    said = [scale for m, scale in strategy.marker_scales if m == channel.pnn or same_marker(m, channel.marker)]
    lit = [d for gate in strategy.gates for d in gate.dimensions if not d.without_light and d.ratio is None]
    compensated = any(d.compensated for d in lit) or not lit
    matrix = next((d.matrix for d in lit if d.matrix), "")
    scale = said[0] if said else strategy.usual_scale or None
    return Dimension(name, scale=scale, compensated=compensated, matrix=matrix if compensated else "")


def _channels(gated: GatedSample) -> list[list[str]]:
    found = []
    for channel in gated.sample.channels:
        hits = find_marker(channel.marker, gated.sample.markers, gated.sample.labels)
        name = channel.marker if len(hits) == 1 else channel.pnn
        found.append([name, channel_words(channel)])
    return found


def _first_axes(gated: GatedSample) -> list[str]:
    """Axes of a plot for which nobody chose any: forward against side scatter, else the first two channels."""
    names = [name for name, _ in _channels(gated)]
    scatter = [name for name in names if is_scatter(name)]
    forward = [name for name in scatter if name.upper().startswith("FS")]
    side = [name for name in scatter if name.upper().startswith("SS")]
    return [forward[0], side[0]] if forward and side else names[:2]
