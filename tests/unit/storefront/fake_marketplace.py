"""An in-memory marketplace with the port of the real one: made-up insurers, orders moved by the test."""
# ruff: noqa: ARG002 - the port's arguments, not all of which a fake needs

from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import yaml

import insuretech.catalogue
from insuretech.contracts.money import Money
from insuretech.contracts.text import Language, Text
from insuretech.kit.ids import new_id, new_secret
from insuretech.storefront.ports import (
    CancellationPreview,
    ConsentView,
    Corridor,
    Explanation,
    Factor,
    FieldFault,
    InsurerLine,
    InsurerName,
    NewQuote,
    Offer,
    Order,
    PaymentStart,
    PaymentView,
    PolicyView,
    Product,
    ProductSummary,
    Quote,
    Refused,
    Verification,
)

CATALOGUE = Path(insuretech.catalogue.__file__).parent / "data"
LATER = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
INSURERS = {
    "aster": InsurerName(code="aster", name=Text("Астра (песочница)", "Aster (sandbox)"), claims_days=9),
    "boreas": InsurerName(code="boreas", name=Text("Борей (песочница)", "Boreas (sandbox)"), claims_days=4),
    "cedar": InsurerName(code="cedar", name=Text("Кедр (песочница)", "Cedar (sandbox)"), claims_days=12),
    "dune": InsurerName(code="dune", name=Text("Дюна (песочница)", "Dune (sandbox)"), claims_days=7),
    "ember": InsurerName(code="ember", name=Text("Искра (песочница)", "Ember (sandbox)"), claims_days=6),
}
_NOT_FOUND = Refused(404, "not-found", "There is no such thing here, or it is not yours")


def roubles(amount: str) -> Money:
    """A sum as tests write it."""
    return Money(Decimal(amount))


@cache
def product_from_file(code: str) -> Product:
    """The catalogue's own product file, as its API would show it."""
    raw = yaml.safe_load((CATALOGUE / "products" / f"{code}.yaml").read_text(encoding="utf-8"))
    raw["insurers"] = list(INSURERS.values())
    raw["consents"] = [_consent(item) for item in raw["consents"]]
    return msgspec.convert(msgspec.to_builtins(raw), Product)


def _consent(item: dict[str, Any]) -> ConsentView:
    text = yaml.safe_load((CATALOGUE / "consents" / f"{item['code']}.yaml").read_text(encoding="utf-8"))
    return ConsentView(
        code=item["code"],
        version=str(text["version"]),
        required=item["required"],
        title=Text(**text["title"]),
        text=Text(**text["text"]),
    )


class FakeMarketplace:
    """Keeps quotes and orders by token; ``calls`` counts what would have moved something."""

    def __init__(self, codes: tuple[str, ...] = ("osago",)) -> None:
        self._products = {code: product_from_file(code) for code in codes}
        self.quotes: dict[UUID, Quote] = {}
        self.order_states: dict[UUID, Order] = {}
        self.owners: dict[UUID, str] = {}
        self.calls: list[tuple[str, str]] = []
        self.answers: dict[str, Any] = {}
        self.customer_faults: tuple[FieldFault, ...] = ()

    async def products(self) -> tuple[ProductSummary, ...]:
        return tuple(self._products.values())

    async def product(self, code: str) -> Product:
        if code not in self._products:
            raise _NOT_FOUND
        return self._products[code]

    async def consent(self, code: str, version: str) -> ConsentView:
        for product in self._products.values():
            for consent in product.consents:
                if (consent.code, consent.version) == (code, version):
                    return consent
        raise _NOT_FOUND

    async def places(self) -> dict[str, tuple[str, ...]]:
        return {"Москва": ("Москва",), "Московская область": ("Московская область",), "Брянская область": ("Брянск",)}

    async def corridor(self, answers: dict[str, Any], concluded_on: date, language: Language) -> Corridor:
        power = answers.get("vehicle", {}).get("power_hp")
        if not power:
            raise Refused(422, "invalid", "", (FieldFault(pointer="/vehicle/power_hp", code="required"),))
        source = "Указание Банка России 6007-У"
        return Corridor(
            edition="7204-У",
            min=roubles("5231.04"),
            max=roubles("12044.88"),
            factors=(
                Factor(code="TB", min="1646", max="7535", why="Базовая ставка: легковой автомобиль", source=source),
                Factor(code="KT", value="1.8", why="Собственник зарегистрирован в Москве", source=source),
                Factor(code="KM", value="1.1", why=f"Мощность {power} л. с.", source=source, status="single source"),
            ),
        )

    async def submit_quote(self, product: str, answers: dict[str, Any], key: str, language: Language) -> NewQuote:
        self.calls.append(("quote", key))
        self.answers = answers
        quote_id, token = new_id(), new_secret()
        self.owners[quote_id] = token
        self.quotes[quote_id] = self.collecting(quote_id, product)
        return NewQuote(id=quote_id, access_token=token, status="collecting", expires_at=LATER)

    def collecting(self, quote_id: UUID, product: str) -> Quote:
        lines = tuple(InsurerLine(code=item.code, name=item.name.ru, outcome="pending") for item in INSURERS.values())
        return Quote(id=quote_id, product=product, status="collecting", insurers=lines)

    def answer(self, quote_id: UUID, code: str, outcome: str, amount: str = "", reason: str | None = None) -> None:
        """Let one insurer answer."""
        quote = self.quotes[quote_id]
        lines = tuple(
            msgspec.structs.replace(line, outcome=outcome, reason=reason) if line.code == code else line
            for line in quote.insurers
        )
        offers = quote.offers
        if outcome == "offered":
            who = INSURERS[code]
            offer = Offer(
                id=new_id(),
                insurer=code,
                insurer_name=who.name.ru,
                claims_days=who.claims_days,
                commission=Decimal("0.1"),
                premium=roubles(amount),
                expires_at=LATER,
            )
            offers += (offer,)
        done = all(line.outcome != "pending" for line in lines)
        self.quotes[quote_id] = msgspec.structs.replace(
            quote, insurers=lines, offers=offers, status="completed" if done else "collecting"
        )

    async def quote(self, quote_id: UUID, token: str, language: Language) -> Quote:
        self._mine(quote_id, token)
        return self.quotes[quote_id]

    async def place_order(self, body: dict[str, Any], token: str, key: str, language: Language) -> Order:
        if self.customer_faults:
            raise Refused(422, "invalid", "Some fields are not right", self.customer_faults)
        self.calls.append(("order", key))
        for quote in self.quotes.values():
            for offer in quote.offers:
                if str(offer.id) == body["offer_id"]:
                    order_id = new_id()
                    self.owners[order_id] = token
                    self.order_states[order_id] = Order(
                        id=order_id,
                        status="awaiting_payment",
                        premium=offer.premium,
                        product=quote.product,
                        insurer=INSURERS[offer.insurer],
                        quote_id=quote.id,
                        offer_id=offer.id,
                        pay_until=LATER,
                        explanation=Explanation(
                            code="awaiting_payment",
                            what=Text("Предложение закреплено за вами.", "The offer is yours."),
                            money=Text("Деньги не списаны.", "No money has been taken."),
                        ),
                    )
                    return self.order_states[order_id]
        raise _NOT_FOUND

    def move(self, order_id: UUID, **changes: Any) -> None:
        """Let an order stand elsewhere."""
        self.order_states[order_id] = msgspec.structs.replace(self.order_states[order_id], **changes)

    def issue(self, order_id: UUID) -> None:
        policy = PolicyView(
            number="ХХХ 0123456789",
            status="issued",
            starts_on=date(2026, 11, 27),
            ends_on=date(2027, 11, 26),
            document_url="/api/v1/policies/1/document",
            verification_code="abcdef",
        )
        told = Explanation(
            code="issued", what=Text("Полис оформлен.", "Issued."), money=Text("Оплата списана.", "Paid.")
        )
        self.move(order_id, status="issued", policy=policy, payment=PaymentView(status="captured"), explanation=told)

    async def order(self, order_id: UUID, token: str) -> Order:
        self._mine(order_id, token)
        return self.order_states[order_id]

    async def orders(self, token: str) -> tuple[Order, ...]:
        return tuple(order for order in self.order_states.values() if self.owners[order.id] == token)

    async def consent_to_price(self, order_id: UUID, premium: Money, token: str, key: str) -> Order:
        self._mine(order_id, token)
        self.calls.append(("price-consent", key))
        self.move(order_id, status="awaiting_payment", premium=premium)
        return self.order_states[order_id]

    async def start_payment(self, order_id: UUID, return_url: str, method: str, token: str, key: str) -> PaymentStart:
        self._mine(order_id, token)
        self.calls.append(("payment", key))
        return PaymentStart(payment_id="p1", confirmation_url=f"{return_url}?paid")

    async def preview_cancellation(self, order_id: UUID, token: str, key: str) -> CancellationPreview:
        self._mine(order_id, token)
        ground = Text("Статья 10 п. 4 закона 40-ФЗ: возвращается 77 % за неиспользованные дни.", "Law 40-FZ, art. 10.4")
        return CancellationPreview(
            id=new_id(), refund=roubles("5200.00"), retained=roubles("1500.00"), legal_ground=ground, expires_at=LATER
        )

    async def confirm_cancellation(self, order_id: UUID, preview_id: UUID, token: str, key: str) -> None:
        self._mine(order_id, token)
        self.calls.append(("cancellation", key))
        policy = self.order_states[order_id].policy
        assert policy is not None
        self.move(order_id, policy=msgspec.structs.replace(policy, status="cancelled"))

    async def policy_document(self, number: str, token: str) -> bytes:
        return b"%PDF-1.7 " + number.encode()

    async def verification(self, code: str) -> Verification:
        if code != "abcdef":
            raise _NOT_FOUND
        return Verification(
            number="ХХХ 0123456789",
            insurer=INSURERS["aster"].name,
            product=Text("ОСАГО", "OSAGO"),
            starts_on=date(2026, 11, 20),
            ends_on=date(2027, 11, 19),
            status="on_risk",
        )

    async def description(self) -> dict[str, Any]:
        return {"paths": {"/api/v1/products": {"get": {"summary": "What is sold", "responses": {}}}}}

    def _mine(self, thing: UUID, token: str) -> None:
        if not token or self.owners.get(thing) != token:
            raise _NOT_FOUND
