"""The made-up profile with the clinical half, for report tests."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.fake_clinical import make_tables


@pytest.fixture(scope="module")
def judged(profile: Any) -> Any:
    """The profile with tables of the clinical half."""
    other = copy.copy(profile)
    other.tables = make_tables(list(profile.study.subjects["usubjid"]), profile.study.labs)
    return other
