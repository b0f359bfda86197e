"""Positions are hints that strangers send us: what we write we can read, and nothing else does harm."""

from contextlib import suppress
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from insuretech.kit.ids import new_id
from insuretech.kit.positions import (
    MOST,
    Position,
    Positions,
    header_of,
    note_shown,
    note_written,
    noted_if_done,
    positions_in,
    version_in,
)

kinds = st.from_regex(r"[a-z]{1,12}\.[a-z]{1,12}\.v[1-9]\.[a-z_]{1,12}", fullmatch=True)
positions = st.builds(Position, kinds, st.uuids(), st.none() | st.integers(0, 2**40))
THINGS = [new_id() for _ in range(4)]


@given(st.lists(positions, max_size=MOST, unique_by=lambda one: one.type))
def test_what_is_written_can_be_read(given_out: list[Position]) -> None:
    """Otherwise a buyer who brings the header along reads old news all the same."""
    assert positions_in(header_of(given_out)) == given_out


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=40))
def test_of_each_thing_the_newest_version_stays(seen: list[tuple[int, int]]) -> None:
    """Otherwise who looks at two orders in turn, or hears answers out of order, sees one of them go back in time."""
    header = ""
    for which, version in seen:
        header = header_of([*positions_in(header), Position("orders.order", THINGS[which], version)])
    for which, thing in enumerate(THINGS):
        newest = max((version for one, version in seen if one == which), default=0)
        assert version_in(header, "orders.order", thing) == newest
    assert version_in(header, "quotes.quote", THINGS[0]) == 0, "another kind of thing"


def test_a_header_does_not_grow_without_end() -> None:
    """Otherwise a busy client's requests become too long to be taken at all; what it looked at last stays."""
    header = ""
    for number in range(100):
        header = header_of([*positions_in(header), Position("orders.order", UUID(int=number), 1)])
    assert [one.id.int for one in positions_in(header)] == list(range(100 - MOST, 100))


@given(st.text(max_size=300))
def test_what_nobody_wrote_is_read_as_nothing_or_little(header: str) -> None:
    """Otherwise a stranger's header brings a request down, or makes it ask for thousands of events."""
    assert len(positions_in(header)) <= MOST


@pytest.mark.parametrize("version", ["-1", str(2**63), "1_0" * 40, "x", ""])
def test_a_version_that_cannot_be_is_no_position(version: str) -> None:
    """Otherwise a stranger's header breaks the storage that is asked for such a version."""
    assert positions_in(f"orders.order/{new_id()}@{version}") == []


async def answered(
    method: str, status: int, *written: UUID, shown: int | None = None, brought: str = ""
) -> list[tuple[bytes, bytes]]:
    """The headers of an answer to a request that wrote these events, and showed a version of the first thing."""
    sent: list[Message] = []

    async def app(_: Scope, __: Receive, send: Send) -> None:
        for each in written:
            note_written("orders.order.v1.placed", each)
        if shown is not None:
            note_shown("orders.order", THINGS[0], shown)
        await send({"type": "http.response.start", "status": status, "headers": [(b"a", b"b")]})

    async def receive() -> Message:
        raise AssertionError("nobody reads the body")

    async def send(message: Message) -> None:
        sent.append(message)

    edge: ASGIApp = Positions(app)
    headers = [(b"insuretech-position", brought.encode())] if brought else []
    await edge({"type": "http", "method": method, "headers": headers}, receive, send)  # type: ignore[arg-type]
    return list(sent[0]["headers"])  # type: ignore[typeddict-item]


async def test_the_answer_to_a_command_names_what_it_wrote() -> None:
    """Otherwise there is nothing to bring along."""
    first, last = new_id(), new_id()
    headers = await answered("POST", 201, first, last)
    assert headers == [(b"a", b"b"), (b"insuretech-position", f"orders.order.v1.placed/{last}".encode())]


async def test_an_answer_names_also_what_its_request_brought() -> None:
    """Otherwise a client that keeps the last header alone forgets what it saw of everything else."""
    mine, other = new_id(), f"orders.order/{THINGS[1]}@7"
    headers = await answered("GET", 200, shown=4, brought=f"orders.order.v1.placed/{mine}, {other}, <nonsense>")
    named = f"orders.order.v1.placed/{mine}, {other}, orders.order/{THINGS[0]}@4"
    assert headers[-1] == (b"insuretech-position", named.encode())
    headers = await answered("GET", 200, shown=4, brought=f"orders.order/{THINGS[0]}@9")
    assert headers[-1][1] == f"orders.order/{THINGS[0]}@9".encode(), "whatever an answer in between has shown"


async def test_other_answers_name_nothing() -> None:
    """Otherwise a refused request sends its caller waiting for an event that never was, and no page could be kept."""
    assert await answered("POST", 409, new_id()) == [(b"a", b"b")]
    assert await answered("POST", 200) == [(b"a", b"b")]
    assert await answered("GET", 200, brought=f"orders.order/{THINGS[0]}@9") == [(b"a", b"b")]
    note_written("orders.order.v1.placed", new_id())  # outside of any request: nothing to answer


async def test_what_was_taken_back_is_not_named() -> None:
    """Otherwise a read with it waits for an event that nobody will ever send."""
    kept, taken_back = new_id(), new_id()
    sent: list[Message] = []

    async def app(_: Scope, __: Receive, send: Send) -> None:
        with noted_if_done():
            note_written("orders.order.v1.placed", kept)
        with suppress(ValueError), noted_if_done():
            note_written("orders.order.v1.expired", taken_back)
            raise ValueError
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Message) -> None:
        sent.append(message)

    await Positions(app)({"type": "http", "method": "POST", "headers": []}, None, send)  # type: ignore[arg-type]
    assert sent[0]["headers"] == [(b"insuretech-position", f"orders.order.v1.placed/{kept}".encode())]  # type: ignore[typeddict-item]
