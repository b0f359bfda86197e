"""Registers as letters: one message, always the same, with the files and the signed manifest attached.

The address of the mail server reads ``smtp://user:password@host:port`` or ``smtps://…``; with ``smtp`` the connection
is encrypted as soon as the server offers it (STARTTLS).
"""

import asyncio
import ssl
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from insuretech.contracts.registers import (
    FileKind,
    OpenFile,
    Receipt,
    RegisterFile,
    RegisterNotDelivered,
    RegisterParcel,
    RegisterRefused,
)

LARGEST = 15 * 1024 * 1024
"""Bytes of attachments; most servers take 25 MB, of which base64 takes a third."""

_TYPES: dict[FileKind, tuple[str, str]] = {
    "csv": ("text", "csv"),
    "xlsx": ("application", "vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    "pdf": ("application", "pdf"),
}
_TEXT = """\
Реестр {number} за {month}: строк {lines}, к перечислению {payable} ₽.
Приложены списки строк, итоги и подписанный перечень файлов (Ed25519, ключ {key}).
Просим подтвердить получение ответом на это письмо.

Register {number} for {month}: {lines} lines, {payable} RUB payable.
Attached are the lines, the sums and a signed list of the files (Ed25519, key {key}).
Please confirm the receipt by replying to this message.
"""


class RegisterMail:
    """A mail server; ``url`` empty means that there is none. ``time_limit`` is seconds for one letter."""

    def __init__(self, url: str, *, sender: str, time_limit: float = 60.0) -> None:
        self._url = url
        self._sender = sender
        self._time_limit = time_limit

    async def send(self, address: str, parcel: RegisterParcel, content: OpenFile) -> None:
        import aiosmtplib  # noqa: PLC0415 - only the first of the month needs it

        if not self._url:
            raise RegisterRefused("There is no mail server: set INSURETECH_SMTP_URL.")
        letter = await self._letter(address, parcel, content)
        try:
            async with asyncio.timeout(self._time_limit):
                await aiosmtplib.send(letter, **_server(self._url), timeout=self._time_limit)
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = {refusal.code for refusal in error.recipients}
            refused = RegisterRefused if min(codes, default=500) >= 500 else RegisterNotDelivered
            raise refused(f"the mail server does not take the address {address}: {sorted(codes)}") from error
        except aiosmtplib.SMTPResponseException as error:
            refused = RegisterRefused if error.code >= 500 else RegisterNotDelivered
            raise refused(f"the mail server answers {error.code}") from error
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise RegisterNotDelivered(f"the mail server does not take it: {type(error).__name__}") from error

    async def receipt(self, address: str, parcel: RegisterParcel) -> Receipt | None:  # noqa: ARG002 - people read mail
        return None

    async def _letter(self, address: str, parcel: RegisterParcel, content: OpenFile) -> EmailMessage:
        manifest = parcel.manifest
        letter = EmailMessage()
        letter["From"] = self._sender
        letter["To"] = address
        letter["Subject"] = f"Реестр {manifest.number} / Register {manifest.number}"
        letter["Message-ID"] = parcel.message_id
        letter["Date"] = format_datetime(parcel.signed_at)
        letter.set_content(
            _TEXT.format(
                number=manifest.number,
                month=f"{manifest.month:%m.%Y}",
                lines=manifest.lines,
                payable=manifest.payable,
                key=manifest.key_id,
            )
        )
        for file in _that_fit(manifest.files):
            body = b"".join([piece async for piece in content(file)])
            main, sub = _TYPES[file.kind]
            letter.add_attachment(body, maintype=main, subtype=sub, filename=file.name)
        letter.add_attachment(parcel.signed, maintype="application", subtype="json", filename="manifest.json")
        letter.add_attachment(parcel.signature, maintype="application", subtype="octet-stream", filename="manifest.sig")
        return letter


def _that_fit(files: tuple[RegisterFile, ...]) -> list[RegisterFile]:
    """All files, or without the CSV where it makes the letter too large: the workbook holds the same lines."""
    for chosen in (list(files), [file for file in files if file.kind != "csv"]):
        if sum(file.size for file in chosen) <= LARGEST:
            return chosen
    raise RegisterRefused("The register is too large for a letter: agree on an API with the insurer.")


def _server(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    secure = parts.scheme == "smtps"
    return {
        "hostname": parts.hostname or "localhost",
        "port": parts.port or (465 if secure else 25),
        "username": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
        "use_tls": secure,
        "tls_context": ssl.create_default_context(),
    }
