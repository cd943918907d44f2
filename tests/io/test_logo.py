"""The logo: what a page embeds of a file from outside is a picture and nothing else."""

from __future__ import annotations

import base64
import shutil
import struct
import zlib
from pathlib import Path
from xml.etree import ElementTree

import pytest

import immunoprofile as ip
from immunoprofile.errors import StudyError
from immunoprofile.io.logo import LARGEST_LOGO, RefusedLogoError, clean_logo
from immunoprofile.report.complete import Asked, write_reports
from tests.small_study import write_gates, write_study

SVG = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 40 20"'
GOOD = f"""<?xml version="1.0"?><!-- drawn by a person -->
<svg {SVG} xmlns:inkscape="http://www.inkscape.org/namespaces/inkscape" inkscape:f="a-person.png">
<metadata><who>A. Person</who></metadata><title>The logo</title>
<defs>
<linearGradient id="g"><stop offset="0" stop-color="#123456"/></linearGradient><g id="dot"><circle r="2"/></g></defs>
<style>.a {{ fill: url(#g); }} .b {{ fill: url('#g') }}</style>
<rect class="a" width="40" height="20"/><use xlink:href="#dot" x="5"/><text x="3" y="9">Lab</text></svg>"""


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int = 3, height: int = 2, *extra: bytes, pixels: bytes | None = None) -> bytes:
    rows = b"".join(b"\0" + bytes(3 * width) for _ in range(height)) if pixels is None else pixels
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = head + b"".join(extra) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_an_svg_keeps_what_it_draws_and_nothing_else() -> None:
    made = clean_logo("logo.svg", GOOD.encode())
    root = ElementTree.fromstring(made)
    assert [one.tag.rpartition("}")[2] for one in root.iter()] == [
        "svg", "defs", "linearGradient", "stop", "g", "circle", "style", "rect", "use", "text",
    ]  # fmt: skip
    assert root.find(".//{http://www.w3.org/2000/svg}use").get("href") == "#dot"
    assert root.find(".//{http://www.w3.org/2000/svg}text").text == "Lab"
    for secret in (b"person", b"Person", b"inkscape", b"The logo"):
        assert secret not in made
    assert clean_logo("LOGO.SVG", made) == made


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        ("<script>alert(1)</script>", "script"),
        ('<script xmlns="http://www.w3.org/1999/xhtml">alert(1)</script>', "script"),
        ('<rect onload="alert(1)"/>', "script"),
        ('<rect fill="java\nscript:alert(1)"/>', "script"),
        ('<image href="https://example.org/a.png"/>', "'image'"),
        ("<foreignObject/>", "'foreignObject'"),
        ('<a href="https://example.org"/>', "'a'"),
        ('<animate attributeName="x"/>', "'animate'"),
        ('<use xlink:href="other.svg#a"/>', "another document"),
        ('<use href="data:image/svg+xml,x"/>', "another document"),
        ('<rect fill="url(https://example.org/#a)"/>', "address"),
        ('<rect style="fill: u\\72l(//example.org)"/>', "address"),
        ('<g xml:base="https://example.org/"/>', "base address"),
        ("<style>@import 'https://example.org/a.css';</style>", "style"),
        ("<style>@font-face {}</style>", "style"),
        ("<style>a { background: url( 'https://example.org/' ) }</style>", "style"),
        ("<style><![CDATA[ a { background: url(//example.org) } ]]></style>", "style"),
        ('<g id="a"><use href="#b"/></g><use href="#a"/>', "5,000 elements"),
        ('<g id="a">' + "<g/>" * 2000 + "</g>" + '<use href="#a"/>' * 3, "5,000 elements"),
    ],
)
def test_an_svg_that_does_more_than_draw_is_refused(inside: str, words: str) -> None:
    with pytest.raises(RefusedLogoError, match=words):
        clean_logo("logo.svg", f"<svg {SVG}>{inside}</svg>".encode())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<svg", "well-formed"),
        (b'<!DOCTYPE svg [<!ENTITY a "b">]><svg/>', "document type"),
        (b"<html/>", "no SVG"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "size"),
        (b" " * (LARGEST_LOGO + 1), "more than"),
    ],
)
def test_what_is_no_svg_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(RefusedLogoError, match=words):
        clean_logo("logo.svg", content)


def test_a_png_keeps_its_pixels_and_no_words() -> None:
    plain = png()
    told = png(3, 2, chunk(b"tEXt", b"Author\0A. Person"), chunk(b"eXIf", b"MM\0*")) + b"appended"
    assert clean_logo("logo.png", told) == plain == clean_logo("logo.png", plain)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (GOOD.encode(), "no PNG"),
        (png()[:-20], "cut off"),
        (png().replace(b"IDAT", b"IDAS"), "checksum"),
        (png(4000, 2), "4000 x 2 pixels"),
        (png(0, 2), "0 x 2 pixels"),
        (png(3, 2, pixels=b"\0"), "damaged"),
        (b"\x89PNG\r\n\x1a\n" + chunk(b"IEND", b""), "out of order"),
    ],
)
def test_a_damaged_or_huge_png_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(RefusedLogoError, match=words):
        clean_logo("logo.png", content)


def study_with(folder: Path, name: str, content: bytes | None) -> Path:
    write_study(folder)
    with (folder / "study.yaml").open("a", encoding="utf-8") as handle:
        handle.write(f"logo: {name}\ninstitution: Laboratory of Immunology\n")
    if content is not None:
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("logo.svg", f"<svg {SVG}><script/></svg>".encode(), "holds an element 'script'"),
        ("logo.png", None, "cannot be read"),
        ("../logo.png", png(), "leaves the folder"),
        ("logo.gif", b"GIF89a", "neither PNG nor SVG"),
        ("logo.png", b"x" * (LARGEST_LOGO + 1), "has more than"),
    ],
)
def test_a_study_says_what_is_wrong_with_its_logo(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    folder = study_with(tmp_path / "study", name, content)
    with pytest.raises(StudyError, match=words):
        ip.read_study(folder)


@pytest.mark.parametrize(("name", "content"), [("Lab LOGO.SVG", GOOD.encode()), ("mark.png", png())])
def test_pages_carry_the_logo_and_the_results_folder_is_enough_for_them(
    tmp_path: Path, name: str, content: bytes
) -> None:
    study = ip.read_study(study_with(tmp_path / "study", name, content))
    assert name in study.inputs
    write_gates(tmp_path / "gates")
    out = tmp_path / "results"
    ip.run_study(study, ip.gate.load(tmp_path / "gates"), out=out)
    pages = {path: path.read_bytes() for path in sorted((out / "reports").rglob("*.html"))}
    address = base64.b64encode(clean_logo(name, content))
    assert len(pages) == 5
    for page in pages.values():
        assert page.count(address) == 1
        assert b'alt="Logo of Laboratory of Immunology"' in page
    shutil.rmtree(tmp_path / "study")
    write_reports(out, Asked(again=True))
    assert {path: path.read_bytes() for path in sorted((out / "reports").rglob("*.html"))} == pages
    assert ip.read_results(out).study.logo == clean_logo(name, content)
    (out / "study").joinpath(f"logo{Path(name).suffix.lower()}").write_bytes(content + b" ")
    with pytest.raises(ip.errors.ResultsError, match="is not as it was written"):
        write_reports(out, Asked(again=True))
