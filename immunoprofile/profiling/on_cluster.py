"""The workers of a cluster for the files and pages of a study: what they must see, and under which paths."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from immunoprofile.io.config import CONFIG_NAME
from immunoprofile.profiling.sealing import PARTIAL
from immunoprofile.study import Study

if TYPE_CHECKING:
    from distributed import Client

    from immunoprofile.workers.cluster import Cluster

_FOLDERS = 50
"""Folders of FCS files in which a worker is asked for a file."""


def located(study: Study, out: Path, client: Client | None) -> tuple[Study, Path]:
    """Study and results folder as other machines name them: by absolute paths, where there are others."""
    if client is None:
        return study, out
    return replace(study, folder=study.folder.absolute()), out.absolute()


def joined(client: Client | None, study: Study, out: Path, *, wait: float) -> Cluster | None:
    """The workers of a client, held against this process before anything of the results is touched.

    Raises
    ------
    ClusterError
        As `workers.cluster.agree`.
    """
    if client is None:
        return None
    from immunoprofile.workers.cluster import Cluster, agree

    # One file of each folder of FCS files: they may be links to other disks.
    files = {path.parent: path for path in (study.fcs_path(str(one)) for one in study.samples["sample_id"])}
    agree(client, out, hashed=[study.folder / CONFIG_NAME], there=list(files.values())[:_FOLDERS], wait=wait)
    return Cluster(client, out / PARTIAL, wait=wait)
