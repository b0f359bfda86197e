"""Identifiers. Everything we name gets a UUIDv7 (RFC 9562), so ids sort by the moment they were made."""

import secrets
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A fresh UUIDv7."""
    return uuid7()


_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_RANDOM_BITS = 80


def first_id_at(moment: datetime) -> UUID:
    """The border between UUIDv7 made before a moment and from then on, to the millisecond; itself not a UUIDv7."""
    return UUID(int=(moment - _BEGINNING) // timedelta(milliseconds=1) << _RANDOM_BITS)


def made_at(identifier: UUID) -> datetime:
    """The millisecond a UUIDv7 was made in. Raises ``OverflowError`` for what is none and lies past the calendar."""
    return _BEGINNING + timedelta(milliseconds=identifier.int >> _RANDOM_BITS)


def new_secret() -> str:
    """An unguessable bearer secret: 256 bits, URL-safe."""
    return secrets.token_urlsafe(32)


def buyer_of(access_token: str) -> str:
    """The owner string of whoever holds this access token; only the digest is ever stored."""
    return f"buyer:{sha256(access_token.encode()).hexdigest()}"
