"""Events from one service's outbox to another's tables, through three real brokers."""

from tests.cluster.events.city import City, running


def in_order(residents: int, each: int) -> dict[str, list[int]]:
    """What every resident should be seen with."""
    return {f"r{who}": list(range(each)) for who in range(residents)}


async def test_every_event_takes_effect_once_and_in_order(city: City) -> None:
    """Otherwise an order is paid before it is placed, or a policy is printed twice."""
    await city.publish(residents=20, numbers=range(30))
    async with running(city.relay(), city.consumers(city.reaction())):
        await city.until_seen(20, 30)
        await city.publish(residents=20, numbers=range(30, 40))
        await city.until_seen(20, 40)
        await city.town.quiet()
    assert await city.town.seen() == in_order(20, 40)
    assert city.told() == in_order(20, 40)
    assert len(city.log()) == 800, "nothing was sent twice"
