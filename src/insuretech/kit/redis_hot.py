"""Hot storage in a Redis Cluster. An entry is a string: its version in ``DIGITS`` digits, then its value."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from itertools import islice

from insuretech.kit.hot import DIGITS, Entry, Growth, HotAway, HotFull, entry_key, state_key, turn_key
from insuretech.kit.redis_link import Command
from insuretech.kit.redis_nodes import RedisNodes, Request

_TOGETHER = 50
"""Requests sent at once: few enough to be answered in time on a busy machine, and not to make the others wait."""

_PUT = """
local there = redis.call('GETRANGE', KEYS[1], 0, 18)
if there > string.sub(ARGV[1], 1, 19) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_GROW = """
local there = redis.call('GETRANGE', KEYS[1], 0, 18)
if there == ARGV[1] then
  redis.call('SETRANGE', KEYS[1], 0, ARGV[2])
  redis.call('APPEND', KEYS[1], ARGV[3])
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
  return 1
end
if there >= ARGV[2] then return 1 end
return 0
"""
_TURN = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""


class RedisHot:
    """The adapter; see ``HotStore``.

    When Redis is full, the entry that could not be replaced is removed: what is missing is read from the source, what
    is outdated would be believed.
    """

    shared = True

    def __init__(self, nodes: RedisNodes) -> None:
        self._nodes = nodes

    def silent(self) -> Sequence[str]:
        return [f"redis:{host}:{port}" for host, port in self._nodes.away()]

    async def get(self, key: str) -> Entry | None:
        return _entry(await self._nodes.ask(key, "GET", key))

    async def get_many(self, keys: Sequence[str]) -> list[Entry | None]:
        return [_entry(found) for found in await self._each(Request(key, ("GET", key)) for key in keys)]

    async def versions(self, keys: Sequence[str]) -> list[int | None]:
        found = await self._each(Request(key, ("GETRANGE", key, 0, DIGITS - 1)) for key in keys)
        return [int(version) if version else None for version in found]

    async def put(self, key: str, entry: Entry, ttl: float) -> bool:
        try:
            return bool(await self._nodes.ask(key, *_put(key, entry, ttl)))
        except HotFull:
            await self._let_go([key])
            raise

    async def put_many(self, entries: Mapping[str, Entry], ttl: float) -> None:
        try:
            await self._each(Request(key, _put(key, entry, ttl)) for key, entry in entries.items())
        except HotFull:
            await self._let_go(list(entries))
            raise

    async def grow(self, key: str, growth: Growth, ttl: float) -> bool:
        after, version = _digits(growth.after), _digits(growth.version)
        try:
            return bool(await self._nodes.ask(key, "EVAL", _GROW, 1, key, after, version, growth.tail, _ms(ttl)))
        except HotFull:
            await self._let_go([key])
            raise

    async def drop(self, keys: Sequence[str]) -> None:
        await self._each(Request(key, ("UNLINK", key)) for key in keys)

    async def keys(self, projection: str, generation: str) -> AsyncIterator[Sequence[str]]:
        pattern = entry_key(projection, "*", generation)
        for node in await self._nodes.masters():
            cursor: bytes | int = b"0"
            while True:
                (answer,) = await node.ask([("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)])
                if isinstance(answer, Exception):
                    raise HotAway(str(answer)) from answer
                cursor, found = answer
                yield [key.decode() for key in found]
                if cursor == b"0":
                    break

    async def state(self, projection: str) -> Mapping[str, str]:
        key = state_key(projection)
        flat = [text.decode() for text in await self._nodes.ask(key, "HGETALL", key)]
        return dict(zip(flat[::2], flat[1::2], strict=True))

    async def set_state(self, projection: str, fields: Mapping[str, str]) -> None:
        key = state_key(projection)
        await self._nodes.ask(key, "HSET", key, *(text for field in fields.items() for text in field))

    async def take_turn(self, projection: str, task: str, who: str, seconds: float) -> bool:
        key = turn_key(projection, task)
        return bool(await self._nodes.ask(key, "EVAL", _TURN, 1, key, who, _ms(seconds)))

    async def aclose(self) -> None:
        await self._nodes.aclose()

    async def _each(self, requests: Iterable[Request]) -> list[bytes | None]:
        remaining, answers = iter(requests), list[bytes | None]()
        while some := list(islice(remaining, _TOGETHER)):
            answers += await self._nodes.ask_all(some)
        return answers

    async def _let_go(self, keys: Sequence[str]) -> None:
        """Remove what could not be replaced: a full Redis still deletes. Where even that fails, a sweep repairs it."""
        for key in keys:
            try:
                await self._nodes.ask(key, "UNLINK", key)
            except HotAway:
                return


def _entry(found: bytes | None) -> Entry | None:
    return None if found is None else Entry(int(found[:DIGITS]), found[DIGITS:])


def _put(key: str, entry: Entry, ttl: float) -> Command:
    return ("EVAL", _PUT, 1, key, _digits(entry.version) + entry.value, _ms(ttl))


def _digits(version: int) -> bytes:
    return b"%019d" % version


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))
