"""Makes the files of a closed register, keeps them in object storage and signs them."""

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol
from uuid import UUID

import msgspec
import structlog

from insuretech.contracts.registers import FileKind, Manifest, RegisterFile
from insuretech.kit.clock import Clock
from insuretech.kit.files import LargeObjects
from insuretech.settlement.domain import MonthTotal, Register
from insuretech.settlement.files import LineStreams, WrittenFile, file_name, write_csv, write_workbook, written
from insuretech.settlement.printing import RegisterPrinter
from insuretech.settlement.signing import Seal

log = structlog.get_logger(__name__)

_LEFT_AFTER = 3600.0  # seconds


class StoredFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a register and where it lies."""

    file: RegisterFile
    storage_key: str
    made_at: datetime


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """A signed manifest."""

    register_id: UUID
    key_id: str
    manifest: bytes
    signature: bytes
    signed_at: datetime


class PreparedBooks(LineStreams, Protocol):
    """What is read of a register, and kept of its files."""

    async def totals(self, register_id: UUID) -> list[MonthTotal]: ...

    async def keep_prepared(self, register: Register, files: Sequence[StoredFile], signature: Signature) -> bool:
        """Note files and signature together; False when another was quicker, whose files stand."""
        ...


@dataclass(frozen=True)
class Preparation:
    """The use case. ``spool`` is a folder for files on their way, ``name_of`` gives an insurer's name."""

    books: PreparedBooks
    storage: LargeObjects
    seal: Seal
    printer: RegisterPrinter
    name_of: Callable[[str], str]
    clock: Clock
    spool: Path

    async def prepare(self, register: Register) -> None:
        """Make, keep and sign; repeated after a crash it gives the same files under the same keys."""
        await asyncio.to_thread(_tidy, self.spool)
        folder = Path(tempfile.mkdtemp(prefix=f"{register.id}-", dir=self.spool))
        try:
            files = await self._files(register, folder)
            stored = [await self._kept(register, file) for file in files]
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        signature = await self._signed(register, [one.file for one in stored])
        if await self.books.keep_prepared(register, stored, signature):
            log.info("register.prepared", number=register.number, bytes=sum(one.file.size for one in stored))

    async def _files(self, register: Register, folder: Path) -> list[WrittenFile]:
        totals = await self.books.totals(register.id)
        lists = await asyncio.gather(
            write_csv(register, self.books, folder / "csv"),
            write_workbook(register, totals, self.books, folder / "xlsx"),
        )
        name = self.name_of(register.insurer)
        named = [register_file(register, one) for one in lists]
        (folder / "pdf").write_bytes(await self.printer.print_summary(register, name, totals, named))
        return [*lists, await written("pdf", folder / "pdf")]

    async def _kept(self, register: Register, file: WrittenFile) -> StoredFile:
        key = storage_key_of(register, file.sha256, file.kind)
        await self.storage.put_file(key, file.path)
        return StoredFile(file=register_file(register, file), storage_key=key, made_at=self.clock.now())

    async def _signed(self, register: Register, files: Sequence[RegisterFile]) -> Signature:
        key = await self.seal.key()
        figures = {name: getattr(register, name) for name in _FIGURES}
        manifest = msgspec.json.encode(
            Manifest(register_id=register.id, currency="RUB", files=tuple(files), key_id=key.id, **figures)
        )
        return Signature(
            register_id=register.id,
            key_id=key.id,
            manifest=manifest,
            signature=self.seal.sign(key, manifest),
            signed_at=self.clock.now(),
        )


_FIGURES = (
    *("number", "insurer", "month", "closed_at", "settlement", "lines"),
    *("premium", "collected", "commission", "vat", "payable"),
)
"""What the manifest says of the register itself."""


def _tidy(spool: Path) -> None:
    """Make the folder, and take away what processes that were killed have left in it."""
    spool.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in spool.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > _LEFT_AFTER:
                shutil.rmtree(folder, ignore_errors=True)


def storage_key_of(register: Register, digest: str, kind: FileKind) -> str:
    """Where a file lies: named after its content, so that no object is ever changed."""
    return f"registers/{register.month:%Y-%m}/{register.insurer}/{digest}.{kind}"


def register_file(register: Register, file: WrittenFile) -> RegisterFile:
    """A written file by the name under which an insurer gets it."""
    name = file_name(register, file.kind)
    return RegisterFile(kind=file.kind, name=name, sha256=file.sha256, size=file.size)
