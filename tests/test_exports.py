"""A file of exactly what is filtered, that Excel opens, and that is written down."""

import csv
import io
import re
import zipfile
from xml.etree import ElementTree

import pytest
from sqlalchemy import update
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.exports import COLUMNS, Export
from app.models import Payment
from tests import story
from tests.conftest import Cashier, House, Visitor
from tests.fragments import assert_page, words

MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def sheets(content: bytes) -> list[list[list[str]]]:
    """The cells of an XLSX, sheet by sheet, found the way Excel does: from the package's own table of contents."""
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert archive.testzip() is None
    types = archive.read("[Content_Types].xml").decode()
    book = ElementTree.fromstring(archive.read("xl/workbook.xml"))  # noqa: S314  our own
    targets = re.findall(r'Target="(worksheets/[^"]+)"', archive.read("xl/_rels/workbook.xml.rels").decode())
    assert len(book.findall(f".//{MAIN}sheet")) == len(targets)
    assert all(f'PartName="/xl/{target}"' in types for target in targets)
    found = []
    for target in targets:
        tree = ElementTree.fromstring(archive.read(f"xl/{target}"))  # noqa: S314
        found.append([["".join(cell.itertext()) for cell in row] for row in tree.iter(f"{MAIN}row")])
    return found


def test_both_files_hold_what_is_filtered_with_refunds_in_a_column_of_their_own(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier
) -> None:
    paid = cashier.buy(buyer)
    cashier.refund(admin, paid, amount="3000")
    cashier.order(buyer, story.DISCOUNTED, buyer_name="=HYPERLINK(1)<&>")
    answer = admin.get("/admin/payments.csv?status=completed")
    assert answer.headers["content-disposition"].startswith('attachment; filename="payments-20')
    table = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert [(row["주문번호"], row["결제 금액"], row["환불 금액"]) for row in table] == [
        (paid.order_id, "10000", "3000")
    ]
    assert table[0]["결제사 거래번호"] == paid.payment_key
    said = [table[0][name] for name in ("상태", "결제사", "결제수단")]
    assert said == ["결제 완료", "토스페이먼츠", "카드·간편결제"], "the words of the list"
    (sheet,) = sheets(admin.get("/admin/payments.xlsx").content)
    assert sheet[0] == list(COLUMNS)
    assert len(sheet) == 3
    assert sheet[1][6] == "=HYPERLINK(1)<&>", "a cell of text is not run"
    everything = list(csv.DictReader(io.StringIO(admin.get("/admin/payments.csv").content.decode("utf-8-sig"))))
    assert everything[0]["구매자"] == "'=HYPERLINK(1)<&>"


def test_a_letter_that_a_sheet_must_not_hold_is_replaced(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier
) -> None:
    """Forms refuse it; a row may be older than that, and a PG may say it."""
    cashier.order(buyer)

    async def write(session: AsyncSession) -> None:
        await session.exec(update(Payment).values(buyer_name="김\ufffe\uffff\x0b찐💌", item_name="글\t감"))

    house.change(write)
    ((_, row),) = sheets(admin.get("/admin/payments.xlsx").content)
    assert (row[5], row[6]) == ("글\t감", "김\ufffd\ufffd\ufffd찐💌")


def test_a_long_file_goes_on_page_after_page_and_sheet_after_sheet(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = [cashier.order(buyer).order_id for _ in range(5)][::-1]
    monkeypatch.setattr("app.exports.PAGE", 2)
    monkeypatch.setattr("app.exports.SHEET", 4)
    assert [line.split(",")[0] for line in admin.get("/admin/payments.csv").text.splitlines()[1:]] == orders
    first, second = sheets(admin.get("/admin/payments.xlsx").content)
    assert [row[0] for row in first[1:] + second[1:]] == orders
    assert first[0] == second[0] == list(COLUMNS)


def test_the_page_says_how_many_and_of_when_before_and_who_did_it_after(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier
) -> None:
    cashier.buy(buyer)
    query = "from=2026-01-01&to=2199-12-31&q=김찐"
    assert_page(admin.get(f"/admin/payments/export?{query}"), "결제 1건", "2026-01-01 – 2199-12-31 (한국 시각)")
    assert_page(admin.get("/admin/payments/export"), "결제 1건", "아직 내보낸 적이 없습니다")
    admin.get(f"/admin/payments.xlsx?{query}")
    page = assert_page(admin.get("/admin/payments/export"), "admin@example.com", "XLSX")
    (row,) = page.select("tr[id^=export-]")
    assert "XLSX 1 ‘김찐’ 검색 · 2026-01-01 – 2199-12-31" in words(row)
    (entry,) = house.rows(select(Export))
    assert entry.ended_at > entry.began_at
    assert_page(admin.get("/admin/payments/export?from=x"), "시작일을 2026-01-31처럼", status=422)


def test_an_empty_file_still_opens(admin: Visitor) -> None:
    assert sheets(admin.get("/admin/payments.xlsx?q=영희").content) == [[list(COLUMNS)]]
    assert admin.get("/admin/payments.csv?q=영희").text.removeprefix("\ufeff").splitlines() == [",".join(COLUMNS)]
