"""Names as a person's machine resolves them: by the name servers of the twin, kept for as long as those say."""

import socket
from collections.abc import Sequence

from aiohttp.abc import AbstractResolver, ResolveResult
from dns.asyncresolver import Resolver
from dns.exception import DNSException
from dns.resolver import Cache

_ONE_SERVER = 1.0
_ALL_SERVERS = 6.0
"""Seconds until the next server is asked, and until the question is given up: what Linux does, but sooner."""


class Names(AbstractResolver):
    """For aiohttp, which must not keep addresses itself (``use_dns_cache=False``)."""

    def __init__(self, servers: Sequence[str]) -> None:
        self._resolver = Resolver(configure=False)
        self._resolver.nameservers = list(servers)
        self._resolver.timeout = _ONE_SERVER
        self._resolver.lifetime = _ALL_SERVERS
        self._resolver.cache = Cache()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Its addresses; raises ``OSError`` when no server has any."""
        try:
            answer = await self._resolver.resolve(host, "A")
        except DNSException as error:
            raise OSError(f"{host} leads nowhere: {error}") from error
        return [
            ResolveResult(
                hostname=host,
                host=record.address,
                port=port,
                family=family,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for record in answer
        ]

    async def close(self) -> None:
        """Nothing stays open between questions."""
