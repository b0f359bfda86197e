"""Outgoing HTTP: every call has a time limit, a bounded number in flight and a breaker of its own."""

import asyncio
from collections.abc import Mapping

import httpx

from insuretech.kit.breaker import Breaker, BreakerOpen
from insuretech.kit.tracing import current_trace_id
from insuretech.kit.transport import AiohttpTransport

MAX_ANSWER = 4 * 1024 * 1024
_OF_THE_WIRE = ("content-encoding", "content-length", "transfer-encoding")


class NotSent(Exception):
    """The request surely did not reach the other side: sending again is safe."""


class NoAnswer(Exception):
    """The request may have been carried out: its outcome is unknown."""


def new_client() -> httpx.AsyncClient:
    """The process's client; proxies of the environment are ignored, redirects are not followed."""
    return httpx.AsyncClient(transport=AiohttpTransport(), timeout=httpx.Timeout(10, connect=3), trust_env=False)


class Outbound:
    """Calls to one outside party.

    ``time_limit`` is seconds for one whole call, ``concurrency`` the calls in flight; more wait, within the limit.
    Raises ``NotSent`` or ``NoAnswer``; any HTTP answer, also an error, is returned.
    """

    def __init__(
        self, client: httpx.AsyncClient, base_url: str, *, time_limit: float, concurrency: int, breaker: Breaker
    ) -> None:
        self._client = client
        self._base_url = base_url.rstrip("/")
        self._time_limit = time_limit
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
                async with self._client.stream(
                    method,
                    f"{self._base_url}{path}",
                    content=content,
                    headers={**trace, **(headers or {})},
                    timeout=httpx.Timeout(time_limit, connect=min(3.0, time_limit)),
                ) as response:
                    return await _read(response)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise NotSent(type(error).__name__) from error
        except TimeoutError as error:
            raise (NoAnswer if sent else NotSent)("time limit") from error
        except httpx.HTTPError as error:
            raise NoAnswer(type(error).__name__) from error


async def _read(response: httpx.Response) -> httpx.Response:
    """The whole answer in memory; one that is larger than any honest answer is as good as none."""
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > MAX_ANSWER:
            raise NoAnswer(f"an answer over {MAX_ANSWER} bytes")
    headers = [(name, value) for name, value in response.headers.multi_items() if name not in _OF_THE_WIRE]
    return httpx.Response(response.status_code, headers=headers, content=bytes(body), request=response.request)
