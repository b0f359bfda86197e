"""What callers get told when something is wrong, through the very edge that every process has."""

import json

import httpx
import pytest
from litestar.testing import RequestFactory
from structlog.testing import capture_logs

from insuretech.kit.problems import AGAIN_AFTER
from insuretech.kit.web import matches_etag
from tests.system.hostile import BODIES, faults_of, mutants, problem_faults
from tests.unit.kit.edge import THING, ask_raw, client, edge

ONE = f"/things/{THING['id']}"
JSON = {"content-type": "application/json"}


async def post(body: object, **headers: str) -> httpx.Response:
    """Send a body to the handler that takes things."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with client() as one:
        return await one.post("/things", content=content, headers=headers or JSON)


def errors(response: httpx.Response) -> set[tuple[str, str]]:
    """Pointer and code of every field error."""
    assert response.status_code == 422, response.text
    return {(error["pointer"], error["code"]) for error in response.json()["errors"]}


# ---------------------------------------------------------------- bodies


async def test_a_good_body_arrives_unchanged() -> None:
    """Otherwise the checks themselves would spoil what people send."""
    response = await post(THING)
    assert response.status_code == 201
    assert response.json() | {"tags": [], "answers": {}} == {**THING, "owner": {**THING["owner"], "phone": None}} | {
        "tags": [],
        "answers": {},
    }


async def test_all_wrong_fields_are_named_at_once() -> None:
    """Otherwise people mend one field, send, and are told of the next one."""
    response = await post(
        {
            "id": "nonsense",
            "owner": {"name": "", "birth_date": "2026-02-30", "phone": "+7 916", "a/b~c": 1},
            "price": {"amount": "1", "currency": "RUB"},
            "count": 1001,
            "at": "2026-11-22T12:00:00+03:00",
            "tags": ["a", "b", "c", "d"],
        }
    )
    assert errors(response) == {
        ("/id", "format"),
        ("/owner/name", "minLength"),
        ("/owner/birth_date", "format"),
        ("/owner/phone", "anyOf"),
        ("/owner/a~1b~0c", "unknown"),
        ("/share", "required"),
        ("/count", "maximum"),
        ("/tags", "maxItems"),
    }


async def test_what_only_the_type_itself_knows_is_named_with_its_field() -> None:
    """Otherwise an amount with three decimals is refused without saying where."""
    response = await post({**THING, "price": {"amount": "1.234", "currency": "RUB"}})
    assert errors(response) == {("/price", "value")}
    assert "two decimal places" in response.json()["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("count", "3"), ("share", 0.77), ("at", 1700000000), ("id", 7), ("count", True), ("count", 3.5), ("tags", "a")],
)
async def test_types_are_taken_at_their_word(field: str, value: object) -> None:
    """Otherwise a number becomes a moment in 1970, and the description of the API lies."""
    assert {pointer for pointer, _ in errors(await post({**THING, field: value}))} == {f"/{field}"}


@pytest.mark.parametrize("name", BODIES)
async def test_rubbish_is_a_client_error_with_a_document(name: str) -> None:
    """Otherwise a broken client sees a stack trace, and we search for a bug that is not ours."""
    assert faults_of(await post(BODIES[name])) == []


async def test_a_body_with_one_thing_wrong_is_taken_or_explained() -> None:
    """Otherwise some odd value breaks the server instead of being refused."""
    async with client() as one:
        for name, body in mutants(THING):
            response = await one.post("/things", content=json.dumps(body).encode(), headers=JSON)
            assert response.status_code == 201 or faults_of(response) == [], name


@pytest.mark.parametrize("depth", [40, 200, 900])
async def test_deep_nesting_is_refused_also_where_anything_goes(depth: int) -> None:
    """Otherwise a few hundred brackets exhaust the stack of whatever walks the answers later."""
    answers = f'{{"a":{"[" * depth}{"]" * depth}}}'
    body = json.dumps(THING)[:-1] + f', "answers": {answers}}}'
    response = await post(body.encode())
    assert response.status_code == 400
    assert "levels deep" in response.json()["detail"]


async def test_sensible_nesting_is_taken() -> None:
    """Otherwise a question set with lists of drivers could not be answered."""
    answers = {"drivers": {"list": [{"licences": [{"categories": ["B", "C"]}]}]}}
    assert (await post({**THING, "answers": answers})).status_code == 201


@pytest.mark.parametrize("text", ["a\0b", "\x01", "\x1f", "\ufffe"])
async def test_characters_that_cannot_be_kept_are_refused_with_their_place(text: str) -> None:
    """Otherwise PostgreSQL refuses the row, or an insurer our XML, and the buyer gets an error of ours."""
    assert errors(await post({**THING, "answers": {"list": [{"plate": text}]}})) == {
        ("/answers/list/0/plate", "character")
    }
    assert errors(await post({**THING, "answers": {text: 1}})) == {("/answers", "character")}


async def test_letters_of_all_scripts_and_line_breaks_are_taken() -> None:
    """Otherwise a guard against control characters would refuse people's names and addresses."""
    for text in ("Пётр\n\tI\r\n", "王小明", "🜚💥", "a\u0301", "O'Brien — «д’Артаньян»"):
        assert (await post({**THING, "answers": {"a": text}})).status_code == 201


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/problem+json",
        "application/json; charset=utf-16",
        ";;;",
        "",
    ],
)
async def test_other_content_types_are_refused(kind: str) -> None:
    """Otherwise a form on a foreign page can post on the buyer's behalf without asking the browser first."""
    response = await post(THING, **{"content-type": kind})
    assert (response.status_code, problem_faults(response)) == (415, [])


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"']
)
async def test_json_is_known_in_any_spelling(kind: str) -> None:
    """Otherwise clients that name the charset are sent away."""
    assert (await post(THING, **{"content-type": kind})).status_code == 201


# ---------------------------------------------------------------- limits


async def test_a_body_announced_too_large_is_refused_unread() -> None:
    """Otherwise ten megabytes are read into memory before anybody looks at them."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"10485760")]
    answer = await ask_raw(edge(), "/things", [], headers=headers)
    assert (answer.status, answer.problem["type"]) == (413, "https://example.org/problems/body-too-large")
    assert answer.headers["connection"] == "close", "the rest of the body must not be taken for the next request"


@pytest.mark.parametrize("path", ["/things", "/raw"])
async def test_a_body_in_pieces_is_refused_once_it_is_too_large(path: str) -> None:
    """Otherwise leaving out Content-Length is all it takes to fill the memory."""
    pieces = [b" " * 400_000] * 100
    app = edge(body_limit=1_000_000)
    answer = await ask_raw(app, path, pieces)
    assert answer.status == 413
    assert answer.problem["detail"] == "At most 1000000 bytes."


async def test_a_body_just_at_the_limit_is_taken() -> None:
    """Otherwise the limit that we state is not the limit that we keep."""
    answer = await ask_raw(edge(body_limit=1000), "/raw", [b"x" * 600, b"x" * 400])
    assert (answer.status, answer.body) == (200, b"1000")


@pytest.mark.parametrize("path", ["/things", "/raw"])
async def test_a_body_that_dribbles_in_is_cut_off(path: str) -> None:
    """Otherwise a handful of slow clients hold all our requests open (slowloris)."""
    answer = await ask_raw(edge(body_time_limit=0.15), path, [b"{"] + [b" "] * 100, pause=0.04)
    assert (answer.status, answer.problem["type"]) == (408, "https://example.org/problems/body-too-slow")


async def test_an_empty_body_is_refused_where_one_is_needed() -> None:
    """Otherwise a handler would be called without what it needs."""
    assert (await post(b"")).status_code == 400


# ---------------------------------------------------------------- addresses and parameters


@pytest.mark.parametrize(
    "path", ["/nowhere", "/things/not-a-uuid", f"{ONE}/more", "/things/%00", "/things/%ff", "/%2e%2e/x"]
)
async def test_unknown_addresses_are_not_found(path: str) -> None:
    """Otherwise a mistyped address looks like a fault of ours."""
    async with client() as one:
        response = await one.get(path)
    assert (response.status_code, problem_faults(response)) == (404, [])


@pytest.mark.parametrize("path", ["/broken/a\0b", "/broken/\udcff"])
async def test_addresses_nothing_can_be_stored_under_are_not_found(path: str) -> None:
    """Otherwise a policy number with U+0000 in it reaches the database and comes back as an error of ours."""
    answer = await ask_raw(edge(), path, [b""], method="GET")
    assert (answer.status, answer.problem["type"]) == (404, "https://example.org/problems/not-found")


async def test_every_wrong_parameter_is_named() -> None:
    """Otherwise a caller is left to guess which part of the address is meant."""
    async with client() as one:
        response = await one.get(ONE, params={"limit": "abc", "day": "2026-02-30"}, headers={"version": "x"})
    assert (response.status_code, problem_faults(response)) == (400, [])
    for name in ("limit:", "day:", "version:"):
        assert name in response.json()["detail"]


async def test_a_query_with_nul_is_refused() -> None:
    """Otherwise it reaches the database."""
    answer = await ask_raw(edge(), ONE, [b""], method="GET", query=b"day=%00")
    assert answer.status == 400


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "TRACE", "FOO"])
async def test_methods_that_are_not_there_are_told_with_those_that_are(method: str) -> None:
    """Otherwise a caller cannot tell a wrong method from a wrong address (RFC 9110, 15.5.6)."""
    async with client() as one:
        response = await one.request(method, "/things")
    assert (response.status_code, problem_faults(response)) == (405, [])
    assert set(response.headers["allow"].split(", ")) >= {"POST"}


# ---------------------------------------------------------------- documents


async def test_a_problem_carries_everything_a_caller_can_use() -> None:
    """Otherwise programs must parse sentences, and support cannot find the request in the logs."""
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    body = {**THING, "owner": {"name": "conflict", "birth_date": "2000-01-01"}}
    response = await post(body, traceparent=f"00-{trace}-00f067aa0ba902b7-01", **JSON)
    assert response.json() == {
        "type": "https://example.org/problems/already-there",
        "title": "The thing is in a state that does not allow this",
        "status": 409,
        "detail": "There is one.",
        "instance": "/things",
        "trace_id": trace,
    }
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["retry-after"] == "3"
    assert response.headers["cache-control"] == "no-store"


async def test_field_errors_of_handlers_look_like_those_of_the_edge() -> None:
    """Otherwise a form has to know two ways of marking a field."""
    response = await post({**THING, "owner": {"name": "fields", "birth_date": "2000-01-01"}})
    assert errors(response) == {("/owner/name", "taken")}


async def test_a_bug_is_logged_and_tells_the_caller_nothing() -> None:
    """Otherwise a stack trace shows strangers our insides, or we never learn of the bug."""
    with capture_logs() as logs:
        async with client() as one:
            response = await one.get("/broken/bug")
    assert (response.status_code, problem_faults(response)) == (500, [])
    assert "secret" not in response.text
    assert [entry["event"] for entry in logs] == ["request.failed"]


async def test_a_part_that_is_away_is_try_again() -> None:
    """Otherwise clients give up on a purchase although a moment later all would be well."""
    async with client() as one:
        response = await one.get("/broken/storage")
    assert (response.status_code, problem_faults(response)) == (503, [])
    assert int(response.headers["retry-after"]) in AGAIN_AFTER
    assert "/secret/path" not in response.text


@pytest.mark.parametrize("header", ["", "nonsense", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "00-XYZ-1-01"])
async def test_without_a_usable_trace_a_new_one_is_begun(header: str) -> None:
    """Otherwise all such requests look like one in the logs."""
    seen = set()
    for _ in range(2):
        response = await post(b"{", traceparent=header, **JSON)
        seen.add(response.json()["trace_id"])
    assert len(seen) == 2
    assert all(len(trace) == 32 for trace in seen)


async def test_the_description_names_every_field_and_problem() -> None:
    """Otherwise generated clients do not know our errors."""
    async with client() as one:
        description = (await one.get("/schema/openapi.json")).json()
    answers = description["paths"]["/things"]["post"]["responses"]
    assert {"201", "400", "404", "405", "409", "413", "415", "422", "500", "503"} == answers.keys()
    assert all("application/problem+json" in answers[status]["content"] for status in answers if status > "299")


@pytest.mark.parametrize(
    ("header", "same"),
    [('"a"', True), ('W/"a"', True), ('"b", W/"a"', True), ("*", True), ('"b"', False), ("", False), ("a", False)],
)
async def test_etags_are_compared_weakly(header: str, same: bool) -> None:
    """Otherwise proxies that weaken our ETag make every page load whole (RFC 9110, 8.8.3.2)."""
    request = RequestFactory().get("/", headers={"if-none-match": header})
    assert matches_etag(request, '"a"') is same
