"""A process says which Redis nodes do not answer it, and works on without them."""

import socket

import pytest

from insuretech.kit.hot import HotAway, MemoryHot
from insuretech.kit.redis_hot import RedisHot
from insuretech.kit.redis_nodes import RedisNodes


async def test_nodes_that_do_not_answer_are_named() -> None:
    """Whoever looks at a slow replica would search everywhere but at Redis."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        port = taken.getsockname()[1]
        hot = RedisHot(RedisNodes([("127.0.0.1", port)]))
        assert hot.silent() == [], "nobody has asked yet"
        with pytest.raises(HotAway):
            await hot.get("{a}")
        assert hot.silent() == [f"redis:127.0.0.1:{port}"]
        await hot.aclose()
    assert MemoryHot().silent() == ()
