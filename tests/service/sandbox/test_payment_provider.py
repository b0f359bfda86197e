"""The sandbox's payment provider, used the way the marketplace does: through the YooKassa connector, over a socket."""

import asyncio
import re
from decimal import Decimal
from uuid import UUID

import httpx
import pytest
import pytest_asyncio

from insuretech.connectors.yookassa import YooKassa
from insuretech.contracts.money import Money
from insuretech.contracts.payments import (
    NewPayment,
    PaymentMethod,
    ProviderOutcomeUnknown,
    ProviderPayment,
    ProviderRefused,
    ProviderUnavailable,
)
from insuretech.kit.breaker import Breaker
from insuretech.kit.http import Outbound
from insuretech.kit.ids import new_id
from tests.service.sandbox.stage import SECRET, RunningSandbox, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

PREMIUM = Money(Decimal("5432.10"))
NOTHING = Money.zero()


@pytest_asyncio.fixture(loop_scope="module")
async def provider(sandbox: RunningSandbox) -> YooKassa:
    """The provider as our shop uses it."""
    return shop(sandbox)


def shop(sandbox: RunningSandbox, *, secret: str = SECRET, time_limit: float = 20) -> YooKassa:
    """A shop with this secret."""
    url = f"{sandbox.url}/sandbox/yookassa/v3"
    outbound = Outbound(sandbox.http, url, time_limit=time_limit, concurrency=16, breaker=Breaker(failures=1000))
    return YooKassa(outbound, shop_id="sandbox", secret_key=secret)


def buying(method: PaymentMethod = "card", *, capture: bool = False, key: str | None = None) -> NewPayment:
    """A payment that an order needs."""
    return NewPayment(
        payment_id=new_id(),
        order_id=UUID(int=7),
        amount=PREMIUM,
        method=method,
        capture=capture,
        return_url="http://shop.example/orders/7?from=payment",
        description="Полис ОСАГО",
        key=key or str(new_id()),
    )


async def decided(sandbox: RunningSandbox, payment: ProviderPayment, action: str = "pay") -> httpx.Response:
    """What the browser gets once the buyer has pressed a button."""
    assert payment.confirmation_url is not None
    return await sandbox.http.post(payment.confirmation_url, data={"action": action})


async def held(sandbox: RunningSandbox, provider: YooKassa) -> ProviderPayment:
    """A payment whose money is held."""
    payment = await provider.create(buying())
    await decided(sandbox, payment)
    return await provider.get(payment.id)


async def booked(sandbox: RunningSandbox, payment: ProviderPayment) -> tuple[str, str, str]:
    """What was captured and refunded according to the books, and the status."""
    books = await sandbox.books()
    [entry] = [entry for entry in books["payments"] if entry["id"] == payment.id]
    assert entry["order_id"] == str(UUID(int=7))
    return entry["captured"]["amount"], entry["refunded"]["amount"], entry["status"]


def events(sandbox: RunningSandbox) -> list[str]:
    """What the provider has told the shop."""
    return [one.told["event"] for one in sandbox.received]


# ------------------------------------------------------------ holds


async def test_a_card_is_held_then_charged(sandbox: RunningSandbox, provider: YooKassa) -> None:
    """Otherwise a person is charged for a policy that the insurer may still refuse."""
    payment = await provider.create(buying())
    assert (payment.status, payment.captured) == ("pending", NOTHING)

    answer = await decided(sandbox, payment)

    assert (answer.status_code, answer.headers["location"]) == (303, "http://shop.example/orders/7?from=payment")
    on_hold = await provider.get(payment.id)
    assert (on_hold.status, on_hold.captured, on_hold.confirmation_url) == ("held", NOTHING, None)
    assert on_hold.held_until is not None
    assert await booked(sandbox, payment) == ("0.00", "0.00", "waiting_for_capture")

    taken = await provider.capture(payment.id, PREMIUM, key="capture")
    assert (taken.status, taken.captured) == ("captured", PREMIUM)
    assert await booked(sandbox, payment) == ("5432.10", "0.00", "succeeded")
    await sandbox.messages(2)
    assert sorted(events(sandbox)) == ["payment.succeeded", "payment.waiting_for_capture"]
    notice = provider.notification(sandbox.received[0].body)
    assert notice is not None
    assert notice.payment_id == payment.id


async def test_a_hold_is_let_go(sandbox: RunningSandbox, provider: YooKassa) -> None:
    """Otherwise money of a person without a policy stays blocked on the card."""
    payment = await held(sandbox, provider)

    released = await provider.cancel(payment.id, key="cancel")

    assert (released.status, released.cancellation) == ("cancelled", "canceled_by_merchant")
    assert await booked(sandbox, payment) == ("0.00", "0.00", "canceled")
    with pytest.raises(ProviderRefused, match="invalid_request"):
        await provider.capture(payment.id, PREMIUM, key="too late")


async def test_a_hold_lapses(sandbox: RunningSandbox, provider: YooKassa) -> None:
    """Otherwise the marketplace is never rehearsed against holds that are gone when it wants the money."""
    payment = await held(sandbox, provider)

    sandbox.clock.skip(days=8)

    lapsed = await provider.get(payment.id)
    assert (lapsed.status, lapsed.cancellation) == ("cancelled", "expired_on_capture")
    with pytest.raises(ProviderRefused):
        await provider.capture(payment.id, PREMIUM, key="capture")
    await eventually(lambda: "payment.canceled" in events(sandbox))
    assert await booked(sandbox, payment) == ("0.00", "0.00", "canceled")


async def test_time_to_pay_runs_out(sandbox: RunningSandbox, provider: YooKassa) -> None:
    """Otherwise a person may pay for an offer long gone."""
    payment = await provider.create(buying())

    sandbox.clock.skip(hours=2)
    await decided(sandbox, payment)

    assert (await provider.get(payment.id)).cancellation == "expired_on_confirmation"


async def test_part_of_a_hold_is_charged(sandbox: RunningSandbox, provider: YooKassa) -> None:
    """Otherwise a lower final price charges the higher one."""
    payment = await held(sandbox, provider)

    taken = await provider.capture(payment.id, Money(Decimal("1000.00")), key="part")

    assert taken.captured == Money(Decimal("1000.00"))
    with pytest.raises(ProviderRefused):
        await provider.capture((await held(sandbox, provider)).id, Money(Decimal("9999.00")), key="more than held")


# ------------------------------------------------------------ at once, decline, refunds


async def test_fast_payments_are_charged_at_once(sandbox: RunningSandbox, provider: YooKassa) -> None:
    """Otherwise a method without holds waits for a capture that cannot be."""
    payment = await provider.create(buying("sbp", capture=True))

    await decided(sandbox, payment)

    assert (await provider.get(payment.id)).captured == PREMIUM
    with pytest.raises(ProviderRefused, match="hold"):
        await provider.create(buying("sbp", capture=False))


async def test_a_declined_payment_takes_nothing(sandbox: RunningSandbox, provider: YooKassa) -> None:
    """Otherwise a person who declined is charged."""
    payment = await provider.create(buying())

    await decided(sandbox, payment, "decline")
    await decided(sandbox, payment, "pay")

    declined = await provider.get(payment.id)
    assert (declined.status, declined.cancellation) == ("cancelled", "general_decline")


async def test_refunds_never_exceed_what_was_charged(sandbox: RunningSandbox, provider: YooKassa) -> None:
    """Otherwise we give back money that nobody has paid."""
    payment = await held(sandbox, provider)
    await provider.capture(payment.id, PREMIUM, key="capture")
    half = Money(Decimal("2716.05"))

    answers = await asyncio.gather(
        *(provider.refund(payment.id, half, key=f"refund {number}") for number in range(4)), return_exceptions=True
    )

    assert sorted(type(answer).__name__ for answer in answers) == ["ProviderRefund"] * 2 + ["ProviderRefused"] * 2
    assert (await provider.get(payment.id)).refunded == PREMIUM
    assert await booked(sandbox, payment) == ("5432.10", "5432.10", "succeeded")


async def test_a_refund_may_take_time_or_fail(sandbox: RunningSandbox, provider: YooKassa) -> None:
    """Otherwise the books of the marketplace are never held against refunds that are on their way."""
    payment = await held(sandbox, provider)
    await provider.capture(payment.id, PREMIUM, key="capture")
    await sandbox.behave("payments", refund="refuse")
    assert (await provider.refund(payment.id, PREMIUM, key="first")).status == "cancelled"

    await sandbox.behave("payments", refund="pending", pending_ms=100)
    assert (await provider.refund(payment.id, PREMIUM, key="second")).status == "pending"
    assert await booked(sandbox, payment) == ("5432.10", "0.00", "succeeded")

    await eventually(lambda: "refund.succeeded" in events(sandbox))
    assert await booked(sandbox, payment) == ("5432.10", "5432.10", "succeeded")
    told = next(one for one in sandbox.received if one.told["event"] == "refund.succeeded")
    notice = provider.notification(told.body)
    assert notice is not None
    assert notice.payment_id == payment.id


# ------------------------------------------------------------ repeating


async def test_the_same_key_has_one_effect(sandbox: RunningSandbox, provider: YooKassa) -> None:
    """Otherwise a retry after a lost answer charges or refunds a person twice."""
    asked = buying()
    first, *others = await asyncio.gather(*(provider.create(asked) for _ in range(5)))
    assert others == [first] * 4
    await decided(sandbox, first)

    await asyncio.gather(*(provider.capture(first.id, PREMIUM, key="c") for _ in range(5)))
    refunds = await asyncio.gather(*(provider.refund(first.id, PREMIUM, key="r") for _ in range(5)))

    assert len({refund.id for refund in refunds}) == 1
    assert len((await sandbox.books())["payments"]) == 1
    assert await booked(sandbox, first) == ("5432.10", "5432.10", "succeeded")


async def test_a_key_belongs_to_one_request(provider: YooKassa) -> None:
    """Otherwise a fault of ours silently gets the answer to another question."""
    await provider.create(buying(key="a key"))

    with pytest.raises(ProviderRefused, match="invalid_request"):
        await provider.create(buying(key="a key"))


@pytest.mark.parametrize("failure", ["dropped", "broken"])
async def test_work_whose_answer_is_lost_is_found_done(
    sandbox: RunningSandbox, provider: YooKassa, failure: str
) -> None:
    """Otherwise money that was taken is not known to be."""
    payment = await held(sandbox, provider)
    await sandbox.behave("payments", failure_rate=1, failures=[failure])
    with pytest.raises(ProviderOutcomeUnknown):
        await provider.capture(payment.id, PREMIUM, key="capture")

    await sandbox.behave("payments", failure_rate=0)

    assert (await provider.get(payment.id)).captured == PREMIUM
    assert (await provider.capture(payment.id, PREMIUM, key="capture")).captured == PREMIUM


async def test_trouble_has_its_kind(sandbox: RunningSandbox, provider: YooKassa) -> None:
    """Otherwise what was surely not done waits for ever, or what may be done is given up."""
    await sandbox.behave("payments", access="down")
    with pytest.raises(ProviderUnavailable):
        await provider.create(buying())
    await sandbox.behave("payments", access="hang")
    with pytest.raises(ProviderOutcomeUnknown):
        await shop(sandbox, time_limit=0.3).create(buying())
    await sandbox.behave("payments", access="ok")
    with pytest.raises(ProviderRefused, match="invalid_credentials"):
        await shop(sandbox, secret="another").create(buying())
    with pytest.raises(ProviderRefused, match="not_found"):
        await provider.get(str(new_id()))
    assert (await sandbox.books())["payments"] == []


async def test_a_capture_may_be_refused(sandbox: RunningSandbox, provider: YooKassa) -> None:
    """Otherwise nobody rehearses a bank that takes the hold back after the policy was issued."""
    payment = await held(sandbox, provider)
    await sandbox.behave("payments", capture="refuse")

    assert (await provider.capture(payment.id, PREMIUM, key="capture")).status == "cancelled"


# ------------------------------------------------------------ the API's own words


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"amount": {"value": "1.5", "currency": "RUB"}}, "amount.value"),
        ({"amount": {"value": "0.00", "currency": "RUB"}}, "amount"),
        ({"amount": {"value": "1.00", "currency": "USD"}}, "amount.currency"),
        ({"confirmation": {"type": "redirect", "return_url": "javascript:alert(1)"}}, "confirmation.return_url"),
        ({"metadata": {str(number): "x" for number in range(17)}}, "metadata"),
        ({"description": "x" * 129}, "description"),
        ({"description": "\0"}, None),
    ],
)
async def test_a_wrong_request_is_told_what_is_wrong(
    sandbox: RunningSandbox, change: dict[str, object], parameter: str | None
) -> None:
    """Otherwise a shop's fault looks like the provider's, or a page of ours leads to a script of a stranger."""
    body = {
        "amount": {"value": "1.00", "currency": "RUB"},
        "confirmation": {"type": "redirect", "return_url": "http://shop.example/"},
        **change,
    }
    answer = await sandbox.http.post(
        f"{sandbox.url}/sandbox/yookassa/v3/payments",
        json=body,
        auth=("sandbox", SECRET),
        headers={"Idempotence-Key": str(new_id())},
    )

    assert answer.status_code == 400
    error = answer.json()
    assert (error["type"], error["code"], error.get("parameter")) == ("error", "invalid_request", parameter)


async def test_a_request_without_a_key_is_refused(sandbox: RunningSandbox) -> None:
    """Otherwise a shop that forgets keys finds out only when it charges twice."""
    answer = await sandbox.http.post(f"{sandbox.url}/sandbox/yookassa/v3/payments", json={}, auth=("sandbox", SECRET))

    assert (answer.status_code, answer.json()["parameter"]) == (400, "Idempotence-Key")


# ------------------------------------------------------------ notifications and the page


async def test_notifications_are_repeated_until_taken(sandbox: RunningSandbox, provider: YooKassa) -> None:
    """Otherwise a payment made while the marketplace restarts is heard of by polling only."""
    sandbox.answers[:] = [503, 201]

    await held(sandbox, provider)

    assert len(await sandbox.messages(3)) == 3
    assert {one.body for one in sandbox.received} == {sandbox.received[0].body}


async def test_notifications_may_come_twice_or_never(sandbox: RunningSandbox, provider: YooKassa) -> None:
    """Otherwise the marketplace's own deduplication and looking-up is never exercised."""
    await sandbox.behave("payments", notifications="lost")
    payment = await held(sandbox, provider)
    await sandbox.behave("payments", notifications="duplicated")

    await provider.capture(payment.id, PREMIUM, key="capture")

    await sandbox.messages(2)
    assert events(sandbox) == ["payment.succeeded"] * 2


@pytest.mark.parametrize(("language", "button"), [("ru", "Оплатить"), ("en-GB,en;q=0.9", "Pay")])
async def test_the_page_says_what_it_is_and_needs_no_script(
    sandbox: RunningSandbox, provider: YooKassa, language: str, button: str
) -> None:
    """Otherwise someone takes the sandbox for a real till, or cannot get back to the shop."""
    payment = await provider.create(buying())
    assert payment.confirmation_url is not None

    shown = await sandbox.http.get(payment.confirmation_url, headers={"Accept-Language": language})

    assert shown.status_code == 200
    assert "Песочница" in shown.text or "Sandbox" in shown.text
    assert f'name="action" value="pay" class="primary">{button}<' in shown.text
    assert 'name="action" value="decline"' in shown.text
    assert 'href="http://shop.example/orders/7?from=payment"' in shown.text
    assert ("5\u00a0432,10" if language == "ru" else "5\u00a0432.10") in shown.text
    assert "<script" not in shown.text
    assert not re.search(r"\sstyle=|\son\w+=", shown.text)
    policy = shown.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert policy.endswith("form-action 'self' http://shop.example"), "the way back is a redirect of the form"


async def test_the_page_takes_pay_and_decline_only(sandbox: RunningSandbox, provider: YooKassa) -> None:
    """Otherwise a mistyped button pays."""
    payment = await provider.create(buying())

    assert (await decided(sandbox, payment, "steal")).status_code == 400
    assert (await sandbox.http.post(f"{sandbox.url}/sandbox/pay/{new_id()}", data={"action": "pay"})).status_code == 404
    assert (await provider.get(payment.id)).status == "pending"
