"""Which cluster is meant by a word of the command line: an address, a file that names it, or one to be started here."""

from __future__ import annotations

import json
import logging
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from immunoprofile.errors import ClusterError, NotAvailableError
from immunoprofile.io.inputs import reason
from immunoprofile.workers.one_thread import ONE_THREAD

if TYPE_CHECKING:
    from distributed import Client

_CONNECT: Final = 20.0
"""Seconds in which a scheduler must answer."""
_LOCAL: Final = re.compile(r"local:([1-9][0-9]{0,3})")
_FORMS: Final = "tcp://host:port, a scheduler file, or local:N for N processes of this machine"


@contextmanager
def connected(scheduler: str) -> Iterator[Client]:
    """A client of a cluster; what was started here ends with the block, or with this process.

    Parameters
    ----------
    scheduler
        ``tcp://host:port`` (or another protocol of dask), ``host:port``, the path of a scheduler file
        (``dask scheduler --scheduler-file``), or ``local:N``.

    Raises
    ------
    ClusterError
        The word is none of these, the file names no scheduler, or the scheduler does not answer.
    NotAvailableError
        dask.distributed is not installed.
    """
    try:
        import dask
        import distributed
    except ImportError as error:
        raise NotAvailableError("dask.distributed is not installed", where="--scheduler",
                                todo="pip install 'immunoprofile[cluster]'") from error  # fmt: skip
    local = _LOCAL.fullmatch(scheduler)
    # What dask logs of a connection that is lost comes with its traceback, beside the error that says it.
    with _quiet(logging.CRITICAL, "distributed.client", "distributed.core", "distributed.utils"):
        if local is None:
            address = _address_of(scheduler)
            try:
                client = distributed.Client(address, timeout=_CONNECT, set_as_default=False, name="immunoprofile")
            except (OSError, ValueError, RuntimeError, ImportError) as error:
                text = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
                raise ClusterError(f"no scheduler answers: {text}", where=scheduler,
                                   todo=f"start it, or name another: {_FORMS}") from error  # fmt: skip
            with client:
                yield client
            return
        # Before the processes are there: what they import first may load numba.
        environment = {f"distributed.nanny.pre-spawn-environ.{name}": one for name, one in ONE_THREAD.items()}
        with dask.config.set(environment), _started(distributed, int(local[1])) as client:
            yield client


@contextmanager
def _started(distributed: Any, workers: int) -> Iterator[Client]:
    """A client of worker processes of this machine, which end with the block."""
    with (
        _quiet(logging.ERROR, "distributed"),
        tempfile.TemporaryDirectory(prefix="immunoprofile-", ignore_cleanup_errors=True) as folder,
        distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False}, memory_limit=0,
            local_directory=folder, silence_logs=logging.ERROR,
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):  # fmt: skip
        yield client


@contextmanager
def _quiet(level: int, *names: str) -> Iterator[None]:
    """Without what some loggers say below a level.

    dask's own ``silence_logs`` is of no effect on this process where it has a handler of its own, as the command
    line has.
    """
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, one in zip(loggers, before, strict=True):
            logger.setLevel(one)


def _address_of(word: str) -> str:
    if "://" in word:
        return word
    if re.fullmatch(r"[\w.-]+:\d{1,5}", word) and not word.startswith("local:"):
        return f"tcp://{word}"
    if not word.strip():  # as a job script has it whose variable is not set
        raise ClusterError("no address is given", where="--scheduler", todo=f"name one of: {_FORMS}")
    if word == "local" or word.startswith("local:"):
        raise ClusterError("is no number of processes", where=word, todo=f"name one of: {_FORMS}")
    try:
        return str(json.loads(Path(word).read_bytes())["address"])
    except OSError as error:
        raise ClusterError(f"cannot be read as a scheduler file: {reason(error)}", where=word,
                           todo=f"name one of: {_FORMS}") from error  # fmt: skip
    except (ValueError, KeyError, TypeError) as error:
        raise ClusterError("names no scheduler", where=word, todo=f"name one of: {_FORMS}") from error
