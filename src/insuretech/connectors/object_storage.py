"""Objects in a local folder or a bucket, behind adapters over obstore."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

import structlog
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import LocalStore, S3Store
from obstore.store import ObjectStore as Store
from prometheus_client import Counter, Gauge

from insuretech.kit.breaker import Breaker, BreakerOpen, BreakerState
from insuretech.kit.files import FileMissing, ObjectFound, StorageAway

if TYPE_CHECKING:  # obstore names these in its stubs only
    from obstore import ObjectMeta

log = structlog.get_logger(__name__)

CALLS = Counter("insuretech_storage_calls_total", "Calls of the object storage.", ["operation", "outcome"])
LEFT_ALONE = Gauge("insuretech_storage_left_alone", "1 while an object storage's breaker is not closed.", ["address"])

Result = TypeVar("Result")

_PAGE = 1000
_PIECE = 1024 * 1024
_S3_CODE = re.compile(r"<Code>(\w+)</Code>")
_S3_REASONS = {"NoSuchBucket": "there is no such bucket"}
_REFUSALS = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
_CONNECT_LIMIT = timedelta(seconds=1.5)
_SILENCE_LIMIT = timedelta(seconds=3)  # between two pieces of an answer
_CALL_LIMIT = 3.0  # seconds, and more for what is large:
_SLOWEST = 2_000_000  # bytes a second


class StoredObjects:
    """Whole objects by key, in any store obstore knows; implements ``kit.files.LargeObjects``."""

    def __init__(self, store: Store) -> None:
        self._opened = store

    @property
    def _store(self) -> Store:
        return self._opened

    async def put(self, key: str, content: bytes, *, replace: bool = False) -> None:
        try:
            await self._store.put_async(key, content, mode="overwrite" if replace else "create", use_multipart=False)
        except AlreadyExistsError:
            return
        except (BaseError, FileNotFoundError) as error:
            raise StorageAway(f"the object store did not take {key}: {_reason(error)}") from error

    async def get(self, key: str) -> bytes | None:
        try:
            found = await self._store.get_async(key)
            return bytes(await found.bytes_async())
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):  # else an outage of our own making would look like the loss of everything
                raise StorageAway(f"the object store did not give {key}: {_reason(error)}") from error
            return None
        except BaseError as error:
            raise StorageAway(f"the object store did not give {key}: {_reason(error)}") from error

    async def put_file(self, key: str, path: Path) -> None:
        try:
            await self._store.put_async(key, path)
        except (BaseError, FileNotFoundError) as error:
            raise StorageAway(f"the object store did not take {key}: {_reason(error)}") from error

    async def pieces(self, key: str) -> AsyncIterator[bytes]:
        try:
            found = await self._store.get_async(key)
            async for piece in found.stream(min_chunk_size=_PIECE):
                yield bytes(piece)
        except FileNotFoundError as error:
            raise FileMissing(key) from error
        except BaseError as error:
            raise StorageAway(f"the object store did not give {key}: {_reason(error)}") from error

    async def delete(self, key: str) -> None:
        try:
            await self._store.delete_async(key)
        except FileNotFoundError:
            return
        except BaseError as error:
            raise StorageAway(f"the object store did not remove {key}: {_reason(error)}") from error

    async def below(self, prefix: str) -> AsyncIterator[list[ObjectFound]]:
        try:
            async for page in self._store.list(prefix, chunk_size=_PAGE):
                yield [_found(one) for one in page]
        except BaseError as error:
            raise StorageAway(f"the object store does not list {prefix}: {_reason(error)}") from error

    async def check(self) -> None:
        try:
            await self.look()
        except StorageAway as error:
            raise StorageAway(f"The folder of documents cannot be used: {error}.") from error

    async def look(self) -> None:
        """List one folder; raises ``StorageAway`` with the mere reason."""
        try:
            await self._store.list_with_delimiter_async("policies")
        except (BaseError, OSError) as error:
            raise StorageAway(_reason(error)) from error


class FolderStorage(StoredObjects):
    """Objects as files below a folder that only we may enter; the folder is made at the first use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def _store(self) -> Store:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return LocalStore(self._folder)


class _Gate:
    """One address of the S3 service with the breaker that says whether to try it."""

    def __init__(self, address: str, bucket: str, region: str, access_key: str, secret_key: str) -> None:
        self.address = address
        self.breaker = Breaker(failures=3, pause=5.0)
        self.objects = StoredObjects(
            S3Store(
                bucket,
                endpoint=address,
                region=region,
                access_key_id=access_key,
                secret_access_key=secret_key,
                virtual_hosted_style_request=False,
                client_options={
                    "allow_http": address.startswith("http://"),
                    "connect_timeout": _CONNECT_LIMIT,
                    "read_timeout": _SILENCE_LIMIT,
                    "timeout": timedelta(seconds=60),
                },
                retry_config={"max_retries": 0},  # we try again ourselves, at the next address
            )
        )


class S3Storage:
    """Objects in a bucket of an S3 service (path style), reached at one or more addresses, the nearest first.

    A call that fails or takes too long at one address goes to the next; with one address it is made twice. Repeating is
    safe, as keys tell the content apart. An address that keeps failing is left alone for some seconds (breaker).
    """

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        bucket: str,
        region: str,
        access_key: str,
        secret_key: str,
        call_limit: float = _CALL_LIMIT,
    ) -> None:
        self._bucket = bucket
        self._gates = [_Gate(address.rstrip("/"), bucket, region, access_key, secret_key) for address in addresses]
        self._call_limit = call_limit

    async def put(self, key: str, content: bytes, *, replace: bool = False) -> None:
        limit = self._call_limit + len(content) / _SLOWEST
        await self._somewhere("put", lambda objects: objects.put(key, content, replace=replace), limit)

    async def get(self, key: str) -> bytes | None:
        # Silence ends a reading that has begun; only large files take longer than a call may.
        return await self._somewhere("get", lambda objects: objects.get(key), 60.0)

    async def put_file(self, key: str, path: Path) -> None:
        limit = self._call_limit + path.stat().st_size / _SLOWEST  # noqa: ASYNC240 - of a file just written
        await self._somewhere("put", lambda objects: objects.put_file(key, path), limit)

    async def pieces(self, key: str) -> AsyncIterator[bytes]:
        gate = next((one for one in self._gates if one.breaker.state is BreakerState.CLOSED), self._gates[0])
        async for piece in gate.objects.pieces(key):
            yield piece

    async def delete(self, key: str) -> None:
        await self._somewhere("delete", lambda objects: objects.delete(key), self._call_limit)

    async def below(self, prefix: str) -> AsyncIterator[list[ObjectFound]]:
        gate = next((one for one in self._gates if one.breaker.state is BreakerState.CLOSED), self._gates[0])
        async for page in gate.objects.below(prefix):
            yield page

    async def check(self) -> None:
        try:
            await self._somewhere("check", lambda objects: objects.look(), self._call_limit)
        except StorageAway as error:
            raise StorageAway(f"The bucket {self._bucket} cannot be used: {error}.") from error

    async def _somewhere(
        self, operation: str, call: Callable[[StoredObjects], Awaitable[Result]], limit: float
    ) -> Result:
        gates = self._gates if len(self._gates) > 1 else self._gates * 2
        last: Exception | None = None
        for gate in gates:
            try:
                return await self._at(gate, operation, call, limit)
            except (StorageAway, BreakerOpen) as error:
                last = error if isinstance(error, StorageAway) else last
        raise StorageAway(str(last) if last else "the object store is being left alone after failures") from last

    async def _at(
        self, gate: _Gate, operation: str, call: Callable[[StoredObjects], Awaitable[Result]], limit: float
    ) -> Result:
        probe = gate.breaker.before()
        began = monotonic()
        try:
            async with asyncio.timeout(limit):
                result = await call(gate.objects)
        except (StorageAway, TimeoutError) as error:
            gate.breaker.failed()
            LEFT_ALONE.labels(gate.address).set(gate.breaker.state is not BreakerState.CLOSED)
            CALLS.labels(operation, "failed").inc()
            seconds = round(monotonic() - began, 2)
            log.warning("storage.failed", operation=operation, address=gate.address, seconds=seconds)
            raise StorageAway(str(error) or f"the object store took longer than {limit:.0f} s") from error
        except BaseException:
            gate.breaker.abandoned(probe)
            raise
        gate.breaker.succeeded()
        LEFT_ALONE.labels(gate.address).set(0)
        CALLS.labels(operation, "done").inc()
        return result


def _found(meta: "ObjectMeta") -> ObjectFound:
    return ObjectFound(key=meta["path"], size=meta["size"], changed_at=meta["last_modified"])


def _reason(error: Exception) -> str:
    """The cause in a few words: the library's own messages run over many lines and hold whole answers."""
    code = _S3_CODE.search(str(error))
    if isinstance(error, PermissionDeniedError | UnauthenticatedError) or (code and code[1] in _REFUSALS):
        return "our key is refused"
    if code:
        return _S3_REASONS.get(code[1], f"it answers {code[1]}")
    if isinstance(error, FileNotFoundError):
        return "there is no such bucket or folder"
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return first.partition(" - ")[2][:200].rstrip(".") or first[:200]
