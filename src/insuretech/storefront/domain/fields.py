"""Questions as templates draw them."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

Schema = Mapping[str, Any]
Answers = dict[str, Any]


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """One of the answers to choose from."""

    value: str
    label: str
    hint: str = ""


class Field(msgspec.Struct, kw_only=True):
    """A question as a template draws it; ``name`` is its JSON pointer."""

    name: str
    label: str
    widget: str = "text"
    value: str = ""
    values: tuple[str, ...] = ()
    hint: str = ""
    example: str = ""
    placeholder: str = ""
    unit: str = ""
    mask: str = ""
    options: tuple[Option, ...] = ()
    optional: bool = False
    decimal: bool = False
    autocomplete: str = ""
    max_length: int = 0
    error: str = ""
    live: bool = False
    """Whether other questions depend on this answer, so that the page is drawn anew with it."""
    echoes: bool = False
    """Whether the page's headline asks the very same, so that eyes need not read it twice."""

    @property
    def brief(self) -> bool:
        """Two short answers, such as yes and no, that stand side by side even on a phone."""
        return len(self.options) == 2 and all(len(option.label) <= 12 and not option.hint for option in self.options)

    @property
    def id(self) -> str:
        return field_id(self.name)


class Group(msgspec.Struct, kw_only=True):
    """One entry of a repeated question: one driver, one traveller."""

    number: int
    pointer: str
    fields: list[Field]


class Repeat(msgspec.Struct, kw_only=True):
    """A question asked as often as there are entries."""

    name: str
    label: str
    entry: str
    add: str
    hint: str
    groups: list[Group]
    can_add: bool
    can_remove: bool
    error: str = ""

    @property
    def id(self) -> str:
        return field_id(self.name)


Block = Field | Repeat


class Problemlet(msgspec.Struct, frozen=True, kw_only=True):
    """A fault as the summary on top of a form names it."""

    id: str
    label: str
    text: str


def field_id(pointer: str) -> str:
    """An HTML id for a JSON pointer."""
    return "f" + re.sub(r"[^A-Za-z0-9]+", "-", pointer)


def fields_of(drawn: Iterable[Block]) -> Iterator[Field]:
    """Every single field, those of repeated questions too."""
    for block in drawn:
        if isinstance(block, Field):
            yield block
        else:
            for group in block.groups:
                yield from group.fields


def problemlets(drawn: Sequence[Block]) -> list[Problemlet]:
    """Everything wrong on this page, in the order of its questions."""
    found: list[Problemlet] = []
    for block in drawn:
        if block.error:
            found.append(Problemlet(id=block.id, label=block.label, text=block.error))
        if isinstance(block, Repeat):
            found += [
                Problemlet(
                    id=item.id,
                    label=f"{block.entry} {group.number}, {inside(item.label)}",
                    text=item.error,
                )
                for group in block.groups
                for item in group.fields
                if item.error
            ]
    return found


def inside(label: str) -> str:
    """A label as it stands within a sentence; what is written in capitals stays so."""
    return label if label[1:2].isupper() else f"{label[:1].lower()}{label[1:]}"


def without_echo(drawn: Sequence[Block], headline: str) -> Sequence[Block]:
    """The questions, the one that the headline already asks marked as its echo."""
    for block in drawn:
        if isinstance(block, Field):
            block.echoes = _spoken(block.label) == _spoken(headline)
    return drawn


def _spoken(text: str) -> str:
    return text.rstrip("?. ").casefold()
