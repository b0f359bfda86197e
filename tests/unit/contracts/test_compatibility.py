"""Events stay readable for services of the last release."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from insuretech.contracts.asyncapi import asyncapi_document
from insuretech.contracts.compatibility import agreed_schemas, breaking_changes, lock_file, locked_form
from insuretech.contracts.events import EVENTS, event_schemas
from insuretech.contracts.events_page import events_page

ROOT = Path(__file__).parents[3]


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """A part of an event, as it was."""

    city: str


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """An event, as it was."""

    who: str
    to: Address
    reason: str | None = None


def schema(**fields: Any) -> dict[str, Any]:
    """An event of the same name with these fields: a type, or a type and a default."""
    kinds = [(name, *(kind if isinstance(kind, tuple) else (kind,))) for name, kind in fields.items()]
    return msgspec.json.schema(msgspec.defstruct("Moved", kinds, frozen=True, kw_only=True))


BEFORE = msgspec.json.schema(Moved)


def test_events_can_be_read_by_the_last_release() -> None:
    """Otherwise services that are not updated yet bury what updated ones send."""
    broken = breaking_changes(agreed_schemas(), event_schemas())

    assert not broken, (
        f"{broken}: leave these classes as they were, add new ones with the change, whose topic ends in the next "
        "version (`.v2`), and publish both until nobody listens to the old ones"
    )


def test_agreed_schemas_are_those_of_today() -> None:
    """Otherwise the next change is compared with something older; `insuretech contracts lock` writes them."""
    assert lock_file().read_bytes() == locked_form()


def test_document_of_events_is_that_of_today() -> None:
    """Otherwise other teams build on yesterday's events; `insuretech contracts asyncapi` writes it."""
    written = msgspec.json.decode((ROOT / "docs" / "asyncapi.json").read_bytes())

    assert written == msgspec.to_builtins(asyncapi_document())


def test_page_of_events_is_that_of_today() -> None:
    """Otherwise people read of events that are sent no more; `insuretech contracts page` writes it."""
    assert (ROOT / "docs" / "events.md").read_text(encoding="utf-8") == events_page()


def test_page_of_events_names_every_field() -> None:
    """Otherwise whoever listens by the page misses what is sent."""
    chapters = {chapter.split("`")[1]: chapter for chapter in events_page().split("\n### ")[1:]}

    assert chapters.keys() == EVENTS.keys()
    for name, event in EVENTS.items():
        assert all(f"| `{field}` |" in chapters[name] for field in event.__struct_fields__)


def test_a_field_with_a_default_may_be_added() -> None:
    """Otherwise every addition costs a new topic."""
    after = schema(who=str, to=Address, reason=(str | None, None), note=(str, ""))

    assert breaking_changes({"moved": BEFORE}, {"moved": after, "another": after}) == []


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ({}, "moved: the event is gone"),
        ({"moved": schema(to=Address, reason=(str | None, None))}, "moved Moved.who: is gone"),
        (
            {"moved": schema(who=str, to=Address, reason=(str | None, None), note=str)},
            "moved Moved.note: older events lack it, so it needs a default",
        ),
        (
            {"moved": schema(who=(str, ""), to=Address, reason=(str | None, None))},
            "moved Moved.who: is no longer always there",
        ),
        (
            {"moved": schema(who=int, to=Address, reason=(str | None, None))},
            "moved Moved.who: {'type': 'string'} became {'type': 'integer'}",
        ),
        ({"moved": schema(who=str, to=str, reason=(str | None, None))}, "moved Address: no longer used"),
    ],
)
def test_anything_else_is_told(after: dict[str, Any], said: str) -> None:
    """Otherwise a change that older services cannot read goes out unseen."""
    assert said in breaking_changes({"moved": BEFORE}, after)


def test_a_part_that_takes_no_additions_is_told() -> None:
    """Otherwise a strict reader refuses the whole event for one field more."""

    class Strict(msgspec.Struct, forbid_unknown_fields=True):
        city: str

    before = msgspec.json.schema(Strict)
    after = msgspec.json.schema(
        msgspec.defstruct("Strict", [("city", str), ("street", str, "")], forbid_unknown_fields=True)
    )

    assert breaking_changes({"x": before}, {"x": after}) == [
        "x Strict.street: added to what older readers take no additions to"
    ]
