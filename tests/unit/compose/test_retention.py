"""How long services remember what they have done about events."""

from datetime import timedelta

from sqlalchemy.engine import make_url

from insuretech.compose.partitions import plans_of
from insuretech.compose.single import build
from insuretech.contracts.topics import topics
from insuretech.kit.keyring import Keyring
from insuretech.kit.settings import Settings


async def test_a_receipt_outlives_every_copy_of_its_event() -> None:
    """An offset set back to the beginning of a topic would issue refunds and lines of settlement a second time."""
    settings = Settings(kafka="kafka:9092")
    marketplace = build(settings, make_url("postgresql+asyncpg://admin@/none"), Keyring.generate())
    kept = {topic.name: topic.retention_days for topic in topics()}

    heard = 0
    for service in marketplace.services:
        inbox = next((plan for plan in plans_of(service, settings) if plan.table == "inbox"), None)
        for reaction in service.reactions:
            for event in reaction.events:
                assert inbox is not None
                copies = timedelta(seconds=settings.outbox_kept, days=kept[event.topic] or 0)
                assert inbox.kept > copies
                heard += 1
    await marketplace.stop()
    assert heard
