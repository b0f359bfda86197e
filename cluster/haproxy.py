"""HAProxy: the only way in, the way between services, and the way to PostgreSQL and S3."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

from cluster import probes
from cluster.ports import Ports
from cluster.processes import Program
from insuretech.compose.addresses import ADDRESSES, INSIDE, Address

_TEMPLATE = Path(__file__).with_name("data") / "haproxy.cfg"


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
        """Write the configuration."""
        self.folder.mkdir(parents=True, exist_ok=True)
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
    def _settings_file(self) -> Path:
        return self.folder / "haproxy.cfg"


def _rule(address: Address) -> str:
    return f"path_reg ^{address.pattern}" if address.pattern else f"path_beg {address.begins}"


def _backend(name: str, servers: Mapping[str, int]) -> str:
    return f"backend {name}\n    import replicas\n{_servers(servers)}\n".replace("    import replicas\n", _REPLICAS)


def _servers(servers: Mapping[str, int]) -> str:
    return "\n".join(f"    server {instance} 127.0.0.1:{port}" for instance, port in servers.items())


_REPLICAS = """\
    option httpchk
    http-check disable-on-404
    http-check send meth GET uri /healthz/ready ver HTTP/1.1 hdr Host cluster
    http-check expect status 200
"""
