"""Gate a whole study and assemble its results: the AnnData of visits, quality, exceptions and provenance."""

from __future__ import annotations

from immunoprofile.profiling.results import Profile, read_results
from immunoprofile.profiling.run import profile

__all__ = ["Profile", "profile", "read_results"]
