"""Makes one S3 of Garage's nodes and mends it: one node a zone, every object in each.

A pass introduces nodes that do not see one another, gives them their zones once, has nobody count on nodes whose disks
are lost, makes each bucket and its key, and lets the others push to a node that has come back what it missed, which
they would do minutes later. Safe to repeat.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

_PATIENCE = 5.0  # seconds for one answer


class GarageRefuses(Exception):
    """The administration says no; the message is Garage's own."""


@dataclass(frozen=True)
class Access:
    """A bucket, and the only key that may use it."""

    bucket: str
    access_key: str
    secret_key: str


@dataclass
class Keeper:
    """``nodes``: address of each zone's administration (``http://host:port``); ``capacity`` in bytes a node."""

    nodes: Mapping[str, str]
    token: str
    buckets: Sequence[Access]
    capacity: int
    rpc_port: int = 3901
    transport: httpx.BaseTransport | None = None
    absent: set[str] = field(default_factory=set)

    def keep(self) -> list[str]:
        """One pass; what was done, in words."""
        found = {zone: status for zone in self.nodes if (status := self._status(zone)) is not None}
        back = sorted(self.absent & set(found))
        self.absent = set(self.nodes) - set(found)
        done = self._introduce(found)
        if done or not found:
            return done
        first = next(iter(found))
        layout = self._ask(first, "GET", "/v2/GetClusterLayout")
        if {role["id"] for role in layout["roles"]} != {status["id"] for status in found.values()}:
            # Not while a node does not answer: it may come back with what it had.
            return self._assign(found, layout) if len(found) == len(self.nodes) else []
        done = self._skip_dead(first, {status["id"] for status in found.values()})
        done += [word for access in self.buckets for word in self._ensure_bucket(first, access)]
        if back:
            self._ask(first, "POST", "/v2/LaunchRepairOperation?node=*", {"repairType": "tables"})
            done.append(f"let {', '.join(back)} have what it missed")
        return done

    def _status(self, zone: str) -> dict[str, Any] | None:
        """What a node knows, with its own identity; None when it does not answer."""
        try:
            own = self._ask(zone, "GET", "/v2/GetNodeInfo?node=self")["success"]
            known: dict[str, Any] = self._ask(zone, "GET", "/v2/GetClusterStatus")
        except httpx.HTTPError:
            return None
        return {"id": next(iter(own)), "nodes": known["nodes"]}

    def _introduce(self, found: Mapping[str, dict[str, Any]]) -> list[str]:
        done = []
        for zone, status in found.items():
            up = {node["id"] for node in status["nodes"] if node["isUp"]}
            missing = [other for other in found if found[other]["id"] not in up]
            if missing:
                addresses = [f"{found[other]['id']}@{_host(self.nodes[other])}:{self.rpc_port}" for other in missing]
                self._ask(zone, "POST", "/v2/ConnectClusterNodes", addresses)
                done.append(f"introduced {', '.join(missing)} to {zone}")
        return done

    def _assign(self, found: Mapping[str, dict[str, Any]], layout: Mapping[str, Any]) -> list[str]:
        """Give each zone to the node that is there; one that came with an empty disk takes the lost one's place."""
        first = next(iter(found))
        known = {role["id"] for role in layout["roles"]}
        present = {status["id"]: zone for zone, status in found.items()}
        roles = [
            *({"id": lost, "remove": True} for lost in sorted(known - set(present))),
            *(
                {"id": new, "zone": zone, "capacity": self.capacity, "tags": [zone]}
                for new, zone in present.items()
                if new not in known
            ),
        ]
        self._ask(first, "POST", "/v2/UpdateClusterLayout", {"roles": roles})
        self._ask(first, "POST", "/v2/ApplyClusterLayout", {"version": layout["version"] + 1})
        return [f"gave zones to {', '.join(zone for new, zone in present.items() if new not in known)}"]

    def _skip_dead(self, zone: str, present: set[str]) -> list[str]:
        """A node whose disk is lost never says that it knows its successor; until it has, writing needs its zone's old
        and new node counted apart, and one more node less would stop all of it.
        """
        if len(present) < len(self.nodes):
            return []  # an absent one may come back with what it had
        history = self._ask(zone, "GET", "/v2/GetClusterLayoutHistory")
        current = history["currentVersion"]
        behind = {node for node, known in (history["updateTrackers"] or {}).items() if known["ack"] < current}
        if not behind - present:
            return []
        self._ask(zone, "POST", "/v2/ClusterLayoutSkipDeadNodes", {"version": current, "allowMissingData": False})
        return [f"waits no more for {len(behind - present)} lost"]

    def _ensure_bucket(self, zone: str, access: Access) -> list[str]:
        done = []
        if access.access_key not in {key["id"] for key in self._ask(zone, "GET", "/v2/ListKeys")}:
            named = {"accessKeyId": access.access_key, "secretAccessKey": access.secret_key}
            self._ask(zone, "POST", "/v2/ImportKey", {**named, "name": access.bucket})
            done.append(f"made the key of {access.bucket}")
        known = self._ask(zone, "GET", "/v2/ListBuckets")
        bucket = next((one["id"] for one in known if access.bucket in one["globalAliases"]), None)
        if bucket is None:
            bucket = self._ask(zone, "POST", "/v2/CreateBucket", {"globalAlias": access.bucket})["id"]
            done.append(f"made the bucket {access.bucket}")
        if done:
            allowed = {"read": True, "write": True, "owner": True}
            granted = {"bucketId": bucket, "accessKeyId": access.access_key, "permissions": allowed}
            self._ask(zone, "POST", "/v2/AllowBucketKey", granted)
        return done

    def _ask(self, zone: str, method: str, path: str, body: Any = None) -> Any:
        with httpx.Client(
            base_url=self.nodes[zone],
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=_PATIENCE,
            trust_env=False,
            transport=self.transport,
        ) as client:
            answer = client.request(method, path, json=body) if body is not None else client.request(method, path)
        if answer.is_error:
            raise GarageRefuses(f"{zone} refuses {path}: {answer.text.strip()[:300]}")
        return answer.json()


def _host(address: str) -> str:
    return httpx.URL(address).host
