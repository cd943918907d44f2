"""Fixed words of the pages stand in one table: every one of them, and nothing else."""

from __future__ import annotations

import ast
import pickle
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from jinja2 import nodes

from immunoprofile.report import render
from immunoprofile.report.cohort_model import build_cohort
from immunoprofile.report.language import Language, Said, fixed_texts, language
from immunoprofile.report.source import Source
from immunoprofile.report.visit_model import build_visit
from immunoprofile.resources import load_yaml

REPORT = Path(render.__file__).parent
MARKED = Language("x-marked", {text: f"⟦{text}⟧" for text in fixed_texts()})
"""A language in which every text of the table wears brackets: a text without them is not from the table."""
FIXED = {  # constructor -> place and name of the arguments that a page prints as they are
    "Column": {0: "head"}, "Table": {2: "title"}, "Text": {0: "words"}, "Bullets": {1: "title"},
    "Image": {2: "caption", 3: "title"}, "Fold": {0: "title"}, "Section": {1: "title", 3: "empty"}, "Said": {0: ""},
    "not_available": {0: "", 1: ""},
}  # fmt: skip

EFFECTS = {"fold change", "odds ratio", "time ratio", "hazard ratio", "correlation", "cumulative incidence", "per cent"}
"""Kinds of effects head a column as the statistics call them, with a capital."""

DATA = re.compile(r"^[IXA]\d\w?$|, (cells/µL|% of )")
"""Heads that are data: criteria of eligibility, and endpoints in their measure."""


def constants(node: ast.AST | None) -> list[str]:
    if isinstance(node, ast.IfExp):
        return constants(node.body) + constants(node.orelse)
    if isinstance(node, ast.Tuple):
        return [text for one in node.elts for text in constants(one)]
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def texts_of_code(path: Path) -> set[str]:
    """Texts that a module gives to a page word for word."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in ("heads", "head"):
            found += constants(node.value)
        if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "_TITLES":
            found += constants(ast.Tuple(list(node.value.values)) if isinstance(node.value, ast.Dict) else None)
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", "")
        if name == "columns":
            found += [text for one in node.args for text in constants(one)]
        for place, keyword in FIXED.get(name, {}).items():
            found += [text for one in node.keywords if one.arg == keyword for text in constants(one.value)]
            found += constants(node.args[place]) if len(node.args) > place else []
    return {text.removeprefix("#") for text in found if re.search("[a-zA-Z]", text)}


@pytest.mark.parametrize("path", sorted(REPORT.glob("*.py")), ids=lambda path: path.stem)
def test_texts_of_the_code_stand_in_the_table(path: Path) -> None:
    missing = sorted(texts_of_code(path) - set(fixed_texts()))
    assert missing == [], "fixed texts of a page have a line in resources/report_words.yaml"


def test_templates_hold_no_words() -> None:
    environment = render.environment()
    for path in sorted((REPORT / "templates").glob("*.j2")):
        tree = environment.parse(path.read_text(encoding="utf-8"))
        markup = "".join(one.data for one in tree.find_all(nodes.TemplateData))
        plain = re.sub(r"<[^>]*>|<[^>]*$|^[^<]*>|&\w+;", " ", markup, flags=re.DOTALL)
        words = (one.value for one in tree.find_all(nodes.Const) if isinstance(one.value, str))
        said = {text for text in words if " " in text.strip()}
        assert re.findall(r"[A-Za-z]{3,}", re.sub(r'[\w-]+="[^"]*"?', " ", plain)) == [], path.name
        assert sorted(text for text in said if re.search("[A-Z]", text) and text not in fixed_texts()) == [], path.name


class Fixed(HTMLParser):
    """Words of headings, heads of columns, folded titles and labels of regions of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._open = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.found += [known["aria-label"] or ""] if "aria-label" in known else []
        if tag in ("h1", "h2", "h3", "summary", "dt") or (tag == "th" and known.get("scope") == "col"):
            self._open = tag
            self.found.append("")

    def handle_endtag(self, tag: str) -> None:
        self._open = "" if tag == self._open else self._open

    def handle_data(self, data: str) -> None:
        if self._open:
            self.found[-1] += data


def test_pages_have_no_fixed_heading_outside_the_table(judged: Any) -> None:
    source = Source(judged)
    names = {*source.config.visit_names, *source.config.tubes, ""}
    pages = [render.render_cohort(build_cohort(source), MARKED)]
    for subject, visit in (("IL2CMV-01-001", "D14"), ("IL2CMV-01-002", "D14"), ("IL2CMV-01-003", "D28")):
        pages.append(render.render_visit(build_visit(source, subject, visit), MARKED))
    outside = {
        text.strip()
        for page in pages
        for text in Fixed(page.html).found
        if "⟦" not in text and text.strip() not in names and not DATA.search(text.strip())
    }
    assert outside == set()
    assert all('lang="x-marked"' in page.html and "⟦Research use only." in page.html for page in pages)


def test_every_text_of_the_table_is_used_and_stands_once() -> None:
    texts = fixed_texts()
    assert len(set(texts)) == len(texts)
    modules = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(REPORT.glob("*.py"))]
    written = {one.value.removeprefix("#") for tree in modules for one in ast.walk(tree)
               if isinstance(one, ast.Constant) and isinstance(one.value, str)}  # fmt: skip
    environment = render.environment()
    for path in sorted((REPORT / "templates").glob("*.j2")):
        written |= {str(one.value) for one in environment.parse(path.read_text("utf-8")).find_all(nodes.Const)}
    elsewhere = {text for text in texts if text[:1].lower() + text[1:] in EFFECTS}
    assert [text for text in texts if text not in written | elsewhere] == []
    assert all(set(one) == {"en"} for group in load_yaml("report_words.yaml").values() for one in group)


def test_a_text_with_words_put_in_keeps_them_in_another_language() -> None:
    text = pickle.loads(pickle.dumps(Said("Tube {tube}: numbers of {populations}", tube="treg", populations="A, {B}")))
    assert text == "Tube treg: numbers of A, {B}"
    other = Language("xx", {"Tube {tube}: numbers of {populations}": "{populations} <- {tube}"})
    assert other.say(text) == "A, {B} <- treg"
    assert Language().say(text) == text
    assert other.say("IL2CMV-01-001") == "IL2CMV-01-001"
    with pytest.raises(KeyError):
        language("tlh")
