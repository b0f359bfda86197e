"""Ports for servers that a test starts: each is given once, to one test, whatever runs beside it."""

import random
import socket

_PORTS = range(12_000, 30_000)
"""Below those from which the kernel takes one for each outgoing connection (``ip_local_port_range``)."""

_claims: list[socket.socket] = []
"""A name in the kernel per port given, held until this process ends, so that no other process gives the port too."""


def free_port() -> int:
    """A port nobody listens on and nobody else was given: of two that were given one port, one could not start."""
    for port in random.sample(_PORTS, len(_PORTS)):
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0insuretech-test-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        return port
    raise RuntimeError("no port is left")
