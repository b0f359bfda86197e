"""What a process holds in memory follows the projection, and is given out in the right form."""

import asyncio
import gzip
from typing import Any

import pytest

from insuretech.catalogue.pages import page as plain_page
from insuretech.catalogue.pages import ready
from insuretech.catalogue.ports import ReadyPage
from insuretech.catalogue.shelf import Shelf, Shelved
from insuretech.kit.web import ReadyAnswer

BODY = b'{"title": "' + b"x" * 2000 + b'"}'


def page(path: str, body: bytes) -> ReadyPage:
    """A page as the shelf takes it."""
    return ready(plain_page(path, body))


class Projection:
    """Pages as the database would hold them; counts how many were read."""

    def __init__(self, *pages: ReadyPage) -> None:
        self.stored = {one.path: one for one in pages}
        self.read = 0

    async def tags(self) -> dict[str, str]:
        return {path: one.etag for path, one in self.stored.items()}

    async def pages(self, paths: set[str]) -> list[ReadyPage]:
        self.read += len(paths)
        return [one for path, one in self.stored.items() if path in paths]


async def sent(answer: ReadyAnswer) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers and body of an answer."""
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)
        message.get("headers", []).append((b"x-middleware", b"wrote here"))

    await answer({}, None, send)  # type: ignore[arg-type]  # neither is looked at
    start, body = messages
    return start["status"], dict(start["headers"]), body["body"]


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [
        (None, False),
        (b"gzip", True),
        (b"br, GZIP;q=0.8", True),
        (b"gzip;q=0", False),
        (b"identity", False),
        (b"br", False),
    ],
)
async def test_only_who_takes_gzip_gets_it(accepted: bytes | None, compressed: bool) -> None:
    """A client that cannot unpack would be left with unreadable bytes."""
    headers = [] if accepted is None else [(b"accept-encoding", accepted)]
    status, told, body = await sent(Shelved(page("a", BODY)).answer(headers))
    assert status == 200
    assert (told.get(b"content-encoding") == b"gzip") is compressed
    assert (gzip.decompress(body) if compressed else body) == BODY
    assert told[b"content-length"] == str(len(body)).encode()


@pytest.mark.parametrize(
    ("known", "status"),
    [(b'"%s"', 304), (b'W/"%s"', 304), (b'"old", "%s"', 304), (b"*", 304), (b'"old"', 200), (b"", 200)],
)
async def test_who_has_the_page_is_told_so(known: bytes, status: int) -> None:
    """Weak or strong, alone or among others: the same version is not sent twice, another always is."""
    one = page("a", BODY)
    tag = known.replace(b"%s", one.etag.encode())
    found, told, body = await sent(Shelved(one).answer([(b"if-none-match", tag)]))
    assert found == status
    assert told[b"etag"] == f'"{one.etag}"'.encode()
    assert (body == b"") is (status == 304)


async def test_an_answer_stays_the_same_however_often_it_is_sent() -> None:
    """What one request's middleware writes into the headers must not reach the next person."""
    answer = Shelved(page("a", BODY)).answer([])
    assert await sent(answer) == await sent(answer)


async def test_only_what_changed_is_read_again() -> None:
    """Following the projection must cost next to nothing while nothing happens."""
    projection = Projection(page("a", b"1"), page("b", b"1"))
    shelf = Shelf(projection)
    await shelf.refresh()
    await shelf.refresh()
    assert projection.read == 2
    unchanged = shelf.page("b")
    projection.stored = {"a": page("a", b"2"), "b": projection.stored["b"], "c": page("c", b"1")}
    await shelf.refresh()
    assert projection.read == 4
    assert shelf.page("b") is unchanged
    assert shelf.page("c") is not None
    del projection.stored["a"]
    await shelf.refresh()
    assert shelf.page("a") is None


async def test_a_change_is_seen_at_once_when_told_and_soon_when_not() -> None:
    """A new version must not wait for the next look; a change by another process must not wait for ever."""
    projection = Projection()
    for interval, woken in ((3600.0, True), (0.01, False)):
        shelf = Shelf(projection, interval=interval)
        following = asyncio.ensure_future(shelf.keep_fresh())
        await asyncio.sleep(0)
        projection.stored["a"] = page("a", b"1")
        if woken:
            shelf.wake()
        for _ in range(500):
            if shelf.page("a"):
                break
            await asyncio.sleep(0.01)
        following.cancel()
        assert shelf.page("a") is not None


@pytest.mark.parametrize(
    ("path", "tag"),
    [("products", b"products"), ("products/osago", b"product-osago"), ("consents/news/1", None), ("", None)],
)
@pytest.mark.parametrize("known", [b"*", b""])
async def test_shared_caches_learn_by_which_tag_a_page_is_dropped(path: str, tag: bytes | None, known: bytes) -> None:
    """Without it a changed price stays in the CDN until its time is over; a 304 would take it away again."""
    _, told, _ = await sent(Shelved(page(path, BODY)).answer([(b"if-none-match", known)]))
    assert told.get(b"surrogate-key") == tag
