"""Whether a register is still what was closed and signed: lines, sums, files and signature held against each other."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Protocol
from uuid import UUID

import msgspec

from insuretech.contracts.registers import Manifest, RegisterFile
from insuretech.kit.failures import Unusable
from insuretech.kit.files import FileMissing, LargeObjects
from insuretech.settlement.domain import Register
from insuretech.settlement.files import file_hash
from insuretech.settlement.preparing import Signature, StoredFile
from insuretech.settlement.signing import SigningKey, is_genuine


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at; ``detail`` says what is wrong, or what was found right."""

    what: str
    right: bool
    detail: str


class KeptBooks(Protocol):
    """What is read of a register to verify it."""

    async def sums_of_lines(self, register: Register) -> Mapping[str, Decimal]: ...

    async def files(self, register: Register) -> list[StoredFile]: ...

    async def signature(self, register_id: UUID) -> Signature | None: ...

    async def keys(self) -> list[SigningKey]: ...


@dataclass(frozen=True)
class Verification:
    """The use case."""

    books: KeptBooks
    storage: LargeObjects

    async def verify(self, register: Register) -> list[Check]:
        """Everything that can be checked of a register, in the order from lines to signature."""
        checks = [await self._sums(register)]
        signature = await self.books.signature(register.id)
        if signature is None:
            return [*checks, Check(what="signature", right=False, detail="the register is not prepared yet")]
        manifest = msgspec.json.decode(signature.manifest, type=Manifest)
        checks += [_figures(register, manifest)]
        for stored in await self.books.files(register):
            checks.append(await self._file(stored, manifest))
        key = next((key for key in await self.books.keys() if key.id == signature.key_id), None)
        genuine = key is not None and is_genuine(key.public_key, signature.manifest, signature.signature)
        detail = f"by key {signature.key_id}" if genuine else "the manifest was not signed by that key"
        return [*checks, Check(what="signature", right=genuine, detail=detail)]

    async def _sums(self, register: Register) -> Check:
        sums = await self.books.sums_of_lines(register)
        wrong = [name for name, amount in sums.items() if amount != getattr(register, name)]
        detail = f"{register.lines} lines" if not wrong else f"the lines add up otherwise: {', '.join(wrong)}"
        return Check(what="sums of lines", right=not wrong, detail=detail)

    async def _file(self, stored: StoredFile, manifest: Manifest) -> Check:
        file, digest, size = stored.file, sha256(), 0
        try:
            async for piece in self.storage.pieces(stored.storage_key):
                digest.update(piece)
                size += len(piece)
        except FileMissing:
            return Check(what=file.name, right=False, detail=f"{stored.storage_key} is missing")
        right = file in manifest.files and (digest.hexdigest(), size) == (file.sha256, file.size)
        return Check(what=file.name, right=right, detail=file.sha256 if right else "it is not the file that was signed")


def _figures(register: Register, manifest: Manifest) -> Check:
    names = ("number", "insurer", "month", "lines", "premium", "collected", "commission", "vat", "payable")
    wrong = [name for name in names if getattr(register, name) != getattr(manifest, name)]
    detail = "as closed" if not wrong else f"other than closed: {', '.join(wrong)}"
    return Check(what="figures of the manifest", right=not wrong, detail=detail)


class FolderNotVerifiable(Unusable):
    """The folder lacks what a verification needs; the message says what."""


def verify_folder(folder: Path, public_key: bytes) -> list[Check]:
    """What an insurer can check of the files it got, with nothing but our public key."""
    try:
        signed, signature = (folder / "manifest.json").read_bytes(), (folder / "manifest.sig").read_bytes()
        manifest = msgspec.json.decode(signed, type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise FolderNotVerifiable(f"{folder} holds no readable manifest.json and manifest.sig.") from error
    genuine = is_genuine(public_key, signed, signature)
    detail = f"by key {manifest.key_id}" if genuine else "the manifest was not signed by this key"
    checks = [_received(folder / Path(file.name).name, file) for file in manifest.files]
    return [*checks, Check(what="signature", right=genuine, detail=detail)]


def _received(path: Path, file: RegisterFile) -> Check:
    if not path.is_file():
        return Check(what=file.name, right=False, detail="is missing")
    right = file_hash(path) == (file.sha256, file.size)
    return Check(what=file.name, right=right, detail=file.sha256 if right else "it is not the file that was signed")
