"""Who has just ordered reads the quote as their order left it, though the quotes must hear of the order first."""

import asyncio
from time import monotonic

import msgspec
import sqlalchemy as sa

from insuretech.contracts.events import PaymentCaptured, QuoteSubmitted
from insuretech.kit.events import Envelope
from insuretech.kit.ids import new_id
from insuretech.kit.positions import HEADER, Position, positions_in
from insuretech.quotes.tables import messaging
from tests.service.quotes.conftest import Chosen, MakeWorld
from tests.service.quotes.world import World


def on_its_way(chosen: Chosen) -> Envelope:
    """The order was placed, the quotes have not heard of it yet."""
    event = chosen.placed(new_id())
    return Envelope(
        id=new_id(),
        type=event.type_name(),
        topic=event.topic,
        key=event.key,
        occurred_at=chosen.world.platform.clock.now(),
        trace_id="0" * 32,
        payload=msgspec.Raw(msgspec.json.encode(event)),
    )


async def shown(chosen: Chosen, position: str) -> str:
    """The offer's status, read with a position."""
    state = await chosen.world.show(chosen.created, **{HEADER: position})
    status: str = state["offers"][0]["status"]
    return status


async def test_a_read_waits_for_what_its_reader_wrote(chosen: Chosen) -> None:
    """Otherwise the buyer goes back to the comparison and is offered what they have just ordered."""
    envelope = on_its_way(chosen)
    reading = asyncio.create_task(shown(chosen, str(Position(envelope.type, envelope.id))))
    await asyncio.sleep(0.1)
    assert not reading.done(), "it waits"
    await chosen.world.redeliver(envelope)
    assert await reading == "reserved"


async def test_a_read_does_not_wait_for_ever(chosen: Chosen) -> None:
    """Otherwise a lag of events becomes an outage of pages."""
    envelope = on_its_way(chosen)
    began = monotonic()
    assert await shown(chosen, str(Position(envelope.type, envelope.id))) == "active"
    assert 0.3 < monotonic() - began < 3


async def test_what_does_not_concern_the_reader_is_not_waited_for(chosen: Chosen) -> None:
    """Otherwise every page after a payment comes half a second later, for an event nobody here listens to."""
    heard = on_its_way(chosen)
    await chosen.world.redeliver(heard)
    began = monotonic()
    for position in (
        str(Position(PaymentCaptured.type_name(), new_id())),
        str(Position(heard.type, heard.id)),
        f"{heard.type}/00000000-0000-0000-0000-000000000000, nonsense, ,/",
    ):
        assert await shown(chosen, position) == "reserved"
    assert monotonic() - began < 0.4


async def test_a_new_quote_tells_its_position(make_world: MakeWorld) -> None:
    """Otherwise its buyer has nothing to bring along."""
    world: World = make_world()
    await world.sell()
    answer = await world.submit()
    position, *_ = positions_in(answer.headers[HEADER])
    assert position.type == QuoteSubmitted.type_name()
    assert position.id in [row.id for row in await world.rows(sa.select(messaging.outbox.c.id))]
