"""The cluster in the clothes of a marketplace on one machine, so that the same tests run against either."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from cluster import database
from cluster.control import Control
from insuretech.kit.embedded_postgres import SUPERUSER, EmbeddedPostgres
from tests.system.running import RunningMarketplace

_BACK_LIMIT = 180.0  # seconds for killed replicas


def running_cluster() -> Control | None:
    """The cluster that ``CLUSTER_HOME`` names, if it names one: then tests are about that."""
    home = os.environ.get("CLUSTER_HOME")
    return Control(Path(home)) if home else None


@dataclass
class ClusterMarketplace(RunningMarketplace):
    """What tests of the marketplace ask, answered by a cluster that somebody else started and will stop."""

    settings: Mapping[str, str] = field(default_factory=dict)
    control: Control = field(kw_only=True)

    @classmethod
    def of(cls, control: Control) -> "ClusterMarketplace":
        return cls(home=control.cluster.folder, port=control.cluster.ports.public, control=control)

    @property
    def log(self) -> Path:
        """What all processes said, in one file."""
        whole = self.home / "all.log"
        with whole.open("wb") as together:
            for one in sorted(self.control.cluster.processes.logs.glob("*.log")):
                together.write(one.read_bytes())
        return whole

    @property
    def database(self) -> EmbeddedPostgres:
        """The server itself, past the load balancer."""
        return database.server(self.home / "postgres")

    async def rows(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """What a statement gives, asked as the administrator of the database, by way of the load balancer."""
        connection = await asyncpg.connect(
            host=str(self.control.cluster.sockets), user=SUPERUSER, database=database.NAME, timeout=60
        )
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close()

    def environment(self) -> dict[str, str]:
        """What a command sees that is to meet the cluster."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("INSURETECH_", "CLUSTER_"))}
        _, own = self.control.cluster.services.command()
        return {**kept, "NO_COLOR": "1", **own}

    def start(self) -> None:
        raise AssertionError("the cluster is started by whoever runs the tests; mark this test `single`")

    def stop(self) -> float:
        raise AssertionError("the cluster is stopped by whoever runs the tests; mark this test `single`")

    def restart_after_kill(self) -> None:
        """As when a machine of each service dies and comes back: the replica with most to do, of every service."""
        busiest = [self.control.favourite(service) for service in self.control.cluster.services.names]
        self.control.kill(*busiest)
        self.control.start(*busiest)


def heal(control: Control) -> None:
    """Everything runs again, whatever a test has done."""
    control.revive()
    control.wait_healthy(limit=_BACK_LIMIT)


async def healed(control: Control) -> None:
    """The same from a coroutine."""
    await asyncio.to_thread(heal, control)
