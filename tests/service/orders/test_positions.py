"""Who has just changed an order reads it as it is, even when hot storage missed the change."""

import sqlalchemy as sa

from insuretech.contracts.events import OrderPlaced, QuoteSubmitted
from insuretech.kit.ids import first_id_at, new_id
from insuretech.kit.positions import HEADER, Position, positions_in
from insuretech.orders.tables import orders
from tests.service.orders.world import TOKEN, World

ORDERS = "/api/v1/orders"


async def test_who_brings_the_position_along_reads_the_database(world: World) -> None:
    """Otherwise a moment without Redis shows a buyer the order as it was before their click, who then clicks again."""
    placed = await world.post(ORDERS, world.body(await world.offered()))
    address = f"{ORDERS}/{placed.json()['id']}"
    assert (await shown(world, address)) == "created", "it is in hot storage now"
    async with world.database.transaction() as connection:  # a change that hot storage has missed
        await connection.execute(sa.update(orders).values(status="expired"))
    now = first_id_at(world.clock.now())
    assert await shown(world, address) == "created"
    assert await shown(world, address, str(Position(OrderPlaced.type_name(), now))) == "expired"
    assert await shown(world, address, str(Position(QuoteSubmitted.type_name(), now))) == "created", "not about orders"
    assert await shown(world, address, f"{OrderPlaced.type_name()}/{new_id()}") == "created", "long ago"


async def test_a_placed_order_tells_its_position(world: World) -> None:
    """Otherwise its buyer has nothing to bring along."""
    answer = await world.post(ORDERS, world.body(await world.offered()))
    (position,) = positions_in(answer.headers[HEADER])
    assert position.type == OrderPlaced.type_name()


async def shown(world: World, address: str, position: str = "") -> str:
    """The status of an order, as its buyer reads it."""
    headers = {"Authorization": f"Bearer {TOKEN}", HEADER: position}
    async with world.client() as client:
        answer = await client.get(address, headers=headers)
    status: str = answer.json()["status"]
    return status
