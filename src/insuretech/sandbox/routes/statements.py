"""The month as parties tell it themselves: an insurer under its key, the payment provider under the shop's login.

An insurer is asked at the same base address as in its dialect. The provider's real registers come by mail and SFTP;
these are the same files over HTTP.
"""

import hmac
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable
from datetime import datetime

from litestar import Response, Router, get
from litestar.params import FromPath

from insuretech.contracts.dates import plus_months
from insuretech.kit.clock import MOSCOW
from insuretech.sandbox.behaviours import Behaviours
from insuretech.sandbox.routes.reception import HANDLERS, AnyRequest, Refused, known_insurer
from insuretech.sandbox.statements import (
    Entry,
    insurer_statement,
    payments_register,
    refunds_register,
    slipped,
)

_MONTH = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])\Z")

InsurerBooks = Callable[[str, datetime, datetime], Awaitable[list[Entry]]]
ProviderBooks = Callable[[datetime, datetime], Awaitable[list[Entry]]]


def insurer_statements(behaviours: Behaviours, books: InsurerBooks, secret: str) -> Router:
    """Serves ``…/statements/{month}`` below every base address that an insurer has in some dialect."""

    @get(["/statements/{month:str}", "/v2/statements/{month:str}", "/partner/statements/{month:str}"])
    async def statement(request: AnyRequest, code: FromPath[str], month: FromPath[str]) -> Response[bytes]:
        known_insurer(behaviours, code)
        if not hmac.compare_digest(request.headers.get("x-api-key", "").encode(), secret.encode()):
            raise Refused(401, "the key is not right")
        entries = await books(code, *_within(month))
        return _file(insurer_statement(code, slipped(entries, behaviours[code])), f"{code}-{month}.csv")

    return Router(
        "/sandbox/insurers/{code:str}",
        route_handlers=[statement],
        exception_handlers=HANDLERS,
        include_in_schema=False,
    )


def provider_statements(
    behaviours: Behaviours, payments: ProviderBooks, refunds: ProviderBooks, *, shop_id: str, secret_key: str
) -> Router:
    """Serves ``/sandbox/yookassa/v3/registers/payments/{month}`` and ``…/refunds/{month}``."""
    login = ("Basic " + b64encode(f"{shop_id}:{secret_key}".encode()).decode()).encode()

    def check(request: AnyRequest) -> None:
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), login):
            raise Refused(401, "the login is not right")

    @get("/payments/{month:str}")
    async def payment_register(request: AnyRequest, month: FromPath[str]) -> Response[bytes]:
        check(request)
        entries = slipped(await payments(*_within(month)), behaviours.provider)
        return _file(payments_register(shop_id, month, entries), f"payments_{month}.csv")

    @get("/refunds/{month:str}")
    async def refund_register(request: AnyRequest, month: FromPath[str]) -> Response[bytes]:
        check(request)
        entries = slipped(await refunds(*_within(month)), behaviours.provider)
        return _file(refunds_register(shop_id, month, entries), f"refunds_{month}.csv")

    return Router(
        "/sandbox/yookassa/v3/registers",
        route_handlers=[payment_register, refund_register],
        exception_handlers=HANDLERS,
        include_in_schema=False,
    )


def _within(month: str) -> tuple[datetime, datetime]:
    """The beginning of a month in Moscow, and that of the next."""
    found = _MONTH.match(month)
    if found is None:
        raise Refused(404, "there is no such month")
    first = datetime(int(found[1]), int(found[2]), 1, tzinfo=MOSCOW)
    following = plus_months(first.date(), 1)
    return first, datetime(following.year, following.month, 1, tzinfo=MOSCOW)


def _file(content: bytes, name: str) -> Response[bytes]:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type="text/csv", headers=headers)
