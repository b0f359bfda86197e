"""Where an OSAGO corridor can be computed today: regions and their places, for a form to choose from."""

from datetime import date

import msgspec

from insuretech.catalogue.osago.tariff import WHOLE_REGION, Tariff
from insuretech.catalogue.pages import page, ready
from insuretech.catalogue.shelf import Shelved
from insuretech.kit.clock import Clock, legal_date


class Region(msgspec.Struct, frozen=True, kw_only=True):
    """A region and its places, as answers spell them.

    ``whole_region``: one coefficient for the region; any place of it is taken, its own name stands for all.
    """

    region: str
    territories: tuple[str, ...]
    whole_region: bool = False


class PlaceList(msgspec.Struct, frozen=True, kw_only=True):
    """All regions, in alphabetical order."""

    items: tuple[Region, ...]
    next_cursor: str | None = None


class Places:
    """The list of the day; it changes with the edition of the tariff, at midnight in Moscow."""

    def __init__(self, tariff: Tariff, clock: Clock) -> None:
        self._tariff = tariff
        self._clock = clock
        self._day: date | None = None
        self._stored: Shelved | None = None

    def today(self) -> Shelved:
        day = legal_date(self._clock.now())
        if self._stored is None or self._day != day:
            self._day, self._stored = day, Shelved(ready(page("", msgspec.json.encode(self.of(day)))))
        return self._stored

    def of(self, day: date) -> PlaceList:
        """The list of any day."""
        found = self._tariff.places(day)
        return PlaceList(items=tuple(_region(name, found[name]) for name in sorted(found)))


def _region(name: str, territories: list[str]) -> Region:
    whole = WHOLE_REGION in territories
    return Region(
        region=name,
        territories=tuple(name if place == WHOLE_REGION else place for place in territories),
        whole_region=whole,
    )
