"""From an offer to a policy: the policyholder's form, the order's page, paying, and ending a policy early."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec
from litestar import Response

from insuretech.contracts.answers import tidied_text
from insuretech.contracts.money import Money
from insuretech.kit.ids import new_secret
from insuretech.storefront.desk import Desk
from insuretech.storefront.domain.fields import Field, Problemlet
from insuretech.storefront.domain.reading import iso_date
from insuretech.storefront.narration import Story, story_of
from insuretech.storefront.offers import card_of, product_or_none
from insuretech.storefront.ports import ConsentView, FieldFault, Offer, Order, Product, Quote, Refused
from insuretech.storefront.views import FormGuard
from insuretech.storefront.visits import Form, Visit
from insuretech.storefront.words import told


def _(message: str) -> str:
    """Marks a message for the catalogue of translations."""
    return message


_CUSTOMER: tuple[Field, ...] = (
    Field(name="/customer/last_name", label=_("Last name"), autocomplete="family-name", max_length=100),
    Field(name="/customer/first_name", label=_("First name"), autocomplete="given-name", max_length=100),
    Field(name="/customer/middle_name", label=_("Patronymic"), autocomplete="additional-name", max_length=100,
          optional=True),
    Field(name="/customer/birth_date", label=_("Date of birth"), widget="date", mask="date", autocomplete="bday",
          placeholder="15.03.1990"),
    Field(name="/customer/document/number", label=_("Passport: series and number"), widget="passport",
          mask="passport", placeholder="4512 345678"),
    Field(name="/customer/email", label=_("E-mail"), widget="email", autocomplete="email", max_length=254,
          hint=_("The policy is sent here.")),
    Field(name="/customer/phone", label=_("Phone"), widget="phone", mask="phone", autocomplete="tel",
          placeholder="+7 999 123-45-67", hint=_("For the insurer, if something about the contract is unclear.")),
)  # fmt: skip

_REQUIRED = _("Please fill this in.")
_READABLE = {"birth_date": r"\d{4}-\d\d-\d\d", "email": r"[^@\s]+@[^@\s]+\.[^@\s]+", "phone": r"7\d{10}"}
_BESIDE_FIELDS = {"invalid", "customer-invalid"}
"""Refusals that single fields explain."""
_SENTENCES: dict[str, str] = {
    "/customer/last_name": _("Please write the name as in the passport."),
    "/customer/first_name": _("Please write the name as in the passport."),
    "/customer/middle_name": _("Please write the name as in the passport."),
    "/customer/birth_date": _("Please give a date of birth such as 15.03.1990; the policyholder is of age."),
    "/customer/document/number": _("A passport has four digits of series and six of number, such as 4512 345678."),
    "/customer/email": _("Please check the address: it looks like name@example.ru."),
    "/customer/phone": _("Please give a Russian number with eleven digits, such as +7 999 123-45-67."),
}


@dataclass(frozen=True)
class Sent:
    """The policyholder's form as it was sent, with a sentence for every field that is wrong."""

    form: Form
    faults: Mapping[str, str]
    failure: tuple[str, str] | None = None
    """Headline and sentences about what is wrong with no single field."""


class ConsentLine(msgspec.Struct, frozen=True, kw_only=True):
    """A consent as drawn on the form."""

    consent: ConsentView
    checked: bool
    error: str


class OrderLine(msgspec.Struct, frozen=True, kw_only=True):
    """An order on the list of a visitor's policies."""

    order: Order
    title: Any
    story: Story


class Purchase:
    """Orders, as a buyer meets them."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    # -- the policyholder's form

    async def order_form(self, visit: Visit, offer_id: UUID, quote_id: UUID) -> Response[Any]:
        quote, product, offer = await self._chosen(visit, offer_id, quote_id)
        return await self._form(visit, quote, product, offer, Sent(Form(), {}))

    async def place(self, visit: Visit, offer_id: UUID, quote_id: UUID) -> Response[Any]:
        """Place the order; faults come back beside their fields, nothing typed is lost."""
        form = await visit.form()
        quote, product, offer = await self._chosen(visit, offer_id, quote_id)
        token = visit.token(quote_id)
        customer = _customer(form)
        body = {"offer_id": str(offer_id), "customer": customer, "consents": _consents(form)}
        faults = _missing_consents(visit, form, product)
        failure: tuple[str, str] | None = None
        if not faults:
            try:
                order = await self._desk.marketplace.place_order(body, token, form.key, visit.language)
            except Refused as refused:
                if refused.status not in {409, 422}:
                    raise
                faults = {fault.pointer: _sentence(visit, refused, fault) for fault in refused.faults}
                failure = None if refused.slug in _BESIDE_FIELDS else told(visit, refused.slug)
            else:
                visit.keep_token(order.id, token)
                return self._desk.views.away(visit, f"/orders/{order.id}")
        faults = _obvious(visit, customer) | faults
        return await self._form(visit, quote, product, offer, Sent(form, faults, failure))

    async def _chosen(self, visit: Visit, offer_id: UUID, quote_id: UUID) -> tuple[Quote, Product, Offer]:
        quote = await self._desk.marketplace.quote(quote_id, visit.token(quote_id), visit.language)
        product = await self._desk.marketplace.product(quote.product)
        for offer in quote.offers:
            if offer.id == offer_id:
                return quote, product, offer
        raise Refused(404, "not-found", "There is no such offer.")

    async def _form(self, visit: Visit, quote: Quote, product: Product, offer: Offer, sent: Sent) -> Response[Any]:
        fields = {item.name: _filled(visit, item, sent) for item in _CUSTOMER}
        chosen = sent.form.many("consent")
        consents = [
            ConsentLine(
                consent=consent,
                checked=f"{consent.code}:{consent.version}" in chosen,
                error=sent.faults.get(f"/consents/{consent.code}", ""),
            )
            for consent in product.consents
        ]
        errors = [Problemlet(id=item.id, label=item.label, text=item.error) for item in fields.values() if item.error]
        errors += [
            Problemlet(
                id=f"consent-{line.consent.code}",
                label=line.consent.title.in_language(visit.language),
                text=line.error,
            )
            for line in consents
            if line.error
        ]
        context = {
            "quote": quote,
            "offer": card_of(offer, self._desk.clock.now()),
            "title": product.title,
            "fields": fields,
            "consents": consents,
            "errors": errors,
            "failure": sent.failure,
            # A form that comes back is another request than the refused one, so it gets another key.
            "guard": FormGuard(visit.proof(), new_secret()),
        }
        refused = sent.failure is not None or bool(errors)
        return await self._desk.page(visit, "order_form.html", context, status=422 if refused else 200)

    # -- the order

    async def order(self, visit: Visit, order_id: UUID) -> Response[Any]:
        context = await self._order_context(visit, order_id)
        return await self._desk.page(visit, "order.html", context)

    async def state(self, visit: Visit, order_id: UUID, seen: str) -> Response[Any]:
        """The order's page anew, or 204 while nothing has changed (so that nothing is read out twice)."""
        context = await self._order_context(visit, order_id)
        if context["seen"] == seen:
            return Response(b"", status_code=204)
        return self._desk.fragment(visit, "_order_state.html", context)

    async def _order_context(self, visit: Visit, order_id: UUID) -> dict[str, Any]:
        token = visit.token(order_id)
        order = await self._desk.marketplace.order(order_id, token)
        product = await product_or_none(self._desk, order.product)
        story = story_of(order)
        before = order.previous_premium
        difference = order.premium.amount - before.amount if before else Decimal(0)
        return {
            "order": order,
            "story": story,
            "facts": _order_facts(visit, order, product),
            "dearer": difference > 0,
            "difference": Money(abs(difference), order.premium.currency),
            "personal_link": f"{self._desk.address(visit)}/found/{token}" if order.status != "cancelled" else "",
            "seen": sha256(msgspec.json.encode(order) + visit.language.encode()).hexdigest()[:16],
        }

    async def consent_to_price(self, visit: Visit, order_id: UUID) -> Response[Any]:
        form = await visit.form()
        try:
            premium = Money(Decimal(form.one("amount")), form.one("currency"))
        except (InvalidOperation, ValueError):
            return self._desk.views.away(visit, f"/orders/{order_id}")
        await self._or_look_again(
            self._desk.marketplace.consent_to_price(order_id, premium, visit.token(order_id), form.key)
        )
        return self._desk.views.away(visit, f"/orders/{order_id}")

    async def pay(self, visit: Visit, order_id: UUID) -> Response[Any]:
        """To the payment provider, or back to the order when it is no longer to be paid."""
        form = await visit.form()
        method = "sbp" if form.one("method") == "sbp" else "card"
        back = f"{self._desk.address(visit)}/orders/{order_id}"
        payment = await self._or_look_again(
            self._desk.marketplace.start_payment(order_id, back, method, visit.token(order_id), form.key)
        )
        return self._desk.views.away(visit, payment.confirmation_url if payment else f"/orders/{order_id}")

    async def document(self, visit: Visit, order_id: UUID) -> Response[Any]:
        """The policy's PDF."""
        token = visit.token(order_id)
        order = await self._desk.marketplace.order(order_id, token)
        if order.policy is None:
            raise Refused(404, "not-found", "There is no policy yet.")
        body = await self._desk.marketplace.policy_document(order.policy.number, token)
        name = re.sub(r"[^A-Za-z0-9-]+", "", order.policy.number) or "policy"
        headers = {
            "Content-Disposition": f'attachment; filename="policy-{name}.pdf"',
            "Cache-Control": "private, no-store",
            "X-Content-Type-Options": "nosniff",
        }
        return Response(body, media_type="application/pdf", headers=headers)

    # -- ending a policy

    async def cancellation(self, visit: Visit, order_id: UUID) -> Response[Any]:
        order = await self._desk.marketplace.order(order_id, visit.token(order_id))
        if order.policy is None:
            return self._desk.views.away(visit, f"/orders/{order_id}")
        return await self._desk.page(visit, "cancellation.html", {"order": order, "preview": None, "failure": None})

    async def cancel(self, visit: Visit, order_id: UUID) -> Response[Any]:
        """First the preview of the refund; with its id, the end of the policy."""
        form = await visit.form()
        token = visit.token(order_id)
        order = await self._desk.marketplace.order(order_id, token)
        context: dict[str, Any] = {"order": order, "preview": None, "failure": None}
        try:
            if form.one("preview"):
                preview_id = UUID(form.one("preview"))
                await self._desk.marketplace.confirm_cancellation(order_id, preview_id, token, form.key)
                return self._desk.views.away(visit, f"/orders/{order_id}")
            context["preview"] = await self._desk.marketplace.preview_cancellation(order_id, token, form.key)
        except ValueError:
            return self._desk.views.away(visit, f"/orders/{order_id}/cancellation")
        except Refused as refused:
            if refused.status not in {409, 422}:
                raise
            context["failure"] = told(visit, refused.slug)
        return await self._desk.page(visit, "cancellation.html", context)

    # -- what a visitor has

    async def all_orders(self, visit: Visit) -> Response[Any]:
        found = await asyncio.gather(*(self._orders_of(token) for token in visit.tokens()))
        orders = {order.id: order for some in found for order in some}
        lines = []
        for order in sorted(orders.values(), key=lambda order: order.id, reverse=True):
            product = await product_or_none(self._desk, order.product)
            title = product.title if product else order.product
            lines.append(OrderLine(order=order, title=title, story=story_of(order)))
        return await self._desk.page(visit, "orders.html", {"orders": lines})

    async def found(self, visit: Visit, token: str) -> Response[Any]:
        """The personal link: this browser may open the token's orders from now on, under addresses without it."""
        orders = await self._desk.marketplace.orders(token)
        for order in orders:
            visit.keep_token(order.id, token)
            visit.keep_token(order.quote_id, token)
        if not orders:
            raise Refused(404, "not-found", "Nothing belongs to this link.")
        newest = max(orders, key=lambda order: order.id)
        away = self._desk.views.away(visit, f"/orders/{newest.id}" if len(orders) == 1 else "/orders")
        away.headers["Referrer-Policy"] = "no-referrer"  # this address opens the orders, so nobody is told of it
        return away

    async def _orders_of(self, token: str) -> tuple[Order, ...]:
        try:
            return await self._desk.marketplace.orders(token)
        except Refused as refused:
            if refused.status in {401, 404}:
                return ()
            raise

    async def _or_look_again(self, call: Any) -> Any:
        """The call's answer, or None where the order has moved on meanwhile: its page then tells what is so."""
        try:
            return await call
        except Refused as refused:
            if refused.status in {409, 422}:
                return None
            raise


def _customer(form: Form) -> dict[str, Any]:
    """The form's texts as the API takes them; what is empty is left out, so that it is reported as missing."""
    customer: dict[str, Any] = {
        "last_name": form.one("/customer/last_name"),
        "first_name": form.one("/customer/first_name"),
        "middle_name": form.one("/customer/middle_name"),
        "birth_date": iso_date(form.one("/customer/birth_date")),
        "email": form.one("/customer/email"),
        "phone": tidied_text("phone", form.one("/customer/phone")),
    }
    document = {"kind": "passport", "number": re.sub(r"\s", "", form.one("/customer/document/number"))}
    return {name: value for name, value in customer.items() if value} | {"document": document}


def _consents(form: Form) -> list[dict[str, str]]:
    pairs = [value.partition(":") for value in form.many("consent")]
    return [{"code": code, "version": version} for code, colon, version in pairs if colon]


def _missing_consents(visit: Visit, form: Form, product: Product) -> dict[str, str]:
    given = form.many("consent")
    sentence = visit.wording.say("Without this consent the insurer cannot conclude the contract.")
    return {
        f"/consents/{consent.code}": sentence
        for consent in product.consents
        if consent.required and f"{consent.code}:{consent.version}" not in given
    }


def _obvious(visit: Visit, customer: Mapping[str, Any]) -> dict[str, str]:
    """What is plainly missing or unreadable, so that all faults show at once even when the order was not sent."""
    needed = ("last_name", "first_name", "birth_date", "email", "phone")
    missing = [f"/customer/{name}" for name in needed if name not in customer]
    unreadable = [
        f"/customer/{name}"
        for name, form in _READABLE.items()
        if name in customer and not re.fullmatch(form, customer[name])
    ]
    number = customer["document"]["number"]
    if not re.fullmatch(r"\d{10}", number):
        (unreadable if number else missing).append("/customer/document/number")
    say = visit.wording.say
    return {pointer: say(_REQUIRED) for pointer in missing} | {
        pointer: say(_SENTENCES[pointer]) for pointer in unreadable
    }


def _sentence(visit: Visit, refused: Refused, fault: FieldFault) -> str:
    """The API's own sentence where it looked at the meaning, ours where it only disliked the form of a value."""
    if refused.slug == "customer-invalid" or fault.pointer not in _SENTENCES:
        return fault.detail
    return visit.wording.say(_SENTENCES[fault.pointer])


def _filled(visit: Visit, item: Field, sent: Sent) -> Field:
    say = visit.wording.say
    return msgspec.structs.replace(
        item,
        label=say(item.label),
        hint=say(item.hint) if item.hint else "",
        value=sent.form.one(item.name),
        error=sent.faults.get(item.name, ""),
    )


def _order_facts(visit: Visit, order: Order, product: Product | None) -> list[tuple[str, Any]]:
    say = visit.wording.say
    facts: list[tuple[str, Any]] = [
        (say("What"), product.title if product else order.product),
        (say("Insurer"), order.insurer.name),
        (say("Price"), order.premium),
    ]
    if order.policy:
        facts.append((say("Policy"), order.policy.number))
        facts.append((say("From"), order.policy.starts_on))
        facts.append((say("Until"), order.policy.ends_on))
    return facts
