"""Typesetting of policies with Typst: the same words always give the same bytes."""

import io
from importlib.resources import files
from pathlib import Path

import msgspec
import segno

from insuretech.documents.domain import PrintedPolicy
from insuretech.kit.press import NotPrinted, Press, Sheet

_DATA = Path(str(files("insuretech.documents") / "data"))


class TypstPrinter:
    """Prints on a press of its own; a page takes about 20 ms."""

    def __init__(self) -> None:
        self._press = Press()

    async def print_policy(self, policy: PrintedPolicy) -> bytes:
        """The policy as PDF/A-2a and PDF/UA-1: readable for decades, and by a screen reader."""
        sheet = _sheet(policy)
        try:
            return await self._press.print(sheet)
        except NotPrinted as error:
            if "could not be displayed" not in str(error):
                raise
            # A letter that none of our fonts has. Archive standards forbid it; the paper is worth more than they are.
            return await self._press.print(msgspec.structs.replace(sheet, standards=()))


def _sheet(policy: PrintedPolicy) -> Sheet:
    issued = policy.issued
    words = {
        **msgspec.to_builtins(policy),
        "issued": {part: getattr(issued, part) for part in ("year", "month", "day", "hour", "minute")},
        "mark": (_DATA / "mark.svg").read_text(encoding="utf-8"),
        "verification": {**msgspec.to_builtins(policy.verification), "qr": qr_code(policy.verification.url)},
    }
    return Sheet(
        template=_DATA / "policy.typ",
        inputs={"policy": msgspec.json.encode(words).decode()},
        standards=("a-2a", "ua-1"),
        timestamp=int(issued.timestamp()),
        fonts=(_DATA / "fonts",),
    )


def qr_code(address: str) -> str:
    """A QR code as SVG, one unit a module, with a quarter of it to spare for dirt and folds."""
    drawn = io.BytesIO()
    segno.make(address, error="q", micro=False).save(drawn, kind="svg", border=0, dark="#16211b", xmldecl=False)
    return drawn.getvalue().decode()
