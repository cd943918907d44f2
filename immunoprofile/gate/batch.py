"""Gate files without a study: membership of one file, counts of many."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from immunoprofile import compensation, schema
from immunoprofile.compensation import Spillover
from immunoprofile.errors import ImmunoprofileError, Problem, ProblemListError, Problems
from immunoprofile.gate.binding import bind, label_doubts
from immunoprofile.gate.compensated_ratios import compensated_ratios
from immunoprofile.gate.engine import EventsNeededError, evaluate_file
from immunoprofile.gate.evaluate import GatedSample, count_rows, gate_sample
from immunoprofile.gate.file_units import in_units_of, needs_events
from immunoprofile.gate.intensities import INTENSITY_COLUMNS, check_statistics, intensity_table
from immunoprofile.gate.matching import Matcher
from immunoprofile.gate.notices import needs_matrix, notices_of
from immunoprofile.gate.sources import STAGE, distinct, left_out_gates, same_content
from immunoprofile.gate.strategy import GateSet, Strategy
from immunoprofile.io.exceptions import Notice
from immunoprofile.io.fcs import Sample
from immunoprofile.io.fcs_data import Survey
from immunoprofile.io.fcs_source import FcsSource, named_source
from immunoprofile.workers import in_order

if TYPE_CHECKING:
    import pandas as pd

    from immunoprofile.gate.engine import Evaluation

_log = logging.getLogger(__name__)

CompSource = str | Spillover | None
"""What is declared of compensation: ``keyword``, ``none``, ``compensated``, a matrix, or nothing."""


def membership(sample: Sample, gates: GateSet | Strategy, *, comp_source: CompSource = None) -> pd.DataFrame:
    """Which events of a file are in which population.

    Parameters
    ----------
    sample
        The file.
    gates
        A strategy, or a set of which the one is taken that fits the file, see `matching.match`.
    comp_source
        ``keyword``, ``none``, ``compensated``, or a matrix; None takes the file's matrix when it has one.

    Returns
    -------
    pandas.DataFrame
        bool, events x populations, in the order of the file.

    Raises
    ------
    GateError
        No template fits the panel.
    """
    import pandas as pd

    gated = gate_sample(sample, gates, comp_source=comp_source)
    for problem in gated.problems:
        _log.warning("%s: %s", sample.name, problem)
    return pd.DataFrame(dict(gated.masks))


SMALL_BATCH_BYTES = 8_000_000
"""Below this size of all files together, loading the compiled kernel takes longer than doing without it."""


def worth_compiling(paths: Iterable[Path]) -> bool:
    """Whether files are so many or so large that the compiled kernel pays; files that are missing count as none."""
    return sum(path.stat().st_size for path in paths if path.is_file()) >= SMALL_BATCH_BYTES


def gate_file(
    source: FcsSource, gates: Matcher, *, comp_source: CompSource = None, compiled: bool = True
) -> GatedSample:
    """Read and gate one file; its gates are found as `matching.match` says."""
    sample = source.read()
    return gate_sample(sample, gates.match(sample, source.path), comp_source=comp_source, compiled=compiled)


@dataclass(frozen=True)
class Counted:
    """Counts of one file (rows of `schema.COUNT_COLUMNS`), its sample id, and what is to be told of it."""

    counts: list[tuple[Any, ...]]
    sample_id: str
    notices: tuple[Notice, ...]

    @property
    def table(self) -> pd.DataFrame:
        """The counts as a table."""
        return _table(self.counts)

    def rows(self, source: FcsSource) -> list[dict[str, Any]]:
        """Rows of exceptions.csv."""
        return [notice.row(STAGE, sample_id=self.sample_id, file=source.file) for notice in self.notices]


def counted_of(
    source: FcsSource, strategy: Strategy, evaluation: Evaluation, sha256: str, notices: tuple[Notice, ...]
) -> Counted:
    """Counts of a file with what says which file they are of."""
    sample_id = source.sample_id(sha256)
    rows = [(sample_id, source.file, *row) for row in count_rows(strategy, evaluation)]
    return Counted(rows, sample_id, notices)


def _table(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows, columns=list(schema.COUNT_COLUMNS))


Labels = tuple[tuple[str, str], ...]
"""($PnN, $PnS) of all channels of a file."""

Bound = tuple[Strategy, Strategy, tuple[Problem, ...]]
"""A strategy as it is and bound to the channels of a file, and what of it is doubtful for that file."""

Panels = dict[Labels, Bound]
"""The strategy of each panel."""


def _bound(sample: Sample, path: Path, gates: Matcher, panels: Panels) -> Bound | None:
    """The gates of a file, as they are and bound to its channels; None where it takes the events to tell them.

    Kept in ``panels`` by the labels of the file, unless the gates depend on more than the panel.
    """
    if sample.labels in panels:
        return panels[sample.labels]
    found = gates.match(sample, path)
    if needs_events(sample, found.strategy) or compensated_ratios(found.strategy):
        return None
    strategy, doubts = in_units_of(sample, found.strategy)
    bound = strategy, bind(strategy, sample), (*found.problems, *doubts, *label_doubts(strategy, sample))
    if not gates.knows_samples:
        panels[sample.labels] = bound
    return bound


def count_file(
    source: FcsSource,
    gates: Matcher,
    *,
    comp_source: CompSource = None,
    panels: Panels | None = None,
    compiled: bool = True,
) -> Counted:
    """Counts of one file.

    Parameters
    ----------
    source
        The file.
    comp_source
        As in `batch`.
    gates
        Finds the gates of the file.
    panels
        Keeps the strategy of each panel, as it is and bound, for the next file with the same channels.
    compiled
        As in `gate_sample`.
    """
    head = source.read_head() if compiled else None
    found = None
    if head is not None:
        found = _bound(head.empty, source.path, gates, {} if panels is None else panels)
    if head is not None and found is not None:
        strategy, bound, doubts = found
        chosen = compensation.decide(head.empty, comp_source, needed=needs_matrix(strategy))
        survey = Survey(head.layout)
        # Otherwise the file is read whole, to count what is no number.
        with suppress(EventsNeededError):
            evaluation = evaluate_file(source.path, head, bound, chosen.spillover, survey=survey)
            judged = replace(head.empty, events=survey.events)
            if chosen.finding is not None:
                chosen = compensation.asked_about(judged, chosen)
            notices = notices_of(judged, bound, chosen, None, doubts)
            return counted_of(source, strategy, evaluation, survey.sha256, notices)
    gated = gate_file(source, gates, comp_source=comp_source, compiled=compiled)
    return counted_of(source, gated.strategy, gated.evaluation, gated.sample.sha256, gated.notices)


def batch(
    files: Iterable[str | Path],
    gates: GateSet | Strategy,
    *,
    jobs: int = 1,
    comp_source: CompSource = None,
    dataset: int | None = None,
    amplifiers: tuple[tuple[str, str], ...] = (),
    progress: bool = False,
    exceptions: list[dict[str, Any]] | None = None,
) -> pd.DataFrame:
    """Counts of many files, without a study.

    Parameters
    ----------
    files
        FCS files, of one or several tubes; ``tube.lmd[2]`` is the second data set of a file that holds several. A file
        that is named twice is gated once.
    gates
        A strategy, or a set of which the one is taken that fits each file, see `matching.match`.
    jobs
        Number of threads.
    comp_source
        ``keyword``, ``none``, ``compensated``, or a matrix; None takes the matrix of each file when it has one. Whether
        a matrix that nobody declared was applied already is told by up to 20,000 events, evenly from the file; no more
        than these are kept in memory.
    dataset
        Data set of all files whose name does not say one.
    amplifiers
        What floating point data under a log amplifier hold: (``$PnN`` or ``*``, ``log`` or ``linear``) pairs.
    progress
        Show a progress bar.
    exceptions
        List that takes the rows (`schema.EXCEPTION_COLUMNS`) of files that could not be gated, and of what is to be
        told of the others: repairs, doubtful compensation, events that are no numbers, files given twice, gates that
        were left out. Without it a file that could not be gated is an error, raised after all others were tried, and
        the rest is logged.

    Returns
    -------
    pandas.DataFrame
        `schema.COUNT_COLUMNS`, one row per file x population, in the order of ``files`` whatever ``jobs`` is.
        ``sample_id`` is the content hash, since file names repeat.

    Raises
    ------
    ProblemListError
        Files that could not be gated, all at once, unless ``exceptions`` is given.
    """
    from tqdm import tqdm

    from immunoprofile.io.progress import hidden

    found, repeated = distinct(named_source(file, dataset=dataset, amplifiers=amplifiers) for file in files)
    panels: Panels = {}
    matcher = Matcher(gates, [source.path for source in found])
    compiled = worth_compiling(source.path for source in found)

    def one(source: FcsSource) -> Counted | ImmunoprofileError:
        try:
            return count_file(source, matcher, comp_source=comp_source, panels=panels, compiled=compiled)
        except ImmunoprofileError as error:
            return _without_frames(error)

    results = in_order(one, found, jobs=jobs)
    done = tqdm(results, total=len(found), desc="gating", unit="file", disable=hidden(wanted=progress))
    outcomes = list(zip(found, done, strict=True))
    failed = [(source, outcome) for source, outcome in outcomes if isinstance(outcome, ImmunoprofileError)]
    if failed and exceptions is None:
        problems = Problems()
        for source, error in failed:
            problems.add(source.file, str(error))
        raise ProblemListError("files could not be gated", problems.found, todo="gate the others without them")
    gated = [(source, outcome) for source, outcome in outcomes if isinstance(outcome, Counted)]
    rows = left_out_gates(gates)
    for source, outcome in outcomes:
        if isinstance(outcome, Counted):
            rows += outcome.rows(source)
        else:
            rows.append(gating_exception(outcome, file=source.file))
    rows += [*repeated, *same_content((source, outcome.sample_id) for source, outcome in gated)]
    if exceptions is None:
        for row in rows:
            _log.warning("%s: %s", row["file"], row["message"])
    else:
        exceptions.extend(rows)
    return _table([row for _, outcome in gated for row in outcome.counts])


def batch_intensities(
    files: Iterable[str | Path],
    gates: GateSet | Strategy,
    *,
    statistics: Sequence[str] = ("median",),
    populations: Iterable[str] | None = None,
    jobs: int = 1,
    comp_source: CompSource = None,
) -> pd.DataFrame:
    """Statistics of the intensities of many files, without a study.

    Parameters
    ----------
    files, gates, jobs, comp_source
        As for `batch`.
    statistics
        Names of `intensities.INTENSITY_STATISTICS`.
    populations
        Ids; None takes all of each file.

    Returns
    -------
    pandas.DataFrame
        ``file`` and `intensities.INTENSITY_COLUMNS`, in the order of ``files``.

    Raises
    ------
    GateError
        A statistic is not known.
    ProblemListError
        Files could not be gated, or lack a population; all are named.
    """
    import pandas as pd

    wanted = check_statistics(statistics)
    chosen = None if populations is None else tuple(populations)
    found, _ = distinct(named_source(file) for file in files)
    matcher = Matcher(gates, [source.path for source in found])

    def one(source: FcsSource) -> pd.DataFrame | ImmunoprofileError:
        try:
            gated = gate_file(source, matcher, comp_source=comp_source)
            return intensity_table(gated, wanted, chosen).assign(file=source.file)
        except ImmunoprofileError as error:
            return _without_frames(error)

    problems, tables = Problems(), []
    for source, outcome in zip(found, in_order(one, found, jobs=jobs), strict=True):
        if isinstance(outcome, ImmunoprofileError):
            problems.add(source.file, str(outcome))
        else:
            tables.append(outcome)
    if problems:
        raise ProblemListError("files could not be gated", problems.found, todo="gate the others without them")
    columns = ["file", *INTENSITY_COLUMNS]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def _without_frames(error: ImmunoprofileError) -> ImmunoprofileError:
    """The same error without what holds the variables of its frames, among them the events of its file."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def gating_exception(error: ImmunoprofileError, **place: object) -> dict[str, Any]:
    """Row of exceptions.csv for a file that could not be gated; ``place`` fills subject, visit, sample and file."""
    code = {"FcsError": "FILE_UNREADABLE", "GateError": "PANEL_MISMATCH", "CompensationError": "COMP_MISSING"}
    problems: Sequence[object] = getattr(error, "problems", ())
    message = "; ".join([error.what, *(str(problem) for problem in problems)])
    return Notice(code.get(type(error).__name__, "NOT_GATED"), message, error.todo, "error").row(STAGE, **place)
