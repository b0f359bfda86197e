"""The XML dialect as an insurer serves it: one address, one document per operation, Windows-1251, Russian dates.

A document type declaration is refused, so there are no entities to expand and nothing outside to fetch.
"""

import hmac
from base64 import b64encode
from collections.abc import Awaitable, Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID
from xml.etree.ElementTree import Element, SubElement, tostring

from litestar import Response, Router, post
from litestar.params import FromPath

from insuretech.contracts import insurers as port
from insuretech.contracts.money import Money
from insuretech.kit.clock import MOSCOW
from insuretech.kit.xml import XmlRefused, read_xml
from insuretech.sandbox.commands.insurers import Desk
from insuretech.sandbox.routes.reception import HANDLERS, SHORT_ANSWERS, AnyRequest, Refused, known_insurer

_DIALECT = "xml_sync"


def xml_routes(desk: Desk, secret: str) -> Router:
    """Serves every insurer of the sandbox at ``/sandbox/insurers/{code}/ws``."""
    login = "Basic " + b64encode(f"insuretech:{secret}".encode()).decode()

    @post("/ws", status_code=200)
    async def answer(request: AnyRequest, code: FromPath[str]) -> Response[bytes]:
        known_insurer(desk.behaviours, code)
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), login.encode()):
            raise Refused(401, "the login is not right")
        try:
            document = read_xml(await request.body())
            operation = _OPERATIONS[document.get("operation", "")]
            work = operation(desk, code, UUID(document.get("reference", "")), document)
        except (XmlRefused, ValueError, LookupError, ArithmeticError) as error:
            raise Refused(400, f"the document cannot be read: {error}") from error
        return _answer(await work)

    return Router(
        "/sandbox/insurers/{code:str}",
        route_handlers=[answer],
        exception_handlers=HANDLERS,
        include_in_schema=False,
        opt=SHORT_ANSWERS,
    )


# ------------------------------------------------------------ reading


def _calculate(desk: Desk, code: str, reference: UUID, document: Element) -> Awaitable[port.OfferAnswer]:
    offer = port.OfferRequest(
        reference=reference,
        product=_text(document, "Product"),
        product_version=_text(document, "Edition"),
        answers=_object(_child(_child(document, "Risk"), "Field")),
    )
    return desk.request_offer(code, _DIALECT, offer)


def _calculation_status(desk: Desk, code: str, reference: UUID, _: Element) -> Awaitable[port.OfferState]:
    return desk.offer_state(code, _DIALECT, reference)


def _reserve(
    desk: Desk, code: str, reference: UUID, document: Element
) -> Awaitable[port.PriceConfirmed | port.PriceRefused]:
    return desk.confirm_price(code, _DIALECT, reference, _text(document, "OfferNumber"))


def _issue(desk: Desk, code: str, reference: UUID, document: Element) -> Awaitable[port.IssueAnswer]:
    person = _child(document, "Policyholder")
    order = port.IssueRequest(
        reference=reference,
        offer_number=_text(document, "OfferNumber"),
        premium=_money(document, "Premium"),
        policyholder=port.Policyholder(
            last_name=_text(person, "Surname"),
            first_name=_text(person, "Name"),
            middle_name=_text(person, "Patronymic") or None,
            birth_date=_day(_text(person, "BirthDate")),
            email=_text(person, "Email"),
            phone=_text(person, "Phone"),
            document_kind=_text(person, "DocumentType"),
            document_number=_text(person, "DocumentNumber"),
        ),
    )
    return desk.issue(code, _DIALECT, order)


def _issue_status(desk: Desk, code: str, reference: UUID, _: Element) -> Awaitable[port.IssueState]:
    return desk.issue_state(code, _DIALECT, reference)


def _terminate(desk: Desk, code: str, reference: UUID, document: Element) -> Awaitable[port.EndAnswer]:
    number, refund = _text(document, "PolicyNumber"), _money(document, "Refund")
    return desk.end_policy(code, _DIALECT, reference, number, refund)


_OPERATIONS: dict[str, Callable[[Desk, str, UUID, Element], Awaitable[Any]]] = {
    "Calculate": _calculate,
    "CalculationStatus": _calculation_status,
    "Reserve": _reserve,
    "Issue": _issue,
    "IssueStatus": _issue_status,
    "Terminate": _terminate,
}


def _child(parent: Element, name: str) -> Element:
    found = parent.find(name)
    if found is None:
        raise LookupError(f"no {name}")
    return found


def _text(parent: Element, name: str) -> str:
    return _child(parent, name).text or ""


def _money(parent: Element, name: str) -> Money:
    return Money(Decimal(_text(parent, name).replace(",", ".")))


def _day(text: str) -> date:
    return datetime.strptime(text, "%d.%m.%Y").replace(tzinfo=MOSCOW).date()


def _object(field: Element) -> dict[str, object]:
    return {child.get("name", ""): _value(child) for child in field}


def _value(field: Element) -> object:
    """An answer from its ``Field`` element; how deep it goes ``read_xml`` has bounded."""
    text = field.text or ""
    match field.get("type"):
        case "object":
            return _object(field)
        case "list":
            return [_value(child) for child in field]
        case "bool":
            return text == "true"
        case "int":
            return int(text)
        case "float":
            return float(text)
        case "date":
            return _day(text).isoformat()
        case "empty":
            return None
        case _:
            return text


# ------------------------------------------------------------ writing

_MESSAGES: dict[type, str] = {
    port.Declined: "DECLINED",
    port.Referred: "UNDERWRITING",
    port.Invalid: "INVALID",
    port.PriceRefused: "WITHDRAWN",
    port.IssueRefused: "REFUSED",
    port.EndRefused: "IN_FORCE",
}


def _answer(
    answer: port.OfferState | port.IssueState | port.PriceConfirmed | port.PriceRefused | port.EndAnswer,
) -> Response[bytes]:
    """The answer in this dialect; its status is inside the document, HTTP always says 200."""
    match answer:
        case port.Offered():
            texts = {
                "Status": "OFFER",
                "OfferNumber": answer.offer_number,
                "Premium": _sum(answer.premium),
                "ValidTill": _moment(answer.expires_at),
            }
        case port.PriceConfirmed():
            texts = {
                "Status": "RESERVED",
                "Premium": _sum(answer.premium),
                "ValidTill": _moment(answer.expires_at),
            }
        case port.Issued():
            texts = {
                "Status": "ISSUED",
                "PolicyNumber": answer.policy_number,
                "Premium": _sum(answer.premium),
                "CoverFrom": f"{answer.starts_on:%d.%m.%Y}",
                "CoverTo": f"{answer.ends_on:%d.%m.%Y}",
            }
        case port.PolicyEnded():
            texts = {"Status": "TERMINATED", "Refund": _sum(answer.refund)}
        case port.Pending():
            texts = {"Status": "PROCESSING", "RetryAfter": str(answer.retry_after)}
        case port.NotKnown():
            texts = {"Status": "UNKNOWN"}
        case _:
            texts = {"Status": _MESSAGES[type(answer)], "Message": answer.reason}
    document = Element("Response")
    for name, text in texts.items():
        SubElement(document, name).text = text
    body = tostring(document, encoding="windows-1251", xml_declaration=True)
    return Response(body, media_type="application/xml; charset=windows-1251")


def _sum(money: Money) -> str:
    return str(money.amount).replace(".", ",")


def _moment(at: datetime) -> str:
    return f"{at.astimezone(MOSCOW):%d.%m.%Y %H:%M:%S}"
