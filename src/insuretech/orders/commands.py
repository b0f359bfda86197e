"""What buyers and the payment provider ask of orders. Each function is one request of one actor.

``actor`` is the owner string of whoever asks. Outside calls are made with no transaction open.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from insuretech.contracts.insurers import Policyholder
from insuretech.contracts.money import Money
from insuretech.contracts.payments import (
    PaymentMethod,
    ProviderOutcomeUnknown,
    ProviderPayment,
    ProviderRefused,
    ProviderUnavailable,
)
from insuretech.contracts.products import Consent
from insuretech.contracts.text import Language
from insuretech.kit.clock import Clock, legal_date
from insuretech.kit.idempotency import LOCKED_FOR, Scope, StoredAnswer
from insuretech.kit.ids import new_id
from insuretech.kit.live import LiveHub
from insuretech.kit.positions import note_shown
from insuretech.kit.problems import FieldError, Invalid, NotFound, Problem
from insuretech.orders.calls import opening_of
from insuretech.orders.domain import buying, problems
from insuretech.orders.domain.customer import Customer, policyholder
from insuretech.orders.domain.lifecycle import OrderStatus, PaymentStatus
from insuretech.orders.domain.outcomes import payment_not_opened, payment_seen
from insuretech.orders.domain.purchase import AcceptedConsent, Change, Payment, Purchase, changed
from insuretech.orders.domain.steps import scheduled
from insuretech.orders.policyholders import PolicyholderVault
from insuretech.orders.ports import OfferSource, PaymentProvider, Placing, Store, Transaction
from insuretech.orders.views import PaymentOpened, Views

CHANNEL = "orders.order"
PRICE_WAIT = 5.0
"""Seconds a request to pay waits for the insurer's price."""
PROVIDER_WAIT = 8.0
"""Seconds a request to pay waits for the provider."""
_PAYMENT_LOCK = timedelta(seconds=PROVIDER_WAIT + 2)


@dataclass(frozen=True)
class Desk:
    """What the commands work with.

    ``follow`` brings a changed order to where it is read from, ``wake`` tells the process manager that something may be
    due.
    """

    transaction: Transaction
    statements: Transaction
    offers: OfferSource
    provider: PaymentProvider
    vault: PolicyholderVault
    views: Views
    clock: Clock
    live: LiveHub
    follow: Callable[[UUID], Awaitable[None]]
    wake: Callable[[], None]

    async def changed(self, order_id: UUID) -> None:
        """Tell readers, listeners and the process manager that an order has changed."""
        self.wake()
        await self.follow(order_id)
        self.live.publish(channel_of(order_id), None, b"")


@dataclass(frozen=True)
class Request:
    """An idempotent request: who asks, under which key, with which body."""

    actor: str
    route: str
    key: str
    body: bytes

    @property
    def scope(self) -> Scope:
        return Scope(self.actor, self.route, self.key)


def channel_of(order_id: UUID) -> str:
    """The live channel on which changes of an order are told."""
    return f"{CHANNEL}:{order_id}"


# ---------------------------------------------------------------- place


async def place_order(
    desk: Desk,
    request: Request,
    *,
    offer_id: UUID,
    customer: Customer,
    consents: Sequence[AcceptedConsent],
    language: Language,
) -> StoredAnswer:
    """Take an offer: order, encrypted policyholder, event and idempotency key in one statement.

    A key that was used before gives its first answer, whatever stands against the request by now; that is looked for
    first, as whoever had to repeat a request has repeated it when there was much to do.
    """
    wish = _Wish(offer_id, customer, tuple(consents), language)
    try:
        try:
            answer = await _place(desk, request, wish)
        except _OfferNotHeardOf:
            await _hear_of_offer(desk, request.actor, offer_id)
            answer = await _place(desk, request, wish)
    except Problem:
        async with desk.statements() as store:
            if before := await _first_answer(store, request):
                return before
        raise
    desk.wake()
    return answer


async def _first_answer(store: Store, request: Request) -> StoredAnswer | None:
    """What this key was answered with when an order was placed under it."""
    before = await store.answer(request.scope, request.body)
    if before is not None:
        await own_purchase(store, msgspec.json.decode(before.body, type=_Placed).id, request.actor)
    return before


class _Placed(msgspec.Struct):
    """What of a stored answer says which order it was."""

    id: UUID


@dataclass(frozen=True)
class _Wish:
    offer_id: UUID
    customer: Customer
    consents: tuple[AcceptedConsent, ...]
    language: Language


class _OfferNotHeardOf(NotFound):
    """Our copy of the offers does not have this one (yet)."""


async def _place(desk: Desk, request: Request, wish: _Wish) -> StoredAnswer:
    """Three statements: whether this was asked before, what is wished for, and all of the order."""
    now, order_id = desk.clock.now(), new_id()
    async with desk.statements() as store:
        if before := await _first_answer(store, request):
            return before
        found = await store.orderable(wish.offer_id)
        if found is None:
            raise _OfferNotHeardOf
        if found.offer.owner != request.actor:
            raise NotFound
        if found.terms is None:
            raise problems.ProductNotKnownYet
        person = _checked(wish, found.terms.consents, now)
        change = buying.place(order_id, found.offer, wish.consents, now)
        (event,) = change.events
        placing = Placing(
            purchase=change.purchase,
            person=desk.vault.seal(order_id, person),
            event=event,
            scope=request.scope,
            body=request.body,
            answer=StoredAnswer(201, msgspec.json.encode(desk.views.order(change.purchase, now))),
        )
        if not await store.place(placing, now):
            raise problems.OfferTaken(await store.live_order_of(wish.offer_id))
    note_revision(placing.purchase)
    return placing.answer


def _checked(wish: _Wish, asked: Sequence[Consent], now: datetime) -> Policyholder:
    """The person; raises what is wrong with them and with the consents, at once where both are wrong."""
    try:
        person = policyholder(wish.customer, legal_date(now), wish.language)
    except problems.CustomerInvalid as person_refused:
        try:
            check_consents(asked, wish.consents)
        except problems.ConsentsNotGiven as consents_refused:
            raise Invalid(errors=[*person_refused.errors, *consents_refused.errors]) from None
        raise
    check_consents(asked, wish.consents)
    return person


async def _hear_of_offer(desk: Desk, actor: str, offer_id: UUID) -> None:
    """Ask quotes for an offer whose event has not arrived; raises ``NotFound``."""
    offer = await desk.offers.offer(offer_id)
    if offer is None or offer.owner != actor:
        raise NotFound
    async with desk.statements() as store:
        await store.keep_offers([offer])


def check_consents(asked: Sequence[Consent], given: Sequence[AcceptedConsent]) -> None:
    """Every required consent to the version in force, none unknown, none twice; raises ``ConsentsNotGiven``."""
    in_force = {consent.code: consent for consent in asked}
    errors, seen = [], set()
    for position, consent in enumerate(given):
        known, pointer = in_force.get(consent.code), f"/consents/{position}"
        if known is None:
            errors.append(_fault(f"{pointer}/code", "unknown", "This product asks for no such consent."))
        elif consent.code in seen:
            errors.append(_fault(pointer, "repeated", "This consent is given twice."))
        elif consent.version != known.version:
            detail = f"Version {known.version} of this text is in force; show it and ask again."
            errors.append(_fault(f"{pointer}/version", "version", detail, version=known.version))
        seen.add(consent.code)
    errors += [
        _fault("/consents", "missing", f"The consent “{code}” is required.", consent=code, version=consent.version)
        for code, consent in in_force.items()
        if consent.required and code not in seen
    ]
    if errors:
        raise problems.ConsentsNotGiven(errors=errors)


def _fault(pointer: str, code: str, detail: str, **params: str) -> FieldError:
    return FieldError(pointer=pointer, code=code, detail=detail, params=params)


# ---------------------------------------------------------------- price


async def agree_to_price(desk: Desk, request: Request, order_id: UUID, premium: Money) -> StoredAnswer:
    """The buyer accepts the price the insurer changed to."""
    now = desk.clock.now()
    async with desk.transaction() as store:
        before = await store.begin_request(request.scope, request.body, now, locked_for=LOCKED_FOR)
        purchase = await own_purchase(store, order_id, request.actor)
        if before is not None:
            return before
        after = await stored(store, purchase, buying.agree_to_price(purchase, premium, now), now)
        answer = StoredAnswer(200, msgspec.json.encode(desk.views.order(after, now)))
        await store.finish_request(request.scope, answer)
    await desk.changed(order_id)
    return answer


async def own_purchase(store: Store, order_id: UUID, actor: str) -> Purchase:
    """The actor's order, locked; raises ``NotFound``.

    The answer will name how it stands, also one that is given again and may be older: nobody shall be shown less.
    """
    purchase = await store.purchase(order_id, actor)
    if purchase is None:
        raise NotFound
    note_revision(purchase)
    return purchase


def note_revision(purchase: Purchase) -> None:
    """The answer to this request will name how this purchase stands."""
    note_shown(CHANNEL, purchase.order.id, purchase.revision)


async def stored(store: Store, before: Purchase, change: Change, now: datetime) -> Purchase:
    """Store a change with its next moment and its events; the purchase in its new version."""
    after = scheduled(change, now)
    await store.save(before, after)
    await store.publish(change.events, now)
    after = changed(after, order=changed(after.order, version=before.order.version + 1))
    note_revision(after)
    return after


# ---------------------------------------------------------------- pay


async def open_payment(
    desk: Desk, request: Request, order_id: UUID, *, return_url: str, method: PaymentMethod
) -> StoredAnswer:
    """Give the buyer a page to pay at: the one already open, or a new one.

    Waits up to ``PRICE_WAIT`` seconds for the insurer's price. A payment whose opening had no answer stays and is
    opened again under the same key, so that the buyer can never pay twice.
    """
    found = await _begin_when_priced(desk, request, order_id, return_url, method)
    if isinstance(found, StoredAnswer):
        return found
    purchase, fresh = found
    try:
        async with asyncio.timeout(PROVIDER_WAIT):
            seen = await desk.provider.create(opening_of(purchase))
    except ProviderUnavailable:
        await _not_opened(desk, request, purchase, "unavailable" if fresh else None)
        raise problems.PaymentProviderAway from None
    except (ProviderOutcomeUnknown, TimeoutError):
        await _not_opened(desk, request, purchase, None)
        raise problems.PaymentProviderAway from None
    except ProviderRefused as refusal:
        await _not_opened(desk, request, purchase, refusal.code)
        raise problems.PaymentNotOpened(f"The provider says: {refusal.code}.") from None
    return await _opened(desk, request, purchase, seen)


async def _begin_when_priced(
    desk: Desk, request: Request, order_id: UUID, return_url: str, method: PaymentMethod
) -> StoredAnswer | tuple[Purchase, bool]:
    loop = asyncio.get_running_loop()
    until = loop.time() + PRICE_WAIT
    with desk.live.subscribe(channel_of(order_id)) as news:
        while await _price_outstanding(desk, request, order_id) and (left := until - loop.time()) > 0:
            await news.next(min(left, 0.5))  # another process may be the one that hears the insurer
    return await _begin_payment(desk, request, order_id, return_url, method)


async def _price_outstanding(desk: Desk, request: Request, order_id: UUID) -> bool:
    """Looks without locking: the process manager must be able to take the order up meanwhile."""
    async with desk.statements() as store:
        status = await store.status(order_id, request.actor)
    return status in {OrderStatus.CREATED, OrderStatus.CONFIRMING_PRICE}


async def _begin_payment(
    desk: Desk, request: Request, order_id: UUID, return_url: str, method: PaymentMethod
) -> StoredAnswer | tuple[Purchase, bool]:
    """Claim the key and keep the payment before the provider hears of it; True when the payment is new."""
    now = desk.clock.now()
    async with desk.transaction() as store:
        before = await store.begin_request(request.scope, request.body, now, locked_for=_PAYMENT_LOCK)
        purchase = await own_purchase(store, order_id, request.actor)
        if before is not None:
            return before
        opening = buying.open_payment(purchase, new_id(), method, return_url, now)
        payment = opening.payable
        if payment is not None and payment.confirmation_url is not None:
            answer = _payment_answer(payment)
            await store.finish_request(request.scope, answer)
            return answer
        if opening is not purchase:
            opening = await stored(store, purchase, Change(purchase=opening), now)
        return opening, opening is not purchase


async def _opened(desk: Desk, request: Request, purchase: Purchase, seen: ProviderPayment) -> StoredAnswer:
    """Note the provider's payment, and answer unless the order ended meanwhile."""
    now, order_id, opened = desk.clock.now(), purchase.order.id, purchase.order.payment_id
    answer = None
    async with desk.transaction() as store:
        before = await own_purchase(store, order_id, request.actor)
        if before.order.payment_id == opened:
            after = await stored(store, before, payment_seen(before, seen, now), now)
            if after.payable is not None and after.order.status is OrderStatus.AWAITING_PAYMENT:
                answer = _payment_answer(after.payable)
        if answer is None:
            await store.release_request(request.scope)
        else:
            await store.finish_request(request.scope, answer)
    await desk.changed(order_id)
    if answer is None:
        raise problems.PaymentClosed
    return answer


async def _not_opened(desk: Desk, request: Request, purchase: Purchase, reason: str | None) -> None:
    """Free the key; end the payment when ``reason`` says that the provider surely has none."""
    now, order_id, opening = desk.clock.now(), purchase.order.id, purchase.order.payment_id
    async with desk.transaction() as store:
        before = await own_purchase(store, order_id, request.actor)
        if reason is not None and before.order.payment_id == opening:
            await stored(store, before, payment_not_opened(before, reason), now)
        await store.release_request(request.scope)
    await desk.changed(order_id)


def _payment_answer(payment: Payment) -> StoredAnswer:
    if payment.status is not PaymentStatus.PENDING or payment.confirmation_url is None:
        raise problems.PaymentClosed
    opened = PaymentOpened(payment_id=payment.id, confirmation_url=payment.confirmation_url)
    return StoredAnswer(200, msgspec.json.encode(opened))


# ---------------------------------------------------------------- the provider calls


async def hear_of_payment(desk: Desk, body: bytes) -> bool:
    """Make the order of a payment due that a notification speaks of; False when it speaks of none.

    Nothing it says is believed: the process manager looks the payment up at the provider.
    """
    notification = desk.provider.notification(body)
    if notification is None:
        return False
    if notification.event in _EVENTS and _could_be_an_id(notification.payment_id):
        async with desk.transaction() as store:
            due = await store.notified(notification, desk.clock.now())
        if due:
            desk.wake()
    return True


_EVENTS = frozenset({"payment.waiting_for_capture", "payment.succeeded", "payment.canceled", "refund.succeeded"})


def _could_be_an_id(text: str) -> bool:
    return len(text) <= 64 and text.isascii() and text.isprintable()
