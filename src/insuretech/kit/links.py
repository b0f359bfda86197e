"""Links that open one thing for whoever holds them, until a moment.

The token in such a link is a ciphertext (AES-256-GCM under the process's keyring) of the thing's id and the moment, so
it can neither be guessed nor lengthened, says nothing to a reader of logs, and works on any replica without a table.
"""

import base64
import binascii
from datetime import UTC, datetime, timedelta
from uuid import UUID

from insuretech.kit.clock import Clock
from insuretech.kit.keyring import CiphertextInvalid, Keyring
from insuretech.kit.problems import NotFound, Problem

_MOMENT = 8  # bytes of the last second, big-endian


class LinkExpired(Problem):
    """The link was good and its time is over."""

    status = 410
    slug = "link-expired"
    title = "This link has expired; ask for a new one"


class SealedLinks:
    """Makes and opens links of one ``purpose``; a link of another purpose does not open."""

    def __init__(self, keyring: Keyring, clock: Clock, *, purpose: str) -> None:
        self._keyring = keyring
        self._clock = clock
        self._context = f"link:{purpose}"

    def seal(self, subject: UUID, lifetime: timedelta) -> tuple[str, datetime]:
        """A token for ``subject``, and the last second it is good for."""
        until = (self._clock.now() + lifetime).replace(microsecond=0)
        plain = int(until.timestamp()).to_bytes(_MOMENT, "big") + subject.bytes
        sealed = self._keyring.encrypt(plain, self._context)
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode(), until

    def open(self, token: str) -> UUID:
        """What the token is for. Raises ``LinkExpired``, or ``NotFound`` for anything we did not make."""
        try:
            sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            plain = self._keyring.decrypt(sealed, self._context)
        except (ValueError, binascii.Error, CiphertextInvalid) as error:
            raise NotFound from error
        if len(plain) != _MOMENT + 16:
            raise NotFound
        if datetime.fromtimestamp(int.from_bytes(plain[:_MOMENT], "big"), UTC) < self._clock.now():
            raise LinkExpired
        return UUID(bytes=plain[_MOMENT:])
