"""Typesetting of policies with Typst: the same words always give the same bytes."""

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import segno
import typst

from insuretech.documents.domain import PrintedPolicy

if TYPE_CHECKING:  # typst names it in its stub only
    from typst import PDFStandard

_DATA = Path(str(files("insuretech.documents") / "data"))


class TypstPrinter:
    """Prints on one thread of its own: a page takes about 20 ms, and the compiler keeps its fonts between pages."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="typst")

    async def print_policy(self, policy: PrintedPolicy) -> bytes:
        """The policy as PDF/A-2a and PDF/UA-1: readable for decades, and by a screen reader."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._print, policy)

    def _print(self, policy: PrintedPolicy) -> bytes:
        issued = policy.issued
        words = {
            **msgspec.to_builtins(policy),
            "issued": {part: getattr(issued, part) for part in ("year", "month", "day", "hour", "minute")},
            "mark": (_DATA / "mark.svg").read_text(encoding="utf-8"),
            "verification": {**msgspec.to_builtins(policy.verification), "qr": qr_code(policy.verification.url)},
        }
        given = msgspec.json.encode(words).decode()
        try:
            return self._compile(given, issued, ["a-2a", "ua-1"])
        except typst.TypstError as error:
            if "could not be displayed" not in error.message:
                raise
            # A letter that none of our fonts has. Archive standards forbid it; the paper is worth more than they are.
            return self._compile(given, issued, [])

    def _compile(self, given: str, issued: datetime, standards: "list[PDFStandard]") -> bytes:
        printed = self._compiler.compile(
            format="pdf", sys_inputs={"policy": given}, pdf_standards=standards, timestamp=int(issued.timestamp())
        )
        if not isinstance(printed, bytes):
            raise TypeError("a PDF is one file")
        return printed

    @cached_property
    def _compiler(self) -> typst.Compiler:
        fonts = typst.Fonts(include_system_fonts=False, font_paths=[_DATA / "fonts"])
        return typst.Compiler(_DATA / "policy.typ", root=_DATA, font_paths=fonts)


def qr_code(address: str) -> str:
    """A QR code as SVG, one unit a module, with a quarter of it to spare for dirt and folds."""
    drawn = io.BytesIO()
    segno.make(address, error="q", micro=False).save(drawn, kind="svg", border=0, dark="#16211b", xmldecl=False)
    return drawn.getvalue().decode()
