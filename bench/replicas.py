"""Live offers over replicas: every browser is connected to another replica than the one that hears its insurers."""

import asyncio
import resource
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench import load, stage
from bench.projected import redis_cluster
from bench.quoting import HOLDING, ask, asked, control, insurers_file, opened, released
from bench.report import Figure
from insuretech.kit.embedded_postgres import SUPERUSER
from tests.system.running import RunningMarketplace

REPLICAS = 3


async def measure(quotes: int, rate: float) -> list[Figure]:
    """Open quotes spread over the replicas, let one insurer of each answer evenly, and see when browsers hear of it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * quotes)), hard))
    with (
        redis_cluster() as redis,
        stage.quick_insurers() as port,
        insurers_file(port) as settings,
        replicas({**settings, "INSURETECH_REDIS": redis.nodes}) as markets,
    ):
        await stage.answering(port)
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(stage.client(market.base_url)) for market in markets]
            insurers = await stack.enter_async_context(stage.client(f"http://127.0.0.1:{port}"))
            await control(port, clients[0], HOLDING)
            viewers = []
            for place, client in enumerate(clients):
                await asyncio.gather(*(ask(client) for _ in range(8)))  # what every process needs once
                created = await asked(client, quotes // REPLICAS)
                viewers += await opened(markets[(place + 1) % REPLICAS].port, created)
            delays = await released(insurers, viewers, rate)
    return [
        Figure(
            name=f"{len(viewers):,} live quotes over {REPLICAS} replicas, answer to event at another, p99",
            value=load.percentile(delays, 0.99) * 1000,
            value_unit="ms",
            direction="at most",
            aim=150.0,
            ours=load.percentile(delays, 0.99) * 1000,
            limit=None,
            unit="ms",
            notes=f"from the insurer's callback at one replica to the event at a client of another over Redis, "
            f"{rate:g} answers a second; median {median(delays) * 1000:.1f} ms, worst {max(delays) * 1000:.0f} ms, "
            f"{len(delays)} seen",
        )
    ]


@contextmanager
def replicas(settings: Mapping[str, str]) -> Iterator[list[RunningMarketplace]]:
    """Marketplaces over one database, one Redis and one key; the first runs the database."""
    with ExitStack() as stack:
        first = stack.enter_context(stage.marketplace(settings))
        address = first.database.dsn(SUPERUSER, "insuretech").replace("postgresql+asyncpg:", "postgresql:")
        shared = {
            **settings,
            "DATABASE_URL": address,
            "INSURETECH_KEYRING_FILE": str(first.home / "keyring.json"),
            "INSURETECH_SANDBOX_ENABLED": "false",
            "INSURETECH_POOL_SIZE": "5",
        }
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="insuretech-bench-")))
        others = [RunningMarketplace(folder / f"replica-{number}", shared) for number in range(2, REPLICAS + 1)]
        yield [first, *(stack.enter_context(other) for other in others)]
