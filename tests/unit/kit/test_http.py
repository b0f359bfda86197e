"""Calls to outside parties end in time and say whether sending again is safe."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator

import pytest

from insuretech.kit.breaker import Breaker, BreakerState
from insuretech.kit.http import MAX_ANSWER, NoAnswer, NotSent, Outbound, OutgoingClient, new_client
from insuretech.kit.tracing import continue_trace


class Party:
    """An outside party on a real socket, that answers as told."""

    def __init__(self) -> None:
        self.answer: bytes | None = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
        self.requests: list[bytes] = []
        self.at_once = 0
        self.most_at_once = 0
        self.pause = 0.0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            await asyncio.sleep(self.pause)
            self.at_once -= 1
            if self.answer is not None:
                writer.write(self.answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def party() -> AsyncIterator[tuple[Party, str]]:
    """A party that listens, and its address."""
    party = Party()
    server = await asyncio.start_server(party.serve, "127.0.0.1", 0)
    async with server:
        yield party, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        server.close()


@pytest.fixture
async def client() -> AsyncIterator[OutgoingClient]:
    """The process's client."""
    async with new_client() as one:
        yield one


def outbound(client: OutgoingClient, url: str, **changes: float) -> Outbound:
    """Calls with limits fit for a test."""
    breaker = Breaker(failures=int(changes.get("failures", 3)), pause=60)
    limit, slots = changes.get("time_limit", 1.0), int(changes.get("concurrency", 4))
    return Outbound(client, url, time_limit=limit, concurrency=slots, breaker=breaker)


async def test_an_answer_is_given_whole_with_its_headers(party: tuple[Party, str], client: OutgoingClient) -> None:
    """Otherwise connectors would see a part of what an insurer says."""
    server, url = party
    server.answer = b"HTTP/1.1 418 Odd\r\nx-kind: tea\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    response = await outbound(client, url).call("POST", "/v1/offers", content=b"{}", headers={"x-own": "1"})
    assert (response.status_code, response.headers["x-kind"], response.json()) == (418, "tea", {})
    assert server.requests[0].startswith(b"POST /v1/offers HTTP/1.1\r\n")
    assert b"x-own: 1\r\n" in server.requests[0]


async def test_the_trace_goes_along(party: tuple[Party, str], client: OutgoingClient) -> None:
    """Otherwise an insurer's log cannot be matched with ours."""
    server, url = party
    continue_trace("4bf92f3577b34da6a3ce929d0e0e4736")
    await outbound(client, url).call("GET", "/")
    assert b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-" in server.requests[0]


async def test_nobody_there_is_surely_not_sent(client: OutgoingClient) -> None:
    """Otherwise an order that was never sent has to be looked up instead of sent again."""
    with pytest.raises(NotSent):
        await outbound(client, "http://127.0.0.1:1").call("POST", "/")


@pytest.mark.parametrize("answer", [None, b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", b"nonsense\r\n\r\n"])
async def test_a_broken_answer_leaves_the_outcome_unknown(
    party: tuple[Party, str], client: OutgoingClient, answer: bytes | None
) -> None:
    """Otherwise a policy that was issued would be issued again."""
    server, url = party
    server.answer = answer
    with pytest.raises(NoAnswer):
        await outbound(client, url).call("POST", "/")


async def test_a_hanging_party_is_given_up_in_time(party: tuple[Party, str], client: OutgoingClient) -> None:
    """Otherwise one insurer keeps a buyer waiting without end."""
    server, url = party
    server.pause = 5
    began = time.monotonic()
    with pytest.raises(NoAnswer):
        await outbound(client, url, time_limit=0.2).call("GET", "/")
    assert time.monotonic() - began < 1


async def test_an_endless_answer_is_not_read(party: tuple[Party, str], client: OutgoingClient) -> None:
    """Otherwise a broken insurer fills our memory."""
    server, url = party
    server.answer = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (MAX_ANSWER + 1)
    with pytest.raises(NoAnswer, match="over"):
        await outbound(client, url, time_limit=10).call("GET", "/")


async def test_no_more_calls_than_agreed_are_in_flight(party: tuple[Party, str], client: OutgoingClient) -> None:
    """Otherwise a rush of quotes brings an insurer down, or breaks our contract with it."""
    server, url = party
    server.pause = 0.02
    calls = outbound(client, url, concurrency=2)
    await asyncio.gather(*(calls.call("GET", "/") for _ in range(8)))
    assert server.most_at_once == 2
    assert len(server.requests) == 8


async def test_who_waits_too_long_for_a_turn_was_surely_not_sent(
    party: tuple[Party, str], client: OutgoingClient
) -> None:
    """Otherwise a call that never left us has to be looked up at the insurer."""
    server, url = party
    server.pause = 0.5
    calls = outbound(client, url, concurrency=1, time_limit=0.2)
    waiting = calls.call("GET", "/", time_limit=0.1)
    outcomes = await asyncio.gather(calls.call("GET", "/"), waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [NoAnswer, NotSent]


async def test_errors_of_the_party_open_the_breaker_and_their_answers_are_given(
    party: tuple[Party, str], client: OutgoingClient
) -> None:
    """Otherwise a party that is down is asked by every quote, or a 500 hides what it said."""
    server, url = party
    server.answer = b"HTTP/1.1 500 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    calls = outbound(client, url, failures=2)
    assert [(await calls.call("GET", "/")).status_code for _ in range(2)] == [500, 500]
    with pytest.raises(NotSent, match="breaker"):
        await calls.call("GET", "/")
    assert len(server.requests) == 2


async def test_a_cancelled_call_says_nothing_about_the_party(party: tuple[Party, str], client: OutgoingClient) -> None:
    """Otherwise buyers who close the page make an insurer look dead."""
    server, url = party
    server.pause = 5
    calls = outbound(client, url, failures=1)
    call = asyncio.create_task(calls.call("GET", "/"))
    await asyncio.sleep(0.05)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert calls.breaker.state is BreakerState.CLOSED


class Connections:
    """An outside party that keeps connections open; ``cut`` ends the next one in place of an answer."""

    def __init__(self) -> None:
        self.opened = 0
        self.requests: list[bytes] = []
        self.cut = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        try:
            while True:
                self.requests.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0])
                if self.cut:
                    return
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
async def test_a_call_is_sent_once_whatever_happens_to_its_connection(client: OutgoingClient, method: str) -> None:
    """Otherwise an insurer that loses its answer is asked again behind our back, and may issue two policies."""
    party = Connections()
    async with await asyncio.start_server(party.serve, "127.0.0.1", 0) as server:
        calls = outbound(client, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await calls.call(method, "/first")
        await calls.call(method, "/second")
        assert party.opened == 1  # connections are kept, else every call pays for a new one
        party.cut = True
        with pytest.raises(NoAnswer):
            await calls.call(method, "/third")
        assert party.requests == [f"{method} /{name} HTTP/1.1".encode() for name in ("first", "second", "third")]


async def test_addresses_and_bodies_arrive_as_they_were_given(party: tuple[Party, str], client: OutgoingClient) -> None:
    """Otherwise an insurer looks up another policy than the one meant, or a signature does not fit its body."""
    server, url = party
    await outbound(client, url).call("PUT", "/a%2Fb/%D0%9F?x=1%2B1", content=b"{}", headers={"content-type": "a/b"})
    request = server.requests[0]
    assert request.startswith(b"PUT /a%2Fb/%D0%9F?x=1%2B1 HTTP/1.1\r\n")
    assert request.lower().count(b"content-type: a/b\r\n") == 1
    assert request.lower().count(b"content-length: 2\r\n") == 1


async def test_an_answer_may_be_compressed(party: tuple[Party, str], client: OutgoingClient) -> None:
    """Otherwise connectors would try to read packed bytes."""
    server, url = party
    packed = gzip.compress(b'{"a": 1}')
    server.answer = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n%b" % (len(packed), packed)
    assert (await outbound(client, url).call("GET", "/")).json() == {"a": 1}


async def test_redirects_are_not_followed(party: tuple[Party, str], client: OutgoingClient) -> None:
    """Otherwise an insurer could make us call any address inside our network."""
    server, url = party
    server.answer = b"HTTP/1.1 307 Elsewhere\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
    assert (await outbound(client, url).call("POST", "/", content=b"{}")).status_code == 307
