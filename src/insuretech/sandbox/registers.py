"""An insurer's side of registers: takes the manifest, then files in parts; checks hashes and signature; agrees."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from insuretech.contracts.registers import Manifest
from insuretech.kit.clock import Clock

_THINKS = timedelta(seconds=2)
"""How long an insurer of the sandbox looks at a register before it agrees."""


class ReceivedRegister(msgspec.Struct, frozen=True, kw_only=True):
    """What an insurer was told; ``received_at`` once all of it was there and right."""

    id: UUID
    insurer: str
    number: str
    message_id: str
    manifest: bytes
    signature: bytes
    public_key: bytes
    told_at: datetime
    received_at: datetime | None = None
    refusal: str | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the insurer says of a register."""

    status: str
    received: dict[str, int]
    reason: str = ""


class RegisterUnknown(Exception):
    """Nobody told the insurer of this register."""


class PartOutOfPlace(Exception):
    """A part that does not follow on what is there."""


class RegisterBooks(Protocol):
    """What insurers keep of registers."""

    async def register(self, insurer: str, register_id: UUID) -> ReceivedRegister | None: ...

    async def note(self, register: ReceivedRegister) -> None:
        """Keep what was told; the first word stands."""
        ...

    async def sizes(self, register_id: UUID) -> dict[str, int]: ...

    async def append(self, register_id: UUID, digest: str, starts_at: int, content: bytes) -> None: ...

    async def digest(self, register_id: UUID, digest: str) -> str: ...

    async def end(self, register_id: UUID, received_at: datetime | None, refusal: str | None) -> None: ...


@dataclass(frozen=True)
class RegisterDesk:
    """The use cases."""

    books: RegisterBooks
    clock: Clock

    async def told(self, insurer: str, announced: ReceivedRegister) -> Answer:
        """Take note of a register; wrongly signed it is refused for good."""
        await self.books.note(announced)
        if not _signed(announced):
            await self.books.end(announced.id, None, "the signature is not right")
        return await self.answer(insurer, announced.id)

    async def part(self, insurer: str, register_id: UUID, digest: str, starts_at: int, content: bytes) -> Answer:
        """Append a part; one that is there already changes nothing."""
        register = await self._register(insurer, register_id)
        there = (await self.books.sizes(register_id)).get(digest, 0)
        if starts_at > there:
            raise PartOutOfPlace
        if starts_at + len(content) > there:
            await self.books.append(register_id, digest, there, content[there - starts_at :])
        await self._complete(register)
        return await self.answer(insurer, register_id)

    async def answer(self, insurer: str, register_id: UUID) -> Answer:
        """Where the register stands."""
        register = await self._register(insurer, register_id)
        sizes = await self.books.sizes(register_id)
        if register.refusal is not None:
            return Answer(status="refused", received=sizes, reason=register.refusal)
        if register.received_at is None:
            return Answer(status="incomplete", received=sizes)
        agreed = self.clock.now() >= register.received_at + _THINKS
        return Answer(status="acknowledged" if agreed else "received", received=sizes)

    async def _complete(self, register: ReceivedRegister) -> None:
        if register.received_at is not None or register.refusal is not None:
            return
        manifest = msgspec.json.decode(register.manifest, type=Manifest)
        sizes = await self.books.sizes(register.id)
        if any(sizes.get(file.sha256, 0) < file.size for file in manifest.files):
            return
        for file in manifest.files:
            if await self.books.digest(register.id, file.sha256) != file.sha256:
                await self.books.end(register.id, None, f"{file.name} is not the file that was signed")
                return
        await self.books.end(register.id, self.clock.now(), None)

    async def _register(self, insurer: str, register_id: UUID) -> ReceivedRegister:
        found = await self.books.register(insurer, register_id)
        if found is None:
            raise RegisterUnknown
        return found


def _signed(register: ReceivedRegister) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(register.public_key).verify(register.signature, register.manifest)
        manifest = msgspec.json.decode(register.manifest, type=Manifest)
    except (InvalidSignature, ValueError, msgspec.MsgspecError):
        return False
    return (manifest.register_id, manifest.insurer) == (register.id, register.insurer)
