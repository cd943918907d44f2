"""Writes the two files of the installed anndata, as a run writes them."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from tests.archives.objects import cells_object, visits_object

version = ".".join(metadata.version("anndata").split(".")[:2])
for name, adata in (("visits", visits_object()), ("cells", cells_object())):
    adata.write_h5ad(Path(__file__).parent / f"{name}-{version}.h5ad", compression="gzip")
