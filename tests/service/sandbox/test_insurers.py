"""The sandbox's insurers: prices, what they remember, and how their behaviour is set."""

import asyncio
from collections import Counter
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from insuretech.kit.ids import new_id
from tests.service.sandbox.stage import (
    HIGHEST,
    LOWEST,
    SECRET,
    RunningSandbox,
    issue,
    offer,
    request_callback,
    reserve,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

INSURER = "peremena"


async def issued(sandbox: RunningSandbox) -> tuple[UUID, Any]:
    """An order and the policy it has become."""
    order, offered = new_id(), await offer(sandbox)
    reserved = await reserve(sandbox, order, offered["offerId"])
    return order, await issue(sandbox, order, offered["offerId"], reserved["premiumKopecks"])


# ------------------------------------------------------------ characters


async def test_everyone_has_a_character(sandbox: RunningSandbox) -> None:
    """Otherwise what is shown to a newcomer is ten times the same insurer."""
    insurers = (await sandbox.http.get(f"{sandbox.url}/sandbox/api/insurers")).json()

    assert len(insurers) == len({insurer["character"] for insurer in insurers}) == 10
    by_code = {insurer["code"]: insurer for insurer in insurers}
    assert by_code["tihohod"]["delay_min_ms"] > by_code["bystra"]["delay_max_ms"] > 0
    assert by_code["kabinet"]["outcome"] == by_code["zvonok"]["outcome"] == "pending"
    assert by_code["mercator"]["failure_rate"] > 0
    assert by_code["otkazov"]["outcome"] == "decline"
    assert by_code["peremena"]["confirm_change_percent"] > 0
    assert by_code["tumanov"]["issue"] == "unknown_issued"
    assert by_code["zavis"]["outcome"] == "hang"
    assert by_code["molchun"]["outcome"] == "down"


# ------------------------------------------------------------ prices


async def test_premiums_of_osago_are_legal_unless_told_otherwise(sandbox: RunningSandbox) -> None:
    """Otherwise the marketplace refuses all of the sandbox's offers, or never sees one it has to refuse."""
    lowest, highest = (int(bound.amount * 100) for bound in (LOWEST, HIGHEST))

    async def premium(**behaviour: object) -> int:
        usual = {"price_factor": 1, "corridor_share": 0.5, "outside_corridor": False}
        await sandbox.behave(INSURER, **{**usual, **behaviour})
        return int((await offer(sandbox))["premiumKopecks"])

    assert await premium(corridor_share=0) == lowest
    assert await premium(corridor_share=0.25) == lowest + (highest - lowest) // 4
    assert await premium(price_factor=50) == highest
    assert await premium(price_factor=0.01) == lowest
    assert await premium(outside_corridor=True) > highest
    assert await premium(premium={"amount": "1.23", "currency": "RUB"}) == 123


async def test_a_price_changes_when_it_is_confirmed(sandbox: RunningSandbox) -> None:
    """Otherwise nobody ever sees the page that asks for consent to another price."""
    offered = await offer(sandbox)

    reserved = await reserve(sandbox, new_id(), offered["offerId"])

    assert Decimal(reserved["premiumKopecks"]) / offered["premiumKopecks"] == Decimal("1.085")


async def test_a_mix_of_outcomes_is_the_same_for_a_reference(sandbox: RunningSandbox) -> None:
    """Otherwise a test with a fixed seed cannot be repeated."""
    await sandbox.behave(INSURER, outcome={"offer": 1, "decline": 1})
    references = [new_id() for _ in range(40)]

    first = [(await offer(sandbox, reference))["state"] for reference in references]
    again = [(await offer(sandbox, reference))["state"] for reference in references]

    assert first == again
    assert min(Counter(first)["READY"], Counter(first)["DECLINED"]) > 5


# ------------------------------------------------------------ deadlines


async def test_deadlines_are_kept(sandbox: RunningSandbox) -> None:
    """Otherwise a payment after the deadline still buys a policy, and its refusal is never rehearsed."""
    await sandbox.behave(INSURER, offer_valid_s=60, reservation_valid_s=60)
    offered, order = await offer(sandbox), new_id()
    reserved = await reserve(sandbox, order, offered["offerId"])

    sandbox.clock.skip(seconds=61)

    assert (await reserve(sandbox, new_id(), offered["offerId"]))["state"] == "WITHDRAWN"
    refused = await issue(sandbox, order, offered["offerId"], reserved["premiumKopecks"])
    assert (refused["state"], refused["message"]) == ("REFUSED", "Срок брони истёк.")
    assert (await sandbox.books())["policies"] == []


async def test_only_the_confirmed_premium_buys(sandbox: RunningSandbox) -> None:
    """Otherwise a fault in our sums goes unnoticed by the other side."""
    offered, order = await offer(sandbox), new_id()
    not_reserved = await issue(sandbox, new_id(), offered["offerId"], offered["premiumKopecks"])
    reserved = await reserve(sandbox, order, offered["offerId"])

    wrong = await issue(sandbox, order, offered["offerId"], reserved["premiumKopecks"] - 1)

    assert [not_reserved["state"], wrong["state"]] == ["REFUSED", "REFUSED"]


# ------------------------------------------------------------ at most one policy


async def test_many_at_once_get_one_policy(sandbox: RunningSandbox) -> None:
    """Otherwise a double click or a second worker insures a car twice."""
    offered, order, other = await offer(sandbox), new_id(), new_id()
    kopecks = (await reserve(sandbox, order, offered["offerId"]))["premiumKopecks"]
    await reserve(sandbox, other, offered["offerId"])

    answers = await asyncio.gather(
        *(issue(sandbox, order, offered["offerId"], kopecks) for _ in range(6)),
        *(issue(sandbox, other, offered["offerId"], kopecks) for _ in range(6)),
    )

    states = [Counter(answer["state"] for answer in half) for half in (answers[:6], answers[6:])]
    assert sorted(states, key=str) == [{"CONCLUDED": 6}, {"REFUSED": 6}]
    assert len((await sandbox.books())["policies"]) == 1


async def test_many_at_once_get_one_offer(sandbox: RunningSandbox) -> None:
    """Otherwise two workers asking for the same quote line show two prices."""
    await sandbox.behave(INSURER, outcome={"offer": 1}, corridor_share=0.1)
    reference = new_id()

    answers = await asyncio.gather(*(offer(sandbox, reference) for _ in range(12)))
    await sandbox.behave(INSURER, corridor_share=0.9)

    assert answers == [await offer(sandbox, reference)] * 12


async def test_the_books_have_the_agreed_shape(sandbox: RunningSandbox) -> None:
    """Otherwise checks from outside cannot hold the marketplace against the world."""
    order, policy = await issued(sandbox)

    books = await sandbox.books()

    assert books == {
        "policies": [
            {
                "insurer": INSURER,
                "reference": str(order),
                "number": policy["policyNumber"],
                "premium": {"amount": f"{policy['premiumKopecks'] / 100:.2f}", "currency": "RUB"},
                "status": "issued",
            }
        ],
        "payments": [],
    }


async def test_a_policy_being_issued_is_not_in_the_books_yet(sandbox: RunningSandbox) -> None:
    """Otherwise the books tell of a policy that may be asked for in vain."""
    await sandbox.behave(INSURER, issue="pending", pending_ms=60_000)
    _, answer = await issued(sandbox)

    assert answer["state"] == "IN_PROGRESS"
    assert (await sandbox.books())["policies"] == []
    sandbox.clock.skip(seconds=61)
    assert len((await sandbox.books())["policies"]) == 1


# ------------------------------------------------------------ callbacks


async def test_callbacks_are_lost_repeated_or_forged_as_set(sandbox: RunningSandbox) -> None:
    """Otherwise a marketplace that trusts callbacks looks as good as one that looks things up."""
    for callback in ("lost", "forged", "duplicated"):
        await sandbox.behave(INSURER, outcome="pending", pending_ms=200, callback=callback)
        await request_callback(sandbox)

    heard = await sandbox.messages(3)

    assert len({one.told["external_id"] for one in heard}) == 2
    assert Counter(Counter(one.body for one in heard).values()) == {1: 1, 2: 1}


async def test_a_callback_is_repeated_until_taken(sandbox: RunningSandbox) -> None:
    """Otherwise an offer that was ready while the marketplace restarted is found by polling only."""
    sandbox.answers[:] = [500]
    await sandbox.behave(INSURER, outcome="pending", pending_ms=200)

    await request_callback(sandbox)

    assert len(await sandbox.messages(2)) == 2


# ------------------------------------------------------------ hostile callers


@pytest.mark.parametrize(
    "document",
    [
        b'<!DOCTYPE r [<!ENTITY a "b">]><Request operation="Calculate">&a;</Request>',
        b'<!DOCTYPE r SYSTEM "file:///etc/passwd"><Request/>',
        b"<Request",
        b"",
        b"<a>" * 1000 + b"</a>" * 1000,
        b'<Request operation="Issue" reference="00000000-0000-0000-0000-000000000001"/>',
        b'<Request operation="Calculate" reference="x"/>',
        "<Request operation='Ёлка'/>".encode("utf-16"),
    ],
)
async def test_hostile_xml_is_refused(sandbox: RunningSandbox, document: bytes) -> None:
    """Otherwise a small document eats the memory or reads files of the machine."""
    url = f"{sandbox.url}/sandbox/insurers/{INSURER}/ws"

    answer = await sandbox.http.post(url, content=document, auth=("insuretech", SECRET))

    assert answer.status_code == 400, answer.text
    assert "passwd" not in answer.text or "root:" not in answer.text


async def test_unknown_insurers_and_bodies_are_refused(sandbox: RunningSandbox) -> None:
    """Otherwise a slip in the directory of insurers looks like a fault of an insurer."""
    url, key = f"{sandbox.url}/sandbox/insurers", {"X-Api-Key": SECRET}
    path = f"v2/calculations/{new_id()}"

    nobody = await sandbox.http.put(f"{url}/nobody/{path}", json={}, headers=key)
    broken = await sandbox.http.put(f"{url}/{INSURER}/{path}", content=b'{"a"', headers=key)
    deep = await sandbox.http.put(f"{url}/{INSURER}/{path}", content=b"[" * 100_000, headers=key)
    nul = await sandbox.http.put(
        f"{url}/{INSURER}/v2/orders/{new_id()}/reservation", json={"offerId": "\0"}, headers=key
    )

    assert [answer.status_code for answer in (nobody, broken, deep, nul)] == [403, 400, 400, 400]
