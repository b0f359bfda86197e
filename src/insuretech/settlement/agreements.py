"""The agency agreements with insurers: versions with validity dates, read from a data file."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Literal

import msgspec
import yaml

from insuretech.kit.failures import Unusable
from insuretech.settlement.domain import Terms, Vat


class AgreementsInvalid(Unusable):
    """The file of agreements cannot be used; the message is one sentence that says where and why."""


class ApiChannel(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="api", forbid_unknown_fields=True):
    """Registers go to the insurer's API below ``url``."""

    url: str


class MailChannel(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="mail", forbid_unknown_fields=True):
    """Registers go as a letter to the address ``to``."""

    to: str


Channel = ApiChannel | MailChannel


class Agreement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version of the agreement with one insurer; see the head of the data file for the fields."""

    insurer: str
    version: str
    valid_from: date
    products: dict[str, Decimal]
    vat: Vat
    on_cancellation: Literal["proportional", "whole", "kept"]
    settlement: Literal["net", "gross"]
    channel: Channel
    valid_until: date = date.max

    def holds_on(self, day: date) -> bool:
        return self.valid_from <= day <= self.valid_until

    def terms(self, product: str) -> Terms | None:
        """What it says about a product, if anything."""
        rate = self.products.get(product, self.products.get("*"))
        if rate is None:
            return None
        return Terms(agreement=self.version, rate=rate, vat=self.vat, on_cancellation=self.on_cancellation)


class Agreements:
    """All agreements, checked: versions are told apart, and at most one holds on a day."""

    def __init__(self, agreements: Iterable[Agreement]) -> None:
        self._by_insurer: dict[str, list[Agreement]] = {}
        versions: set[str] = set()
        for agreement in sorted(agreements, key=lambda one: (one.insurer, one.valid_from)):
            _check(agreement)
            if agreement.version in versions:
                raise AgreementsInvalid(f"The version {agreement.version} occurs twice.")
            versions.add(agreement.version)
            known = self._by_insurer.setdefault(agreement.insurer, [])
            if known and known[-1].valid_until >= agreement.valid_from:
                raise AgreementsInvalid(f"{known[-1].version} and {agreement.version} hold on the same days.")
            known.append(agreement)

    @property
    def insurers(self) -> tuple[str, ...]:
        return tuple(self._by_insurer)

    def on(self, insurer: str, day: date) -> Agreement | None:
        """The version that holds on a day."""
        return next((one for one in self._by_insurer.get(insurer, ()) if one.holds_on(day)), None)

    def latest(self, insurer: str, day: date) -> Agreement | None:
        """The version that holds on a day, or the last before it: registers go out after an agreement has ended."""
        return next((one for one in reversed(self._by_insurer.get(insurer, [])) if one.valid_from <= day), None)

    def terms(self, insurer: str, product: str, concluded_on: date) -> Terms | None:
        """The terms for a policy concluded on a day, None where nothing was agreed."""
        agreement = self.on(insurer, concluded_on)
        return None if agreement is None else agreement.terms(product)


def read_agreements(path: Path | None = None) -> Agreements:
    """Read the file, or the one that comes with us; raises ``AgreementsInvalid``."""
    path = path or Path(str(files("insuretech.settlement") / "data" / "agreements.yaml"))
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
        listed = msgspec.convert(document, dict[str, list[Agreement]]).get("agreements")
    except OSError as error:
        raise AgreementsInvalid(f"The file of agreements {path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise AgreementsInvalid(f"The file of agreements {path} is wrong: {error}.") from error
    if listed is None:
        raise AgreementsInvalid(f"The file of agreements {path} needs a list `agreements`.")
    return Agreements(listed)


def _check(agreement: Agreement) -> None:
    """What a schema cannot say."""
    name = agreement.version
    if agreement.valid_until < agreement.valid_from:
        raise AgreementsInvalid(f"{name} ends before it begins.")
    for product, rate in agreement.products.items():
        if not rate.is_finite() or not 0 <= rate < 1 or rate != round(rate, 6):
            raise AgreementsInvalid(f"{name}: the share of {product} must be from 0 to below 1, to six places.")
    vat = agreement.vat
    if not vat.rate.is_finite() or not 0 <= vat.rate < 1 or (vat.mode == "none") != (vat.rate == 0):
        raise AgreementsInvalid(f"{name}: VAT needs a rate between 0 and 1, and none has no rate.")
