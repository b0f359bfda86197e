"""A call as a party of the sandbox plays it: noted, delayed, and failing as often as its behaviour says."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from insuretech.sandbox.calls import CallLog, OpenCall
from insuretech.sandbox.domain import AnswerLost, Failure, Unavailable, rolled_failure


class Manners(Protocol):
    """What every behaviour says of every call."""

    @property
    def delay_min_ms(self) -> int: ...
    @property
    def delay_max_ms(self) -> int: ...
    @property
    def failure_rate(self) -> float: ...
    @property
    def failures(self) -> Sequence[Failure]: ...


@dataclass(frozen=True)
class Stage:
    """Where calls are played: the log, and a source of numbers from 0 up to 1."""

    calls: CallLog
    roll: Callable[[], float] = random.random

    @asynccontextmanager
    async def playing(
        self,
        party: str,
        dialect: str,
        operation: str,
        manners: Manners,
        *,
        reference: object,
        asked: Mapping[str, object],
    ) -> AsyncIterator[OpenCall]:
        """Waits, then lets the work be done, and may lose its answer.

        Raises ``Unavailable`` before the work or ``AnswerLost`` after it.
        """
        with self.calls.call(party, dialect, operation, reference, asked) as call:
            try:
                await self._delay(manners)
                failure = rolled_failure(manners.failure_rate, manners.failures, self.roll)
                admit(failure if failure == "down" else "ok")
                yield call
                lose(failure)
            except Unavailable:
                call.answer = "unavailable (503)"
                raise
            except AnswerLost as lost:
                done = "" if call.answer == "error" else f": {call.answer}"
                call.answer = f"answer lost ({lost.manner}){done}"
                raise

    async def _delay(self, manners: Manners) -> None:
        least, most = manners.delay_min_ms, max(manners.delay_min_ms, manners.delay_max_ms)
        if most:
            await asyncio.sleep((least + self.roll() * (most - least)) / 1000)


def admit(mode: str) -> None:
    """Ends the call here when the behaviour for it is ``down`` or ``hang``."""
    if mode == "down":
        raise Unavailable
    if mode == "hang":
        raise AnswerLost("hang")


def lose(manner: Failure | None) -> None:
    """Loses the answer, now that the work is done."""
    if manner is not None and manner != "down":
        raise AnswerLost(manner)
