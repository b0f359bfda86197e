"""Made-up parts of a twin."""

from typing import Any

from deploy.twin.inventory import Inventory, Machine


def inventory(*machines: Machine, **changes: Any) -> Inventory:
    """A small twin with a witness, of these machines; nobody lives in its regions unless told."""
    told: dict[str, Any] = {"prefix": "tw", "octet": 60, "size": "small", "layout": "witness", "release": "trixie"}
    places = {"spb": "10.60.1.0/24", "msk": "10.60.2.0/24"}
    return Inventory(**{**told, "mirror": "", "places": places, "people": {}, "machines": machines, **changes})
