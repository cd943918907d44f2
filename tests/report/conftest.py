"""A made-up profile, the same for all report tests."""

from __future__ import annotations

import copy
from types import ModuleType
from typing import Any

import pytest

from tests import fake_profile
from tests.fake_clinical import make_tables


@pytest.fixture(scope="session")
def fake() -> ModuleType:
    return fake_profile


@pytest.fixture(scope="session")
def profile() -> object:
    return fake_profile.make_profile()


@pytest.fixture(scope="module")
def judged(profile: Any) -> Any:
    """The profile with tables of the clinical half."""
    other = copy.copy(profile)
    other.tables = make_tables(list(profile.study.subjects["usubjid"]), profile.study.labs)
    return other
