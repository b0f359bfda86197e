"""Printing with Typst in a process of its own, which is there only while there is something to print.

The compiler and its fonts need 30 MB, and what it remembers of pages grows by as much again; a process that serves
requests would keep that for good. A press that has been idle ends; the next page waits a third of a second for a new
one. A page that brings the compiler down takes nobody with it.
"""

import asyncio
import os
import select
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

_CHILD = Path(__file__).with_name("press_child.py")
_END_LIMIT = 2.0


class NotPrinted(Exception):
    """There is no PDF; the message is the compiler's reason, or says what became of the press."""


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be printed: a template with its inputs.

    ``fonts``: folders, Typst's own where there are none; ``standards`` as Typst names them, say ``a-2a``;
    ``timestamp``: seconds since 1970, which stands in the file.
    """

    template: Path
    inputs: Mapping[str, str]
    standards: Sequence[str]
    timestamp: int
    fonts: Sequence[Path] = ()


class Press:
    """Prints one sheet after the other; ends its process after ``idle`` seconds without any.

    ``limit``: seconds a sheet may take.
    """

    def __init__(self, *, idle: float = 15.0, limit: float = 60.0) -> None:
        self._idle = idle
        self._limit = limit
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="press")
        self._child: _Child | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def print(self, sheet: Sheet) -> bytes:
        """The PDF; the same sheet gives the same bytes. Raises ``NotPrinted``."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
        try:
            answer = await loop.run_in_executor(self._thread, self._print, _frame(sheet))
        finally:
            self._timer = loop.call_later(self._idle, self._thread.submit, self._end)
        if answer[:1] != b"P":
            raise NotPrinted(answer[1:].decode())
        return answer[1:]

    # ------------------------------------------------------------ on the thread

    def _print(self, frame: bytes) -> bytes:
        if self._child is not None and self._child.process.poll() is not None:
            self._end()
        if self._child is None:
            self._child = _Child.start(self)
        try:
            return self._child.answer(frame, self._limit)
        except OSError as error:  # also TimeoutError
            self._child.process.kill()
            self._end()
            raise NotPrinted(f"The press failed: {type(error).__name__}.") from error

    def _end(self) -> None:
        if self._child is not None:
            self._child.put_away()
            self._child = None


@dataclass(frozen=True)
class _Child:
    """The process, and the pipes to and from it; put away at the latest with its press."""

    process: subprocess.Popen[bytes]
    sheets: IO[bytes]
    answers: IO[bytes]
    put_away: Callable[[], object]

    @classmethod
    def start(cls, press: Press) -> "_Child":
        # Not from the program's own folder, whose files are named like those of Python (-P).
        process = subprocess.Popen(  # noqa: S603 - our own words
            [sys.executable, "-s", "-P", str(_CHILD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        if process.stdin is None or process.stdout is None:
            raise TypeError("pipes were asked for")
        return cls(process, process.stdin, process.stdout, weakref.finalize(press, _put_away, process))

    def answer(self, frame: bytes, limit: float) -> bytes:
        self.sheets.write(frame)
        self.sheets.flush()
        until = time.monotonic() + limit
        return self._read(int.from_bytes(self._read(4, until), "big"), until)

    def _read(self, length: int, until: float) -> bytes:
        content = bytearray()
        while len(content) < length:
            if not select.select([self.answers], [], [], max(0.0, until - time.monotonic()))[0]:
                raise TimeoutError
            some = os.read(self.answers.fileno(), length - len(content))
            if not some:
                raise ConnectionResetError
            content += some
        return bytes(content)


def _frame(sheet: Sheet) -> bytes:
    content = msgspec.json.encode(
        {
            "template": str(sheet.template),
            "root": str(sheet.template.parent),
            "fonts": [str(folder) for folder in sheet.fonts],
            "inputs": sheet.inputs,
            "standards": sheet.standards,
            "timestamp": sheet.timestamp,
        }
    )
    return len(content).to_bytes(4, "big") + content


def _put_away(child: subprocess.Popen[bytes]) -> None:
    """Let it end by closing its input; take in how it ended."""
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    try:
        child.wait(_END_LIMIT)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
