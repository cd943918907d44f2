"""Whether loops over events are compiled (`event_kernels`, `density_kernels`), or done by their twins in numpy.

Each has a twin with the same arithmetic in the same order where it is called, so that both give the same bits: a few
files are judged without loading or compiling anything, many several times faster. No caller asks for one of the two.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from typing import Any


def loaded() -> bool:
    """Whether the compiler is in this process already, for instance since a run gates with its kernel."""
    return "numba" in sys.modules


@cache
def loops() -> Any:
    """The compiled loops by their names; each is compiled when it is called first, and kept for the next process."""
    return import_module("immunoprofile.event_kernels")


@cache
def of_densities() -> Any:
    """The same for the loops of `density`."""
    return import_module("immunoprofile.density_kernels")
