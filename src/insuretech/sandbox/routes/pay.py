"""The payment page: where a shop sends its buyer to pay, decline, or walk away from."""

from typing import Any, Literal
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath

from insuretech.contracts.text import preferred_language
from insuretech.sandbox.commands.payments import NoSuchObject, Provider
from insuretech.sandbox.payments import Payment
from insuretech.sandbox.routes.html import page, see_other

AnyRequest = Request[Any, Any, Any]


@get("/{payment_id:uuid}")
async def show_payment(
    request: AnyRequest, payment_id: FromPath[UUID], provider: NamedDependency[Provider]
) -> Response[bytes]:
    """The page of a payment."""
    return _payment_page(request, await provider.shown_to_buyer(payment_id))


@post("/{payment_id:uuid}", status_code=303)
async def decide(
    request: AnyRequest, payment_id: FromPath[UUID], provider: NamedDependency[Provider]
) -> Response[bytes]:
    """What the buyer has pressed: form field ``action`` is ``pay`` or ``decline``."""
    action: Literal["pay", "decline"]
    try:
        action = msgspec.convert((await request.form()).get("action"), Literal["pay", "decline"])
    except msgspec.ValidationError:
        return _message(request, 400, "no_action")
    payment = await provider.buyer_decides(payment_id, action)
    return see_other(payment.return_url)


def _render_missing(request: AnyRequest, _: NoSuchObject) -> Response[bytes]:
    return _message(request, 404, "no_payment")


_HANDLERS: Any = {NoSuchObject: _render_missing}


def _payment_page(request: AnyRequest, payment: Payment) -> Response[bytes]:
    back, language = urlsplit(payment.return_url), _language(request)
    amount = f"{payment.amount.amount:,.2f}".replace(",", "\u00a0")
    return page(
        "pay.html",
        form_target=f"{back.scheme}://{back.netloc}",
        language=language,
        payment=payment,
        amount=amount.replace(".", ",") if language == "ru" else amount,
    )


def _message(request: AnyRequest, status: int, message: str) -> Response[bytes]:
    return page("message.html", status=status, language=_language(request), message=message)


def _language(request: AnyRequest) -> str:
    return preferred_language(request.headers.get("accept-language", ""))


def pay_routes(provider: Provider) -> Router:
    """Serves ``/sandbox/pay/{payment id}``."""
    return Router(
        "/sandbox/pay",
        route_handlers=[show_payment, decide],
        dependencies={"provider": Provide(lambda: provider, sync_to_thread=False)},
        exception_handlers=_HANDLERS,
        include_in_schema=False,
    )
