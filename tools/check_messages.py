"""Fails when a text of the site is not translated, translated twice, never used, or loses a placeholder.

Message ids are the English texts, so English needs no entries; every other language needs all of them.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from babel.messages import extract
from babel.messages.catalog import Message
from babel.messages.pofile import read_po

SOURCE = Path(__file__).parent.parent / "src" / "insuretech"
KEYWORDS = {"_": None, "say": None, "gettext": None, "ngettext": (1, 2)}
ENGLISH = "en"
_PLACEHOLDER = re.compile(r"%\((\w+)\)[sd]|%%")
_ENTRY = re.compile(r'^msgid ((?:"(?:[^"\\]|\\.)*"\s*)+)', re.MULTILINE)


def main() -> int:
    """Check every service that has translations; the number of things wrong is printed, the exit code says whether."""
    wrong = [line for locales in sorted(SOURCE.glob("*/locales")) for line in check(locales)]
    for line in wrong:
        print(line)
    print(f"Translations: {len(wrong) or 'nothing'} wrong.")
    return 1 if wrong else 0


def check(locales: Path) -> Iterator[str]:
    """What is wrong with one service's translations, a line each."""
    used = used_messages(locales.parent)
    for catalogue in sorted(locales.glob("*/LC_MESSAGES/messages.po")):
        language = catalogue.parts[-3]
        place = catalogue.relative_to(SOURCE)
        text = catalogue.read_text(encoding="utf-8")
        for entry, count in Counter(_ENTRY.findall(text)).items():
            if count > 1:
                yield f"{place}: {count} times: {entry.strip()}"
        with catalogue.open("rb") as file:
            known = {_id(message): message for message in read_po(file, locale=language) if message.id}
        if language != ENGLISH:
            yield from (f"{place}: missing: {name!r} ({used[name]})" for name in sorted(used.keys() - known.keys()))
        yield from (f"{place}: not used: {name!r}" for name in sorted(known.keys() - used.keys()))
        for message in known.values():
            yield from (f"{place}: {reason}: {_id(message)!r}" for reason in faults(message))


def used_messages(service: Path) -> dict[str, str]:
    """Every text that the code and the templates of a service ask for, with the place of one of them."""
    found: dict[str, str] = {}
    for pattern, method in (("**/*.py", "python"), ("**/*.html", "jinja2.ext:babel_extract")):
        for path in sorted(service.glob(pattern)):
            with path.open("rb") as file:
                for line, message, *_ in extract.extract(method, file, keywords=KEYWORDS):
                    name = message[0] if isinstance(message, tuple) else message
                    if name:
                        found.setdefault(name, f"{path.relative_to(SOURCE)}:{line}")
    return found


def faults(message: Message) -> Iterator[str]:
    """What is wrong with one translation by itself."""
    texts = message.string if isinstance(message.string, list | tuple) else (message.string,)
    if message.fuzzy:
        yield "marked fuzzy"
    filled = [text for text in texts if text]
    if len(filled) < len(texts):
        yield "empty"
    ids = message.id if isinstance(message.id, list | tuple) else (message.id,)
    wanted = {name for text in ids for name in _PLACEHOLDER.findall(text) if name}
    for text in filled:
        if {name for name in _PLACEHOLDER.findall(text) if name} - wanted:
            yield "a placeholder that the text has not"
        if len(texts) == 1 and wanted - set(_PLACEHOLDER.findall(text)):
            yield "a placeholder is lost"


def _id(message: Message) -> str:
    return str(message.id[0] if isinstance(message.id, list | tuple) else message.id)


if __name__ == "__main__":
    sys.exit(main())
