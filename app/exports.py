"""The filtered list as a file: read page by page and sent as it is read, and every file is written down."""

import csv
import io
import re
import zipfile
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Literal, Protocol
from xml.sax.saxutils import escape

from sqlalchemy import update
from sqlmodel import Field, SQLModel, col

from app.clock import KST, now
from app.db import Database
from app.filters import Filter
from app.gateways import gateway_label, method_label
from app.render import STATUS_WORDS
from app.search import Listed, search

PAGE = 1000  # payments read at once: what is in memory, and how long others wait for their turn
BOM = "\ufeff"  # Excel reads Korean only with it
SHEET = 1_000_000  # payments; Excel's sheets end a little later

Kind = Literal["csv", "xlsx"]
COLUMNS = (
    *("주문번호", "시각(KST)", "상태", "결제사", "결제수단", "상품", "구매자", "이메일"),
    *("결제 금액", "환불 금액", "결제사 거래번호"),
)


class Export(SQLModel, table=True):
    """Who took which payments out of the house, and when. Without an end it was broken off."""

    id: int | None = Field(default=None, primary_key=True)
    by: str  # an admin's e-mail
    query: str  # the filter, as it reads in the list's address
    kind: str
    rows: int = 0
    began_at: datetime = Field(default_factory=now)
    ended_at: datetime | None = None


gateway_word, method_word = cache(gateway_label), cache(method_label)  # a million rows name a few


def cells(payment: Listed) -> tuple[str | int, ...]:
    return (
        payment.order_id,
        f"{payment.created_at.astimezone(KST):%Y-%m-%d %H:%M:%S}",
        STATUS_WORDS[payment.status],
        gateway_word(payment.gateway),
        method_word(payment.payment_method),
        payment.item_name,
        payment.buyer_name,
        payment.buyer_email,
        payment.amount,
        payment.refunded_amount,
        payment.pg_transaction_id or "",
    )


class File(Protocol):
    """A file as it grows: each call answers the bytes that are ready."""

    def add(self, rows: Sequence[Sequence[str | int]]) -> bytes: ...
    def end(self) -> bytes: ...


class Csv:
    def __init__(self, columns: Sequence[str] = COLUMNS) -> None:
        self.text = io.StringIO(BOM)
        self.text.seek(0, io.SEEK_END)
        self.writer = csv.writer(self.text)
        self.writer.writerow(columns)

    def add(self, rows: Sequence[Sequence[str | int]]) -> bytes:
        self.writer.writerows([_harmless(cell) for cell in row] for row in rows)
        ready = self.text.getvalue().encode()
        self.text.seek(0)
        self.text.truncate()
        return ready

    def end(self) -> bytes:
        return self.add(())


def _harmless(cell: str | int) -> str | int:
    """A cell that a spreadsheet would run as a formula is made text."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


class _Sink(io.RawIOBase):
    """Where the archive is written to, and taken away from again. It cannot be wound back, and need not be."""

    def __init__(self) -> None:
        self.ready = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.ready += data
        return len(data)

    def take(self) -> bytes:
        ready = bytes(self.ready)
        self.ready.clear()
        return ready


MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
DOCUMENT = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
NO_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, §2.2
XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'


class Xlsx:
    """The libraries hold a sheet back until its last row is known, and a browser gives up on a minute of silence.

    So the few parts that Excel asks for are written here (ECMA-376, part 1, §12.3 and §18.3), the sheet as it grows.
    Text is text in a cell of its own type: nothing in it is ever run.
    """

    def __init__(self) -> None:
        self.sink = _Sink()
        self.archive = zipfile.ZipFile(self.sink, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        self.sheets = self.rows = 0
        self.sheet: Any = None

    def add(self, rows: Sequence[Sequence[str | int]]) -> bytes:
        if self.sheet is None or self.rows >= SHEET:
            self._turn()
        self._write(rows)
        self.rows += len(rows)
        return self.sink.take()

    def end(self) -> bytes:
        if self.sheet is None:
            self._turn()
        self._close()
        numbers = range(1, self.sheets + 1)
        named = "".join(f'<sheet name="결제 {number}" sheetId="{number}" r:id="r{number}"/>' for number in numbers)
        book = f'{XML}<workbook xmlns="{MAIN}" xmlns:r="{DOCUMENT}"><sheets>{named}</sheets></workbook>'
        self.archive.writestr("xl/workbook.xml", book)
        sheets = [(f"r{number}", "worksheet", f"worksheets/sheet{number}.xml") for number in numbers]
        self.archive.writestr("xl/_rels/workbook.xml.rels", _relations(sheets))
        self.archive.writestr("_rels/.rels", _relations([("r1", "officeDocument", "xl/workbook.xml")]))
        parts = [("/xl/workbook.xml", "sheet.main")]
        parts += [(f"/xl/worksheets/sheet{number}.xml", "worksheet") for number in numbers]
        told = "".join(f'<Override PartName="{part}" ContentType="{TYPE}.{kind}+xml"/>' for part, kind in parts)
        package = "application/vnd.openxmlformats-package.relationships+xml"
        told = f'<Default Extension="rels" ContentType="{package}"/>{told}'
        self.archive.writestr("[Content_Types].xml", f'{XML}<Types xmlns="{TYPES}">{told}</Types>')
        self.archive.close()
        return self.sink.take()

    def _turn(self) -> None:
        """The next sheet, with the names of its columns."""
        self._close()
        self.sheets, self.rows = self.sheets + 1, 0
        self.sheet = self.archive.open(f"xl/worksheets/sheet{self.sheets}.xml", "w", force_zip64=True)
        self.sheet.write(f'{XML}<worksheet xmlns="{MAIN}"><sheetData>'.encode())
        self._write([COLUMNS])

    def _write(self, rows: Sequence[Sequence[str | int]]) -> None:
        self.sheet.write("".join(f"<row>{''.join(map(_cell, row))}</row>" for row in rows).encode())

    def _close(self) -> None:
        if self.sheet is not None:
            self.sheet.write(b"</sheetData></worksheet>")
            self.sheet.close()


def _cell(value: str | int) -> str:
    if isinstance(value, int):
        return f"<c><v>{value}</v></c>"
    text = escape(NO_XML.sub("\ufffd", value))  # with one letter that XML forbids nothing of the sheet opens
    return f'<c t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'


def _relations(targets: Sequence[tuple[str, str, str]]) -> str:
    each = "".join(f'<Relationship Id="{name}" Type="{DOCUMENT}/{kind}" Target="{to}"/>' for name, kind, to in targets)
    return f'{XML}<Relationships xmlns="{RELATIONS}">{each}</Relationships>'


FILES: dict[Kind, type[Csv] | type[Xlsx]] = {"csv": Csv, "xlsx": Xlsx}


async def export(db: Database, wanted: Filter, kind: Kind, by: str) -> AsyncIterator[bytes]:
    """The file in pieces. It is written down before its first byte leaves, and its end when the last has left."""
    first, last = wanted.days  # a period stays what it was when this began
    wanted = wanted.model_copy(update={"cursor": "", "period": "", "from_": first, "to": last})
    entry = Export(by=by, query=wanted.query_string(), kind=kind)
    async with db.write() as session:
        session.add(entry)
    file: File = FILES[kind]()
    rows, more = 0, True
    while more:
        async with db.read() as session:
            page = await search(session, wanted, limit=PAGE)
        yield file.add([cells(payment) for payment in page.payments])
        rows += len(page.payments)
        wanted = wanted.model_copy(update={"cursor": page.next or ""})
        more = page.next is not None
    yield file.end()
    async with db.write() as session:
        ended = update(Export).where(col(Export.id) == entry.id).values(rows=rows, ended_at=now())
        await session.exec(ended)
