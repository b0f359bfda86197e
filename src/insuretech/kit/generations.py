"""Which generation of a projection is read, and which is being built beside it: said in hot storage, learnt by all."""

import asyncio
from collections.abc import Mapping

from insuretech.kit.hot import HotAway, HotStore

SETTLING = 2.0
"""Seconds after which every process knows of a new generation: twice as long as one believes what it knows."""
_FIRST = 0


class Generations:
    """What this process knows of the generations of one projection."""

    def __init__(self, projection: str, hot: HotStore) -> None:
        self.active = _FIRST
        self.building: int | None = None
        self._projection = projection
        self._hot = hot
        self._learnt = float("-inf")
        self._failed_to_learn = float("-inf")
        self._learning: asyncio.Task[None] | None = None

    def all(self) -> list[int]:
        """Those that are written to."""
        return [self.active] if self.building is None else [self.active, self.building]

    async def keep_known(self) -> None:
        """Ask anew what was learnt more than a second ago, and wait for it when that is two seconds.

        While the node of the state alone is away, what was learnt last is believed: nobody can switch meanwhile.
        Raises ``HotAway`` when nothing was ever learnt.
        """
        now = asyncio.get_running_loop().time()
        age = now - self._learnt
        if age < SETTLING / 2 or now - self._failed_to_learn < SETTLING / 2:
            return
        if self._learning is None or self._learning.done():
            self._learning = asyncio.create_task(self._learn_quietly())
        if age >= SETTLING:
            await asyncio.shield(self._learning)
            if self._learnt == float("-inf"):
                raise HotAway("nobody knows which generation is read")

    async def _learn_quietly(self) -> None:
        try:
            await self.learn()
        except HotAway:
            if self._learnt > float("-inf"):
                self._failed_to_learn = asyncio.get_running_loop().time()

    async def learn(self) -> Mapping[str, str]:
        """Ask now; the whole state of the projection. Raises ``HotAway``."""
        asked = asyncio.get_running_loop().time()
        state = await self._hot.state(self._projection)
        building = state.get("building") or None
        self.active = int(state.get("active", _FIRST))
        self.building = None if building is None else int(building)
        self._learnt = asked
        return state

    async def switch(self, active: int, building: int | None) -> None:
        """Say what is read and what is built from now on; others hear of it within ``SETTLING``."""
        fields = {"active": str(active), "building": "" if building is None else str(building)}
        await self._hot.set_state(self._projection, fields)
        await self.learn()

    async def settled(self) -> None:
        """Wait until every process knows what was said last."""
        await asyncio.sleep(SETTLING)
