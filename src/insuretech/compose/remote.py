"""What services ask each other directly when they run apart: the asking side of ``internal``.

Every question only reads, so it is asked again where no answer came. A problem that the other side has with the
question arrives as the same exception it raises there; whatever else goes wrong is ``Unavailable`` here.
"""

import asyncio
from collections.abc import Awaitable, Collection
from datetime import date
from hashlib import sha256
from http import HTTPStatus
from typing import Any, TypeVar
from uuid import UUID

import httpx
import msgspec
import structlog

from insuretech.compose.internal import PREFIX, CorridorQuestion, PolicyQuestion, internal_secrets
from insuretech.contracts.events import OfferReceived
from insuretech.contracts.policies import LabelledValue, PolicyPaper
from insuretech.contracts.tariffs import Corridor, CorridorSource, TariffUnavailable
from insuretech.contracts.text import Language
from insuretech.kit.breaker import Breaker
from insuretech.kit.http import NoAnswer, NotSent, Outbound, OutgoingClient
from insuretech.kit.problems import Invalid, Problem, ProblemDocument, Unavailable, come_again
from insuretech.kit.settings import Settings, SettingsInvalid

log = structlog.get_logger(__name__)

T = TypeVar("T")

TIME_LIMIT = 3.0
"""Seconds for one attempt; a person waits for most of these answers."""
ATTEMPTS = 3
_PAUSE = 0.1
_CALLS_AT_ONCE = 64


class Peer:
    """Another service behind the load balancer."""

    def __init__(self, service: str, settings: Settings, client: OutgoingClient) -> None:
        if not settings.services_url:
            raise SettingsInvalid("INSURETECH_SERVICES_URL is needed: where the other services are reached.")
        self._service = service
        self._headers = {
            "Authorization": f"Bearer {internal_secrets(settings)[0]}",
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
        }
        # A short pause: behind the address are several replicas, and one that is down is soon left out.
        self._outbound = Outbound(
            client,
            settings.services_url,
            time_limit=TIME_LIMIT,
            concurrency=_CALLS_AT_ONCE,
            breaker=Breaker(failures=20, pause=1.0),
        )

    async def ask(
        self,
        method: str,
        path: str,
        kind: type[T] | Any,
        body: object = None,
        *,
        raises: Collection[type[Problem]] = (),
    ) -> T:
        """The answer as ``kind``; raises one of ``raises`` as the other side did, else ``Unavailable``."""
        content = None if body is None else msgspec.json.encode(body)
        response = await self._answered(method, f"{PREFIX}/{self._service}{path}", content)
        if response.is_success:
            answer: T = msgspec.json.decode(response.content, type=kind)
            return answer
        raise _problem_of(response, raises) or self._not_understood(response)

    async def _answered(self, method: str, path: str, content: bytes | None) -> httpx.Response:
        """The first answer that is not the other side's own trouble."""
        why = ""
        for attempt in range(ATTEMPTS):
            await asyncio.sleep(_PAUSE * attempt)
            try:
                response = await self._outbound.call(method, path, content=content, headers=self._headers)
            except (NotSent, NoAnswer) as error:
                why = str(error)
                continue
            if response.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
                return response
            why = f"HTTP {response.status_code}"
        log.warning("internal.unanswered", service=self._service, why=why)
        raise Unavailable(headers=come_again())

    def _not_understood(self, response: httpx.Response) -> Problem:
        """Two versions of us that do not fit, another secret, or a load balancer that leads elsewhere."""
        log.error("internal.refused_by", service=self._service, status=response.status_code)
        return Unavailable(headers=come_again())


def _problem_of(response: httpx.Response, known: Collection[type[Problem]]) -> Problem | None:
    """The problem as it was raised, when it is one of the ``known``."""
    try:
        document = msgspec.json.decode(response.content, type=ProblemDocument)
    except msgspec.MsgspecError:
        return None
    slug = document.type.rpartition("/")[2]
    for kind in known:
        if kind.slug == slug:
            return kind(document.detail, errors=document.errors or ())
    return None


def remote_corridor(settings: Settings, client: OutgoingClient) -> CorridorSource:
    """The catalogue's corridor for quotes and the sandbox."""
    catalogue = Peer("catalogue", settings, client)

    async def corridor(concluded_on: date, answers: dict[str, Any], language: Language) -> Corridor:
        question = CorridorQuestion(concluded_on, answers, language)
        found: Corridor = await catalogue.ask(
            "POST", "/corridor", Corridor, question, raises=(TariffUnavailable, Invalid)
        )
        return found

    return corridor


def asked_once(corridor: CorridorSource, *, kept: float = 10.0, most: int = 1000) -> CorridorSource:
    """The same question within ``kept`` seconds is asked once: all insurers of the sandbox price the same answers."""
    answers: dict[bytes, tuple[float, asyncio.Task[Corridor]]] = {}

    async def asked(concluded_on: date, asking: dict[str, Any], language: Language) -> Corridor:
        key = sha256(msgspec.json.encode((concluded_on, asking, language))).digest()
        now = asyncio.get_running_loop().time()
        found = answers.get(key)
        if found is None or found[0] < now or _failed(found[1]):
            while len(answers) >= most:
                answers.pop(next(iter(answers)))
            found = answers[key] = (now + kept, asyncio.ensure_future(_of(corridor(concluded_on, asking, language))))
        return await asyncio.shield(found[1])

    return asked


async def _of(answer: Awaitable[Corridor]) -> Corridor:
    return await answer


def _failed(task: asyncio.Task[Corridor]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


class RemoteOffers:
    """Quotes as orders ask them; implements ``orders.ports.OfferSource``."""

    def __init__(self, settings: Settings, client: OutgoingClient) -> None:
        self._quotes = Peer("quotes", settings, client)

    async def offer(self, offer_id: UUID) -> OfferReceived | None:
        found: OfferReceived | None = await self._quotes.ask("GET", f"/offers/{offer_id}", OfferReceived | None)
        return found

    async def insured(self, quote_id: UUID) -> tuple[LabelledValue, ...]:
        found: tuple[LabelledValue, ...] = await self._quotes.ask(
            "GET", f"/{quote_id}/insured", tuple[LabelledValue, ...]
        )
        return found


class RemotePolicies:
    """Orders as documents ask them; implements ``documents.ports.PolicySource``."""

    def __init__(self, settings: Settings, client: OutgoingClient) -> None:
        self._orders = Peer("orders", settings, client)

    async def paper(self, policy_id: UUID) -> PolicyPaper | None:
        found: PolicyPaper | None = await self._orders.ask("GET", f"/policies/{policy_id}/paper", PolicyPaper | None)
        return found

    async def policy_id(self, number: str, owner: str) -> UUID | None:
        found: UUID | None = await self._orders.ask(
            "POST", "/policies/find", UUID | None, PolicyQuestion(number, owner)
        )
        return found
