"""Outgoing HTTP over aiohttp's connections, also for httpx.

A quote asks ten insurers at once, so what one call costs decides how many quotes a core can carry: httpx and its pool,
which looks at every idle connection again for every call, need ten times the processor time.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager

import aiohttp
import httpx
from yarl import URL

_OF_THE_WIRE = (b"content-encoding", b"content-length", b"transfer-encoding")


class AnswerTooLarge(httpx.ReadError):
    """The answer is longer than was agreed; nobody reads it to its end."""


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Sends each request once: never again by itself, whatever its method.

    ``ConnectError`` and ``ConnectTimeout`` say that nothing was sent; after any other error it may have been.
    """

    def __init__(self, keep_alive: float = 30.0) -> None:
        self._keep_alive = keep_alive
        self._session: aiohttp.ClientSession | None = None

    async def exchange(
        self, method: str, url: str, *, headers: Mapping[str, str], content: bytes | None, connect: float, largest: int
    ) -> httpx.Response:
        """One request and its whole answer of at most ``largest`` bytes; the short way past httpx's client.

        ``connect`` is seconds for the connection; how long the whole may take is up to the caller.
        """
        limits = aiohttp.ClientTimeout(sock_connect=connect)
        with _told_by_httpx():
            async with self._opened().request(
                method, URL(url, encoded=True), headers=headers, data=content, allow_redirects=False, timeout=limits
            ) as response:
                body = bytearray()
                async for piece in response.content.iter_any():
                    body += piece
                    if len(body) > largest:
                        raise AnswerTooLarge(f"an answer over {largest} bytes")
                return httpx.Response(response.status, headers=_headers(response), content=bytes(body))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        limits = request.extensions.get("timeout", {})
        with _told_by_httpx():
            response = await self._opened().request(
                request.method,
                URL(str(request.url), encoded=True),
                headers=request.headers.multi_items(),
                data=await request.aread() or None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(sock_connect=limits.get("connect"), sock_read=limits.get("read")),
            )
        return httpx.Response(response.status, headers=_headers(response), stream=_Body(response), request=request)

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        """The session, which has to be made inside the loop it works in. How many calls are open is for others."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=self._keep_alive),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
            # It would repeat a PUT whose connection broke, which may have been carried out.
            self._session._retry_connection = False  # noqa: SLF001 - there is no setting for it; a test holds it
        return self._session


class _Body(httpx.AsyncByteStream):
    """The body of an answer as it comes in."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _told_by_httpx():
            async for piece in self._response.content.iter_any():
                yield piece

    async def aclose(self) -> None:
        """Give the connection back, or end it when the answer was not read to its end."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


def _headers(response: aiohttp.ClientResponse) -> list[tuple[bytes, bytes]]:
    """Headers as they came, without those of the packing that aiohttp has taken off."""
    return [(name, value) for name, value in response.raw_headers if name.lower() not in _OF_THE_WIRE]


@contextmanager
def _told_by_httpx() -> Iterator[None]:
    """Aiohttp's errors as those of httpx; which of them mean that nothing was sent is what matters."""
    try:
        yield
    except aiohttp.ConnectionTimeoutError as error:
        raise httpx.ConnectTimeout(str(error)) from error
    except aiohttp.ClientConnectorError as error:
        raise httpx.ConnectError(str(error)) from error
    except aiohttp.SocketTimeoutError as error:
        raise httpx.ReadTimeout(str(error)) from error
    except aiohttp.InvalidURL as error:
        raise httpx.UnsupportedProtocol(str(error)) from error
    except aiohttp.ClientError as error:
        raise httpx.ReadError(str(error)) from error
