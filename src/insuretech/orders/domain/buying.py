"""What a buyer may do with an order, and what stands against it."""

from datetime import datetime
from uuid import UUID

from insuretech.contracts.events import OfferReceived, OrderPlaced
from insuretech.contracts.money import Money
from insuretech.contracts.payments import PaymentMethod
from insuretech.orders.domain import problems
from insuretech.orders.domain.lifecycle import (
    BEFORE_ISSUING,
    CancellationStatus,
    OrderStatus,
    PaymentStatus,
    PolicyStatus,
    Reason,
)
from insuretech.orders.domain.purchase import (
    AcceptedConsent,
    Cancellation,
    Change,
    Order,
    Payment,
    Purchase,
    changed,
    closed,
)


def place(order_id: UUID, offer: OfferReceived, consents: tuple[AcceptedConsent, ...], now: datetime) -> Change:
    """An order for an offer that has not expired."""
    if offer.expires_at <= now:
        raise problems.OfferExpired
    order = Order(
        id=order_id,
        owner=offer.owner,
        offer_id=offer.offer_id,
        quote_id=offer.quote_id,
        product=offer.product,
        product_version=offer.product_version,
        insurer=offer.insurer,
        offer_number=offer.offer_number,
        status=OrderStatus.CREATED,
        premium=offer.premium,
        starts_on=offer.starts_on,
        ends_on=offer.ends_on,
        offer_expires_at=offer.expires_at,
        consents=consents,
        created_at=now,
        stage_at=now,
        next_action_at=now,
    )
    placed = OrderPlaced(
        order_id=order_id,
        offer_id=offer.offer_id,
        quote_id=offer.quote_id,
        owner=offer.owner,
        product=offer.product,
        insurer=offer.insurer,
        premium=offer.premium,
    )
    return Change(purchase=Purchase(order=order), events=(placed,))


def agree_to_price(purchase: Purchase, premium: Money, now: datetime) -> Change:
    """The buyer accepts the insurer's new price."""
    order = purchase.order
    if order.status is not OrderStatus.PRICE_CHANGED:
        raise problems.PriceNotAsked
    if order.pay_until is not None and now >= order.pay_until:
        raise problems.OfferExpired
    if premium != order.premium:
        raise problems.PriceDiffers(order.premium)
    return Change(purchase=changed(purchase, order=order.moved(OrderStatus.AWAITING_PAYMENT, now)))


def open_payment(
    purchase: Purchase, payment_id: UUID, method: PaymentMethod, return_url: str, now: datetime
) -> Purchase:
    """The purchase with a payment to make: the one already open, or a new one under ``payment_id``.

    Never a second one beside money that has come in, also where the order has not been told of it yet.
    """
    order = purchase.order
    if order.status in {OrderStatus.CREATED, OrderStatus.CONFIRMING_PRICE}:
        raise problems.PriceNotConfirmed
    if order.status is OrderStatus.PRICE_CHANGED:
        raise problems.PriceConsentNeeded
    if order.status is not OrderStatus.AWAITING_PAYMENT or purchase.backed:
        raise problems.NothingToPay(order.status)
    if order.pay_until is not None and now >= order.pay_until:
        raise problems.OfferExpired
    if purchase.payable is not None:
        return purchase
    payment = Payment(
        id=payment_id,
        order_id=order.id,
        status=PaymentStatus.OPENING,
        method=method,
        amount=order.premium,
        return_url=return_url,
        created_at=now,
    )
    return changed(purchase, payment=payment, order=changed(order, payment_id=payment_id, attempts=0))


def close_unissued(purchase: Purchase, now: datetime) -> Change:
    """The buyer gives the order up before anything was issued; money on its way is given back afterwards."""
    if purchase.order.status not in BEFORE_ISSUING:
        raise problems.CannotCancelNow(purchase.order.status)
    return closed(purchase, "cancelled", Reason.BUYER, now)


def request_end(purchase: Purchase, preview: Cancellation, now: datetime) -> Change:
    """The buyer confirms the end of a policy on the terms of ``preview``."""
    policy = purchase.policy
    if purchase.order.status is not OrderStatus.ISSUED or policy is None or policy.status is not PolicyStatus.ISSUED:
        raise problems.CannotCancelNow(purchase.order.status)
    requested = changed(preview, status=CancellationStatus.REQUESTED)
    order = changed(purchase.order, cancellation_id=preview.id, reason=None, detail=None, attempts=0, stage_at=now)
    policy = policy.moved(PolicyStatus.CANCEL_REQUESTED)
    return Change(purchase=changed(purchase, order=order, policy=policy, cancellation=requested))
