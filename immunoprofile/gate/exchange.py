"""Load and save gates: our templates, GatingML, and the ones that ship with the package."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from immunoprofile.errors import GateError, NotAvailableError, Problems
from immunoprofile.gate.binding import rename
from immunoprofile.gate.from_flowkit import from_flowkit as read_flowkit
from immunoprofile.gate.strategy import GateSet, Strategy
from immunoprofile.gate.template import VERTICES_SUFFIX, read_template, write_template

if TYPE_CHECKING:
    import flowkit

    from immunoprofile.compensation import Spillover

_PACKAGE = Path(__file__).resolve().parents[1]


def shipped_folder() -> Path:
    """Folder of the templates that ship with the package: inside a wheel, or ``gating/`` of a checkout.

    Raises
    ------
    NotAvailableError
        Neither is there, so the installation is broken.
    """
    for folder in (_PACKAGE / "_shipped" / "gating", _PACKAGE.parent / "gating"):
        if any(folder.glob("*.csv")):
            return folder
    raise NotAvailableError(
        "the shipped gating templates are missing", where=str(_PACKAGE), todo="install the package again"
    )


def load(source: str | Path) -> GateSet:
    """Load gating strategies.

    Parameters
    ----------
    source
        A folder of templates (one ``<tube>.csv`` per tube), one template, or one GatingML document (``.xml``; its file
        name gives the tube).

    Returns
    -------
    GateSet
        One strategy per tube, sorted by tube.

    Raises
    ------
    GateError
        All problems of the file that cannot be used.
    """
    path = Path(source)
    problems = Problems()
    if path.is_dir():
        templates = sorted(p for p in path.glob("*.csv") if not p.name.endswith(VERTICES_SUFFIX))
        if not templates:
            problems.add(str(path), "no template (*.csv) in this folder")
            raise GateError("no gates found", problems.found)
        return GateSet(tuple(read_template(template) for template in templates))
    if path.suffix.lower() == ".csv":
        return GateSet((read_template(path),))
    if path.suffix.lower() == ".xml":
        if not path.is_file():
            problems.add(str(path), "file is missing")
            raise GateError("no gates found", problems.found)
        from immunoprofile.gate import _flowkit

        tube = re.sub(r"[^A-Za-z0-9._-]+", "_", path.stem).lstrip("._-") or "tube"
        return GateSet((_flowkit.parse_gatingml(path, tube),))
    problems.add(str(path), "unknown kind of gates", allowed="a folder of templates, .csv, or GatingML .xml")
    raise GateError("no gates found", problems.found)


def save(gates: GateSet | Strategy, target: str | Path) -> list[Path]:
    """Save gating strategies; what was written is read back and compared before this returns.

    Parameters
    ----------
    gates
        One strategy or a set.
    target
        A folder (``<tube>.csv`` and ``<tube>.xml`` for each tube), or for one strategy a ``.csv`` or ``.xml`` file.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    GateError
        The format cannot say what the strategy says, or a template has no channels to name in GatingML.
    """
    path = Path(target)
    strategies = (gates,) if isinstance(gates, Strategy) else tuple(gates.values())
    suffix = path.suffix.lower()
    if suffix in (".csv", ".xml"):
        if len(strategies) != 1:
            problems = Problems()
            problems.add(str(path), "one file holds one strategy", value=len(strategies), allowed="a folder")
            raise GateError("gates cannot be saved", problems.found)
        if suffix == ".csv":
            return [write_template(strategies[0], path)]
        save_gatingml(strategies[0], path)
        return [path]
    path.mkdir(parents=True, exist_ok=True)
    written = []
    for strategy in strategies:
        written.append(write_template(strategy, path / f"{strategy.tube}.csv"))
        save_gatingml(strategy, path / f"{strategy.tube}.xml")
        written.append(path / f"{strategy.tube}.xml")
    return written


def save_gatingml(
    strategy: Strategy, path: Path, *, channels: Mapping[str, str] | None = None, spillover: Spillover | None = None
) -> None:
    """Write one strategy as GatingML 2.0, which names channels instead of markers.

    Parameters
    ----------
    strategy
        The gates.
    path
        File to write.
    channels
        Marker -> $PnN; by default the channels that the template names.
    spillover
        Matrix to write into the document; without one, compensated dimensions refer to the file's own.
    """
    from immunoprofile.gate import _flowkit

    channels = dict(strategy.channels) if channels is None else channels
    problems = Problems()
    for marker in strategy.markers:
        if marker not in channels and not marker.startswith(("FSC", "SSC", "Time")):
            problems.add(f"marker {marker}", "the template does not say which channel it is in")
    if problems:
        raise GateError(
            "GatingML needs channel names", problems.found, where=strategy.tube, todo="add channels to the header"
        )
    _flowkit.export_gatingml(rename(strategy, channels), path, spillover=spillover)


def from_flowkit(strategy: flowkit.GatingStrategy, *, tube: str = "tube") -> GateSet:
    """Gates of a FlowKit strategy that was built elsewhere.

    Raises
    ------
    GateError
        It holds gates that are not supported yet; all are named.
    """
    return GateSet((read_flowkit(strategy, tube),))


def to_flowkit(strategy: Strategy) -> flowkit.GatingStrategy:
    """A strategy as FlowKit's, naming the channels of the template; compensated dimensions refer to ``FCS``."""
    from immunoprofile.gate import _flowkit

    return _flowkit.to_flowkit(rename(strategy, dict(strategy.channels)))
