"""Takes closed registers to their insurers, a step at a time: files made, sent, receipt confirmed.

Any replica takes a step; while it does, the task is leased to it. Every step is safe to repeat, so a replica that dies
half-way costs the lease and nothing else.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Literal, Protocol
from uuid import UUID

import msgspec
import structlog
from prometheus_client import Gauge

from insuretech.contracts.events import RegisterAcknowledged, RegisterSent
from insuretech.contracts.registers import (
    DisputedLine,
    Manifest,
    Receipt,
    RegisterChannel,
    RegisterFile,
    RegisterNotDelivered,
    RegisterParcel,
    RegisterRefused,
)
from insuretech.kit.clock import Clock
from insuretech.kit.events import Event
from insuretech.kit.failures import Unusable
from insuretech.kit.files import FileMissing, LargeObjects, StorageAway
from insuretech.settlement.agreements import Agreements, ApiChannel
from insuretech.settlement.domain import LineState, Register, RegisterStatus, Task, TaskState, next_month
from insuretech.settlement.preparing import Preparation, Signature, StoredFile, storage_key_of
from insuretech.settlement.signing import SigningKey

log = structlog.get_logger(__name__)

FAILED = Gauge("insuretech_settlement_registers_failed", "Registers on their way that wait for a person.")

LEASE = timedelta(minutes=10)
"""Longer than any step takes: a million lines are written in one, and sent in less than five."""

_LOOK = 15.0  # seconds between looks at what is due


class NotPossible(Unusable):
    """The register is not where it could be moved from."""


class TaskStore(Protocol):
    """Tasks and registers in one transaction."""

    async def change_task(self, before: Task, after: Task) -> bool:
        """False when another replica has taken the task over meanwhile."""
        ...

    async def move_register(self, register_id: UUID, status: RegisterStatus) -> bool:
        """False when it is not where it could be moved from."""
        ...

    async def move_line(self, register: Register, line_id: UUID, state: LineState, reason: str, now: datetime) -> bool:
        """Let a line stand apart from its register; False when it is not of it, or cannot move so."""
        ...

    async def publish(self, events: Sequence[Event], now: datetime) -> None: ...


class TaskBooks(Protocol):
    """What is read of registers on their way."""

    def transaction(self) -> AbstractAsyncContextManager[TaskStore]: ...

    async def claim(self, now: datetime, lease: timedelta, register_id: UUID | None = None) -> Task | None: ...

    async def task(self, register_id: UUID) -> Task | None: ...

    async def register(self, register_id: UUID) -> Register | None: ...

    async def files(self, register: Register) -> list[StoredFile]: ...

    async def signature(self, register_id: UUID) -> Signature | None: ...

    async def keys(self) -> list[SigningKey]: ...


@dataclass
class Dispatch:
    """The use cases; ``channels`` by the kind of channel in agreements."""

    books: TaskBooks
    agreements: Agreements
    preparation: Preparation
    storage: LargeObjects
    channels: Mapping[str, RegisterChannel]
    sandbox_base: str
    clock: Clock
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """Look at what is due now."""
        self._wake.set()

    async def run(self) -> None:
        """Take steps as long as there are any, then wait."""
        while True:
            self._wake.clear()
            while await self.step():
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK):
                    await self._wake.wait()

    async def step(self) -> bool:
        """Take one step with one register; False when none is due."""
        task = await self.books.claim(self.clock.now(), LEASE)
        if task is not None:
            await self._take(task)
        return task is not None

    async def push(self, register_id: UUID) -> Task:
        """Take the next step with this register now, also where it was given up. Raises ``NotPossible``."""
        task = await self.books.claim(self.clock.now(), LEASE, register_id)
        if task is None:
            raise NotPossible("Another process is at this register in this moment.")
        register = await self._register(task)
        if task.state is TaskState.FAILED:
            task = await self._revived(task, register)
        await self._take(task)
        return await self.books.task(register_id) or task

    async def _revived(self, task: Task, register: Register) -> Task:
        states = {RegisterStatus.CLOSED: TaskState.PREPARING, RegisterStatus.PREPARED: TaskState.WAITING}
        again = msgspec.structs.replace(task, state=states.get(register.status, TaskState.SENT), attempts=1)
        async with self.books.transaction() as store:
            if not await store.change_task(task, again):
                raise NotPossible("Another process is at this register in this moment.")
        return again

    async def _take(self, task: Task) -> None:
        """One step; whatever goes wrong is noted with the task, and it is tried again later."""
        try:
            await self._do(task)
        except RegisterRefused as error:
            await self._put_off(task, str(error), give_up=True)
        except (RegisterNotDelivered, StorageAway, FileMissing) as error:
            await self._put_off(task, str(error) or type(error).__name__)
        except Exception as error:
            log.exception("register.step_failed", register_id=str(task.register_id), state=task.state.value)
            await self._put_off(task, type(error).__name__)

    async def _do(self, task: Task) -> None:
        register = await self._register(task)
        match task.state:
            case TaskState.PREPARING:
                await self.preparation.prepare(register)
                await self._on(task, TaskState.WAITING)
            case TaskState.WAITING:
                await self._send(task, register)
            case TaskState.SENT:
                await self._ask(task, register)
            case _:
                await self._put_off(task, task.error or "nothing is to be done", give_up=True)

    async def _send(self, task: Task, register: Register) -> None:
        parcel = await self._parcel(task, register)
        kind, address = self._way(register)
        await self.channels[kind].send(address, parcel, self._content(register))
        told = RegisterSent(**_names(register), channel=kind, manifest_sha256=sha256(parcel.signed).hexdigest())
        await self._on(task, TaskState.SENT, RegisterStatus.SENT, told)
        log.info("register.sent", number=register.number, channel=kind)

    async def _ask(self, task: Task, register: Register) -> None:
        parcel = await self._parcel(task, register)
        kind, address = self._way(register)
        receipt = await self.channels[kind].receipt(address, parcel)
        if receipt is None:
            await self._put_off(task, None)
        else:
            await self._acknowledge(task, register, receipt)

    async def acknowledge(self, register: Register, disputed: Sequence[DisputedLine] = ()) -> None:
        """Note by hand what the insurer said of a register that was sent. Raises ``NotPossible``."""
        task = await self.books.task(register.id)
        if task is None or register.status is not RegisterStatus.SENT:
            raise NotPossible(f"The register {register.number} is {register.status.value}, not sent.")
        await self._acknowledge(task, register, Receipt(disputed=tuple(disputed)))

    async def settle(self, register: Register) -> None:
        """Note that an acknowledged register was paid; disputed lines stay disputed. Raises ``NotPossible``."""
        async with self.books.transaction() as store:
            if not await store.move_register(register.id, RegisterStatus.SETTLED):
                raise NotPossible(f"The register {register.number} is {register.status.value}, not acknowledged.")

    async def _acknowledge(self, task: Task, register: Register, receipt: Receipt) -> None:
        now = self.clock.now()
        async with self.books.transaction() as store:
            for line in receipt.disputed:
                if not await store.move_line(register, line.line_id, LineState.DISPUTED, line.reason[:500], now):
                    raise NotPossible(f"The line {line.line_id} is not of {register.number}, or cannot be disputed.")
            if not await store.change_task(task, task.next(TaskState.ACKNOWLEDGED, now)):
                raise NotPossible(f"Another process is at {register.number} in this moment.")
            await store.move_register(register.id, RegisterStatus.ACKNOWLEDGED)
            told = RegisterAcknowledged(**_names(register), disputed=len(receipt.disputed))
            await store.publish([told], now)
        log.info("register.acknowledged", number=register.number, disputed=len(receipt.disputed))

    async def _on(self, task: Task, state: TaskState, status: RegisterStatus | None = None, *events: Event) -> None:
        now = self.clock.now()
        async with self.books.transaction() as store:
            if await store.change_task(task, task.next(state, now)):
                if status is not None:
                    await store.move_register(task.register_id, status)
                await store.publish(events, now)

    async def _put_off(self, task: Task, error: str | None, *, give_up: bool = False) -> None:
        after = task.again(self.clock.now(), error, give_up=give_up)
        async with self.books.transaction() as store:
            await store.change_task(task, after)
        if after.state is TaskState.FAILED:
            FAILED.inc()
            log.error("register.given_up", register_id=str(task.register_id), step=task.state.value, reason=after.error)
        elif error is not None:
            log.warning("register.put_off", register_id=str(task.register_id), step=task.state.value, reason=error)

    async def _register(self, task: Task) -> Register:
        register = await self.books.register(task.register_id)
        if register is None:
            raise LookupError("a task without its register")
        return register

    def _way(self, register: Register) -> tuple[Literal["api", "mail"], str]:
        """The channel of the agreement in force after the month: an address may have changed since."""
        agreement = self.agreements.latest(register.insurer, next_month(register.month))
        if agreement is None:
            raise RegisterRefused(f"There is no agreement with {register.insurer} that names a channel.")
        given = agreement.channel
        if isinstance(given, ApiChannel):
            return "api", given.url.replace("{sandbox}", self.sandbox_base)
        return "mail", given.to

    async def _parcel(self, task: Task, register: Register) -> RegisterParcel:
        signature = await self.books.signature(register.id)
        if signature is None:
            raise LookupError("a prepared register without its signature")
        key = next(key for key in await self.books.keys() if key.id == signature.key_id)
        return RegisterParcel(
            manifest=msgspec.json.decode(signature.manifest, type=Manifest),
            signed=signature.manifest,
            signature=signature.signature,
            public_key=key.public_key,
            message_id=task.message_id,
            signed_at=signature.signed_at,
        )

    def _content(self, register: Register) -> "_Content":
        return _Content(self.storage, register)


@dataclass(frozen=True)
class _Content:
    """Gives the files of a register as they lie in storage."""

    storage: LargeObjects
    register: Register

    def __call__(self, file: RegisterFile) -> AsyncIterator[bytes]:
        return self.storage.pieces(storage_key_of(self.register, file.sha256, file.kind))


def _names(register: Register) -> dict[str, Any]:
    return {name: getattr(register, name) for name in ("number", "insurer", "month")} | {"register_id": register.id}
