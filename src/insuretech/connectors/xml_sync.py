"""The XML dialect: one address, one document per operation, the answer at once; Windows-1251, commas, Russian dates.

The insurer keys everything by our reference, so repeating a request is safe. Moments are Moscow time.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TypeVar
from uuid import UUID
from xml.etree.ElementTree import Element, SubElement, tostring

from insuretech.connectors.exchange import exchange, reading_answer
from insuretech.contracts import insurers as port
from insuretech.contracts.money import Money
from insuretech.kit.clock import MOSCOW, Clock
from insuretech.kit.http import Outbound
from insuretech.kit.xml import read_xml, xml_text

T = TypeVar("T")


@dataclass(frozen=True)
class XmlSync:
    """One insurer that speaks the XML dialect."""

    profile: port.InsurerProfile
    outbound: Outbound
    secret: str
    callback_url: str
    clock: Clock

    async def request_offer(self, request: port.OfferRequest) -> port.OfferAnswer:
        document = _request("Calculate", request.reference)
        _add(document, Product=request.product, Edition=request.product_version)
        _add_field(SubElement(document, "Risk"), "", request.answers)
        return await self._ask(document, _OFFER)

    async def offer_state(self, reference: UUID) -> port.OfferState:
        return await self._ask(_request("CalculationStatus", reference), _OFFER_STATE)

    async def confirm_price(self, reference: UUID, offer_number: str) -> port.PriceConfirmed | port.PriceRefused:
        document = _request("Reserve", reference)
        _add(document, OfferNumber=offer_number)
        return await self._ask(document, _RESERVATION)

    async def issue(self, request: port.IssueRequest) -> port.IssueAnswer:
        document = _request("Issue", request.reference)
        _add(document, OfferNumber=request.offer_number, Premium=_sum(request.premium))
        person = request.policyholder
        _add(
            SubElement(document, "Policyholder"),
            Surname=person.last_name,
            Name=person.first_name,
            Patronymic=person.middle_name or "",
            BirthDate=f"{person.birth_date:%d.%m.%Y}",
            Email=person.email,
            Phone=person.phone,
            DocumentType=person.document_kind,
            DocumentNumber=person.document_number,
        )
        return await self._ask(document, _POLICY)

    async def issue_state(self, reference: UUID) -> port.IssueState:
        return await self._ask(_request("IssueStatus", reference), _POLICY_STATE)

    async def end_policy(self, reference: UUID, policy_number: str, refund: Money) -> port.EndAnswer:
        document = _request("Terminate", reference)
        _add(document, PolicyNumber=policy_number, Refund=_sum(refund))
        return await self._ask(document, _TERMINATION)

    def verify_callback(self, body: bytes, signature: str) -> UUID | None:  # noqa: ARG002 - this dialect has none
        return None

    async def _ask(self, document: Element, readers: Mapping[str, Callable[[Element], T]]) -> T:
        login = b64encode(f"insuretech:{self.secret}".encode()).decode()
        headers = {"Authorization": f"Basic {login}", "Content-Type": "application/xml"}
        content = tostring(document, encoding="windows-1251", xml_declaration=True)
        response = await exchange(self.outbound, "POST", "/ws", content=content, headers=headers)
        with reading_answer():
            answer = read_xml(response.content)
            return readers[_text(answer, "Status")](answer)


# ------------------------------------------------------------ writing


def _request(operation: str, reference: UUID) -> Element:
    return Element("Request", {"operation": operation, "reference": str(reference)})


def _add(parent: Element, **texts: str) -> None:
    for name, text in texts.items():
        SubElement(parent, name).text = xml_text(text)


_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def _add_field(parent: Element, name: str, value: object) -> None:
    """Answers as nested ``Field`` elements that keep their types, since XML itself has only text."""
    field = SubElement(parent, "Field", {"name": name} if name else {})
    match value:
        case dict():
            field.set("type", "object")
            for key, child in value.items():
                _add_field(field, key, child)
        case list():
            field.set("type", "list")
            for child in value:
                _add_field(field, "", child)
        case bool() | int() | float() | None:
            field.set("type", "empty" if value is None else type(value).__name__)
            field.text = "" if value is None else str(value).lower()
        case str() if _ISO_DATE.fullmatch(value):
            field.set("type", "date")
            field.text = ".".join(reversed(value.split("-")))
        case _:
            field.set("type", "text")
            field.text = xml_text(str(value))


def _sum(money: Money) -> str:
    return str(money.amount).replace(".", ",")


# ------------------------------------------------------------ reading


def _text(answer: Element, name: str) -> str:
    found = answer.findtext(name)
    if found is None:
        raise LookupError(f"no {name} in the answer")
    return found


def _money(answer: Element, name: str) -> Money:
    return Money(Decimal(_text(answer, name).replace(",", ".")))


def _moment(answer: Element, name: str) -> datetime:
    return datetime.strptime(_text(answer, name), "%d.%m.%Y %H:%M:%S").replace(tzinfo=MOSCOW).astimezone(UTC)


def _day(answer: Element, name: str) -> date:
    return datetime.strptime(_text(answer, name), "%d.%m.%Y").replace(tzinfo=MOSCOW).date()


def _pending(answer: Element) -> port.Pending:
    return port.Pending(retry_after=float(_text(answer, "RetryAfter")))


_OFFER: Mapping[str, Callable[[Element], port.OfferAnswer]] = {
    "OFFER": lambda answer: port.Offered(
        offer_number=_text(answer, "OfferNumber"),
        premium=_money(answer, "Premium"),
        expires_at=_moment(answer, "ValidTill"),
    ),
    "DECLINED": lambda answer: port.Declined(reason=_text(answer, "Message")),
    "UNDERWRITING": lambda answer: port.Referred(reason=_text(answer, "Message")),
    "INVALID": lambda answer: port.Invalid(reason=_text(answer, "Message")),
    "PROCESSING": _pending,
}
_OFFER_STATE: Mapping[str, Callable[[Element], port.OfferState]] = {**_OFFER, "UNKNOWN": lambda _: port.NotKnown()}
_RESERVATION: Mapping[str, Callable[[Element], port.PriceConfirmed | port.PriceRefused]] = {
    "RESERVED": lambda answer: port.PriceConfirmed(
        premium=_money(answer, "Premium"), expires_at=_moment(answer, "ValidTill")
    ),
    "WITHDRAWN": lambda answer: port.PriceRefused(reason=_text(answer, "Message")),
}
_POLICY: Mapping[str, Callable[[Element], port.IssueAnswer]] = {
    "ISSUED": lambda answer: port.Issued(
        policy_number=_text(answer, "PolicyNumber"),
        premium=_money(answer, "Premium"),
        starts_on=_day(answer, "CoverFrom"),
        ends_on=_day(answer, "CoverTo"),
    ),
    "REFUSED": lambda answer: port.IssueRefused(reason=_text(answer, "Message")),
    "PROCESSING": _pending,
}
_POLICY_STATE: Mapping[str, Callable[[Element], port.IssueState]] = {**_POLICY, "UNKNOWN": lambda _: port.NotKnown()}
_TERMINATION: Mapping[str, Callable[[Element], port.EndAnswer]] = {
    "TERMINATED": lambda answer: port.PolicyEnded(refund=_money(answer, "Refund")),
    "IN_FORCE": lambda answer: port.EndRefused(reason=_text(answer, "Message")),
}
