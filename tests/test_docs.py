"""The pages say what the code does: generated tables, fields, commands and links."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel

from immunoprofile import schema
from immunoprofile.gate import template
from immunoprofile.io import config

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "gating" / "README.md"])


@pytest.fixture(scope="module")
def make_tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_tables", ROOT / "docs" / "make_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_tables_are_up_to_date(make_tables: ModuleType) -> None:
    assert make_tables.main(["--check"]) == 0, "run python docs/make_tables.py"


def test_every_generated_table_stands_on_a_page(make_tables: ModuleType) -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md"))
    assert {match["name"] for match in make_tables.MARKER.finditer(text)} == set(make_tables.TABLES)


def test_every_column_of_a_study_table_is_explained() -> None:
    page = (ROOT / "docs" / "study-folder.md").read_text(encoding="utf-8")
    for spec in schema.TABLES.values():
        section = page.split(f"### `{spec.name}` ")[1].split("\n### ")[0]
        assert all(f"| `{name}` |" in section for name in spec.column_names)


@pytest.mark.parametrize(
    "model",
    [
        config.StudyConfig,
        config.Arm,
        config.ScheduledVisit,
        config.Tube,
        config.Endpoint,
        config.Assay,
        config.TableForm,
    ],
)
def test_every_field_of_study_yaml_is_explained(model: type[BaseModel]) -> None:
    page = (ROOT / "docs" / "study-folder.md").read_text(encoding="utf-8").split("## Units of laboratory")[0]
    assert [name for name in model.model_fields if f"`{name}`" not in page] == []


def test_the_study_yaml_of_the_page_is_valid(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "study-folder.md").read_text(encoding="utf-8").split("## study.yaml\n")[1]
    block = re.search(r"(?:^    .*\n)+", page, flags=re.MULTILINE)
    assert block is not None
    text = "\n".join(line.removeprefix("    ") for line in block[0].splitlines())
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    assert config.read_config(tmp_path).baseline_visit == "BL"


def test_every_column_of_a_template_is_explained() -> None:
    page = (ROOT / "docs" / "gating-templates.md").read_text(encoding="utf-8")
    named = {re.sub(r"_[23]$", "_1", column) for column in template.COLUMNS}
    assert [column for column in named if f"`{column}`" not in page] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if "://" not in target and not (page.parent / target).exists()] == []


def test_the_command_table_of_the_readme_is_complete() -> None:
    import typer.main

    from immunoprofile import cli

    named = set(
        re.findall(r"^\| `immunoprofile ([a-z]+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert named == set(typer.main.get_command(cli.app).commands)  # type: ignore[attr-defined]
