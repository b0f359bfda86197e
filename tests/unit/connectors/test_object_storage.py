"""Places for files on this machine, and an S3 service that does not answer."""

import asyncio
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

import pytest
from obstore.store import MemoryStore

from insuretech.compose.storage import open_storage
from insuretech.connectors.object_storage import FolderStorage, S3Storage, StoredObjects
from insuretech.kit.files import StorageAway
from insuretech.kit.settings import Settings, SettingsInvalid
from tests.unit.connectors.storage_contract import StorageContract

KEY = "policies/ab/abcd.k1"


class TestPlaces(StorageContract):
    """The contract on this machine."""

    @pytest.fixture(params=["folder", "memory"])
    def storage(self, request: pytest.FixtureRequest, tmp_path: Path) -> StoredObjects:
        """Each adapter in turn."""
        places: dict[str, Callable[[], StoredObjects]] = {
            "folder": lambda: FolderStorage(tmp_path / "home" / "documents"),
            "memory": lambda: StoredObjects(MemoryStore()),
        }
        return places[request.param]()

    async def test_an_object_is_written_once(self, storage: StoredObjects) -> None:
        """Otherwise a mistake could change a policy that was given out already."""
        await storage.put(KEY, b"first")
        await storage.put(KEY, b"second")
        assert await storage.get(KEY) == b"first"


async def test_the_folder_is_for_us_alone_and_made_late(tmp_path: Path) -> None:
    """Otherwise other users of the machine could copy documents, or a mere `--help` would make folders."""
    folder = tmp_path / "home" / "documents"
    storage = FolderStorage(folder)
    assert not folder.exists()
    await storage.put(KEY, b"x")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_a_folder_that_cannot_be_used_is_an_os_error(tmp_path: Path) -> None:
    """Otherwise a full or broken disk would look like a bug of ours instead of "try later"."""
    (tmp_path / "documents").write_text("a file in the way")
    with pytest.raises(OSError, match="documents"):
        await FolderStorage(tmp_path / "documents").put(KEY, b"x")
    folder = FolderStorage(tmp_path / "other")
    await folder.put("policies/ab", b"a file where a folder must be")
    with pytest.raises(OSError, match="object store"):
        await folder.put(KEY, b"x")


# ---------------------------------------------------------------- an S3 service that does not answer


@asynccontextmanager
async def silent_server(answer: bytes = b"") -> AsyncIterator[tuple[str, list[bytes]]]:
    """Takes connections and says ``answer`` to everything, or nothing, as a frozen process does."""
    asked: list[bytes] = []
    held: list[asyncio.StreamWriter] = []

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        asked.append(await reader.readuntil(b"\r\n"))
        if answer:
            writer.write(answer)
            writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        server.close()
        for writer in held:
            writer.close()


def s3(*addresses: str) -> S3Storage:
    """A client that waits for half a second at most."""
    return S3Storage(addresses, bucket="b", region="garage", access_key="GK1", secret_key="s", call_limit=0.5)


FULL = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
FINE = b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 0\r\n\r\n'


async def test_a_frozen_address_costs_its_time_limit_and_the_next_one_serves() -> None:
    """Otherwise one frozen node of three stops all documents."""
    async with silent_server() as (frozen, _), silent_server(FINE) as (well, asked):
        began = monotonic()
        await s3(frozen, well).put(KEY, b"paper")
        assert monotonic() - began < 2
        assert asked == [f"PUT /b/{KEY} HTTP/1.1\r\n".encode()]


@pytest.mark.parametrize("answer", [b"", FULL])
async def test_an_address_that_keeps_failing_is_left_alone(answer: bytes) -> None:
    """Otherwise every document of an outage waits for its time limit, and the service that recovers is overrun."""
    async with silent_server(answer) as (address, asked):
        storage = s3(address)
        for _ in range(5):
            with pytest.raises(StorageAway):
                await storage.put(KEY, b"paper")
        assert 0 < len(asked) <= 3  # fewer where a busy machine spends the time limit before it asks
        began = monotonic()
        with pytest.raises(StorageAway, match="left alone"):
            await storage.get(KEY)
        assert monotonic() - began < 0.1


async def test_a_service_that_is_not_there_is_told_in_a_sentence() -> None:
    """Otherwise whoever starts us reads a page of a library's inner life."""
    with pytest.raises(StorageAway, match=r"^The bucket b cannot be used: .{5,400}$"):
        await s3("http://127.0.0.1:9").check()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (Settings(s3_url="garage:3900", s3_access_key="k", s3_secret_key="s"), "garage:3900"),
        (Settings(s3_url="http://garage:3900"), "INSURETECH_S3_ACCESS_KEY"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: Settings, named: str) -> None:
    """Otherwise the first policy of the day finds out."""
    with pytest.raises(SettingsInvalid, match=named):
        open_storage(settings)


def test_the_settings_choose_the_place(tmp_path: Path) -> None:
    """Otherwise documents of a cluster would lie on the disk of one machine."""
    assert isinstance(open_storage(Settings(home=tmp_path)), FolderStorage)
    apart = Settings(s3_url="http://a:3900, http://b:3900", s3_access_key="k", s3_secret_key="s")
    assert isinstance(open_storage(apart), S3Storage)
