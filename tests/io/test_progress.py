"""Progress bars belong on terminals and in notebooks, not into logs."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from immunoprofile.io.progress import hidden


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def notebook() -> io.StringIO:
    """A stream as the kernel of a notebook puts it in place: no terminal."""
    return type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()


@pytest.mark.parametrize(
    ("stream", "shown"), [(Terminal(), True), (notebook(), True), (io.StringIO(), False), (None, False)]
)
def test_a_bar_is_shown_where_it_is_of_use(
    stream: io.StringIO | None, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    assert hidden(wanted=True) is not shown
    assert hidden(wanted=False)


def test_every_bar_asks() -> None:
    package = Path(sys.modules["immunoprofile"].__file__ or "").parent
    bars = [
        (path.name, call[:160])
        for path in sorted(package.rglob("*.py"))
        for call in path.read_text(encoding="utf-8").split("tqdm(")[1:]
    ]
    assert len(bars) >= 8
    assert [bar for bar in bars if "disable=hidden(wanted=" not in bar[1]] == []
