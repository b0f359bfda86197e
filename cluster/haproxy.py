"""HAProxy: the only way in, the way between services, and the way to PostgreSQL and S3."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from string import Template

from cluster import probes
from cluster.ports import Ports
from cluster.processes import Program
from insuretech.compose.addresses import ADDRESSES, INSIDE, Address
from insuretech.kit.problems import BodyTooSlow, Problem, Unavailable

_TEMPLATE = Path(__file__).with_name("data") / "haproxy.cfg"
_PAGE = Path(__file__).with_name("data") / "away.html"


@dataclass(frozen=True)
class Proxy:
    """The load balancer of a data folder.

    ``replicas`` gives the ports of each service's processes by instance, ``postgres`` the server's socket, ``s3`` the
    nodes' ports; ``sockets`` is the private folder for our own sockets.
    """

    folder: Path
    ports: Ports
    sockets: Path
    replicas: Mapping[str, Mapping[str, int]]
    postgres: Path
    s3: Mapping[str, int]
    haproxy: str = "haproxy"

    @property
    def administration(self) -> Path:
        """HAProxy's own socket for questions and orders."""
        return self.sockets / "haproxy.sock"

    def prepare(self) -> None:
        """Write the configuration, and what is said when a service is away."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for status, (kind, detail) in _ERRORS.items():
            self._error_file(status).write_bytes(problem(self.public_url, status, kind, detail))
        self._page.write_bytes(_answer(503, "text/html; charset=utf-8", _PAGE.read_bytes()))
        self._settings_file.write_text(self.settings(), encoding="utf-8")

    def settings(self) -> str:
        """The whole ``haproxy.cfg``."""
        return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
            administration=self.administration,
            statistics=self.ports.statistics,
            public=self.ports.public,
            internal=self.ports.internal,
            database=self.sockets / ".s.PGSQL.5432",
            postgres=self.postgres,
            s3=self.ports.s3,
            s3_servers=_servers(self.s3),
            routes=self._routes(),
            page=self._page,
            program_errors="\n".join(f"    errorfile {status} {self._error_file(status)}" for status in _ERRORS),
            internal_routes="\n".join(
                f"    use_backend {name} if {{ path_beg /internal/v1/{name}/ }}" for name in self.replicas
            ),
            backends="\n".join(_backend(name, servers) for name, servers in self.replicas.items()),
        )

    def program(self) -> Program:
        return Program(
            name="haproxy",
            role="proxy",
            command=(self.haproxy, "-db", "-f", str(self._settings_file)),
            probe=probes.http(self.ports.statistics, "/healthz"),
            start_limit=15,
            stop_limit=5,
        )

    def _routes(self) -> str:
        """Only for services that run: the others' paths are then not found by the storefront."""
        return "\n".join(
            f"    use_backend {address.service} if {{ {_rule(address)} }}"
            for address in ADDRESSES
            if address.service in self.replicas and address.begins != "/" and not address.begins.startswith(INSIDE)
        )

    @property
    def public_url(self) -> str:
        return f"http://127.0.0.1:{self.ports.public}"

    def _error_file(self, status: int) -> Path:
        return self.folder / f"{status}.http"

    @property
    def _page(self) -> Path:
        return self.folder / "away.http"

    @property
    def _settings_file(self) -> Path:
        return self.folder / "haproxy.cfg"


def _rule(address: Address) -> str:
    return f"path_reg ^{address.pattern}" if address.pattern else f"path_beg {address.begins}"


def problem(public_url: str, status: int, kind: type[Problem], detail: str) -> bytes:
    """A whole HTTP answer with a problem document."""
    address = f"{public_url}/problems/{kind.slug}"
    document = {"type": address, "title": kind.title, "status": status, "detail": detail}
    return _answer(status, "application/problem+json", json.dumps(document).encode())


def _answer(status: int, kind: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nRetry-After: 2\r\n\r\n"
    )
    return head.encode() + body


def _backend(name: str, servers: Mapping[str, int]) -> str:
    kind = "people" if name in _FOR_PEOPLE else "programs"
    return f"backend {name}\n    errorfiles {kind}\n{_REPLICAS}{_servers(servers)}\n"


def _servers(servers: Mapping[str, int]) -> str:
    return "\n".join(f"    server {instance} 127.0.0.1:{port}" for instance, port in servers.items())


_FOR_PEOPLE = {"storefront", "sandbox"}
_ERRORS: Mapping[int, tuple[type[Problem], str]] = {
    400: (Problem, "What was sent is not HTTP."),
    408: (BodyTooSlow, "The request did not come to its end in time."),
    502: (Unavailable, "The service broke off; whether it had begun is not known."),
    503: (Unavailable, "No process of the service takes requests now."),
    504: (Unavailable, "The service did not answer in time; whether it had begun is not known."),
}
"""What HAProxy says by itself: the kind of problem and a sentence, by status."""

_REPLICAS = """\
    option httpchk
    http-check send meth GET uri /healthz/ready ver HTTP/1.1 hdr Host cluster
    http-check expect status 200
"""
