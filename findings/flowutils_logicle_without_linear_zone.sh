#!/usr/bin/env bash
# flowutils 1.2.2 (PyPI), which FlowKit 1.3.2 evaluates logicle scales with.
#
# A logicle scale without a linear zone (W = 0, allowed by GatingML 2.0) is continuous and rises everywhere. flowutils
# gives it the value -1 for numbers next to zero (below about 1e-8 of T = 262144, of either sign; 0 itself is right),
# where its neighbours lie at A / (M + A) - 0.1 here - and nothing is said. One would expect values of the scale, or NaN.
# Such an event is below every gate that begins at the bottom of the plot. With W = 0.01 it does not happen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 flowutils==1.2.2
"$folder/venv/bin/python" - <<'PY'
import numpy as np
from flowutils import transforms

values = np.array([-1.0, -1e-10, 0.0, 1e-10, 1e-3, 1.0])
got = transforms.logicle(values.copy(), None, t=262144, m=4.5, w=0.0, a=0.5)
near = transforms.logicle(values.copy(), None, t=262144, m=4.5, w=0.01, a=0.5)
for value, without, little in zip(values, got, near):
    print(f"x = {value:9.3g}   W = 0: {without:8.5f}   W = 0.01: {little:8.5f}")
assert got[1] == got[3] == -1.0, "no longer so"
assert abs(got[2] - 0.1) < 1e-9 and abs(got[4] - 0.1) < 1e-4
assert np.all(np.diff(near) >= 0) and near[1] > 0.1
print("seen: -1 next to zero, 0.1 at zero")
PY
