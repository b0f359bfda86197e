"""Live streams: every event once, in order, also after broken connections, restarts and from another process."""

import asyncio
import re
from contextlib import AsyncExitStack
from datetime import timedelta
from uuid import UUID

import pytest

from insuretech.contracts.insurers import Declined
from insuretech.kit.clock import SystemClock
from insuretech.kit.hot import Growth, MemoryHot
from insuretech.kit.ids import new_id
from insuretech.kit.keyring import Keyring
from insuretech.kit.live import LiveHub
from insuretech.quotes.domain import QuoteStatus
from insuretech.quotes.history import Histories
from insuretech.quotes.ports import AllEnded, QuoteEvent
from insuretech.quotes.queries import ToldByStream
from insuretech.quotes.streams import QuoteStreams
from insuretech.quotes.views import Views
from tests.service.quotes.conftest import MakeWorld
from tests.service.quotes.world import World
from tests.unit.quotes.scripted import ScriptedDirectory, ScriptedInsurer
from tests.unit.quotes.specimens import offered

FAR = timedelta(days=3650)


def insurers() -> ScriptedDirectory:
    """Three insurers that answer one after the other."""
    return ScriptedDirectory(
        first=ScriptedInsurer(offered("5000.00", ttl=FAR), delay=0.05),
        second=ScriptedInsurer(Declined(reason="Нет"), delay=0.4),
        third=ScriptedInsurer(offered("6000.00", ttl=FAR), delay=0.8),
    )


@pytest.fixture
async def world(make_world: MakeWorld) -> World:
    """A service with three insurers."""
    world: World = make_world(insurers())
    await world.sell()
    return world


async def test_events_come_as_insurers_answer(make_world: MakeWorld) -> None:
    """A buyer would see nothing until the last insurer has answered."""
    slower = insurers()
    slower.insurers["second"].delay, slower.insurers["third"].delay = 1.5, 2.0
    world: World = make_world(slower)
    await world.sell()
    created = (await world.submit()).json()
    async with world.stream(created) as stream:
        assert stream.answer_headers["content-type"].startswith("text/event-stream")
        assert "no-store" in stream.answer_headers["cache-control"]
        first = await stream.next()
        assert first is not None
        assert (first.id, first.event, first.data["insurer"]) == ("1", "offer", "first")
        assert first.data["premium"] == {"amount": "5000.00", "currency": "RUB"}
        state = await world.show(created)
        assert state["status"] == "collecting"
        assert state["offers"] == [first.data]
        rest = await stream.rest()
    assert [(heard.id, heard.event) for heard in rest] == [("2", "declined"), ("3", "offer"), ("4", "completed")]
    assert rest[0].data == (await world.show(created))["insurers"][1]
    assert rest[-1].data == {"status": "completed", "offers": 2}


async def test_a_broken_connection_resumes_where_it_was(world: World) -> None:
    """After a tunnel, a buyer would miss offers or see some twice."""
    created = (await world.submit()).json()
    heard = []
    async with world.stream(created) as stream:
        heard.append(await stream.next())
    async with world.stream(created, **{"Last-Event-ID": "1"}) as stream:
        heard.append(await stream.next())
    await world.completed(created)
    async with world.stream(created, **{"Last-Event-ID": "2"}) as stream:
        heard += await stream.rest()
    assert [event.id for event in heard if event] == ["1", "2", "3", "4"]


async def test_a_stream_that_has_told_everything_is_not_reopened(world: World) -> None:
    """A browser would connect again every second for ever after the quote is complete."""
    created = (await world.submit()).json()
    await world.completed(created)
    async with world.stream(created, **{"Last-Event-ID": "4"}) as stream:
        assert stream.status == 204
    async with world.stream(created, **{"Last-Event-ID": "400"}) as stream:
        assert stream.status == 204
    path = f"/api/v1/quotes/{created['id']}/events?last_event_id=4"
    answer = await world.client.get(path, headers={"Authorization": f"Bearer {created['access_token']}"})
    assert answer.status_code == 204


async def test_a_strange_last_event_id_starts_from_the_beginning(world: World) -> None:
    """A client with a broken memory would get an error, or wait for events that were told long ago."""
    created = (await world.submit()).json()
    await world.completed(created)
    for strange in ("-1", "abc", "9" * 40, "1.5", "²", ""):
        async with world.stream(created, **{"Last-Event-ID": strange}) as stream:
            assert [heard.id for heard in await stream.rest()] == ["1", "2", "3", "4"], strange


async def test_a_restart_loses_and_repeats_nothing(make_world: MakeWorld) -> None:
    """A deployment in the middle would make offers appear twice or never."""
    shared = insurers()
    before: World = make_world(shared)
    await before.sell()
    created = (await before.submit()).json()
    async with before.stream(created) as stream:
        first = await stream.next()
        await before.stop()
        assert await stream.rest() == []  # closed at once, not held until the proxy gives up
    assert first is not None
    after: World = make_world(shared)
    async with after.stream(created, **{"Last-Event-ID": first.id}) as stream:
        rest = await stream.rest(10)
    assert [heard.id for heard in rest] == ["2", "3", "4"]
    assert {sum(insurer.requests.values()) for insurer in shared.insurers.values()} <= {1, 2}


async def test_another_process_hears_of_it_too(make_world: MakeWorld) -> None:
    """Behind a load balancer half of all buyers would see no offers until they reload."""
    shared = insurers()
    asking, telling = make_world(shared), make_world(shared)
    await asking.sell()
    created = (await asking.submit()).json()
    async with telling.stream(created) as stream:
        assert [heard.id for heard in await stream.rest(10)] == ["1", "2", "3", "4"]


async def test_two_windows_hear_the_same(world: World) -> None:
    """The second window of a buyer would stay empty."""
    created = (await world.submit()).json()
    async with world.stream(created) as one, world.stream(created, **{"Accept-Language": "en"}) as two:
        first, second = await asyncio.gather(one.rest(), two.rest())
    assert [heard.id for heard in first] == [heard.id for heard in second] == ["1", "2", "3", "4"]
    assert (first[0].data["insurer_name"], second[0].data["insurer_name"]) == ("Страховая first", "Insurer first")


async def test_a_stream_holds_no_connection_to_the_database(make_world: MakeWorld) -> None:
    """A handful of open windows would keep everyone else from buying."""
    world: World = make_world(slow=ScriptedInsurer(offered(ttl=FAR), delay=1.5))
    await world.sell()
    created = (await world.submit()).json()
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(world.stream(created)) for _ in range(20)]
        for stream in opened:
            assert await stream.chunk() == b"retry: 1000\n\n"
        assert world.hub.listeners() == 20
        assert (await world.show(created))["status"] == "collecting"
        told = await asyncio.gather(*(stream.rest() for stream in opened))
    assert {len(events) for events in told} == {2}
    assert world.hub.listeners() == 0


async def test_who_hangs_up_is_forgotten(world: World) -> None:
    """Closed windows would be kept in memory until the quote ends."""
    created = (await world.submit()).json()
    async with world.stream(created) as stream:
        assert await stream.chunk() is not None
        assert world.hub.listeners() == 1
    await asyncio.sleep(0)
    assert world.hub.listeners() == 0


class FewEvents:
    """Stored events of one quote, counted when read."""

    def __init__(self, count: int) -> None:
        self.events = [
            QuoteEvent(sequence=n, kind="offer", data=AllEnded(status=QuoteStatus.COMPLETED, offers=n))
            for n in range(1, count)
        ]
        self.events.append(
            QuoteEvent(sequence=count, kind="completed", data=AllEnded(status=QuoteStatus.COMPLETED, offers=0))
        )
        self.visible = 0
        self.reads = 0

    async def events_after(self, _: object, sequence: int) -> list[QuoteEvent]:
        self.reads += 1
        return self.events[sequence : self.visible]

    async def told(self, quote_ids: list[UUID]) -> dict[UUID, ToldByStream]:
        told = tuple(self.events[: self.visible])
        return {one: ToldByStream(owner="", last_event=self.visible, events=told) for one in quote_ids}


async def test_a_listener_that_falls_behind_reads_what_it_missed(world: World) -> None:
    """A phone on a bad line would lose the offers that came while its queue was full."""
    kept = FewEvents(200)
    quote_id = new_id()
    histories = Histories(MemoryHot(), kept, Keyring.generate(), SystemClock())  # type: ignore[arg-type]
    views = Views(world.insurers)
    streams = QuoteStreams(LiveHub(), kept, histories, views, heartbeat=0.01)  # type: ignore[arg-type]
    told = streams.stream(quote_id, 0, "ru")
    assert await anext(told) == b"retry: 1000\n\n"
    assert await anext(told) == b":\n\n"  # a sign of life while nothing happens
    kept.visible = 200
    for event in kept.events:  # more than a queue holds
        streams.tell(quote_id, [event])
    pieces = [piece async for piece in told]
    numbers = [int(number) for number in re.findall(rb"\nid: (\d+)\n", b"".join(pieces))]
    assert numbers == list(range(1, 201))
    assert kept.reads <= 3


class SlowToGrow(MemoryHot):
    """Keeps what is added only when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may = asyncio.Event()

    async def grow(self, key: str, growth: Growth, ttl: float) -> bool:
        await self.may.wait()
        return await super().grow(key, growth, ttl)


async def test_who_begins_to_listen_between_the_news_and_its_keeping_hears_it_at_once(world: World) -> None:
    """One buyer in fifty would wait a second for offers that are there."""
    kept, hot, quote_id = FewEvents(1), SlowToGrow(), new_id()
    histories = Histories(hot, kept, Keyring.generate(), SystemClock())  # type: ignore[arg-type]
    streams = QuoteStreams(LiveHub(), kept, histories, Views(world.insurers))  # type: ignore[arg-type]
    histories.begin(quote_id, "")
    await histories.projection.settled()
    streams.tell(quote_id, kept.events)
    told = streams.stream(quote_id, 0, "ru")
    assert await anext(told) == b"retry: 1000\n\n"
    listening = asyncio.ensure_future(anext(told))
    await asyncio.sleep(0.05)
    assert not listening.done()
    kept.visible = 1
    hot.may.set()
    assert b"id: 1\n" in await asyncio.wait_for(listening, 0.9)
    await told.aclose()  # type: ignore[attr-defined]
