"""Letters of a service that did not know an event yet: its next version takes them up."""

from insuretech.kit.dead_letters import dead_letters, replay
from insuretech.kit.relay import bury
from tests.service.kit.town import ResidentMoved, Town, messaging


async def test_what_an_older_version_did_not_know_is_handled_by_the_next(town: Town) -> None:
    """Otherwise events of a new kind, told while a deploy was under way, never take effect."""
    await town.publish(ResidentMoved(resident="r", number=1))
    (envelope,) = await town.envelopes()
    await bury(town.database, messaging, "documents", envelope, "This version knows no event of this type.", 1)
    letters = await dead_letters(town.database, messaging)
    assert await replay(letters, []) == [], "still nobody knows it"
    assert len(await replay(letters, [town.consumer("register"), town.consumer("post office")])) == 1
    assert await town.seen("register") == await town.seen("post office") == {"r": [1]}
    assert await dead_letters(town.database, messaging) == []
