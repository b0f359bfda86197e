"""Idempotency keys (draft-ietf-httpapi-idempotency-key-header): the same request twice has one effect and one answer.

A key is unique per client and route. ``begin`` claims it in the caller's transaction; ``finish`` stores the answer.
Where the effect is one transaction, both run in it; where an outside call lies between, ``begin`` is committed first
and a claim left by a crash lapses after ``LOCKED_FOR``. A lapsed claim is worked on again, so the work behind it must
itself be safe to repeat.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b, sha256

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncConnection

from insuretech.kit.problems import BadRequest, IdempotencyKeyMissing, IdempotencyKeyReused, RequestInFlight

LOCKED_FOR = timedelta(seconds=30)
KEPT_FOR = timedelta(hours=72)
_LONGEST = 255


@dataclass(frozen=True)
class Scope:
    """Whose key it is: ``client`` is the owner string, ``route`` the method and path with its ids."""

    client: str
    route: str
    key: str

    @property
    def lock(self) -> int:
        digest = blake2b(f"{self.client}\0{self.route}\0{self.key}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big", signed=True)


@dataclass(frozen=True)
class StoredAnswer:
    """The first answer, to be given again."""

    status: int
    body: bytes


def fingerprint(body: bytes) -> bytes:
    """What tells whether a repeated request is the same request."""
    return sha256(body).digest()


def required_key(value: str | None) -> str:
    """The header's value, or the problem a caller without one gets."""
    if not value:
        raise IdempotencyKeyMissing("Send a fresh UUID in Idempotency-Key and repeat it with every retry.")
    return checked_key(value)


def checked_key(value: str) -> str:
    """Strip the quotes of a structured-field string and refuse what cannot be a key."""
    key = value[1:-1] if len(value) > 2 and value[0] == value[-1] == '"' else value
    if not key.isascii() or not key.isprintable() or not 1 <= len(key) <= _LONGEST:
        raise BadRequest(f"Idempotency-Key is 1 to {_LONGEST} printable ASCII characters.")
    return key


class IdempotencyKeys:
    """The keys of one service."""

    def __init__(self, table: sa.Table) -> None:
        self._table = table

    async def begin(
        self,
        connection: AsyncConnection,
        scope: Scope,
        body: bytes,
        now: datetime,
        *,
        locked_for: timedelta = LOCKED_FOR,
    ) -> StoredAnswer | None:
        """Claim the key: None means go on, an answer means give that one again.

        A claim that is committed before its work ends lapses after ``locked_for``, which that work must keep to.
        Raises ``RequestInFlight`` while another holds it and ``IdempotencyKeyReused`` for another body.
        """
        table, mark = self._table, fingerprint(body)
        claim = pg.insert(table).from_select(
            ["client", "route", "key", "fingerprint", "locked_until", "created_at"],
            sa.select(
                sa.literal(scope.client),
                sa.literal(scope.route),
                sa.literal(scope.key),
                sa.literal(mark, sa.LargeBinary),
                sa.literal(now + locked_for, sa.DateTime(timezone=True)),
                sa.literal(now, sa.DateTime(timezone=True)),
            ).where(sa.func.pg_try_advisory_xact_lock(sa.literal(scope.lock, sa.BigInteger))),
        )
        claim = claim.on_conflict_do_update(
            index_elements=["client", "route", "key"],
            set_={"locked_until": now + locked_for},
            where=sa.and_(table.c.status.is_(None), table.c.locked_until < now, table.c.fingerprint == mark),
        )
        if (await connection.execute(claim.returning(table.c.key))).first() is not None:
            return None
        found = (await connection.execute(self._row(scope))).first()
        if found is None:
            raise RequestInFlight
        if found.fingerprint != mark:
            raise IdempotencyKeyReused
        if found.status is None:
            raise RequestInFlight
        return StoredAnswer(found.status, found.body)

    async def finish(self, connection: AsyncConnection, scope: Scope, answer: StoredAnswer) -> None:
        """Store the answer beside the effect."""
        table = self._table
        await connection.execute(
            sa.update(table).where(*self._is(scope)).values(status=answer.status, body=answer.body)
        )

    async def release(self, connection: AsyncConnection, scope: Scope) -> None:
        """Give up a claim whose work had no effect, so that the caller may repeat at once."""
        await connection.execute(sa.delete(self._table).where(*self._is(scope), self._table.c.status.is_(None)))

    async def drop_old(self, connection: AsyncConnection, now: datetime) -> int:
        """Forget keys past their retention; the number forgotten."""
        result = await connection.execute(sa.delete(self._table).where(self._table.c.created_at < now - KEPT_FOR))
        return result.rowcount

    def _row(self, scope: Scope) -> sa.Select[tuple[bytes, int, bytes]]:
        columns = self._table.c
        return sa.select(columns.fingerprint, columns.status, columns.body).where(*self._is(scope))

    def _is(self, scope: Scope) -> tuple[sa.ColumnElement[bool], ...]:
        columns = self._table.c
        return (columns.client == scope.client, columns.route == scope.route, columns.key == scope.key)
