"""Idempotency keys (draft-ietf-httpapi-idempotency-key-header): the same request twice has one effect and one answer.

A key is unique per client and route. ``begin`` claims it in the caller's transaction; ``finish`` stores the answer.
Where the effect is one transaction, both run in it; where an outside call lies between, ``begin`` is committed first
and a claim left by a crash lapses after ``LOCKED_FOR``. A lapsed claim is worked on again, so the work behind it must
itself be safe to repeat.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b, sha256
from typing import Any

import asyncpg
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncConnection

from insuretech.kit.direct import Direct
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
    """The keys of one service.

    Statements are built once: these run in every request that creates something, and building costs more than running.
    """

    def __init__(self, table: sa.Table) -> None:
        columns, moment = table.c, sa.DateTime(timezone=True)
        parameters: dict[str, sa.BindParameter[Any]] = {
            "client": sa.bindparam("client", type_=sa.Text),
            "route": sa.bindparam("route", type_=sa.Text),
            "key": sa.bindparam("key", type_=sa.Text),
            "fingerprint": sa.bindparam("mark", type_=sa.LargeBinary),
            "locked_until": sa.bindparam("until", type_=moment),
            "created_at": sa.bindparam("now", type_=moment),
        }
        is_this = [columns[name] == sa.bindparam(f"_{name}", type_=sa.Text) for name in ("client", "route", "key")]
        free = sa.func.pg_try_advisory_xact_lock(sa.bindparam("lock", type_=sa.BigInteger))
        claimed: list[sa.ColumnElement[Any]] = list(parameters.values())
        claim = pg.insert(table).from_select(list(parameters), sa.select(*claimed).where(free))
        claim = claim.on_conflict_do_update(
            index_elements=["client", "route", "key"],
            set_={"locked_until": parameters["locked_until"]},
            where=sa.and_(
                columns.status.is_(None),
                columns.locked_until < parameters["created_at"],
                columns.fingerprint == parameters["fingerprint"],
            ),
        )
        self._claim = claim.returning(columns.key)
        self._found = Direct(sa.select(columns.fingerprint, columns.status, columns.body).where(*is_this))
        self._finish = (
            sa.update(table)
            .where(*is_this)
            .values(
                status=sa.bindparam("_status", type_=columns.status.type),
                body=sa.bindparam("_body", type_=sa.LargeBinary),
            )
        )
        self._release = sa.delete(table).where(*is_this, columns.status.is_(None))
        self._drop = sa.delete(table).where(columns.created_at < sa.bindparam("_oldest", type_=moment))

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
        mark = fingerprint(body)
        values = {
            "client": scope.client,
            "route": scope.route,
            "key": scope.key,
            "mark": mark,
            "until": now + locked_for,
            "now": now,
            "lock": scope.lock,
        }
        if (await connection.execute(self._claim, values)).first() is not None:
            return None
        found = await self.answer(connection, scope, body)
        if found is None:
            raise RequestInFlight
        return found

    async def answer(self, connection: AsyncConnection, scope: Scope, body: bytes) -> StoredAnswer | None:
        """The first answer under this key, or None when it is not known.

        Raises ``RequestInFlight`` while another holds it and ``IdempotencyKeyReused`` for another body.
        """
        found = await self._found.first(connection, _of(scope))
        if found is None:
            return None
        if found["fingerprint"] != fingerprint(body):
            raise IdempotencyKeyReused
        if found["status"] is None:
            raise RequestInFlight
        return StoredAnswer(found["status"], found["body"])

    async def finish(self, connection: AsyncConnection, scope: Scope, answer: StoredAnswer) -> None:
        """Store the answer beside the effect."""
        await connection.execute(self._finish, {**_of(scope), "_status": answer.status, "_body": answer.body})

    async def release(self, connection: AsyncConnection, scope: Scope) -> None:
        """Give up a claim whose work had no effect, so that the caller may repeat at once."""
        await connection.execute(self._release, _of(scope))

    async def drop_old(self, connection: AsyncConnection, now: datetime) -> int:
        """Forget keys past their retention; the number forgotten."""
        return (await connection.execute(self._drop, {"_oldest": now - KEPT_FOR})).rowcount


def answered_row(scope: Scope, body: bytes, answer: StoredAnswer, now: datetime) -> dict[str, Any]:
    """A key with its answer as one row, for an effect that is a single statement and writes the key within it.

    Such a statement fails as a whole where the key is there already; ``IdempotencyKeys.answer`` then tells why.
    """
    return {
        "client": scope.client,
        "route": scope.route,
        "key": scope.key,
        "fingerprint": fingerprint(body),
        "locked_until": now,
        "created_at": now,
        "status": answer.status,
        "body": answer.body,
    }


def key_was_used(error: sa.exc.IntegrityError) -> bool:
    """Whether such a statement failed because its key is there already, and not for a reason of its own."""
    cause = error.orig if isinstance(error.orig, asyncpg.PostgresError) else getattr(error.orig, "__cause__", None)
    return isinstance(cause, asyncpg.UniqueViolationError) and cause.table_name == "idempotency_keys"


def _of(scope: Scope) -> dict[str, str]:
    return {"_client": scope.client, "_route": scope.route, "_key": scope.key}
