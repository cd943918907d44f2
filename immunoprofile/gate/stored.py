"""Gates as JSON: every kind of them, to the bit; and the cache of documents that take FlowKit to read."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from immunoprofile._version import __version__
from immunoprofile.errors import GateError, Problem, Problems
from immunoprofile.gate.known import KnownSample, limits_of
from immunoprofile.gate.methods import CUT_SHIFT
from immunoprofile.gate.overrides import Override
from immunoprofile.gate.reference import Reference
from immunoprofile.gate.scales import Scale
from immunoprofile.gate.strategy import Dimension, Ellipsoid, Gate, GateSet, Matrix, Operand, Ratio, Strategy
from immunoprofile.io.files import write_text

_log = logging.getLogger(__name__)

CACHE_VARIABLE = "IMMUNOPROFILE_CACHE"
"""Folder of the cache; ``off`` goes without one."""

_FORMAT = 4
"""4 calls problems what 1 and 3 called findings; both are read."""

_READ = (1, 3, _FORMAT)
_LARGEST = 256 * 1024 * 1024


def to_json(gates: GateSet) -> str:
    """Gates as JSON text; equal gates give equal text."""
    content = {
        "format": _FORMAT,
        "strategies": [asdict(strategy) for strategy in gates.strategies],
        "problems": [asdict(problem) for problem in gates.problems],
        "ungated": [asdict(sample) for sample in gates.ungated],
    }
    if gates.overrides:
        content["overrides"] = [override_content(one) for one in gates.overrides]
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def from_json(text: str, where: str) -> GateSet:
    """Gates that `to_json` wrote.

    Raises
    ------
    GateError
        The text is no such JSON, or its gates are not valid.
    """
    problems = Problems()
    try:
        content = json.loads(text)
        if content.get("format") not in _READ:
            problems.add(where, "is not in a form that is known", value=content.get("format"), allowed=str(_FORMAT))
        else:
            strategies = tuple(_strategy(one) for one in content["strategies"])
            ungated = tuple(KnownSample.from_content(one) for one in content.get("ungated", ()))
            told = content["problems" if content["format"] == _FORMAT else "findings"]
            overrides = tuple(override_from(one) for one in content.get("overrides", ()))
            return GateSet(strategies, tuple(Problem(**one) for one in told), ungated, overrides)
    except GateError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        problems.add(where, f"holds no gates: {type(error).__name__}: {str(error)[:200]}")
    raise GateError("stored gates cannot be read", problems.found, todo="write them again with gate.save")


def _strategy(content: Mapping[str, Any]) -> Strategy:
    plain = {key: str(content[key]) for key in ("tube", "beads", "version", "panel", "instrument")}
    return Strategy(
        gates=tuple(_gate(one) for one in content["gates"]),
        scales=tuple((str(name), _scale(one)) for name, one in content["scales"]),
        channels=tuple((str(marker), str(channel)) for marker, channel in content["channels"]),
        matrices=tuple((str(name), _matrix(one)) for name, one in content["matrices"]),
        custom=tuple((str(sample), _gate(one)) for sample, one in content["custom"]),
        samples=tuple(KnownSample.from_content(one) for one in content.get("samples", ())),
        limits=limits_of(content.get("limits")),
        default_scale=str(content.get("default_scale", "")),
        marker_scales=tuple((str(marker), str(name)) for marker, name in content.get("marker_scales", ())),
        references=tuple(
            Reference(one["parent"], one["marker"], tuple(one["places"]), tuple(one["heights"]))
            for one in content.get("references", ())
        ),
        cut_shift=float(content.get("cut_shift", CUT_SHIFT)),
        units="data" if content.get("units") == "data" else "scale",
        **plain,
    )


def _scale(content: Mapping[str, Any]) -> Scale:
    return Scale(content["kind"], tuple((str(name), float(value)) for name, value in content["parameters"]))


def _matrix(content: Mapping[str, Any]) -> Matrix:
    rows = tuple(tuple(float(value) for value in row) for row in content["values"])
    return Matrix(tuple(map(str, content["detectors"])), rows, tuple(map(str, content["fluorochromes"])))


def _gate(content: Mapping[str, Any]) -> Gate:
    shape = content["ellipsoid"]
    return Gate(
        **{
            **content,
            "dimensions": tuple(_dimension(one) for one in content["dimensions"]),
            "arguments": tuple((str(name), value) for name, value in content.get("arguments", ())),
            "vertices": tuple((float(x), float(y)) for x, y in content["vertices"]),
            "operands": tuple(Operand(**one) for one in content["operands"]),
            "ellipsoid": None
            if shape is None
            else Ellipsoid(
                tuple(float(value) for value in shape["mean"]),
                tuple(tuple(float(value) for value in row) for row in shape["covariance"]),
                float(shape["distance_square"]),
            ),
        }
    )


def _dimension(content: Mapping[str, Any]) -> Dimension:
    ratio = content["ratio"]
    return replace(Dimension(**content), ratio=None if ratio is None else Ratio(**ratio))


def override_content(override: Override) -> dict[str, Any]:
    """An override as JSON can hold it, every float to the bit; `override_from` takes it back."""
    return asdict(override)


def override_from(content: Mapping[str, Any]) -> Override:
    """The override that `override_content` gave.

    Raises
    ------
    ValueError, TypeError, KeyError, AttributeError, IndexError
        The content has another form.
    """
    names = ("tube", "population", "sample", "reason", "author", "time", "fcs_sha256")
    counts = ("n_parent", "n_before", "n_after")
    unknown = content.keys() - {*names, *counts, "before", "after", "scales"}
    if unknown or not all(isinstance(content[name], str) for name in names):
        raise ValueError(f"has unknown entries, or text is missing ({', '.join(sorted(unknown))})")
    if not all(content[name] is None or type(content[name]) is int for name in counts):
        raise ValueError("counts are no whole numbers")
    return Override(
        before=_gate(content["before"]),
        after=None if content["after"] is None else _gate(content["after"]),
        scales=tuple((str(name), _scale(one)) for name, one in content["scales"]),
        **{name: content[name] for name in (*names, *counts)},
    )


def cache_folder() -> Path | None:
    """Where parsed gates are kept; None when the cache is off."""
    named = os.environ.get(CACHE_VARIABLE)
    if named is not None:
        return None if named.strip().casefold() in ("", "off", "0") else Path(named)
    import platformdirs

    return platformdirs.user_cache_path("immunoprofile")


def cached(content: bytes, kind: str, parse: Callable[[], GateSet]) -> GateSet:
    """Gates of a document: from the cache when it was read before, else parsed and kept.

    Parameters
    ----------
    content
        The document; its hash, the kind, and the version of this package are the key.
    kind
        What else the result depends on, for example how the document was read and for which tube.
    parse
        Reads the document.
    """
    folder = cache_folder()
    if folder is None:
        return parse()
    digest = hashlib.sha256(content)
    digest.update(f"\n{kind}\n{__version__}\n{_FORMAT}".encode())
    path = folder / "gates" / f"{digest.hexdigest()}.json"
    try:
        if path.stat().st_size <= _LARGEST:
            return from_json(path.read_text(encoding="utf-8"), path.name)
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError, GateError) as error:
        _log.info("the cached gates %s are damaged and are read anew: %s", path, error)
    gates = parse()
    try:
        write_text(path, to_json(gates))
    except OSError as error:
        _log.info("the gates could not be kept in %s: %s", folder, error)
    return gates
