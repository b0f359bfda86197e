"""XML from strangers."""

import pytest

from insuretech.kit.xml import MAX_DEPTH, XmlRefused, read_xml, xml_text


@pytest.mark.parametrize(
    "document",
    [
        b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>',
        b'<!DOCTYPE a SYSTEM "http://evil.example/a.dtd"><a/>',
        b"<!DOCTYPE a><a/>",
        b"<a>&unknown;</a>",
        b"<a>" * (MAX_DEPTH + 1) + b"</a>" * (MAX_DEPTH + 1),
        b"<a>",
        b"",
        b"\0",
        b"<a>\0</a>",
        b'<?xml version="1.0" encoding="no-such"?><a/>',
        b'<?xml version="1.0" encoding="utf-7"?><a/>',
        b"<a>\xff</a>",
        b"<a/><a/>",
    ],
)
def test_what_is_dangerous_or_broken_is_refused(document: bytes) -> None:
    """Otherwise a document of a few bytes eats the memory, reads our files, or ends in a stack trace."""
    with pytest.raises(XmlRefused):
        read_xml(document)


def test_plain_documents_are_read_in_their_encoding() -> None:
    """Otherwise an insurer's Russian sentences arrive as gibberish."""
    document = '<?xml version="1.0" encoding="windows-1251"?><a b="Ю">Ёлка</a>'.encode("cp1251")

    root = read_xml(document)

    assert (root.text, root.get("b")) == ("Ёлка", "Ю")
    assert read_xml(b"<a>" * MAX_DEPTH + b"</a>" * MAX_DEPTH).tag == "a"


def test_text_that_xml_cannot_hold_becomes_spaces() -> None:
    """Otherwise a pasted control character makes an insurer refuse the whole document."""
    assert xml_text("a\0b\x1b[\ud800\tc\nЁ&<") == "a b [ \tc\nЁ&<"
