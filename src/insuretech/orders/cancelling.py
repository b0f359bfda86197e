"""The commands by which a buyer ends an order or a policy: first a preview of the money, then its confirmation."""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from insuretech.contracts.money import Money
from insuretech.contracts.text import Text
from insuretech.kit.clock import legal_date
from insuretech.kit.idempotency import LOCKED_FOR, StoredAnswer
from insuretech.kit.ids import new_id
from insuretech.kit.problems import NotFound
from insuretech.orders.commands import Desk, Request, own_purchase, stored
from insuretech.orders.domain import buying, problems
from insuretech.orders.domain.lifecycle import BEFORE_ISSUING, CancellationStatus, OrderStatus, PolicyStatus
from insuretech.orders.domain.purchase import Cancellation, Policy, Purchase, changed
from insuretech.orders.domain.refunds import refund_for
from insuretech.orders.ports import Store
from insuretech.orders.views import cancellation_view

PREVIEW_FOR = timedelta(minutes=15)
"""How long a preview may be confirmed on its terms."""

_CLOSING = Text(
    "Полис ещё не оформлен: заказ закрывается без расходов, а заблокированные или списанные деньги "
    "возвращаются полностью.",
    "No policy has been issued yet: the order is closed at no cost, and money held or taken goes back in full.",
)
_CLOSING_SOURCE = "Civil Code of the Russian Federation, art. 957: no contract in force before the premium is paid"


async def preview_cancellation(desk: Desk, actor: str, order_id: UUID, request: Request | None) -> StoredAnswer:
    """What ending now would give back; changes nothing but remembering the terms."""
    now = desk.clock.now()
    async with desk.transaction() as store:
        if request is not None:
            before = await store.begin_request(request.scope, request.body, now, locked_for=LOCKED_FOR)
            if before is not None:
                return before
        purchase = await own_purchase(store, order_id, actor)
        preview = await _terms_of_ending(store, purchase, now)
        await store.add_cancellation(preview)
        answer = _answer(preview)
        if request is not None:
            await store.finish_request(request.scope, answer)
    return answer


async def confirm_cancellation(desk: Desk, request: Request, order_id: UUID, preview_id: UUID) -> StoredAnswer:
    """End the order or the policy on the terms of a preview."""
    now = desk.clock.now()
    async with desk.transaction() as store:
        before = await store.begin_request(request.scope, request.body, now, locked_for=LOCKED_FOR)
        purchase = await own_purchase(store, order_id, request.actor)
        if before is not None:
            return before
        preview = await store.cancellation(preview_id, order_id)
        if preview is None:
            raise NotFound
        if preview.status is CancellationStatus.PREVIEWED:
            preview = await _carry_out(store, purchase, preview, now)
        answer = _answer(preview)
        await store.finish_request(request.scope, answer)
    await desk.changed(order_id)
    return answer


async def _carry_out(store: Store, purchase: Purchase, preview: Cancellation, now: datetime) -> Cancellation:
    if now >= preview.expires_at:
        raise problems.PreviewExpired
    if preview.policy_id is not None:
        change = buying.request_end(purchase, preview, now)
    elif purchase.order.status in BEFORE_ISSUING:
        closing = buying.close_unissued(purchase, now)
        change = changed(closing, purchase=_with(closing.purchase, changed(preview, status=CancellationStatus.DONE)))
    else:
        raise problems.CannotCancelNow(purchase.order.status)
    after = await stored(store, purchase, change, now)
    return after.cancellation or preview


def _with(purchase: Purchase, cancellation: Cancellation) -> Purchase:
    order = changed(purchase.order, cancellation_id=cancellation.id)
    return changed(purchase, order=order, cancellation=cancellation)


async def _terms_of_ending(store: Store, purchase: Purchase, now: datetime) -> Cancellation:
    order, policy = purchase.order, purchase.policy
    if order.status in BEFORE_ISSUING:
        return _closing(purchase, now)
    if order.status is not OrderStatus.ISSUED or policy is None or policy.status is not PolicyStatus.ISSUED:
        raise problems.CannotCancelNow(order.status)
    return await _ending(store, purchase, policy, now)


def _closing(purchase: Purchase, now: datetime) -> Cancellation:
    nothing = Money.zero(purchase.order.premium.currency)
    backed = purchase.payment if purchase.backed else None
    return Cancellation(
        id=new_id(),
        order_id=purchase.order.id,
        policy_id=None,
        status=CancellationStatus.PREVIEWED,
        refund=nothing if backed is None else backed.amount,
        retained=nothing,
        cancelled_on=legal_date(now),
        legal_ground=_CLOSING,
        source=_CLOSING_SOURCE,
        created_at=now,
        expires_at=now + PREVIEW_FOR,
    )


async def _ending(store: Store, purchase: Purchase, policy: Policy, now: datetime) -> Cancellation:
    """The rule is that of the version of the product that was sold; never more goes back than was taken."""
    order, payment = purchase.order, purchase.payment
    terms = await store.terms(order.product, order.product_version)
    if terms is None:
        raise problems.ProductNotKnownYet
    rule, today = terms.cancellation, legal_date(now)
    split = refund_for(
        rule,
        premium=order.premium,
        concluded_on=legal_date(policy.issued_at),
        starts_on=policy.starts_on,
        ends_on=policy.ends_on,
        cancelled_on=today,
    )
    kept = Money.zero(order.premium.currency) if payment is None else payment.kept
    refund = min(split.refund, kept)
    return Cancellation(
        id=new_id(),
        order_id=order.id,
        policy_id=policy.id,
        status=CancellationStatus.PREVIEWED,
        refund=refund,
        retained=kept - refund,
        cancelled_on=today,
        legal_ground=rule.ground,
        source=rule.source,
        unverified=rule.unverified,
        created_at=now,
        expires_at=now + PREVIEW_FOR,
    )


def _answer(cancellation: Cancellation) -> StoredAnswer:
    return StoredAnswer(200, msgspec.json.encode(cancellation_view(cancellation)))
