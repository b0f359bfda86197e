"""Signed messages between two parties with a shared secret: HMAC-SHA256 over the moment and the body.

The header reads ``t=<unix seconds>,v1=<hex>``; the moment is signed too, so that an old message cannot be replayed.
"""

import hmac
from datetime import datetime

TOLERANCE = 300
"""Seconds by which the two clocks may differ, or a message may be late."""


def signed(secret: str, body: bytes, at: datetime) -> str:
    """The signature header for ``body`` sent now."""
    moment = int(at.timestamp())
    return f"t={moment},v1={_digest(secret, str(moment), body)}"


def is_genuine(secret: str, body: bytes, header: str, now: datetime) -> bool:
    """Whether ``header`` is a recent signature of ``body`` by someone who knows the secret."""
    moment, separator, digest = header.removeprefix("t=").partition(",v1=")
    if not separator or not header.isascii() or not moment.isdigit() or len(moment) > 12:
        return False
    if abs(now.timestamp() - int(moment)) > TOLERANCE:
        return False
    return hmac.compare_digest(digest, _digest(secret, moment, body))


def _digest(secret: str, moment: str, body: bytes) -> str:
    return hmac.digest(secret.encode(), moment.encode() + b"." + body, "sha256").hex()
