"""AnnData as ``.h5ad``, all or nothing."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from immunoprofile.io.files import write_bytes

if TYPE_CHECKING:
    import anndata


def read_h5ad(path: Path) -> anndata.AnnData:
    """Read an object; a word that stands in many rows is kept once.

    HDF5 gives a new text for each cell, and the tables of a run say the same few words in thousands of rows.

    Parameters
    ----------
    path
        File to read.

    Raises
    ------
    OSError, KeyError, ValueError
        It is no such file, or is damaged.
    """
    import anndata
    import pandas as pd
    from pandas.api.types import is_object_dtype

    adata = anndata.read_h5ad(path)
    known: dict[str, str] = {}
    for table in (adata.obs, adata.var, *(one for one in adata.uns.values() if isinstance(one, pd.DataFrame))):
        for name in [name for name in table.columns if is_object_dtype(table[name])]:
            cells = [known.setdefault(cell, cell) if type(cell) is str else cell for cell in table[name]]
            table[name] = pd.Series(cells, index=table.index, dtype=object)
    return adata


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
