#!/usr/bin/env bash
# A FlowJo workspace names compensated channels with a prefix (Comp-FITC-A) and recorded ones without it (FITC-A). A gate on the
# recorded channel, in a sample with a spillover matrix, is evaluated by FlowKit on compensated values all the same.
# Seen with flowkit 1.3.2, flowio 1.4.0. Exit code 1 when that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check flowkit==1.3.2
cd "$folder"
venv/bin/python - <<'PYTHON'
from array import array
from importlib.metadata import version

import flowio
import flowkit
import numpy as np

print("flowkit", version("flowkit"), "flowio", version("flowio"))
rng = np.random.default_rng(5)
dyes = rng.lognormal(6.0, 1.0, (2000, 2))
spill = np.array([[1.0, 0.4], [0.1, 1.0]])
recorded = np.float32(dyes @ spill)
with open("tube.fcs", "wb") as handle:
    flowio.create_fcs(handle, array("f", recorded.ravel().tolist()), ["FITC-A", "PE-A"])

spaces = "".join(
    f' xmlns:{short}="http://www.isac-net.org/std/Gating-ML/v2.0/{name}"'
    for short, name in (("gating", "gating"), ("transforms", "transformations"), ("data-type", "datatypes"))
)
rows = "".join(
    f'<transforms:spillover data-type:parameter="{row}">'
    + "".join(
        f'<transforms:coefficient data-type:parameter="{column}" transforms:value="{spill[i, j]}"/>'
        for j, column in enumerate(("FITC-A", "PE-A"))
    )
    + "</transforms:spillover>"
    for i, row in enumerate(("FITC-A", "PE-A"))
)


def population(name, channel):
    axis = f'<gating:dimension gating:min="600"><data-type:fcs-dimension data-type:name="{channel}"/></gating:dimension>'
    gate = f"<Gate><gating:RectangleGate>{axis}</gating:RectangleGate></Gate>"
    return f'<Population name="{name}" owningGroup="" count="-1">{gate}</Population>'


open("lab.wsp", "w").write(
    f'<Workspace version="20.0" flowJoVersion="10.8.1"{spaces}><Groups><GroupNode name="All Samples"><Group name="All Samples">'
    '<SampleRefs><SampleRef sampleID="1"/></SampleRefs></Group></GroupNode></Groups><SampleList><Sample>'
    '<DataSet uri="file:tube.fcs" sampleID="1"/><transforms:spilloverMatrix prefix="Comp-" suffix="" name="m">'
    '<data-type:parameters><data-type:parameter data-type:name="FITC-A"/><data-type:parameter data-type:name="PE-A"/>'
    f"</data-type:parameters>{rows}</transforms:spilloverMatrix><Transformations/><Keywords/>"
    '<SampleNode name="tube.fcs" sampleID="1"><Subpopulations>'
    + population("recorded", "PE-A")
    + population("compensated", "Comp-PE-A")
    + "</Subpopulations></SampleNode></Sample></SampleList></Workspace>"
)
opened = flowkit.Workspace("lab.wsp", fcs_samples=[flowkit.Sample("tube.fcs", sample_id="tube.fcs")])
opened.analyze_samples(sample_id="tube.fcs")
n = {name: int(opened.get_gate_membership("tube.fcs", name).sum()) for name in ("recorded", "compensated")}
by_hand = int((recorded[:, 1] >= 600).sum()), int((np.linalg.solve(spill.T, recorded.T)[1] >= 600).sum())
print("FlowKit:", n, "| by hand: recorded", by_hand[0], "compensated", by_hand[1])
assert by_hand[0] != by_hand[1]
assert n == {"recorded": by_hand[1], "compensated": by_hand[1]}, "FlowKit changed: the recorded gate is on recorded values now"
print("as stated: both gates see compensated values")
PYTHON
