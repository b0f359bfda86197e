"""``insuretech dead-letters …``: messages that were given up on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from insuretech.cli.output import AsJson, show, tell
from insuretech.cli.session import with_marketplace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from insuretech.compose.single import Composition
    from insuretech.kit.dead_letters import DeadLetter

commands = typer.Typer(help="Messages that no attempt could handle.", no_args_is_help=True)
Ids = Annotated[list[UUID] | None, typer.Argument(help="Ids as list shows them.")]


@commands.command("list")
def list_letters(*, as_json: AsJson = False) -> None:
    """What was given up on and not replayed since, the newest first within a service."""
    columns = ("id", "consumer", "type", "reason", "attempts", "created_at")
    show(with_marketplace(_letters), title="Dead letters", as_json=as_json, columns=columns)


@commands.command("show")
def show_letter(letter: Annotated[UUID, typer.Argument(help="An id as list shows it.")]) -> None:
    """One letter with its event, always as JSON."""
    show(with_marketplace(lambda marketplace: _chosen(marketplace, [letter])), title="Dead letter", as_json=True)


@commands.command()
def replay(
    letters: Ids = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Hand letters to their consumers once more; the exit code is 1 when one could not be handled again."""
    if everything == bool(letters):
        raise typer.BadParameter("name ids, or say --all", param_hint="LETTERS")
    tried, handled = with_marketplace(lambda marketplace: _replay(marketplace, letters or []))
    tell(f"Handled {handled} of {tried}.", {"tried": tried, "handled": handled}, as_json=as_json)
    if handled < tried:
        raise typer.Exit(1)


async def _letters(marketplace: Composition) -> list[DeadLetter]:
    from insuretech.kit.dead_letters import dead_letters

    found: list[DeadLetter] = []
    for service in marketplace.services:
        if service.database is not None and service.messaging is not None:
            found += await dead_letters(service.database, service.messaging)
    return found


async def _chosen(marketplace: Composition, ids: Sequence[UUID]) -> list[DeadLetter]:
    """The letters with these ids, or all without ids."""
    found = [letter for letter in await _letters(marketplace) if not ids or letter.id in ids]
    missing = set(ids) - {letter.id for letter in found}
    if missing:
        names = ", ".join(str(one) for one in sorted(missing))
        raise typer.BadParameter(f"no dead letter that waits has the id {names}", param_hint="LETTERS")
    return found


async def _replay(marketplace: Composition, ids: Sequence[UUID]) -> tuple[int, int]:
    from insuretech.kit.dead_letters import replay as hand_over

    letters = await _chosen(marketplace, ids)
    return len(letters), len(await hand_over(letters, marketplace.reactions))
