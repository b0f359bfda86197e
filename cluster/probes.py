"""Asking a server whether it works, in its own protocol and in a few bytes: one question each second to forty of them.

An open port would not do: the kernel accepts connections for a process that is frozen.
"""

import json
import socket
from dataclasses import dataclass
from pathlib import Path
from struct import pack
from time import monotonic
from typing import Any

_ANSWER_LIMIT = 65536  # bytes of an answer that are looked at
Address = tuple[str, int] | Path
"""Where something listens: host and port, or a Unix socket."""


@dataclass(frozen=True)
class Probe:
    """Healthy when ``expected`` is found in what ``address`` answers to ``question``."""

    address: Address
    question: bytes
    expected: bytes

    def holds(self, timeout: float = 1.0) -> bool:
        """Whether the answer comes within ``timeout`` seconds and is the expected one."""
        until = monotonic() + timeout
        answer = b""
        try:
            with _connected(self.address, timeout) as connection:
                connection.sendall(self.question)
                while self.expected not in answer and len(answer) < _ANSWER_LIMIT:
                    connection.settimeout(max(0.001, until - monotonic()))
                    received = connection.recv(8192)
                    if not received:
                        break
                    answer += received
        except OSError:
            return False
        return self.expected in answer


def http(port: int, path: str, *, host: str = "127.0.0.1") -> Probe:
    """Healthy when a GET gives 200."""
    return Probe((host, port), f"GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode(), b" 200 ")


def redis(port: int) -> Probe:
    """Healthy when a Redis node answers PING; whether the cluster has all slots is another question."""
    return Probe(("127.0.0.1", port), b"PING\r\n", b"+PONG")


def redis_cluster(port: int) -> Probe:
    """Healthy when this node sees every slot served."""
    return Probe(("127.0.0.1", port), b"CLUSTER INFO\r\n", b"cluster_state:ok")


def kafka(port: int) -> Probe:
    """Healthy when a broker answers ApiVersions (api 18, version 0), which needs no session and no metadata."""
    correlation = 0x1B5E4C01
    request = pack(">hhih", 18, 0, correlation, -1)
    return Probe(("127.0.0.1", port), pack(">i", len(request)) + request, pack(">ih", correlation, 0))


def postgres(socket_path: Path) -> Probe:
    """Healthy when PostgreSQL answers an SSLRequest, on a Unix socket always with no."""
    return Probe(socket_path, pack(">ii", 8, 80877103), b"N")


def fetch(port: int, path: str, *, timeout: float = 1.0) -> str:
    """The body of a GET on this machine; raises ``OSError`` when there is none or the status is not 200."""
    until = monotonic() + timeout
    chunks = []
    with _connected(("127.0.0.1", port), timeout) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        while True:
            connection.settimeout(max(0.001, until - monotonic()))
            received = connection.recv(65536)
            if not received:
                break
            chunks.append(received)
    head, _, body = b"".join(chunks).partition(b"\r\n\r\n")
    if b" 200 " not in head.partition(b"\r\n")[0]:
        raise OSError(f"GET {path} on port {port} gave {head[:40]!r}")
    return body.decode(errors="replace")


def ask_text(path: Path, question: str, *, timeout: float = 2.0) -> str:
    """One line sent to a Unix socket, and all that comes until the other side hangs up; raises ``OSError``."""
    with _connected(path, timeout) as connection:
        connection.sendall(question.encode() + b"\n")
        with connection.makefile("rb") as answer:
            return answer.read().decode(errors="replace")


def ask_json(path: Path, question: dict[str, Any], *, timeout: float = 60.0) -> dict[str, Any]:
    """One JSON line sent to a Unix socket, one received; raises ``OSError`` when nobody answers."""
    with _connected(path, timeout) as connection:
        connection.sendall(json.dumps(question).encode() + b"\n")
        with connection.makefile("rb") as answers:
            line = answers.readline()
    if not line:
        raise OSError(f"{path} gave no answer")
    answer: dict[str, Any] = json.loads(line)
    return answer


def _connected(address: Address, timeout: float) -> socket.socket:
    if isinstance(address, Path):
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(timeout)
            connection.connect(str(address))
        except BaseException:
            connection.close()
            raise
        return connection
    return socket.create_connection(address, timeout)
