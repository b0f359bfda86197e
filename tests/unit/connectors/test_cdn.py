"""Points of the CDN are told of changes, whichever of them hang, refuse or are gone."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from insuretech.connectors.cdn import ATTEMPTS, CdnPoints
from insuretech.kit.http import OutgoingClient, new_client


class Point:
    """A point on a real socket; ``answers`` are statuses in turn, the last for good, 0 hangs."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.requests: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if status == 0:
            await reader.read()  # until the caller has enough
        else:
            writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
            await writer.drain()
        writer.close()


@pytest.fixture
async def client() -> AsyncIterator[OutgoingClient]:
    """The process's client."""
    async with new_client() as one:
        yield one


async def listening(point: Point) -> tuple[asyncio.Server, str]:
    """A point that listens, and its address."""
    server = await asyncio.start_server(point.serve, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def purged(client: OutgoingClient, *points: Point) -> list[bool]:
    """Whether each point was told of a change of OSAGO."""
    servers = [await listening(point) for point in points]
    addresses = [address for _, address in servers]
    missed = await CdnPoints(client, addresses, "secret").purge({"products", "product-osago"})
    for server, _ in servers:
        server.close()
    return [address not in missed for address in addresses]


async def test_every_point_hears_tags_and_token(client: OutgoingClient) -> None:
    """A point that does not would show the old price until its time is over."""
    points = Point(200), Point(200)
    assert await purged(client, *points) == [True, True]
    for point in points:
        (request,) = point.requests
        assert request.startswith("POST /cdn/purge HTTP/1.1\r\n")
        lines = {line.partition(": ")[0].lower(): line.partition(": ")[2] for line in request.splitlines()[1:]}
        assert lines["surrogate-key"] == "product-osago products"
        assert lines["x-purge-token"] == "secret"


async def test_a_point_that_fails_once_is_told_again(client: OutgoingClient) -> None:
    """A restart of a point's front would otherwise cost it the change."""
    point = Point(502, 200)
    assert await purged(client, point) == [True]
    assert len(point.requests) == 2


async def test_a_refusal_is_not_repeated(client: OutgoingClient) -> None:
    """A wrong token stays wrong; it has to be seen, not tried again."""
    point = Point(403)
    assert await purged(client, point) == [False]
    assert len(point.requests) == 1


async def test_a_point_that_hangs_delays_nobody_for_long(client: OutgoingClient) -> None:
    """Otherwise one frozen point keeps the change from all."""
    hanging, good = Point(0), Point(200)
    began = time.monotonic()
    assert await purged(client, hanging, good) == [False, True]
    assert len(hanging.requests) <= ATTEMPTS
    assert time.monotonic() - began < 30  # two attempts of less than a second, on a machine that may be busy


async def test_a_point_that_stays_away_is_left_alone(client: OutgoingClient) -> None:
    """Every change would otherwise wait for it anew."""
    point = Point(500)
    server, address = await listening(point)
    points = CdnPoints(client, [address], "secret")
    for _ in range(6):
        assert await points.purge({"products"}) == [address]
    server.close()
    assert len(point.requests) == 4
