"""The conventions of the project, kept by tests: the door, the rooms, the lock, the tracked files."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import immunoprofile as ip

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "immunoprofile"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "_shipped" not in path.parts)
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

LONGEST_MODULE = 450

# Import name -> distribution, where the two differ.
DISTRIBUTION = {"yaml": "pyyaml", "sklearn": "scikit-learn", "igraph": "igraph"}


def run_python(code: str) -> str:
    """What a fresh interpreter prints for ``code``."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120, stdin=subprocess.DEVNULL
    )
    return done.stdout


def declared(*, extras: bool) -> dict[str, Requirement]:
    """Requirements of pyproject.toml by normalised name."""
    texts = list(PYPROJECT["project"]["dependencies"])
    if extras:
        for group in PYPROJECT["project"]["optional-dependencies"].values():
            texts += group
    return {canonicalize_name(Requirement(text).name): Requirement(text) for text in texts}


def tracked_files() -> list[Path]:
    """Text files under version control, and new ones that are not ignored."""
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


# --- the door -----------------------------------------------------------------------------------


def test_bare_import_loads_no_heavy_module() -> None:
    # The limit of the project is 0.15 s; a clock would fail on a busy machine, the cause of a slow import does not.
    heavy = "anndata flowio flowkit h5py jinja2 joblib matplotlib numba numpy pandas pandera pydantic scanpy scipy"
    heavy += " sklearn statsmodels tqdm typer weasyprint yaml distributed pyarrow"
    code = f"import sys, json, immunoprofile; print(json.dumps([m for m in {heavy.split()} if m in sys.modules]))"
    assert json.loads(run_python(code)) == []


def test_help_loads_no_heavy_module() -> None:
    heavy = ["anndata", "flowkit", "h5py", "matplotlib", "numba", "pandas", "pandera", "scanpy", "scipy", "statsmodels"]
    code = f"""
import sys, json
from immunoprofile.cli import main
sys.argv = ["immunoprofile", "--help"]
try:
    main()
except SystemExit as end:
    assert end.code in (0, None), end.code
print("\\n" + json.dumps([name for name in {heavy} if name in sys.modules]))
"""
    assert json.loads(run_python(code).splitlines()[-1]) == []


@pytest.mark.parametrize("name", ip.__all__)
def test_every_public_name_loads(name: str) -> None:
    assert getattr(ip, name) is not None
    assert name in dir(ip)


def test_stub_names_the_same_door() -> None:
    tree = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
    imported = {alias.asname for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    (assigned,) = (ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign))
    assert imported == set(assigned) == set(ip.__all__)


def test_no_module_hides_a_public_name() -> None:
    # Importing a sub-module sets it as attribute of its package: a function of that name would be gone.
    code = """
import importlib, inspect, json, pkgutil
import immunoprofile as ip
for module in pkgutil.walk_packages(ip.__path__, "immunoprofile."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
functions = ("profile", "read_fcs", "read_results", "read_study")
hidden = [f"ip.{name}" for name in functions if not callable(getattr(ip, name))]
for room in ("datasets", "gate", "get", "io", "pl", "pp", "report", "tl", "virology"):
    module = getattr(ip, room)
    hidden += [f"ip.{room}.{name}" for name in module.__all__ if inspect.ismodule(getattr(module, name))]
print(json.dumps(hidden))
"""
    assert json.loads(run_python(code).splitlines()[-1]) == []


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'profiles'"):
        ip.profiles  # type: ignore[attr-defined]  # noqa: B018


def test_version_is_that_of_the_distribution() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+([a-z]+\d+)?", ip.__version__)


# --- the rooms ----------------------------------------------------------------------------------


def public_functions(room: str) -> list[tuple[str, object]]:
    module = importlib.import_module(f"immunoprofile.{room}")
    return [(name, getattr(module, name)) for name in module.__all__ if inspect.isfunction(getattr(module, name))]


@pytest.mark.parametrize("room", ["pp", "tl", "pl", "get", "gate", "report", "virology", "datasets", "io"])
def test_public_names_are_described(room: str) -> None:
    module = importlib.import_module(f"immunoprofile.{room}")
    assert module.__doc__, f"immunoprofile.{room} has no docstring"
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isfunction(value) or inspect.isclass(value):
            assert (inspect.getdoc(value) or "").strip(), f"immunoprofile.{room}.{name} has no docstring"


@pytest.mark.parametrize("room", ["pp", "tl", "pl", "get", "gate", "report", "virology", "datasets", "io"])
def test_at_most_three_positional_arguments_and_no_boolean_among_them(room: str) -> None:
    for name, function in public_functions(room):
        positional = [
            parameter
            for parameter in inspect.signature(function).parameters.values()  # type: ignore[arg-type]
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        ]
        assert len(positional) <= 3, f"{room}.{name} takes {len(positional)} positional arguments"
        for parameter in positional:
            assert parameter.annotation not in (bool, "bool"), (
                f"{room}.{name}: {parameter.name} is a boolean positional"
            )


# It reads the object and returns one row a check; pp.summarise writes them in, together with those of other rooms.
TABLE_OF_CHECKS = ("pp", "verdict")


@pytest.mark.parametrize("room", ["pp", "tl"])
def test_what_works_on_anndata_takes_it_first_writes_into_it_and_returns_none(room: str) -> None:
    writers = 0
    for name, function in public_functions(room):
        signature = inspect.signature(function)  # type: ignore[arg-type]
        first, *others = signature.parameters.values()
        assert not any("AnnData" in str(parameter.annotation) for parameter in others), (
            f"{room}.{name}: adata comes first"
        )
        if "AnnData" in str(first.annotation):
            writers += 1
            assert first.name == "adata", f"{room}.{name} takes {first.name!r} first"
            if (room, name) != TABLE_OF_CHECKS:
                assert signature.return_annotation in (None, "None"), f"{room}.{name} does not return None"
    assert writers >= 3


def test_no_name_of_the_schema_is_given_twice() -> None:
    # The package re-exports its modules by star: a second definition would silently win over the first.
    homes: dict[str, list[str]] = {}
    for path in sorted((PACKAGE / "schema").glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
            for name in [t.id for t in targets if isinstance(t, ast.Name)] + [getattr(node, "name", "")]:
                if name and not name.startswith("_"):
                    homes.setdefault(name, []).append(path.name)
    assert {name: files for name, files in homes.items() if len(files) > 1} == {}


WRITTEN = [
    *MODULES,
    *(path for folder in ("tests", "docs", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))),
]


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_module_is_readable_in_one_sitting(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST_MODULE, f"{lines} lines, limit {LONGEST_MODULE}"


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.partition(".")[0]


def test_every_import_is_a_declared_dependency() -> None:
    known = declared(extras=True)
    missing = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in MODULES
        for name in imports_of(path)
        if name not in sys.stdlib_module_names
        and name != "immunoprofile"
        and canonicalize_name(DISTRIBUTION.get(name, name)) not in known
    }
    assert missing == set()


def test_no_progress_bar_that_dies_in_a_saved_notebook() -> None:
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        assert "tqdm.auto" not in text and "tqdm.notebook" not in text and "import rich" not in text, path.name


def test_no_unix_only_module_is_imported() -> None:
    unix_only = {"crypt", "fcntl", "grp", "nis", "ossaudiodev", "posix", "pwd", "resource", "spwd", "syslog", "termios"}
    found = {(path.name, name) for path in MODULES for name in imports_of(path) if name in unix_only}
    # The lock of a folder is that of the system: msvcrt on Windows, and without either the process is asked after.
    assert found == {("only_writer.py", "fcntl")}


# --- dependencies and lock ------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(declared(extras=True)))
def test_dependency_has_its_sentence(name: str) -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8").lower()
    assert re.search(rf"^\| `{re.escape(name)}`", page, flags=re.MULTILINE), (
        f"docs/dependencies.md says nothing on {name}"
    )


def test_lock_pins_every_dependency_and_names_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in text
    assert "--" not in re.sub(r"^#.*$", "", text, flags=re.MULTILINE), "the lock holds an option of pip"
    pinned: dict[str, list[Requirement]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            assert str(requirement.specifier).startswith("=="), line
            pinned.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    for name, requirement in declared(extras=True).items():
        assert name in pinned, f"{name} is not locked: make lock"
        for pin in pinned[name]:
            version = str(pin.specifier).removeprefix("==")
            assert requirement.specifier.contains(version, prereleases=True), (
                f"{pin} does not meet {requirement}: make lock"
            )


# --- what is tracked ------------------------------------------------------------------------------


def test_tracked_files_name_no_machine_and_no_registry() -> None:
    # Written in pieces, so that this file passes its own test.
    words = ["/" + "work/", "/" + "farm/", "/" + "tmp/", "/" + "root/", "/" + "home/", "C:" + "\\Users"]
    words += ["pypi" + ".org", "python" + "hosted", "index" + "-url =", "find" + "-links ="]
    found = []
    for path in tracked_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {word}" for word in words if word in text]
    assert found == []


def test_tracked_files_are_small() -> None:
    large = {str(path.relative_to(ROOT)): path.stat().st_size for path in tracked_files()}
    assert {name: size for name, size in large.items() if size > 1_048_576} == {}


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.stem)
def test_a_benchmark_finds_what_it_measures(path: Path) -> None:
    """A name that was changed in the package is found here, and not on the day of the next measurement."""
    assert importlib.import_module(f"benchmarks.{path.stem}").__doc__
