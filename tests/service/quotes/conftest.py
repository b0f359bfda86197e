"""A quotes service for each test that asks for one."""

from collections.abc import AsyncIterator, Callable
from datetime import date, timedelta
from typing import Any, Literal
from uuid import UUID

import pytest

from insuretech.contracts.events import OrderClosed, OrderPlaced, PolicyIssued
from insuretech.contracts.money import Money
from insuretech.kit.db import Database
from insuretech.kit.ids import new_id
from insuretech.kit.keyring import Keyring
from insuretech.quotes.engine import EngineSettings
from tests.service.quotes.world import QUICK, World
from tests.unit.quotes.scripted import ScriptedDirectory, ScriptedInsurer
from tests.unit.quotes.specimens import offered

MakeWorld = Callable[..., World]


@pytest.fixture
async def make_world(database: Callable[[str], Database]) -> AsyncIterator[MakeWorld]:
    """Starts processes of the service that share a database, a key and, where given, insurers."""
    keyring = Keyring.generate()
    worlds: list[World] = []

    def make(
        directory: ScriptedDirectory | None = None,
        *,
        engine: EngineSettings = QUICK,
        time_limit: float = 60.0,
        **insurers: ScriptedInsurer,
    ) -> World:
        world = World(
            database("quotes"),
            directory or ScriptedDirectory(time_limit, **insurers),
            keyring=keyring,
            engine=engine,
        )
        world.start()
        worlds.append(world)
        return world

    yield make
    for world in worlds:
        await world.stop()


class Chosen:
    """A quote with one offer, and orders on it."""

    def __init__(self, world: World, created: dict[str, str], offer: dict[str, Any]) -> None:
        self.world = world
        self.created = created
        self.offer_id = UUID(offer["id"])
        self.quote_id = UUID(created["id"])

    def placed(self, order: UUID) -> OrderPlaced:
        return OrderPlaced(
            order_id=order,
            offer_id=self.offer_id,
            quote_id=self.quote_id,
            owner="buyer:x",
            product="osago",
            insurer="one",
            premium=Money(offered().premium.amount),
        )

    def closed(self, order: UUID, status: Literal["expired", "cancelled"] = "cancelled") -> OrderClosed:
        return OrderClosed(order_id=order, offer_id=self.offer_id, quote_id=self.quote_id, status=status)

    def issued(self, order: UUID) -> PolicyIssued:
        return PolicyIssued(
            order_id=order,
            policy_id=new_id(),
            offer_id=self.offer_id,
            quote_id=self.quote_id,
            number="P-1",
            owner="buyer:x",
            product="osago",
            insurer="one",
            premium=Money(offered().premium.amount),
            starts_on=date(2026, 12, 1),
            ends_on=date(2027, 11, 30),
            verification_code="v",
        )

    async def status(self) -> str:
        state = await self.world.show(self.created)
        status: str = state["offers"][0]["status"]
        return status


@pytest.fixture
async def chosen(make_world: MakeWorld) -> Chosen:
    """A completed quote with one offer."""
    world: World = make_world(one=ScriptedInsurer(offered(ttl=timedelta(days=3650))))
    await world.sell()
    created = (await world.submit()).json()
    state = await world.completed(created)
    return Chosen(world, created, state["offers"][0])
