"""Garage as S3: three nodes in three zones, every object in each, read and written by two of three."""

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from cluster import probes
from cluster.ports import Ports
from cluster.processes import POLL, ProcessFailed, Program

ZONES = ("spb", "msk", "witness")
REGION = "garage"
BUCKET = "insuretech"
_CAPACITY = 10_000_000_000  # bytes a node
_LAYOUT_LIMIT = 30.0  # seconds


@dataclass(frozen=True)
class Keys:
    """What makes a client of S3, and what the nodes and their administrator share."""

    access_key: str
    secret_key: str
    rpc_secret: str
    admin_token: str


@dataclass(frozen=True)
class Garage:
    """The nodes of a data folder; ``program`` is the built ``garage``."""

    folder: Path
    ports: Ports
    program: Path

    @property
    def numbers(self) -> Sequence[int]:
        return range(1, len(ZONES) + 1)

    @property
    def keys(self) -> Keys:
        """Made with the folder and kept in it."""
        return Keys(**json.loads(self._keys_file.read_text(encoding="utf-8")))

    def prepare(self) -> None:
        """Write keys, once, and configuration."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._keys_file.exists():
            made = {
                "access_key": f"GK{secrets.token_hex(12)}",
                "secret_key": secrets.token_hex(32),
                "rpc_secret": secrets.token_hex(32),
                "admin_token": secrets.token_hex(32),
            }
            _write_private(self._keys_file, json.dumps(made).encode())
        for number in self.numbers:
            self._make_identity(number)
        for number in self.numbers:
            _write_private(self._settings_file(number), self.settings(number).encode())

    def settings(self, number: int) -> str:
        """One node's ``garage.toml``.

        Without ``bootstrap_peers`` the nodes would not find one another after a common restart. For as long as
        ``rpc_timeout_msec`` a read waits for a node that hangs before it asks the third, for a minute, until the node
        counts as gone: less than our clients wait for an answer. A node that comes back waits for twice as long before
        it fetches what it missed.
        """
        keys = self.keys
        peers = [f"{self.node_id(one)}@127.0.0.1:{self.ports.garage_rpc(one)}" for one in self.numbers if one != number]
        return f"""\
metadata_dir = "{self._node(number)}/meta"
data_dir = "{self._node(number)}/data"
db_engine = "lmdb"
metadata_fsync = true
data_fsync = true
replication_factor = {len(ZONES)}
consistency_mode = "consistent"
rpc_bind_addr = "127.0.0.1:{self.ports.garage_rpc(number)}"
rpc_public_addr = "127.0.0.1:{self.ports.garage_rpc(number)}"
rpc_secret = "{keys.rpc_secret}"
rpc_timeout_msec = 2000
bootstrap_peers = {json.dumps(peers)}

[s3_api]
s3_region = "{REGION}"
api_bind_addr = "127.0.0.1:{self.ports.garage(number)}"

[admin]
api_bind_addr = "127.0.0.1:{self.ports.garage_admin(number)}"
admin_token = "{keys.admin_token}"
"""

    def programs(self) -> list[Program]:
        return [
            Program(
                name=f"s3-{number}",
                role="s3",
                zone=ZONES[number - 1],
                command=(str(self.program), "-c", str(self._settings_file(number)), "server"),
                environment={"RUST_LOG": "garage=info"},
                # Any answer to a call without signature tells that the node works; its own health wants the others too.
                probe=probes.Probe(
                    ("127.0.0.1", self.ports.garage(number)),
                    b"GET / HTTP/1.1\r\nHost: s3\r\nConnection: close\r\n\r\n",
                    b" 403 ",
                ),
                start_limit=30,
            )
            for number in self.numbers
        ]

    def form(self) -> None:
        """Give the running nodes their zones, and make the bucket and its key unless they are there."""
        with self._admin(1) as admin:
            if not _sent(admin.get("/v2/GetClusterLayout"))["roles"]:
                self._assign_zones(admin)
            self._wait_whole()
            known = {key["id"] for key in _sent(admin.get("/v2/ListKeys"))}
            if self.keys.access_key not in known:
                key = {"accessKeyId": self.keys.access_key, "secretAccessKey": self.keys.secret_key, "name": BUCKET}
                _sent(admin.post("/v2/ImportKey", json=key))
            self._ensure_bucket(admin)

    def repair(self) -> None:
        """After a node has come back: let the others push to it what it missed, which they would do minutes later."""
        for number in self.numbers:
            with self._admin(number) as admin:
                try:
                    _sent(admin.post("/v2/LaunchRepairOperation", params={"node": "*"}, json={"repairType": "tables"}))
                except (httpx.HTTPError, ProcessFailed):
                    continue
                return

    def node_id(self, number: int) -> str:
        """The node's public key, by which the others know it."""
        return (self._node(number) / "meta" / "node_key.pub").read_bytes().hex()

    def _assign_zones(self, admin: httpx.Client) -> None:
        roles = [
            {"id": self.node_id(number), "zone": ZONES[number - 1], "capacity": _CAPACITY, "tags": [f"s3-{number}"]}
            for number in self.numbers
        ]
        _sent(admin.post("/v2/UpdateClusterLayout", json={"roles": roles}))
        _sent(admin.post("/v2/ApplyClusterLayout", json={"version": 1}))

    def _wait_whole(self) -> None:
        """Return when every node knows its zone and sees all the others."""
        until = time.monotonic() + _LAYOUT_LIMIT
        for number in self.numbers:
            with self._admin(number) as admin:
                while not self._sees_all(_sent(admin.get("/v2/GetClusterHealth"))):
                    if time.monotonic() > until:
                        raise ProcessFailed(f"The S3 nodes are no cluster after {_LAYOUT_LIMIT:.0f} s; see their logs.")
                    time.sleep(POLL)

    def _sees_all(self, health: dict[str, Any]) -> bool:
        connected: int = health["storageNodesUp"]
        return health["status"] == "healthy" and connected == len(ZONES)

    def _ensure_bucket(self, admin: httpx.Client) -> None:
        buckets = _sent(admin.get("/v2/ListBuckets"))
        found = next((one["id"] for one in buckets if BUCKET in one["globalAliases"]), None)
        bucket = found or _sent(admin.post("/v2/CreateBucket", json={"globalAlias": BUCKET}))["id"]
        allowed = {"read": True, "write": True, "owner": True}
        access = {"bucketId": bucket, "accessKeyId": self.keys.access_key, "permissions": allowed}
        _sent(admin.post("/v2/AllowBucketKey", json=access))

    def _admin(self, number: int) -> httpx.Client:
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.ports.garage_admin(number)}",
            headers={"Authorization": f"Bearer {self.keys.admin_token}"},
            timeout=30,
            trust_env=False,
        )

    def _make_identity(self, number: int) -> None:
        """A node's key pair, in Garage's own form, so that all nodes know one another from their first start."""
        folder = self._node(number) / "meta"
        (self._node(number) / "data").mkdir(parents=True, exist_ok=True)
        folder.mkdir(exist_ok=True)
        if (folder / "node_key.pub").exists():
            return
        key = Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        _write_private(folder / "node_key", key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()) + public)
        (folder / "node_key.pub").write_bytes(public)

    @property
    def _keys_file(self) -> Path:
        return self.folder / "keys.json"

    def _node(self, number: int) -> Path:
        return self.folder / f"node-{number}"

    def _settings_file(self, number: int) -> Path:
        return self.folder / f"node-{number}.toml"


def _sent(response: httpx.Response) -> Any:
    """The answer's JSON; raises with Garage's own words."""
    if response.is_error:
        raise ProcessFailed(f"Garage refuses {response.request.url.path}: {response.text.strip()[:300]}")
    return response.json()


def _write_private(path: Path, content: bytes) -> None:
    """Write what only the owner may read, whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    new.touch(mode=0o600)
    new.write_bytes(content)
    new.replace(path)
