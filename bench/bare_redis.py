"""The limit for reads from Redis: a Litestar application that does one GET for each request and returns what it got.

Run as ``python -m bench.bare_redis <port> <redis port> <key>``: redis-py's own client, straight to the node of the key.
"""

import asyncio
import sys

import uvloop
from litestar import Litestar, Response, get
from redis.asyncio import Redis

from insuretech.kit.http_server import serving


def application(client: Redis, key: str) -> Litestar:
    """One handler."""

    @get("/")
    async def bare() -> Response[bytes]:
        return Response(await client.get(key) or b"", media_type="application/json")

    return Litestar([bare], openapi_config=None, logging_config=None)


async def serve(port: int, redis_port: int, key: str) -> None:
    """Serve until killed."""
    async with serving(application(Redis(host="127.0.0.1", port=redis_port), key), port):
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
