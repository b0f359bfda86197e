"""Files kept as objects: encrypted before they leave us, named after their content, checked when they come back.

``ObjectStorage`` is the port, implemented in ``connectors.object_storage`` for a folder and for S3; ``FileVault`` is
what a service keeps one kind of its files in. The row that points at a file holds its hash.
"""

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from insuretech.kit.keyring import CiphertextInvalid, Keyring


class StorageAway(OSError):
    """The object storage did not do its part in time; the same call may well succeed later."""


class ObjectFound(msgspec.Struct, frozen=True, kw_only=True):
    """An object as a listing shows it; ``size`` in bytes as it lies there."""

    key: str
    size: int
    changed_at: datetime


class ObjectStorage(Protocol):
    """Whole objects by key. Raises ``StorageAway`` when the storage does not do its part."""

    async def put(self, key: str, content: bytes, *, replace: bool = False) -> None:
        """Keep an object. One that is there already stays as it is, unless ``replace``.

        Some S3 servers ignore the condition and replace anyway, so keys must tell the content apart.
        """
        ...

    async def get(self, key: str) -> bytes | None:
        """The object, or None when there is none."""
        ...

    async def delete(self, key: str) -> None:
        """Remove an object; fine when there is none."""
        ...

    def below(self, prefix: str) -> AsyncIterator[list[ObjectFound]]:
        """All objects whose key begins with the folder ``prefix``, a page at a time."""
        ...

    async def check(self) -> None:
        """Raise ``StorageAway``, with a sentence for a person, when objects cannot be kept here now."""
        ...


class LargeObjects(ObjectStorage, Protocol):
    """A storage that also takes and gives what is too large to be held in memory."""

    async def put_file(self, key: str, path: Path) -> None:
        """Keep a file of this machine. Keys tell the content apart, so that a repeat changes nothing."""
        ...

    def pieces(self, key: str) -> AsyncIterator[bytes]:
        """The object, a megabyte or so at a time. Raises ``FileMissing`` when there is none."""
        ...


class KeptFile(msgspec.Struct, frozen=True, kw_only=True):
    """Where a file lies and what it must be: ``sha256`` (hex) and ``size`` are those before encryption."""

    storage_key: str
    sha256: str
    size: int


class FileMissing(Exception):
    """The object is not there."""


class FileAltered(Exception):
    """The object is there and is not what was kept."""


class FileVault:
    """One kind of files below ``folder``; ``purpose`` binds a ciphertext to the kind, so that kinds cannot be swapped.

    The key of an object holds the hash of the content and the id of the encryption key: what lies under a key never
    changes, and keeping the same content again changes nothing.
    """

    def __init__(self, storage: ObjectStorage, keyring: Keyring, *, folder: str, purpose: str) -> None:
        self.storage = storage
        self.folder = folder
        self._keyring = keyring
        self._purpose = purpose

    def named(self, content: bytes) -> KeptFile:
        """Where this content lies, or would."""
        digest = sha256(content).hexdigest()
        return KeptFile(storage_key=self.key(digest), sha256=digest, size=len(content))

    def key(self, digest: str) -> str:
        """Where content of this hash lies under the current encryption key."""
        return f"{self.folder}/{digest[:2]}/{digest}.{self._keyring.current}"

    async def keep(self, content: bytes, *, replace: bool = False) -> KeptFile:
        """Encrypt and store; ``replace`` where what lies there is damaged."""
        file = self.named(content)
        sealed = self._keyring.encrypt(content, self._context(file.sha256))
        await self.storage.put(file.storage_key, sealed, replace=replace)
        return file

    async def read(self, file: KeptFile) -> bytes:
        """The content as it was kept. Raises ``FileMissing``, ``FileAltered`` or ``StorageAway``."""
        sealed = await self.storage.get(file.storage_key)
        if sealed is None:
            raise FileMissing(file.storage_key)
        try:
            content = self._keyring.decrypt(sealed, self._context(file.sha256))
        except CiphertextInvalid as error:
            raise FileAltered(str(error)) from error
        if sha256(content).hexdigest() != file.sha256:
            raise FileAltered("the content does not have the hash we noted")
        return content

    def _context(self, digest: str) -> str:
        """Binds a ciphertext to its content: put in another's place it does not open."""
        return f"{self._purpose}:{digest}"


Fault = Literal["missing", "altered", "unwanted", "waiting", "gone"]
"""What can be wrong with a file; ``gone``: lost or altered, and what it was made from is gone as well."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing a check found. ``repaired`` says that it is put right by now."""

    service: str
    fault: Fault
    id: str
    storage_key: str
    repaired: bool
    detail: str


FileCheck = Callable[[bool], AsyncIterator[Finding]]
"""Goes through all files of a service and yields what is wrong; given True it repairs what can be repaired."""
