"""Signatures of registers: Ed25519, by a key that all replicas share.

The key is made when the first register is signed, and kept in the database encrypted under the keyring. Older keys stay
for verifying; a new one is made by command.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from insuretech.kit.clock import Clock
from insuretech.kit.keyring import Keyring


class SigningKey(msgspec.Struct, frozen=True, kw_only=True):
    """A pair of keys of 32 bytes; the private one is encrypted. ``id`` is the beginning of the public one, in hex."""

    id: str
    public_key: bytes
    private_key: bytes
    created_at: datetime


class KeyShelf(Protocol):
    """Where signing keys are kept."""

    async def newest_key(self) -> SigningKey | None: ...

    async def add_first_key(self, key: SigningKey) -> None:
        """Keep a key unless there is one already."""
        ...

    async def add_key(self, key: SigningKey) -> None: ...

    async def keys(self) -> list[SigningKey]:
        """All keys, the newest first."""
        ...

    async def replace_private_key(self, key: SigningKey) -> None: ...


def is_genuine(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the holder of the private key signed exactly this message."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


@dataclass(frozen=True)
class Seal:
    """Signs with the newest key."""

    shelf: KeyShelf
    keyring: Keyring
    clock: Clock

    async def key(self) -> SigningKey:
        """The key in use; two replicas that make the first one at once end up with the same."""
        found = await self.shelf.newest_key()
        if found is None:
            await self.shelf.add_first_key(self._new_key())
            found = await self.shelf.newest_key()
        if found is None:
            raise LookupError("the key that was just kept is not there")
        return found

    async def new_key(self) -> SigningKey:
        """Sign with another key from now on."""
        key = self._new_key()
        await self.shelf.add_key(key)
        return key

    def sign(self, key: SigningKey, message: bytes) -> bytes:
        """64 bytes. Raises ``CiphertextInvalid`` when the private key cannot be decrypted."""
        private = self.keyring.decrypt(key.private_key, _context(key.id))
        return Ed25519PrivateKey.from_private_bytes(private).sign(message)

    async def reencrypt(self) -> int:
        """Encrypt every private key under the current key of the ring; gives their number."""
        changed = 0
        for key in await self.shelf.keys():
            if self.keyring.key_id(key.private_key) != self.keyring.current:
                private = self.keyring.decrypt(key.private_key, _context(key.id))
                sealed = self.keyring.encrypt(private, _context(key.id))
                await self.shelf.replace_private_key(msgspec.structs.replace(key, private_key=sealed))
                changed += 1
        return changed

    def _new_key(self) -> SigningKey:
        private = Ed25519PrivateKey.generate()
        public = private.public_key().public_bytes_raw()
        key_id = public.hex()[:16]
        return SigningKey(
            id=key_id,
            public_key=public,
            private_key=self.keyring.encrypt(private.private_bytes_raw(), _context(key_id)),
            created_at=self.clock.now(),
        )


def _context(key_id: str) -> str:
    return f"settlement.signing_key:{key_id}"
