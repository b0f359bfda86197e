"""Hot storage and live messages of a process: its own memory, or Redis where replicas share them."""

from dataclasses import dataclass

from insuretech.kit.hot import HotStore, MemoryHot
from insuretech.kit.live import LiveHub
from insuretech.kit.platform import Background
from insuretech.kit.settings import Settings, SettingsInvalid


@dataclass(frozen=True)
class Hot:
    """What ``Platform.hot`` and ``Platform.live`` become, and the loops these need; ``store`` is to be closed."""

    store: HotStore
    live: LiveHub
    background: tuple[Background, ...] = ()


def open_hot(settings: Settings) -> Hot:
    """By the setting ``redis``; opens no connection yet."""
    live = LiveHub()
    if not settings.redis:
        return Hot(MemoryHot(), live)
    # Redis' client is large, and one machine has none.
    from insuretech.kit.live_bridge import LiveBridge  # noqa: PLC0415
    from insuretech.kit.redis_hot import RedisHot  # noqa: PLC0415
    from insuretech.kit.redis_nodes import RedisNodes, addresses_of  # noqa: PLC0415

    try:
        nodes = RedisNodes(addresses_of(settings.redis))
    except ValueError as error:
        raise SettingsInvalid("INSURETECH_REDIS is not a list such as host:port,host:port.") from error
    return Hot(RedisHot(nodes), live, (Background("live.bridge", LiveBridge(live, nodes.addresses).run),))
