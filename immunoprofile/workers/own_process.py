"""What a command settles of its process and its workers, which are its own: memory, and the search for circles."""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Final

_TRIM: Final = -1
_MAPPED_FROM: Final = -3
"""Numbers of ``mallopt`` in the library C of GNU."""
_KEPT: Final = 128 << 20
_LARGE: Final = 32 << 20


def settle() -> None:
    """Called once, before a command begins and before its workers load anything."""
    # It makes many small tables that live on: looked through as often as by default, they cost a twentieth of a run.
    # What holds no circle is freed at once all the same.
    gc.set_threshold(50_000, 20, 50)
    if not sys.platform.startswith("linux"):
        return
    allocate = getattr(ctypes.CDLL(None), "mallopt", None)
    if allocate is None:  # another library C
        return
    # Columns of a file take some MB: given back to the system after each file, their pages are cleared and mapped anew
    # for the next one, which costs as much as the gates.
    allocate(_TRIM, _KEPT)
    allocate(_MAPPED_FROM, _LARGE)


def live_on() -> None:
    """What there is now (libraries, tables of the stages before) is not looked through for circles any more."""
    gc.freeze()
