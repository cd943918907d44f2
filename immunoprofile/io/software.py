"""Which software makes results: versions for people, and a digest that changes with any part of it."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Final

from immunoprofile._version import __version__

_LIBRARIES: Final = ("flowkit", "flowio", "flowutils", "anndata", "numpy", "pandas", "scipy", "statsmodels")
_SUFFIXES: Final = frozenset({".css", ".csv", ".j2", ".py", ".svg", ".yaml"})
_NO_RULES: Final = frozenset({"report_words.yaml"})
"""Files of resources that judge nothing."""
_PACKAGE: Final = Path(__file__).resolve().parents[1]


def versions() -> dict[str, str]:
    """Versions of Python, this package, and the libraries that its numbers rest on."""
    libraries = {name: metadata.version(name) for name in _LIBRARIES}
    return {"python": platform.python_version(), "immunoprofile": __version__, **libraries}


@cache
def software_digest() -> str:
    """SHA-256 over the versions and the files of this package: results of one digest may stand beside each other.

    The version alone would not do: while the package is developed, many builds have the same.
    """
    return hashlib.sha256(f"{sorted(versions().items())!r}{package_digest()}".encode()).hexdigest()


@cache
def package_digest() -> str:
    """SHA-256 over the files of this package."""
    digest = hashlib.sha256()
    for path in sorted(path for path in _PACKAGE.rglob("*") if path.suffix in _SUFFIXES):
        digest.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0" + _content(path) + b"\0")
    return digest.hexdigest()


@cache
def rule_hashes() -> dict[str, str]:
    """SHA-256 of each file of rules (limits, grades, verdicts: ``resources/*.yaml``), by its name."""
    files = sorted(path for path in (_PACKAGE / "resources").glob("*.yaml") if path.name not in _NO_RULES)
    return {path.name: hashlib.sha256(_content(path)).hexdigest() for path in files}


def _content(path: Path) -> bytes:
    # Line ends differ between checkouts of different systems; what runs does not.
    return path.read_bytes().replace(b"\r\n", b"\n")
