"""Setting the sandbox by API and by its page, and what it shows of the calls it got."""

import re
from html import unescape
from typing import Any

import httpx
import pytest

from insuretech.kit.ids import new_id
from tests.service.sandbox.stage import ASKED, RunningSandbox, issue, offer, reserve

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def behaviour(sandbox: RunningSandbox, code: str = ASKED) -> Any:
    """How an insurer behaves now."""
    path = "payments" if code == "payments" else f"insurers/{code}"
    return (await sandbox.http.get(f"{sandbox.url}/sandbox/api/{path}")).json()


async def put(sandbox: RunningSandbox, body: object, path: str = f"insurers/{ASKED}") -> httpx.Response:
    """The answer to setting something."""
    return await sandbox.http.put(f"{sandbox.url}/sandbox/api/{path}", json=body)


# ------------------------------------------------------------ API


async def test_what_is_left_out_stays(sandbox: RunningSandbox) -> None:
    """Otherwise setting one switch resets all others unseen."""
    before = await behaviour(sandbox)

    answer = await put(sandbox, {"issue": "refuse"})

    assert answer.status_code == 200
    assert answer.json() == await behaviour(sandbox) == {**before, "issue": "refuse"}


async def test_what_was_read_can_be_sent_back(sandbox: RunningSandbox) -> None:
    """Otherwise a script that changes one field of what it read is refused."""
    await put(sandbox, {"premium": {"amount": "10.00", "currency": "RUB"}, "outcome": {"offer": 2, "down": 1}})
    document = await behaviour(sandbox)

    assert (await put(sandbox, document)).json() == document
    assert (await put(sandbox, {"premium": None})).json() == {**document, "premium": None}
    provider = await behaviour(sandbox, "payments")
    assert (await put(sandbox, provider, "payments")).json() == provider


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"delay_min_ms": -1}, "/delay_min_ms"),
        ({"failure_rate": 2}, "/failure_rate"),
        ({"failures": []}, "/failures"),
        ({"failures": ["sulks"]}, "/failures/0"),
        ({"outcome": {}}, "/outcome"),
        ({"issue": "perhaps"}, "/issue"),
        ({"delay_min": 5}, "/delay_min"),
        ({"premium": {"amount": "0", "currency": "RUB"}}, "/premium"),
        ({"premium": {"amount": "1", "currency": "USD"}}, "/premium"),
    ],
)
async def test_what_cannot_be_set_is_named(sandbox: RunningSandbox, body: dict[str, object], pointer: str) -> None:
    """Otherwise a typing error leaves an insurer as it was, and the rehearsal rehearses nothing."""
    before = await behaviour(sandbox)

    answer = await put(sandbox, body)

    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert await behaviour(sandbox) == before


async def test_unknown_insurers_are_not_found(sandbox: RunningSandbox) -> None:
    """Otherwise a script that misspells an insurer believes to have set it."""
    assert (await put(sandbox, {}, "insurers/nobody")).status_code == 404
    assert (await sandbox.http.get(f"{sandbox.url}/sandbox/api/insurers/nobody")).status_code == 404


async def test_reset_restores_characters_and_keeps_the_books(sandbox: RunningSandbox) -> None:
    """Otherwise starting over loses the evidence, or leaves somebody out of character."""
    original = await behaviour(sandbox)
    order, offered = new_id(), await offer(sandbox)
    reserved = await reserve(sandbox, order, offered["offerId"])
    await issue(sandbox, order, offered["offerId"], reserved["premiumKopecks"])
    await put(sandbox, {"outcome": "down"})
    await put(sandbox, {"access": "down"}, "payments")
    url = f"{sandbox.url}/sandbox/api/reset"

    assert (await sandbox.http.post(url)).status_code == 204

    restored = await behaviour(sandbox)
    assert restored == {**original, "delay_min_ms": 250, "delay_max_ms": 600}
    assert (await behaviour(sandbox, "payments"))["access"] == "ok"
    assert len((await sandbox.books())["policies"]) == 1
    await sandbox.http.post(url, json={"books": True})
    assert await sandbox.books() == {"policies": [], "payments": []}


# ------------------------------------------------------------ calls


async def test_calls_are_shown_without_personal_data(sandbox: RunningSandbox) -> None:
    """Otherwise the page for everyone shows whose car is insured, and their passport."""
    order, offered = new_id(), await offer(sandbox)
    await issue(sandbox, order, offered["offerId"], offered["premiumKopecks"])

    issued, asked = await sandbox.calls(ASKED)

    shown = str([issued, asked])
    for secret in ("Ёлкина", "Анна", "1990-05-05", "anna@", "79001234567", "4510123456", "А123ВС77", "2010-06-07"):
        assert secret not in shown, secret
    assert asked["asked"]["owner"]["territory"] == "Москва"
    assert (asked["operation"], asked["dialect"]) == ("request_offer", "json_polling")
    assert asked["answer"].startswith("offered ")
    assert (issued["operation"], issued["reference"]) == ("issue", str(order))
    assert issued["answer"].startswith("issue_refused")


async def test_only_the_latest_calls_are_kept(sandbox: RunningSandbox) -> None:
    """Otherwise a long rehearsal eats the memory."""
    url = f"{sandbox.url}/sandbox/insurers/{ASKED}/v2/calculations/{new_id()}"
    for _ in range(105):
        await sandbox.http.get(url, headers={"X-Api-Key": "a secret of this test"})

    assert len(await sandbox.calls(ASKED)) == 100


# ------------------------------------------------------------ page


def form_of(page: str, code: str) -> dict[str, list[str]]:
    """What a browser would send back of an insurer's form if nothing were changed."""
    forms = page.split(f'<form method="post" action="/sandbox/settings/{code}">')
    form = forms[2].partition("</form>")[0]  # the first has the ready-made moods
    fields: dict[str, list[str]] = {}
    for name, rest in re.findall(r'<input name="(\w+)" (value="[^"]*")', form):
        fields[name] = [unescape(rest[7:-1])]
    for name, value, checked in re.findall(r'type="checkbox" name="(\w+)" value="([^"]*)" (checked)?', form):
        fields.setdefault(name, []).extend([value] if checked else [])
    for name, options in re.findall(r'<select name="(\w+)">(.*?)</select>', form, re.DOTALL):
        fields[name] = (
            re.findall(r"<option selected>([^<]*)<", options) or re.findall(r"<option >([^<]*)<", options)[:1]
        )
    return {name: values for name, values in fields.items() if values}


async def test_the_page_shows_everything_and_needs_no_script(sandbox: RunningSandbox) -> None:
    """Otherwise a person without the documentation at hand cannot rehearse anything."""
    page = await sandbox.http.get(f"{sandbox.url}/sandbox?refresh=5&insurer={ASKED}")

    assert page.status_code == 200
    assert page.text.count('<article class="card"') == 11
    assert '<meta http-equiv="refresh" content="5">' in page.text
    assert "<script" not in page.text
    assert not re.search(r"\sstyle=|\son\w+=", page.text)
    assert "default-src 'none'; style-src 'self'" in page.headers["content-security-policy"]
    style = await sandbox.http.get(f"{sandbox.url}/sandbox/static/sandbox.css")
    assert (style.status_code, style.headers["content-type"]) == (200, "text/css; charset=utf-8")


@pytest.mark.parametrize("code", ["peremena", "mercator", "payments"])
async def test_sending_a_form_back_unchanged_changes_nothing(sandbox: RunningSandbox, code: str) -> None:
    """Otherwise setting one field on the page changes another."""
    if code != "payments":
        await put(
            sandbox,
            {"outcome": {"offer": 2.5, "decline": 1}, "premium": {"amount": "7.50", "currency": "RUB"}},
            f"insurers/{code}",
        )
    before = await behaviour(sandbox, code)
    form = form_of((await sandbox.http.get(f"{sandbox.url}/sandbox")).text, code)

    answer = await sandbox.http.post(f"{sandbox.url}/sandbox/settings/{code}", data=form)

    assert (answer.status_code, answer.headers["location"]) == (303, f"/sandbox#{code}")
    assert await behaviour(sandbox, code) == before


async def test_the_page_sets_what_is_filled_in(sandbox: RunningSandbox) -> None:
    """Otherwise the page only looks like a control."""
    form = form_of((await sandbox.http.get(f"{sandbox.url}/sandbox")).text, ASKED)
    filled = {
        **form,
        "issue": ["refuse"],
        "outside_corridor": ["true"],
        "premium": ["12,50"],
        "failures": ["hang", "down"],
    }
    settings = f"{sandbox.url}/sandbox/settings/{ASKED}"

    await sandbox.http.post(settings, data=filled)

    now = await behaviour(sandbox)
    assert (now["issue"], now["outside_corridor"], now["failures"]) == ("refuse", True, ["hang", "down"])
    assert now["premium"] == {"amount": "12.50", "currency": "RUB"}
    page = (await sandbox.http.get(f"{sandbox.url}/sandbox")).text
    assert "issue = refuse" in page, "what is out of character is pointed out"
    await sandbox.http.post(settings, data={"preset": "character"})
    assert (await behaviour(sandbox))["issue"] == "ok"


async def test_a_wrong_form_says_why_and_sets_nothing(sandbox: RunningSandbox) -> None:
    """Otherwise a person wonders why nothing has changed."""
    before = await behaviour(sandbox)
    settings = f"{sandbox.url}/sandbox/settings/{ASKED}"

    wrongs: list[dict[str, Any]] = [
        {"delay_min_ms": "soon"},
        {"mix": "offer"},
        {"mix": "sulk=1"},
        {"premium": "-1"},
        {"failures": []},
    ]
    for wrong in wrongs:
        answer = await sandbox.http.post(settings, data={"failures": ["down"], **wrong})
        assert answer.status_code == 422, wrong
        assert 'role="alert"' in answer.text

    assert await behaviour(sandbox) == before


async def test_another_site_cannot_set_the_sandbox(sandbox: RunningSandbox) -> None:
    """Otherwise any page a developer visits can turn the rehearsal upside down."""
    before = await behaviour(sandbox)

    answer = await sandbox.http.post(
        f"{sandbox.url}/sandbox/settings/{ASKED}",
        data={"preset": "plain"},
        headers={"Sec-Fetch-Site": "cross-site"},
    )

    assert answer.status_code >= 400
    assert await behaviour(sandbox) == before


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"action=%FF%FE", "application/x-www-form-urlencoded"),
        (b"action=pay%00", "application/x-www-form-urlencoded"),
        (b"&" * 5000, "application/x-www-form-urlencoded"),
        (b"a=1&" * 5000, "application/x-www-form-urlencoded"),
        (b"--x\r\nnonsense", "multipart/form-data; boundary=x"),
        (b"nonsense", "multipart/form-data"),
        (b'{"action": "pay"}', "application/json"),
        (b"\xff\xfe\x00", ""),
    ],
)
async def test_hostile_forms_are_a_fault_of_the_sender(
    sandbox: RunningSandbox, content: bytes, content_type: str
) -> None:
    """Otherwise anyone can fill the log with stack traces."""
    for path in (f"pay/{new_id()}", f"settings/{ASKED}", "settings/nobody"):
        answer = await sandbox.http.post(
            f"{sandbox.url}/sandbox/{path}", content=content, headers={"Content-Type": content_type}
        )
        assert 300 <= answer.status_code < 500, (path, answer.text)
