"""Identifiers. Everything we name gets a UUIDv7 (RFC 9562), so ids sort by the moment they were made."""

import secrets
from hashlib import sha256
from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A fresh UUIDv7."""
    return uuid7()


def new_secret() -> str:
    """An unguessable bearer secret: 256 bits, URL-safe."""
    return secrets.token_urlsafe(32)


def buyer_of(access_token: str) -> str:
    """The owner string of whoever holds this access token; only the digest is ever stored."""
    return f"buyer:{sha256(access_token.encode()).hexdigest()}"
