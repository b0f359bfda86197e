"""Answers are checked all at once, in words, at the field."""

from datetime import date
from typing import Any

import pytest

from insuretech.contracts.answers import AnswerCheck, at_pointer, question_at, tidied_text

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["car", "trip"],
    "properties": {
        "car": {
            "type": "object",
            "additionalProperties": False,
            "required": ["make"],
            "anyOf": [{"required": ["plate"]}, {"required": ["vin"]}],
            "x-any-of": {"at": "plate", "text": {"ru": "Номер или VIN.", "en": "Plate or VIN."}},
            "properties": {
                "make": {"type": "string", "minLength": 1, "maxLength": 5},
                "plate": {
                    "type": "string",
                    "pattern": "^[АВЕКМНОРСТУХ][0-9]{3}$",
                    "x-mask": "plate",
                    "x-error": {"ru": "Как А123.", "en": "Like A123."},
                },
                "vin": {"type": "string", "x-mask": "vin"},
                "price": {"type": "string", "pattern": "^[0-9,.]+$", "x-decimal": {"min": "10", "max": "20.5"}},
                "year": {"type": "integer", "minimum": 1900, "maximum": 2100},
                "colour": {"enum": ["red", "blue"]},
            },
        },
        "trip": {
            "type": "object",
            "required": ["from"],
            "properties": {
                "from": {"type": "string", "format": "date", "x-date": {"earliest": "today", "latest": "today+60d"}},
                "to": {
                    "type": "string",
                    "format": "date",
                    "x-date": {"earliest": "/trip/from", "latest": "/trip/from+1y"},
                },
                "people": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": 2,
                    "uniqueItems": True,
                    "items": {
                        "type": "object",
                        "required": ["born"],
                        "properties": {"born": {"type": "string", "format": "date", "x-date": {"latest": "today-18y"}}},
                    },
                },
            },
        },
    },
}
TODAY = date(2026, 3, 1)
GOOD: dict[str, Any] = {
    "car": {"make": "Lada", "plate": "А123"},
    "trip": {"from": "2026-03-01", "to": "2027-03-01", "people": [{"born": "2008-03-01"}]},
}


@pytest.fixture(scope="module")
def check() -> AnswerCheck:
    """The small question set above."""
    return AnswerCheck(SCHEMA)


def test_good_answers_have_no_faults(check: AnswerCheck) -> None:
    """A buyer with everything right, on every boundary, must get through."""
    assert check.faults(GOOD, TODAY) == []


@pytest.mark.parametrize(
    ("group", "name", "value", "pointer", "code", "sentence"),
    [
        ("car", "plate", "Z1", "/car/plate", "pattern", "Как А123."),
        ("car", "make", "", "/car/make", "minLength", "Слишком короткий ответ."),
        ("car", "make", "Toyota", "/car/make", "maxLength", "Слишком длинный ответ."),
        ("car", "make", 5, "/car/make", "type", "Ответ записан не в том виде."),
        ("car", "price", "9,99", "/car/price", "minimum", "Не меньше 10."),
        ("car", "price", "20.51", "/car/price", "maximum", "Не больше 20.5."),
        ("car", "year", 1899, "/car/year", "minimum", "Не меньше 1900."),
        ("car", "year", 2101, "/car/year", "maximum", "Не больше 2100."),
        ("car", "colour", "green", "/car/colour", "enum", "Выберите один из предложенных вариантов."),
        ("car", "wings", 2, "/car/wings", "unknown", "Такого поля нет в этой анкете."),
        ("car", "a/b~c", 2, "/car/a~1b~0c", "unknown", "Такого поля нет в этой анкете."),
        ("trip", "from", "2026-02-30", "/trip/from", "format", "Укажите дату, которая есть в календаре."),
        ("trip", "from", "2026-02-28", "/trip/from", "minimum", "Не раньше 01.03.2026."),
        ("trip", "from", "2026-05-01", "/trip/from", "maximum", "Не позже 30.04.2026."),
        ("trip", "to", "2026-02-28", "/trip/to", "minimum", "Не раньше 01.03.2026."),
        ("trip", "to", "2027-03-02", "/trip/to", "maximum", "Не позже 01.03.2027."),
        ("trip", "people", [], "/trip/people", "minItems", "Добавьте хотя бы одну запись."),
        ("trip", "people", [{"born": f"200{n}-01-01"} for n in range(3)], "/trip/people", "maxItems", "Не больше 2."),
        ("trip", "people", [{"born": "2000-01-01"}] * 2, "/trip/people", "uniqueItems", "Есть одинаковые записи."),
        ("trip", "people", [{"born": "2008-03-02"}], "/trip/people/0/born", "maximum", "Не позже 01.03.2008."),
        ("trip", "people", [{}], "/trip/people/0/born", "required", "Ответьте на этот вопрос."),
    ],
)
def test_each_fault_has_its_field_and_its_sentence(
    check: AnswerCheck, group: str, name: str, value: object, pointer: str, code: str, sentence: str
) -> None:
    """A buyer reads what is wrong beside the field; a wrong pointer would put it beside another."""
    answers = {**GOOD, group: {**GOOD[group], name: value}}
    faults = [(fault.pointer, fault.code, fault.text.ru) for fault in check.faults(answers, TODAY)]
    if (group, name) == ("trip", "from"):
        faults = [fault for fault in faults if fault[0] == pointer]  # the end of the trip moves with its start
    assert faults == [(pointer, code, sentence)]


def test_an_empty_form_marks_every_needed_field(check: AnswerCheck) -> None:
    """Errors all at once: not one per attempt."""
    assert [fault.pointer for fault in check.faults({}, TODAY)] == ["/car/make", "/car/plate", "/trip/from"]


def test_dates_are_not_held_against_an_unknown_day(check: AnswerCheck) -> None:
    """A calculation for a past contract must not be refused because its start is past."""
    answers = {**GOOD, "trip": {"from": "2020-01-01"}}
    assert check.faults(answers) == []


def test_the_end_of_the_calendar_is_no_crash(check: AnswerCheck) -> None:
    """A hostile date at the edge of the calendar must get a sentence, not an internal error."""
    answers = {**GOOD, "trip": {"from": "9999-12-31", "to": "9999-12-31"}}
    assert [fault.pointer for fault in check.faults(answers, TODAY)] == ["/trip/from"]


def test_unknown_depths_are_not_walked_into(check: AnswerCheck) -> None:
    """A body nested a thousand deep, or text that is no Unicode, must be refused in words, not end in a crash."""
    deep: Any = {}
    for _ in range(900):
        deep = {"deeper": deep}
    for hostile in (deep, "\ud800"):
        answers = check.tidied({**GOOD, "hostile": hostile})
        assert [fault.code for fault in check.faults(answers, TODAY)] == ["unreadable"]


def test_a_whole_number_written_with_a_point_is_whole(check: AnswerCheck) -> None:
    """JSON Schema takes 2015.0 for an integer; an insurer would not."""
    tidy = check.tidied({**GOOD, "car": {**GOOD["car"], "year": 2015.0}})
    assert repr(tidy["car"]["year"]) == "2015"


@pytest.mark.parametrize(
    ("mask", "typed", "canonical"),
    [
        ("plate", "a 123-bc 77", "А123ВС77"),
        ("vin", "ХТА 210990y2765439", "XTA210990Y2765439"),
        ("kbm", " м ", "M"),
        ("phone", "+7 (900) 123-45-67", "79001234567"),
        ("phone", "8 900 123 45 67", "79001234567"),
        ("licence", "99 ab 123456", "99АВ123456"),
        ("money", "3\u00a0500 000,50", "3500000.50"),
        ("date", "2026-01-01", "2026-01-01"),
    ],
)
def test_masks_give_one_spelling(mask: str, typed: str, canonical: str) -> None:
    """The same car typed in Latin or Cyrillic letters must reach the insurer as one car."""
    assert tidied_text(mask, typed) == canonical


def test_pointers_lead_to_answers_and_questions() -> None:
    """The wizard finds each field's question by its pointer; a wrong one would render nothing."""
    assert at_pointer(GOOD, "/trip/people/0/born") == "2008-03-01"
    assert at_pointer(GOOD, "/trip/people/7/born") is None
    assert at_pointer(GOOD, "/car/make/0") is None
    question = question_at(SCHEMA, "/trip/people/0/born")
    assert question is not None
    assert question["format"] == "date"
    assert question_at(SCHEMA, "/car/nothing") is None
