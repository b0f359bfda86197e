"""The CDN's points: told by tag what they may no longer give out as new."""

import asyncio
from collections.abc import Collection, Sequence

import structlog
from prometheus_client import Counter

from insuretech.kit.breaker import Breaker
from insuretech.kit.http import NoAnswer, NotSent, Outbound, OutgoingClient

log = structlog.get_logger(__name__)

PURGES = Counter("insuretech_cdn_purges_total", "Purges of a point of the CDN, by how it ended.", ["point", "end"])

ATTEMPTS = 2
TIME_LIMIT = 0.75
"""Seconds for one attempt: a product's change is to be seen within 5, and a point that hangs must not delay others."""
_PAUSE = 0.1


class CdnPoints:
    """All points, by their addresses; ``token`` is what they know us by.

    A point that cannot be told is left: one that was down comes back empty, and one that is cut off asks the origin
    anew when the time of the page is over (``Cache-Control`` of the catalogue, a minute).
    """

    def __init__(self, client: OutgoingClient, addresses: Sequence[str], token: str) -> None:
        self._points = {
            address: Outbound(
                client, address, time_limit=TIME_LIMIT, concurrency=2, breaker=Breaker(failures=4, pause=5.0)
            )
            for address in addresses
        }
        self._token = token

    async def purge(self, tags: Collection[str]) -> list[str]:
        """Tell all points at once; the addresses of those that could not be told."""
        headers = {"Surrogate-Key": " ".join(sorted(tags)), "X-Purge-Token": self._token}
        told = await asyncio.gather(*(self._tell(point, headers) for point in self._points.values()))
        missed = [address for address, good in zip(self._points, told, strict=True) if not good]
        for address, good in zip(self._points, told, strict=True):
            PURGES.labels(address, "done" if good else "missed").inc()
        if missed:
            log.warning("cdn.not_purged", points=missed, tags=sorted(tags))
        return missed

    async def _tell(self, point: Outbound, headers: dict[str, str]) -> bool:
        for attempt in range(ATTEMPTS):
            try:
                answer = await point.call("POST", "/cdn/purge", headers=headers)
            except (NotSent, NoAnswer):
                answer = None
            if answer is not None and answer.status_code < 500:
                return answer.status_code == 200  # refused stays refused
            if attempt + 1 < ATTEMPTS:
                await asyncio.sleep(_PAUSE)
        return False
