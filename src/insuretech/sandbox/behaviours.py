"""How everyone behaves just now: in memory for speed, written through so that a restart changes nothing.

Beside other replicas each looks ``lag`` seconds apart for what was set elsewhere, and setting takes twice as long, so
that what is set holds for the next call at any of them.
"""

import asyncio
from typing import TypeVar

import msgspec

from insuretech.sandbox.domain import Behaviour, Character, ProviderBehaviour
from insuretech.sandbox.ports import BehaviourStore

PROVIDER = "payments"
"""The payment provider's name among the behaviours and the calls."""

T = TypeVar("T", Behaviour, ProviderBehaviour)


class Behaviours:
    """The behaviour of every insurer and of the payment provider."""

    def __init__(self, roster: dict[str, Character], store: BehaviourStore, lag: float = 0.0) -> None:
        self.roster = roster
        self._store = store
        self._lag = lag
        self._insurers: dict[str, Behaviour] = {}
        self.provider = ProviderBehaviour()
        self._characters()

    def __getitem__(self, code: str) -> Behaviour:
        return self._insurers[code]

    async def load(self) -> None:
        """Take up what was set; what another version wrote and we cannot read is left out."""
        stored = await self._store.all()
        self._characters()
        for name, document in stored.items():
            if name == PROVIDER:
                self.provider = _read(document, self.provider)
            elif name in self._insurers:
                self._insurers[name] = _read(document, self._insurers[name])

    async def follow(self) -> None:
        """Take up what other replicas set, as long as the process runs."""
        while True:
            await asyncio.sleep(self._lag)
            await self.load()

    async def set(self, code: str, behaviour: Behaviour) -> None:
        await self._store.put(code, msgspec.json.encode(behaviour))
        self._insurers[code] = behaviour
        await self._known_everywhere()

    async def set_provider(self, behaviour: ProviderBehaviour) -> None:
        await self._store.put(PROVIDER, msgspec.json.encode(behaviour))
        self.provider = behaviour
        await self._known_everywhere()

    async def reset(self) -> None:
        """Everyone behaves by character again."""
        await self._store.clear()
        self._characters()
        await self._known_everywhere()

    async def _known_everywhere(self) -> None:
        await asyncio.sleep(2 * self._lag)

    def _characters(self) -> None:
        self._insurers = {code: character.behaviour for code, character in self.roster.items()}
        self.provider = ProviderBehaviour()


def _read(document: bytes, otherwise: T) -> T:
    try:
        return msgspec.json.decode(document, type=type(otherwise))
    except msgspec.MsgspecError:
        return otherwise
