"""Commands on what the package knows: populations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from immunoprofile.cli.shell import app


@app.command(name="populations")
def list_populations(
    gates: Annotated[
        Path | None,
        typer.Option("--gates", help="Gates whose names are held against the ids (.wsp, .xml, templates)."),
    ] = None,
) -> None:
    """List the ids that reports use, with definition, parent and Cell Ontology term.

    With --gates: the names of a document, which of them are ids already, and the rows that populations.csv of a study
    would need for those that come near one.
    """
    from immunoprofile.resources import populations

    if gates is None:
        for entry in populations().values():
            term = f"{entry.cl_id} {entry.cl_label}".strip()
            typer.echo(f"{entry.id:<20}{entry.display:<34}{entry.marker_string:<38}{entry.parent or 'root':<14}{term}")
        return
    from immunoprofile.gate import load
    from immunoprofile.gate.definition import definition
    from immunoprofile.gate.mapping import Proposal, proposals, sources_of

    proposed: list[Proposal] = []
    for tube, strategy in load(gates).items():
        typer.echo(f"{tube}:")
        for population, name in sources_of(strategy).items():
            known = "an id of reports" if population in populations() else f"id {population}"
            typer.echo(f"  {name:<44}{known:<28}{definition(strategy, population)}")
        proposed += proposals(strategy)
    if proposed:
        typer.echo("\nnear an id of reports; write the rows that are meant into populations.csv of the study:")
        typer.echo("tube,source,population")
        for proposal in proposed:
            typer.echo(proposal.row)
