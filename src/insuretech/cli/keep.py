"""``insuretech keep …``: what makes one of several servers and mends it while they run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insuretech.cli.output import tell
from insuretech.kit.settings import SettingsInvalid, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable

commands = typer.Typer(help="Make one of several servers, and mend it while they run.", no_args_is_help=True)
Every = Annotated[float, typer.Option(min=0, help="Seconds between passes; 0 makes one pass and ends.")]


@commands.command()
def redis(*, every: Every = 0) -> None:
    """The Redis cluster of the six nodes that INSURETECH_REDIS names: three masters and then the copy of each."""
    from insuretech.kit.redis_keeping import keep

    names = load_settings().redis.split(",")
    _repeat(lambda: keep(names), every)


@commands.command()
def s3(
    nodes: Annotated[list[str], typer.Option("--node", help="ZONE=http://host:port of a node's administration.")],
    token_file: Annotated[Path, typer.Option(help="Holds the token of the administration.")],
    capacity: Annotated[int, typer.Option(min=1, help="Bytes that a node may hold.")],
    others: Annotated[
        list[str] | None, typer.Option("--bucket", help="NAME=FOLDER of one more, its access-key and secret-key there.")
    ] = None,
    *,
    every: Every = 0,
) -> None:
    """Garage's nodes, one a zone; bucket and key are those that INSURETECH_S3_… name, and others that are asked for."""
    from insuretech.kit.garage_keeping import Access, Keeper

    settings = load_settings()
    if not settings.s3_access_key or not settings.s3_secret_key:
        raise SettingsInvalid("INSURETECH_S3_ACCESS_KEY and INSURETECH_S3_SECRET_KEY are needed.")
    pairs = dict(node.split("=", 1) for node in nodes if "=" in node)
    if len(pairs) != len(nodes):
        raise typer.BadParameter("each must read ZONE=http://host:port", param_hint="--node")
    buckets = [Access(settings.s3_bucket, settings.s3_access_key, settings.s3_secret_key)]
    for other in others or ():
        name, _, folder = other.partition("=")
        access_key, secret_key = (
            (Path(folder) / key).read_text(encoding="ascii").strip() for key in ("access-key", "secret-key")
        )
        buckets.append(Access(name, access_key, secret_key))
    keeper = Keeper(pairs, token_file.read_text(encoding="ascii").strip(), buckets, capacity)
    _repeat(keeper.keep, every)


def _repeat(keep: Callable[[], list[str]], every: float) -> None:
    """Pass after pass; a pass that fails is told and made again."""
    import httpx
    import redis as client

    from insuretech.kit.garage_keeping import GarageRefuses

    while True:
        try:
            for done in keep():
                tell(f"{done[0].upper()}{done[1:]}.", {"done": done}, as_json=False)
        except (OSError, client.RedisError, httpx.HTTPError, GarageRefuses) as error:
            if not every:
                raise
            tell(f"A pass failed: {error}", {"failed": str(error)}, as_json=False)
        if not every:
            return
        time.sleep(every)
