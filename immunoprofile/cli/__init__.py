"""Command line: a thin shell over the same functions that Python users call.

Exit codes: 0 all went well; 1 nothing was done, the message says why; 2 the command line was wrong; 3 done, but
something was left out (see ``exceptions.csv``); 130 and 143 stopped by Ctrl-C and by the system.
"""

from __future__ import annotations

import logging
import os
import sys

import typer

from immunoprofile.cli import files, lab, registry, results, skeleton, studies
from immunoprofile.cli.shell import EXIT_ERROR, EXIT_LEFT_OUT, app
from immunoprofile.cli.stopping import answer_signals
from immunoprofile.errors import ImmunoprofileError

__all__ = ["EXIT_ERROR", "EXIT_LEFT_OUT", "app", "files", "lab", "main", "registry", "results", "skeleton", "studies"]


def main() -> None:
    """Entry point: run the command and tell an error of ours in one paragraph instead of a traceback."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    answer_signals()
    try:
        app()
    except ImmunoprofileError as error:
        _tell(str(error))
    except MemoryError:
        _tell("there is not enough memory -> use fewer --jobs, or a machine with more")
    except OSError as error:
        place = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        _tell(f"{place}{error.strerror or error} -> look at the file and the disk, then give the command again")


def _tell(message: str) -> None:
    typer.echo(f"error: {message}", err=True)
    sys.exit(EXIT_ERROR)
