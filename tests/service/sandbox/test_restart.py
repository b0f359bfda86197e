"""What the sandbox acknowledged, it remembers: the reliability of the marketplace is measured against its books."""

import asyncio
from collections.abc import Callable

from insuretech.kit.db import Database
from insuretech.kit.ids import new_id
from tests.ports import free_port
from tests.service.sandbox.stage import (
    ASKED,
    issue,
    offer,
    request_callback,
    reserve,
    running_sandbox,
)


async def test_a_restart_forgets_nothing(database: Callable[[str], Database]) -> None:
    """Otherwise after a crash nobody can tell whether the marketplace or the world is wrong."""
    reference, order, port = new_id(), new_id(), free_port()
    async with running_sandbox(database, port) as before:
        await before.behave(ASKED, corridor_share=0.11, confirm_change_percent=0)
        await before.behave("payments", hold_s=77)
        offered = await offer(before, reference)
        await reserve(before, order, offered["offerId"])
        policy = await issue(before, order, offered["offerId"], offered["premiumKopecks"])
        await before.behave(ASKED, outcome="pending", pending_ms=60_000)
        await request_callback(before)
        books = await before.books()

    async with running_sandbox(database, port) as after:
        assert await after.books() == books
        assert len(books["policies"]) == 1
        assert await offer(after, reference) == offered
        assert await issue(after, order, offered["offerId"], offered["premiumKopecks"]) == policy
        behaviour = (await after.http.get(f"{after.url}/sandbox/api/insurers/{ASKED}")).json()
        assert (behaviour["corridor_share"], behaviour["outcome"]) == (0.11, "pending")
        assert (await after.http.get(f"{after.url}/sandbox/api/payments")).json()["hold_s"] == 77
        assert not after.received
        after.clock.skip(seconds=60)
        await after.messages(1)


async def test_a_message_whose_carrier_died_is_sent_again(database: Callable[[str], Database]) -> None:
    """Otherwise a kill at the wrong moment loses the news that a payment was made."""
    port = free_port()
    async with running_sandbox(database, port) as before:
        await before.behave(ASKED, outcome="pending", pending_ms=200)
        before.hanging.set()
        await request_callback(before)
        await before.messages(1)

    async with running_sandbox(database, port) as after:
        await asyncio.sleep(0.1)
        assert not after.received, "still claimed by the one that died"
        after.clock.skip(seconds=31)
        await after.messages(1)
