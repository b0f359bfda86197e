"""``insuretech staff …``: the people who work here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from insuretech.cli.output import AsJson, show, tell
from insuretech.cli.session import with_marketplace

if TYPE_CHECKING:
    from insuretech.settlement.staff.commands import Staff

commands = typer.Typer(help="The people who work here.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="What they sign with: small Latin letters, digits, dots and dashes.")]
_ONCE = "It works once, for 30 minutes. Give it to nobody else."


@commands.command()
def add(
    name: Name,
    *,
    role: Annotated[Literal["settlement", "viewer"], typer.Option(help="viewer may only look.")] = "settlement",
    as_json: AsJson = False,
) -> None:
    """Open an account and print its one-time sign-in link."""
    link = with_marketplace(lambda marketplace: marketplace.settlement.office.staff.add(name, role))
    tell(f"{link}\n{_ONCE}", {"name": name, "role": role, "link": link}, as_json=as_json)


@commands.command()
def link(name: Name, *, as_json: AsJson = False) -> None:
    """Print a new one-time sign-in link; older ones end."""
    address = with_marketplace(lambda marketplace: marketplace.settlement.office.staff.link(name))
    tell(f"{address}\n{_ONCE}", {"name": name, "link": address}, as_json=as_json)


@commands.command()
def disable(name: Name, *, as_json: AsJson = False) -> None:
    """Close an account and end its sessions at once; what it did stays in the journal."""

    async def work(staff: Staff) -> None:
        await staff.disable(name)

    with_marketplace(lambda marketplace: work(marketplace.settlement.office.staff))
    tell(f"{name} can no longer sign in.", {"name": name, "disabled": True}, as_json=as_json)


@commands.command("list")
def list_people(*, as_json: AsJson = False) -> None:
    """Every account."""
    people = with_marketplace(lambda marketplace: marketplace.settlement.office.staff.books.people())
    show(people, title="Staff", as_json=as_json)
