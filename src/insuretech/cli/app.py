"""The commands of ``insuretech`` and their groups."""

import sys
from typing import Annotated

import typer

from insuretech import __version__
from insuretech.cli import (
    contracts,
    database,
    dead_letters,
    documents,
    keep,
    keys,
    outbox,
    partitions,
    products,
    projections,
    reconciliation,
    sandbox,
    settlement,
    staff,
    topics,
)
from insuretech.cli.cdn_purge import cdn_purge
from insuretech.cli.migrate import migrate
from insuretech.cli.serve import serve
from insuretech.cli.service import service

app = typer.Typer(
    name="insuretech",
    help="An insurance marketplace: run it, look after it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(serve)
app.command()(service)
app.command()(migrate)
app.command("cdn-purge")(cdn_purge)
app.add_typer(products.commands, name="products")
app.add_typer(outbox.commands, name="outbox")
app.add_typer(partitions.commands, name="partitions")
app.add_typer(dead_letters.commands, name="dead-letters")
app.add_typer(projections.commands, name="projections")
app.add_typer(documents.commands, name="documents")
app.add_typer(keys.commands, name="keys")
app.add_typer(database.commands, name="database")
app.add_typer(reconciliation.commands, name="reconciliation")
app.add_typer(staff.commands, name="staff")
app.add_typer(sandbox.commands, name="sandbox")
app.add_typer(settlement.commands, name="settlement")
app.add_typer(contracts.commands, name="contracts")
app.add_typer(topics.commands, name="topics")
app.add_typer(keep.commands, name="keep")


@app.callback(invoke_without_command=True)
def _options(
    *, version: Annotated[bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)] = False
) -> None:
    if version:
        sys.stdout.write(f"{__version__}\n")
        raise typer.Exit
