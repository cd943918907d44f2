"""XML from outside, read without the doors that XML has: entities, document types, inclusion, bombs.

The document is parsed once by expat; what comes out is a tree of plain elements. Other parsers are given that tree
written anew, so that no parser sees anything that this one did not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree
from xml.parsers import expat

if TYPE_CHECKING:
    from collections.abc import Collection

MAX_BYTES = 32 * 1024 * 1024
MAX_DEPTH = 64
MAX_ELEMENTS = 500_000
MAX_TEXT = 100_000
"""Characters of one attribute, name or text."""

_XINCLUDE = "http://www.w3.org/2001/XInclude"


class RefusedXmlError(ValueError):
    """A document that is no well-formed XML, or that uses what is not allowed here; the message says which."""


def parse(content: bytes, *, doctypes: Collection[str] = ()) -> ElementTree.Element:
    """Root element of a document.

    Parameters
    ----------
    content
        The document, in UTF-8, UTF-16 or another encoding that expat reads.
    doctypes
        Names of document types that are let through as long as they are bare (no address and no content); old
        formats write one.

    Returns
    -------
    xml.etree.ElementTree.Element
        Names with namespaces in Clark's notation. Comments and processing instructions are dropped.

    Raises
    ------
    RefusedXmlError
        Not well-formed; declares a document type or entities; includes other documents; too large, too deep, or with
        a huge attribute or text.
    """
    if len(content) > MAX_BYTES:
        msg = f"is larger than {MAX_BYTES // 1024 // 1024} MB"
        raise RefusedXmlError(msg)
    guard = _Guard(frozenset(doctypes))
    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = guard.doctype
    parser.EntityDeclHandler = guard.entity
    parser.UnparsedEntityDeclHandler = guard.entity
    parser.ExternalEntityRefHandler = guard.entity
    parser.SkippedEntityHandler = guard.entity
    parser.StartElementHandler = guard.start
    parser.EndElementHandler = guard.end
    parser.CharacterDataHandler = guard.data
    try:
        parser.Parse(content, True)  # noqa: FBT003 - the C function takes no keywords
    except (expat.ExpatError, LookupError, ValueError) as error:
        if isinstance(error, RefusedXmlError):
            raise
        msg = f"is no well-formed XML: {error}"
        raise RefusedXmlError(msg) from error
    return guard.builder.close()


class _Guard:
    def __init__(self, doctypes: frozenset[str]) -> None:
        self.builder = ElementTree.TreeBuilder()
        self.doctypes = doctypes
        self.depth = self.elements = self.run = 0

    def doctype(self, name: str, system: str | None, public: str | None, internal: int) -> None:
        if name not in self.doctypes or system is not None or public is not None or internal:
            raise RefusedXmlError("declares a document type or entities, which it does not need")

    def entity(self, *_: Any) -> int:
        raise RefusedXmlError("declares or uses entities, which it does not need")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        self.elements += 1
        self.run = 0
        if self.depth > MAX_DEPTH:
            msg = f"is nested more than {MAX_DEPTH} deep"
            raise RefusedXmlError(msg)
        if self.elements > MAX_ELEMENTS:
            msg = f"has more than {MAX_ELEMENTS} elements"
            raise RefusedXmlError(msg)
        if name.startswith(_XINCLUDE):
            raise RefusedXmlError("includes other documents, which it does not need")
        if any(len(part) > MAX_TEXT for part in (name, *attributes, *attributes.values())):
            msg = f"has a name or an attribute of more than {MAX_TEXT} characters"
            raise RefusedXmlError(msg)
        self.builder.start(_clark(name), {_clark(key): value for key, value in attributes.items()})

    def end(self, name: str) -> None:
        self.depth -= 1
        self.run = 0
        self.builder.end(_clark(name))

    def data(self, text: str) -> None:
        self.run += len(text)
        if self.run > MAX_TEXT:
            msg = f"has a text of more than {MAX_TEXT} characters"
            raise RefusedXmlError(msg)
        self.builder.data(text)


def _clark(name: str) -> str:
    return f"{{{name}" if "}" in name else name


def local(name: str) -> str:
    """Name without its namespace."""
    return name.rpartition("}")[2]


def attribute(element: ElementTree.Element, name: str) -> str | None:
    """Value of an attribute, whatever its namespace."""
    return next((value for key, value in element.attrib.items() if local(key) == name), None)
