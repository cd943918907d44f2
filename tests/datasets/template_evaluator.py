"""A small, slow reading of the gate templates with numpy: an oracle that shares no code with the gate room."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml
from flowutils.transforms import logicle

Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Template:
    """Header, rows in order, and vertices of a template."""

    header: dict
    rows: list[dict[str, str]]
    vertices: dict[str, npt.NDArray[np.float64]]

    @property
    def parents(self) -> dict[str, str]:
        """Population -> parent."""
        return {row["population"]: row["parent"] for row in self.rows}


def read_template(path: Path) -> Template:
    """Read ``<tube>.csv`` and, where it exists, ``<tube>.vertices.csv``."""
    lines = path.read_text(encoding="utf-8").splitlines()
    header = yaml.safe_load("\n".join(line[2:] for line in lines if line.startswith("# ")))
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    points: dict[str, list[tuple[int, float, float]]] = {}
    vertices = path.with_name(f"{path.stem}.vertices.csv")
    if vertices.exists():
        with vertices.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                points.setdefault(row["population"], []).append((int(row["order"]), float(row["x"]), float(row["y"])))
    return Template(header, rows, {name: np.array([p[1:] for p in sorted(ps)]) for name, ps in points.items()})


def _inside(points: npt.NDArray[np.float64], polygon: npt.NDArray[np.float64]) -> Bool:
    x, y = points.T
    inside = np.zeros(len(x), dtype=bool)
    for (x1, y1), (x2, y2) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        crosses = (y1 > y) != (y2 > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside ^= crosses & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    return inside


def coordinates(
    data: npt.NDArray[np.float64],
    channels: list[str],
    template: Template,
    spillover: npt.NDArray[np.float64],
    fluorescence: list[str],
    timestep: float,
) -> dict[str, npt.NDArray[np.float64]]:
    """Marker, scatter channel or Time -> values in the coordinates of the template."""
    columns = [channels.index(name) for name in fluorescence]
    compensated = np.array(data, dtype=float)
    compensated[:, columns] = compensated[:, columns] @ np.linalg.inv(spillover)
    name_of = {channel: marker for marker, channel in template.header["channels"].items()}
    out = {name: compensated[:, i] for i, name in enumerate(channels) if name not in fluorescence}
    out["Time"] = out["Time"] * timestep
    for i, name in zip(columns, fluorescence, strict=True):
        values = np.ascontiguousarray(compensated[:, [i]])
        out[name_of[name]] = logicle(values, [0], t=262144, m=4.5, w=0.5, a=0)[:, 0]
    return out


def evaluate(template: Template, values: dict[str, npt.NDArray[np.float64]]) -> dict[str, Bool]:
    """Population -> membership per event."""
    root = np.ones(len(next(iter(values.values()))), dtype=bool)
    member = {"root": root}
    for row in template.rows:
        if row["gate"] == "rectangle":
            mask = root.copy()
            for n in "123":
                if row[f"dim_{n}"]:
                    column = values[row[f"dim_{n}"]]
                    if row[f"min_{n}"]:
                        mask &= column >= float(row[f"min_{n}"])
                    if row[f"max_{n}"]:
                        mask &= column < float(row[f"max_{n}"])
        elif row["gate"] == "polygon":
            points = np.column_stack([values[row["dim_1"]], values[row["dim_2"]]])
            mask = _inside(points, template.vertices[row["population"]])
        else:
            terms = [term.strip() for term in row["operands"].split(";")]
            parts = [~member[t[4:].strip()] if t.startswith("not ") else member[t] for t in terms]
            combine = {"and": np.logical_and, "or": np.logical_or}.get(row["gate"])
            mask = ~parts[0] if combine is None else combine.reduce(parts)
        member[row["population"]] = mask & member[row["parent"]]
    return member
