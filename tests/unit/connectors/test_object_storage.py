"""One contract for every place documents are kept in, run on a real folder and on the in-memory twin."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from insuretech.connectors.object_storage import FolderStorage, StoredObjects

KEY = "policies/ab/abcd.k1"


@pytest.fixture(params=["folder", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> StoredObjects:
    """Each adapter in turn."""
    places: dict[str, Callable[[], StoredObjects]] = {
        "folder": lambda: FolderStorage(tmp_path / "home" / "documents"),
        "memory": lambda: StoredObjects(MemoryStore()),
    }
    return places[request.param]()


async def test_what_was_put_is_got_back(storage: StoredObjects) -> None:
    """Otherwise the policy is lost."""
    await storage.put(KEY, b"paper\x00")
    assert await storage.get(KEY) == b"paper\x00"


async def test_an_object_is_written_once(storage: StoredObjects) -> None:
    """Otherwise a mistake could change a policy that was given out already."""
    await storage.put(KEY, b"first")
    await storage.put(KEY, b"second")
    assert await storage.get(KEY) == b"first"


async def test_a_damaged_object_can_be_replaced(storage: StoredObjects) -> None:
    """Otherwise a damaged policy stays damaged."""
    await storage.put(KEY, b"damaged")
    await storage.put(KEY, b"whole", replace=True)
    assert await storage.get(KEY) == b"whole"


async def test_what_is_not_there_is_none(storage: StoredObjects) -> None:
    """Otherwise a lost document would look like a fault of the storage and not be printed again."""
    assert await storage.get(KEY) is None
    await storage.put(KEY, b"x")
    await storage.delete(KEY)
    await storage.delete(KEY)
    assert await storage.get(KEY) is None


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
