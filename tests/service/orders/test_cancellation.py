"""Ending an order or a policy: a preview with its legal ground, a confirmation, and money to the kopeck."""

from datetime import timedelta
from typing import Any

import pytest

from insuretech.contracts.products import CancellationRule
from insuretech.contracts.text import Text
from insuretech.kit.ids import new_id
from tests.service.orders.world import World, product

COOLING_OFF = CancellationRule(
    kind="cooling_off", days=14, ground=Text("Указание 3854-У", "Directive 3854-U"), source="3854-U"
)


def slug(answer: Any) -> str:
    """Which problem it is."""
    return str(answer.json()["type"].rsplit("/", 1)[1])


async def preview(world: World, order_id: str) -> Any:
    """The answer to a request for a preview, without a key: it moves no money."""
    return await world.post(f"/api/v1/orders/{order_id}/cancellation", {}, key=None)


async def confirm(world: World, order_id: str, preview_id: str, key: str = "fresh") -> Any:
    """The answer to a confirmation."""
    return await world.post(f"/api/v1/orders/{order_id}/cancellation", {"id": preview_id}, key=key)


async def test_a_compulsory_policy_gives_back_77_percent_of_unused_days(world: World) -> None:
    """An owner who sold the car would get the wrong part of the premium, or none (40-FZ art. 10)."""
    order_id = await world.issued()
    world.clock.advance(timedelta(days=100))  # 2 March: the cover began on 1 December
    shown = (await preview(world, order_id)).json()
    # 8697.22 × 0.77 × 273 unused days / 365
    assert (shown["refund"]["amount"], shown["retained"]["amount"]) == ("5008.88", "3688.34")
    assert shown["legal_ground"]["en"] == "40-FZ art. 10 p. 4"
    assert shown["status"] == "previewed"

    confirmed = await confirm(world, order_id, shown["id"])
    assert (confirmed.status_code, confirmed.json()["status"]) == (200, "requested")
    assert (await world.order(order_id))["policy"]["status"] == "cancel_requested"
    await world.work()
    order = await world.order(order_id)
    assert (order["status"], order["policy"]["status"]) == ("issued", "cancelled")
    assert order["payment"]["refunded"]["amount"] == "5008.88"
    assert order["explanation"]["code"] == "policy_cancelled"
    (told,) = await world.events("policy_cancelled")
    assert (told["refund"]["amount"], told["cancelled_on"]) == ("5008.88", "2027-03-02")
    assert [event["amount"]["amount"] for event in await world.events("payment_refunded")] == ["5008.88"]
    code = order["policy"]["verification_code"]
    assert (await world.get(f"/api/v1/verify/{code}", token=None)).json()["status"] == "cancelled"
    assert set(world.insurer.ended) == {order["policy"]["number"]}
    await world.check_books()


async def test_voluntary_cover_is_returned_whole_before_its_start(world: World) -> None:
    """A traveller who changed their mind would lose money the directive gives back."""
    await world.publish_product(product("travel", rule=COOLING_OFF))
    order_id = await world.issued(code="travel")
    world.clock.advance(timedelta(days=8))
    shown = (await preview(world, order_id)).json()
    assert (shown["refund"]["amount"], shown["retained"]["amount"]) == ("8697.22", "0.00")
    await confirm(world, order_id, shown["id"])
    await world.work()
    order = await world.order(order_id)
    assert (order["policy"]["status"], order["payment"]["status"]) == ("cancelled", "refunded")
    await world.check_books()


async def test_after_the_cooling_off_period_nothing_is_promised(world: World) -> None:
    """A preview would promise what the insurer will not pay."""
    await world.publish_product(product("travel", rule=COOLING_OFF))
    order_id = await world.issued(code="travel")
    world.clock.advance(timedelta(days=14))
    assert (await preview(world, order_id)).status_code == 200
    world.clock.advance(timedelta(days=1))
    late = await preview(world, order_id)
    assert (late.status_code, slug(late)) == (409, "cancellation-window-passed")
    assert "2026-12-06" in late.json()["detail"]


async def test_the_rule_is_that_of_the_version_sold(world: World) -> None:
    """A later version of the product would change what an old policy gives back."""
    order_id = await world.issued()
    await world.publish_product(product(version="2", rule=COOLING_OFF))
    world.clock.advance(timedelta(days=100))
    assert (await preview(world, order_id)).json()["refund"]["amount"] == "5008.88"


async def test_a_confirmation_needs_a_key_and_is_carried_out_once(world: World) -> None:
    """A double click would refund twice."""
    order_id = await world.issued()
    shown = (await preview(world, order_id)).json()
    without = await world.post(f"/api/v1/orders/{order_id}/cancellation", {"id": shown["id"]}, key=None)
    assert (without.status_code, slug(without)) == (400, "idempotency-key-missing")
    key = str(new_id())
    first = await confirm(world, order_id, shown["id"], key)
    assert (await confirm(world, order_id, shown["id"], key)).content == first.content
    await world.work()
    again = await confirm(world, order_id, shown["id"])
    assert (again.status_code, again.json()["status"]) == (200, "done")
    assert slug(await preview(world, order_id)) == "cannot-cancel-now"
    await world.work()
    assert world.provider.script.calls.count("refund") == 1
    await world.check_books()


async def test_an_old_or_foreign_preview_is_not_carried_out(world: World) -> None:
    """A policy would be ended on terms that are no longer true."""
    order_id, other_id = await world.issued(), await world.issued()
    shown = (await preview(world, order_id)).json()
    assert (await confirm(world, other_id, shown["id"])).status_code == 404
    assert (await confirm(world, order_id, str(new_id()))).status_code == 404
    world.clock.advance(timedelta(minutes=15))
    late = await confirm(world, order_id, shown["id"])
    assert (late.status_code, slug(late)) == (409, "preview-expired")
    assert (await world.order(order_id))["policy"]["status"] == "issued"


async def test_an_insurer_may_refuse_to_end_a_policy(world: World) -> None:
    """The buyer would wait for a refund that nobody pays."""
    order_id = await world.issued()
    world.insurer.script.then("end_policy", "unavailable", "silent", "refuse")
    shown = (await preview(world, order_id)).json()
    await confirm(world, order_id, shown["id"])
    await world.rest()
    order = await world.order(order_id)
    assert (order["policy"]["status"], order["explanation"]["code"]) == ("issued", "cancellation_refused")
    assert order["explanation"]["detail"] == "A claim is being settled."
    second = (await preview(world, order_id)).json()
    await confirm(world, order_id, second["id"])
    await world.rest()
    assert (await world.order(order_id))["policy"]["status"] == "cancelled"
    await world.check_books()


async def test_the_refund_of_a_cancellation_survives_the_provider(world: World) -> None:
    """An ended policy would never be refunded, or be refunded twice."""
    order_id = await world.issued()
    world.provider.script.then("refund", "unavailable", "lost", "pending", "silent")
    shown = (await preview(world, order_id)).json()
    await confirm(world, order_id, shown["id"])
    await world.work()
    order = await world.order(order_id)
    assert (order["explanation"]["code"], order["policy"]["status"]) == ("refund_coming", "cancel_requested")
    await world.rest()
    assert (await world.order(order_id))["payment"]["refunded"] == shown["refund"]
    await world.check_books()


@pytest.mark.parametrize("how_far", ["placed", "priced", "paying", "held"])
async def test_an_order_without_a_policy_is_closed_at_no_cost(world: World, how_far: str) -> None:
    """A person who changed their mind before anything was issued would have to wait, or pay."""
    if how_far == "placed":
        order_id = await world.placed()
    elif how_far == "priced":
        order_id = await world.priced()
    else:
        order_id, provider_id = await world.paying()
        if how_far == "held":
            world.provider.pay(provider_id)
    shown = (await preview(world, order_id)).json()
    assert (shown["refund"]["amount"], shown["retained"]["amount"]) == ("0.00", "0.00")
    confirmed = await confirm(world, order_id, shown["id"])
    assert (confirmed.status_code, confirmed.json()["status"]) == (200, "done")
    order = await world.order(order_id)
    assert (order["status"], order["explanation"]["code"]) == ("cancelled", "cancelled")
    assert [event["status"] for event in await world.events("closed")] == ["cancelled"]
    for one in world.provider.payments:
        world.provider.decline(one, "expired_on_confirmation")
    await world.rest()
    order = await world.order(order_id)
    if how_far in {"paying", "held"}:
        assert order["payment"]["status"] == ("voided" if how_far == "held" else "cancelled")
    assert world.insurer.policies == {}
    await world.check_books()


async def test_an_order_being_issued_cannot_be_given_up(world: World) -> None:
    """A policy could come into being for an order that says it is closed."""
    world.insurer.script.then("issue", "pending")
    world.insurer.script.always("issue_state", "pending")
    order_id, provider_id = await world.paying()
    shown = (await preview(world, order_id)).json()
    world.provider.pay(provider_id)
    await world.notify(provider_id)
    await world.work()
    refused = await preview(world, order_id)
    assert (refused.status_code, slug(refused)) == (409, "cannot-cancel-now")
    refused = await confirm(world, order_id, shown["id"])
    assert (refused.status_code, slug(refused)) == (409, "cannot-cancel-now")


async def test_a_policy_nobody_paid_for_gives_nothing_back(world: World) -> None:
    """We would refund money we never had."""
    world.provider.script.then("capture", "unavailable")
    order_id, provider_id = await world.paying()
    world.provider.pay(provider_id)
    await world.notify(provider_id)
    await world.work()
    world.provider.lapse(provider_id)
    await world.rest()
    shown = (await preview(world, order_id)).json()
    assert (shown["refund"]["amount"], shown["retained"]["amount"]) == ("0.00", "0.00")
    await confirm(world, order_id, shown["id"])
    await world.rest()
    assert (await world.order(order_id))["policy"]["status"] == "cancelled"
    await world.check_books()
