"""Months are closed by the calendar: on the first, six hours after midnight in Moscow; what could not be then, later.

Every replica looks; a month that one has closed is found closed by the others.
"""

import asyncio
from datetime import date, datetime, timedelta

from insuretech.kit.clock import Clock
from insuretech.settlement.commands import Bookkeeping
from insuretech.settlement.domain import business_month

GRACE = timedelta(hours=6)
"""After the end of a month, for events that are still on their way; what comes later is in the next register."""

_LOOK = 600.0  # seconds


def month_due(now: datetime) -> date:
    """The last month that the calendar closes at this moment."""
    running = business_month(now - GRACE)
    return (running - timedelta(days=1)).replace(day=1)


async def close_by_calendar(bookkeeping: Bookkeeping, clock: Clock) -> None:
    """Close what is due, every ten minutes."""
    while True:
        await bookkeeping.close_due(month_due(clock.now()))
        await asyncio.sleep(_LOOK)
