"""Between settlement and what carries its registers to an insurer: signed files, and the answer to them."""

from collections.abc import AsyncIterator, Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Literal, Protocol
from uuid import UUID

import msgspec

FileKind = Literal["csv", "xlsx", "pdf"]


class RegisterFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a register; ``sha256`` in hex, ``size`` in bytes."""

    kind: FileKind
    name: str
    sha256: str
    size: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is signed: the figures of a register and the hashes of its files.

    The signature is Ed25519 (RFC 8032) over exactly the bytes of this as JSON, by the key ``key_id``.
    """

    register_id: UUID
    number: str
    insurer: str
    month: date
    closed_at: datetime
    currency: str
    settlement: Literal["net", "gross"]
    lines: int
    premium: Decimal
    collected: Decimal
    commission: Decimal
    vat: Decimal
    payable: Decimal
    files: tuple[RegisterFile, ...]
    key_id: str
    format: Literal["insuretech.register.v1"] = "insuretech.register.v1"


class RegisterParcel(msgspec.Struct, frozen=True, kw_only=True):
    """A register on its way. ``message_id`` is the same at every attempt, so that a repeat is known as one."""

    manifest: Manifest
    signed: bytes
    signature: bytes
    public_key: bytes
    message_id: str
    signed_at: datetime


class DisputedLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line that the insurer does not agree to."""

    line_id: UUID
    reason: str


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The insurer has the register and agrees, except for some lines."""

    disputed: tuple[DisputedLine, ...] = ()


class RegisterNotDelivered(Exception):
    """It did not arrive, or we do not know: sending again is safe."""


class RegisterRefused(Exception):
    """The insurer, or its mail server, will not have it as it is: a person must look."""


OpenFile = Callable[[RegisterFile], AsyncIterator[bytes]]
"""The content of a file, a piece at a time."""


class RegisterChannel(Protocol):
    """One way to an insurer. Raises ``RegisterNotDelivered`` or ``RegisterRefused``, nothing else."""

    async def send(self, address: str, parcel: RegisterParcel, content: OpenFile) -> None:
        """Hand the register over; repeating it changes nothing."""
        ...

    async def receipt(self, address: str, parcel: RegisterParcel) -> Receipt | None:
        """The insurer's answer, if it has given one and this way can tell."""
        ...
