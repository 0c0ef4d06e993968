"""What Toss answers when it does not say yes, and what we may conclude from it: no, or don't know."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import respx

from app.gateways import Declined, InDoubt, Receipt
from app.gateways.toss import CLASS_OF, CODES, Toss
from app.main import http_client
from tests.gateways.conftest import toss_settings
from tests.gateways.rows import payment, refund
from tests.gateways.toss_sheet import CARD, ROWS, Row

KEY = "tgen_20250528204823hWav3"
CLASSES: dict[str, set[str]] = {
    "D": {"declined"},
    "C": {"configuration"},
    "T": {"try_again"},
    "D/C": {"declined", "configuration"},
    "U": {"unknown"},
    "I": {"unknown"},
    "T/U": {"unknown"},
    "U/done": {"unknown"},
    "-": {str(name) for name in CODES},
}
UNSURE = {"U", "I", "T/U", "U/done"}


async def ask(toss: Toss, call: str) -> Receipt:
    order = payment(pg_transaction_id=KEY)
    if call == "cancel":
        return await toss.cancel(order, refund(), 10_000)
    return await (toss.confirm(order) if call == "confirm" else toss.find(order))


@pytest.fixture(params=["confirm", "find", "cancel"])
def call(request: pytest.FixtureRequest) -> str:
    """Each of the three calls in turn."""
    return str(request.param)


# ── the sheet ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.call}-{row.code}")
def test_every_code_of_the_sheet_stands_in_the_class_the_sheet_gives_it(row: Row) -> None:
    assert CLASS_OF.get(row.code) in CLASSES[row.letters]


def test_no_code_stands_twice() -> None:
    codes = [code for group in CODES.values() for code in group.split()]
    assert sorted(codes) == sorted(set(codes))


def test_no_code_is_made_up() -> None:
    assert set(CLASS_OF) == {row.code for row in ROWS}


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.call != "find"], ids=lambda row: f"{row.call}-{row.status}-{row.code}"
)
async def test_confirm_and_cancel_say_no_or_do_not_know_as_the_sheet_does(
    toss: Toss, pg: respx.MockRouter, row: Row
) -> None:
    pg.post().respond(row.status, json={"code": row.code, "message": "PG의 말"})
    with pytest.raises((Declined, InDoubt)) as raised:
        await ask(toss, row.call)
    said = raised.value
    assert isinstance(said, Declined | InDoubt)
    assert isinstance(said, InDoubt) == (row.letters in UNSURE)
    assert (said.code, said.message) == (row.code, "PG의 말")
    if isinstance(said, Declined):
        assert said.why in CLASSES[row.letters]


@pytest.mark.parametrize("row", [row for row in ROWS if row.call == "find"], ids=lambda row: row.code)
async def test_a_lookup_is_never_declined(toss: Toss, pg: respx.MockRouter, row: Row) -> None:
    order = payment()
    pg.get().respond(row.status, json={"code": row.code, "message": ""})
    if row.code == "NOT_FOUND_PAYMENT":
        assert await toss.find(order) == Receipt(status="absent", order_id=order.order_id)
        return
    with pytest.raises(InDoubt) as raised:
        await toss.find(order)
    assert raised.value.code == row.code


async def test_our_own_mistakes_are_logged_for_whoever_runs_the_shop(
    toss: Toss, pg: respx.MockRouter, caplog: pytest.LogCaptureFixture
) -> None:
    pg.post().respond(401, json={"code": "UNAUTHORIZED_KEY", "message": ""})
    with pytest.raises(Declined):
        await ask(toss, "confirm")
    assert [(record.levelname, "UNAUTHORIZED_KEY" in record.message) for record in caplog.records] == [("ERROR", True)]


# ── what the sheet does not know ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("code", ["REJECT_CARD_PAYMENT", "UNAUTHORIZED_KEY", "NOT_AVAILABLE_BANK", "NOT_FOUND_PAYMENT"])
async def test_a_5xx_is_don_t_know_whatever_its_code_says(
    toss: Toss, pg: respx.MockRouter, call: str, code: str
) -> None:
    pg.route().respond(500, json={"code": code, "message": ""})
    with pytest.raises(InDoubt):
        await ask(toss, call)


@pytest.mark.parametrize("status", [201, 302, 400, 403, 404, 409, 422, 429])
async def test_a_code_we_have_never_seen_is_don_t_know(
    toss: Toss, pg: respx.MockRouter, call: str, status: int
) -> None:
    pg.route().respond(status, json={"code": "BRAND_NEW_CODE", "message": ""})
    with pytest.raises(InDoubt) as raised:
        await ask(toss, call)
    assert raised.value.code == "BRAND_NEW_CODE"


@pytest.mark.parametrize("answer", [{}, {"message": "?"}, {"code": None}, {"code": ""}], ids=str)
async def test_a_refusal_without_a_code_is_don_t_know_and_named_by_its_status(
    toss: Toss, pg: respx.MockRouter, call: str, answer: dict[str, Any]
) -> None:
    pg.route().respond(400, json=answer)
    with pytest.raises(InDoubt) as raised:
        await ask(toss, call)
    assert raised.value.code == "HTTP_400"


@pytest.mark.parametrize("status", [201, 202, 301])
async def test_only_200_is_yes(toss: Toss, pg: respx.MockRouter, call: str, status: int) -> None:
    """§2.1: success is always 200."""
    pg.route().respond(status, json=CARD)
    with pytest.raises(InDoubt):
        await ask(toss, call)


# ── no answer ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "accident",
    [
        httpx.ConnectTimeout,
        httpx.ReadTimeout,
        httpx.WriteTimeout,
        httpx.PoolTimeout,
        httpx.ConnectError,
        httpx.ReadError,
        httpx.RemoteProtocolError,
        httpx.DecodingError,
    ],
)
async def test_a_broken_connection_is_don_t_know(
    toss: Toss, pg: respx.MockRouter, call: str, accident: type[Exception]
) -> None:
    pg.route().mock(side_effect=accident)
    with pytest.raises(InDoubt) as raised:
        await ask(toss, call)
    assert raised.value.code == ("TIMEOUT" if accident.__name__.endswith("Timeout") else "NO_ANSWER")
    assert accident.__name__ in raised.value.message, "for the log"


async def test_a_payment_key_too_long_for_a_url_is_don_t_know(toss: Toss, pg: respx.MockRouter) -> None:
    """The key comes out of the buyer's address bar."""
    pg.route().respond(404, json={"code": "NOT_FOUND_PAYMENT"})
    with pytest.raises(InDoubt):
        await toss.find(payment(pg_transaction_id="/" * 30_000))


@pytest.mark.parametrize("status", [200, 403, 500, 502])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<!doctype html><title>Bad Gateway</title>",
        json.dumps(CARD).encode()[:200],
        b"[]",
        b"null",
        b'"DONE"',
        b"1",
        b"\xff\xfe\xff",
        b'{"code": ' * 5000,
    ],
    ids=["nothing", "html", "half", "list", "null", "string", "number", "bytes", "deep"],
)
async def test_an_answer_that_cannot_be_read_is_don_t_know(
    toss: Toss, pg: respx.MockRouter, call: str, status: int, body: bytes
) -> None:
    pg.route().respond(status, content=body)
    with pytest.raises(InDoubt) as raised:
        await ask(toss, call)
    assert raised.value.code in ("UNREADABLE", f"HTTP_{status}")


@pytest.mark.parametrize("field", ["status", "orderId", "paymentKey", "totalAmount", "currency"])
async def test_a_payment_without_the_fields_that_carry_money_is_don_t_know(
    toss: Toss, pg: respx.MockRouter, call: str, field: str
) -> None:
    pg.route().respond(200, json={name: value for name, value in CARD.items() if name != field})
    with pytest.raises(InDoubt):
        await ask(toss, call)


@pytest.mark.parametrize(
    "changed",
    [
        {"status": "SOMETHING_NEW"},
        {"status": None},
        {"status": ["DONE"]},
        {"totalAmount": "10000"},
        {"totalAmount": 10000.5},
        {"totalAmount": True},
        {"totalAmount": None},
        {"totalAmount": [10000]},
        {"cancels": [{}]},
        {"cancels": [None]},
        {"cancels": [{"transactionKey": "t", "cancelAmount": "1000"}]},
        {"cancels": [{"cancelAmount": 1000}]},
        {"cancels": 1},
        {"failure": "COMMON_ERROR"},
        {"receipt": ["https://example.com"]},
    ],
    ids=str,
)
async def test_a_payment_that_says_nonsense_is_don_t_know(
    toss: Toss, pg: respx.MockRouter, call: str, changed: dict[str, Any]
) -> None:
    pg.route().respond(200, json=CARD | changed)
    with pytest.raises(InDoubt) as raised:
        await ask(toss, call)
    assert raised.value.code == "UNREADABLE"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
async def test_an_amount_that_is_no_number_is_don_t_know(
    toss: Toss, pg: respx.MockRouter, call: str, number: str
) -> None:
    body = json.dumps(CARD).replace('"totalAmount": 10000', f'"totalAmount": {number}')
    pg.route().respond(200, content=body.encode())
    with pytest.raises(InDoubt):
        await ask(toss, call)


Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def pg_on_a_socket(answer: Answer) -> AsyncIterator[str]:
    """A PG that answers each request in its own manner."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            await answer(writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def drip(writer: asyncio.StreamWriter) -> None:
    """Always something within 50 ms, and never the whole."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2000\r\n\r\n")
    for _ in range(60):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


async def stop_halfway(writer: asyncio.StreamWriter) -> None:
    writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n{"status": "DONE"')
    await writer.drain()


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def test_a_pg_that_drips_is_given_up_after_the_time_for_one_call(call: str) -> None:
    """httpx counts each read anew: without our own clock this call would take three seconds."""
    async with pg_on_a_socket(drip) as url:
        settings = toss_settings(TOSS_API_URL=url, PG_TIMEOUT="0.2")
        async with http_client(settings) as client:
            began = time.monotonic()
            with pytest.raises(InDoubt):
                await ask(Toss(settings, client), call)
            assert time.monotonic() - began < 2


@pytest.mark.parametrize("manner", [stop_halfway, hang_up])
async def test_a_connection_that_ends_early_is_don_t_know(call: str, manner: Answer) -> None:
    async with pg_on_a_socket(manner) as url:
        settings = toss_settings(TOSS_API_URL=url, PG_TIMEOUT="2")
        async with http_client(settings) as client:
            with pytest.raises(InDoubt) as raised:
                await ask(Toss(settings, client), call)
    assert raised.value.code == "NO_ANSWER"


async def test_a_port_where_nobody_listens_is_don_t_know(call: str) -> None:
    settings = toss_settings(TOSS_API_URL="http://127.0.0.1:1")
    async with http_client(settings) as client:
        with pytest.raises(InDoubt):
            await ask(Toss(settings, client), call)


@pytest.mark.parametrize(
    ("code", "bound"),
    [("FAILED_INTERNAL_SYSTEM_PROCESSING", True), ("IDEMPOTENT_REQUEST_PROCESSING", False), ("", False)],
)
async def test_only_an_answer_of_its_own_is_tied_to_the_key_that_asked(
    toss: Toss, pg: respx.MockRouter, code: str, bound: bool
) -> None:
    """Toss repeats it for 15 days (§2.2): another request needs another key. A bare 500 was no answer of Toss's."""
    pg.post().respond(500, json={"code": code, "message": "PG의 말"})
    with pytest.raises(InDoubt) as raised:
        await ask(toss, "cancel")
    assert raised.value.bound is bound
