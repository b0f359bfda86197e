"""Losing what Kafka or most of etcd holds, and putting it right, as an operator does it."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console

from cluster.fetching import Reporter
from deploy import console
from deploy.commands import TwinFailed, run
from deploy.twin.inside import kubectl
from deploy.twin.playbook import ALONE, play
from deploy.twin.whole import Twin

_KAFKA = "app.kubernetes.io/component=kafka"
_BEFORE = timedelta(minutes=10)
"""How far before the loss events are sent again: longer than any consumer was behind."""
_GONE, _BACK = 120.0, 600
"""Seconds until the brokers have stopped, and until they are there again."""


def lose_kafka(twin: Twin) -> tuple[str, ...]:
    """Stop every broker and empty its disk."""
    words = (*kubectl(twin), "--namespace", "insuretech")
    run(*words, "scale", "statefulset", f"--selector={_KAFKA}", "--replicas=0")
    until = time.monotonic() + _GONE
    while _items(words, "pods"):
        if time.monotonic() > until:
            raise TwinFailed(f"Brokers still run {_GONE:.0f} s after they were told to stop.")
        time.sleep(1)
    disks = tuple(_disks(words))
    for machine, path in disks:
        twin.machine(machine).ssh(f"find {path} -mindepth 1 -delete", limit=60)
    return tuple(sorted({machine for machine, _ in disks}))


def bring_back(twin: Twin) -> None:
    """New brokers, the topics, and what the consumers may have missed."""
    words = (*kubectl(twin), "--namespace", "insuretech")
    since = datetime.now(UTC) - _BEFORE
    for name, replicas in _brokers(words):
        run(*words, "scale", "statefulset", name, f"--replicas={replicas}")
    run(*words, "rollout", "status", f"--timeout={_BACK}s", "statefulset", f"--selector={_KAFKA}", limit=_BACK + 30)
    console.insist(words, ("topics", "apply"), ("outbox", "replay", "--since", f"{since:%Y-%m-%dT%H:%M:%S}"))


def lose_etcd(twin: Twin) -> tuple[str, ...]:
    """All members of Patroni's etcd but one lose their disks; the one that stays comes first."""
    members = sorted(twin.chosen(["etcd"]), key=lambda one: (one.machine.site != "msk", one.name))
    last, *others = (one.name for one in members)
    killed = "systemctl kill --signal=KILL patroni-etcd; systemctl stop patroni-etcd"
    for name in others:
        twin.machine(name).ssh(f"{killed}; rm -rf /var/lib/patroni-etcd/member", limit=60)
        # Empty and started anew, as a machine does by itself: it must not make a cluster of its own.
        twin.machine(name).ssh("systemctl start --no-block patroni-etcd")
    return (last, *others)


def bring_etcd_back(twin: Twin, names: tuple[str, ...]) -> None:
    """From the member that has its disk."""
    play(twin.home, twin.inventory, names, Reporter(Console(quiet=True)), book=ALONE, more=("-e", f"last={names[0]}"))


def _disks(words: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Machine and folder of each broker's disk."""
    claims = {one["spec"]["volumeName"] for one in _items(words, "persistentvolumeclaims")}
    for one in json.loads(run(*words, "get", "persistentvolumes", "--output=json").stdout)["items"]:
        if one["metadata"]["name"] in claims:
            (term,) = one["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
            (machine,) = term["matchExpressions"][0]["values"]
            yield machine, one["spec"]["local"]["path"]


def _brokers(words: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    """Every set of brokers and how many it shall have, as it was installed."""
    values = json.loads(run(*words, "get", "configmaps", f"--selector={_KAFKA}", "--output=json").stdout)["items"]
    for one in values:
        count = sum(key.startswith("server-") for key in one["data"])
        if count:
            yield one["metadata"]["name"], count


def _items(words: tuple[str, ...], kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run(*words, "get", kind, f"--selector={_KAFKA}", "--output=json").stdout)[
        "items"
    ]
    return found
