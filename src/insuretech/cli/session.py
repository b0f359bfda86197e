"""Gives a command the wired marketplace without serving it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from insuretech.kit.logging import configure_logging
from insuretech.kit.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from insuretech.compose.database import OpenDatabase
    from insuretech.compose.single import Composition
    from insuretech.kit.settings import Settings

Result = TypeVar("Result")


def with_marketplace(work: Callable[[Composition], Awaitable[Result]]) -> Result:
    """Run ``work`` on the same data as ``insuretech serve``, beside it or without it."""
    from insuretech.compose.database import open_database

    settings = load_settings()
    configure_logging("ERROR")
    with open_database(settings, join=True) as database:
        return asyncio.run(_run(settings, database, work))


async def _run(settings: Settings, database: OpenDatabase, work: Callable[[Composition], Awaitable[Result]]) -> Result:
    from insuretech.compose.database import prepare
    from insuretech.compose.single import OWNERS, build
    from insuretech.kit.keyring import Keyring

    if database.postgres is not None:
        await prepare(database, OWNERS, settings.database_secret)
    composition = build(settings, database.admin, Keyring.open(settings.keyring_path))
    try:
        return await work(composition)
    finally:
        await composition.stop()
