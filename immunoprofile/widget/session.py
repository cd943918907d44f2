"""One edit of one gate: truth, numbered revisions and exact counts live here, in the kernel; pages only draw.

Every change makes a revision with a number of its own, so do undo, redo and reset: nothing that a page sent is
overwritten, whatever another page did in between. `EditSession` knows no notebook and no widget.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from immunoprofile.errors import GateError, ImmunoprofileError, ProblemListError
from immunoprofile.gate.evaluate import regated
from immunoprofile.gate.gates import Gate
from immunoprofile.gate.strategy import ROOT, Strategy
from immunoprofile.widget.shapes import as_polygon, axes_of, can_become_polygon, crosses_itself, reshaped, shape_of

if TYPE_CHECKING:
    import pandas as pd

    from immunoprofile.gate.evaluate import GatedSample
    from immunoprofile.gate.parent_events import FileEvents
    from immunoprofile.io.fcs import Sample

Counts = Mapping[str, Mapping[str, int]]
"""File -> population -> number of events."""

Action = Literal["start", "change", "undo", "redo", "reset", "convert", "axes"]


@dataclass(frozen=True)
class Revision:
    """One state of the gate.

    Attributes
    ----------
    number
        Counts from 0, the gate as it was found.
    action
        What made it.
    by
        Page that made it; ``python`` for calls from the notebook.
    base
        Revision that was seen when it was made; another one than the number before where two pages edited at once.
    gates
        The gate, or all quadrants of a quadrant gate; empty while a new population has no shape.
    counts
        File -> population -> number of events.
    """

    number: int
    action: Action
    by: str
    base: int
    gates: tuple[Gate, ...]
    counts: Counts = field(default_factory=dict)


class EditSession:
    """The edit of a gate, or of the quadrants of one, in a file and the files shown with it.

    Parameters
    ----------
    files
        The file first, then others in which the gate is counted as well (baseline, FMO control); their events are
        those of the parent.
    gates
        The gates as they were found; of a new population a gate with axes and without a shape.
    fresh
        Whether the population is new.
    template
        The gates of the template where the file has others (drawn anew, or placed), to which one can return as well.
    """

    def __init__(
        self,
        files: Sequence[FileEvents],
        gates: tuple[Gate, ...],
        *,
        fresh: bool = False,
        template: tuple[Gate, ...] = (),
    ) -> None:
        self.files = tuple(files)
        self.fresh = fresh
        self.template = template
        self.closed = ""
        self._pattern = gates
        first = () if fresh else gates
        self._revisions = [Revision(0, "start", "python", 0, first, self._count(first))]
        self._past: list[tuple[Gate, ...]] = []
        self._future: list[tuple[Gate, ...]] = []
        self._watchers: list[weakref.WeakMethod[Callable[[], None]]] = []
        self._gated: tuple[int, GatedSample] | None = None

    @property
    def strategy(self) -> Strategy:
        """The strategy of the file with the gate in its present shape.

        Raises
        ------
        GateError
            A new population has no shape yet.
        """
        strategy = self.files[0].gated.strategy
        if not self.gates:
            name = self._pattern[0].population
            raise GateError("the new population has no shape yet", (), where=name, todo="draw it first")
        if self.fresh:
            return with_populations(strategy, self.gates, self.files[0].gated.sample)
        return with_gates(strategy, self.gates)

    @property
    def gated(self) -> GatedSample:
        """The file with the gate in its present shape and all that hangs on it; evaluated once a revision."""
        own = self.files[0].gated
        if self.gates == self._revisions[0].gates:
            return own
        if self._gated is None or self._gated[0] != self.revision.number:
            self._gated = (self.revision.number, regated(own, self.strategy))
        return self._gated[1]

    @property
    def revision(self) -> Revision:
        """The present one."""
        return self._revisions[-1]

    @property
    def revisions(self) -> tuple[Revision, ...]:
        """All of them, oldest first."""
        return tuple(self._revisions)

    @property
    def gates(self) -> tuple[Gate, ...]:
        """The gate, or all quadrants of a quadrant gate, as they are now."""
        return self.revision.gates

    @property
    def pattern(self) -> tuple[Gate, ...]:
        """The gates as they were found; of a new population its axes and parent, in a gate without a shape."""
        return self._pattern

    @property
    def taken(self) -> set[str]:
        """Names that no new population can have."""
        strategy = self.files[0].gated.strategy
        return {ROOT, *strategy.populations, *strategy.quadrants}

    @property
    def shown(self) -> tuple[Gate, ...]:
        """Gates that say what the plot shows, also while a new population has no shape."""
        return self.gates or self._pattern

    @property
    def can_undo(self) -> bool:
        """Whether there is something to undo."""
        return bool(self._past) and not self.closed

    @property
    def can_redo(self) -> bool:
        """Whether something was undone last."""
        return bool(self._future) and not self.closed

    def history(self) -> pd.DataFrame:
        """All revisions, one row each: ``revision action by base population n n_parent pct_parent`` (of the file)."""
        import pandas as pd

        own = self.files[0]
        rows = []
        for one in self._revisions:
            for population, n in one.counts.get(own.label, {}).items():
                share = 100.0 * n / own.n_events if own.n_events else float("nan")
                rows.append((one.number, one.action, one.by, one.base, population, n, own.n_events, share))
        columns = ["revision", "action", "by", "base", "population", "n", "n_parent", "pct_parent"]
        return pd.DataFrame(rows, columns=columns)

    def watch(self, told: Callable[[], None]) -> None:
        """Call a bound method after every revision, as long as its object lives."""
        self._watchers.append(weakref.WeakMethod(told))

    @property
    def watched(self) -> int:
        """Number of editors that look at this session."""
        return sum(ref() is not None for ref in self._watchers)

    def prepare(self) -> None:
        """Compute what the first change would wait for, while nobody waits."""
        for one in self.files:
            one.prepare(axes_of(self.shown))

    # --- what makes a revision -------------------------------------------------------------------

    def change(self, shape: Mapping[str, Any], *, base: int | None = None, by: str = "python") -> Revision:
        """Take a shape that was drawn; see `shapes.reshaped`.

        Parameters
        ----------
        shape
            See the module `shapes`.
        base
            Revision on which it was drawn; by default the present one.
        by
            Who drew it.

        Raises
        ------
        GateError
            The shape is no gate, or the edit was committed.
        """
        self._refuse_closed()
        made = reshaped(
            self.shown, shape, pattern=self._pattern[0] if self.fresh else None, taken=self.taken if self.fresh else ()
        )
        return self._move("change", made, base, by)

    def set(self, gate: Gate) -> Revision:
        """Put a gate in place of the present one, as a call in the notebook; it becomes a revision like any other."""
        self._refuse_closed()
        old = self._pattern if self.fresh else self.shown
        if len(old) != 1 or (gate.population, gate.parent) != (old[0].population, old[0].parent):
            raise GateError("the gate is of another place than the one that is edited", (), where=gate.population)
        if [d.marker for d in gate.dimensions] != [d.marker for d in old[0].dimensions]:
            raise GateError("the gate has other axes than the plot", (), where=gate.population)
        return self._move("change", (gate,), None, "python")

    def convert(self, *, base: int | None = None, by: str = "python") -> Revision:
        """Put a polygon in place of an ellipse or a closed rectangle.

        Raises
        ------
        GateError
            The gate is neither, or has more than two dimensions.
        """
        self._refuse_closed()
        if not can_become_polygon(self.gates):
            name = self.shown[0].population
            raise GateError("only an ellipse or a closed rectangle on two axes can become a polygon", (), where=name)
        return self._move("convert", (as_polygon(self.gates[0]),), base, by)

    def reset(self, *, to_template: bool = False, base: int | None = None, by: str = "python") -> Revision:
        """Return to the gate as it was found, or to that of the template; the way there can be undone.

        Raises
        ------
        GateError
            The file has the gate of the template, so that there is no other.
        """
        self._refuse_closed()
        if to_template and not self.template:
            raise GateError("the gate was found as the template has it", (), where=self.shown[0].population,
                            todo="reset without to_template")  # fmt: skip
        return self._move("reset", self.template if to_template else self._revisions[0].gates, base, by)

    def turn(self, axes: tuple[Gate, ...], *, by: str = "python") -> Revision:
        """Draw a new population on other axes; its shape is given up, which cannot be undone but stays recorded."""
        self._refuse_closed()
        if not self.fresh:
            raise GateError("only a new population can be drawn on other axes", (), where=axes[0].population)
        self._pattern = axes
        self._past, self._future = [], []
        return self._add("axes", (), {}, None, by)

    def undo(self, *, base: int | None = None, by: str = "python") -> Revision:
        """Return to the gate before the last change; nothing to undo leaves it as it is."""
        self._refuse_closed()
        if not self._past:
            return self.revision
        counts = self._count(self._past[-1])
        self._future.append(self.gates)
        return self._add("undo", self._past.pop(), counts, base, by)

    def redo(self, *, base: int | None = None, by: str = "python") -> Revision:
        """Take back the last undo."""
        self._refuse_closed()
        if not self._future:
            return self.revision
        counts = self._count(self._future[-1])
        self._past.append(self.gates)
        return self._add("redo", self._future.pop(), counts, base, by)

    def close(self, why: str) -> None:
        """End the edit: later changes are refused with these words."""
        self.closed = why
        self._tell()

    def _move(self, action: Action, gates: tuple[Gate, ...], base: int | None, by: str) -> Revision:
        counts = self._count(gates)  # first: what cannot be counted changes nothing
        self._past.append(self.gates)
        self._future.clear()
        return self._add(action, gates, counts, base, by)

    def _add(self, action: Action, gates: tuple[Gate, ...], counts: Counts, base: int | None, by: str) -> Revision:
        seen = self.revision.number if base is None else base
        made = Revision(self.revision.number + 1, action, by, seen, gates, counts)
        self._revisions.append(made)
        self._tell()
        return made

    def _tell(self) -> None:
        for ref in list(self._watchers):
            told = ref()
            if told is None:
                self._watchers.remove(ref)
            else:
                told()

    def _refuse_closed(self) -> None:
        if self.closed:
            raise GateError(f"the edit is over: {self.closed}", (), where=self.shown[0].population,
                            todo="open the editor again with ip.widget.edit")  # fmt: skip

    # --- what the person should know --------------------------------------------------------------

    def _count(self, gates: tuple[Gate, ...]) -> dict[str, dict[str, int]]:
        return {} if not gates else {one.label: one.count(gates) for one in self.files}

    def notice(self) -> str:
        """What the person who edits should know of the present revision; empty for nothing."""
        found = []
        last = self.revision
        own = self.files[0]
        if not own.n_events:
            found.append(f"{own.population} has no events in {own.label}: nothing can be counted here.")
        if last.number and last.base != last.number - 1:
            between = ", ".join(str(n) for n in range(last.base + 1, last.number))
            found.append(
                f"Another page changed the gate meanwhile (revision {between}); revision {last.number} is in force "
                "now. Undo brings the other one back."
            )
        if any(gate.kind == "polygon" and crosses_itself(gate.vertices) for gate in self.gates):
            found.append("The sides of the polygon cross: where it overlaps itself counts as outside.")
        if self.watched > 1:
            found.append("This gate is open in another editor too; both show the same revisions.")
        return " ".join(found)

    def state(self) -> dict[str, Any]:
        """What pages show, as plain JSON."""
        last = self.revision
        return {
            "rev": last.number,
            "action": last.action,
            "by": last.by,
            "shape": shape_of(last.gates),
            "counts": [
                {"label": one.label, "n_parent": one.n_events, "n": dict(last.counts.get(one.label, {}))}
                for one in self.files
            ],
            "can_undo": self.can_undo,
            "can_redo": self.can_redo,
            "convertible": can_become_polygon(last.gates),
            "notice": self.notice(),
            "closed": self.closed,
            "python": python_of(last.gates),
        }


def with_gates(strategy: Strategy, gates: Sequence[Gate]) -> Strategy:
    """The strategy with gates replaced all at once: quadrants are valid together only."""
    own = {gate.population: gate for gate in gates}
    return replace(strategy, gates=tuple(own.get(gate.population, gate) for gate in strategy.gates))


def with_populations(strategy: Strategy, gates: Sequence[Gate], sample: Sample) -> Strategy:
    """A strategy with new populations; where it says which channels its markers are on, it says so of the new ones.

    A strategy that was drawn from nothing says it as well, from its first marker on: GatingML wants the channels.
    """
    channels = strategy.channels
    none_yet = all(d.without_light for one in strategy.gates for d in one.dimensions)
    if channels or none_yet:
        known = {marker for marker, _ in channels}
        for marker in dict.fromkeys(d.marker for gate in gates for d in gate.dimensions if not d.without_light):
            if marker not in known:
                channels = (*channels, (marker, sample.channels[sample.position(marker)].pnn))
    return replace(strategy, gates=(*strategy.gates, *gates), channels=channels)


def python_of(gates: Sequence[Gate]) -> str:
    """The gates as text that Python reads back to the bit: what a page keeps when its kernel is gone."""
    return "\n".join(repr(gate) for gate in gates)


def words_of(error: ImmunoprofileError) -> str:
    """An error in words for a page: one line, without the numbers of a list."""
    if not isinstance(error, ProblemListError) or not error.problems:
        return " ".join(str(error).split())
    head = f"{error.where}: {error.what}" if error.where else error.what
    told = "; ".join(str(problem).removeprefix(f"{error.where}: ") for problem in error.problems)
    return " ".join(f"{head}: {told}{f' -> {error.todo}' if error.todo else ''}".split())
