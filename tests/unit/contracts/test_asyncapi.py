"""The document of all events says what services really send."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
from jsonschema_rs import Draft202012Validator

from insuretech.contracts.asyncapi import asyncapi_document
from insuretech.contracts.events import EVENTS, QuoteSubmitted


def resolved(document: dict[str, Any], reference: str) -> dict[str, Any]:
    """What a local reference points at."""
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return dict(found)


def test_every_event_has_a_message_in_its_topic() -> None:
    """Otherwise a team that listens by this document misses events."""
    document = asyncapi_document()

    for name, event in EVENTS.items():
        message = resolved(document, document["channels"][event.topic]["messages"][name]["$ref"])
        assert message["title"] == event.__name__
        assert message["summary"], f"{name} does not say what it tells of"


def test_a_real_event_fits_its_schema() -> None:
    """Otherwise code generated from this document refuses what we send."""
    document = asyncapi_document()
    event = QuoteSubmitted(
        quote_id=uuid4(),
        owner="buyer:0",
        product="osago",
        product_version="1",
        insurers=("one",),
        expires_at=datetime.now(UTC),
    )
    payload = document["components"]["messages"][event.type_name()]["payload"]
    validator = Draft202012Validator({**payload, "components": document["components"]}, validate_formats=True)

    assert validator.is_valid(msgspec.to_builtins(event))
    assert not validator.is_valid({**msgspec.to_builtins(event), "expires_at": "yesterday"})
