"""Offers of all insurers written together."""

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import msgspec

from insuretech.kit.db import Database
from insuretech.kit.ids import new_id
from insuretech.sandbox.domain import Delivery, OfferRecord
from insuretech.sandbox.repository import GroupedOffers, StoredMessages, looking

NOW = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)


def record(insurer: str, reference: UUID, premium: str = "5000.01") -> OfferRecord:
    """An offer of this insurer."""
    return OfferRecord(
        insurer=insurer,
        reference=reference,
        number=f"{insurer}-{reference.hex}",
        product="osago",
        outcome="offer",
        reason="",
        premium=Decimal(premium),
        floor=Decimal("4000.00"),
        ceiling=None,
        starts_on=date(2026, 12, 1),
        ends_on=None,
        ready_at=NOW,
        expires_at=NOW + timedelta(days=1),
    )


async def test_what_is_kept_is_what_was_offered(database: Callable[[str], Database]) -> None:
    """Otherwise an insurer confirms another price, or another day, than it has offered."""
    journal, reference = GroupedOffers(database("sandbox")), new_id()
    offers = [record(f"insurer {number}", reference) for number in range(10)]

    assert await asyncio.gather(*(journal.keep(offer) for offer in offers)) == offers

    async with looking(database("sandbox"))() as books:
        assert [await books.offer(offer.insurer, reference) for offer in offers] == offers


async def test_the_first_of_a_reference_stands_even_within_a_batch(database: Callable[[str], Database]) -> None:
    """Otherwise two workers that ask at the same moment are told two prices."""
    journal, reference = GroupedOffers(database("sandbox")), new_id()
    first, second = record("bystra", reference, "5000.00"), record("bystra", reference, "6000.00")

    together = await asyncio.gather(journal.keep(first), journal.keep(second))

    assert list(together) == [first, first]
    assert await journal.keep(second) == first


async def test_a_failure_reaches_everyone_who_waits(database: Callable[[str], Database]) -> None:
    """Otherwise one bad offer leaves nine insurers hanging."""
    journal = GroupedOffers(database("sandbox"))
    bad = msgspec.structs.replace(record("bystra", new_id()), premium=Decimal(10) ** 13)

    answers = await asyncio.gather(journal.keep(bad), journal.keep(record("tihohod", new_id())), return_exceptions=True)

    assert all(isinstance(answer, Exception) for answer in answers)
    good = record("tihohod", new_id())
    assert await journal.keep(good) == good


async def test_a_new_offer_is_told_of_and_a_repeated_one_is_not(database: Callable[[str], Database]) -> None:
    """Otherwise nobody hears of an answer that took its time, or is called once for every attempt to ask."""
    journal, reference = GroupedOffers(database("sandbox")), new_id()
    message = Delivery(url="http://127.0.0.1/", body=b'{"event": "quote.ready"}', signature="genuine", due_at=NOW)
    offer = record("zvonok", reference)

    await asyncio.gather(journal.keep(offer, [message, message]), journal.keep(offer, [message]))
    await journal.keep(offer, [message])

    waiting = await StoredMessages(database("sandbox")).claim(NOW, NOW + timedelta(minutes=1), 10)
    assert [(each.url, each.body, each.signature) for each in waiting] == 2 * [
        (message.url, message.body, message.signature)
    ]
