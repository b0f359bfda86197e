"""Prints which of the addresses (host:port) given lead to a machine that lives: one that refuses lives, too."""

import socket
import sys
from concurrent.futures import ThreadPoolExecutor

LIMIT = 3.0


def lives(address: str) -> bool:
    """Whether anything comes back at all."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=LIMIT).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return True


addresses = sys.argv[1:]
with ThreadPoolExecutor(max_workers=32) as pool:
    found = [address for address, living in zip(addresses, pool.map(lives, addresses), strict=True) if living]
sys.stdout.write("\n".join(found))
