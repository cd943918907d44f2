"""AnnData as ``.h5ad``, all or nothing."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from immunoprofile.io.files import write_bytes

if TYPE_CHECKING:
    import anndata


def write_h5ad(adata: anndata.AnnData, path: Path) -> None:
    """Write an object; it re-reads to the same values, and equal objects give equal bytes.

    The file is made in memory, since HDF5 ends a disk that is full with a page of messages that nobody can catch.

    Parameters
    ----------
    adata
        The object; text columns of ``obs`` and ``var`` become categorical.
    path
        File to write.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    import h5py
    from anndata.io import write_elem

    adata.strings_to_categoricals()  # as AnnData itself does before it writes
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        write_elem(file, "/", adata, dataset_kwargs={"compression": "gzip"})
    write_bytes(path, buffer.getvalue())
