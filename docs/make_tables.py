"""Write the tables of the user guide from ``immunoprofile/schema/``, between the markers of the pages.

``python docs/make_tables.py`` rewrites the pages, ``python docs/make_tables.py --check`` only says whether they are up
to date (exit code 1 when not). A test does the same.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from immunoprofile import schema
from immunoprofile.gate.methods import METHODS
from immunoprofile.resources import load_yaml, populations

DOCS = Path(__file__).resolve().parent

KINDS = {"str": "text", "float": "number", "int": "whole number", "bool": "Y or N", "date": "ISO 8601 date"}

MARKER = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n)(?P<body>.*?)(<!-- end of generated -->)", re.DOTALL)


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Lines of a Markdown table."""
    head = list(header)
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def limits(column: schema.Column) -> str:
    """What a value of the column may be."""
    parts = []
    if column.allowed:
        parts.append(", ".join(f"`{value}`" for value in column.allowed))
    if column.minimum is not None and column.maximum is not None:
        parts.append(f"{column.minimum:g} to {column.maximum:g}")
    elif column.minimum is not None:
        parts.append(f"{column.minimum:g} or more")
    elif column.maximum is not None:
        parts.append(f"{column.maximum:g} or less")
    return "; ".join(parts)


def study_tables() -> str:
    """One section for each table of a study folder."""
    parts = []
    for spec in schema.TABLES.values():
        state = "required" if spec.required else "optional"
        parts.append(f"### `{spec.name}` ({state})\n")
        if spec.key:
            parts.append("One row for each " + ", ".join(f"`{name}`" for name in spec.key) + ".\n")
        rows = [
            (
                f"`{column.name}`",
                KINDS[column.kind] + (f", {column.unit}" if column.unit else ""),
                ("column required" if column.required else "")
                + (", never empty" if column.required and not column.nullable else ""),
                column.meaning,
                limits(column),
            )
            for column in spec.columns
        ]
        parts.append(table(("column", "values", "must", "meaning", "allowed"), rows))
    return "\n".join(parts)


def laboratory_units() -> str:
    """Units that each laboratory test may come in."""
    rows = [
        (f"`{test}`", unit, ", ".join(f"`{name}`" for name in factors))
        for test, (unit, factors) in sorted(schema.LAB_UNITS.items())
    ]
    return table(("test", "unit of analysis", "units accepted"), rows)


def named(names: dict[str, str], header: str) -> Callable[[], str]:
    """Table of names with their meaning."""
    return lambda: table((header, "meaning"), ((f"`{name}`", meaning) for name, meaning in names.items()))


def columns(names: Iterable[str]) -> Callable[[], str]:
    """The columns of a table that a run writes, on one line."""
    return lambda: ", ".join(f"`{name}`" for name in names) + "\n"


def eligibility_criteria() -> str:
    """Criteria of the trial as they are computed."""
    rows = []
    for name, entry in load_yaml("eligibility.yaml")["criteria"].items():
        inputs = [
            f"`{one}`" + needed(declared["need"]) + lookback(declared)
            for one, declared in entry.get("inputs", {}).items()
        ]
        rows.append((name, entry["text"], entry["rule"], "; ".join(inputs)))
    return table(("id", "trial", "what is computed", "inputs"), rows)


def needed(need: str) -> str:
    """Words for inputs that are not simply required."""
    return {"alternative": " (one of these)", "optional": " (optional)"}.get(need, "")


def lookback(declared: dict[str, object]) -> str:
    """The window of a dated input."""
    if "lookback_d" not in declared:
        return ""
    return ", any time before" if declared["lookback_d"] is None else f", {declared['lookback_d']} d"


def eligibility_parameters() -> str:
    """What study.yaml may change."""
    rows = [
        (f"`{name}`", criterion, shortened(entry["value"]), str(entry.get("unit", "")), entry["tag"], entry["meaning"])
        for criterion, one in load_yaml("eligibility.yaml")["criteria"].items()
        for name, entry in one.get("parameters", {}).items()
    ]
    return table(("parameter", "criterion", "value", "unit", "tag", "meaning"), rows)


def placement_methods() -> str:
    """The methods that a template may name."""
    rows = (
        (f"`{m.name}`", ", ".join(m.kinds), m.meaning, ", ".join(f"`{a.name}`" for a in m.arguments), m.source)
        for m in METHODS.values()
    )
    return table(("method", "gates", "what it does", "arguments", "source"), rows)


def placement_arguments() -> str:
    """Every argument with its default and range; one name may have several defaults."""
    rows: dict[tuple[str, str, str], dict[str, list[str]]] = {}
    for method in METHODS.values():
        for a in method.arguments:
            default = f"{a.default:g}" if isinstance(a.default, float) else str(a.default) or "empty"
            rows.setdefault((a.name, a.meaning, a.allowed), {}).setdefault(default, []).append(method.name)
    return table(
        ("argument", "meaning", "default", "allowed"),
        ((f"`{name}`", meaning, "; ".join(f"{d} ({', '.join(of)})" if len(defaults) > 1 else d
                                          for d, of in defaults.items()), allowed)
         for (name, meaning, allowed), defaults in rows.items()),
    )  # fmt: skip


def shortened(value: object) -> str:
    """A default as it stands in a table; a long list only by its length."""
    if isinstance(value, list):
        return f"list of {len(value)}" if value else "empty list"
    return "null" if value is None else f"`{value}`"


def known_populations() -> str:
    """The registry: ids, names, definitions, parents, terms."""
    rows = []
    for entry in populations().values():
        optional = f" ({', '.join(entry.optional)})" if entry.optional else ""
        term = f"{entry.cl_id} {entry.cl_label} ({entry.cl_match})" if entry.cl_id else ""
        rows.append((f"`{entry.id}`", entry.display, entry.marker_string + optional, entry.parent or "root", term))
    return table(("id", "name", "definition", "usual parent", "Cell Ontology"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "study-tables": study_tables,
    "laboratory-units": laboratory_units,
    "visit-layers": named(schema.VISIT_LAYERS, "layer"),
    "visit-obsm": named(schema.VISIT_OBSM, "obsm"),
    "visit-gatings": named(schema.VISIT_GATINGS, "obsm"),
    "visit-obs": named(schema.VISIT_OBS, "obs"),
    "visit-var": named(schema.VISIT_VAR, "var"),
    "flags": named(schema.FLAGS, "flag"),
    "count-columns": columns(schema.COUNT_COLUMNS),
    "exception-columns": columns(schema.EXCEPTION_COLUMNS),
    "quality-columns": columns(schema.QUALITY_COLUMNS),
    "virology-columns": columns(schema.VIROLOGY_COLUMNS),
    "placement-methods": placement_methods,
    "placement-arguments": placement_arguments,
    "placement-columns": columns(schema.PLACEMENT_COLUMNS),
    "gate-spread-columns": columns(schema.GATE_SPREAD_COLUMNS),
    "result-tables": named({f"{name}.csv": table.meaning for name, table in schema.RESULT_TABLES.items()}, "file"),
    "clinical-visit-obs": named(schema.CLINICAL_OBS, "obs"),
    "cmv-rule-columns": columns(schema.CMV_RULE_COLUMNS),
    "cmv-clearance-columns": columns(schema.CMV_CLEARANCE_COLUMNS),
    "cmv-kinetics": named(schema.CMV_KINETICS, "column"),
    "cmv-visit-obs": named(schema.CMV_VISIT_OBS, "obs"),
    "statistic-columns": columns(schema.STATISTIC_COLUMNS),
    "eligibility-criteria": eligibility_criteria,
    "eligibility-parameters": eligibility_parameters,
    "eligibility-columns": columns(schema.ELIGIBILITY_COLUMNS),
    "eligibility-overall-columns": columns(schema.ELIGIBILITY_OVERALL_COLUMNS),
    "populations": known_populations,
    "attestation-items": named(schema.ATTESTATION_ITEMS, "item"),
}


def fill(text: str) -> str:
    """A page with its tables made anew; KeyError for a marker that nobody makes."""
    return MARKER.sub(lambda match: f"{match[1]}\n{TABLES[match['name']]()}\n{match[4]}", text)


def main(arguments: list[str] | None = None) -> int:
    """Rewrite or check all pages; the number of pages that were (are) out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, only say what is out of date")
    check = parser.parse_args(arguments).check
    stale = 0
    for page in sorted(DOCS.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        filled = fill(text)
        if filled != text:
            stale += 1
            print(f"{page.name}: {'out of date' if check else 'rewritten'}")
            if not check:
                page.write_text(filled, encoding="utf-8", newline="\n")
    return int(check and stale > 0)


if __name__ == "__main__":
    sys.exit(main())
