"""Use cases of the catalogue: load products, withdraw one, and build the pages from them."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from insuretech.catalogue.domain import Listed
from insuretech.catalogue.pages import rendered_pages
from insuretech.catalogue.ports import OnSale, Store, Transaction
from insuretech.contracts.events import ProductPublished, ProductWithdrawn
from insuretech.contracts.insurers import InsurerDirectory
from insuretech.kit.clock import Clock
from insuretech.kit.failures import Unusable

Outcome = Literal["published", "texts changed", "unchanged", "withdrawn before"]


class VersionTaken(Unusable):
    """A version is on record with other content; people have bought or agreed under it, so it cannot change."""

    def __init__(self, what: str, version: str) -> None:
        super().__init__(f"Version {version} of {what} is on record with other content; raise its version.")


class NotOnSale(Unusable):
    """Nothing of this code is on sale."""

    def __init__(self, code: str) -> None:
        super().__init__(f"There is no product {code!r} on sale.")


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one product file."""

    code: str
    version: str
    outcome: Outcome


class ProductDesk:
    """Changes what is sold. Every change is an event; the pages follow it."""

    def __init__(self, transaction: Transaction, insurers: InsurerDirectory, clock: Clock) -> None:
        self._transaction = transaction
        self._insurers = insurers
        self._clock = clock

    async def load_products(self, products: Sequence[Listed]) -> list[Loaded]:
        """Put products on sale as their files say; all or, on ``VersionTaken``, none.

        A product that was withdrawn stays so until a version comes that was never loaded.
        """
        async with self._transaction() as store:
            await store.lock()
            return [await self._load(store, listed) for listed in products]

    async def withdraw_product(self, code: str) -> None:
        """Sell a product no longer; raises ``NotOnSale``."""
        now = self._clock.now()
        async with self._transaction() as store:
            await store.lock()
            current = await store.current(code)
            if current is None or not current.on_sale:
                raise NotOnSale(code)
            await store.put_current(msgspec.structs.replace(current, on_sale=False, changed_at=now))
            await store.publish([ProductWithdrawn(code=code)], now)

    async def build_pages(self) -> int:
        """Build the projection from what is on sale; how many pages there are."""
        async with self._transaction() as store:
            return await self.build_pages_in(store)

    async def build_pages_in(self, store: Store) -> int:
        """The same inside a transaction that is open already."""
        await store.lock()  # else a build that read less could come later
        pages = rendered_pages(await store.listed(), await store.consents(), self._insurers)
        await store.replace_pages(pages, self._clock.now())
        return len(pages)

    async def _load(self, store: Store, listed: Listed) -> Loaded:
        product, now = listed.product, self._clock.now()
        await self._load_consents(store, listed)
        known = await store.version(product.code, product.version)
        current = await store.current(product.code)
        if known is not None and known.definition() != listed.definition():
            raise VersionTaken(f"the product {product.code}", product.version)
        outcome: Outcome = "published"
        if known is not None and current is not None:
            if not current.on_sale:
                return Loaded(code=product.code, version=product.version, outcome="withdrawn before")
            if current.version == product.version:
                outcome = "unchanged" if known == listed else "texts changed"
        if outcome != "unchanged":
            await store.put_version(listed, now)
            await store.put_current(OnSale(code=product.code, version=product.version, on_sale=True, changed_at=now))
            await store.publish([ProductPublished(code=product.code, definition=listed.definition())], now)
        return Loaded(code=product.code, version=product.version, outcome=outcome)

    async def _load_consents(self, store: Store, listed: Listed) -> None:
        for consent in listed.consents:
            known = await store.consent(consent.code, consent.version)
            if known is None:
                await store.put_consent(consent, self._clock.now())
            elif known != consent:
                raise VersionTaken(f"the consent {consent.code}", consent.version)
