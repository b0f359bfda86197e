"""Services in processes of their own, several of each, behind a load balancer: without Kafka and Redis.

Events are carried by the relays of one machine, which run here, in the process of the test: what they bring about is in
the database, where real consumers would have put it, and no replica is woken by it.
"""

import asyncio
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import httpx
from sqlalchemy.engine import URL

from insuretech.compose.apart import build
from insuretech.compose.services import BUILDERS
from insuretech.kit.keyring import Keyring
from insuretech.kit.relay import LocalRelay
from insuretech.kit.settings import Settings
from tests.ports import free_port
from tests.system.balancer import Balancer, Server
from tests.system.running import COMMAND, eventually

START_LIMIT = 300.0  # seconds, for all of them on a busy machine
SECRET = "what services prove themselves with"
EXCHANGING = ("catalogue", "quotes", "orders", "documents")
"""Services that tell each other what happens."""


@dataclass
class Replica:
    """One process of a service, or of some (``catalogue orders``); it keeps its port over restarts."""

    service: str
    number: int
    environment: Mapping[str, str]
    log: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(COMMAND), "service", *self.service.split()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={
                    **self.environment,
                    "PORT": str(self.port),
                    "INSURETECH_INSTANCE": f"{self.service.replace(' ', '-')}-{self.number}",
                },
                start_new_session=True,
            )

    def kill(self) -> None:
        """SIGKILL: nothing gets to say goodbye."""
        self._signal(signal.SIGKILL)

    def ask_to_stop(self) -> None:
        """SIGTERM; the process ends when it is done."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)

    def ended(self, within: float) -> int:
        """The code it ends with."""
        assert self.process is not None
        return self.process.wait(within)

    def probe(self, name: str) -> httpx.Response | None:
        """What it answers to a probe; None while it does not listen."""
        with suppress(httpx.HTTPError), httpx.Client(trust_env=False, timeout=20) as client:
            return client.get(f"{self.address}/healthz/{name}")
        return None

    def ready(self) -> bool:
        answer = self.probe("ready")
        return answer is not None and answer.status_code == 200

    def _signal(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, number)
            self.process.wait()


@dataclass
class Town:
    """Everything that runs, by service."""

    balancer: Balancer
    replicas: dict[str, list[Replica]]

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.balancer.port}"

    def until_ready(self, *replicas: Replica) -> None:
        """Return when these (all, if none are named) are ready and the balancer knows it."""
        wanted = replicas or [one for some in self.replicas.values() for one in some]
        servers = {server.address: server for server in self.balancer.servers}

        def there() -> bool:
            return all(servers[replica.address].ready for replica in wanted)

        if not eventually(there, START_LIMIT, 0.1):
            missing = [replica for replica in wanted if not servers[replica.address].ready]
            said = "\n".join(f"{one.service}-{one.number}: {one.log.read_text()[-1500:]}" for one in missing)
            raise AssertionError(f"not ready in time:\n{said}")


@contextmanager
def town(admin: URL, folder: Path, count: Mapping[str, int], **settings: str) -> Iterator[Town]:
    """So many replicas of each service on a migrated database; all end with the block."""
    port = free_port()
    Keyring.generate().save(folder / "keyring.json")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("INSURETECH_")},
        "DATABASE_URL": admin.set(drivername="postgresql").render_as_string(hide_password=False),
        "INSURETECH_HOME": str(folder),
        "INSURETECH_SERVICES_URL": f"http://127.0.0.1:{port}",
        "INSURETECH_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "INSURETECH_INTERNAL_SECRET": SECRET,
        "INSURETECH_POOL_SIZE": "4",
        "INSURETECH_DRAIN": "1.5",
        "INSURETECH_ISSUE_RECHECK": "0.3",
        **{f"INSURETECH_{name.upper()}": value for name, value in settings.items()},
    }
    replicas = {
        service: [
            Replica(service, number, environment, folder / f"{service}-{number}.log") for number in range(1, wanted + 1)
        ]
        for service, wanted in count.items()
    }
    every = [replica for some in replicas.values() for replica in some]
    servers = [Server(service, replica.address) for replica in every for service in replica.service.split()]
    with ExitStack() as stack:
        balancer = stack.enter_context(Balancer(port, servers))
        stack.enter_context(_carrying_events(admin, folder, port))
        for replica in every:
            stack.callback(replica.kill)
            replica.start()
        running = Town(balancer, replicas)
        running.until_ready()
        asyncio.run(_until_told(admin))
        yield running


async def _until_told(admin: URL) -> None:
    """Return when the others have heard of the products; before that nothing can be sold."""
    told = """select exists (select from catalogue.outbox)
        and not exists (select from catalogue.outbox where published_at is null)"""
    connection = await asyncpg.connect(host=str(admin.query["host"]), user=admin.username, database=admin.database)
    try:
        async with asyncio.timeout(START_LIMIT):
            while not await connection.fetchval(told):  # noqa: ASYNC110 - it happens in another thread
                await asyncio.sleep(0.1)
    finally:
        await connection.close()


@contextmanager
def _carrying_events(admin: URL, folder: Path, port: int) -> Iterator[None]:
    """The relays of all services, in a thread of their own."""
    stop = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_relay(admin, folder, port, stop)), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)


async def _relay(admin: URL, folder: Path, port: int, stop: threading.Event) -> None:
    address = f"http://127.0.0.1:{port}"
    settings = Settings(
        home=folder,
        database_url=admin.set(drivername="postgresql").render_as_string(hide_password=False),
        public_url=address,
        services_url=address,
        internal_secret=SECRET,
        pool_size=2,
    )
    keyring = Keyring.open(settings.keyring_path)
    processes = [build([name], settings, keyring) for name in EXCHANGING if name in BUILDERS]
    services = [service for process in processes for service in process.services]
    reactions = [reaction for service in services for reaction in service.reactions]
    relays = []
    for service in services:
        database, tables = service.database, service.messaging
        assert database is not None
        assert tables is not None
        for hook in service.seed:
            await hook()
        relays.append(asyncio.create_task(LocalRelay(database, tables, reactions).run()))
    await asyncio.to_thread(stop.wait)
    for relay in relays:
        relay.cancel()
    await asyncio.gather(*relays, return_exceptions=True)
    for process in processes:
        await process.stop()
