"""News from orders and the catalogue, repeated and out of order, on a real database."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from insuretech.kit.ids import new_id
from insuretech.kit.keyring import Keyring
from insuretech.quotes.tables import quotes
from tests.service.quotes.conftest import Chosen


async def test_an_offer_follows_its_orders(chosen: Chosen) -> None:
    """A buyer would be shown an offer as free that is being paid, or as taken for ever after a failed payment."""
    first, second = new_id(), new_id()
    await chosen.world.hear(chosen.placed(first))
    assert await chosen.status() == "reserved"
    await chosen.world.hear(chosen.closed(first))
    assert await chosen.status() == "active"
    await chosen.world.hear(chosen.placed(second))
    await chosen.world.hear(chosen.issued(second))
    assert await chosen.status() == "consumed"
    await chosen.world.hear(chosen.closed(first, "expired"))
    assert await chosen.status() == "consumed"


async def test_an_event_delivered_twice_has_one_effect(chosen: Chosen) -> None:
    """At-least-once delivery would take an offer back after its order had ended."""
    order = new_id()
    placed = await chosen.world.hear(chosen.placed(order))
    await chosen.world.hear(chosen.closed(order))
    await chosen.world.redeliver(placed)
    assert await chosen.status() == "active"


async def test_news_of_two_orders_may_cross(chosen: Chosen) -> None:
    """The end of the first order would free an offer that the second one holds."""
    first, second = new_id(), new_id()
    now = datetime.now(UTC)
    await chosen.world.hear(chosen.placed(first), now)
    await chosen.world.hear(chosen.placed(second), now + timedelta(seconds=10))
    await chosen.world.hear(chosen.closed(first), now + timedelta(seconds=5))
    assert await chosen.status() == "reserved"


async def test_an_order_on_an_offer_we_have_forgotten_does_no_harm(chosen: Chosen) -> None:
    """An event about a deleted quote would end among the dead letters."""
    chosen.offer_id = new_id()
    await chosen.world.hear(chosen.placed(new_id()))
    assert await chosen.status() == "active"


async def test_after_a_change_of_keys_everything_still_opens(chosen: Chosen) -> None:
    """A lost old key would make answers unreadable that were said to be under the new one."""
    world = chosen.world
    for place in range(3):
        await world.submit(key=f"k{place}")
    fresh = world.keyring.with_new_key()
    new_only = Keyring(fresh.current, {fresh.current: fresh._keys[fresh.current]})
    world.keyring.__dict__.update(fresh.__dict__)
    assert world.quotes.service.reencrypt is not None
    assert await world.quotes.service.reencrypt() == 4 + 3
    assert await world.quotes.service.reencrypt() == 0
    world.keyring.__dict__.update(new_only.__dict__)
    assert (await world.show(chosen.created))["insured"][0]["value"] == "А123ВС77"
    assert len(await world.rows(sa.select(quotes.c.id))) == 4
