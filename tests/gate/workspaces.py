"""FlowJo workspaces made for tests: samples of one panel, with gates as FlowJo writes them."""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

HEAD = (
    '<Workspace version="20.0" flowJoVersion="10.8.1" '
    'xmlns:gating="http://www.isac-net.org/std/Gating-ML/v2.0/gating" '
    'xmlns:transforms="http://www.isac-net.org/std/Gating-ML/v2.0/transformations" '
    'xmlns:data-type="http://www.isac-net.org/std/Gating-ML/v2.0/datatypes">'
)
SPILL = ((1.0, 0.2, 0.0), (0.05, 1.0, 0.01), (0.0, 0.1, 1.0))
FLUORESCENT = ("FITC-A", "PE-A", "APC-A")
CHANNELS = ("FSC-A", "SSC-A", *FLUORESCENT, "Time")


def axis(channel: str, low: float | None = None, high: float | None = None) -> str:
    limits = "".join(f' gating:{n}="{v}"' for n, v in (("min", low), ("max", high)) if v is not None)
    return (
        f"<gating:dimension{limits}><data-type:fcs-dimension data-type:name={quoteattr(channel)}/></gating:dimension>"
    )


def rectangle(*axes: str, inside: bool = True) -> str:
    return f'<Gate><gating:RectangleGate eventsInside="{int(inside)}">{"".join(axes)}</gating:RectangleGate></Gate>'


def points(*corners: tuple[float, float]) -> str:
    values = ["".join(f'<gating:coordinate data-type:value="{v}"/>' for v in corner) for corner in corners]
    return "".join(f"<gating:vertex>{value}</gating:vertex>" for value in values)


def polygon(x: str, y: str, *corners: tuple[float, float]) -> str:
    return (
        f'<Gate><gating:PolygonGate eventsInside="1">{axis(x)}{axis(y)}{points(*corners)}</gating:PolygonGate></Gate>'
    )


def ellipse(x: str, y: str, foci: tuple, edge: tuple) -> str:
    inner = f"<gating:foci>{points(*foci)}</gating:foci><gating:edge>{points(*edge)}</gating:edge>"
    head = '<gating:EllipsoidGate eventsInside="1" gating:distance="1">'
    return f"<Gate>{head}{axis(x)}{axis(y)}{inner}</gating:EllipsoidGate></Gate>"


def curly(x: str, y: str) -> str:
    return f"<Gate><gating:CurlyQuadrant>{axis(x)}{axis(y)}</gating:CurlyQuadrant></Gate>"


def population(name: str, gate: str, *below: str, count: object = -1) -> str:
    inner = f"<Subpopulations>{''.join(below)}</Subpopulations>" if below else ""
    return f'<Population name={quoteattr(name)} owningGroup="" count="{count}">{gate}{inner}</Population>'


def boolean(kind: str, name: str, *paths: str, count: object = -1) -> str:
    listed = "".join(f"<Dependent name={quoteattr(path)}/>" for path in paths)
    head = f'<{kind}Node name={quoteattr(name)} owningGroup="" count="{count}">'
    return f"{head}<Dependents>{listed}</Dependents></{kind}Node>"


def biex(channel: str, width: float = -100, length: int = 256) -> str:
    return (
        f'<transforms:biex transforms:length="{length}" transforms:maxRange="262144" transforms:neg="0" '
        f'transforms:width="{width}" transforms:pos="4.418539922">'
        f'<data-type:parameter data-type:name="{channel}"/></transforms:biex>'
    )


def linear(channel: str, top: float = 262144, gain: float = 1) -> str:
    return (
        f'<transforms:linear transforms:minRange="0" transforms:maxRange="{top!r}" gain="{gain!r}">'
        f'<data-type:parameter data-type:name="{channel}"/></transforms:linear>'
    )


SCALES = "".join((linear("FSC-A"), linear("SSC-A"), *(biex(f"{c}") for c in FLUORESCENT)))


def matrix(values: tuple[tuple[float, ...], ...] = SPILL) -> str:
    names = "".join(f'<data-type:parameter data-type:name="{c}"/>' for c in FLUORESCENT)
    rows = "".join(
        f'<transforms:spillover data-type:parameter="{channel}">'
        + "".join(
            f'<transforms:coefficient data-type:parameter="{c}" transforms:value="{v}"/>'
            for c, v in zip(FLUORESCENT, row, strict=True)
        )
        + "</transforms:spillover>"
        for channel, row in zip(FLUORESCENT, values, strict=True)
    )
    return (
        '<transforms:spilloverMatrix prefix="Comp-" name="Acquisition-defined" suffix="">'
        f"<data-type:parameters>{names}</data-type:parameters>{rows}</transforms:spilloverMatrix>"
    )


def spill_text(values: tuple[tuple[float, ...], ...] = SPILL) -> str:
    return ",".join([str(len(FLUORESCENT)), *FLUORESCENT, *(str(v) for row in values for v in row)])


def sample(
    number: int,
    name: str,
    *populations: str,
    scales: str = SCALES,
    comp: str | None = None,
    count: int = -1,
    uri: str | None = None,
    keywords: dict[str, object] | None = None,
) -> str:
    words = [(f"$P{i}N", c) for i, c in enumerate(CHANNELS, 1)] + [("$SPILLOVER", spill_text())]
    words += [(f"$P{i}R", "262144") for i in range(1, len(CHANNELS) + 1)]
    words += [(key, str(value)) for key, value in (keywords or {}).items()]
    address = f"file:/C:/data/{name}" if uri is None else uri
    listed = "".join(f"<Keyword name={quoteattr(k)} value={quoteattr(v)}/>" for k, v in words)
    return (
        f'<Sample><DataSet uri={quoteattr(address)} sampleID="{number}"/>{matrix() if comp is None else comp}'
        f"<Transformations>{scales}</Transformations><Keywords>{listed}</Keywords>"
        f'<SampleNode name={quoteattr(name)} owningGroup="" count="{count}" sampleID="{number}">'
        f"<Subpopulations>{''.join(populations)}</Subpopulations></SampleNode></Sample>"
    )


def group(name: str, *numbers: int) -> str:
    members = "".join(f'<SampleRef sampleID="{n}"/>' for n in numbers)
    inner = f"<Group name={quoteattr(name)}><SampleRefs>{members}</SampleRefs></Group>"
    return f"<GroupNode name={quoteattr(name)}>{inner}</GroupNode>"


def workspace(*samples: str, groups: str = "") -> bytes:
    return f"{HEAD}<Groups>{groups}</Groups><SampleList>{''.join(samples)}</SampleList></Workspace>".encode()
