"""Makes one cluster of six Redis nodes and mends it: addresses change, a disk is lost, all forget one another.

The nodes are named in order; the first three begin as masters, and node n+3 is the copy of node n. Fail-over happens
within such a pair, so the pair is what is kept. One pass looks at all nodes and does what is wanted; passes are safe to
repeat and to run beside one another.
"""

import socket
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import redis

MASTERS = 3
SLOTS = 16384
_PATIENCE = 3.0  # seconds for one answer


@dataclass(frozen=True)
class Entry:
    """What one node knows of another: a line of CLUSTER NODES (https://redis.io/docs/latest/commands/cluster-nodes)."""

    id: str
    host: str
    flags: frozenset[str]
    slots: bool
    master: str

    @classmethod
    def of(cls, line: str) -> "Entry":
        known, address, flags, master, _ping, _pong, _epoch, _link, *slots = line.split()
        host = address.partition("@")[0].rpartition(":")[0]
        return cls(known, host, frozenset(flags.split(",")), bool(slots), master)


@dataclass(frozen=True)
class Node:
    """A node that answers; ``number`` counts from 0, ``view`` is what it knows, by the nodes' identities."""

    number: int
    name: str
    id: str
    host: str
    view: Mapping[str, Entry]
    client: Any  # its answers are of all kinds

    @property
    def me(self) -> Entry:
        return self.view[self.id]

    @property
    def newcomer(self) -> bool:
        """Serves nothing and copies nobody."""
        return "master" in self.me.flags and not self.me.slots

    def say(self, *command: str | int) -> None:
        self.client.execute_command(*command)


def keep(names: Sequence[str]) -> list[str]:
    """One pass over the nodes ``host:port``; what was done, in words. An empty list says that all was well.

    Nothing is given away or forgotten while a node does not answer: it may come back with what it had.
    """
    if len(names) != 2 * MASTERS:
        raise ValueError(f"{2 * MASTERS} nodes are needed, {MASTERS} masters and a copy of each")
    nodes = [node for number, name in enumerate(names) if (node := _look(number, name)) is not None]
    try:
        whole = len(nodes) == len(names)
        if whole and all(node.newcomer for node in nodes):
            return [*_begin(nodes), *_introduce(nodes)]
        done = _introduce(nodes)
        if done:
            return done  # they have to hear of one another before anything else can be told
        return [*(_forget(nodes) if whole else []), *_give_work(nodes, whole=whole)]
    finally:
        for node in nodes:
            node.client.close()


def _look(number: int, name: str) -> Node | None:
    host, _, port = name.rpartition(":")
    client: Any = redis.Redis(
        host=host,
        port=int(port),
        decode_responses=True,
        socket_timeout=_PATIENCE,
        socket_connect_timeout=_PATIENCE,
    )
    client.response_callbacks.clear()  # answers as they are
    try:
        known = str(client.execute_command("CLUSTER", "MYID"))
        entries = [Entry.of(line) for line in str(client.execute_command("CLUSTER", "NODES")).splitlines()]
        address = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)[0][4][0]
    except (redis.RedisError, OSError):
        client.close()
        return None
    return Node(number, name, known, str(address), {entry.id: entry for entry in entries}, client)


def _begin(nodes: Sequence[Node]) -> list[str]:
    """Divide the slots; epochs differ from the beginning, so that nobody has to settle that later."""
    for node in nodes:
        if node.number < MASTERS:
            node.say("CLUSTER", "ADDSLOTSRANGE", *_range(node.number))
        with suppress(redis.ResponseError):  # it knows somebody already
            node.say("CLUSTER", "SET-CONFIG-EPOCH", node.number + 1)
    return ["divided the slots among new nodes"]


def _range(number: int) -> tuple[int, int]:
    return SLOTS * number // MASTERS, SLOTS * (number + 1) // MASTERS - 1


def _introduce(nodes: Sequence[Node]) -> list[str]:
    """Tell every node of those that it does not know, or knows under an address they no longer have."""
    done = []
    for one in nodes:
        for other in nodes:
            known = one.view.get(other.id)
            if one.id != other.id and (known is None or known.host != other.host):
                one.say("CLUSTER", "MEET", other.host, other.name.rpartition(":")[2])
                done.append(f"introduced {other.name} to {one.name}")
    return done


def _forget(nodes: Sequence[Node]) -> list[str]:
    """Let go of identities that no node has any more: their disks are lost.

    Not of one whose copy lives: that is about to take its place, for which the others must know whose it takes.
    """
    kept = {node.id for node in nodes} | {node.me.master for node in nodes}
    gone = {entry.id for node in nodes for entry in node.view.values() if entry.id not in kept and _failed(entry)}
    for node in nodes:
        for lost in gone & set(node.view):
            with suppress(redis.ResponseError):  # a copy does not forget its master before it has another
                node.say("CLUSTER", "FORGET", lost)
    return [f"forgot {lost}" for lost in sorted(gone)]


def _failed(entry: Entry) -> bool:
    return "fail" in entry.flags or "noaddr" in entry.flags


def _give_work(nodes: Sequence[Node], *, whole: bool) -> list[str]:
    """Make a newcomer the copy of the other of its pair, or give it the pair's slots when both are new."""
    by_number = {node.number: node for node in nodes}
    done = []
    for node in nodes:
        if not node.newcomer:
            continue
        other = by_number.get((node.number + MASTERS) % (2 * MASTERS))
        if other is not None and other.me.slots:
            node.say("CLUSTER", "REPLICATE", other.id)
            done.append(f"made {node.name} a copy of {other.name}")
        elif whole and node.number < MASTERS and other is not None and other.newcomer and _unserved(nodes, node.number):
            node.say("CLUSTER", "ADDSLOTSRANGE", *_range(node.number))
            done.append(f"gave {node.name} the slots that its pair had lost")
    return done


def _unserved(nodes: Iterable[Node], number: int) -> bool:
    """Whether no living node serves the slots of a pair."""
    pair = {number, number + MASTERS}
    return not any(node.me.slots for node in nodes if node.number in pair)
