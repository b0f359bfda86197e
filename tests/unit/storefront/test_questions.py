"""The wizard's rules: any question set becomes pages, and what people write becomes answers."""

from typing import Any

import pytest

from insuretech.contracts.answers import AnswerCheck
from insuretech.storefront.domain.drawing import blocks, choices_of, shown_value, widget_of
from insuretech.storefront.domain.fields import Field, Repeat, fields_of, without_echo
from insuretech.storefront.domain.reading import add_entry, meaning, pruned, read_answers, remove_entry, typed
from tests.unit.storefront.fake_marketplace import product_from_file

PRODUCTS = ("osago", "mortgage", "travel")


@pytest.mark.parametrize("code", PRODUCTS)
def test_every_question_of_every_product_is_on_a_page(code: str) -> None:
    """Without it an answer the insurers need could never be given."""
    product = product_from_file(code)
    named = {field for step in product.steps for field in step.fields}
    for pointer in _leaves(product.question_set, ""):
        assert any(pointer == field or pointer.startswith(f"{field}/") for field in named), pointer


def _leaves(schema: dict[str, Any], pointer: str) -> list[str]:
    if "properties" in schema:
        return [leaf for name, child in schema["properties"].items() for leaf in _leaves(child, f"{pointer}/{name}")]
    return [pointer]


@pytest.mark.parametrize("code", PRODUCTS)
@pytest.mark.parametrize("language", ["ru", "en"])
def test_every_question_has_a_label_and_every_choice_its_words(code: str, language: Any) -> None:
    """Without it a person would be asked with a blank, or offered a code."""
    product = product_from_file(code)
    for step in product.steps:
        for item in fields_of(blocks(product.question_set, step.fields, {}, {}, language)):
            assert item.label, item.name
            assert all(option.label for option in item.options), item.name
            assert item.widget not in {"choice", "select"} or item.options, item.name


@pytest.mark.parametrize("code", PRODUCTS)
def test_the_first_choice_of_everything_makes_a_complete_set_of_answers(code: str) -> None:
    """Without it a product could have a wizard that nobody gets through."""
    product = product_from_file(code)
    check = AnswerCheck(product.question_set)
    answers: dict[str, Any] = {}
    for _ in range(3):  # some questions appear only after others are answered
        for step in product.steps:
            drawn = blocks(product.question_set, step.fields, answers, {}, "ru")
            answers = typed(product.question_set, read_answers(drawn, _filling(drawn), answers))
    faults = check.faults(check.tidied(pruned(product.question_set, answers)))
    assert not faults, [(fault.pointer, fault.code) for fault in faults]


def _filling(drawn: Any) -> Any:
    """Fills each field with what is there, its first choice, or its example."""
    fields = {item.name: item for item in fields_of(drawn)}
    plates = {"plate": "А123ВС77", "suggest": "Москва"}

    def given(name: str) -> list[str]:
        item = fields[name]
        if item.value:
            return [item.value]
        if item.options:
            return [item.options[0].value]
        return [item.example or plates.get(item.widget, "")]

    return given


@pytest.mark.parametrize(
    ("question", "text", "expected"),
    [
        ({"type": "string", "format": "date"}, "5.05.1990", "1990-05-05"),
        ({"type": "string", "format": "date"}, "05051990", "1990-05-05"),
        ({"type": "string", "format": "date"}, "31.02.1990", "31.02.1990"),
        ({"type": "string", "format": "date"}, "позавчера", "позавчера"),
        ({"type": "integer"}, "2 019", 2019),
        ({"type": "integer"}, "2019,5", "2019,5"),
        ({"type": "integer"}, "сто", "сто"),
        ({"type": "integer"}, "1" * 400, "1" * 400),
        ({"type": "integer"}, "1e9", 1000000000),
        ({"type": "number"}, "1,5", 1.5),
        ({"type": "number"}, "NaN", "NaN"),
        ({"type": "number"}, "Infinity", "Infinity"),
        ({"type": "string", "x-widget": "number", "x-decimal": {}}, "87,50", "87.50"),
        ({"type": "string", "x-widget": "money", "x-decimal": {}}, "4 500 000", "4500000"),
        ({"type": "boolean"}, "true", True),
        ({"type": "boolean"}, "maybe", "maybe"),
        ({"type": "string"}, " Lada ", " Lada "),
    ],
)
def test_what_people_write_is_understood_or_kept_as_written(question: Any, text: str, expected: Any) -> None:
    """Without it a usual way of writing would be refused, or a wrong one silently become something else."""
    found = meaning(question, text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("widget", "value", "expected"),
    [
        ("date", "1990-05-05", "05.05.1990"),
        ("date", "31.02.1990", "31.02.1990"),
        ("phone", "79261234567", "+7 926 123-45-67"),
        ("money", 4500000, "4 500 000"),
        ("yesno", True, "true"),
        ("text", None, ""),
    ],
)
def test_answers_are_shown_as_people_write_them(widget: str, value: Any, expected: str) -> None:
    """Without it a person would meet their own answer in the API's spelling."""
    assert shown_value(widget, value) == expected


def test_entries_come_and_go_without_touching_their_neighbours() -> None:
    """Without it removing one driver would change another."""
    answers = {"list": [{"name": "А"}, {"name": "Б"}, {"name": "В"}]}
    assert remove_entry(answers, "/list", 1) == {"list": [{"name": "А"}, {"name": "В"}]}
    assert add_entry(answers, "/list", 3)["list"][3] == {}
    assert remove_entry(answers, "/list", 9) == answers
    assert answers["list"][1] == {"name": "Б"}, "the answers given in stay as they were"


def test_answers_to_questions_that_no_longer_apply_are_left_out() -> None:
    """Without it a changed mind would leave answers behind that insurers refuse."""
    schema = {
        "type": "object",
        "properties": {
            "limited": {"type": "boolean"},
            "list": {
                "type": "array",
                "items": {"type": "object", "properties": {"name": {"type": "string"}}},
                "x-when": {"field": "/limited", "in": [True]},
            },
        },
    }
    answers = {"limited": False, "list": [{"name": "А"}], "unknown": 1}
    assert pruned(schema, answers) == {"limited": False}
    assert pruned(schema, {**answers, "limited": True}) == {"limited": True, "list": [{"name": "А"}]}


def test_a_list_shows_as_many_entries_as_it_must_have() -> None:
    """Without it the first driver could be named only after pressing “add”."""
    product = product_from_file("travel")
    (drawn,) = blocks(product.question_set, ["/travellers"], {}, {}, "ru")
    assert isinstance(drawn, Repeat)
    assert len(drawn.groups) == 1
    assert not drawn.can_remove
    assert drawn.can_add


def test_choices_keep_the_order_of_the_question_set() -> None:
    """Without it a list of classes would stand in the order of its labels."""
    question = {"enum": ["b", "a", "c"], "x-options": {"a": {"ru": "А"}, "b": {"ru": "Б"}}}
    assert [value for value, _ in choices_of(question)] == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ({"type": "string", "enum": ["a", "b"]}, "choice"),
        ({"type": "string", "enum": list("abcdefgh")}, "select"),
        ({"type": "boolean"}, "yesno"),
        ({"type": "array", "items": {"enum": ["a"]}}, "checks"),
        ({"type": "string", "format": "date"}, "date"),
        ({"type": "string", "x-mask": "vin"}, "vin"),
        ({"type": "string", "x-widget": "territory"}, "suggest"),
        ({"type": "string", "x-widget": "hologram"}, "text"),
    ],
)
def test_a_question_without_instructions_is_still_drawn(question: Any, expected: str) -> None:
    """Without it a new product would need code before it could be sold."""
    assert widget_of(question) == expected


def test_a_headline_is_not_repeated_by_its_question() -> None:
    """Without it a page would ask the same thing twice, one below the other."""
    fields = [Field(name="/a", label="Куда едете"), Field(name="/b", label="Когда")]
    assert [item.echoes for item in fields_of(without_echo(fields, "Куда едете?"))] == [True, False]
