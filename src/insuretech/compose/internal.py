"""What services ask each other directly when they run apart: the answering side. The asking side is ``remote``.

The load balancer leads ``/internal/`` to services from inside only; besides, every request proves that it knows the
secret. Who does not is told what anybody asking for an address that does not exist is told.
"""

import hmac
from datetime import date
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import msgspec
import structlog
from litestar import Response, Router, get, post
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler

from insuretech.contracts.tariffs import CorridorSource
from insuretech.contracts.text import Language
from insuretech.kit.problems import BadRequest, NotFound
from insuretech.kit.settings import Settings, SettingsInvalid
from insuretech.kit.web import AnyRequest, stored_json

if TYPE_CHECKING:  # the process of one service loads no other
    from insuretech.documents.ports import PolicySource
    from insuretech.orders.ports import OfferSource

log = structlog.get_logger(__name__)

Q = TypeVar("Q")

PREFIX = "/internal/v1"
_SHORTEST = 16


class CorridorQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The arguments of a ``CorridorSource``."""

    concluded_on: date
    answers: dict[str, Any]
    language: Language


class PolicyQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose policy of which number; in a body, as addresses end up in logs."""

    number: str
    owner: str


def internal_secrets(settings: Settings) -> tuple[str, ...]:
    """The secrets taken; the first is the one to send. Raises ``SettingsInvalid``."""
    found = tuple(part.strip() for part in settings.internal_secret.split(","))
    if min(len(secret) for secret in found) < _SHORTEST:
        raise SettingsInvalid(f"INSURETECH_INTERNAL_SECRET is needed, of at least {_SHORTEST} characters.")
    return found


def corridor_answers(corridor: CorridorSource, settings: Settings) -> Router:
    """For quotes and the sandbox: the legal corridor of an OSAGO premium."""

    @post("/catalogue/corridor", status_code=200)
    async def ask_corridor(request: AnyRequest) -> Response[bytes]:
        asked = await _question(request, CorridorQuestion)
        return _told(await corridor(asked.concluded_on, asked.answers, asked.language))

    return _answering([ask_corridor], settings)


def offer_answers(offers: "OfferSource", settings: Settings) -> Router:
    """For orders: an offer whose event has not reached them, and what is insured."""

    @get("/quotes/offers/{offer_id:uuid}")
    async def ask_offer(offer_id: FromPath[UUID]) -> Response[bytes]:
        return _told(await offers.offer(offer_id))

    @get("/quotes/{quote_id:uuid}/insured")
    async def ask_insured(quote_id: FromPath[UUID]) -> Response[bytes]:
        return _told(await offers.insured(quote_id))

    return _answering([ask_offer, ask_insured], settings)


def policy_answers(policies: "PolicySource", settings: Settings) -> Router:
    """For documents: a policy as it is printed, and whether there is one."""

    @get("/orders/policies/{policy_id:uuid}/paper")
    async def ask_paper(policy_id: FromPath[UUID]) -> Response[bytes]:
        return _told(await policies.paper(policy_id))

    @post("/orders/policies/find", status_code=200)
    async def ask_policy_id(request: AnyRequest) -> Response[bytes]:
        asked = await _question(request, PolicyQuestion)
        return _told(await policies.policy_id(asked.number, asked.owner))

    return _answering([ask_paper, ask_policy_id], settings)


async def _question(request: AnyRequest, kind: type[Q]) -> Q:
    """The body, read only once the caller has proven itself."""
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except msgspec.MsgspecError as error:
        raise BadRequest(str(error)) from error


def _told(answer: object) -> Response[bytes]:
    """Any answer, also that there is nothing (``null``): 404 is left for addresses that lead nowhere."""
    return stored_json(msgspec.json.encode(answer), headers={"Cache-Control": "no-store"})


def _answering(handlers: list[ControllerRouterHandler], settings: Settings) -> Router:
    known = [f"Bearer {secret}".encode() for secret in internal_secrets(settings)]

    def insider(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        given = connection.headers.get("authorization", "").encode("utf-8", "replace")
        if sum(hmac.compare_digest(given, secret) for secret in known) == 0:  # not any(): all are compared
            log.warning("internal.refused", route=connection.scope.get("path_template"))
            raise NotFound

    return Router(PREFIX, route_handlers=handlers, guards=[insider], include_in_schema=False)
