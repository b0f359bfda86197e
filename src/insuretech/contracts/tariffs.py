"""The legal corridor of an OSAGO premium, as the catalogue computes it and quotes hold offers against it."""

from collections.abc import Awaitable, Callable
from datetime import date
from typing import Any

import msgspec

from insuretech.contracts.money import Money
from insuretech.contracts.text import Language
from insuretech.kit.problems import Problem


class Factor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One factor of the premium: its official letters, its value (TB: ``min`` and ``max``), why it applies and where
    it comes from; ``status`` says ``unverified`` or ``single source`` where the source is not confirmed.
    """

    code: str
    value: str | None = None
    min: str | None = None
    max: str | None = None
    why: str
    source: str
    status: str | None = None


class Corridor(msgspec.Struct, frozen=True, kw_only=True):
    """The lowest and highest premium the law allows for these answers under this edition of the tariff."""

    edition: str
    min: Money
    max: Money
    factors: tuple[Factor, ...]


class TariffUnavailable(Problem):
    """Our tariff data do not cover this case; the errors point at the fields that lead out of them."""

    status = 422
    slug = "tariff-unavailable"
    title = "The tariff for this case is not in our data"


CorridorSource = Callable[[date, dict[str, Any], Language], Awaitable[Corridor]]
"""(date of the contract, OSAGO answers, language of its sentences) -> corridor.

Raises ``TariffUnavailable`` or ``kit.problems.Invalid``.
"""
