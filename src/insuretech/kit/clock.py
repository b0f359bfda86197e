"""Time as a dependency, so that deadlines can be tested without waiting for them."""

from datetime import UTC, date, datetime, timedelta
from typing import Protocol, runtime_checkable
from zoneinfo import ZoneInfo

MOSCOW = ZoneInfo("Europe/Moscow")


@runtime_checkable  # Litestar checks what it injects
class Clock(Protocol):
    """Tells the time; always aware, always UTC."""

    def now(self) -> datetime: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class FixedClock:
    """A clock that moves only when told to."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def advance(self, by: timedelta) -> None:
        self.at += by


def legal_date(moment: datetime) -> date:
    """The calendar day of a moment in Moscow time, by which contracts and tariff editions are dated."""
    return moment.astimezone(MOSCOW).date()
