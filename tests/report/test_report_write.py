from __future__ import annotations

import builtins
import re
import zlib
from pathlib import Path
from typing import Any

import pytest

from immunoprofile import report
from immunoprofile.errors import NotAvailableError
from immunoprofile.report import pages
from immunoprofile.report.addresses import file_name, folder_names


class Small:
    """Two subjects of the profile, so that a test stays short."""

    def __init__(self, profile: Any) -> None:
        self.__dict__ |= vars(profile)
        self._profile = profile
        self.study = type(profile.study)(**vars(profile.study))
        self.study.subjects = profile.study.subjects.iloc[:2]

    def rasters(self, sample_id: str) -> Any:
        return self._profile.rasters(sample_id)


def test_all_reports_have_the_same_bytes_for_any_jobs(
    profile: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Small(profile)
    monkeypatch.setattr(pages, "_WORTH_PROCESSES", 4)  # so few would be made in this process
    one = report.write_all(small, tmp_path / "one")
    two = report.write_all(small, tmp_path / "two", jobs=2)
    three = report.write_all(small, tmp_path / "three", jobs=3)
    assert [path.relative_to(tmp_path / "one") for path in one] == [path.relative_to(tmp_path / "two") for path in two]
    assert len(three) == len(one) == 22
    assert one[-1] == tmp_path / "one" / "reports" / "cohort.html"
    assert one[5] == tmp_path / "one" / "reports" / "IL2CMV-01-001" / "D14.html"
    for first, second, third in zip(one, two, three, strict=True):
        assert first.read_bytes() == second.read_bytes() == third.read_bytes()
    assert not list(tmp_path.rglob("*.tmp*"))
    assert one[5].read_text(encoding="utf-8") == report.visit(profile, "IL2CMV-01-001", "D14").html


def test_file_names_are_safe_and_distinct() -> None:
    assert file_name("D14") == "D14"
    for name in ("../../etc/passwd", "a/b", "CON", "..", "", "<script>", "日本"):
        safe = file_name(name)
        assert safe not in ("", ".", "..")
        assert not set(safe) & set('/\\<>:"|?*')
        assert safe.casefold() != "con"
    assert file_name("a/b") != file_name("a_b")
    assert len({name.casefold() for name in folder_names(("S-1", "s-1", "S/1")).values()}) == 3


def test_pdf_is_tagged_and_reproducible(profile: Any, tmp_path: Path) -> None:
    pytest.importorskip("weasyprint", exc_type=ImportError)
    made = report.visit(profile, "IL2CMV-01-001", "D14")
    first = made.to_pdf(tmp_path / "a.pdf").read_bytes()
    assert first.startswith(b"%PDF-")
    # The catalogue stands in a compressed object stream.
    streams = [part.partition(b"endstream")[0].strip(b"\r\n") for part in first.split(b"stream\n")[1:]]
    unpacked = b"".join(zlib.decompress(part) for part in streams if part.startswith(b"x\xda"))
    assert b"/StructTreeRoot" in unpacked
    assert b"/Marked true" in unpacked
    assert b"/Lang" in unpacked
    # What no validator has passed is not claimed.
    assert b"pdfuaid" not in first + unpacked
    # Every table is one in the tags as well, not one for each page that it goes over.
    assert len(re.findall(rb"/S\s*/Table\b", unpacked)) == made.html.count("<table")
    assert made.to_pdf(tmp_path / "b.pdf").read_bytes() == first


def test_missing_weasyprint_says_what_to_install(profile: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "weasyprint":
            raise OSError("cannot load library 'libpango-1.0-0'")
        return original(name, *args, **kwargs)

    made = report.cohort(profile)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(NotAvailableError, match=r"immunoprofile\[pdf\].*Pango"):
        made.to_pdf(tmp_path / "a.pdf")
    assert not list(tmp_path.iterdir())
