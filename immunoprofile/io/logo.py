"""The logo of an institution: a small PNG or SVG of the study folder, of which only what is drawn is kept.

A page embeds the logo. It must not bring a script, fetch anything, or carry what nobody sees (who drew it, with which
program, on whose disk), so that what is embedded is written anew from the parts that draw.
"""

from __future__ import annotations

import re
import struct
import zlib
from io import BytesIO
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree

from immunoprofile.errors import ImmunoprofileError
from immunoprofile.io.files import inside
from immunoprofile.io.guarded_xml import RefusedXmlError, local, parse
from immunoprofile.io.inputs import reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from immunoprofile.errors import Problems
    from immunoprofile.io.inputs import Inputs

LARGEST_LOGO: Final = 200_000
"""Bytes of the file: every page carries it."""
MOST_PIXELS: Final = 2_000
"""Pixels of a side of a PNG."""
SUFFIXES: Final = (".png", ".svg")

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_DRAWN: Final = frozenset({b"IHDR", b"PLTE", b"tRNS", b"gAMA", b"sRGB", b"IDAT", b"IEND"})
"""Chunks of a PNG that make the picture; the others hold words, dates, profiles and animations."""
_SVG: Final = "http://www.w3.org/2000/svg"
_HREF: Final = ("href", "{http://www.w3.org/1999/xlink}href")
_SHAPES: Final = frozenset(
    {
        "svg", "g", "defs", "symbol", "use", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text",
        "tspan", "linearGradient", "radialGradient", "stop", "clipPath", "mask", "style",
    }
)  # fmt: skip
_SILENT: Final = frozenset({"metadata", "title", "desc"})
"""Elements that draw nothing; they are left out."""
_MOST_ELEMENTS: Final = 5_000
_ESCAPES: Final = re.compile(r"@|\\|(?:url|image|src|image-set)\s*\(\s*['\"]?(?!#|['\"])", re.IGNORECASE)
"""CSS that could reach outside: rules with @, escapes that hide a word, and addresses other than ``url(#id)``."""


class RefusedLogoError(ValueError):
    """A file that is no PNG or SVG, or one with more in it than a picture; the message says what."""


def clean_logo(name: str, content: bytes) -> bytes:
    """What a page may embed of a logo.

    Parameters
    ----------
    name
        Name of the file; its ending says the format.
    content
        Its bytes.

    Returns
    -------
    bytes
        A PNG with the chunks that make the picture, or an SVG with the elements that draw. Cleaning them again changes
        nothing.

    Raises
    ------
    RefusedLogoError
        Neither PNG nor SVG; damaged, too large; an SVG with a script, a style or reference that leads out of the file,
        or anything that does not draw.
    """
    if len(content) > LARGEST_LOGO:
        raise RefusedLogoError(f"has {len(content):,} bytes, more than {LARGEST_LOGO:,}")
    if name.casefold().endswith(".png"):
        return _clean_png(content)
    if name.casefold().endswith(".svg"):
        return _clean_svg(content)
    raise RefusedLogoError("is neither .png nor .svg")


def read_logo(inputs: Inputs, name: str, problems: Problems) -> bytes:
    """Logo of a study folder, cleaned; empty, with the reason among the problems, where it cannot be used."""
    if not name:
        return b""
    try:
        inside(inputs.folder, name)
        return clean_logo(name, inputs.read(name, LARGEST_LOGO))
    except OSError as error:
        what = f"cannot be read: {reason(error)}"
    except (ImmunoprofileError, RefusedLogoError) as error:
        what = str(error)
    problems.add(name, f"logo: {what}", allowed=f"a PNG, or an SVG of plain shapes, of at most {LARGEST_LOGO:,} bytes")
    return b""


def _clean_png(content: bytes) -> bytes:
    from matplotlib.image import imread

    if not content.startswith(_PNG):
        raise RefusedLogoError("is no PNG, whatever its name says")
    kept = [_PNG]
    for kind, chunk in _chunks(content):
        if kind == b"IHDR":
            width, height = struct.unpack(">II", chunk[8:16])
            if not (0 < width <= MOST_PIXELS and 0 < height <= MOST_PIXELS):
                raise RefusedLogoError(f"has {width} x {height} pixels; at most {MOST_PIXELS} x {MOST_PIXELS}")
        if kind in _DRAWN:
            kept.append(chunk)
    cleaned = b"".join(kept)
    try:
        imread(BytesIO(cleaned), format="png")
    except (OSError, SyntaxError, ValueError, zlib.error) as error:
        # Which of them depends on the place of the damage.
        raise RefusedLogoError(f"is a damaged PNG ({error})") from error
    return cleaned


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and bytes of every chunk, up to the end of the picture; what follows it is no part of it."""
    place, kind = len(_PNG), b""
    while kind != b"IEND":
        head = content[place : place + 8]
        length = int.from_bytes(head[:4], "big")
        kind, end = head[4:], place + 12 + length
        if len(head) < 8 or end > len(content) or (place == len(_PNG) and kind != b"IHDR"):
            raise RefusedLogoError("is a damaged PNG (a chunk is cut off or out of order)")
        if zlib.crc32(content[place + 4 : end - 4]) != int.from_bytes(content[end - 4 : end], "big"):
            raise RefusedLogoError("is a damaged PNG (a checksum is wrong)")
        yield kind, content[place:end]
        place = end


def _clean_svg(content: bytes) -> bytes:
    try:
        root = parse(content, doctypes=("svg",))
    except RefusedXmlError as error:
        raise RefusedLogoError(str(error)) from error
    if root.tag != f"{{{_SVG}}}svg":
        raise RefusedLogoError(f"is no SVG: its root is {local(root.tag)!r}")
    refused: list[str] = []
    made = _drawn(root, refused)
    if not (made.get("viewBox") or (made.get("width") and made.get("height"))):
        refused.append("no size (viewBox, or width and height)")
    elements = list(made.iter())
    if len(elements) + _copied(made) > _MOST_ELEMENTS:
        refused.append(f"more than {_MOST_ELEMENTS:,} elements, copies by 'use' among them")
    if refused:
        raise RefusedLogoError(f"holds {'; '.join(dict.fromkeys(refused))}")
    made.set("xmlns", _SVG)
    return bytes(ElementTree.tostring(made, encoding="utf-8"))


def _drawn(element: ElementTree.Element, refused: list[str]) -> ElementTree.Element:
    """Copy of an element with all that draws; what is not allowed is added to ``refused``."""
    name = local(element.tag)
    made = ElementTree.Element(name)
    for key, value in element.attrib.items():
        _check_attribute(key, value, refused)
        if key in _HREF:
            made.set("href", value)
        elif not key.startswith("{"):
            made.set(key, value)
    made.text = element.text
    if name == "style" and _ESCAPES.search(element.text or ""):
        refused.append("a style that may lead out of the file")
    for child in element:
        kept = None
        if child.tag.startswith(f"{{{_SVG}}}") and local(child.tag) not in _SILENT:
            if local(child.tag) in _SHAPES:
                kept = _drawn(child, refused)
                kept.tail = child.tail
                made.append(kept)
            else:
                refused.append(f"an element '{local(child.tag)}'")
        elif local(child.tag).casefold() == "script":
            refused.append("an element 'script'")
    return made


def _check_attribute(key: str, value: str, refused: list[str]) -> None:
    if local(key).casefold().startswith("on"):
        refused.append(f"a script ({local(key)})")
    if key in _HREF and not value.startswith("#"):
        refused.append("a reference to another document")
    if local(key) == "base":
        refused.append("a base address")
    if "javascript:" in re.sub(r"\s", "", value).casefold():
        refused.append(f"a script ({local(key)})")
    elif key not in _HREF and not key.startswith("{") and _ESCAPES.search(value):
        refused.append(f"an address or escape in {local(key)!r}")


def _copied(root: ElementTree.Element) -> int:
    """Elements that ``use`` draws again; one that draws another ``use`` counts as too many."""
    sizes = {one.get("id", ""): one for one in root.iter()}
    total = 0
    for use in root.iter("use"):
        target = sizes.get(use.get("href", "#")[1:])
        if target is not None:
            nested = next(target.iter("use"), None) is not None
            total += _MOST_ELEMENTS + 1 if nested else sum(1 for _ in target.iter())
    return total
