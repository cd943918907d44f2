"""A made-up profile, the same for all figure tests."""

from __future__ import annotations

from types import ModuleType

import pytest

from tests import fake_profile


@pytest.fixture(scope="session")
def fake() -> ModuleType:
    return fake_profile


@pytest.fixture(scope="session")
def profile() -> object:
    return fake_profile.make_profile()
