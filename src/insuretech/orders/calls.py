"""The outside call behind each step of an order: what is asked of whom, safe to repeat with the same references."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import structlog

from insuretech.contracts.insurers import (
    InsurerDirectory,
    InsurerUnavailable,
    IssueRequest,
    NotKnown,
    OutcomeUnknown,
    Policyholder,
)
from insuretech.contracts.money import Money
from insuretech.contracts.payments import (
    NewPayment,
    ProviderOutcomeUnknown,
    ProviderPayment,
    ProviderRefused,
    ProviderUnavailable,
)
from insuretech.orders.domain.lifecycle import MoveNotAllowed
from insuretech.orders.domain.outcomes import Outcome, PaymentNotOpened, RefundFailed, Unanswered, Unreachable
from insuretech.orders.domain.purchase import Payment, Purchase
from insuretech.orders.domain.steps import Step
from insuretech.orders.ports import PaymentProvider

log = structlog.get_logger(__name__)


class OutsideCalls:
    """Performs steps; opens no transaction, keeps no state.

    ``policyholder`` reads and decrypts the person an order is for.
    """

    def __init__(
        self,
        insurers: InsurerDirectory,
        provider: PaymentProvider,
        policyholder: Callable[[UUID], Awaitable[Policyholder]],
    ) -> None:
        self._insurers = insurers
        self._provider = provider
        self._policyholder = policyholder
        self._by_step: dict[Step, Callable[[Purchase], Awaitable[Outcome]]] = {
            Step.CONFIRM_PRICE: self._confirm_price,
            Step.OPEN_PAYMENT: self._open,
            Step.LOOK_UP_PAYMENT: self._look_up,
            Step.ISSUE: self._issue,
            Step.CAPTURE: self._capture,
            Step.CLOSE_PAYMENT: self._close,
            Step.RELEASE: self._release,
            Step.REFUND: self._refund,
            Step.END_POLICY: self._end_policy,
            Step.REFUND_PART: self._refund_part,
        }

    async def perform(self, step: Step, purchase: Purchase) -> Outcome:
        """What came of the step; an outside party that fails is an outcome, not an exception."""
        if step is Step.CONCLUDE:
            return None
        try:
            return await self._by_step[step](purchase)
        except (InsurerUnavailable, ProviderUnavailable):
            return Unreachable()
        except (OutcomeUnknown, ProviderOutcomeUnknown):
            return Unanswered()
        except ProviderRefused as refusal:
            # Not even looking the payment up is allowed: credentials or a provider's fault, both for an operator.
            log.warning("payment_provider.refused", step=step.value, order_id=str(purchase.order.id), code=refusal.code)
            return Unanswered()

    # ------------------------------------------------------------ insurer

    async def _confirm_price(self, purchase: Purchase) -> Outcome:
        order = purchase.order
        return await self._insurers.connector(order.insurer).confirm_price(order.id, order.offer_number)

    async def _issue(self, purchase: Purchase) -> Outcome:
        """Ask first where the insurer may have our request; never send while no money stands behind the order."""
        order = purchase.order
        connector = self._insurers.connector(order.insurer)
        if order.ask_first:
            state = await connector.issue_state(order.id)
            if not isinstance(state, NotKnown):
                return state
        if not purchase.backed:
            return NotKnown()
        request = IssueRequest(
            reference=order.id,
            offer_number=order.offer_number,
            premium=order.premium,
            policyholder=await self._policyholder(order.id),
        )
        return await connector.issue(request)

    async def _end_policy(self, purchase: Purchase) -> Outcome:
        cancellation, policy = purchase.cancellation, purchase.policy
        if cancellation is None or policy is None:
            raise MoveNotAllowed("there is no policy to end")
        connector = self._insurers.connector(policy.insurer)
        return await connector.end_policy(cancellation.id, policy.number, cancellation.refund)

    # ------------------------------------------------------------ payment provider

    async def _open(self, purchase: Purchase) -> Outcome:
        """Find out what became of a payment that was being opened: the same key gives the same payment."""
        try:
            return await self._provider.create(opening_of(purchase))
        except ProviderRefused as refusal:
            return PaymentNotOpened(reason=refusal.code)

    async def _look_up(self, purchase: Purchase) -> Outcome:
        return await self._provider.get(_known(purchase)[1])

    async def _capture(self, purchase: Purchase) -> Outcome:
        payment, provider_id = _known(purchase)
        try:
            return await self._provider.capture(provider_id, payment.amount, key=f"{payment.id}:capture")
        except ProviderRefused:
            return await self._provider.get(provider_id)

    async def _release(self, purchase: Purchase) -> Outcome:
        payment, provider_id = _known(purchase)
        try:
            return await self._provider.cancel(provider_id, key=f"{payment.id}:cancel")
        except ProviderRefused:
            return await self._provider.get(provider_id)

    async def _close(self, purchase: Purchase) -> Outcome:
        """End a payment nobody waits for. A provider that cancels holds only refuses; the payment is watched then."""
        payment, provider_id = _known(purchase)
        seen = await self._provider.get(provider_id)
        if seen.status != "pending":
            return seen
        try:
            # A key of its own: this refusal must not answer for the hold that may follow.
            return await self._provider.cancel(provider_id, key=f"{payment.id}:close")
        except ProviderRefused:
            return seen

    async def _refund(self, purchase: Purchase) -> Outcome:
        payment, _ = _known(purchase)
        return await self._give_back(purchase, payment.captured, f"{payment.id}:refund:{payment.refund_try}")

    async def _refund_part(self, purchase: Purchase) -> Outcome:
        payment, _ = _known(purchase)
        cancellation = purchase.cancellation
        if cancellation is None:
            raise MoveNotAllowed("there is no cancellation to refund")
        return await self._give_back(purchase, cancellation.refund, f"{cancellation.id}:refund:{payment.refund_try}")

    async def _give_back(self, purchase: Purchase, total: Money, key: str) -> Outcome:
        """Refund what is missing until ``total`` has gone back; what went back before is looked up, not remembered."""
        _, provider_id = _known(purchase)
        seen = await self._provider.get(provider_id)
        if seen.refunded.amount >= total.amount:
            return seen
        try:
            refund = await self._provider.refund(provider_id, total - seen.refunded, key=key)
        except ProviderRefused as refusal:
            log.warning("refund.refused", order_id=str(purchase.order.id), code=refusal.code)
            return RefundFailed()
        if refund.status == "cancelled":
            log.warning("refund.cancelled", order_id=str(purchase.order.id))
            return RefundFailed()
        return seen if refund.status == "pending" else await self._after_refund(provider_id, seen)

    async def _after_refund(self, provider_id: str, seen: ProviderPayment) -> ProviderPayment:
        """The payment after a refund that stands; a failed look is no failed refund, the next step looks again."""
        try:
            return await self._provider.get(provider_id)
        except (ProviderUnavailable, ProviderOutcomeUnknown, ProviderRefused):
            return seen


def opening_of(purchase: Purchase) -> NewPayment:
    """The request that opens the current payment, the same whenever it is made."""
    payment = purchase.payment
    if payment is None:
        raise MoveNotAllowed("there is no payment to open")
    return NewPayment(
        payment_id=payment.id,
        order_id=payment.order_id,
        amount=payment.amount,
        method=payment.method,
        capture=payment.method == "sbp",
        return_url=payment.return_url,
        description=f"Заказ {payment.order_id}",
        key=f"{payment.id}:create",
    )


def _known(purchase: Purchase) -> tuple[Payment, str]:
    """The payment and the provider's id of it."""
    if purchase.payment is None or purchase.payment.provider_id is None:
        raise MoveNotAllowed("the provider does not know this payment")
    return purchase.payment, purchase.payment.provider_id
