"""Product events become purges: of the right tags, twice, and committed only afterwards."""

from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, cast

import msgspec
import pytest
from confluent_kafka import KafkaError, KafkaException, Message

from insuretech.compose.cdn_purge import follow, serve_purges, tags_of
from insuretech.kit.events import Envelope
from insuretech.kit.ids import new_id
from insuretech.kit.kafka import record_headers
from insuretech.kit.settings import Settings, SettingsInvalid, load_settings


class Record:
    """A record as the client gives it out."""

    def __init__(self, code: str, *, readable: bool = True, error: KafkaError | None = None) -> None:
        self._error = error
        self._code = code
        envelope = Envelope(
            id=new_id(),
            type="catalogue.product.v1.withdrawn",
            topic="catalogue.product.v1",
            key=code,
            occurred_at=datetime(2026, 11, 1, tzinfo=UTC),
            trace_id="",
            payload=msgspec.Raw(b"{}"),
            position=1,
        )
        self._headers = record_headers(envelope) if readable else []

    def error(self) -> KafkaError | None:
        return self._error

    def headers(self) -> list[tuple[str, bytes]]:
        return self._headers

    def key(self) -> bytes:
        return self._code.encode()

    def value(self) -> bytes:
        return b"{}"

    def topic(self) -> str:
        return "catalogue.product.v1"


def records(*found: Record) -> list[Message]:
    """Records as the client's type has them."""
    return cast("list[Message]", list(found))


class Events:
    """The log of products, which breaks after its last record; ``told`` is what was done, in its order."""

    def __init__(self, *batches: list[Message]) -> None:
        self._batches = list(batches)
        self.told: list[str] = []

    def consume(self, num_messages: int, timeout: float) -> list[Message]:
        assert num_messages > 0
        assert timeout > 0
        if not self._batches:
            raise KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN))
        return self._batches.pop(0)

    def commit(self, *, asynchronous: Literal[False]) -> None:
        assert not asynchronous
        self.told.append("commit")

    async def purge(self, tags: Collection[str]) -> list[str]:
        self.told.append(" ".join(sorted(tags)))
        return []


async def test_a_change_is_purged_twice_and_then_committed() -> None:
    """Committed first, a crash loses the purge; purged once, the page of a slow replica stays."""
    events = Events(records(Record("osago")), [], records(Record("travel"), Record("mortgage")))
    with pytest.raises(KafkaException):
        await follow(events, events.purge, settle=0.01)
    osago, others = "product-osago products", "product-mortgage product-travel products"
    assert events.told == [osago, osago, "commit", others, others, "commit"]


@pytest.mark.parametrize(
    "fatal", [KafkaError(KafkaError._FENCED, "gone", fatal=True), KafkaError(KafkaError._FATAL, "gone")]
)
async def test_a_broken_connection_ends_the_following(fatal: KafkaError) -> None:
    """A consumer that cannot go on must be made anew, not asked for ever; it says so by a flag or by its code."""
    events = Events(records(Record("osago", error=fatal)))
    with pytest.raises(KafkaException, match="gone"):
        await follow(events, events.purge, settle=0.01)
    assert events.told == []


def test_what_is_no_event_is_passed_over() -> None:
    """One bad record would otherwise stop all purges."""
    away = KafkaError(KafkaError._ALL_BROKERS_DOWN)
    found = records(Record("odd", readable=False), Record("lost", error=away), Record("osago"))
    assert tags_of(found) == {"products", "product-osago"}


@pytest.mark.parametrize("lacking", [{"cdn_points": " , "}, {"cdn_purge_token": ""}])
def test_it_says_what_it_needs(lacking: dict[str, str]) -> None:
    """It would otherwise run and purge nothing."""
    known = {"cdn_points": "https://point", "cdn_purge_token": "secret", "kafka": "127.0.0.1:1"}
    with pytest.raises(SettingsInvalid, match="INSURETECH_CDN_POINTS"):
        serve_purges(msgspec.convert(known | lacking, Settings))


def test_the_token_comes_from_a_file(tmp_path: Path) -> None:
    """In the environment it would be in every listing of processes."""
    path = tmp_path / "token"
    path.write_text("secret\n", encoding="ascii")
    assert load_settings({"INSURETECH_CDN_PURGE_TOKEN_FILE": str(path)}).cdn_purge_token == "secret"
