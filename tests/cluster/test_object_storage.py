"""Files in a real S3 service of three nodes, also while nodes die and freeze."""

import asyncio
from time import monotonic

import pytest

from cluster.part import RunningGarage
from insuretech.connectors.object_storage import S3Storage
from insuretech.kit.files import FileVault, KeptFile, StorageAway
from insuretech.kit.ids import new_secret
from insuretech.kit.keyring import Keyring
from tests.unit.connectors.storage_contract import StorageContract


def client(s3: RunningGarage, *, bucket: str = "", secret: str = "") -> S3Storage:
    """As a process is given it: all three nodes, the first being the nearest."""
    return S3Storage(
        list(s3.urls),
        bucket=bucket or s3.bucket,
        region=s3.region,
        access_key=s3.access_key,
        secret_key=secret or s3.secret_key,
    )


class TestGarage(StorageContract):
    """The contract on Garage."""

    @pytest.fixture
    def storage(self, s3: RunningGarage) -> S3Storage:
        """All three nodes."""
        return client(s3)


# Of three nodes each reads with the help of one of the others: whichever that is hangs in one of these.
@pytest.mark.parametrize(
    ("fault", "node"), [("kill", "s3-1"), ("freeze", "s3-1"), ("freeze", "s3-2"), ("freeze", "s3-3")]
)
async def test_one_node_less_loses_nothing_and_stops_nobody(s3: RunningGarage, fault: str, node: str) -> None:
    """Otherwise the loss of one site takes the documents of all."""
    vault = FileVault(client(s3), Keyring.generate(), folder=new_secret(), purpose="test")
    before = [await vault.keep(f"before {number}".encode()) for number in range(5)]
    getattr(s3, fault)(node)
    longest, during = 0.0, []
    try:
        for number in range(8):
            began = monotonic()
            during.append(await vault.keep(f"during {number}".encode()))
            longest = max(longest, monotonic() - began)
        for file in [*before, *during]:
            await vault.read(file)
    finally:
        s3.heal()
    assert longest < 8, "one call may meet the fault at one address and be served at the next"
    for file in [*before, *during]:
        assert await vault.read(file)


async def test_a_service_that_froze_altogether_serves_again_by_itself(s3: RunningGarage) -> None:
    """Otherwise the first outage ends in a restart of everything."""
    vault = FileVault(client(s3), Keyring.generate(), folder=new_secret(), purpose="test")
    nodes = ["s3-1", "s3-2", "s3-3"]
    for node in nodes:
        s3.freeze(node)
    try:
        with pytest.raises(StorageAway):
            await vault.keep(b"during")
    finally:
        s3.heal()
    file = await kept_within(150, vault, b"after")
    assert await vault.read(file) == b"after"


async def kept_within(limit: float, vault: FileVault, content: bytes) -> KeptFile:
    """Try again and again, as the press does."""
    until = monotonic() + limit
    while True:
        try:
            return await vault.keep(content)
        except StorageAway:
            assert monotonic() < until, f"still refused after {limit:.0f} s"
            await asyncio.sleep(0.5)


async def test_a_missing_bucket_and_a_wrong_secret_are_told_apart(s3: RunningGarage) -> None:
    """Otherwise whoever set us up has to guess which of the five settings is wrong."""
    with pytest.raises(StorageAway, match="no such bucket"):
        await client(s3, bucket="nobody-made-this").check()
    with pytest.raises(StorageAway, match="no such bucket"):
        await client(s3, bucket="nobody-made-this").get("policies/ab/x")
    with pytest.raises(StorageAway, match="our key is refused"):
        await client(s3, secret="0" * 64).check()
