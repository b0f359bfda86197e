"""A circuit breaker: after repeated failures an outside party is left alone, then tried with one probe at a time."""

from collections.abc import Callable
from enum import StrEnum
from time import monotonic


class BreakerOpen(Exception):
    """The party is being left alone; nothing was sent."""


class BreakerState(StrEnum):
    """Closed lets calls through, open refuses them, half-open lets one probe through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Opens after ``failures`` in a row; ``pause`` seconds later lets a single probe through.

    Every call is ``probe = before()``, and then exactly one of ``succeeded()``, ``failed()`` and ``abandoned(probe)``.
    """

    def __init__(self, *, failures: int = 5, pause: float = 10.0, clock: Callable[[], float] = monotonic) -> None:
        self._limit = failures
        self._pause = pause
        self._clock = clock
        self._failed = 0
        self._opened_at: float | None = None
        self._probing = False

    @property
    def state(self) -> BreakerState:
        if self._opened_at is None:
            return BreakerState.CLOSED
        waited = self._clock() - self._opened_at >= self._pause
        return BreakerState.HALF_OPEN if waited or self._probing else BreakerState.OPEN

    def before(self) -> bool:
        """Ask leave to send: True for the probe, on which it depends how things go on. Raises ``BreakerOpen``."""
        state = self.state
        if state is BreakerState.OPEN or (state is BreakerState.HALF_OPEN and self._probing):
            raise BreakerOpen
        self._probing = state is BreakerState.HALF_OPEN
        return self._probing

    def succeeded(self) -> None:
        self._failed = 0
        self._opened_at = None
        self._probing = False

    def failed(self) -> None:
        self._failed += 1
        if self._probing or self._failed >= self._limit:
            self._opened_at = self._clock()
        self._probing = False

    def abandoned(self, probe: bool) -> None:
        """The call was cancelled and proves nothing; an older call than the probe leaves the probe alone."""
        if probe:
            self._probing = False
