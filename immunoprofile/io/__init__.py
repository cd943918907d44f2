"""Reading and writing: FCS files, study tables and configuration."""

from __future__ import annotations

from immunoprofile.io.fcs import Channel, Sample, read_fcs

__all__ = ["Channel", "Sample", "read_fcs"]
