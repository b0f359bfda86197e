"""All SQL of staff."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from insuretech.kit.db import Connection, Database
from insuretech.settlement.staff.domain import DeedRecord, Person
from insuretech.settlement.staff.tables import staff, staff_deeds, staff_links, staff_sessions

_PERSON = tuple(staff.c[name] for name in Person.__struct_fields__)
_DEED = tuple(staff_deeds.c[name] for name in DeedRecord.__struct_fields__)
_NOTED = timedelta(minutes=1)
"""How exactly the last use of a session is known: noting every request would write with every read."""


class PostgresStaff:
    """The service's own database; implements ``StaffBooks``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, person: Person) -> bool:
        statement = pg.insert(staff).values(msgspec.structs.asdict(person)).on_conflict_do_nothing()
        async with self._database.transaction() as connection:
            return bool((await connection.execute(statement)).rowcount)

    async def person(self, name: str) -> Person | None:
        async with self._database.reading() as connection:
            return await _person(connection, sa.select(*_PERSON).where(staff.c.name == name))

    async def people(self) -> list[Person]:
        async with self._database.reading() as connection:
            rows = (await connection.execute(sa.select(*_PERSON).order_by(staff.c.name))).mappings()
            return [Person(**row) for row in rows]

    async def disable(self, name: str, now: datetime) -> bool:
        open_account = (staff.c.name == name, staff.c.disabled_at.is_(None))
        async with self._database.transaction() as connection:
            done = await connection.execute(sa.update(staff).where(*open_account).values(disabled_at=now))
            still = (staff_sessions.c.name == name, staff_sessions.c.ended_at.is_(None))
            await connection.execute(sa.update(staff_sessions).where(*still).values(ended_at=now))
            return bool(done.rowcount)

    async def keep_link(self, token_hash: bytes, name: str, now: datetime, expires_at: datetime) -> None:
        older = (staff_links.c.name == name, staff_links.c.used_at.is_(None))
        link = {"token_hash": token_hash, "name": name, "created_at": now, "expires_at": expires_at}
        async with self._database.transaction() as connection:
            await connection.execute(sa.delete(staff_links).where(*older))
            await connection.execute(sa.insert(staff_links).values(link))

    async def link_owner(self, token_hash: bytes, now: datetime) -> Person | None:
        found = (
            sa.select(*_PERSON).join(staff_links, staff_links.c.name == staff.c.name).where(*_usable(token_hash, now))
        )
        async with self._database.reading() as connection:
            return await _person(connection, found.where(staff.c.disabled_at.is_(None)))

    async def spend_link(self, link: bytes, session: bytes, now: datetime, expires_at: datetime) -> Person | None:
        spent = sa.update(staff_links).where(*_usable(link, now)).values(used_at=now).returning(staff_links.c.name)
        async with self._database.transaction() as connection:
            name = (await connection.execute(spent)).scalar()
            if name is None:
                return None
            found = sa.select(*_PERSON).where(staff.c.name == name, staff.c.disabled_at.is_(None))
            person = await _person(connection, found)
            if person is not None:
                times = {"created_at": now, "seen_at": now, "expires_at": expires_at}
                opened = sa.insert(staff_sessions).values(token_hash=session, name=name, **times)
                await connection.execute(opened)
            return person

    async def session_owner(self, token_hash: bytes, now: datetime, idle_since: datetime) -> Person | None:
        mine = (
            staff_sessions.c.token_hash == token_hash,
            staff_sessions.c.ended_at.is_(None),
            staff_sessions.c.expires_at > now,
            staff_sessions.c.seen_at > idle_since,
        )
        found = sa.select(*_PERSON, staff_sessions.c.seen_at).join(staff, staff.c.name == staff_sessions.c.name)
        async with self._database.reading() as connection:
            row = (await connection.execute(found.where(*mine, staff.c.disabled_at.is_(None)))).mappings().first()
            if row is None:
                return None
            if row["seen_at"] < now - _NOTED:
                await connection.execute(sa.update(staff_sessions).where(*mine).values(seen_at=now))
            return Person(**{name: row[name] for name in Person.__struct_fields__})

    async def end_session(self, token_hash: bytes, now: datetime) -> None:
        mine = (staff_sessions.c.token_hash == token_hash, staff_sessions.c.ended_at.is_(None))
        async with self._database.transaction() as connection:
            await connection.execute(sa.update(staff_sessions).where(*mine).values(ended_at=now))

    async def note(self, deed: DeedRecord) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(sa.insert(staff_deeds).values(msgspec.structs.asdict(deed)))

    async def deeds(self, limit: int, offset: int) -> list[DeedRecord]:
        found = sa.select(*_DEED).order_by(staff_deeds.c.id.desc()).limit(limit).offset(offset)
        async with self._database.reading() as connection:
            return [DeedRecord(**row) for row in (await connection.execute(found)).mappings()]


def _usable(token_hash: bytes, now: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        staff_links.c.token_hash == token_hash,
        staff_links.c.used_at.is_(None),
        staff_links.c.expires_at > now,
    )


async def _person(connection: Connection, found: sa.Select[Any]) -> Person | None:
    row = (await connection.execute(found)).mappings().first()
    return None if row is None else Person(**row)
