"""Answers the question "between what and what may this OSAGO policy cost" in the caller's language."""

from datetime import date
from typing import Any

import yaml

from insuretech.catalogue.osago.case import read_case
from insuretech.catalogue.osago.corridor import CorridorRefused, calculate, edition_on
from insuretech.catalogue.osago.files import load_tariff, packaged_tables
from insuretech.catalogue.osago.tariff import Tariff
from insuretech.contracts.answers import AnswerCheck, AnswerFault
from insuretech.contracts.tariffs import Corridor, TariffUnavailable
from insuretech.contracts.text import Language
from insuretech.kit.problems import FieldError, Invalid


class Corridors:
    """The tariff and the schema of the answers, read once."""

    def __init__(self, tariff: Tariff, schema: dict[str, Any]) -> None:
        self.tariff = tariff
        self.schema = schema
        self._check = AnswerCheck(schema)

    def corridor(
        self, concluded_on: date, answers: dict[str, Any], *, language: Language = "ru", prefix: str = ""
    ) -> Corridor:
        """The corridor of a contract concluded that day.

        Raises ``kit.problems.Invalid`` with every wrong answer at once, or ``TariffUnavailable`` with every answer that
        leads out of the tables; ``prefix`` is put before the pointers into the answers.
        """
        answers = self._check.tidied(answers)
        faults = self._check.faults(answers)
        if faults:
            raise Invalid(errors=_told(faults, language, prefix))
        try:
            edition_on(self.tariff, concluded_on)  # first, as on such a day every driver would seem too young
            case, faults = read_case(answers, concluded_on)
            if faults:
                raise Invalid(errors=_told(faults, language, prefix))
            return calculate(self.tariff, case, concluded_on).told(language)
        except CorridorRefused as refused:
            detail = " ".join(fault.text.in_language(language) for fault in refused.faults)
            raise TariffUnavailable(detail, errors=_told(refused.faults, language, prefix)) from None


def load_corridors() -> Corridors:
    """From the tables and the schema that come with the package."""
    schema = yaml.safe_load((packaged_tables() / "answers.yaml").read_text(encoding="utf-8"))
    return Corridors(load_tariff(), schema)


def _told(faults: list[AnswerFault], language: Language, prefix: str) -> list[FieldError]:
    """The date of the contract lies beside the answers, not inside them."""
    return [
        FieldError(
            pointer=fault.pointer if fault.pointer == "/concluded_on" else prefix + fault.pointer,
            code=fault.code,
            detail=fault.text.in_language(language),
        )
        for fault in faults
    ]
