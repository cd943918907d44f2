"""What a run asks of one file, and what it keeps of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from immunoprofile.gate.cut_shifts import Cut
from immunoprofile.gate.strategy import Strategy
from immunoprofile.gate.study_gates import StudyGates
from immunoprofile.io.fcs_source import FcsSource
from immunoprofile.profiling.documents import GateDocuments
from immunoprofile.resources.checks import Finding


class Shifted(NamedTuple):
    """A population of a file under moved cuts.

    Attributes
    ----------
    population
        Its id.
    share
        Distance of the shifts, as a share of the scale.
    counts
        Events in each gating; empty where they are not known.
    n_cuts
        How many cuts it hangs on.
    not_moved
        Markers whose cuts were not moved, joined by a comma.
    own
        Whether a cut belongs to this sample or batch alone.
    main_cut, main_share
        The cut that moves its percentage most, and its share of the mean square; empty and 0 for none.
    """

    population: str
    share: float
    counts: tuple[int, ...]
    n_cuts: int
    not_moved: str
    own: bool
    main_cut: str = ""
    main_share: float = 0.0


Limits = Mapping[str, Mapping[str, tuple[float | None, float | None]]]


@dataclass(frozen=True)
class Request:
    """One file to gate."""

    sample_id: str
    source: FcsSource
    file: str
    """Path as the samples table has it."""
    tube: str
    gates: StudyGates
    gates_sha256: str
    """Hash of the gates of the tube, with the overrides of the sample."""
    comp_source: str | None
    sha256: str | None
    """Content hash that the samples table expects."""
    limits: Limits
    """Limits of the checks that the study sets."""
    placed: Strategy | None = None
    """Gates that were placed for this sample; None where those of the tube hold."""
    statistics: tuple[str, ...] = ()
    """Statistics of intensities that the study asks for."""
    places: tuple[tuple[Cut, int], ...] = ()
    """Places of the cuts of the tube in the design of moved cuts (`gate.cut_shifts.allot_tubes`)."""
    documents: GateDocuments = field(default_factory=GateDocuments, compare=False, repr=False)
    """Writes the gates of the samples; shared by the files of a run."""


@dataclass(frozen=True)
class Outcome:
    """What a run keeps of one file.

    Attributes
    ----------
    sample_id, file, tube
        Which file.
    sha256
        Its content hash; empty when the file is missing.
    n_events
        Recorded events.
    comp_source
        ``keyword``, ``none`` or ``compensated``.
    counts
        Rows (population, label, parent, gate_path, n, n_parent).
    medians
        Rows (population, marker, median linear compensated intensity).
    flow_pct_time, flow_pct_events
        Per cent of time and of events at an unstable flow rate; None when not assessable.
    flow_reason
        Why the flow rate is not assessable.
    findings
        Checks of the events, and whether they look compensated already where a matrix was applied that nobody declared.
    notices
        Rows of exceptions.csv about a file that was gated: (severity, code, message, action).
    engine
        How the gates were evaluated: fields of `gate.engine.EngineRecord`; None when they were not.
    exception
        Row of exceptions.csv when the file could not be gated, else None.
    intensities
        Rows (population, marker, statistic, value, unit, n, left_out_pct) of what the study asks for.
    stored_counts
        Rows (population, gate_path, gate, n_flowjo, n, verdict, reason) of what a FlowJo workspace counted.
    shifted
        Every population under moved cuts.
    files
        Path in the results folder -> SHA-256 of each file that was written for it.
    """

    sample_id: str
    file: str
    tube: str
    sha256: str = ""
    n_events: int = 0
    comp_source: str = ""
    counts: tuple[tuple[str, str, str, str, int, int], ...] = ()
    medians: tuple[tuple[str, str, float], ...] = ()
    flow_pct_time: float | None = None
    flow_pct_events: float | None = None
    flow_reason: str = ""
    findings: tuple[Finding, ...] = ()
    notices: tuple[tuple[str, str, str, str], ...] = ()
    engine: dict[str, Any] | None = None
    exception: dict[str, str] | None = None
    intensities: tuple[tuple[str, str, str, float, str, int, float], ...] = ()
    stored_counts: tuple[tuple[str, str, str, int | None, int | None, str, str], ...] = ()
    shifted: tuple[Shifted, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def gated(self) -> bool:
        """Whether the file was gated."""
        return self.exception is None

    def count(self, population: str) -> int | None:
        """Events of a population; None when the tube does not have it."""
        return next((row[4] for row in self.counts if row[0] == population), None)


Chosen = Mapping[tuple[str, str, str], Outcome]
"""(subject, visit, tube) -> the attempt that is used."""
