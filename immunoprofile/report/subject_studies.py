"""What pages of one subject share: the study as if it had this subject only, and gating plots of its baseline."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

from immunoprofile.io.records import Parts

if TYPE_CHECKING:
    from immunoprofile.gate.raster import GateRaster
    from immunoprofile.profiling.results import Profile

_OF_STUDY = ("subjects", "cmv_dna", "dosing", "conmeds", "events")
_OF_RESULTS = ("dose_adequacy", "cmv_confounders")
_RASTERS_KEPT: Final = 12
"""Acquisitions: of some tubes at two visits."""


class SubjectStudies:
    """Tables of a profile by subject; those of the last one that was asked for are kept.

    Pages come subject by subject, and the tables of thousands of subjects would be kept for nothing.
    """

    def __init__(self, profile: Profile) -> None:
        self._config = profile.study.config
        tables = {name: getattr(profile.study, name, None) for name in _OF_STUDY}
        tables |= {name: profile.tables.get(name) for name in _OF_RESULTS}
        self._tables = {name: None if table is None else Parts(table, "usubjid") for name, table in tables.items()}
        self._last: tuple[str, SimpleNamespace] | None = None

    def of(self, subject: str) -> SimpleNamespace:
        """Configuration and tables of the study with the rows of a subject, and two results.

        The results are ``dose_adequacy`` and ``cmv_confounders``, None where the run has none.
        """
        if self._last is None or self._last[0] != subject:
            own = {name: None if parts is None else parts.of(subject) for name, parts in self._tables.items()}
            self._last = subject, SimpleNamespace(config=self._config, **own)
        return self._last[1]


class RecentRasters:
    """Gating plots of a profile by acquisition; the last that were asked for are kept.

    Those of a baseline stand on every page of its subject.
    """

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._kept: dict[str, tuple[GateRaster, ...]] = {}

    def of(self, sample_id: str) -> tuple[GateRaster, ...]:
        """Plots of an acquisition; none when it could not be gated."""
        found = self._kept.pop(sample_id) if sample_id in self._kept else self._profile.rasters(sample_id)
        self._kept[sample_id] = found
        if len(self._kept) > _RASTERS_KEPT:
            del self._kept[next(iter(self._kept))]
        return found
