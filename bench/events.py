"""Events from a service's outbox over Kafka into another's tables: the lag, and what one process of each kind can do.

The real relay of quotes and the real reactions of orders (which keep copies of offers), each a process of its own, on
three brokers with three copies of every record and a PostgreSQL that writes every commit to the disk.
"""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, time
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from bench import stage
from bench.load import percentile
from bench.report import Figure
from cluster import parts
from cluster.kafka import class_path
from cluster.part import run_kafka
from insuretech.compose.database import create_database
from insuretech.contracts.events import OfferReceived
from insuretech.contracts.money import Money
from insuretech.contracts.topics import topics
from insuretech.kit.db import Database
from insuretech.kit.embedded_postgres import EmbeddedPostgres
from insuretech.kit.ids import new_id
from insuretech.kit.kafka import Kafka
from insuretech.kit.messaging import Outbox
from insuretech.kit.migrations import migrate
from insuretech.kit.roles import service_url
from insuretech.kit.topics import Topic, Topics, differences
from insuretech.orders.tables import messaging as orders_messaging
from insuretech.quotes.tables import messaging as quotes_messaging

ORDERS_A_MINUTE = 200
EVENTS_AN_ORDER = 56
"""What one order comes with: five searches with ten offers each, and half a dozen steps of the order."""
FULL_LOAD = 650.0
"""Events a second at the highest load foreseen: 50 searches and 10 purchases a second."""
_PERFORMANCE = "org.apache.kafka.tools.ProducerPerformance"
_PERFORMANCE_TOPIC = Topic("bench.performance.v1", 6, 1)


@dataclass(frozen=True)
class Scene:
    """Where everything is."""

    kafka: Kafka
    quotes: Database
    orders: Database
    installed: parts.Installed
    folder: Path

    @contextmanager
    def process(self, what: str) -> Iterator["subprocess.Popen[bytes]"]:
        """A ``relay`` or a ``consumer``; ended when the measurement is over."""
        database = self.quotes if what == "relay" else self.orders
        address = database.url.render_as_string(hide_password=False)
        words = ("-m", "bench.event_loops", what, address, self.kafka.servers, str(self.heard))
        with stage.process(sys.executable, *words) as child:
            yield child

    @property
    def heard(self) -> Path:
        """Where the consumer notes what it has handled and when."""
        return self.folder / "heard.txt"


async def _number(database: Database, statement: "sa.Select[Any]") -> float:
    async with database.reading() as connection:
        return float((await connection.execute(statement)).scalar_one() or 0)


async def measure(*, backlog: int, seconds: float) -> list[Figure]:
    """The lag for ``seconds`` at the rate aimed at, then a backlog for the relay and the consumer to work off."""
    async with _scene() as scene:
        lag = await _lag(scene, seconds)
        limit = await asyncio.to_thread(_performance, scene, backlog * 4)
        return [lag, *await _rates(scene, backlog, limit)]


@asynccontextmanager
async def _scene() -> AsyncIterator[Scene]:
    installed = parts.find()
    with (
        _folder() as folder,
        EmbeddedPostgres(folder / "postgres") as postgres,
        run_kafka(installed, folder / "kafka") as brokers,
    ):
        admin = make_url(postgres.dsn(database="bench"))
        await create_database(admin)
        await migrate(admin, ("quotes", "orders"))
        kafka = Kafka(brokers.bootstrap)
        wanted = [*topics(), _PERFORMANCE_TOPIC]
        Topics(kafka).apply(wanted, differences(wanted, {}))
        quotes = Database("quotes", service_url(admin, "quotes"))
        orders = Database("orders", service_url(admin, "orders"))
        yield Scene(kafka, quotes, orders, installed, folder)
        await quotes.dispose()
        await orders.dispose()


@contextmanager
def _folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="insuretech-bench-") as name:
        Path(name).chmod(0o755)  # PostgreSQL may have to run as another user than root
        yield Path(name)


async def _lag(scene: Scene, seconds: float) -> Figure:
    """Single commits at an even pace; from the return of each until the other service had committed its effect."""
    rate = ORDERS_A_MINUTE / 60 * EVENTS_AN_ORDER
    with scene.process("relay"), scene.process("consumer"):
        await _heard(scene, await _told(scene, 50, rate=20))  # for warming up
        committed = await _told(scene, int(rate * seconds), rate=rate)
        heard = await _heard(scene, committed)
    lags = [heard[offer] - at for offer, at in committed.items()]
    p99 = percentile(lags, 0.99) * 1000
    return Figure(
        name="event lag",
        value=p99,
        value_unit="ms at p99",
        direction="at most",
        aim=150,
        ours=p99,
        limit=None,
        unit="ms",
        notes=f"from commit in one service until its effect is committed in another, at {ORDERS_A_MINUTE} orders a "
        f"minute and the searches that lead to them ({rate:.0f} events/s, a commit each); half of them within "
        f"{percentile(lags, 0.5) * 1000:.0f} ms",
        runs=[percentile(lags, share) * 1000 for share in (0.5, 0.9, 0.99, 1.0)],
    )


async def _told(scene: Scene, events: int, rate: float) -> dict[str, float]:
    """Publish at a pace; when each commit was through."""
    committed: dict[str, float] = {}
    slots = asyncio.Semaphore(6)

    async def tell() -> None:
        event = _offer()
        async with slots:
            await _publish(scene, [event])
            committed[str(event.offer_id)] = time()

    began = monotonic()
    async with asyncio.TaskGroup() as tasks:
        for number in range(events):
            await asyncio.sleep(max(0.0, began + number / rate - monotonic()))
            tasks.create_task(tell())
    return committed


async def _heard(scene: Scene, committed: dict[str, float], limit: float = 120) -> dict[str, float]:
    """When each event's effect was committed; returns when that is so for all."""
    until = monotonic() + limit
    while True:
        lines = scene.heard.read_text(encoding="ascii").split("\n")[:-1] if scene.heard.exists() else []
        found = {offer: float(at) for offer, at in (line.split() for line in lines)}
        if committed.keys() <= found.keys():
            return found
        if monotonic() > until:
            raise TimeoutError(f"{len(committed.keys() - found.keys())} events have not arrived")
        await asyncio.sleep(0.2)


async def _rates(scene: Scene, backlog: int, limit: float) -> list[Figure]:
    """Work off a backlog: first the relay, then the consumer."""
    since = datetime.now(UTC)
    for start in range(0, backlog, 1000):
        await _publish(scene, [_offer() for _ in range(min(1000, backlog - start))])
    outbox, inbox, count = quotes_messaging.outbox.c, orders_messaging.inbox.c, sa.func.count()
    with scene.process("relay"):
        await _until_zero(scene.quotes, sa.select(count).where(outbox.published_at.is_(None)))
    relayed = backlog / await _span(scene.quotes, outbox.published_at, outbox.occurred_at >= since)
    with scene.process("consumer"):
        await _until_zero(scene.orders, sa.select(backlog - count).where(inbox.received_at >= since))
    consumed = backlog / await _span(scene.orders, inbox.received_at, inbox.received_at >= since)
    return [_figure("relay", relayed, limit, backlog), _figure("consumer", consumed, limit, backlog)]


def _figure(what: str, rate: float, limit: float, backlog: int) -> Figure:
    did = "sent and marked" if what == "relay" else "handled, with inbox and effect committed"
    return Figure(
        name=f"catching up, one {what}",
        value=rate / FULL_LOAD,
        value_unit="of full load",
        direction="at least",
        aim=2.0,
        ours=rate,
        limit=limit,
        unit="events/s",
        notes=f"a backlog of {backlog:,} events {did} by one process; full load is {FULL_LOAD:.0f} events/s; the limit "
        "is kafka-producer-perf-test with the same records, acks=all, on the same brokers",
    )


async def _span(database: Database, moment: "sa.Column[datetime]", which: "sa.ColumnElement[bool]") -> float:
    """Seconds between the first and the last batch, by the database's own clock."""
    span = sa.func.max(moment) - sa.func.min(moment)
    return await _number(database, sa.select(sa.extract("epoch", span)).where(which))


async def _until_zero(database: Database, left: "sa.Select[Any]", limit: float = 600) -> None:
    until = monotonic() + limit
    while number := await _number(database, left):
        if monotonic() > until:
            raise TimeoutError(f"{number:.0f} events are left")
        await asyncio.sleep(0.5)


def _performance(scene: Scene, records: int) -> float:
    """Records a second by Kafka's own tool, with records like ours."""
    payloads = scene.folder / "payloads"
    payloads.write_bytes(b"\n".join(msgspec.json.encode(_offer()) for _ in range(1000)))
    properties = (f"bootstrap.servers={scene.kafka.servers}", "acks=all", "compression.type=lz4", "linger.ms=1")
    arguments = {
        "--topic": _PERFORMANCE_TOPIC.name,
        "--num-records": str(records),
        "--throughput": "-1",
        "--payload-file": str(payloads),
    }
    words = [word for pair in arguments.items() for word in pair]
    java = (scene.installed.java, "-Xmx256m", "-cp", class_path(scene.installed.kafka))
    command = (*java, _PERFORMANCE, *words, "--producer-props", *properties)
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - our own words
    rates: Sequence[str] = re.findall(r"([\d.]+) records/sec", said)
    return float(rates[-1])


async def _publish(scene: Scene, events: Sequence[OfferReceived]) -> None:
    async with scene.quotes.transaction() as connection:
        await Outbox(quotes_messaging.outbox).publish(connection, events, datetime.now(UTC))


def _offer() -> OfferReceived:
    today = date(2026, 7, 1)
    return OfferReceived(
        quote_id=new_id(),
        offer_id=new_id(),
        owner="buyer:" + "0" * 64,
        product="osago",
        product_version="1",
        insurer="bench",
        offer_number="N-1",
        premium=Money(Decimal("8697.22")),
        expires_at=datetime.now(UTC) + timedelta(days=1),
        starts_on=today,
        ends_on=today + timedelta(days=364),
    )
