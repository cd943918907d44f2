"""Objects as other versions of anndata wrote them; every version of the lock must read them all.

``python -m tests.archives`` writes ``visits-<version>.h5ad`` and ``cells-<version>.h5ad`` with the installed anndata.
"""
