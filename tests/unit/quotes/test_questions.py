"""Checks of answers beyond their schema, the term of cover, and the answers in words."""

from datetime import date, timedelta
from importlib.resources import files
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from insuretech.contracts.policies import LabelledValue
from insuretech.contracts.products import Term
from insuretech.contracts.text import Text
from insuretech.quotes.insured import in_words
from insuretech.quotes.questions import Cover, KnownProduct, cover_of, faults_of
from tests.system.answers import ANSWERS
from tests.unit.quotes.specimens import QUESTIONS, TODAY, answers, product

BY_MONTHS = Term(starts_on="/use/starts_on", months="/use/months")
TO_A_DAY = Term(starts_on="/trip/starts_on", ends_on="/trip/ends_on")


def pointers(given: dict[str, Any]) -> set[str]:
    """Where something is wrong with these answers."""
    return {fault.pointer for fault in faults_of(KnownProduct(product("one")), given, TODAY)}


def driver(born: str, licensed: str) -> dict[str, Any]:
    """Answers with one driver."""
    return answers(drivers=[{"birth_date": born, "licence_since": licensed}])


def test_good_answers_have_no_faults() -> None:
    """Nobody could get a quote."""
    assert pointers(answers()) == set()


@pytest.mark.parametrize(("days", "wrong"), [(-1, True), (0, False), (365, False), (366, True)])
def test_cover_starts_between_today_and_a_year_ahead(days: int, wrong: bool) -> None:
    """A policy would be sold for yesterday, or insurers asked for prices they cannot know yet."""
    use = {"starts_on": (TODAY + timedelta(days=days)).isoformat(), "months": 12}
    assert pointers(answers(use=use)) == ({"/use/starts_on"} if wrong else set())


@pytest.mark.parametrize(
    ("born", "licensed", "where"),
    [
        ("1990-05-05", "2006-05-05", set()),
        ("1990-05-05", "2006-05-04", {"/drivers/0/licence_since"}),
        ("1990-05-05", "1980-01-01", {"/drivers/0/licence_since"}),
        ("1990-05-05", "2026-11-23", {"/drivers/0/licence_since"}),
        ("2026-11-23", "2010-01-01", {"/drivers/0/birth_date"}),
    ],
)
def test_drivers_are_born_before_they_are_licensed(born: str, licensed: str, where: set[str]) -> None:
    """An impossible driver would be priced, and the insurer refuse to pay for the misstatement."""
    assert pointers(driver(born, licensed)) == where


def test_cover_ends_after_it_starts() -> None:
    """A journey that ends before it begins would be sent to insurers."""
    trip = {"starts_on": "2026-12-10", "ends_on": "2026-12-09"}
    questions = {"type": "object", "properties": {"trip": {"type": "object"}}}
    definition = msgspec.structs.replace(product("one", questions=questions), term=TO_A_DAY)
    assert [fault.pointer for fault in faults_of(KnownProduct(definition), {"trip": trip}, TODAY)] == ["/trip/ends_on"]


@pytest.mark.parametrize(
    ("term", "given", "cover"),
    [
        (BY_MONTHS, {"use": {"starts_on": "2026-12-01", "months": 12}}, (date(2026, 12, 1), date(2027, 11, 30))),
        (BY_MONTHS, {"use": {"starts_on": "2027-01-31", "months": 1}}, (date(2027, 1, 31), date(2027, 2, 27))),
        (BY_MONTHS, {"use": {"starts_on": "2026-12-01", "months": True}}, None),
        (BY_MONTHS, {"use": {"starts_on": "2026-12-01", "months": 10**9}}, None),
        (BY_MONTHS, {"use": {"starts_on": "9999-12-01", "months": 12}}, None),
        (BY_MONTHS, {"use": []}, None),
        (
            TO_A_DAY,
            {"trip": {"starts_on": "2026-12-01", "ends_on": "2026-12-08"}},
            (date(2026, 12, 1), date(2026, 12, 8)),
        ),
        (
            Term(starts_on="/starts_on", fixed_months=12),
            {"starts_on": "2028-02-29"},
            (date(2028, 2, 29), date(2029, 2, 27)),
        ),
    ],
)
def test_the_term_asked_for(term: Term, given: dict[str, Any], cover: tuple[date, date] | None) -> None:
    """A policy would be a day too long or too short, or a strange number end in an error of ours."""
    assert cover_of(term, given) == (Cover(*cover) if cover else None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
)
strange = st.dictionaries(
    st.sampled_from(["plate", "drivers", "use", "trailer", "other"]),
    json_values
    | st.lists(st.fixed_dictionaries({"birth_date": json_values, "licence_since": st.dates().map(str)}), max_size=2)
    | st.fixed_dictionaries({"starts_on": st.dates().map(str), "months": json_values}),
)


@given(strange)
def test_whatever_is_sent_is_either_fine_or_explained(given_answers: dict[str, Any]) -> None:
    """A hostile body would end in an error of ours instead of a list of faults."""
    known = KnownProduct(product("one"))
    faults = faults_of(known, known.check.tidied(given_answers), TODAY)
    if not faults:
        assert cover_of(BY_MONTHS, given_answers) is not None


# ---------------------------------------------------------------- in words


def test_answers_are_told_in_words_in_the_order_of_the_questions() -> None:
    """The policy and the order page would show codes instead of what was answered."""
    given_answers = answers(trailer=False)
    assert in_words(QUESTIONS, given_answers) == (
        LabelledValue(label=Text("Госномер", "Plate"), value=Text("А123ВС77", "А123ВС77")),
        LabelledValue(label=Text("Прицеп", "Trailer"), value=Text("Нет", "No")),
        LabelledValue(
            label=Text("Водитель 1: дата рождения", "Driver 1: date of birth"), value=Text("05.05.1990", "05.05.1990")
        ),
        LabelledValue(
            label=Text("Водитель 1: права с", "Driver 1: licensed since"), value=Text("01.06.2010", "01.06.2010")
        ),
        LabelledValue(label=Text("Первый день", "First day"), value=Text("26.11.2026", "26.11.2026")),
        LabelledValue(label=Text("Срок", "Period"), value=Text("Год", "A year")),
    )


@pytest.mark.parametrize("code", ["osago", "mortgage", "travel"])
def test_every_product_we_sell_can_be_told_in_words(code: str) -> None:
    """A policy of a real product would lack answers, or show them as the API writes them."""
    file = files("insuretech") / "catalogue" / "data" / "products" / f"{code}.yaml"
    question_set = yaml.safe_load(file.read_text("utf-8"))["question_set"]
    told = in_words(question_set, ANSWERS[code]())
    assert len(told) >= 8
    for line in told:
        assert line.label.ru
        assert line.label.en.isascii() or line.label.en != line.label.ru
        assert line.value.ru
        assert line.value.ru not in {"true", "false", "personal", "individual", "life_property", "schengen", "flat"}


def test_an_answer_to_a_question_that_does_not_apply_is_left_out() -> None:
    """A list of drivers left behind would be printed on a policy without limits on drivers."""
    questions = {
        "properties": {
            "limited": {"type": "boolean", "x-label": {"ru": "Кто", "en": "Who"}},
            "age": {"x-label": {"ru": "Возраст", "en": "Age"}, "x-when": {"field": "/limited", "in": [True]}},
        }
    }
    assert len(in_words(questions, {"limited": True, "age": 5})) == 2
    assert len(in_words(questions, {"limited": False, "age": 5})) == 1
