"""A directory that knows names only."""

from decimal import Decimal

from insuretech.contracts.insurers import InsurerConnector, InsurerProfile
from insuretech.contracts.text import Text

CODES = ("bystra", "tihohod", "kabinet", "zvonok", "mercator", "otkazov", "peremena", "tumanov", "zavis", "molchun")


class NamedInsurers:
    """Implements ``InsurerDirectory`` as far as the catalogue needs it."""

    def codes(self) -> tuple[str, ...]:
        return CODES

    def profile(self, code: str) -> InsurerProfile:
        return InsurerProfile(
            code=code,
            name=Text(f"Имя {code}", f"Name {code}"),
            dialect="xml_sync",
            url="http://nowhere",
            claims_days=9,
            commission=Decimal("0.10"),
        )

    def connector(self, code: str) -> InsurerConnector:
        raise KeyError(code)
