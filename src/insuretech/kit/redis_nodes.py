"""Requests to a Redis Cluster, each to the node its key lies at.

A node that fails or hangs concerns its own keys alone, and these only for as long as the first few requests take to
find out: then its breaker is open and ``HotAway`` is raised at once. Nobody's request serves as the probe; a watch in
the background asks failed nodes and looks where the slots have gone, until all is well.
"""

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog
from prometheus_client import Counter, Gauge
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

from insuretech.kit.breaker import Breaker, BreakerOpen
from insuretech.kit.hot import HotAway, HotFull
from insuretech.kit.redis_link import FAILURES, Answer, Command, Link

log = structlog.get_logger(__name__)

FAILED = Counter("insuretech_redis_failures_total", "Requests a Redis node did not answer, by why.", ["why"])
AWAY = Gauge("insuretech_redis_nodes_away", "Redis nodes this process leaves alone.")

LIMIT = 0.3
"""Seconds a request to Redis may take before its caller goes elsewhere."""
_WATCH = 0.25
_FAILURES = 3
_NEVER = 1e9  # the watch closes a breaker, not a request

Address = tuple[str, int]
_ELSEWHERE = (MovedError, AskError, ClusterDownError, MasterDownError, TryAgainError, ReadOnlyError)


@dataclass(frozen=True)
class Request:
    """A command and the key that says where it belongs."""

    key: str
    command: Command


class Node:
    """A node with its connection and its breaker."""

    def __init__(self, address: Address, limit: float) -> None:
        self.link = Link(*address, limit)
        self.breaker = Breaker(failures=_FAILURES, pause=_NEVER)
        self.failed = False

    async def ask(self, commands: Sequence[Command]) -> list[Answer]:
        """Raises ``HotAway``."""
        try:
            self.breaker.before()
        except BreakerOpen as error:
            raise HotAway("the breaker is open") from error
        try:
            answers = await self.link.ask(commands)
        except FAILURES as error:
            FAILED.labels(type(error).__name__).inc()
            self.breaker.failed()
            self.failed = True
            raise HotAway(type(error).__name__) from error
        self.breaker.succeeded()
        return answers

    async def well(self) -> bool:
        """Whether the node answers; if so, it is asked again."""
        try:
            await self.link.ask([("PING",)])
        except FAILURES:
            return False
        self.breaker.succeeded()
        self.failed = False
        return True


class RedisNodes:
    """The cluster as one process sees it; ``seeds`` are asked first where everything is."""

    def __init__(self, seeds: Sequence[Address], limit: float = LIMIT) -> None:
        self._seeds = list(seeds)
        self._limit = limit
        self._nodes: dict[Address, Node] = {}
        self._owners: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._holders: frozenset[Address] = frozenset()  # those who own slots
        self._watching: asyncio.Task[None] | None = None
        self._finding: asyncio.Task[None] | None = None
        self._known = False

    async def ask(self, key: str, *command: str | bytes | int) -> Answer:
        """One command; raises ``HotAway``."""
        return (await self.ask_all([Request(key, command)]))[0]

    async def ask_all(self, requests: Sequence[Request]) -> list[Answer]:
        """All at once, grouped by node; raises ``HotAway`` when any is not answered."""
        if not self._known:
            await self._find_slots()
        by_node: defaultdict[Address, list[int]] = defaultdict(list)
        for place, request in enumerate(requests):
            by_node[self._owner(request.key)].append(place)
        if len(by_node) == 1:
            ((address, places),) = by_node.items()
            return await self._ask_node(address, [requests[place].command for place in places])
        portions = await asyncio.gather(
            *(
                self._ask_node(address, [requests[place].command for place in places])
                for address, places in by_node.items()
            ),
            return_exceptions=True,
        )
        answers: list[Answer] = [None] * len(requests)
        for places, portion in zip(by_node.values(), portions, strict=True):
            if isinstance(portion, BaseException):
                raise portion
            for place, answer in zip(places, portion, strict=True):
                answers[place] = answer
        return answers

    async def owner_of(self, key: str) -> Address:
        """Where a key lies; raises ``HotAway``."""
        if not self._known:
            await self._find_slots()
        return self._owner(key)

    async def masters(self) -> list[Node]:
        """Every node that owns slots."""
        if not self._known:
            await self._find_slots()
        return [self._node(address) for address in sorted(self._holders)]

    def addresses(self) -> list[Address]:
        """Everyone known to belong to the cluster, those that answer first."""
        everyone = list(dict.fromkeys([*self._nodes, *self._seeds]))
        return sorted(everyone, key=lambda address: address in self._nodes and self._nodes[address].failed)

    def away(self) -> list[Address]:
        """Nodes that own slots and do not answer; all we were told of while nobody says where the slots are."""
        if not self._known and self._watching is not None:
            return list(self._seeds)
        return sorted((node.link.host, node.link.port) for node in self._troubled())

    async def aclose(self) -> None:
        """Close every connection."""
        for task in (self._watching, self._finding):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        for node in self._nodes.values():
            await node.link.close()

    # ------------------------------------------------------------ asking

    async def _ask_node(self, address: Address, commands: Sequence[Command]) -> list[Answer]:
        node = self._node(address)
        try:
            answers = await node.ask(commands)
        except HotAway:
            self._watch()
            raise
        for answer in answers:
            if isinstance(answer, ResponseError):
                self._refused(answer)
        return answers

    def _refused(self, error: ResponseError) -> None:
        """Turn a refusal into ``HotAway`` unless it is our own fault."""
        full = isinstance(error, OutOfMemoryError)
        if not full and not isinstance(error, _ELSEWHERE):
            raise error
        FAILED.labels(type(error).__name__).inc()
        if full:
            raise HotFull from error
        self._watch(look=True)
        raise HotAway(type(error).__name__) from error

    def _owner(self, key: str) -> Address:
        owner = self._owners[key_slot(key.encode())]
        if owner is None:
            self._watch(look=True)
            raise HotAway("nobody owns this slot")
        return owner

    def _node(self, address: Address) -> Node:
        if address not in self._nodes:
            self._nodes[address] = Node(address, self._limit)
        return self._nodes[address]

    # ------------------------------------------------------------ finding out

    async def _find_slots(self) -> None:
        """Ask around where the slots are, once for all who want to know; raises ``HotAway``."""
        if self._watching is not None:
            raise HotAway("nobody knows where the slots are")  # until the watch has found out
        if self._finding is None:
            self._finding = asyncio.create_task(self._look())
        finding = self._finding
        await asyncio.shield(finding)
        if self._finding is finding:
            self._finding = None
        if not self._known:
            self._watch(look=True)
            raise HotAway("no node answers")

    async def _look(self) -> None:
        """Learn from the first node that tells; changes nothing when none does."""
        asked = [address for address in self.addresses() if address in self._nodes or address in self._seeds]
        first, rest = asked[:3], asked[3:]
        secrets.SystemRandom().shuffle(first)
        for some in (first, rest):
            tasks = [asyncio.create_task(self._told_by(address)) for address in some]
            try:
                for told in asyncio.as_completed(tasks):
                    if owners := await told:
                        self._learn(owners)
                        return
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _told_by(self, address: Address) -> Mapping[Address, list[tuple[int, int]]]:
        node = self._node(address)
        try:
            (answer,) = await node.link.ask([("CLUSTER", "SLOTS")])
        except FAILURES:
            return {}
        owners: defaultdict[Address, list[tuple[int, int]]] = defaultdict(list)
        if not isinstance(answer, ResponseError):
            for first, last, *holders in answer:
                addresses = [(host.decode() or address[0], port) for host, port, *_ in holders]
                owners[addresses[0]].append((first, last))
                for one in addresses:
                    self._node(one)
        return owners

    def _learn(self, told: Mapping[Address, Sequence[tuple[int, int]]]) -> None:
        owners: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        for address, ranges in told.items():
            for first, last in ranges:
                owners[first : last + 1] = [address] * (last + 1 - first)
        if self._known and owners != self._owners:
            log.info("redis.slots_moved")
        self._owners = owners
        self._holders = frozenset(told)
        self._known = True

    def _watch(self, *, look: bool = False) -> None:
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._keep_watch(look=look))

    async def _keep_watch(self, *, look: bool) -> None:
        """Look around until every node that owns slots answers."""
        try:
            while look or not self._known or self._troubled():
                look = False
                await self._look()
                troubled = self._troubled()
                AWAY.set(len(troubled))
                await asyncio.gather(*(node.well() for node in troubled))
                if self._troubled() or not self._known:
                    await asyncio.sleep(_WATCH)
            AWAY.set(0)
        finally:
            self._watching = None

    def _troubled(self) -> list[Node]:
        return [node for address, node in self._nodes.items() if node.failed and address in self._holders]


def addresses_of(setting: str) -> list[Address]:
    """The nodes that the setting ``redis`` names: ``host:port,…``; raises ``ValueError``."""
    found = []
    for part in setting.split(","):
        host, _, port = part.strip().rpartition(":")
        found.append((host.strip("[]") or "127.0.0.1", int(port)))
    return found
