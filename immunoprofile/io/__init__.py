"""Reading and writing: FCS files, study tables and configuration, manifests, and files without persons."""

from __future__ import annotations

from immunoprofile.io.deidentify import deidentify, deidentify_file
from immunoprofile.io.fcs import Channel, Sample, read_fcs, read_fcs_datasets
from immunoprofile.io.fcs_layout import Layout
from immunoprofile.io.manifest import propose_manifest, write_manifest
from immunoprofile.io.panels import harmonise

__all__ = [
    "Channel",
    "Layout",
    "Sample",
    "deidentify",
    "deidentify_file",
    "harmonise",
    "propose_manifest",
    "read_fcs",
    "read_fcs_datasets",
    "write_manifest",
]
