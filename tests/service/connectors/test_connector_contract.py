"""What the marketplace relies on in every connector, whatever the insurer's dialect: run against the sandbox.

A new dialect joins by a line in ``CONNECTORS`` and its side in the sandbox.
"""

import asyncio
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
import pytest_asyncio

from insuretech.connectors.json_callback import JsonCallback
from insuretech.connectors.json_polling import JsonPolling
from insuretech.connectors.xml_sync import XmlSync
from insuretech.contracts import insurers as port
from insuretech.contracts.money import Money
from insuretech.contracts.text import Text
from insuretech.kit.breaker import Breaker
from insuretech.kit.http import Outbound
from insuretech.kit.ids import new_id
from tests.service.sandbox.stage import HIGHEST, LOWEST, OSAGO, SECRET, RunningSandbox

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONNECTORS: dict[str, Callable[..., port.InsurerConnector]] = {
    "json_polling": JsonPolling,
    "json_callback": JsonCallback,
    "xml_sync": XmlSync,
}
INSURER = "bystra"
SOMEONE = port.Policyholder(
    last_name="Ёлкина-Çelik",
    first_name="Anna & <Ann>",
    middle_name=None,
    birth_date=date(1990, 5, 5),
    email="anna@example.org",
    phone="79001234567",
    document_kind="passport",
    document_number="4510 123456",
)


@pytest_asyncio.fixture(params=sorted(CONNECTORS), loop_scope="module")
async def connector(request: pytest.FixtureRequest, sandbox: RunningSandbox) -> port.InsurerConnector:
    """A connector of each dialect to a sandbox insurer that does everything right."""
    await sandbox.behave(INSURER, delay_min_ms=0, delay_max_ms=0)
    return connect(request.param, sandbox)


def connect(
    dialect: str, sandbox: RunningSandbox, *, secret: str = SECRET, time_limit: float = 20.0
) -> port.InsurerConnector:
    """A connector to the insurer; patient, as machines that run tests may be busy."""
    url = f"{sandbox.url}/sandbox/insurers/{INSURER}"
    profile = port.InsurerProfile(
        code=INSURER,
        name=Text("Быстра", "Bystra"),
        dialect=msgspec.convert(dialect, type=Any),
        url=url,
        claims_days=9,
        commission=Decimal("0.1"),
    )
    outbound = Outbound(sandbox.http, url, time_limit=time_limit, concurrency=16, breaker=Breaker(failures=1000))
    return CONNECTORS[dialect](profile, outbound, secret, f"{sandbox.url}/callbacks/{INSURER}", sandbox.clock)


def impatient(connector: port.InsurerConnector, sandbox: RunningSandbox) -> port.InsurerConnector:
    """The same, but it gives up on a call very soon."""
    dialect = next(name for name, kind in CONNECTORS.items() if type(connector) is kind)
    return connect(dialect, sandbox, time_limit=0.3)


def asking(reference: UUID | None = None, **answers: object) -> port.OfferRequest:
    """A request for an OSAGO offer."""
    return port.OfferRequest(
        reference=reference or new_id(), product="osago", product_version="1", answers={**OSAGO, **answers}
    )


async def offered(connector: port.InsurerConnector) -> port.Offered:
    """An offer of the insurer."""
    answer = await connector.request_offer(asking())
    assert isinstance(answer, port.Offered)
    return answer


async def confirmed(connector: port.InsurerConnector) -> port.IssueRequest:
    """An order whose price the insurer has confirmed."""
    offer, order = await offered(connector), new_id()
    price = await connector.confirm_price(order, offer.offer_number)
    assert isinstance(price, port.PriceConfirmed)
    return port.IssueRequest(
        reference=order, offer_number=offer.offer_number, premium=price.premium, policyholder=SOMEONE
    )


async def settled(look: Callable[[], Any]) -> Any:
    """The first answer that is not ``Pending``."""
    async with asyncio.timeout(60):
        answer = await look()
        while isinstance(answer, port.Pending):
            await asyncio.sleep(min(answer.retry_after, 0.05))
            answer = await look()
    return answer


# ------------------------------------------------------------ offers


async def test_an_offer_comes_with_number_price_and_expiry(
    connector: port.InsurerConnector, sandbox: RunningSandbox
) -> None:
    """Otherwise a person sees a wrong price, or chooses an offer that is over."""
    offer = await offered(connector)

    assert LOWEST < offer.premium < HIGHEST
    assert offer.offer_number
    assert offer.expires_at.utcoffset() == timedelta()
    assert timedelta(hours=23) < offer.expires_at - sandbox.clock.now() < timedelta(hours=25)


async def test_the_same_reference_gives_the_same_offer(connector: port.InsurerConnector) -> None:
    """Otherwise asking again after a lost answer leaves the person with two prices."""
    request = asking()

    first, again = await connector.request_offer(request), await connector.request_offer(request)

    assert first == again == await connector.offer_state(request.reference)
    assert await connector.offer_state(new_id()) == port.NotKnown()


@pytest.mark.parametrize(
    ("outcome", "expected"), [("decline", port.Declined), ("refer", port.Referred), ("invalid", port.Invalid)]
)
async def test_a_refusal_comes_with_its_reason(
    connector: port.InsurerConnector, sandbox: RunningSandbox, outcome: str, expected: type
) -> None:
    """Otherwise a person cannot know why an insurer has no price for them."""
    await sandbox.behave(INSURER, outcome=outcome)
    request = asking()

    answer = await connector.request_offer(request)

    assert isinstance(answer, port.Declined | port.Referred | port.Invalid)
    assert type(answer) is expected
    assert answer.reason
    assert await connector.offer_state(request.reference) == answer


async def test_a_pending_offer_is_there_later(connector: port.InsurerConnector, sandbox: RunningSandbox) -> None:
    """Otherwise insurers that need a moment never get to show a price."""
    await sandbox.behave(INSURER, outcome="pending", pending_ms=200)
    request = asking()

    answer = await connector.request_offer(request)

    assert isinstance(answer, port.Pending)
    assert 0 < answer.retry_after <= 60
    assert isinstance(await settled(lambda: connector.offer_state(request.reference)), port.Offered)


async def test_answers_of_every_kind_arrive_as_they_were_given(
    connector: port.InsurerConnector, sandbox: RunningSandbox
) -> None:
    """Otherwise an insurer prices another car, driver or year than the person has told of."""
    region = "Ёлки \u0001<&> ü"
    odd: dict[str, object] = {"none": None, "share": 0.5, "empty": {}, "no_list": [], "region": region}

    await connector.request_offer(asking(odd=odd))

    asked = (await sandbox.calls(INSURER))[0]["asked"]
    assert asked["use"] == {"starts_on": "2027-02-01", "months": 12}
    assert asked["drivers"]["limited"] is True
    assert asked["odd"].pop("region") in {region, region.replace("\u0001", " ")}, "XML has no control characters"
    assert asked["odd"] == {"none": None, "share": 0.5, "empty": {}, "no_list": []}


# ------------------------------------------------------------ price


async def test_confirming_a_price_may_be_repeated(connector: port.InsurerConnector) -> None:
    """Otherwise a retry after a crash asks the person for consent to a price they have already accepted."""
    offer, order = await offered(connector), new_id()

    first = await connector.confirm_price(order, offer.offer_number)

    assert isinstance(first, port.PriceConfirmed)
    assert first.premium == offer.premium
    assert await connector.confirm_price(order, offer.offer_number) == first


async def test_a_changed_price_is_seen(connector: port.InsurerConnector, sandbox: RunningSandbox) -> None:
    """Otherwise a person pays another price than the insurer takes."""
    offer = await offered(connector)
    await sandbox.behave(INSURER, confirm_change_percent=5)

    price = await connector.confirm_price(new_id(), offer.offer_number)

    assert isinstance(price, port.PriceConfirmed)
    assert price.premium == Money.rounded(offer.premium.amount * Decimal("1.05"))


async def test_a_withdrawn_offer_is_a_refusal(connector: port.InsurerConnector, sandbox: RunningSandbox) -> None:
    """Otherwise a person pays for an offer that the insurer no longer stands by."""
    offer = await offered(connector)
    await sandbox.behave(INSURER, confirm="refuse")

    assert isinstance(await connector.confirm_price(new_id(), offer.offer_number), port.PriceRefused)
    assert isinstance(await connector.confirm_price(new_id(), "no-such-offer"), port.PriceRefused)


# ------------------------------------------------------------ issuing


async def test_a_policy_is_issued_once_per_reference(connector: port.InsurerConnector, sandbox: RunningSandbox) -> None:
    """Otherwise a retry buys a second policy with the person's money."""
    order = await confirmed(connector)

    first, again = await connector.issue(order), await connector.issue(order)

    assert isinstance(first, port.Issued)
    assert first == again == await connector.issue_state(order.reference)
    assert (first.premium, first.starts_on, first.ends_on) == (order.premium, date(2027, 2, 1), date(2028, 1, 31))
    [policy] = (await sandbox.books())["policies"]
    assert (policy["reference"], policy["number"]) == (str(order.reference), first.policy_number)


async def test_a_refusal_to_issue_is_final(connector: port.InsurerConnector, sandbox: RunningSandbox) -> None:
    """Otherwise money is held for a policy that will never be."""
    order = await confirmed(connector)
    await sandbox.behave(INSURER, issue="refuse")

    answer = await connector.issue(order)

    assert isinstance(answer, port.IssueRefused)
    assert answer.reason
    await sandbox.behave(INSURER, issue="ok")
    assert await connector.issue_state(order.reference) == answer


async def test_a_pending_issue_is_done_later(connector: port.InsurerConnector, sandbox: RunningSandbox) -> None:
    """Otherwise an insurer that needs a moment to issue looks like one that refuses."""
    order = await confirmed(connector)
    await sandbox.behave(INSURER, issue="pending", pending_ms=200)

    assert isinstance(await connector.issue(order), port.Pending)
    assert isinstance(await settled(lambda: connector.issue_state(order.reference)), port.Issued)


@pytest.mark.parametrize("manner", ["dropped", "broken", "hang"])
async def test_a_lost_answer_is_an_unknown_outcome_that_can_be_looked_up(
    connector: port.InsurerConnector, sandbox: RunningSandbox, manner: str
) -> None:
    """Otherwise a policy that was issued is taken for one that was not, and the person gets its money back too."""
    order = await confirmed(connector)
    await sandbox.behave(INSURER, issue="unknown_issued", lost_answer=manner, lookup_after_ms=200)

    with pytest.raises(port.OutcomeUnknown):
        await (impatient(connector, sandbox) if manner == "hang" else connector).issue(order)

    assert isinstance(await settled(lambda: connector.issue_state(order.reference)), port.Issued)


async def test_a_request_that_never_arrived_is_not_known(
    connector: port.InsurerConnector, sandbox: RunningSandbox
) -> None:
    """Otherwise nobody can tell that sending again is safe, and the order waits for ever."""
    order = await confirmed(connector)
    await sandbox.behave(INSURER, issue="unknown_not_issued")

    with pytest.raises(port.OutcomeUnknown):
        await connector.issue(order)

    assert await connector.issue_state(order.reference) == port.NotKnown()


# ------------------------------------------------------------ ending


async def test_a_policy_ends_once_with_the_refund_asked_for(
    connector: port.InsurerConnector, sandbox: RunningSandbox
) -> None:
    """Otherwise a cancellation repeated after a crash is refused, or refunds twice."""
    order = await confirmed(connector)
    issued = await connector.issue(order)
    assert isinstance(issued, port.Issued)
    cancellation, refund = new_id(), Money(Decimal("1234.56"))

    ended = await connector.end_policy(cancellation, issued.policy_number, refund)

    assert ended == port.PolicyEnded(refund=refund)
    assert await connector.end_policy(cancellation, issued.policy_number, refund) == ended
    assert isinstance(await connector.end_policy(new_id(), issued.policy_number, refund), port.EndRefused)
    assert (await sandbox.books())["policies"][0]["status"] == "cancelled"


async def test_a_refusal_to_end_is_seen(connector: port.InsurerConnector, sandbox: RunningSandbox) -> None:
    """Otherwise money goes back for a policy that is still in force."""
    issued = await connector.issue(await confirmed(connector))
    assert isinstance(issued, port.Issued)
    await sandbox.behave(INSURER, cancel="refuse")

    answers = [
        await connector.end_policy(new_id(), number, Money(Decimal(100)))
        for number in (issued.policy_number, "no such/policy?")
    ]

    assert all(isinstance(answer, port.EndRefused) and answer.reason for answer in answers)


# ------------------------------------------------------------ trouble

Doing = Callable[[port.InsurerConnector], Any]
EVERYTHING: dict[str, Doing] = {
    "request_offer": lambda connector: connector.request_offer(asking()),
    "offer_state": lambda connector: connector.offer_state(new_id()),
    "confirm_price": lambda connector: connector.confirm_price(new_id(), "an-offer"),
    "issue": lambda connector: connector.issue(
        port.IssueRequest(reference=new_id(), offer_number="x", premium=Money(Decimal(1)), policyholder=SOMEONE)
    ),
    "issue_state": lambda connector: connector.issue_state(new_id()),
    "end_policy": lambda connector: connector.end_policy(new_id(), "a-policy", Money(Decimal(1))),
}


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        ("down", port.InsurerUnavailable),
        ("dropped", port.OutcomeUnknown),
        ("broken", port.OutcomeUnknown),
        ("hang", port.OutcomeUnknown),
    ],
)
async def test_trouble_is_one_of_two_kinds(
    connector: port.InsurerConnector, sandbox: RunningSandbox, failure: str, expected: type[Exception]
) -> None:
    """Otherwise what was surely not done is not tried again, or what may have been done is done twice."""
    await sandbox.behave(INSURER, failure_rate=1, failures=[failure])

    if failure == "hang":
        connector = impatient(connector, sandbox)
    raised = await asyncio.gather(*(do(connector) for do in EVERYTHING.values()), return_exceptions=True)

    assert {name: type(error) for name, error in zip(EVERYTHING, raised, strict=True)} == dict.fromkeys(
        EVERYTHING, expected
    )


@pytest.mark.parametrize("dialect", sorted(CONNECTORS))
async def test_a_refused_login_did_nothing(dialect: str, sandbox: RunningSandbox) -> None:
    """Otherwise a secret that was changed on one side looks like policies of unknown state."""
    connector = connect(dialect, sandbox, secret="another secret")

    for do in EVERYTHING.values():
        with pytest.raises(port.InsurerUnavailable):
            await do(connector)


# ------------------------------------------------------------ callbacks


async def test_only_a_genuine_callback_is_heard(connector: port.InsurerConnector, sandbox: RunningSandbox) -> None:
    """Otherwise anyone could make us ask insurers as often as they like."""
    await sandbox.behave(INSURER, outcome="pending", pending_ms=50, callback="duplicated")
    request = asking()
    await connector.request_offer(request)
    if not isinstance(connector, JsonCallback):
        assert connector.verify_callback(b"{}", "anything") is None
        return

    heard = await sandbox.messages(2)

    assert [connector.verify_callback(one.body, one.signature) for one in heard] == [request.reference] * 2
    body, signature = heard[0].body, heard[0].signature
    for forged in (signature[:-1], "", "t=1,v1=00", f"t=99999999999,{signature.partition(',')[2]}", "ё" * 9):
        assert connector.verify_callback(body, forged) is None
    assert connector.verify_callback(body + b" ", signature) is None
    sandbox.clock.skip(minutes=10)
    assert connector.verify_callback(body, signature) is None, "a replay"
