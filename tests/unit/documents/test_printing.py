"""The PDF itself, read back."""

import io
import re
from datetime import UTC, date, datetime

import pytest
from pypdf import PdfReader

from insuretech.contracts.policies import PolicyPaper
from insuretech.contracts.text import Text
from insuretech.documents.domain import SANDBOX_NOTICE, printed_policy
from insuretech.documents.printing import TypstPrinter, qr_code
from tests.unit.documents.policies import holder, line, policy_paper

MARKUP = '#eval("1+1") *жирный* _курсив_ `код` $x^2$ @ссылка <метка> // /* */ [a] {b} = + ~ -- #include "/etc/passwd"'


@pytest.fixture(scope="module")
def printer() -> TypstPrinter:
    """One printer for all tests, as in a process."""
    return TypstPrinter()


async def pdf(printer: TypstPrinter, paper: PolicyPaper, *, cancelled_on: date | None = None) -> bytes:
    """A policy on paper."""
    words = printed_policy(paper, cancelled_on=cancelled_on, notice=SANDBOX_NOTICE, base_url="https://example.org")
    return await printer.print_policy(words)


def text_of(content: bytes) -> str:
    """All words of a PDF with single spaces, and without the invisible places where a long word may break."""
    pages = PdfReader(io.BytesIO(content)).pages
    text = " ".join(page.extract_text() for page in pages).replace("\N{ZERO WIDTH SPACE}", "")
    return " ".join(text.split())


async def test_the_paper_carries_what_it_is_for(printer: TypstPrinter) -> None:
    """Otherwise the buyer holds a paper that proves nothing."""
    text = text_of(await pdf(printer, policy_paper()))
    for words in (
        "ХХХ 0166171796",
        "Северный Маяк",
        "Northern Beacon",
        "Константинопольская Александра Владиславовна",
        "XTA210990Y2765439",
        "8 697,22 ₽",
        "с 1 декабря 2026 по 30 ноября 2027",
        "https://example.org/verify/k3JxQm9vT2a7Zs",
        SANDBOX_NOTICE.ru,
    ):
        assert words in text


async def test_the_same_policy_gives_the_same_bytes(printer: TypstPrinter) -> None:
    """Otherwise a repeated event would keep a second copy of somebody's personal data."""
    first = await pdf(printer, policy_paper())
    assert await pdf(TypstPrinter(), policy_paper()) == first
    assert await pdf(printer, policy_paper(number="ХХХ 0166171797")) != first


async def test_an_ordinary_policy_fits_one_page(printer: TypstPrinter) -> None:
    """Otherwise people print and carry two sheets."""
    insured = tuple(line(f"Вопрос {number}", f"Question {number}", "Ответ") for number in range(21))
    assert len(PdfReader(io.BytesIO(await pdf(printer, policy_paper(insured=insured)))).pages) == 1


async def test_markup_in_names_is_shown_letter_by_letter(printer: TypstPrinter) -> None:
    """Otherwise a buyer could have the server run or read things by giving them as a name."""
    paper = policy_paper(
        policyholder=holder(last_name=MARKUP, email=MARKUP),
        insurer_name=Text(MARKUP, MARKUP),
        number="#1/*2",
        insured=(line(MARKUP, MARKUP, MARKUP),),
    )
    text = text_of(await pdf(printer, paper))
    assert text.count(MARKUP) >= 5
    assert "root:" not in text


async def test_very_long_words_stay_on_the_paper(printer: TypstPrinter) -> None:
    """Otherwise the end of a long name or address is cut off at the edge."""
    paper = policy_paper(policyholder=holder(last_name="Щ" * 300, email="w" * 240 + "@example.com"))
    content = await pdf(printer, paper)
    text = re.sub(r"\s", "", text_of(content))
    assert "Щ" * 300 in text
    assert "w" * 240 + "@example.com" in text
    assert _rightmost(content) < 595 - 55


def _rightmost(content: bytes) -> float:
    """Where the rightmost piece of text begins, in points."""
    found: list[float] = []
    for page in PdfReader(io.BytesIO(content)).pages:
        page.extract_text(visitor_text=lambda _text, _cm, matrix, _font, _size: found.append(float(matrix[4])))
    return max(found)


async def test_letters_our_fonts_lack_do_not_stop_the_print(printer: TypstPrinter) -> None:
    """Otherwise a person with a name in another script pays and gets no policy."""
    text = text_of(await pdf(printer, policy_paper(policyholder=holder(first_name="王小明 გიორგი"))))
    assert "ХХХ 0166171796" in text


async def test_letters_of_neighbouring_languages_are_there(printer: TypstPrinter) -> None:
    """Otherwise names of Tatars, Kazakhs, Ukrainians or Poles come out as empty boxes."""
    name = "Ґалаґан Әлия Қанат Łukasz Çelik Ñandú"
    content = await pdf(printer, policy_paper(policyholder=holder(last_name=name)))
    assert name in text_of(content)
    assert PdfReader(io.BytesIO(content)).xmp_metadata is not None
    assert b"pdfaid" in content, "the archive standard was given up, so some letter is missing"


async def test_many_insured_things_run_over_pages_and_keep_the_code(printer: TypstPrinter) -> None:
    """Otherwise a fleet or a large family would lose lines."""
    insured = tuple(line(f"Вопрос {number}", f"Question {number}", f"Ответ-{number}") for number in range(200))
    content = await pdf(printer, policy_paper(insured=insured))
    text = text_of(content)
    assert len(PdfReader(io.BytesIO(content)).pages) > 3
    assert all(f"Ответ-{number}" in text for number in range(200))
    assert "https://example.org/verify/" in text


async def test_the_stamp_of_an_early_end_is_on_the_paper(printer: TypstPrinter) -> None:
    """Otherwise an ended policy looks like one in force."""
    text = text_of(await pdf(printer, policy_paper(), cancelled_on=date(2027, 1, 5)))
    assert "Договор расторгнут 5 января 2027" in text


async def test_the_file_holds_no_personal_data_beside_the_paper(printer: TypstPrinter) -> None:
    """Otherwise a file's properties, which mail programs and archives index, would show who is insured."""
    info = PdfReader(io.BytesIO(await pdf(printer, policy_paper()))).metadata
    assert info is not None
    assert "Константинопольская" not in str(dict(info))
    assert info.title == "Страховой полис ХХХ 0166171796"
    assert info.creation_date == datetime(2026, 11, 22, 21, 25, tzinfo=UTC)


def test_the_code_is_drawn_for_the_address() -> None:
    """Otherwise every paper would lead to the same page."""
    assert qr_code("https://example.org/verify/a") != qr_code("https://example.org/verify/b")
    assert qr_code("https://example.org/verify/a").startswith("<svg")
