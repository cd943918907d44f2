"""Command line: a thin shell over the same functions that Python users call.

Exit codes: 0 all went well; 1 nothing was done, the message says why; 2 the command line was wrong; 3 done, but
something was left out (see ``exceptions.csv``).
"""

from __future__ import annotations

import logging
import sys

import typer

from immunoprofile.cli import files, registry, results, skeleton, studies
from immunoprofile.cli.shell import EXIT_ERROR, EXIT_LEFT_OUT, app
from immunoprofile.errors import ImmunoprofileError

__all__ = ["EXIT_ERROR", "EXIT_LEFT_OUT", "app", "files", "main", "registry", "results", "skeleton", "studies"]


def main() -> None:
    """Entry point: run the command and tell an error of ours in one paragraph instead of a traceback."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        app()
    except ImmunoprofileError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(EXIT_ERROR)
