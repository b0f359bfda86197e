"""Orders as their buyers see them, in hot storage: a page that waits for the insurer asks every second or so.

An entry is the answer of the API, ready to leave. Whether a policy is on risk depends on the day, so an entry counts
only on the day it was made. A new order is put when somebody looks at it for the first time.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

import msgspec

from insuretech.kit.clock import Clock, legal_date
from insuretech.kit.db import Database
from insuretech.kit.hot import Entry, HotStore
from insuretech.kit.positions import note_shown, version_in
from insuretech.kit.projections import Projection
from insuretech.orders import queries
from insuretech.orders.domain.purchase import Purchase, changed
from insuretech.orders.views import Views

KEPT_FOR = 6 * 3600.0
"""Seconds after the last change or look."""
_WAIT = 0.5
_PORTION = 500


class Shown(msgspec.Struct, frozen=True, array_like=True):
    """An order's view as JSON, whose it is, and on which day (ISO) it was made."""

    owner: str
    day: str
    view: bytes


_decoder = msgspec.msgpack.Decoder(Shown)


class ShownOrders:
    """The projection ``orders.order``."""

    def __init__(self, hot: HotStore, database: Database, views: Views, clock: Clock) -> None:
        self._clock = clock
        self._source = _Source(database, views, clock)
        self.projection = Projection(
            "orders.order", hot, self._source, clock, ttl=KEPT_FOR, doubting=True, same=self._same
        )

    async def view(self, owner: str, order_id: UUID, position: str | None = None) -> bytes | None:
        """The order for its owner, as JSON; None for everybody else.

        Never older than what a position names of it: hot storage may have been away for a moment.
        """
        name = str(order_id)
        entry = await self.projection.read(name, version_in(position, self.projection.name, order_id))
        if entry is None:
            return None
        shown = _decoder.decode(entry.value)
        if shown.owner == owner and shown.day != self._today():
            entry = await self.projection.renewed(name) or entry
            shown = _decoder.decode(entry.value)
        if shown.owner != owner:
            return None
        note_shown(self.projection.name, order_id, entry.version)
        return shown.view

    async def about_to_change(self, purchase: Purchase) -> None:
        """A purchase, as it is, will be stored in its next version."""
        coming = changed(purchase, order=changed(purchase.order, version=purchase.order.version + 1))
        await self.projection.announce(str(purchase.order.id), coming.revision)

    def changed(self, purchase: Purchase) -> None:
        """A purchase was stored."""
        self.projection.put_soon({str(purchase.order.id): self._source.entry(purchase)})

    async def follow(self, order_id: UUID) -> None:
        """An order has changed; its buyer, who is about to be answered, shall see so from now on."""
        await self.projection.refresh_within([str(order_id)], _WAIT)

    def follow_soon(self, order_id: UUID) -> None:
        """The same for who does not wait."""
        self.projection.refresh_soon([str(order_id)])

    def _today(self) -> str:
        return legal_date(self._clock.now()).isoformat()

    def _same(self, _: str, one: bytes, other: bytes) -> bool:
        """An entry of another day is read by nobody."""
        return one == other or _decoder.decode(one).day != _decoder.decode(other).day


class _Source:
    """The database, as the projection sees it."""

    def __init__(self, database: Database, views: Views, clock: Clock) -> None:
        self._database = database
        self._views = views
        self._clock = clock

    def entry(self, purchase: Purchase) -> Entry:
        now = self._clock.now()
        shown = Shown(
            owner=purchase.order.owner,
            day=legal_date(now).isoformat(),
            view=msgspec.json.encode(self._views.order(purchase, now)),
        )
        return Entry(purchase.revision, msgspec.msgpack.encode(shown))

    async def load(self, names: Collection[str]) -> Mapping[str, Entry]:
        found = await queries.orders_by_id(self._database, [UUID(name) for name in names])
        return {str(one.order.id): self.entry(one) for one in found}

    async def changed(self, since: datetime) -> Mapping[str, int]:
        found = await queries.changed_since(self._database, since)
        return {str(one.order_id): 2 * one.version + one.printed for one in found}

    async def everything(self) -> AsyncIterator[Sequence[str]]:
        names: Any = iter(await self.changed(self._clock.now() - timedelta(seconds=KEPT_FOR)))
        while some := list(islice(names, _PORTION)):
            yield some
