"""Product files are read strictly, and what the package sells can be answered, shown and bought."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from insuretech.catalogue.domain import Listed
from insuretech.catalogue.osago.corridors import Corridors
from insuretech.catalogue.product_files import ProductFilesInvalid, packaged_files, read_products
from insuretech.contracts.answers import AnswerCheck
from insuretech.contracts.text import Text
from tests.unit.catalogue.insurers import CODES

TODAY = date(2026, 11, 22)
OSAGO: dict[str, Any] = {
    "vehicle": {
        "category": "B",
        "power_hp": "87",
        "purpose": "personal",
        "trailer": False,
        "plate": "а123вс77",
        "vin": "XTA210990Y2765439",
        "make": "Lada",
        "model": "Vesta",
        "year": 2019,
    },
    "owner": {"kind": "individual", "region": "Москва", "territory": "Москва"},
    "drivers": {
        "limited": True,
        "list": [{"birth_date": "1988-01-01", "licence_since": "2008-01-01", "kbm_class": "4"}],
    },
    "use": {"starts_on": "2026-11-26", "months": 12},
}
MORTGAGE: dict[str, Any] = {
    "cover": {"risks": "life_property", "title": True},
    "loan": {"bank": "Банк", "debt": "3 500 000", "contract_number": "1/2", "contract_date": "2024-02-15"},
    "borrower": {
        "birth_date": "1988-04-12",
        "sex": "female",
        "occupation": "office",
        "smoker": False,
        "serious_illness": False,
    },
    "property": {"kind": "flat", "year_built": 2012, "wooden": False, "gas": True},
    "starts_on": "2026-11-25",
}
TRAVEL: dict[str, Any] = {
    "trip": {"territory": "schengen", "starts_on": "2026-12-28", "ends_on": "2027-01-08", "purpose": "leisure"},
    "travellers": [{"birth_date": "1990-05-05"}, {"birth_date": "2019-05-05"}],
    "cover": {"sum_insured": "35000", "currency": "EUR", "activity": "none", "luggage": True},
}
GOOD = {"osago": OSAGO, "mortgage": MORTGAGE, "travel": TRAVEL}


@pytest.fixture(scope="module")
def products() -> dict[str, Listed]:
    """What the package sells, by code."""
    return {one.product.code: one for one in read_products(insurers=CODES)}


@pytest.fixture(scope="module")
def checks(products: dict[str, Listed]) -> dict[str, AnswerCheck]:
    """Each product's question set, ready to check answers."""
    return {code: AnswerCheck(one.product.question_set) for code, one in products.items()}


def test_three_products_are_sold(products: dict[str, Listed]) -> None:
    """A product file that is not found would vanish from the site without a word."""
    assert set(products) == {"osago", "mortgage", "travel"}


@pytest.mark.parametrize("code", GOOD)
def test_good_answers_are_accepted(checks: dict[str, AnswerCheck], code: str) -> None:
    """A buyer with an ordinary case must get through the whole form."""
    assert checks[code].faults(checks[code].tidied(GOOD[code]), TODAY) == []


def test_a_question_set_that_passes_also_has_a_corridor(corridors: Corridors) -> None:
    """What the form accepts for an ordinary car must not be refused as malformed by the corridor beside it."""
    assert corridors.corridor(TODAY, OSAGO).min.amount > 0


BAD: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {
    "neither plate nor VIN": (
        "osago",
        {"vehicle": {**OSAGO["vehicle"], "plate": None, "vin": None}},
        {"/vehicle/plate": "Укажите госномер или VIN — хватит одного из них."},
    ),
    "a plate of zeros": (
        "osago",
        {"vehicle": {**OSAGO["vehicle"], "plate": "А000ВС77"}},
        {"/vehicle/plate": ("Запишите номер как на табличке: А123ВС77, у такси АВ12377, у мотоцикла 1234АВ77.")},
    ),
    "a car without power": (
        "osago",
        {"vehicle": {**OSAGO["vehicle"], "power_hp": None}},
        {"/vehicle/power_hp": "Ответьте на этот вопрос."},
    ),
    "a truck without mass": (
        "osago",
        {"vehicle": {**OSAGO["vehicle"], "category": "C"}},
        {"/vehicle/max_mass_kg": "Ответьте на этот вопрос."},
    ),
    "a list without drivers": (
        "osago",
        {"drivers": {"limited": True}},
        {"/drivers/list": "Ответьте на этот вопрос."},
    ),
    "a start in the past": (
        "osago",
        {"use": {"starts_on": "2026-11-21", "months": 12}},
        {"/use/starts_on": "Не раньше 22.11.2026."},
    ),
    "life cover without the borrower": (
        "mortgage",
        {"borrower": None, "property": None},
        {
            f"/{field}": "Ответьте на этот вопрос."
            for field in (
                "borrower/birth_date",
                "borrower/occupation",
                "borrower/serious_illness",
                "borrower/sex",
                "borrower/smoker",
                "property/gas",
                "property/kind",
                "property/wooden",
                "property/year_built",
            )
        },
    ),
    "a debt in words": (
        "mortgage",
        {"loan": {"bank": "Банк", "debt": "много"}},
        {"/loan/debt": "Запишите сумму цифрами, например 3500000."},
    ),
    "a return before the departure": (
        "travel",
        {"trip": {**TRAVEL["trip"], "ends_on": "2026-12-27"}},
        {"/trip/ends_on": "Не раньше 28.12.2026."},
    ),
    "many journeys without days": (
        "travel",
        {"trip": {**TRAVEL["trip"], "multi_trip": True}},
        {"/trip/insured_days": "Ответьте на этот вопрос."},
    ),
    "nobody travels": ("travel", {"travellers": []}, {"/travellers": "Добавьте хотя бы одного путешественника."}),
}


@pytest.mark.parametrize(("code", "changes", "faults"), BAD.values(), ids=BAD)
def test_bad_answers_are_told_at_the_field(
    checks: dict[str, AnswerCheck], code: str, changes: dict[str, Any], faults: dict[str, str]
) -> None:
    """A buyer must read beside the very field what to mend."""
    answers = without_nones({**GOOD[code], **changes})
    found = checks[code].faults(checks[code].tidied(answers), TODAY)
    assert {fault.pointer: fault.text.ru for fault in found} == faults


def test_only_the_home_needs_no_questions_about_health(checks: dict[str, AnswerCheck]) -> None:
    """Who insures the home alone must not have to tell of illnesses."""
    answers = {**MORTGAGE, "cover": {"risks": "property"}}
    del answers["borrower"]
    assert checks["mortgage"].faults(checks["mortgage"].tidied(answers), TODAY) == []


@pytest.mark.parametrize("plate", ["А123ВС77", "А123ВС777", "АВ12377", "АВ123777", "1234АВ77"])
def test_plates_of_all_kinds_fit(checks: dict[str, AnswerCheck], plate: str) -> None:
    """Owners of taxis and motorcycles have plates of another form."""
    answers = {**OSAGO, "vehicle": {**OSAGO["vehicle"], "plate": plate}}
    assert checks["osago"].faults(answers, TODAY) == []


def test_a_source_is_told_in_both_languages_unless_it_is_an_address(products: dict[str, Listed]) -> None:
    """Half of the readers could not tell what a price rests on."""
    for listed in products.values():
        source = listed.product.price.source
        assert isinstance(source, Text) or " " not in source, listed.product.code


def test_every_consent_is_told_in_both_languages(products: dict[str, Listed]) -> None:
    """Nobody may be asked to agree to a text that is not there."""
    for listed in products.values():
        for consent in listed.definition().consents:
            assert len(consent.text.ru) > 100
            assert len(consent.text.en) > 100
        assert "personal-data" in {consent.code for consent in listed.definition().consents if consent.required}


def without_nones(value: Any) -> Any:
    """Answers with the None ones taken away."""
    if isinstance(value, dict):
        return {name: without_nones(child) for name, child in value.items() if child is not None}
    return value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the packaged files to spoil."""
    return copytree(str(packaged_files()), tmp_path / "data")


def swap(old: str, new: str) -> Callable[[str], str]:
    """A slip that replaces the first ``old``."""

    def swapped(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return swapped


SLIPS: dict[str, tuple[str, Callable[[str], str], str, str]] = {
    "a step to nowhere": (
        "products/travel.yaml",
        swap("fields: [/trip/territory]", "fields: [/trip/planet]"),
        "fields: [/trip/planet]",
        "steps[0].fields[0]: /trip/planet points to nothing in question_set",
    ),
    "a question nobody asks": (
        "products/travel.yaml",
        swap("fields: [/trip/territory]", "fields: []"),
        "territory:",
        "question_set.properties.trip.properties.territory: no step asks for /trip/territory",
    ),
    "a question asked twice": (
        "products/osago.yaml",
        swap("[/use/starts_on, /use/months]", "[/use/starts_on, /use/months, /owner/kind]"),
        "/use/months, /owner/kind",
        "steps[6].fields[2]: /owner/kind is asked in step 4 already",
    ),
    "an unknown insurer": (
        "products/osago.yaml",
        swap("[bystra,", "[bistra,"),
        "insurers: [bistra",
        "insurers[0]: there is no insurer 'bistra'",
    ),
    "an unknown consent": (
        "products/osago.yaml",
        swap("code: personal-data", "code: personal"),
        "{code: personal,",
        "consents[0].code: there is no consent 'personal'",
    ),
    "an example that does not fit": (
        "products/osago.yaml",
        swap("x-example: А123ВС77", "x-example: А12ВС77"),
        "x-example: А12ВС77",
        "x-example: 'А12ВС77' does not fit the question",
    ),
    "an option that is no value": (
        "products/osago.yaml",
        swap("            taxi: {ru", "            cab: {ru"),
        "cab: {ru",
        "x-options.cab: 'cab' is none of the values",
    ),
    "a text in one language": (
        "products/travel.yaml",
        swap('x-label: {ru: "Куда едете", en: "Where to"}', 'x-label: {ru: "Куда едете"}'),
        'x-label: {ru: "Куда едете"}',
        "x-label: needs a text in ru and one in en",
    ),
    "an unknown widget": (
        "products/travel.yaml",
        swap("x-widget: radio", "x-widget: knob"),
        "x-widget: knob",
        "x-widget: 'knob' is none of date,",
    ),
    "a condition on nothing": (
        "products/osago.yaml",
        swap("field: /drivers/limited", "field: /drivers/unlimited"),
        "x-when: {field: /drivers/unlimited",
        "x-when: /drivers/unlimited points to nothing",
    ),
    "a needed answer that is no question": (
        "products/osago.yaml",
        swap("required: [kind, region, territory]", "required: [kind, region, town]"),
        "required: [kind, region, town]",
        "required: 'town' is no property",
    ),
    "a term that points nowhere": (
        "products/osago.yaml",
        swap("months: /use/months", "months: /use/weeks"),
        "months: /use/weeks",
        "term.months: /use/weeks points to nothing",
    ),
    "two ends": (
        "products/osago.yaml",
        swap("months: /use/months", "months: /use/months, fixed_months: 12"),
        "fixed_months: 12",
        "term: names exactly one of",
    ),
    "more than all back": (
        "products/osago.yaml",
        swap('refundable_share: "0.77"', 'refundable_share: "1.77"'),
        "refundable_share:",
        "cancellation.refundable_share: is no share",
    ),
    "a cooling-off of no days": (
        "products/travel.yaml",
        swap("  days: 14\n", ""),
        "cancellation:",
        "cancellation: a cooling-off period needs days",
    ),
    "no JSON Schema": (
        "products/travel.yaml",
        swap("minItems: 1", "minItems: one"),
        "minItems: one",
        "question_set.properties.travellers.minItems: is no JSON Schema",
    ),
    "a key twice": (
        "products/travel.yaml",
        swap("kind: voluntary", "kind: voluntary\nkind: compulsory"),
        "kind: compulsory",
        "'kind' is here twice",
    ),
    "no YAML": ("products/travel.yaml", swap("kind: voluntary", "kind: {voluntary"), "", "did not find expected"),
    "an unknown field": (
        "products/travel.yaml",
        swap("kind: voluntary", "kind: voluntary\ncolour: red"),
        "",
        "Additional properties are not allowed ('colour'",
    ),
    "another name than the file": (
        "products/travel.yaml",
        swap("code: travel", "code: trip"),
        "code: trip",
        "code: 'trip' is not the name of the file",
    ),
    "an empty consent": ("consents/news.yaml", lambda _: "", "", '"code" is a required property'),
}


@pytest.mark.parametrize(("name", "slip", "here", "message"), SLIPS.values(), ids=SLIPS)
def test_a_slip_is_named_with_file_and_line(
    folder: Path, name: str, slip: Callable[[str], str], here: str, message: str
) -> None:
    """Whoever writes a product must be led to the very line of the slip, instead of buyers meeting it."""
    path = folder / name
    path.write_text(slip(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(ProductFilesInvalid) as refused:
        read_products(folder, insurers=CODES)
    complaint = next(each for each in refused.value.complaints if message in each)
    file, line = complaint.split(":")[:2]
    assert file == path.name
    assert here in [*path.read_text(encoding="utf-8").splitlines(), ""][int(line) - 1]


def test_all_slips_are_told_at_once(folder: Path) -> None:
    """Mending a file must not take one run per slip."""
    for name, slip in (("osago", swap("[bystra,", "[bistra,")), ("travel", swap("[/travellers]", "[/travelers]"))):
        path = folder / "products" / f"{name}.yaml"
        path.write_text(slip(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(ProductFilesInvalid) as refused:
        read_products(folder, insurers=CODES)
    assert [each.split(":")[0] for each in refused.value.complaints] == ["osago.yaml", "travel.yaml", "travel.yaml"]


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    """A wrong path must not be taken for "nothing to sell"."""
    with pytest.raises(ProductFilesInvalid, match="no product files"):
        read_products(tmp_path, insurers=CODES)
