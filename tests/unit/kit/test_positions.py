"""Positions are hints that strangers send us: what we write we can read, and nothing else does harm."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from insuretech.kit.ids import new_id
from insuretech.kit.positions import Position, Positions, header_of, note_written, positions_in

kinds = st.from_regex(r"[a-z]{1,12}\.[a-z]{1,12}\.v[1-9]\.[a-z_]{1,12}", fullmatch=True)
positions = st.builds(Position, kinds, st.uuids())


@given(st.lists(positions, max_size=8, unique_by=lambda one: one.type))
def test_what_is_written_can_be_read(given_out: list[Position]) -> None:
    """Otherwise a buyer who brings the header along reads old news all the same."""
    assert positions_in(header_of(given_out)) == given_out


@given(st.text(max_size=300))
def test_what_nobody_wrote_is_read_as_nothing_or_little(header: str) -> None:
    """Otherwise a stranger's header brings a request down, or makes it ask for thousands of events."""
    assert len(positions_in(header)) <= 8


async def answered(method: str, status: int, *written: UUID) -> list[tuple[bytes, bytes]]:
    """The headers of an answer to a request that wrote these events."""
    sent: list[Message] = []

    async def app(_: Scope, __: Receive, send: Send) -> None:
        for each in written:
            note_written("orders.order.v1.placed", each)
        await send({"type": "http.response.start", "status": status, "headers": [(b"a", b"b")]})

    async def receive() -> Message:
        raise AssertionError("nobody reads the body")

    async def send(message: Message) -> None:
        sent.append(message)

    edge: ASGIApp = Positions(app)
    await edge({"type": "http", "method": method}, receive, send)  # type: ignore[arg-type]
    return list(sent[0]["headers"])  # type: ignore[typeddict-item]


async def test_the_answer_to_a_command_names_what_it_wrote() -> None:
    """Otherwise there is nothing to bring along."""
    first, last = new_id(), new_id()
    headers = await answered("POST", 201, first, last)
    assert headers == [(b"a", b"b"), (b"insuretech-position", f"orders.order.v1.placed/{last}".encode())]


async def test_other_answers_name_nothing() -> None:
    """Otherwise a refused request sends its caller waiting for an event that never was."""
    assert await answered("POST", 409, new_id()) == [(b"a", b"b")]
    assert await answered("POST", 200) == [(b"a", b"b")]
    assert await answered("GET", 200, new_id()) == [(b"a", b"b")]
    note_written("orders.order.v1.placed", new_id())  # outside of any request: nothing to answer
