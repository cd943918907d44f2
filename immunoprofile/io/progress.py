"""Whether a progress bar is of use where the output goes."""

from __future__ import annotations

import sys


def hidden(*, wanted: bool) -> bool:
    """True when no bar is to be shown: not wanted, or the error output is a file or a pipe.

    A bar redraws itself with carriage returns, which fill a log with thousands of fragments. A notebook is no terminal
    either, but shows bars well. For ``disable`` of tqdm.
    """
    if not wanted:
        return True
    stream = sys.stderr
    if stream is None:
        return True
    return not (stream.isatty() or type(stream).__module__.startswith("ipykernel."))
