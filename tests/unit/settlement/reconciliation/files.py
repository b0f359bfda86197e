"""Files as insurers send them."""

import io
from collections.abc import Sequence
from typing import Any

import openpyxl

HEADING = ("Номер полиса", "Дата заключения", "Страховая премия, руб.")
ROWS: list[Sequence[Any]] = [("BYS-0000000001", "01.10.2026", "1 000,50"), ("ХХХ 0000000002", "2026-10-02", "200.00")]


def csv_file(
    rows: Sequence[Sequence[Any]] = ROWS,
    heading: Sequence[str] = HEADING,
    *,
    delimiter: str = ";",
    encoding: str = "utf-8",
    before: Sequence[str] = (),
    after: Sequence[str] = (),
) -> bytes:
    """A CSV file, every cell in quotation marks."""
    table = [delimiter.join(f'"{cell}"' for cell in row) for row in (heading, *rows)]
    return "\r\n".join([*before, *table, *after, ""]).encode(encoding)


def workbook(
    rows: Sequence[Sequence[Any]] = ROWS,
    heading: Sequence[str] = HEADING,
    *,
    sheets: int = 1,
    empty_first: bool = False,
) -> bytes:
    """A workbook with the table on each of its sheets."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    if empty_first:
        sheet["A1"] = "Реестр за октябрь"
        sheet = book.create_sheet("Полисы")
    for number in range(sheets):
        target = sheet if number == 0 else book.create_sheet(f"Лист {number}")
        for row in (heading, *rows):
            target.append(list(row))
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()
