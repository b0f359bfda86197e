"""How many requests a process has answered, and how."""

from litestar.types import HTTPScope, Message, Send
from prometheus_client import Counter

ANSWERED = Counter("insuretech_requests_total", "Requests answered, by method and status.", ["method", "status"])
_known: dict[tuple[str, int], Counter] = {}
"""Counters that were asked for before: looking one up by its labels costs more than counting."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def counting(scope: HTTPScope, send: Send) -> Send:
    """Counts the answer when it begins; methods that nobody has defined count as one."""
    method = scope["method"] if scope["method"] in _METHODS else "other"

    async def counted(message: Message) -> None:
        if message["type"] == "http.response.start":
            labels = (method, message["status"])
            counter = _known.get(labels)
            if counter is None:
                counter = _known[labels] = ANSWERED.labels(*labels)
            counter.inc()
        await send(message)

    return counted
