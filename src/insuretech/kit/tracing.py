"""The trace id of the request or message being handled, shared by logs, events and problem documents."""

import secrets
from contextvars import ContextVar
from uuid import UUID

_trace_id: ContextVar[str] = ContextVar("trace_id", default="")


def current_trace_id() -> str:
    """The 32 hex digits of the current trace; a new one is begun when there is none."""
    found = _trace_id.get()
    if not found:
        found = secrets.token_hex(16)
        _trace_id.set(found)
    return found


def continue_trace(trace_id: str) -> None:
    """Make ``trace_id`` the trace of this task (from a ``traceparent`` header or an event)."""
    _trace_id.set(trace_id)


def trace_id_of(traceparent: str) -> str:
    """The trace id in a W3C ``traceparent`` header, or a new one when the header is absent or malformed."""
    parts = traceparent.split("-")
    well_formed = len(parts) == 4 and len(parts[1]) == 32 and set(parts[1]) <= set("0123456789abcdef")
    return parts[1] if well_formed and set(parts[1]) != {"0"} else secrets.token_hex(16)


def traceparent_of(trace_id: str, event_id: UUID) -> str:
    """A W3C ``traceparent`` by which whoever handles an event continues its trace; the event is the parent span."""
    span = event_id.hex[-16:]
    return f"00-{trace_id if len(trace_id) == 32 else secrets.token_hex(16)}-{span}-01"
