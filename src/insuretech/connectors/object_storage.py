"""Objects in a local folder or a bucket, behind one adapter over obstore."""

from functools import cached_property
from pathlib import Path

from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, ObjectStore


class ObjectStorage:
    """Whole objects by key, in any store obstore knows. Raises ``OSError`` when the store does not do its part."""

    def __init__(self, store: ObjectStore) -> None:
        self._opened = store

    @property
    def _store(self) -> ObjectStore:
        return self._opened

    async def put(self, key: str, content: bytes, *, replace: bool = False) -> None:
        """Keep an object. One that is there already stays as it is, unless ``replace``.

        Some S3 servers ignore the condition and replace anyway, so keys must tell the content apart.
        """
        try:
            await self._store.put_async(key, content, mode="overwrite" if replace else "create")
        except AlreadyExistsError:
            return
        except BaseError as error:
            raise OSError(f"the object store did not take {key}") from error

    async def get(self, key: str) -> bytes | None:
        """The object, or None when there is none."""
        try:
            found = await self._store.get_async(key)
            return bytes(await found.bytes_async())
        except FileNotFoundError:
            return None
        except BaseError as error:
            raise OSError(f"the object store did not give {key}") from error

    async def delete(self, key: str) -> None:
        """Remove an object; fine when there is none."""
        try:
            await self._store.delete_async(key)
        except FileNotFoundError:
            return
        except BaseError as error:
            raise OSError(f"the object store did not remove {key}") from error


class FolderStorage(ObjectStorage):
    """Objects as files below a folder that only we may enter; the folder is made at the first use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def _store(self) -> ObjectStore:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return LocalStore(self._folder)
