"""Who listens where: a base port and fixed offsets, so that two clusters may stand side by side."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass

from insuretech.kit.failures import Unusable

SERVICES = ("catalogue", "quotes", "orders", "documents", "settlement", "storefront", "sandbox")
SIZE = 200
"""Ports that a cluster takes, beginning with its base."""


@dataclass(frozen=True)
class Ports:
    """The ports of one cluster, all on 127.0.0.1."""

    base: int = 18000

    @property
    def public(self) -> int:
        """The site and the public API."""
        return self.base

    @property
    def internal(self) -> int:
        """Where services reach one another."""
        return self.base + 1

    @property
    def s3(self) -> int:
        """The three S3 nodes as one."""
        return self.base + 2

    @property
    def statistics(self) -> int:
        """HAProxy's own page and metrics."""
        return self.base + 3

    @property
    def smtp(self) -> int:
        """The sink for mail to insurers."""
        return self.base + 4

    def broker(self, number: int) -> int:
        return self.base + 10 + number

    def controller(self, number: int) -> int:
        return self.base + 15 + number

    def redis(self, number: int) -> int:
        return self.base + 20 + number

    def redis_bus(self, number: int) -> int:
        return self.base + 30 + number

    def garage(self, number: int) -> int:
        """A node's S3 port."""
        return self.base + 40 + number

    def garage_rpc(self, number: int) -> int:
        return self.base + 45 + number

    def garage_admin(self, number: int) -> int:
        return self.base + 50 + number

    def service(self, name: str, number: int) -> int:
        """A replica, counted from 1."""
        return self.base + 100 + SERVICES.index(name) * 10 + number


class PortsTaken(Unusable):
    """Another program listens where we want to; the message says where and what to do."""


def require_free(ports: Sequence[int]) -> None:
    """Raise ``PortsTaken`` unless all of them can be had."""
    taken = [port for port in ports if not is_free(port)]
    if taken:
        raise PortsTaken(
            f"Port {', '.join(map(str, taken))} is taken by another program; choose another base with CLUSTER_PORT=."
        )


def is_free(port: int) -> bool:
    """Whether nobody listens on a port of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_base(*, size: int = SIZE) -> int:
    """A base whose ports are all free now, below those that the kernel gives to outgoing connections."""
    for base in range(19000, 32000, size):
        if all(is_free(base + offset) for offset in range(size)):
            return base
    raise PortsTaken("No free range of ports was found between 19000 and 32000.")
