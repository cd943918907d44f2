"""What all tests share. Few threads and no display, set before NumPy and matplotlib are imported."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

import hypothesis
import pytest

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "2")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("IMMUNOPROFILE_CACHE", "off")  # tests read documents, not what an earlier run made of them

ROOT = Path(__file__).resolve().parent.parent

# A shared or slow machine must not fail a property; in CI the examples are the same in every run.
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") == "true" else "local")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The top folder of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def outside_data() -> Path:
    """The folder of public files that nobody in this project wrote (never copied into it, licences differ).

    Absent: the test is skipped by name; with CI=true absence is a failure.
    """
    named = os.environ.get("IMMUNOPROFILE_TEST_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        reason = f"outside test data not found at {folder} (set IMMUNOPROFILE_TEST_DATA)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return folder.resolve()


@pytest.fixture(scope="session")
def fake() -> ModuleType:
    """What makes the profile of the tests of figures and reports."""
    from tests import fake_profile

    return fake_profile


@pytest.fixture(scope="session")
def profile(fake: ModuleType) -> object:
    """A made-up profile, the same for all figures and reports."""
    return fake.make_profile()
