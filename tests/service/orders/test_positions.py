"""Who has changed or seen an order reads it no older than that, whatever hot storage missed."""

import random

import httpx
import pytest
import sqlalchemy as sa

from insuretech.contracts.events import OrderPlaced
from insuretech.kit.positions import HEADER, positions_in, version_in
from insuretech.orders.tables import orders
from tests.service.orders.world import TOKEN, World

ORDERS = "/api/v1/orders"
KIND = "orders.order"


class Reader:
    """A client as we ask clients to be: it keeps the last position and sends it with every request."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.position = ""

    async def get(self, address: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {TOKEN}", HEADER: self.position}
        async with self.world.client() as client:
            answer = await client.get(address, headers=headers)
        self.hear(answer)
        return answer

    def hear(self, answer: httpx.Response) -> httpx.Response:
        self.position = answer.headers.get(HEADER, self.position)
        return answer

    async def status(self, address: str) -> str:
        status: str = (await self.get(address)).json()["status"]
        return status


async def placed(world: World) -> tuple[httpx.Response, str]:
    """A new order that hot storage holds, and its address."""
    answer = await world.post(ORDERS, world.body(await world.offered()))
    address = f"{ORDERS}/{answer.json()['id']}"
    assert await Reader(world).status(address) == "created", "it is in hot storage now"
    return answer, address


async def missed(world: World, status: str) -> None:
    """A change whose process dies between its commit and its projection."""
    async with world.database.transaction() as connection:
        await connection.execute(sa.update(orders).values(status=status, version=orders.c.version + 1))


async def _died(_: object) -> None:
    """What a process does that is not there any more."""


async def test_what_a_list_has_shown_is_not_taken_back_by_the_order(world: World) -> None:
    """Otherwise a buyer sees the order paid, opens it, sees it unpaid and pays again."""
    _, address = await placed(world)
    await missed(world, "expired")
    reader = Reader(world)
    assert await reader.status(address) == "created", "who knows nothing cannot be shown less"
    assert (await reader.get(ORDERS)).json()["items"][0]["status"] == "expired"
    assert await reader.status(address) == "expired"
    assert await reader.status(address) == "expired"


async def test_what_an_answer_to_a_command_said_is_not_taken_back(world: World) -> None:
    """Otherwise a moment without Redis shows a buyer the order as it was before their click, who then clicks again."""
    answer, address = await placed(world)
    reader = Reader(world)
    reader.hear(answer)
    event, thing = positions_in(reader.position)
    assert event.type == OrderPlaced.type_name()
    assert (thing.type, str(thing.id), thing.version) == (KIND, answer.json()["id"], 2)
    await missed(world, "price_changed")
    body = {"premium": answer.json()["premium"]}
    agreed = reader.hear(await world.post(f"{address}/price-consent", body))
    assert agreed.json()["status"] == "awaiting_payment"
    world.restart()  # and with it what hot storage held; this is what it holds of the time before:
    await world.get(address)
    await missed(world, "expired")
    assert version_in(reader.position, KIND, thing.id) == 6
    assert await reader.status(address) == "awaiting_payment"
    reader.position = f"{KIND}/{thing.id}@8"
    assert await reader.status(address) == "expired"


async def test_a_repeated_request_names_nothing_that_never_was(world: World) -> None:
    """Otherwise the next read waits half a second for an event that was taken back, and shows less than it could."""
    offer = await world.offered()
    first, again = [await world.post(ORDERS, world.body(offer), key="k1") for _ in range(2)]
    assert again.content == first.content
    (position,) = positions_in(again.headers[HEADER])
    assert (position.type, str(position.id), position.version) == (KIND, first.json()["id"], 2)
    taken = await world.post(ORDERS, world.body(offer), key="k2")
    assert (taken.status_code, taken.headers.get(HEADER)) == (409, None)


async def test_a_repeated_answer_names_how_the_order_stands_now(world: World) -> None:
    """Otherwise a client whose first answer was lost repeats its request, and is then shown the order before it."""
    answer, address = await placed(world)
    await missed(world, "price_changed")
    body = {"premium": answer.json()["premium"]}
    first = await world.post(f"{address}/price-consent", body, key="k1")
    await missed(world, "expired")
    again = await world.post(f"{address}/price-consent", body, key="k1")
    assert again.content == first.content
    (position,) = positions_in(again.headers[HEADER])
    assert position.version == 8


@pytest.mark.parametrize("step", ["consent", "price", "issue"])
async def test_also_who_brings_nothing_sees_a_change_whose_process_died_after_its_commit(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Otherwise a buyer who has just agreed, paid or been insured is shown the order before it, for seconds."""
    order_id = await world.paid() if step == "issue" else (await placed(world))[1].rpartition("/")[2]
    address = f"{ORDERS}/{order_id}"
    before = await Reader(world).status(address)
    if step == "consent":
        await missed(world, "price_changed")
        before = (await Reader(world).get(ORDERS)).json()["items"][0]["status"]
    with monkeypatch.context() as dying:  # nothing that comes after a commit comes
        dying.setattr(world.orders.service.hot[0], "_put", _died)
        if step == "consent":
            premium = (await Reader(world).get(ORDERS)).json()["items"][0]["premium"]
            assert (await world.post(f"{address}/price-consent", {"premium": premium})).status_code == 200
        else:
            await world.work()
    assert await Reader(world).status(address) == (await Reader(world).get(ORDERS)).json()["items"][0]["status"]
    assert await Reader(world).status(address) != before


@pytest.mark.parametrize("position", ["", "nonsense", f"{KIND}/x@9", "orders.order.v1.placed/0@1"])
async def test_a_position_of_nobodys_is_no_harm(world: World, position: str) -> None:
    """Otherwise a bent header takes a buyer's order away."""
    _, address = await placed(world)
    reader = Reader(world)
    reader.position = position
    assert await reader.status(address) == "created"
    reader.position = f"{KIND}/{address.rpartition('/')[2]}@{2**62}"
    assert await reader.status(address) == "created", "also one that names a version that is not there yet"


@pytest.mark.parametrize("seed", range(3))
async def test_nobody_who_brings_the_position_goes_back(world: World, seed: int) -> None:
    """Otherwise, in one order of deaths and looks that we did not think of, somebody does."""
    chance = random.Random(seed)
    _, address = await placed(world)
    number = address.rpartition("/")[2]
    readers = [Reader(world) for _ in range(3)]
    seen = [0] * len(readers)
    for step in range(2, 40):
        match chance.randrange(4):
            case 0:
                await missed(world, "expired")
                async with world.database.transaction() as connection:
                    await connection.execute(sa.update(orders).values(detail=f"{step:03}"))
            case 1:
                await world.orders.service.hot[0].refresh([number])
            case _:
                which = chance.randrange(len(readers))
                answer = (await readers[which].get(chance.choice([ORDERS, address]))).json()
                shown = answer["items"][0] if "items" in answer else answer
                told = int((shown["explanation"]["detail"] or "0")[:3])
                assert told >= seen[which]
                seen[which] = told
    assert any(seen)
