"""What relays of one service say to the database: who holds which range, what waits in it, what went out."""

from zlib import crc32

from insuretech.kit.events import Envelope
from insuretech.kit.messaging import MessagingTables

RANGES = 12
"""Ranges of keys per service: as many relays can share the work, evenly among one, two, three, four or six.

Another number would move keys between relays of the old and the new version, which must then not run side by side.
"""

_PRESENCE = 1_000_000
_RANGE = f"(hashtext(key) & 2147483647) % {RANGES}"


class RelayStatements:
    """SQL over one service's outbox, made once."""

    def __init__(self, tables: MessagingTables) -> None:
        outbox, letters = tables.outbox.fullname, tables.dead_letters.fullname
        space = crc32(f"relay:{tables.outbox.schema}".encode()) & 0x7FFFFFFF
        columns = ", ".join(Envelope.__struct_fields__)
        self.be_present = f"select pg_advisory_lock_shared({space}, {_PRESENCE})"
        self.try_lock = f"select pg_try_advisory_lock({space}, $1) as taken"
        self.unlock = f"select pg_advisory_unlock({space}, $1), pg_notify('{tables.outbox.schema}_outbox', '')"
        self.end_session = "select pg_terminate_backend($1)"
        self.locks = f"""
            select held.pid, held.objid::bigint as number,
                extract(epoch from clock_timestamp() - activity.query_start)::float8 as silent
            from pg_locks held join pg_stat_activity activity using (pid)
            where held.locktype = 'advisory' and held.granted and held.objsubid = 2 and held.classid::bigint = {space}
                and held.database = (select oid from pg_database where datname = current_database())
        """  # noqa: S608 - a number of ours
        self.waiting = f"""
            select {columns}, {_RANGE} as range from {outbox}
            where published_at is null and position >= $3 and {_RANGE} = any($1::integer[]) order by position limit $2
        """  # noqa: S608 - names of ours
        self.mark = f"update {outbox} set published_at = now() where id = any($1::uuid[])"  # noqa: S608 - a name of ours
        self.bury = f"""
            insert into {letters} (id, event_id, consumer, type, envelope, reason, attempts)
            values ($1, $1, $2, $3, $4, $5, 1) on conflict do nothing
        """  # noqa: S608 - a name of ours
        self.count = f"""
            select
                (select count(*) from (select from {outbox} where published_at is null limit 100000) few) as waiting,
                (select extract(epoch from now() - occurred_at)::float8 from {outbox}
                 where published_at is null order by position limit 1) as age
        """  # noqa: S608 - a name of ours
