"""Garage's nodes become one S3, and are one again after all lost their addresses of one another, without a person."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import obstore
import pytest
from obstore.exceptions import PermissionDeniedError
from obstore.store import S3Store

from cluster import parts
from cluster.ports import free_base
from insuretech.kit.garage_keeping import Access, Keeper

pytestmark = pytest.mark.cluster
ZONES = ("spb", "msk", "witness")
ACCESS = Access("papers", "GK" + "a1" * 12, "b2" * 32)
OTHER = Access("backups", "GK" + "c3" * 12, "d4" * 32)
_LIMIT = 150.0  # seconds


@dataclass
class Nodes:
    """A node a zone, each at an address of its own as pods are, told of no other."""

    folder: Path
    program: Path
    port: int
    running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def address(self, zone: str) -> str:
        return f"127.0.1.{ZONES.index(zone) + 1}"

    def start(self, zone: str) -> None:
        folder, address = self.folder / zone, self.address(zone)
        folder.mkdir(exist_ok=True)
        (folder / "garage.toml").write_text(
            f'metadata_dir = "{folder}/meta"\ndata_dir = "{folder}/data"\ndb_engine = "lmdb"\n'
            f'replication_factor = 3\nrpc_secret = "{"c3" * 32}"\nrpc_timeout_msec = 2000\n'
            f'rpc_bind_addr = "{address}:{self.port + 1}"\n'
            f'[s3_api]\ns3_region = "garage"\napi_bind_addr = "{address}:{self.port}"\n'
            f'[admin]\nadmin_token = "token"\napi_bind_addr = "{address}:{self.port + 2}"\n',
            encoding="ascii",
        )
        with (folder / "log").open("ab") as log:
            self.running[zone] = subprocess.Popen(
                [str(self.program), "-c", str(folder / "garage.toml"), "server"],
                stdout=log,
                stderr=log,
                env={**os.environ, "GARAGE_ALLOW_WORLD_READABLE_SECRETS": "true"},
            )

    def stop(self, zone: str) -> None:
        self.running[zone].kill()
        self.running.pop(zone).wait()

    def keeper(self) -> Keeper:
        nodes = {zone: f"http://{self.address(zone)}:{self.port + 2}" for zone in ZONES}
        return Keeper(nodes, "token", [ACCESS, OTHER], 10**9, rpc_port=self.port + 1)

    def counted_on(self, zone: str) -> int:
        """How many nodes one counts on, those of layouts that are not done with included."""
        with httpx.Client(headers={"Authorization": "Bearer token"}, trust_env=False) as admin:
            told = admin.get(f"http://{self.address(zone)}:{self.port + 2}/v2/GetClusterLayoutHistory").json()
        return max(3, len(told["updateTrackers"] or {}))

    def store(self, zone: str, bucket: str = ACCESS.bucket) -> S3Store:
        """A client of one node, with the key of the papers."""
        return S3Store(
            bucket,
            endpoint=f"http://{self.address(zone)}:{self.port}",
            region="garage",
            access_key_id=ACCESS.access_key,
            secret_access_key=ACCESS.secret_key,
            client_options={"allow_http": True},
        )


@pytest.fixture
def nodes(installed: parts.Installed, tmp_path: Path) -> Iterator[Nodes]:
    """Three new ones."""
    made = Nodes(tmp_path, installed.garage, free_base(size=10))
    for zone in ZONES:
        made.start(zone)
    yield made
    for zone in list(made.running):
        made.stop(zone)


def until_kept(keeper: Keeper) -> list[str]:
    """Passes until two in a row had nothing to do; what was done."""
    until = time.monotonic() + _LIMIT
    did: list[str] = []
    quiet = 0
    while quiet < 2:
        done = keeper.keep()
        did += done
        quiet = 0 if done or keeper.absent else quiet + 1
        assert time.monotonic() < until, did
        time.sleep(0.3)
    return did


def test_new_nodes_become_one_s3_with_a_bucket(nodes: Nodes) -> None:
    """Documents would wait behind the sale for ever."""
    did = until_kept(nodes.keeper())

    assert "gave zones to spb, msk, witness" in did
    assert {"made the bucket papers", "made the bucket backups"} <= set(did)
    obstore.put(nodes.store("spb"), "a.pdf", b"a paper")
    assert bytes(obstore.get(nodes.store("msk"), "a.pdf").bytes()) == b"a paper"
    with pytest.raises(PermissionDeniedError):  # whoever keeps papers has no business with copies of the database
        obstore.put(nodes.store("spb", bucket=OTHER.bucket), "a.pdf", b"a paper")


def test_nodes_find_one_another_when_none_has_the_address_it_had(nodes: Nodes) -> None:
    """So it is with pods after a common restart; Garage alone would not find the others."""
    keeper = nodes.keeper()
    until_kept(keeper)
    obstore.put(nodes.store("spb"), "a.pdf", b"a paper")
    for zone in ZONES:
        nodes.stop(zone)
        (nodes.folder / zone / "meta" / "peer_list").unlink(missing_ok=True)
    assert keeper.keep() == []
    for zone in ZONES:
        nodes.start(zone)

    did = until_kept(keeper)

    assert any(one.startswith("introduced") for one in did)
    assert bytes(obstore.get(nodes.store("msk"), "a.pdf").bytes()) == b"a paper"


def test_a_node_with_an_empty_disk_takes_the_lost_ones_place(nodes: Nodes) -> None:
    """The next disk that fails would be the second of two, and papers would be lost."""
    keeper = nodes.keeper()
    until_kept(keeper)
    paper = os.urandom(100_000)
    obstore.put(nodes.store("spb"), "a.pdf", paper)
    nodes.stop("msk")
    shutil.rmtree(nodes.folder / "msk")
    assert keeper.keep() == []
    nodes.start("msk")
    did = until_kept(keeper)
    assert "gave zones to msk" in did

    until = time.monotonic() + _LIMIT
    while sum(file.stat().st_size for file in (nodes.folder / "msk" / "data").rglob("*") if file.is_file()) < 90_000:
        assert time.monotonic() < until, "the object did not come back"
        time.sleep(0.5)
    while nodes.counted_on("spb") > 3:
        keeper.keep()
        assert time.monotonic() < until, "the lost node is still counted on"
        time.sleep(0.5)
    nodes.stop("spb")
    obstore.put(nodes.store("witness"), "b.pdf", paper)
    assert bytes(obstore.get(nodes.store("msk"), "a.pdf").bytes()) == paper
