"""The sandbox's insurers as its data file describes them."""

from importlib.resources import files

import msgspec

from insuretech.sandbox.domain import Character


def load_roster() -> dict[str, Character]:
    """Every insurer by code, in the order of the file."""
    document = (files("insuretech.sandbox") / "data" / "insurers.yaml").read_bytes()
    characters = msgspec.yaml.decode(document, type=list[Character])
    return {character.code: character for character in characters}
