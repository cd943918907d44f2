#!/usr/bin/env bash
# anndata 0.12.19 (PyPI).
#
# AnnData.obsm looks like an attribute that holds tables. Each time it is named, a new mapping is made, and the index of
# every DataFrame in it is compared with obs_names: to read one of eighteen tables once compares eighteen indexes, to
# read one value a thousand times eighteen thousand, each as long as the samples are many. One would expect a look-up.
# A mapping that is kept (obsm = adata.obsm) is asked without any comparison.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check anndata==0.12.19 pandas==2.3.3 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import anndata
import numpy as np
import pandas as pd

names = [f"sample{n}" for n in range(2000)]
adata = anndata.AnnData(np.zeros((2000, 3)), obs=pd.DataFrame(index=names))
for k in range(18):
    adata.obsm[f"table{k}"] = pd.DataFrame({"a": np.zeros(2000), "b": np.zeros(2000)}, index=adata.obs_names.copy())

compared = 0
plain = pd.Index.equals


def counted(self, other):
    global compared
    compared += 1
    return plain(self, other)


pd.Index.equals = counted
adata.obsm["table3"]
one = compared
compared = 0
for _ in range(10):
    adata.obsm["table3"]
ten = compared
kept = adata.obsm
compared = 0
for _ in range(10):
    kept["table3"]
print(f"indexes compared by one access {one}, by ten {ten}, by ten of a kept mapping {compared}")
assert (one, ten, compared) == (18, 180, 0), "no longer so"
print("as stated")
PY
