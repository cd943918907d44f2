"""GatingML from anywhere: read, or refused with a GateError; never another error, a hang, or a look outside."""

from __future__ import annotations

import os
import random
import re
import time
from pathlib import Path

import pytest

from immunoprofile import gate
from immunoprofile.errors import GateError
from immunoprofile.io import guarded_xml

# IMMUNOPROFILE_FUZZ=N makes N mutants of every document instead of the short run.
MUTANTS = int(os.environ.get("IMMUNOPROFILE_FUZZ", "6"))
SECONDS = 5.0
"""Of CPU, so that a busy machine does not fail it."""

HEAD = (
    '<g:Gating-ML xmlns:g="http://www.isac-net.org/std/Gating-ML/v2.0/gating" '
    'xmlns:d="http://www.isac-net.org/std/Gating-ML/v2.0/datatypes" '
    'xmlns:t="http://www.isac-net.org/std/Gating-ML/v2.0/transformations">'
)
DIMENSION = '<g:dimension g:compensation-ref="uncompensated" g:min="1"><d:fcs-dimension d:name="A"/></g:dimension>'
GATE = f'<g:RectangleGate g:id="a">{DIMENSION}</g:RectangleGate>'
GOOD = f"{HEAD}{GATE}</g:Gating-ML>"


def outcome(path: Path, content: bytes) -> str:
    """``read`` or the text of the GateError; everything else is a failure of the test."""
    path.write_bytes(content)
    start = time.process_time()
    try:
        gates = gate.load(path)
    except GateError as error:
        result = str(error)
        assert path.name in result or path.stem in result
    else:
        assert all(isinstance(strategy, gate.Strategy) for strategy in gates.values())
        result = "read"
    assert time.process_time() - start < SECONDS
    return result


def mutant(content: bytes, rng: random.Random) -> bytes:
    """One to four changes: bytes, and pieces of the markup."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        if not changed:
            break
        kind = rng.randrange(8)
        at = rng.randrange(len(changed))
        if kind == 0:
            changed[at] = rng.randrange(256)
        elif kind == 1:
            del changed[at : at + rng.randint(1, 200)]
        elif kind == 2:
            changed[at:at] = changed[at : at + rng.randint(1, 400)]
        elif kind == 3:
            del changed[at:]
        elif kind == 4:
            numbers = list(re.finditer(rb'"-?[0-9.]+"', changed))
            if numbers:
                place = rng.choice(numbers).span()
                values = (b'""', b'"nan"', b'"inf"', b'"-1e999"', b'"0"', b'"x"', b'"-5"', b'"1e308"')
                changed[slice(*place)] = rng.choice(values)
        elif kind == 5:
            names = list(re.finditer(rb'"[A-Za-z][^"]*"', changed))
            if len(names) > 1:
                one, two = rng.choice(names), rng.choice(names)
                changed[slice(*one.span())] = two.group()
        elif kind == 6:
            elements = list(re.finditer(rb"<[A-Za-z][^<>]*/>", changed))
            if elements:
                place = rng.choice(elements)
                changed[slice(*place.span())] = rng.choice((b"", place.group() * 3, b"<x/>", b"&#0;", b"&lt;"))
        else:
            attributes = list(re.finditer(rb' [a-z-]+:[a-z_-]+="[^"]*"', changed))
            if attributes:
                del changed[slice(*rng.choice(attributes).span())]
    return bytes(changed)


def run(documents: list[Path], folder: Path) -> dict[str, int]:
    """Outcomes of all mutants; the seed of each is its document and number."""
    counted = {"read": 0, "refused": 0}
    for document in documents:
        content = document.read_bytes()
        for number in range(MUTANTS):
            rng = random.Random(f"{document.name} {number}")
            result = outcome(folder / "mutant.xml", mutant(content, rng))
            counted["read" if result == "read" else "refused"] += 1
    return counted


def test_mutants_of_the_shipped_gates(repository: Path, tmp_path: Path) -> None:
    counted = run(sorted((repository / "gating").glob("*.xml")), tmp_path)
    assert counted["refused"] > 0


@pytest.mark.outside_data
def test_mutants_of_the_compliance_set(outside_data: Path, tmp_path: Path) -> None:
    counted = run(sorted((outside_data / "torture_gatingml_compliance").rglob("*.xml")), tmp_path)
    assert counted["refused"] > 0
    assert counted["read"] > 0


@pytest.mark.outside_data
def test_the_compliance_set_itself_is_read_or_refused_by_name(outside_data: Path, tmp_path: Path) -> None:
    reasons = {}
    for document in sorted((outside_data / "torture_gatingml_compliance").rglob("*.xml")):
        reasons[document.name] = outcome(tmp_path / "own.xml", document.read_bytes())
    assert reasons["gml_rect1_gate.xml"] == "read"
    assert reasons["gml_ellipse1_gate.xml"] == "read"
    assert sum(reason == "read" for reason in reasons.values()) >= 45


LAUGHS = "".join(f'<!ENTITY a{n} "&a{n - 1};&a{n - 1};">' for n in range(1, 40))
BOMB = f'<!DOCTYPE b [<!ENTITY a0 "ha">{LAUGHS}]>'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
@pytest.mark.parametrize(
    "doctype",
    [
        "<!DOCTYPE g>",
        '<!DOCTYPE g SYSTEM "gates.dtd">',
        '<!DOCTYPE g PUBLIC "-//x//y" "gates.dtd">',
        '<!DOCTYPE g [<!ENTITY a "b">]>',
        '<!DOCTYPE g [<!ENTITY a SYSTEM "secret.txt">]>',
        '<!DOCTYPE g [<!ENTITY % a SYSTEM "secret.txt"> %a;]>',
        BOMB,
    ],
    ids=["bare", "system", "public", "entity", "external", "parameter", "bomb"],
)
def test_document_types_and_entities_are_refused(tmp_path: Path, doctype: str, encoding: str) -> None:
    (tmp_path / "secret.txt").write_text("the secret")
    document = f"{doctype}{GOOD}" if encoding.startswith("utf-8") else f'<?xml version="1.0"?>{doctype}{GOOD}'
    result = outcome(tmp_path / "bad.xml", document.encode(encoding))
    assert "refused" in result
    assert "the secret" not in result


def test_good_documents_in_other_encodings_are_read(tmp_path: Path) -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert outcome(tmp_path / "good.xml", GOOD.encode(encoding)) == "read"


def chain(levels: int) -> str:
    parent = ['g:id="a0"', *(f'g:id="a{n}" g:parent_id="a{n - 1}"' for n in range(1, levels))]
    return "".join(f"<g:RectangleGate {names}>{DIMENSION}</g:RectangleGate>" for names in parent)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('<x:include xmlns:x="http://www.w3.org/2001/XInclude" href="secret.txt" parse="text"/>', "includes other"),
        (GATE.replace("</g:Rect", "&b;</g:Rect"), "refused"),
        (GATE.replace('"a"', f'"{"a" * 200_000}"'), "more than 100000 characters"),
        (GATE.replace("<d:", "x" * 200_000 + "<d:"), "more than 100000 characters"),
        ("<y>" * 5000 + "</y>" * 5000, "nested more than"),
        ("<y/>" * 600_000, "elements"),
        ("<y/>" * 200_000, "elements"),
        (chain(1000), "gates"),
        (chain(60), "levels"),
        (GATE.replace('g:id="a"', 'g:id="a" g:parent_id="a"'), "above itself"),
        ("".join(GATE.replace('"a"', f'"a{n}"') for n in range(600)), "gates"),
        (GATE + GATE, "could not be read"),
        (GATE.replace('g:id="a"', 'g:id="a" g:parent_id="nobody"'), "could not be read"),
        ("", "could not be read|read"),
    ],
    ids=["xinclude", "entity", "attribute", "text", "depth", "elements", "many", "chain", "levels", "loop", "gates",
         "twice", "orphan", "empty"],
)  # fmt: skip
def test_what_is_too_much_or_reaches_outside_is_refused(tmp_path: Path, body: str, reason: str) -> None:
    (tmp_path / "secret.txt").write_text("the secret")
    result = outcome(tmp_path / "bad.xml", f"{HEAD}{body}</g:Gating-ML>".encode())
    assert re.search(reason, result)
    assert "the secret" not in result


def test_as_large_as_allowed_is_read_in_time(tmp_path: Path) -> None:
    gates = "".join(GATE.replace('"a"', f'"a{n}"') for n in range(500))
    assert outcome(tmp_path / "wide.xml", f"{HEAD}{gates}</g:Gating-ML>".encode()) == "read"
    assert outcome(tmp_path / "deep.xml", f"{HEAD}{chain(50)}</g:Gating-ML>".encode()) == "read"


def test_files_that_are_no_gatingml(tmp_path: Path) -> None:
    for content in (
        b"",
        b"\0" * 100,
        b"<a/>",
        b"FCS3.0",
        b'<Workspace flowJoVersion="10.5"/>',
        b'<W flowJoVersion="x"/>',
    ):
        assert outcome(tmp_path / "bad.xml", content) != "read"


def test_processing_instructions_and_comments_do_not_reach_the_engine(tmp_path: Path) -> None:
    (tmp_path / "style.xsl").write_text("<x/>")
    document = f'<?xml-stylesheet href="style.xsl"?><!-- c -->{GOOD}'
    assert outcome(tmp_path / "good.xml", document.encode()) == "read"
    root = guarded_xml.parse(document.encode())
    assert [guarded_xml.local(element.tag) for element in root] == ["RectangleGate"]
