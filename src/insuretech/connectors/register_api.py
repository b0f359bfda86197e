"""Registers over HTTP: the signed manifest first, then each file in parts, so that a break costs one part.

``POST {address}`` tells of a register and is answered with what is there of its files already; ``PUT
{address}/{id}/files/{sha256}?offset=…`` appends a part; ``GET {address}/{id}`` says what became of it. Repeating any of
them changes nothing.
"""

from collections.abc import Callable
from typing import Literal
from uuid import UUID

import httpx
import msgspec

from insuretech.contracts.registers import (
    DisputedLine,
    OpenFile,
    Receipt,
    RegisterFile,
    RegisterNotDelivered,
    RegisterParcel,
    RegisterRefused,
)
from insuretech.kit.http import NoAnswer, NotSent, Outbound

PART = 512 * 1024
"""Bytes in one request: below the limit that servers commonly have."""


class Announcement(msgspec.Struct, kw_only=True):
    """The body of the first request; bytes in base64."""

    register_id: UUID
    message_id: str
    manifest: bytes
    signature: bytes
    public_key: bytes


class Standing(msgspec.Struct, kw_only=True):
    """Every answer: what became of the register, and how many bytes of each file are there, by hash."""

    status: Literal["incomplete", "received", "acknowledged", "refused"]
    received: dict[str, int] = {}
    disputed: tuple[DisputedLine, ...] = ()
    reason: str = ""


class RegisterApi:
    """An insurer's API for registers; ``outbound`` gives the calls to an address, ``secret`` opens its door."""

    def __init__(self, outbound: Callable[[str], Outbound], secret: str) -> None:
        self._outbound = outbound
        self._secret = secret

    async def send(self, address: str, parcel: RegisterParcel, content: OpenFile) -> None:
        outbound = self._outbound(address)
        announcement = Announcement(
            register_id=parcel.manifest.register_id,
            message_id=parcel.message_id,
            manifest=parcel.signed,
            signature=parcel.signature,
            public_key=parcel.public_key,
        )
        standing = await self._ask(outbound, "POST", "", msgspec.json.encode(announcement))
        if standing.status == "incomplete":
            for file in parcel.manifest.files:
                await self._send_file(outbound, parcel, file, standing.received.get(file.sha256, 0), content)
            standing = await self._ask(outbound, "GET", f"/{parcel.manifest.register_id}")
        if standing.status == "incomplete":
            raise RegisterNotDelivered("the insurer has not received all of it")

    async def receipt(self, address: str, parcel: RegisterParcel) -> Receipt | None:
        standing = await self._ask(self._outbound(address), "GET", f"/{parcel.manifest.register_id}")
        return Receipt(disputed=standing.disputed) if standing.status == "acknowledged" else None

    async def _send_file(
        self, outbound: Outbound, parcel: RegisterParcel, file: RegisterFile, there: int, content: OpenFile
    ) -> None:
        """Send what is not there yet, in parts."""
        offset, waiting = 0, bytearray()
        async for piece in content(file):
            skipped = max(0, min(len(piece), there - offset))
            offset += skipped
            waiting += piece[skipped:]
            while len(waiting) >= PART:
                await self._send_part(outbound, parcel, file, offset, bytes(waiting[:PART]))
                offset += PART
                del waiting[:PART]
        if waiting:
            await self._send_part(outbound, parcel, file, offset, bytes(waiting))

    async def _send_part(
        self, outbound: Outbound, parcel: RegisterParcel, file: RegisterFile, offset: int, part: bytes
    ) -> None:
        path = f"/{parcel.manifest.register_id}/files/{file.sha256}?offset={offset}"
        await self._ask(outbound, "PUT", path, part, "application/octet-stream")

    async def _ask(
        self, outbound: Outbound, method: str, path: str, body: bytes | None = None, kind: str = "application/json"
    ) -> Standing:
        headers = {"X-Api-Key": self._secret, "Content-Type": kind}
        try:
            response = await outbound.call(method, path, content=body, headers=headers)
        except (NotSent, NoAnswer) as error:
            raise RegisterNotDelivered(f"the insurer's API does not answer: {error}") from error
        if response.status_code >= 500 or response.status_code in {408, 409, 425, 429}:
            raise RegisterNotDelivered(f"the insurer's API answers {response.status_code}")
        return _read(response)


def _read(response: httpx.Response) -> Standing:
    """The answer; a refusal is final."""
    if response.status_code >= 400:
        raise RegisterRefused(f"the insurer's API answers {response.status_code}: {response.text[:200]}")
    try:
        standing = msgspec.json.decode(response.content, type=Standing)
    except msgspec.MsgspecError as error:
        raise RegisterNotDelivered("the answer of the insurer's API cannot be read") from error
    if standing.status == "refused":
        raise RegisterRefused(f"the insurer refuses the register: {standing.reason[:200]}")
    return standing
