"""``insuretech outbox …``: events on their way out of services."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from insuretech.cli.output import AsJson, show, tell
from insuretech.cli.session import with_marketplace

if TYPE_CHECKING:
    from insuretech.compose.single import Composition
    from insuretech.kit.outbox import OutboxState

commands = typer.Typer(help="Events on their way out of services.", no_args_is_help=True)


@commands.command()
def status(*, as_json: AsJson = False) -> None:
    """How many events wait, went out, or could not be handled, by service."""
    show(with_marketplace(_states), title="Outboxes", as_json=as_json)


@commands.command()
def replay(
    service: Annotated[str, typer.Argument(help="Whose events, say quotes; of all when none.")] = "",
    *,
    since: Annotated[datetime | None, typer.Option(help="Only events from this UTC time on.")] = None,
    kind: Annotated[list[str] | None, typer.Option("--type", help="Only this type; may be repeated.")] = None,
    as_json: AsJson = False,
) -> None:
    """Hand published events over once more as soon as the marketplace runs; consumers that had them ignore them."""
    count = with_marketplace(lambda marketplace: _replay(marketplace, service, since, kind or []))
    whose = service or "all services"
    tell(f"{count} events of {whose} go out again.", {"service": service or None, "events": count}, as_json=as_json)


async def _states(marketplace: Composition) -> list[OutboxState]:
    from insuretech.kit.outbox import outbox_state

    return [
        await outbox_state(service.database, service.messaging)
        for service in marketplace.services
        if service.database is not None and service.messaging is not None
    ]


async def _replay(marketplace: Composition, name: str, since: datetime | None, kinds: list[str]) -> int:
    from insuretech.kit.outbox import publish_again

    publishing = {service.name: service for service in marketplace.services if service.messaging is not None}
    if name and name not in publishing:
        raise typer.BadParameter(f"no such service; there are {', '.join(publishing)}", param_hint="SERVICE")
    moment = since.replace(tzinfo=UTC) if since is not None and since.tzinfo is None else since
    count = 0
    for service in publishing.values():
        if name in {"", service.name} and service.database is not None and service.messaging is not None:
            count += await publish_again(service.database, service.messaging, since=moment, types=kinds)
    return count
