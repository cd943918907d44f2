"""Load and save gates: our templates, GatingML, and the ones that ship with the package."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from immunoprofile.errors import GateError, NotAvailableError, Problems
from immunoprofile.gate.binding import rename
from immunoprofile.gate.from_flowkit import from_flowkit as read_flowkit
from immunoprofile.gate.from_flowkit import rows
from immunoprofile.gate.gatingml import document, meaning, samples_of
from immunoprofile.gate.names import tube_name
from immunoprofile.gate.other_documents import is_workspace, refuse
from immunoprofile.gate.stored import cached, from_json, to_json
from immunoprofile.gate.strategy import Gate, GateSet, Matrix, Strategy
from immunoprofile.gate.template import BESIDE, read_template, write_template
from immunoprofile.io.files import replacing, write_text
from immunoprofile.io.inputs import read_plain, reason
from immunoprofile.io.software import software_digest

if TYPE_CHECKING:
    import flowkit

    from immunoprofile.compensation import Spillover

_log = logging.getLogger(__name__)

SPILLOVER_ID = "spillover"
"""Name of the file's own matrix in a document that was made for one file."""

WORKSPACES = (".wsp", ".wspt")
"""Suffixes of FlowJo 10: workspaces, and templates, which are workspaces without counts."""

SAMPLES_SUFFIX = ".samples"
"""Of the folder, beside a GatingML document, with the gates of single samples."""

_NUMBER = re.compile(r'"-?[0-9][0-9.e+-]*"')
"""An attribute that is a number."""

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
        One template (``.csv``), one GatingML document (``.xml``; its file name gives the tube), a FlowJo workspace
        (``.wsp``, see `workspace.read_workspace`), gates that `save` wrote as ``.json``, or a folder of these. Of
        documents with one name in a folder the first of template, ``.json``, workspace and GatingML counts: a template
        may have its export beside it. What GatingML and workspaces hold is kept in the user's cache
        (``IMMUNOPROFILE_CACHE`` moves it, ``off`` goes without), since it takes FlowKit to read them.

    Returns
    -------
    GateSet
        One strategy per tube, sorted by tube. ``problems`` lists what a workspace holds and could not be read.

    Raises
    ------
    GateError
        All problems of the file that cannot be used.
    """
    path = Path(source)
    problems = Problems()
    if path.is_dir():
        return _load_folder(path)
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return GateSet((read_template(path),))
    if suffix not in (".xml", *WORKSPACES, ".json"):
        if path.is_file():
            refuse(read_plain(path), path.name)
        problems.add(
            str(path),
            "unknown kind of gates",
            allowed="a folder of templates, .csv, GatingML .xml, FlowJo .wsp, or .json",
        )
    elif not path.exists():
        problems.add(str(path), "file is missing")
    if problems:
        raise GateError("no gates found", problems.found)
    try:
        content = read_plain(path)
    except OSError as error:
        problems.add(str(path), f"cannot be read: {reason(error)}")
        raise GateError("no gates found", problems.found) from error
    if suffix == ".json":
        return from_json(content.decode("utf-8", errors="replace"), path.name)
    if suffix in WORKSPACES or is_workspace(content):
        gates = cached(content, "flowjo 2", lambda: _read_workspace(content, path.name))
        for problem in gates.problems:
            _log.warning("%s: %s", path.name, problem)
        return gates
    tube = tube_name(path.stem)
    return GateSet((_load_gatingml(path, content, tube),))


_KINDS = (".csv", ".json", ".wsp", ".xml")
"""Documents of a folder, in the order in which one of them stands for others of the same name."""


def _load_folder(folder: Path) -> GateSet:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), key=lambda path: (_rank(path), path.name)):
        if _rank(path) < len(_KINDS) and not path.name.endswith(BESIDE) and path.is_file():
            found.setdefault(path.stem, path)
    if not found:
        problems = Problems()
        problems.add(str(folder), f"no gates in this folder ({', '.join(f'*{kind}' for kind in _KINDS)})")
        raise GateError("no gates found", problems.found)
    sets = [load(path) for path in sorted(found.values())]
    return GateSet(
        tuple(sorted((strategy for gates in sets for strategy in gates.values()), key=lambda strategy: strategy.tube)),
        tuple(problem for gates in sets for problem in gates.problems),
        tuple(known for gates in sets for known in gates.ungated),
    )


def holds_gates(folder: Path) -> bool:
    """Whether a folder holds documents of gates; the ledger of overrides alone is none."""
    return folder.is_dir() and any(_rank(path) < len(_KINDS) and path.is_file() for path in folder.iterdir())


def _rank(path: Path) -> int:
    suffix = path.suffix.lower()
    return _KINDS.index(suffix) if suffix in _KINDS else len(_KINDS)


def _read_workspace(content: bytes, where: str) -> GateSet:
    from immunoprofile.gate.workspace import read_workspace

    return read_workspace(content, where)


def _load_gatingml(path: Path, content: bytes, tube: str) -> Strategy:
    strategy = _gatingml(content, path.name, tube)
    files = samples_of(content)
    if not files:
        return strategy
    custom: list[tuple[str, Gate]] = []
    scales, matrices = dict(strategy.scales), dict(strategy.matrices)
    problems = Problems()
    for sample, name in files.items():
        beside = path.with_name(f"{path.stem}{SAMPLES_SUFFIX}") / name
        if not beside.is_file() or Path(name).name != name:
            problems.add(f"sample {sample}", "the document of its own gates is missing", value=name)
            continue
        own = _gatingml(beside.read_bytes(), name, tube)
        scales |= dict(own.scales)
        matrices |= dict(own.matrices)
        custom += [(sample, g) for g in own.gates if g.population not in strategy or strategy[g.population] != g]
    if problems:
        raise GateError("gates of single samples are missing", problems.found, where=path.name)
    return replace(strategy, scales=tuple(scales.items()), matrices=tuple(matrices.items()), custom=tuple(custom))


def _gatingml(content: bytes, where: str, tube: str, *, kind: str = "gatingml 2") -> Strategy:
    gates = cached(content, f"{kind} {tube}", lambda: GateSet((_parsed(content, where, tube),)))
    return next(iter(gates.values()))


def _read_back(content: bytes, where: str, tube: str) -> Strategy:
    """As FlowKit reads a document that was written; from the cache only where the same software, FlowKit's too, did."""
    return _gatingml(content, where, tube, kind=f"written {software_digest()}")


def _parsed(content: bytes, where: str, tube: str) -> Strategy:
    from immunoprofile.gate import _flowkit

    return _flowkit.parse_gatingml(content, where, tube)


def save(gates: GateSet | Strategy, target: str | Path) -> list[Path]:
    """Save gating strategies; what was written is read back and compared before this returns.

    Parameters
    ----------
    gates
        One strategy or a set.
    target
        A folder (``<tube>.csv`` and ``<tube>.xml`` for each tube), for one strategy a ``.csv`` or ``.xml`` file, or a
        ``.json`` file, which holds every kind of gate. Gates of single samples stand in one document a sample in
        ``<name>.samples`` beside the ``.xml``.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    GateError
        The format cannot say what the strategy says, or a template has no channels to name in GatingML. A FlowJo
        workspace keeps gates by sample, see `saving.save`.
    """
    path = Path(target)
    strategies = (gates,) if isinstance(gates, Strategy) else tuple(gates.values())
    suffix = path.suffix.lower()
    problems = Problems()
    if suffix == ".wsp":
        problems.add(
            path.name,
            "a FlowJo workspace keeps gates by sample",
            allowed="gate.save(gates, target, files=[...]); or .xml (GatingML), .json",
        )
        raise GateError("gates cannot be saved", problems.found)
    if suffix == ".json":
        whole = GateSet(strategies) if isinstance(gates, Strategy) else gates
        text = to_json(whole)
        if from_json(text, path.name) != whole:
            problems.add(path.name, "the text does not re-read to the same gates")
            raise GateError("gates cannot be saved", problems.found)
        write_text(path, text)
        return [path]
    if suffix in (".csv", ".xml"):
        if len(strategies) != 1:
            problems.add(str(path), "one file holds one strategy", value=len(strategies), allowed="a folder")
            raise GateError("gates cannot be saved", problems.found)
        if suffix == ".csv":
            return [write_template(strategies[0], path)]
        return save_gatingml(strategies[0], path)
    path.mkdir(parents=True, exist_ok=True)
    written = []
    for strategy in strategies:
        written.append(write_template(strategy, path / f"{strategy.tube}.csv"))
        written += save_gatingml(strategy, path / f"{strategy.tube}.xml")
    return written


def save_gatingml(
    strategy: Strategy,
    path: Path,
    *,
    channels: Mapping[str, str] | None = None,
    spillover: Spillover | None = None,
    remember: bool = False,
    read_alike: set[str] | None = None,
) -> list[Path]:
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
    remember
        Keep what FlowKit reads in the document in the user's cache, and compare with that when the same software writes
        the same document again: it takes FlowKit seconds to be imported.
    read_alike
        Takes the form of each document that was read back to the same gates; one of a form that is in it, which differs
        in the value of its numbers alone, is not read back. By default every document is.

    Returns
    -------
    list of Path
        The document, and those of single samples.

    Raises
    ------
    GateError
        GatingML cannot say what the strategy says, or the written documents do not re-read to the same gates.
    """
    channels = dict(reversed(strategy.channels)) if channels is None else channels
    problems = Problems()
    for marker in strategy.markers:
        if marker not in channels and not marker.startswith(("FSC", "SSC", "Time")):
            problems.add(f"marker {marker}", "the template does not say which channel it is in")
    if problems:
        raise GateError(
            "GatingML needs channel names", problems.found, where=strategy.tube, todo="add channels to the header"
        )
    named = effective(strategy, channels, spillover)
    files = {sample: f"{number}_{tube_name(sample)}.xml" for number, sample in enumerate(named.custom_samples, 1)}
    folder = path.with_name(f"{path.stem}{SAMPLES_SUFFIX}")
    documents: dict[Path, tuple[Strategy, dict[str, str]]] = {
        folder / file: (named.for_sample(sample), {}) for sample, file in files.items()
    }
    written = []
    for target, (content, samples) in {**documents, path: (replace(named, custom=()), files)}.items():
        text = document(content, samples)
        alike, form = set() if read_alike is None else read_alike, _form(text)
        if form not in alike:
            again = (_read_back if remember else _parsed)(text, target.name, strategy.tube)
            if meaning(again) != meaning(content):
                problems.add(target.name, "the document does not re-read to the same gates")
                raise GateError("GatingML could not be written", problems.found, where=strategy.tube)
            alike.add(form)
        with replacing(target) as temporary:
            temporary.write_bytes(text)
        written.append(target)
    return written[-1:] + written[:-1]


def _form(document: bytes) -> str:
    """A document with its numbers numbered by their first appearance.

    Documents of one form are of the same elements and names, and the same numbers stand in the same places. A number
    is written so that it reads back to the same bits: of such documents one has to be read back.
    """
    numbers: dict[str, int] = {}
    return _NUMBER.sub(lambda found: f'"#{numbers.setdefault(found[0], len(numbers))}"', document.decode())


def effective(strategy: Strategy, channels: Mapping[str, str], spillover: Spillover | None) -> Strategy:
    """Gates as they were applied to one file: naming its channels, with its matrix among them."""
    named = replace(rename(strategy, channels), samples=())
    if spillover is None:
        return named
    return named.with_matrix(_free(SPILLOVER_ID, named), Matrix(spillover.channels, rows(spillover.matrix)))


def with_places_of(template: Strategy, document: Strategy) -> Strategy:
    """The gates of a template at the places that a document of one file (`effective`) has, naming markers again.

    Parameters
    ----------
    template
        What the gates of the document were placed or drawn from.
    document
        Its populations are those of the template, and so are the axes of each gate, in their order.
    """
    gates = []
    for gate in template.gates:
        own = document[gate.population]
        axes = tuple(
            replace(axis, minimum=placed.minimum, maximum=placed.maximum)
            for axis, placed in zip(gate.dimensions, own.dimensions, strict=True)
        )
        if axes:
            gate = replace(gate, kind=own.kind, dimensions=axes, vertices=own.vertices, ellipsoid=own.ellipsoid)
        gates.append(gate)
    return replace(template, gates=tuple(gates))


def _free(name: str, strategy: Strategy) -> str:
    while name in dict(strategy.matrices):
        name += "_"
    return name


def from_flowkit(strategy: flowkit.GatingStrategy, *, tube: str = "tube") -> GateSet:
    """Gates of a FlowKit strategy that was built elsewhere.

    Raises
    ------
    GateError
        It holds gates that are not supported yet; all are named.
    """
    return GateSet((read_flowkit(strategy, tube),))


def to_flowkit(strategy: Strategy) -> flowkit.GatingStrategy:
    """A strategy as FlowKit's, naming the channels of the template and each gate as it was called where it came from.

    Compensated dimensions without a matrix of their own refer to ``FCS``.
    """
    from immunoprofile.gate import _flowkit

    return _flowkit.to_flowkit(rename(strategy, dict(reversed(strategy.channels))), names="label")
