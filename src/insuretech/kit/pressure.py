"""Whether a process is asked to do more than it can, so that it refuses new work and finishes what it has begun.

Nobody refuses, and everybody waits: callers give up and ask again, the answers they do not wait for any more are still
worked on, and the process does not recover when the crowd is gone.
"""

import asyncio
from collections.abc import Callable

from prometheus_client import Gauge

LAG = Gauge("insuretech_loop_lag_seconds", "By how much the event loop is late, smoothed over half a second.")
WAIT = Gauge("insuretech_connection_wait_seconds", "How long the first in the queue for the database waits, smoothed.")

LATE = 1.0
"""Seconds; a request passes through the loop ten times and more."""
QUEUED = 0.5
"""Seconds; a request asks for a connection several times, and a queue this long is not one of a moment."""
_EVERY = 0.1


class Pressure:
    """Measures how late the event loop is, and how long one waits for a connection to the database.

    Too many callers or too little of a processor show in the loop. A database that is slow, or for which others have
    all connections, does not: there the loop has nothing to do.
    """

    def __init__(self, late: float = LATE, queued: float = QUEUED, waited: Callable[[], float] = lambda: 0.0) -> None:
        self._late = late
        self._queued = queued
        self._waited = waited
        self._lag = 0.0
        self._wait = 0.0

    def is_high(self) -> bool:
        """Whether the loop or the database has been late again and again; one long breath does not count."""
        return self._lag > self._late or self.is_queued()

    def is_queued(self) -> bool:
        """Whether it is the queue for the database that is long: whoever asks it anything stands in that, too."""
        return self._wait > self._queued

    async def run(self) -> None:
        """Measure until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + _EVERY
            await asyncio.sleep(_EVERY)
            self.note(clock() - due, self._waited())

    def note(self, late_by: float, waited: float = 0.0) -> None:
        """One measurement, in seconds; older ones count for half as much each time.

        However long a single one is, as after the process was frozen, it is not pressure by itself.
        """
        self._lag = _smoothed(self._lag, late_by, self._late)
        self._wait = _smoothed(self._wait, waited, self._queued)
        LAG.set(self._lag)
        WAIT.set(self._wait)


def _smoothed(before: float, now: float, limit: float) -> float:
    return (before + min(max(0.0, now), 1.5 * limit)) / 2
