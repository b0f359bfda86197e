"""A month at the desk: by pages as people do it, and by the API as programs do."""

import re

import httpx

from insuretech.contracts.statements import FetchedFile
from tests.service.settlement.desk.conftest import Desk, proof
from tests.unit.settlement.reconciliation.files import csv_file

MONTH = "/staff/settlement/bystra/2026-10"
API = "/staff/api/v1"


async def uploaded(desk: Desk, browser: httpx.AsyncClient, content: bytes) -> str:
    """Upload by the form; the address of the statement once it was read."""
    form = {"csrf": await proof(browser)}
    answer = await browser.post(f"{MONTH}/statements", data=form, files={"file": ("october.csv", content)})
    assert answer.status_code == 303, answer.text
    while await desk.office.reconciliation.read_next():
        pass
    return str(answer.headers["location"])


async def one(browser: httpx.AsyncClient) -> str:
    """The address of the first discrepancy of the list."""
    found = re.search(r'href="(/staff/settlement/discrepancies/[0-9a-f-]{36})', (await browser.get(
        "/staff/settlement/discrepancies")).text)  # fmt: skip
    assert found is not None
    return found[1]


async def test_a_month_by_pages(desk: Desk) -> None:
    """From the file to the last discrepancy without writing a line of SQL."""
    await desk.books.our_line("A1", "100")
    await desk.books.our_line("A2", "200")
    browser = await desk.signed_in()
    browser.headers["accept-language"] = "en"
    place = await uploaded(desk, browser, csv_file([("A1", "01.10.2026", "100,01"), ("A2", "01.10.2026", "200")]))
    assert "1 agrees" in (await browser.get(place)).text
    result = (await browser.get(MONTH)).text
    assert "Amounts differ" in result
    assert "300.00" in result
    case = await one(browser)
    assert "100.01" in (await browser.get(case)).text
    form = {"csrf": await proof(browser), "do": "resolve", "version": "1"}
    refused = await browser.post(case, data={**form, "text": "typed already"})
    assert refused.status_code == 422
    assert "typed already" in refused.text
    done = await browser.post(case, data={**form, "resolution": "theirs_corrected", "text": "<b>They</b> do"})
    assert done.status_code == 303
    page = (await browser.get(case)).text
    assert "&lt;b&gt;They&lt;/b&gt; do" in page
    assert "Resolved" in page
    late = await browser.post(case, data={**form, "do": "comment", "text": "too late"})
    assert late.status_code == 409
    undone = await browser.post(case, data={"csrf": form["csrf"], "do": "undo"})
    assert undone.status_code == 303


async def test_errors_of_a_file_are_shown_with_their_lines(desk: Desk) -> None:
    """Staff forward them to the insurer: line, column, value and what is wrong."""
    browser = await desk.signed_in()
    place = await uploaded(desk, browser, csv_file([("A1", "когда-то", "<script>")]))
    page = (await browser.get(place)).text
    assert "2 ошибки: файл не учтён" in page
    assert "Это не дата" in page
    assert "&lt;script&gt;" in page


async def test_fetching_by_the_button(desk: Desk) -> None:
    """A side that does not answer is said to be so on the page, and the form stays."""
    browser = await desk.signed_in()
    form = {"csrf": await proof(browser)}
    failed = await browser.post(f"{MONTH}/fetch", data=form)
    assert failed.status_code == 502
    assert "Файл от них не получен" in failed.text
    desk.source.files["bystra"] = FetchedFile("theirs.csv", csv_file())
    assert (await browser.post(f"{MONTH}/fetch", data=form)).status_code == 303


async def test_lists_are_narrowed_and_downloaded(desk: Desk) -> None:
    """Of thousands of discrepancies people need the few that they work on, also in a spreadsheet."""
    for number in range(60):
        await desk.books.our_line(f"A{number:03}", "10")
    await desk.books.our_line("ХХХ 777", "-10", kind="policy_cancelled")
    browser = await desk.signed_in()
    await uploaded(desk, browser, csv_file([("=HYPERLINK", "01.10.2026", "1")]))
    await uploaded(desk, browser, csv_file([("'=B1", "01.10.2026", "1")]))
    path = "/staff/settlement/discrepancies"
    everything = (await browser.get(path)).text
    assert 'rel="next"' in everything
    found = (await browser.get(path, params={"number": "xxx-777", "kind": "only_ours"})).text
    assert "ХХХ 777" in found
    assert "A001" not in found
    assert (await browser.get(path, params={"kind": "nonsense"})).status_code == 400
    file = await browser.get(f"{path}.csv", params={"party": "bystra", "month": "2026-10"})
    rows = file.content.decode("utf-8-sig").splitlines()
    assert len(rows) == 63
    assert any("'=B1" in row for row in rows)
    assert not any(cell.startswith(("=", "+", "@")) for row in rows for cell in row.split(";"))


async def test_the_same_by_the_api(desk: Desk) -> None:
    """What a person can do, a program can."""
    await desk.books.our_line("A1", "100")
    token = (await desk.office.staff.add("robot", "settlement")).rpartition("token=")[2]
    async with desk.browser() as program:
        session = (await program.post(f"{API}/session", json={"token": token})).json()
        program.headers["authorization"] = f"Bearer {session['token']}"
        sent = await program.post(
            f"{API}/reconciliations/bystra/2026-10/statements?name=o.csv",
            content=csv_file([("A9", "01.10.2026", "5")]),
            headers={"content-type": "text/csv"},
        )
        assert sent.status_code == 201
        await desk.office.reconciliation.read_next()
        read = (await program.get(f"{API}/statements/{sent.json()['id']}")).json()
        assert (read["state"], read["lines"], read["total"]) == ("current", 1, "5.00")
        assert (await program.get(f"{API}/reconciliations")).json() == {"months": ["2026-10"]}
        states = (await program.get(f"{API}/reconciliations/2026-10")).json()["parties"]
        assert next(state for state in states if state["party"] == "bystra")["waiting"] == 2
        whole = (await program.get(f"{API}/reconciliations/bystra/2026-10")).json()
        assert [kind["kind"] for kind in whole["kinds"]] == ["only_ours", "only_theirs"]
        found = (await program.get(f"{API}/discrepancies", params={"month": "2026-10"})).json()
        assert found["total"] == 2
        case = f"{API}/discrepancies/{found['discrepancies'][0]['id']}"
        deed = {"action": "write_off", "text": "a rouble", "version": 1}
        done = (await program.post(f"{case}/deeds", json=deed)).json()
        assert done["discrepancy"]["status"] == "written_off"
        assert [note["author"] for note in done["notes"]] == ["robot"]
        assert (await program.post(f"{case}/deeds", json={"action": "burn"})).status_code == 422
        assert (await program.get(f"{API}/reconciliations/nobody/2026-10")).status_code == 404
        assert (await program.get(f"{API}/reconciliations/bystra/2026-13")).status_code == 404


async def test_originals_are_given_to_those_who_settle(desk: Desk) -> None:
    """They may hold personal data: viewers do not get them, and every download is noted."""
    browser = await desk.signed_in()
    content = csv_file()
    place = (await uploaded(desk, browser, content)).partition("?")[0]
    given = await browser.get(f"{place}/file")
    assert given.content == content
    assert given.headers["content-disposition"].startswith("attachment")
    viewer = await desk.signed_in("ivan", "viewer")
    assert (await viewer.get(f"{place}/file")).status_code == 403
    assert "bystra 2026-10" in (await browser.get("/staff/deeds")).text
