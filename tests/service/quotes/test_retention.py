"""What becomes of quotes past their retention, and of those that were there before partitions."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy.engine import URL

from insuretech.kit.clock import FixedClock
from insuretech.kit.db import Database
from insuretech.kit.ids import new_id
from insuretech.kit.migrations import migrate
from insuretech.kit.partition_keeper import PartitionKeeper
from insuretech.quotes.tables import callbacks, events, insured, lines, offers, partition_plans, quotes
from tests.service.quotes.conftest import Chosen

GROWING = (quotes, lines, offers, events, callbacks)


def keeper_of(chosen: Chosen, clock: FixedClock) -> PartitionKeeper:
    """Looks after the tables as the service has it done."""
    return PartitionKeeper(chosen.world.database, chosen.world.quotes.service.partitions, clock)


async def rows(chosen: Chosen) -> int:
    """How much there is in all tables that grow with quotes."""
    return sum([len(await chosen.world.rows(sa.select(sa.literal(1)).select_from(table))) for table in GROWING])


async def test_quotes_go_after_their_retention(chosen: Chosen) -> None:
    """Answers of people who only looked would be kept for ever."""
    clock = FixedClock(datetime.now(UTC) + timedelta(days=90))
    await keeper_of(chosen, clock).maintain()
    assert await rows(chosen)

    clock.advance(timedelta(days=9))
    kept = await keeper_of(chosen, clock).maintain()

    assert all(one.dropped for one in kept)
    assert await rows(chosen) == 0
    assert await chosen.world.rows(sa.select(insured)) == []


async def test_what_a_policy_was_issued_on_stays(chosen: Chosen) -> None:
    """A policy could not be printed again three months after it was bought."""
    order = new_id()
    await chosen.world.hear(chosen.placed(order))
    await chosen.world.hear(chosen.issued(order))
    before = await chosen.world.quotes.offers.insured(chosen.quote_id)
    assert before

    await keeper_of(chosen, FixedClock(datetime.now(UTC) + timedelta(days=99))).maintain()

    assert await rows(chosen) == 0
    assert await chosen.world.quotes.offers.insured(chosen.quote_id) == before
    assert chosen.world.quotes.service.reencrypt is not None
    fresh = chosen.world.keyring.with_new_key()
    chosen.world.keyring.__dict__.update(fresh.__dict__)
    assert await chosen.world.quotes.service.reencrypt() == 1


# ---------------------------------------------------------------- a database from before partitions

# Statements of the version before that name no quote, or name keys that have changed since.
OLD = {
    "mark": """
        update quotes.lines set status = 'pending' where id = any($1::uuid[]) and status = 'sent' returning id
    """,
    "callback": """
        insert into quotes.callbacks as known (reference, digest, received_at) values ($1, 'd', now())
        on conflict (reference, digest) do update set received_at = now() where known.handled_at is null
    """,
    "offer": "select status from quotes.offers where id = $1 for update",
    "expire": """
        update quotes.offers set status = 'expired' where id in (
            select id from quotes.offers where status = 'active' and expires_at <= now()
            order by expires_at limit 10 for update skip locked
        )
    """,
    "claim": """
        update quotes.lines set claimed_by = $1 where id in (
            select id from quotes.lines where status in ('queued', 'sent', 'pending') and claimed_by is null
            order by deadline limit 10 for update skip locked
        ) returning id
    """,
    "forget": "delete from quotes.quotes where id in (select id from quotes.quotes where expires_at < $1 limit 10)",
}


class Before:
    """The version before at work on the tables as it made them."""

    def __init__(self, connection: "asyncpg.Connection[Any]") -> None:
        self._connection = connection
        self._prepared: dict[str, Any] = {}

    async def prepare(self) -> None:
        self._prepared = {name: await self._connection.prepare(sql) for name, sql in OLD.items()}

    async def run(self, name: str, *values: object) -> list[Any]:
        found: list[Any] = [row[0] for row in await self._prepared[name].fetch(*values)]
        return found

    async def add(self, quote: UUID, line: UUID, offer: UUID, status: str = "active") -> None:
        """A quote with an open line and an offer that is over."""
        run = self._connection.execute
        await run(
            """
            insert into quotes.quotes values ($1, now(), 'o', 'osago', '1', 'collecting', 'a', null, null, null, 'RUB',
                current_date, current_date, now(), 1, 1, 1)
            """,
            quote,
        )
        await run("insert into quotes.lines values ($1, $2, 'one', 'sent', null, null, now())", line, quote)
        await run(
            """
            insert into quotes.offers values ($1, $2, $3, 'one', 'n', 1, 'RUB', $4, now(), now() - interval '1 hour')
            """,
            offer,
            quote,
            line,
            status,
        )
        await run("insert into quotes.quote_events values ($1, 1, 'e')", quote)

    async def count(self, table: str) -> int:
        return int(await self._connection.fetchval(f"select count(*) from quotes.{table}"))  # noqa: S608 - our names

    async def refused(self, quote: UUID, line: UUID) -> bool:
        """Whether a second current offer of a line is."""
        try:
            await self.add_offer(quote, line)
        except asyncpg.UniqueViolationError:
            return True
        return False

    async def add_offer(self, quote: UUID, line: UUID) -> None:
        await self._connection.execute(
            "insert into quotes.offers values ($1, $2, $3, 'one', 'n', 1, 'RUB', 'active', now(), now())",
            new_id(),
            quote,
            line,
        )


@pytest.fixture
async def before(admin_url: URL, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Before]:
    """Tables as they were before partitions, and the version that works on them."""
    host, name = str(admin_url.query["host"]), admin_url.database
    admin = await asyncpg.connect(host=host, user=admin_url.username, database=name)
    await admin.execute("drop schema quotes cascade")
    await admin.close()
    upgrade = command.upgrade
    with monkeypatch.context() as patched:
        patched.setattr(command, "upgrade", lambda config, _: upgrade(config, "0002"))
        await migrate(admin_url, ["quotes"])
    connection = await asyncpg.connect(host=host, user="quotes", database=name)
    yield Before(connection)
    await connection.close()


async def test_quotes_from_before_come_through(
    before: Before, admin_url: URL, database: Callable[[str], Database]
) -> None:
    """An upgrade would lose offers people are about to pay for, or stop the processes that still run."""
    quote, line, offer = new_id(), new_id(), new_id()
    sold, of_sold, policy = new_id(), new_id(), new_id()
    await before.prepare()
    await before.add(quote, line, offer)
    await before.add(sold, of_sold, policy, status="consumed")
    await before.run("callback", line)

    await migrate(admin_url, ["quotes"])

    assert [await before.count(table.name) for table in GROWING] == [2, 2, 2, 2, 1]
    assert await before.refused(quote, line)
    new, new_line = new_id(), new_id()
    await before.add(new, new_line, new_id())
    assert set(await before.run("mark", [line, new_line])) == {line, new_line}
    assert set(await before.run("claim", new_id())) == {line, of_sold, new_line}
    await before.run("callback", line)
    await before.run("callback", new_line)
    assert await before.count("callbacks") == 2
    await before.run("expire")
    assert [await before.run("offer", one) for one in (offer, policy)] == [["expired"], ["consumed"]]
    await before.run("forget", datetime.now(UTC) - timedelta(days=1))
    assert await before.count("quotes") == 3

    plans = partition_plans(kept=timedelta(days=91), period=timedelta(days=7))
    clock = FixedClock(datetime.now(UTC) + timedelta(days=99))
    await PartitionKeeper(database("quotes"), plans, clock).maintain()
    assert await before.count("quotes") == 0
    assert await before.count("insured") == 1
