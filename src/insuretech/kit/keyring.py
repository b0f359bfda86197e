"""Encryption of personal data at rest: AES-256-GCM under a key that is named beside the ciphertext.

Layout of a ciphertext: one byte of version (1), one byte with the length of the key id, the key id, 12 bytes of nonce,
then the AES-GCM output. A ring may hold old keys for reading, and newer ones that others may use already; only
``current`` encrypts. A running process takes up a changed file within ``TAKEN_UP`` seconds.
"""

import base64
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Self

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from insuretech.kit.failures import Unusable

TAKEN_UP = 1.0
_VERSION = 1
_NONCE = 12


class KeyringInvalid(Unusable):
    """The key file cannot be used; the message says why."""


class CiphertextInvalid(Exception):
    """A ciphertext was altered, belongs elsewhere, or its key is not in the ring."""


class _File(msgspec.Struct, kw_only=True):
    current: str
    keys: dict[str, str]


class Keyring:
    """Keys by id, one of which encrypts."""

    def __init__(self, current: str, keys: Mapping[str, bytes]) -> None:
        if current not in keys:
            raise KeyringInvalid(f"the current key {current!r} is not among the keys")
        self._path: Path | None = None
        self._seen = 0
        self._looked = float("-inf")
        self._take(current, keys)

    def _take(self, current: str, keys: Mapping[str, bytes]) -> None:
        self.current = current
        self._keys = dict(keys)
        self._ciphers = {name: AESGCM(key) for name, key in keys.items()}

    @classmethod
    def generate(cls) -> Self:
        return cls("k1", {"k1": secrets.token_bytes(32)})

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the ring from a file, making a first one (mode 0600) when there is none."""
        try:
            if not path.exists():
                cls.generate().save(path)
            ring = cls(*_read(path))
        except (KeyringInvalid, OSError, ValueError, msgspec.MsgspecError) as error:
            raise KeyringInvalid(f"The key file {path} cannot be used: {error}.") from error
        ring._path = path
        ring._seen = path.stat().st_mtime_ns
        return ring

    def save(self, path: Path) -> None:
        """Write the ring so that a crash leaves either the old or the new file."""
        content = _File(
            current=self.current, keys={name: base64.b64encode(key).decode() for name, key in self._keys.items()}
        )
        part = path.with_suffix(".part")
        part.unlink(missing_ok=True)  # one left by a crash would lend us its permissions
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.encode(content))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)

    def with_new_key(self) -> "Keyring":
        """A ring that encrypts under a fresh key and still reads everything older."""
        return self.with_coming_key().with_newest_key()

    def with_coming_key(self) -> "Keyring":
        """A ring that can read what others encrypt under a fresh key, and does not use it yet."""
        name = f"k{_number(self.newest) + 1}"
        return Keyring(self.current, {**self._keys, name: secrets.token_bytes(32)})

    def with_newest_key(self) -> "Keyring":
        """A ring that encrypts under the newest of its keys."""
        return Keyring(self.newest, self._keys)

    @property
    def newest(self) -> str:
        """The key made last, whether it is in use or not."""
        return max(self._keys, key=_number)

    def encrypt(self, plaintext: bytes, context: str) -> bytes:
        """Encrypt for one place only: decrypting needs the same ``context`` (say ``orders.order:<id>``)."""
        if monotonic() - self._looked > TAKEN_UP:
            self._read_again()
        nonce = secrets.token_bytes(_NONCE)
        name = self.current.encode()
        header = bytes((_VERSION, len(name))) + name
        return header + nonce + self._ciphers[self.current].encrypt(nonce, plaintext, header + context.encode())

    def decrypt(self, ciphertext: bytes, context: str) -> bytes:
        """The plaintext, or ``CiphertextInvalid``."""
        name = self.key_id(ciphertext)
        end = 2 + len(name.encode())
        header, nonce, body = ciphertext[:end], ciphertext[end : end + _NONCE], ciphertext[end + _NONCE :]
        if name not in self._ciphers:
            self._read_again()
        cipher = self._ciphers.get(name)
        if cipher is None:
            raise CiphertextInvalid(f"key {name!r} is not in the ring")
        try:
            return cipher.decrypt(nonce, body, header + context.encode())
        except (InvalidTag, ValueError) as error:
            raise CiphertextInvalid("the ciphertext was altered or belongs elsewhere") from error

    def _read_again(self) -> None:
        """Take up what another process changed in the file since; a file that cannot be read changes nothing."""
        self._looked = monotonic()
        if self._path is None:
            return
        with suppress(OSError, ValueError, msgspec.MsgspecError):
            changed = self._path.stat().st_mtime_ns
            if changed != self._seen:
                self._take(*_read(self._path))
                self._seen = changed

    def key_id(self, ciphertext: bytes) -> str:
        """Which key a ciphertext was made with."""
        if len(ciphertext) < 2 or ciphertext[0] != _VERSION:
            raise CiphertextInvalid("not a ciphertext of ours")
        try:
            return ciphertext[2 : 2 + ciphertext[1]].decode()
        except UnicodeDecodeError as error:
            raise CiphertextInvalid("not a ciphertext of ours") from error


def _number(key: str) -> int:
    return int(key.removeprefix("k"))


def _read(path: Path) -> tuple[str, dict[str, bytes]]:
    """The id of the current key, and all keys, of a file."""
    content = msgspec.json.decode(path.read_bytes(), type=_File)
    return content.current, {name: base64.b64decode(key) for name, key in content.keys.items()}
