"""What passes between settlement and whoever gives the other side's own register of a month."""

from datetime import date
from typing import Protocol

import msgspec


class FetchedFile(msgspec.Struct, frozen=True):
    """A file as the other side gave it."""

    name: str
    content: bytes


class SourceUnavailable(Exception):
    """The other side did not give its file; the message says why in a sentence."""


class StatementSource(Protocol):
    """Where the other side's own file can be fetched; ``party`` is an insurer's code or one of the provider's."""

    def fetches(self, party: str) -> bool:
        """Whether this party has such an address."""
        ...

    async def fetch(self, party: str, month: date) -> FetchedFile:
        """The file of a month. Raises ``SourceUnavailable``."""
        ...
