"""Reading XML from strangers: no document type, hence no entities to expand and nothing outside to fetch."""

from typing import Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

MAX_DEPTH = 32


class XmlRefused(ValueError):
    """The document is not XML, has a document type declaration, or is nested too deeply."""


def read_xml(document: bytes) -> Element:
    """The root of a document; raises ``XmlRefused``.

    Entity bombs and external entities both need a DOCTYPE, which ends the parsing as soon as it is seen.
    """
    parser = XMLParser(target=_Plain())  # noqa: S314 - guarded by _Plain
    try:
        parser.feed(document)
        root: Element = parser.close()
    except (ParseError, ValueError, LookupError) as error:
        raise XmlRefused(f"not XML that we read: {error}") from error
    return root


def xml_text(text: str) -> str:
    """Text as XML can carry it: control characters, which XML 1.0 forbids, become spaces."""
    return "".join(character if character.isprintable() or character in "\t\n\r" else " " for character in text)


class _Plain(TreeBuilder):
    """Builds a tree of bounded depth and refuses a DOCTYPE."""

    _depth = 0

    def doctype(self, *_: object) -> None:
        raise XmlRefused("a document type declaration is not taken")

    def start(self, tag: Any, attrs: Any, /) -> Element:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise XmlRefused("nested too deeply")
        return super().start(tag, attrs)

    def end(self, tag: Any, /) -> Element:
        self._depth -= 1
        return super().end(tag)
