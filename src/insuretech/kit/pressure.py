"""Whether a process is asked to do more than it can, so that it refuses new work and finishes what it has begun.

Nobody refuses, and everybody waits: callers give up and ask again, the answers they do not wait for any more are still
worked on, and the process does not recover when the crowd is gone.
"""

import asyncio

from prometheus_client import Gauge

LAG = Gauge("insuretech_loop_lag_seconds", "By how much the event loop is late, smoothed over half a second.")

LATE = 1.0
"""Seconds; a request passes through the loop ten times and more."""
_EVERY = 0.1


class Pressure:
    """Measures how late the event loop is.

    Whatever holds a process up, too many callers or too little of a processor, shows there first.
    """

    def __init__(self, late: float = LATE) -> None:
        self._late = late
        self._lag = 0.0

    def is_high(self) -> bool:
        """Whether the loop has been late again and again; one long breath does not count."""
        return self._lag > self._late

    async def run(self) -> None:
        """Measure until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + _EVERY
            await asyncio.sleep(_EVERY)
            self.note(clock() - due)

    def note(self, late_by: float) -> None:
        """One measurement, in seconds; older ones count for half as much each time.

        However long a single one is, as after the process was frozen, it is not pressure by itself.
        """
        self._lag = (self._lag + min(max(0.0, late_by), 1.5 * self._late)) / 2
        LAG.set(self._lag)
