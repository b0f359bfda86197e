"""What every place for files must do; run on a folder, in memory, and (tests/cluster) on a real S3 service."""

from insuretech.kit.files import FileVault, ObjectStorage
from insuretech.kit.ids import new_secret
from insuretech.kit.keyring import Keyring


def fresh_key() -> str:
    """A key of the test's own, as a real service keeps what earlier tests left."""
    return f"policies/ab/{new_secret()}.k1"


class StorageContract:
    """Inherit and give the fixture ``storage``."""

    async def test_what_was_put_is_got_back(self, storage: ObjectStorage) -> None:
        """Otherwise the policy is lost."""
        key = fresh_key()
        await storage.put(key, b"paper\x00")
        assert await storage.get(key) == b"paper\x00"

    async def test_a_damaged_object_can_be_replaced(self, storage: ObjectStorage) -> None:
        """Otherwise a damaged policy stays damaged."""
        key = fresh_key()
        await storage.put(key, b"damaged")
        await storage.put(key, b"whole", replace=True)
        assert await storage.get(key) == b"whole"

    async def test_what_is_not_there_is_none(self, storage: ObjectStorage) -> None:
        """Otherwise a lost document would look like a fault of the storage and not be printed again."""
        key = fresh_key()
        assert await storage.get(key) is None
        await storage.put(key, b"x")
        await storage.delete(key)
        await storage.delete(key)
        assert await storage.get(key) is None

    async def test_a_large_file_comes_back_whole(self, storage: ObjectStorage) -> None:
        """Otherwise a register of a million lines would be cut."""
        key, content = fresh_key(), bytes(range(256)) * (40_000)
        await storage.put(key, content)
        assert await storage.get(key) == content

    async def test_all_objects_below_a_folder_are_listed(self, storage: ObjectStorage) -> None:
        """Otherwise the check misses copies of personal data that belong to nobody."""
        folder = new_secret()
        for number in range(3):
            await storage.put(f"{folder}/{number:02}/object", b"12345")
        await storage.put(f"{folder}-beside/object", b"x")
        found = [one async for page in storage.below(folder) for one in page]
        assert sorted(one.key for one in found) == [f"{folder}/{number:02}/object" for number in range(3)]
        assert {one.size for one in found} == {5}
        assert all(one.changed_at.tzinfo for one in found)

    async def test_a_place_that_works_passes_its_check(self, storage: ObjectStorage) -> None:
        """Otherwise every start would raise an alarm."""
        await storage.check()

    async def test_the_same_file_kept_twice_is_one(self, storage: ObjectStorage) -> None:
        """Otherwise two replicas that print the same policy would spoil it for each other."""
        vault = FileVault(storage, Keyring.generate(), folder=new_secret(), purpose="test")
        first, second = await vault.keep(b"policy"), await vault.keep(b"policy")
        assert first == second
        assert await vault.read(first) == b"policy"
        assert len([one async for page in storage.below(vault.folder) for one in page]) == 1
