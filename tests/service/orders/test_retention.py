"""Copies of offers are there for as long as somebody may order on them, and no longer."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import sqlalchemy as sa

from insuretech.kit.clock import FixedClock
from insuretech.kit.db import Database
from insuretech.kit.ids import first_id_at
from insuretech.kit.partition_keeper import PartitionKeeper
from insuretech.orders.tables import OFFERS, offers

DAY = timedelta(days=1)


async def keep(database: Database, made: datetime, lasts: timedelta) -> UUID:
    """An offer made at a time, good for so long."""
    row = dict.fromkeys(("owner", "product", "product_version", "insurer", "offer_number"), "x")
    days = {"starts_on": date(2026, 12, 1), "ends_on": date(2027, 11, 30)}
    money = {"premium": Decimal(1), "currency": "RUB"}
    offer = first_id_at(made)
    async with database.transaction() as connection:
        await connection.execute(
            sa.insert(offers).values(**row, **days, **money, id=offer, quote_id=offer, expires_at=made + lasts)
        )
    return offer


async def test_offers_go_when_none_of_their_day_can_be_ordered_any_more(database: Callable[[str], Database]) -> None:
    """Orders would keep ten rows for every person who only looked, or lose an offer somebody is about to pay for."""
    orders = database("orders")
    clock = FixedClock(datetime.now(UTC))
    keeper = PartitionKeeper(orders, [OFFERS], clock)
    await keep(orders, clock.now(), DAY)
    long = await keep(orders, clock.now() + DAY, 30 * DAY)

    async def left() -> set[UUID]:
        await keeper.maintain()
        async with orders.reading() as connection:
            return set((await connection.execute(sa.select(offers.c.id))).scalars())

    assert len(await left()) == 2
    clock.advance(9 * DAY)
    assert await left() == {long}
    clock.advance(22 * DAY)
    assert await left() == {long}
    clock.advance(2 * DAY)
    assert await left() == set()
    assert keeper.warnings() == []
