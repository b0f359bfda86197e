"""What ``kit.press`` runs in a process of its own: sheets come in, PDFs go out, until the input ends.

A frame is four bytes of length, the highest first, and as many of content: JSON comes in; what goes out begins with
``P`` for a PDF or with ``E`` for why there is none. Started by its path, so that nothing of ours is imported.
"""

import json
import signal
import sys
from typing import Any, BinaryIO

import typst

_compilers: dict[str, typst.Compiler] = {}


def main() -> None:
    """Print until whoever started us closes the pipe or ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for those who started us
    incoming, outgoing = sys.stdin.buffer, sys.stdout.buffer
    while content := _next_frame(incoming):
        try:
            answer = b"P" + _printed(json.loads(content))
        except typst.TypstError as error:
            answer = b"E" + error.message.encode()
        outgoing.write(len(answer).to_bytes(4, "big") + answer)
        outgoing.flush()


def _next_frame(incoming: BinaryIO) -> bytes:
    """The next frame's content; nothing at the end, also in the middle of a frame."""
    length = int.from_bytes(incoming.read(4), "big")
    content = incoming.read(length)
    return content if len(content) == length else b""


def _printed(sheet: dict[str, Any]) -> bytes:
    printed = _compiler(sheet).compile(
        format="pdf",
        sys_inputs=sheet["inputs"],
        pdf_standards=sheet["standards"],
        timestamp=sheet["timestamp"],
    )
    if not isinstance(printed, bytes):
        raise TypeError("a PDF is one file")
    return printed


def _compiler(sheet: dict[str, Any]) -> typst.Compiler:
    """One for each template: it keeps fonts and what it has read between pages."""
    if sheet["template"] not in _compilers:
        fonts = typst.Fonts(
            include_system_fonts=False, include_embedded_fonts=not sheet["fonts"], font_paths=sheet["fonts"]
        )
        _compilers[sheet["template"]] = typst.Compiler(sheet["template"], root=sheet["root"], font_paths=fonts)
    return _compilers[sheet["template"]]


if __name__ == "__main__":
    main()
