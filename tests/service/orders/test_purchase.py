"""A purchase from offer to policy, and every way it can end otherwise."""

from datetime import timedelta
from decimal import Decimal

from insuretech.contracts.money import Money
from tests.service.orders.world import OWNER, PREMIUM, World


async def test_a_policy_is_bought_with_a_card(world: World) -> None:
    """Nobody could buy a policy: reserve, hold, issue, capture, in this order and once each."""
    order_id = await world.priced()
    order = await world.order(order_id)
    assert (order["status"], order["explanation"]["code"]) == ("awaiting_payment", "awaiting_payment")
    opened = await world.pay(order_id)
    assert opened.status_code == 200
    provider_id = opened.json()["confirmation_url"].rsplit("/", 1)[1]
    world.provider.pay(provider_id)
    assert (await world.notify(provider_id)).status_code == 200
    await world.work()

    order = await world.order(order_id)
    assert order["status"] == "issued"
    assert order["payment"]["status"] == "captured"
    assert order["policy"]["number"] == "XXX 0000000001"
    assert order["policy"]["on_risk"] is False
    assert world.insurer.script.calls == ["confirm_price", "issue"]
    assert world.provider.script.calls == ["create", "get", "capture"]
    (request,) = world.insurer.requests
    assert (request.policyholder.phone, request.policyholder.document_number) == ("79123456789", "4509123456")
    (placed,) = await world.events("placed")
    assert placed["owner"] == OWNER
    assert len(await world.events("policy_issued")) == 1
    assert [event["charged"] for event in await world.events("payment_authorised")] == [False]
    assert [event["amount"]["amount"] for event in await world.events("payment_captured")] == ["8697.22"]
    await world.check_books()


async def test_sbp_is_charged_at_once(world: World) -> None:
    """A fast payment would be left waiting for a capture it does not have."""
    order_id = await world.issued("sbp")
    assert (await world.order(order_id))["payment"]["status"] == "captured"
    assert "capture" not in world.provider.script.calls
    await world.check_books()


async def test_a_changed_price_is_asked_about(world: World) -> None:
    """A buyer would pay a price they never agreed to."""
    world.insurer.price = Money(Decimal("9100.01"))
    order_id = await world.priced()
    order = await world.order(order_id)
    assert order["status"] == "price_changed"
    assert (order["previous_premium"]["amount"], order["premium"]["amount"]) == ("8697.22", "9100.01")

    early = await world.pay(order_id)
    assert (early.status_code, early.json()["type"].rsplit("/", 1)[1]) == (409, "price-consent-needed")
    path = f"/api/v1/orders/{order_id}/price-consent"
    wrong = await world.post(path, {"premium": {"amount": "8697.22", "currency": "RUB"}})
    assert (wrong.status_code, wrong.json()["type"].rsplit("/", 1)[1]) == (409, "price-differs")
    agreed = await world.post(path, {"premium": {"amount": "9100.01", "currency": "RUB"}})
    assert (agreed.status_code, agreed.json()["status"]) == (200, "awaiting_payment")

    opened = await world.pay(order_id)
    provider_id = opened.json()["confirmation_url"].rsplit("/", 1)[1]
    world.provider.pay(provider_id)
    await world.notify(provider_id)
    await world.work()
    assert (await world.order(order_id))["status"] == "issued"
    assert world.provider.payments[provider_id].captured == Money(Decimal("9100.01"))
    assert len(await world.events("price_changed")) == 1
    await world.check_books()


async def test_a_declined_payment_may_be_tried_again(world: World) -> None:
    """A person whose card was declined could not buy at all, or could pay twice."""
    order_id, provider_id = await world.paying()
    world.provider.decline(provider_id)
    await world.notify(provider_id, "payment.canceled")
    await world.work()
    order = await world.order(order_id)
    assert (order["status"], order["explanation"]["code"]) == ("awaiting_payment", "payment_declined")
    assert order["payment"]["confirmation_url"] is None

    second = await world.pay(order_id, "sbp")
    other_id = second.json()["confirmation_url"].rsplit("/", 1)[1]
    assert other_id != provider_id
    world.provider.pay(other_id)
    await world.notify(other_id)
    await world.work()
    assert (await world.order(order_id))["status"] == "issued"
    await world.check_books()


async def test_a_refused_issue_lets_the_hold_go(world: World) -> None:
    """The money of a person without a policy would stay blocked."""
    world.insurer.script.then("issue", "refuse")
    order_id = await world.paid()
    await world.work()
    order = await world.order(order_id)
    assert (order["status"], order["payment"]["status"]) == ("voided", "voided")
    assert order["explanation"]["code"] == "issue_refused"
    assert order["explanation"]["detail"] == "The vehicle is wanted."
    assert "блокировка снята" in order["explanation"]["text"]["ru"]
    (failed,) = await world.events("issue_failed")
    assert failed["reason"] == "issue_refused"
    assert [event["voided"] for event in await world.events("payment_refunded")] == [True]
    assert [event["status"] for event in await world.events("closed")] == ["voided"]
    await world.check_books()


async def test_a_refused_issue_refunds_what_was_charged(world: World) -> None:
    """Money taken by a fast payment would stay with us without a policy."""
    world.insurer.script.then("issue", "refuse")
    order_id = await world.paid("sbp")
    await world.work()
    order = await world.order(order_id)
    assert (order["status"], order["payment"]["refunded"]["amount"]) == ("refunded", "8697.22")
    await world.check_books()


async def test_an_unknown_issue_is_asked_about_before_anything_is_sent_again(world: World) -> None:
    """After a time-out a second request could conclude a second contract."""
    world.insurer.script.then("issue", "lost")
    order_id = await world.paid()
    await world.work()
    order = await world.order(order_id)
    assert (order["status"], order["explanation"]["code"]) == ("issue_unknown", "issue_unknown")
    assert order["payment"]["status"] == "held"
    world.clock.advance(timedelta(seconds=5))
    await world.work()
    assert (await world.order(order_id))["status"] == "issued"
    assert world.insurer.script.calls == ["confirm_price", "issue", "issue_state"]
    await world.check_books()


async def test_an_issue_that_never_arrived_is_sent_again_under_the_same_reference(world: World) -> None:
    """A request lost on its way would leave the buyer without a policy for ever."""
    world.insurer.script.then("issue", "silent")
    order_id = await world.paid()
    await world.work()
    world.clock.advance(timedelta(seconds=5))
    await world.work()
    assert (await world.order(order_id))["status"] == "issued"
    assert world.insurer.script.calls == ["confirm_price", "issue", "issue_state", "issue"]
    assert {str(request.reference) for request in world.insurer.requests} == {order_id}


async def test_an_unknown_issue_is_never_given_up_and_its_money_is_secured(world: World) -> None:
    """After a week of silence the hold would lapse and a policy could be found that nobody paid."""
    world.insurer.script.then("issue", "lost")
    world.insurer.script.always("issue_state", "silent")
    world.provider.hold_for = timedelta(hours=2)
    order_id = await world.paid()
    for _ in range(200):
        await world.work()
        world.clock.advance(timedelta(minutes=1))
    order = await world.order(order_id)
    assert order["status"] == "issue_unknown"
    assert order["payment"]["status"] == "captured"
    assert 20 < world.insurer.script.calls.count("issue_state") < 80
    world.insurer.script.always("issue_state", None)
    await world.rest()
    assert (await world.order(order_id))["status"] == "issued"
    await world.check_books()


async def test_a_pending_issue_is_waited_for(world: World) -> None:
    """An insurer that issues in its own time would be taken for one that failed."""
    world.insurer.script.then("issue", "pending")
    world.insurer.script.then("issue_state", "pending")
    order_id = await world.paid()
    await world.work()
    assert (await world.order(order_id))["status"] == "issuing"
    await world.rest()
    assert (await world.order(order_id))["status"] == "issued"
    assert world.insurer.script.calls.count("issue") == 1


async def test_an_insurer_that_cannot_be_reached_gives_the_money_back(world: World) -> None:
    """Money would stay held for an insurer that is down for good."""
    world.insurer.script.always("issue", "unavailable")
    order_id = await world.paid()
    await world.work()
    assert (await world.order(order_id))["status"] == "issuing"
    await world.rest()
    order = await world.order(order_id)
    assert (order["status"], order["explanation"]["code"]) == ("voided", "insurer_unreachable")
    await world.check_books()


async def test_a_withdrawn_offer_costs_nothing(world: World) -> None:
    """A buyer would wait for a price that will not come."""
    world.insurer.script.then("confirm_price", "refuse")
    order_id = await world.priced()
    order = await world.order(order_id)
    assert (order["status"], order["explanation"]["code"]) == ("expired", "offer_withdrawn")
    assert order["explanation"]["detail"] == "The tariff has changed."
    await world.check_books()


async def test_a_price_is_confirmed_after_failures(world: World) -> None:
    """One lost answer of an insurer would lose the order."""
    world.insurer.script.then("confirm_price", "unavailable", "lost", "silent")
    order_id = await world.placed()
    for _ in range(4):
        await world.work()
        world.clock.advance(timedelta(seconds=10))
    assert (await world.order(order_id))["status"] == "awaiting_payment"


async def test_an_insurer_silent_on_the_price_ends_the_order(world: World) -> None:
    """An order would hang in the buyer's list for ever."""
    world.insurer.script.always("confirm_price", "silent")
    order_id = await world.placed()
    await world.rest()
    order = await world.order(order_id)
    assert (order["status"], order["explanation"]["code"]) == ("expired", "insurer_unreachable")


async def test_an_unpaid_order_expires_and_frees_its_offer(world: World) -> None:
    """A buyer who walked away would block the offer, or find an order that can still be paid."""
    offer = await world.offered()
    order_id = (await world.post("/api/v1/orders", world.body(offer))).json()["id"]
    await world.work()
    world.clock.advance(timedelta(minutes=31))
    await world.work()
    order = await world.order(order_id)
    assert (order["status"], order["explanation"]["code"]) == ("expired", "payment_deadline")
    assert (await world.pay(order_id)).status_code == 409
    assert (await world.post("/api/v1/orders", world.body(offer))).status_code == 201
    await world.check_books()


async def test_an_offer_that_runs_out_before_payment_ends_the_order(world: World) -> None:
    """A buyer could pay for an offer its insurer no longer stands by."""
    world.settings = type(world.settings)(public_url="https://example.org", payment_deadline=30 * 3600)
    world.restart()
    order_id = await world.priced()
    world.clock.advance(timedelta(hours=21))
    await world.work()
    order = await world.order(order_id)
    assert (order["status"], order["explanation"]["code"]) == ("expired", "offer_expired")


async def test_a_payment_in_time_counts_although_nobody_looked(world: World) -> None:
    """A buyer who paid in time, while we were down, would lose the policy."""
    order_id, provider_id = await world.paying()
    world.provider.pay(provider_id)
    world.clock.advance(timedelta(hours=1))
    await world.work()
    assert (await world.order(order_id))["status"] == "issued"
    await world.check_books()


async def test_a_payment_after_expiry_goes_back(world: World) -> None:
    """Money paid too late would be kept without a policy."""
    for method, ending in (("card", "voided"), ("sbp", "refunded")):
        order_id, provider_id = await world.paying(method)
        world.clock.advance(timedelta(minutes=31))
        await world.work()
        assert (await world.order(order_id))["status"] == "expired"
        world.provider.pay(provider_id)
        await world.notify(provider_id)
        await world.work()
        order = await world.order(order_id)
        assert (order["status"], order["payment"]["status"]) == ("expired", ending)
    await world.check_books()


async def test_a_payment_nobody_makes_ends_with_its_order(world: World) -> None:
    """An order would be watched for ever for a payment that cannot come any more."""
    order_id, provider_id = await world.paying()
    world.clock.advance(timedelta(minutes=31))
    await world.work()
    world.provider.decline(provider_id, "expired_on_confirmation")
    await world.rest()
    order = await world.order(order_id)
    assert (order["status"], order["payment"]["status"]) == ("expired", "cancelled")
    await world.check_books()


async def test_a_hold_the_bank_let_go_after_the_issue_is_told_and_counted(world: World) -> None:
    """A policy nobody paid for would look like any other, and nobody would act."""
    world.provider.script.then("capture", "unavailable")
    order_id, provider_id = await world.paying()
    world.provider.pay(provider_id)
    await world.notify(provider_id)
    await world.work()
    order = await world.order(order_id)
    assert (order["status"], order["explanation"]["code"]) == ("issuing", "collecting")
    world.provider.lapse(provider_id)
    await world.rest()
    order = await world.order(order_id)
    assert (order["status"], order["explanation"]["code"]) == ("issued", "uncollected")
    await world.check_books()


async def test_the_provider_failing_at_capture_delays_and_loses_nothing(world: World) -> None:
    """A failing provider would leave an issued policy unpaid."""
    world.provider.script.then("capture", "unavailable", "lost", "silent", "refuse")
    order_id = await world.paid()
    await world.rest()
    assert (await world.order(order_id))["status"] == "issued"
    await world.check_books()


async def test_a_failed_refund_is_asked_for_again(world: World) -> None:
    """A refund the provider gave up would never reach the buyer."""
    world.insurer.script.then("issue", "refuse")
    world.provider.script.then("refund", "unavailable", "lost", "pending", "refuse", "silent")
    order_id = await world.paid("sbp")
    await world.rest()
    order = await world.order(order_id)
    assert (order["status"], order["payment"]["refunded"]) == ("refunded", {"amount": "8697.22", "currency": "RUB"})
    await world.check_books()


async def test_premium_of_the_world_is_what_the_tests_say(world: World) -> None:
    """The amounts above would be checked against another premium."""
    order = await world.order(await world.placed())
    assert order["premium"]["amount"] == str(PREMIUM.amount)
