"""Ctrl-C and other requests to end: one sentence, at once, with nothing half written and no process left."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Final

from immunoprofile.io.files import abandon
from immunoprofile.io.only_writer import give_all_back

_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
_GOES_ON: Final = frozenset({"demo", "gate", "report", "run"})
"""Commands that keep what they did, file by file."""


def answer_signals() -> None:
    """End this process with a sentence when it is asked to; what the caller chose to ignore stays ignored."""
    for name in _SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def _end(number: int, _frame: FrameType | None) -> None:
    # Unwinding would wait for the files that threads are working on, which may take minutes. Every file is written
    # under another name and renamed, so that the process can end here; worker processes end with it.
    abandon()
    give_all_back()
    command = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    again = "goes on where it stopped" if command in _GOES_ON else "starts anew"
    os.write(
        2, f"\nstopped ({signal.Signals(number).name}): nothing is half written; the same command {again}\n".encode()
    )
    os._exit(128 + number)
