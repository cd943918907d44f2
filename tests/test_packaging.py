"""A wheel, installed outside the checkout, runs the demo with the gates that it carries."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.slow

# The demo holds a truncated file on purpose: done, but something was left out.
LEFT_OUT = 3


def run(*command: str | Path, cwd: Path, timeout: int = 300, code: int = 0) -> str:
    """Output of a command that must end with ``code``; nothing of the checkout is on its path."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    environment |= {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == code, (
        f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-4000:]}"
    )
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by the locked hatchling."""
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", out, ROOT, cwd=out)
    (path,) = out.glob("immunoprofile-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the commands of a new environment: the wheel in it, its dependencies borrowed from this one."""
    home = tmp_path_factory.mktemp("elsewhere") / "environment"
    venv.create(home, with_pip=False, symlinks=os.name != "nt")
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    purelib = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home).strip())
    # A plain line adds the folder behind this environment's own packages, and does not read the .pth files in it:
    # the editable checkout stays invisible.
    (purelib / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", wheel, cwd=home)
    return python.parent


def test_wheel_carries_gates_templates_types_and_licence(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for tube in ("count", "treg", "effector"):
        for suffix in (".csv", ".xml"):
            assert f"immunoprofile/_shipped/gating/{tube}{suffix}" in names
    assert "immunoprofile/_shipped/gating/README.md" in names
    assert "immunoprofile/py.typed" in names
    assert "immunoprofile/__init__.pyi" in names
    for folder, suffixes in (("resources", (".yaml",)), ("report", (".html", ".css"))):
        for path in (ROOT / "immunoprofile" / folder).rglob("*"):
            if path.suffix in suffixes or path.name.endswith((".j2", ".jinja")):
                assert path.relative_to(ROOT).as_posix() in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert not any(name.startswith(("tests/", "docs/", "benchmarks/")) for name in names)


def test_demo_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    where = run(installed / "python", "-c", "import immunoprofile; print(immunoprofile.__file__)", cwd=tmp_path).strip()
    assert Path(where).resolve().is_relative_to(installed.parent.resolve())

    out = tmp_path / "demo"
    command = (installed / "immunoprofile", "demo", "--out", out, "--subjects", "2", "--events", "3000", "--quiet")
    printed = run(*command, cwd=tmp_path, code=LEFT_OUT)
    assert "cohort.html" in printed
    results = next(path.parent for path in out.rglob("visits.h5ad"))
    assert (results / "reports" / "cohort.html").stat().st_size > 10_000
    assert (results / "counts.csv").stat().st_size > 1_000
    gated = {line.split(",")[2] for line in (results / "counts.csv").read_text(encoding="utf-8").splitlines()[1:]}
    assert gated == {"count", "treg", "effector"}
