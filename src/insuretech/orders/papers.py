"""Policies as documents print them: the port ``documents`` asks through, since personal data travel in no event."""

from uuid import UUID

from insuretech.contracts.policies import PolicyPaper
from insuretech.kit.db import Database
from insuretech.orders.policyholders import PolicyholderVault
from insuretech.orders.ports import OfferSource
from insuretech.orders.queries import own_policy, policy_to_print
from insuretech.orders.views import Views


class PolicyPapers:
    """Puts a policy's paper together from our tables and the quote's answers in words."""

    def __init__(self, database: Database, vault: PolicyholderVault, offers: OfferSource, views: Views) -> None:
        self._database = database
        self._vault = vault
        self._offers = offers
        self._views = views

    async def policy_id(self, number: str, owner: str) -> UUID | None:
        """The owner's policy of this number."""
        found = await own_policy(self._database, owner, number)
        return None if found is None or found.policy is None else found.policy.id

    async def paper(self, policy_id: UUID) -> PolicyPaper | None:
        """Everything the document shows, or None when there is no such policy."""
        found = await policy_to_print(self._database, policy_id)
        if found is None:
            return None
        policy = found.policy
        return PolicyPaper(
            policy_id=policy.id,
            order_id=policy.order_id,
            owner=policy.owner,
            number=policy.number,
            product=policy.product,
            product_title=found.product_title,
            insurer_name=self._views.insurer(policy.insurer).name,
            premium=policy.premium,
            starts_on=policy.starts_on,
            ends_on=policy.ends_on,
            issued_at=policy.issued_at,
            policyholder=self._vault.open(policy.order_id, found.sealed),
            insured=await self._offers.insured(found.quote_id),
            verification_code=policy.verification_code,
        )
