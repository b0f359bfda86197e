"""The orders service on a real database, between a scripted insurer and a scripted payment provider."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import httpx
import msgspec
import sqlalchemy as sa

from insuretech.compose.edge import application
from insuretech.contracts.events import OfferReceived, ProductPublished
from insuretech.contracts.money import Money
from insuretech.contracts.policies import LabelledValue
from insuretech.contracts.products import CancellationRule, Consent, ProductDefinition, Term
from insuretech.contracts.text import Text
from insuretech.kit.clock import FixedClock
from insuretech.kit.db import Database
from insuretech.kit.events import Envelope, Event
from insuretech.kit.http import new_client
from insuretech.kit.ids import buyer_of, new_id
from insuretech.kit.keyring import Keyring
from insuretech.kit.live import LiveHub
from insuretech.kit.platform import Platform
from insuretech.kit.relay import deliver
from insuretech.kit.settings import Settings
from insuretech.orders.app import Orders, build
from insuretech.orders.domain.books import disagreements
from insuretech.orders.tables import messaging
from insuretech.orders.testing.outside import OneInsurer, ScriptedInsurer, ScriptedProvider

TOKEN = "the buyer's token"
OWNER = buyer_of(TOKEN)
NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
PREMIUM = Money(Decimal("8697.22"))
CUSTOMER: dict[str, Any] = {
    "last_name": "Ромашкина",
    "first_name": "Анна",
    "middle_name": "Петровна",
    "birth_date": "1990-05-17",
    "email": "anna@example.ru",
    "phone": "8 (912) 345-67-89",
    "document": {"kind": "passport", "number": "45 09 № 123456"},
}
CONSENTS = [{"code": "personal-data", "version": "2026-09"}, {"code": "terms", "version": "1"}]


def product(
    code: str = "osago", *, version: str = "1", consents_version: str = "2026-09", rule: CancellationRule | None = None
) -> ProductDefinition:
    """A product with two required consents and an optional one."""
    asked = (("personal-data", consents_version, True), ("terms", "1", True), ("news", "1", False))
    return ProductDefinition(
        code=code,
        version=version,
        kind="compulsory" if code == "osago" else "voluntary",
        title=Text("ОСАГО", "Motor liability"),
        question_set={},
        term=Term(starts_on="/use/starts_on", months="/use/months"),
        insurers=("north",),
        consents=tuple(
            Consent(code=name, version=in_force, required=required, title=Text("", ""), text=Text("", ""))
            for name, in_force, required in asked
        ),
        cancellation=rule
        or CancellationRule(
            kind="osago_early_termination",
            refundable_share="0.77",
            ground=Text("ст. 10 п. 4 40-ФЗ", "40-FZ art. 10 p. 4"),
            source="40-FZ",
        ),
    )


class KnownOffers:
    """Quotes, as far as orders ask them."""

    def __init__(self) -> None:
        self.offers: dict[UUID, OfferReceived] = {}

    async def offer(self, offer_id: UUID) -> OfferReceived | None:
        return self.offers.get(offer_id)

    async def insured(self, quote_id: UUID) -> tuple[LabelledValue, ...]:
        return (LabelledValue(label=Text("Квота", "Quote"), value=Text(str(quote_id), str(quote_id))),)


@dataclass
class World:
    """Everything around one buyer; ``orders`` may be built anew, as after a restart."""

    database: Database
    home: Path
    clock: FixedClock = field(default_factory=lambda: FixedClock(NOW))
    settings: Settings = field(default_factory=lambda: Settings(public_url="https://example.org"))

    def __post_init__(self) -> None:
        self.insurer = ScriptedInsurer(self.clock)
        self.provider = ScriptedProvider(self.clock)
        self.offers = KnownOffers()
        self.keyring = Keyring.generate()
        self.http = new_client()
        self.restart()

    def restart(self) -> None:
        """A new process on the same data."""
        platform = Platform(self.settings, self.clock, self.keyring, self.http, LiveHub(), lambda _: self.database)
        self.orders: Orders = build(
            platform, insurers=OneInsurer(self.insurer), offers=self.offers, payments=self.provider
        )
        self.app = application(self.orders.service.routes, self.settings)

    # ------------------------------------------------------------ what others publish

    async def hear(self, event: Event, event_id: UUID | None = None, at: datetime | None = None) -> bool:
        envelope = Envelope(
            id=event_id or new_id(),
            type=event.type_name(),
            topic=event.topic,
            key=event.key,
            occurred_at=at or self.clock.now(),
            trace_id="0" * 32,
            payload=msgspec.Raw(msgspec.json.encode(event)),
        )
        (reaction,) = (one for one in self.orders.service.reactions if type(event) in one.events)
        return await deliver(reaction, envelope, attempts=1, backoff=0)

    async def publish_product(self, definition: ProductDefinition) -> None:
        assert await self.hear(ProductPublished(code=definition.code, definition=definition))

    def offer(self, *, hours: float = 24, owner: str = OWNER, code: str = "osago") -> OfferReceived:
        return OfferReceived(
            quote_id=new_id(),
            offer_id=new_id(),
            owner=owner,
            product=code,
            product_version="1",
            insurer="north",
            offer_number="N-1",
            premium=PREMIUM,
            expires_at=self.clock.now() + timedelta(hours=hours),
            starts_on=self.insurer.starts_on,
            ends_on=self.insurer.ends_on,
        )

    async def offered(self, **how: Any) -> OfferReceived:
        """An offer that orders have heard of."""
        offer = self.offer(**how)
        assert await self.hear(offer)
        return offer

    # ------------------------------------------------------------ the buyer

    @asynccontextmanager
    async def client(self, token: str | None = TOKEN) -> AsyncIterator[httpx.AsyncClient]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        transport = httpx.ASGITransport(app=cast("Any", self.app), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="https://example.org", headers=headers) as client:
            yield client

    async def post(
        self, path: str, body: Any, *, key: str | None = "fresh", token: str | None = TOKEN
    ) -> httpx.Response:
        """POST with a fresh idempotency key unless told otherwise."""
        headers = {} if key is None else {"Idempotency-Key": str(new_id()) if key == "fresh" else key}
        async with self.client(token) as client:
            return await client.post(path, json=body, headers=headers)

    async def get(self, path: str, *, token: str | None = TOKEN) -> httpx.Response:
        async with self.client(token) as client:
            return await client.get(path)

    def body(self, offer: OfferReceived, **changes: Any) -> dict[str, Any]:
        return {"offer_id": str(offer.offer_id), "customer": CUSTOMER, "consents": CONSENTS, **changes}

    async def placed(self, **how: Any) -> str:
        """The id of a new order; nothing has been done for it yet."""
        answer = await self.post("/api/v1/orders", self.body(await self.offered(**how)))
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def priced(self, **how: Any) -> str:
        """The id of an order whose price the insurer has confirmed."""
        order_id = await self.placed(**how)
        await self.work()
        return order_id

    async def paying(self, method: str = "card", **how: Any) -> tuple[str, str]:
        """An order with an open payment: its id and the provider's id of the payment."""
        order_id = await self.priced(**how)
        answer = await self.pay(order_id, method)
        assert answer.status_code == 200, answer.text
        return order_id, answer.json()["confirmation_url"].rsplit("/", 1)[1]

    async def pay(self, order_id: str, method: str = "card", key: str = "fresh") -> httpx.Response:
        body = {"return_url": "https://example.org/back", "method": method}
        return await self.post(f"/api/v1/orders/{order_id}/payment", body, key=key)

    async def paid(self, method: str = "card", **how: Any) -> str:
        """An order whose buyer has paid; the process manager has not looked yet."""
        order_id, provider_id = await self.paying(method, **how)
        self.provider.pay(provider_id)
        await self.notify(provider_id)
        return order_id

    async def issued(self, method: str = "card", **how: Any) -> str:
        order_id = await self.paid(method, **how)
        await self.work()
        assert (await self.order(order_id))["status"] == "issued"
        return order_id

    async def notify(self, provider_id: str, event: str = "payment.waiting_for_capture") -> httpx.Response:
        body = {"payment_id": provider_id, "event": event}
        return await self.post("/api/v1/payments/notifications", body, token=None)

    async def order(self, order_id: str) -> dict[str, Any]:
        answer = await self.get(f"/api/v1/orders/{order_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    # ------------------------------------------------------------ the process manager, and time

    async def work(self) -> None:
        """Everything that is due now."""
        await self.orders.saga.drain()

    async def rest(self, hours: float = 72) -> None:
        """Let time pass, and work be done, until nothing is due any more."""
        end = self.clock.now() + timedelta(hours=hours)
        while self.clock.now() < end:
            await self.work()
            due = await self.scalar(
                "select min(greatest(next_action_at, lease_until)) from orders.orders where next_action_at is not null"
            )
            if due is None:
                return
            self.clock.at = max(self.clock.at, due)
        raise AssertionError("the orders do not come to rest")

    # ------------------------------------------------------------ the books

    async def scalar(self, statement: str, **values: Any) -> Any:
        async with self.database.reading() as connection:
            return (await connection.execute(sa.text(statement), values)).scalar()

    async def events(self, name: str) -> list[dict[str, Any]]:
        """The payloads published under an event's name, in order."""
        statement = sa.select(messaging.outbox.c.payload).where(messaging.outbox.c.type.endswith(f".{name}"))
        async with self.database.reading() as connection:
            rows = (await connection.execute(statement.order_by(messaging.outbox.c.position))).scalars()
            return [msgspec.json.decode(row) for row in rows]

    async def check_books(self) -> None:
        """Ours agree with themselves, with the insurer's and with the provider's, to the kopeck."""
        entries = await self.orders.books()
        assert disagreements(entries) == []
        for entry in entries:
            money = (entry.held.amount, entry.captured.amount, entry.refunded.amount)
            assert money == self.provider.money_of(entry.order_id), entry
            theirs = self.insurer.policies.get(entry.order_id)
            assert entry.policy_number == (theirs.policy_number if theirs else None), entry
