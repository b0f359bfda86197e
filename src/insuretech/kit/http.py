"""Outgoing HTTP: every call has a time limit, a bounded number in flight and a breaker of its own."""

import asyncio
from collections.abc import Mapping

import httpx

from insuretech.kit.breaker import Breaker, BreakerOpen
from insuretech.kit.tracing import current_trace_id
from insuretech.kit.transport import AiohttpTransport, AnswerTooLarge

MAX_ANSWER = 4 * 1024 * 1024


class NotSent(Exception):
    """The request surely did not reach the other side: sending again is safe."""


class NoAnswer(Exception):
    """The request may have been carried out: its outcome is unknown."""


class OutgoingClient(httpx.AsyncClient):
    """The process's client; proxies of the environment are ignored, redirects are not followed.

    ``wire`` is the short way for calls that need nothing of httpx but its errors and answers.
    """

    def __init__(self) -> None:
        self.wire = AiohttpTransport()
        super().__init__(transport=self.wire, timeout=httpx.Timeout(10, connect=3), trust_env=False)


def new_client() -> OutgoingClient:
    """A client of its own connections; to be closed."""
    return OutgoingClient()


class Outbound:
    """Calls to one outside party.

    ``time_limit`` is seconds for one whole call, ``concurrency`` the calls in flight; more wait, within the limit.
    ``largest`` is the most bytes an answer may have.
    Raises ``NotSent`` or ``NoAnswer``; any HTTP answer, also an error, is returned.
    """

    def __init__(
        self,
        client: OutgoingClient,
        base_url: str,
        *,
        time_limit: float,
        concurrency: int,
        breaker: Breaker,
        largest: int = MAX_ANSWER,
    ) -> None:
        self._wire = client.wire
        self._base_url = base_url.rstrip("/")
        self._time_limit = time_limit
        self._largest = largest
        self._slots = asyncio.Semaphore(concurrency)
        self.breaker = breaker

    async def call(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        time_limit: float | None = None,
    ) -> httpx.Response:
        """Send one request and read its whole answer."""
        try:
            probe = self.breaker.before()
        except BreakerOpen as error:
            raise NotSent("the breaker is open") from error
        try:
            response = await self._send(method, path, content, headers, time_limit or self._time_limit)
        except (NotSent, NoAnswer):
            self.breaker.failed()
            raise
        except BaseException:
            self.breaker.abandoned(probe)
            raise
        if response.status_code >= 500:
            self.breaker.failed()
        else:
            self.breaker.succeeded()
        return response

    async def _send(
        self, method: str, path: str, content: bytes | None, headers: Mapping[str, str] | None, time_limit: float
    ) -> httpx.Response:
        trace = {"traceparent": f"00-{current_trace_id()}-{'0' * 15}1-01"}
        sent = False
        try:
            async with asyncio.timeout(time_limit), self._slots:
                sent = True
                return await self._wire.exchange(
                    method,
                    f"{self._base_url}{path}",
                    headers={**trace, **(headers or {})},
                    content=content,
                    connect=min(3.0, time_limit),
                    largest=self._largest,
                )
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise NotSent(type(error).__name__) from error
        except TimeoutError as error:
            raise (NoAnswer if sent else NotSent)("time limit") from error
        except AnswerTooLarge as error:
            raise NoAnswer(str(error)) from error
        except httpx.HTTPError as error:
            raise NoAnswer(type(error).__name__) from error
