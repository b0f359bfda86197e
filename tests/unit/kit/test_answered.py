"""Requests are counted, so that whoever watches sees traffic and refusals without reading logs."""

from typing import Any, cast

import pytest
from litestar.types import HTTPScope, Message

from insuretech.kit.answered import ANSWERED, counting


def count_of(method: str, status: str) -> float:
    """What has been counted so far."""
    return float(ANSWERED.labels(method, status)._value.get())


@pytest.mark.parametrize(("method", "counted"), [("GET", "GET"), ("POST", "POST"), ("BREW", "other")])
async def test_each_answer_counts_once(method: str, counted: str) -> None:
    """A stream has many messages and is one answer; made-up methods must not make metrics without end."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    say = counting(cast("HTTPScope", {"method": method}), send)
    before = count_of(counted, "418")
    messages: list[Any] = [
        {"type": "http.response.start", "status": 418, "headers": []},
        {"type": "http.response.body", "body": b"1", "more_body": True},
        {"type": "http.response.body", "body": b"2", "more_body": False},
    ]
    for message in messages:
        await say(message)

    assert count_of(counted, "418") == before + 1
    assert sent == messages
