"""The store in memory: one transaction at a time, all of it or nothing."""

import asyncio
import copy
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from insuretech.contracts.events import OfferReceived
from insuretech.contracts.payments import Notification
from insuretech.kit.events import Event
from insuretech.kit.idempotency import Scope, StoredAnswer, fingerprint
from insuretech.kit.problems import IdempotencyKeyReused, RequestInFlight
from insuretech.orders.domain.lifecycle import CLOSED, OrderStatus
from insuretech.orders.domain.purchase import Cancellation, Purchase, changed, taken_up
from insuretech.orders.domain.steps import ASKS_INSURER
from insuretech.orders.policyholders import SealedPolicyholder
from insuretech.orders.ports import Orderable, Placing, ProductTerms, Stale, Store


@dataclass
class _Claim:
    mark: bytes
    until: datetime
    answer: StoredAnswer | None = None


@dataclass
class _Lease:
    by: int
    until: datetime


@dataclass
class MemoryState:
    """Everything that is stored. ``alive`` are the workers that show a sign of life."""

    claims: dict[Scope, _Claim] = field(default_factory=dict)
    offers: dict[UUID, OfferReceived] = field(default_factory=dict)
    products: dict[tuple[str, str], tuple[datetime, ProductTerms]] = field(default_factory=dict)
    purchases: dict[UUID, Purchase] = field(default_factory=dict)
    people: dict[UUID, SealedPolicyholder] = field(default_factory=dict)
    leases: dict[UUID, _Lease] = field(default_factory=dict)
    cancellations: dict[UUID, Cancellation] = field(default_factory=dict)
    notifications: dict[tuple[str, str], datetime] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    alive: set[int] = field(default_factory=set)


class Memory:
    """Storage that lives as long as this object; ``transaction`` is what commands take."""

    def __init__(self) -> None:
        self.state = MemoryState()
        self._one_at_a_time = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Store]:
        async with self._one_at_a_time:
            working = copy.deepcopy(self.state)
            yield MemoryStore(working)
            self.state = working

    @asynccontextmanager
    async def presence(self, worker: int) -> AsyncIterator[None]:
        self.state.alive.add(worker)
        yield
        self.state.alive.discard(worker)


class MemoryStore:
    """The store within one transaction."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    # requests that may be repeated

    async def begin_request(
        self, scope: Scope, body: bytes, now: datetime, *, locked_for: timedelta
    ) -> StoredAnswer | None:
        found = self._state.claims.get(scope)
        if found is not None and (found.answer is not None or found.until >= now):
            return await self.answer(scope, body)
        if found is not None and found.mark != fingerprint(body):
            raise IdempotencyKeyReused
        self._state.claims[scope] = _Claim(fingerprint(body), now + locked_for)
        return None

    async def answer(self, scope: Scope, body: bytes) -> StoredAnswer | None:
        found = self._state.claims.get(scope)
        if found is None:
            return None
        if found.mark != fingerprint(body):
            raise IdempotencyKeyReused
        if found.answer is None:
            raise RequestInFlight
        return found.answer

    async def finish_request(self, scope: Scope, answer: StoredAnswer) -> None:
        self._state.claims[scope].answer = answer

    async def release_request(self, scope: Scope) -> None:
        found = self._state.claims.get(scope)
        if found is not None and found.answer is None:
            del self._state.claims[scope]

    # what can be ordered

    async def orderable(self, offer_id: UUID) -> Orderable | None:
        offer = self._state.offers.get(offer_id)
        if offer is None:
            return None
        versions = [kept for (code, _), kept in self._state.products.items() if code == offer.product]
        newest = max(versions, key=lambda kept: kept[0], default=None)
        return Orderable(offer=offer, terms=None if newest is None else newest[1])

    async def keep_offers(self, told: Sequence[OfferReceived]) -> None:
        for offer in told:
            self._state.offers.setdefault(offer.offer_id, offer)

    async def put_terms(self, terms: ProductTerms, published_at: datetime) -> None:
        key = (terms.code, terms.version)
        before = self._state.products.get(key)
        if before is None or before[0] <= published_at:
            self._state.products[key] = (published_at, terms)

    async def terms(self, code: str, version: str) -> ProductTerms | None:
        found = self._state.products.get((code, version))
        return None if found is None else found[1]

    # purchases

    async def place(self, placing: Placing, now: datetime) -> bool:
        order_id = placing.purchase.order.id
        if placing.scope in self._state.claims:
            return False
        if await self.live_order_of(placing.purchase.order.offer_id) is not None:
            return False
        self._state.purchases[order_id] = placing.purchase
        self._state.people[order_id] = placing.person
        self._state.events.append(placing.event)
        self._state.claims[placing.scope] = _Claim(fingerprint(placing.body), now, placing.answer)
        return True

    async def live_order_of(self, offer_id: UUID) -> UUID | None:
        live = (one.order for one in self._state.purchases.values() if one.order.status not in CLOSED)
        return next((order.id for order in live if order.offer_id == offer_id), None)

    async def purchase(self, order_id: UUID, owner: str) -> Purchase | None:
        found = self._state.purchases.get(order_id)
        return found if found is not None and found.order.owner == owner else None

    async def status(self, order_id: UUID, owner: str) -> OrderStatus | None:
        found = await self.purchase(order_id, owner)
        return None if found is None else found.order.status

    async def save(self, before: Purchase, after: Purchase) -> None:
        order_id = before.order.id
        kept = self._state.purchases[order_id]
        if kept.order.version != before.order.version:
            raise Stale
        order = changed(after.order, version=before.order.version + 1)
        policy = after.policy
        if policy is not None:
            policy = changed(policy, document_id=kept.policy.document_id if kept.policy else None)
        self._state.purchases[order_id] = changed(after, order=order, policy=policy)
        self._state.leases.pop(order_id, None)
        if after.cancellation is not None:
            self._state.cancellations[after.cancellation.id] = after.cancellation

    async def sealed(self, order_id: UUID) -> bytes:
        return self._state.people[order_id].sealed

    # cancellations

    async def add_cancellation(self, preview: Cancellation) -> None:
        self._state.cancellations[preview.id] = preview

    async def cancellation(self, cancellation_id: UUID, order_id: UUID) -> Cancellation | None:
        found = self._state.cancellations.get(cancellation_id)
        return found if found is not None and found.order_id == order_id else None

    # the process manager

    async def claim(
        self, worker: int, now: datetime, *, lease: timedelta, limit: int, busy_insurers: Collection[str]
    ) -> list[Purchase]:
        due = [one for one in self._state.purchases.values() if self._is_due(one, now, busy_insurers)]
        due.sort(key=lambda one: one.order.next_action_at or now)
        taken = []
        for purchase in due[:limit]:
            interrupted = purchase.order.id in self._state.leases
            mine = changed(purchase, order=taken_up(purchase.order, now, interrupted=interrupted))
            self._state.purchases[mine.order.id] = mine
            self._state.leases[mine.order.id] = _Lease(worker, now + lease)
            taken.append(mine)
        return sorted(taken, key=lambda one: one.order.id)

    def _is_due(self, purchase: Purchase, now: datetime, busy_insurers: Collection[str]) -> bool:
        order, lease = purchase.order, self._state.leases.get(purchase.order.id)
        waits = order.status in ASKS_INSURER and order.insurer in busy_insurers
        free = lease is None or lease.until <= now
        return order.next_action_at is not None and order.next_action_at <= now and free and not waits

    async def free_dead_leases(self, worker: int, now: datetime) -> int:
        dead = [one for one in self._state.leases.values() if one.until > now and one.by not in self._state.alive]
        dead = [one for one in dead if one.by != worker]
        for lease in dead:
            lease.until = now
        return len(dead)

    async def notified(self, notification: Notification, now: datetime) -> bool:
        paid = (one for one in self._state.purchases.values() if one.payment is not None)
        ours = (one for one in paid if one.payment and one.payment.provider_id == notification.payment_id)
        purchase, key = next(ours, None), (notification.payment_id, notification.event)
        noted = self._state.notifications.get(key)
        if purchase is None or (noted is not None and noted > now - timedelta(seconds=1)):
            return False
        self._state.notifications[key] = now
        order = purchase.order
        if order.next_action_at is None or order.status in ASKS_INSURER:
            return False
        order = changed(order, next_action_at=now, attempts=0, version=order.version + 1)
        self._state.purchases[order.id] = changed(purchase, order=order)
        self._state.leases.pop(order.id, None)
        return True

    # documents

    async def attach_document(self, policy_id: UUID, document_id: UUID) -> bool:
        for order_id, purchase in self._state.purchases.items():
            if purchase.policy is not None and purchase.policy.id == policy_id:
                policy = changed(purchase.policy, document_id=document_id)
                self._state.purchases[order_id] = changed(purchase, policy=policy)
                return True
        return False

    async def publish(self, events: Sequence[Event], now: datetime) -> None:
        del now
        self._state.events.extend(events)
