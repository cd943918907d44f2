"""Gate files without a study: membership of one file, counts of many."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from immunoprofile import compensation, schema
from immunoprofile.errors import ImmunoprofileError, ProblemListError, Problems
from immunoprofile.gate.binding import bind
from immunoprofile.gate.engine import evaluate_file
from immunoprofile.gate.evaluate import GatedSample, count_table, gate_sample
from immunoprofile.gate.flowjo_units import in_units_of, needs_events
from immunoprofile.gate.matching import Matcher, match
from immunoprofile.gate.strategy import GateSet, Strategy
from immunoprofile.io.fcs import Sample, read_fcs, read_fcs_head
from immunoprofile.io.files import sha256_of

if TYPE_CHECKING:
    import pandas as pd


def membership(sample: Sample, gates: GateSet | Strategy, *, comp_source: str | None = None) -> pd.DataFrame:
    """Which events of a file are in which population.

    Parameters
    ----------
    sample
        The file.
    gates
        A strategy, or a set of which the one is taken that fits the file, see `matching.match`.
    comp_source
        ``keyword``, ``none``, ``compensated``; None takes the file's matrix when it has one.

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

    gated = gate_sample(sample, match(sample, gates), comp_source=comp_source)
    return pd.DataFrame(dict(gated.masks))


SMALL_BATCH_BYTES = 8_000_000
"""Below this size of all files together, loading the compiled kernel takes longer than doing without it."""


def worth_compiling(paths: Iterable[Path]) -> bool:
    """Whether files are so many or so large that the compiled kernel pays; files that are missing count as none."""
    return sum(path.stat().st_size for path in paths if path.is_file()) >= SMALL_BATCH_BYTES


def gate_file(path: Path, gates: Matcher, *, comp_source: str | None = None, compiled: bool = True) -> GatedSample:
    """Read and gate one file; its gates are found as `matching.match` says."""
    sample = read_fcs(path)
    return gate_sample(sample, gates.match(sample, path), comp_source=comp_source, compiled=compiled)


Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(function: Callable[[Item], Result], items: Iterable[Item], *, jobs: int) -> Iterator[Result]:
    """Results of a function on threads, in the order of the items.

    Never more than two items a thread are begun or wait with their result, so that memory does not grow with the
    number of items. When the caller stops, or an item fails, the items that have not begun are not begun any more.
    Meanwhile linear algebra keeps to one thread: many small products wait longer for its threads than they take, and
    sums over several threads round differently from one machine to the next.

    Parameters
    ----------
    function
        Called once for each item.
    items
        Taken as they are needed.
    jobs
        Number of threads.
    """
    from threadpoolctl import threadpool_limits

    jobs = max(1, jobs)
    waiting: deque[Future[Result]] = deque()
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(max_workers=jobs) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= 2 * jobs:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


Labels = tuple[tuple[str, str], ...]
"""($PnN, $PnS) of all channels of a file."""

Panels = dict[Labels, tuple[Strategy, Strategy]]
"""The strategy of each panel, as it is and bound to its channels."""


def _bound(sample: Sample, path: Path, gates: Matcher, panels: Panels) -> tuple[Strategy, Strategy] | None:
    """The gates of a file, as they are and bound to its channels; None where it takes the events to tell them.

    Kept in ``panels`` by the labels of the file, unless the gates depend on more than the panel.
    """
    if sample.labels in panels:
        return panels[sample.labels]
    found = gates.match(sample, path)
    if needs_events(sample, found.strategy):
        return None
    strategy, _ = in_units_of(sample, found.strategy)
    bound = strategy, bind(strategy, sample)
    if not gates.knows_samples:
        panels[sample.labels] = bound
    return bound


def count_file(
    path: Path,
    gates: Matcher,
    *,
    comp_source: str | None = None,
    panels: Panels | None = None,
    compiled: bool = True,
) -> pd.DataFrame:
    """Counts of one file.

    Parameters
    ----------
    path, comp_source
        As in `batch`.
    gates
        Finds the gates of the file.
    panels
        Keeps the strategy of each panel, as it is and bound, for the next file with the same channels.
    compiled
        As in `gate_sample`.

    Returns
    -------
    pandas.DataFrame
        `schema.COUNT_COLUMNS`, one row a population.
    """
    head = read_fcs_head(path) if comp_source is not None and compiled else None
    found = None
    if head is not None and head.complete:
        found = _bound(head.empty, path, gates, {} if panels is None else panels)
    if head is not None and found is not None:
        strategy, bound = found
        chosen = compensation.decide(head.empty, comp_source)
        counts = count_table(strategy, evaluate_file(path, head, bound, chosen.spillover))
        sha256 = sha256_of(path)
    else:
        gated = gate_file(path, gates, comp_source=comp_source, compiled=compiled)
        counts, sha256 = gated.counts(), gated.sample.sha256
    counts.insert(0, "file", path.as_posix())
    counts.insert(0, "sample_id", sha256)
    return counts


def batch(
    files: Iterable[str | Path],
    gates: GateSet | Strategy,
    *,
    jobs: int = 1,
    comp_source: str | None = None,
    progress: bool = False,
    exceptions: list[dict[str, Any]] | None = None,
) -> pd.DataFrame:
    """Counts of many files, without a study.

    Parameters
    ----------
    files
        FCS files, of one or several tubes.
    gates
        A strategy, or a set of which the one is taken that fits each file, see `matching.match`.
    jobs
        Number of threads.
    comp_source
        ``keyword``, ``none``, ``compensated``. Where it is declared, events are not kept in memory; None takes the
        matrix of each file when it has one, and reads the file whole to tell whether it was applied already.
    progress
        Show a progress bar.
    exceptions
        List that takes one row (`schema.EXCEPTION_COLUMNS`) for each file that could not be gated. Without it such a
        file is an error, raised after all others were tried.

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
    import pandas as pd
    from tqdm import tqdm

    from immunoprofile.io.progress import hidden

    paths = [Path(file) for file in files]
    panels: Panels = {}
    matcher = Matcher(gates, paths)
    compiled = worth_compiling(paths)

    def one(path: Path) -> pd.DataFrame | ImmunoprofileError:
        try:
            return count_file(path, matcher, comp_source=comp_source, panels=panels, compiled=compiled)
        except ImmunoprofileError as error:
            return _without_frames(error)

    results = in_order(one, paths, jobs=jobs)
    outcomes = list(tqdm(results, total=len(paths), desc="gating", unit="file", disable=hidden(wanted=progress)))
    failed = [(p, o) for p, o in zip(paths, outcomes, strict=True) if isinstance(o, ImmunoprofileError)]
    if failed and exceptions is None:
        problems = Problems()
        for path, error in failed:
            problems.add(path.as_posix(), str(error))
        raise ProblemListError("files could not be gated", problems.found, todo="gate the others without them")
    if exceptions is not None:
        exceptions.extend(gating_exception(error, file=path.as_posix()) for path, error in failed)
    tables = [outcome for outcome in outcomes if not isinstance(outcome, ImmunoprofileError)]
    if not tables:
        return pd.DataFrame(columns=list(schema.COUNT_COLUMNS))
    return pd.concat(tables, ignore_index=True)[list(schema.COUNT_COLUMNS)]


def _without_frames(error: ImmunoprofileError) -> ImmunoprofileError:
    """The same error without what holds the variables of its frames, among them the events of its file."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def gating_exception(error: ImmunoprofileError, **place: object) -> dict[str, Any]:
    """Row of exceptions.csv for a file that could not be gated; ``place`` fills subject, visit, sample and file."""
    row: dict[str, Any] = dict.fromkeys(schema.EXCEPTION_COLUMNS, "")
    code = {"FcsError": "FILE_UNREADABLE", "GateError": "PANEL_MISMATCH", "CompensationError": "COMP_MISSING"}
    problems: Sequence[object] = getattr(error, "problems", ())
    message = "; ".join([error.what, *(str(problem) for problem in problems)])
    row |= {
        "stage": "gating",
        "severity": "error",
        "code": code.get(type(error).__name__, "NOT_GATED"),
        "message": message,
        "action": error.todo,
    }
    return row | place
