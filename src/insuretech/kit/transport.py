"""httpx over aiohttp's connections: the same client for everyone, at a fraction of the processor time per call.

A quote asks ten insurers at once, so what one call costs decides how many quotes a core can carry. httpx's own pool
looks at every idle connection again for every call.
"""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import httpx
from yarl import URL


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Sends each request once: never again by itself, whatever its method.

    ``ConnectError`` and ``ConnectTimeout`` say that nothing was sent; after any other error it may have been.
    """

    def __init__(self, keep_alive: float = 30.0) -> None:
        self._keep_alive = keep_alive
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        limits = request.extensions.get("timeout", {})
        try:
            response = await self._opened().request(
                request.method,
                URL(str(request.url), encoded=True),
                headers=request.headers.multi_items(),
                data=await request.aread() or None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(sock_connect=limits.get("connect"), sock_read=limits.get("read")),
            )
        except aiohttp.ConnectionTimeoutError as error:
            raise httpx.ConnectTimeout(str(error), request=request) from error
        except aiohttp.ClientConnectorError as error:
            raise httpx.ConnectError(str(error), request=request) from error
        except aiohttp.SocketTimeoutError as error:
            raise httpx.ReadTimeout(str(error), request=request) from error
        except aiohttp.InvalidURL as error:
            raise httpx.UnsupportedProtocol(str(error), request=request) from error
        except aiohttp.ClientError as error:
            raise httpx.ReadError(str(error), request=request) from error
        return httpx.Response(
            response.status, headers=response.raw_headers, stream=_Body(response, request), request=request
        )

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        """The session, which has to be made inside the loop it works in. How many calls are open is for others."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=self._keep_alive),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
            # It would repeat a PUT whose connection broke, which may have been carried out.
            self._session._retry_connection = False  # noqa: SLF001 - there is no setting for it; a test holds it
        return self._session


class _Body(httpx.AsyncByteStream):
    """The body of an answer as it comes in."""

    def __init__(self, response: aiohttp.ClientResponse, request: httpx.Request) -> None:
        self._response = response
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._response.content.iter_any():
                yield piece
        except aiohttp.SocketTimeoutError as error:
            raise httpx.ReadTimeout(str(error), request=self._request) from error
        except (aiohttp.ClientError, asyncio.IncompleteReadError) as error:
            raise httpx.ReadError(str(error), request=self._request) from error

    async def aclose(self) -> None:
        """Give the connection back, or end it when the answer was not read to its end."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()
