"""A webhook is stored, then makes us look. Nothing it says is believed."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app import inbox, receipts, reconciler
from app.clock import now
from app.gateways import Receipt
from app.models import Webhook
from app.till import find
from tests.conftest import Cashier, Checkout, House, Visitor
from tests.fragments import assert_page, assert_problem
from tests.sandboxes import Sandbox


def word(checkout: Checkout, **changed: object) -> dict[str, object]:
    data = {"orderId": checkout.order_id, "status": "DONE", "totalAmount": 10_000, "balanceAmount": 10_000}
    return {"eventType": "PAYMENT_STATUS_CHANGED", "createdAt": "2026-11-22T10:00:00.000000", "data": data | changed}


def flat(checkout: Checkout) -> dict[str, object]:
    """§5.3: no eventType, no payment key."""
    at = "2026-11-22T10:00:00.000000"
    return {"createdAt": at, "secret": "ps_x", "status": "DONE", "transactionKey": "9F", "orderId": checkout.order_id}


def webhooks(house: House) -> list[Webhook]:
    return house.rows(select(Webhook).order_by(col(Webhook.id)))


def breathe(house: House, order_id: str) -> None:
    async def write(session: AsyncSession) -> None:
        payment = await find(session, order_id)
        payment.checked_at = payment.checked_at and payment.checked_at - timedelta(seconds=5)
        payment.next_check_at = payment.next_check_at and payment.next_check_at - timedelta(seconds=5)

    house.change(write)


def test_a_lost_answer_is_settled_by_the_webhook(
    house: House, buyer: Visitor, stranger: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.authenticate(buyer)
    sandbox.fault("confirm", "reset", when="after")
    buyer.get(checkout.back)
    assert stranger.post("/webhooks/toss", json=word(checkout)).status_code == 200
    assert house.payment(checkout.order_id).status == "completed"
    assert house.kinds(checkout.order_id)[-1] == "completed"
    assert webhooks(house)[0].handled_at


def test_the_flat_deposit_callback_is_heard_too(
    house: House, buyer: Visitor, stranger: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.authenticate(buyer)
    sandbox.fault("confirm", "reset", when="after")
    buyer.get(checkout.back)
    assert stranger.post("/webhooks/toss", json=flat(checkout)).status_code == 200
    assert house.payment(checkout.order_id).status == "completed"


def test_the_same_webhook_a_hundred_times_is_one_row_and_one_question(
    house: House, buyer: Visitor, stranger: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.open(buyer, cashier.order(buyer))
    sent = {"tosspayments-webhook-transmission-id": "whtrans_1"}
    for _ in range(100):
        assert stranger.post("/webhooks/toss", json=word(checkout), headers=sent).status_code == 200
    assert [row.repeats for row in webhooks(house)] == [99]
    assert sandbox.ledger(checkout.order_id)["find_calls"] == 1


@pytest.mark.parametrize(
    ("database_url", "at", "switch", "headers"),
    [
        ("sqlite", "portone_v1", {"portone_v1_cancellation_id": False}, ({}, {})),
        (
            "sqlite",
            "portone",
            {"portone_webhook_version": "2024-01-01"},
            ({"webhook-id": "msg_1"}, {"webhook-id": "msg_2"}),
        ),
    ],
    indirect=["database_url", "at"],
)
def test_the_same_words_may_tell_of_another_cancellation(
    house: House,
    buyer: Visitor,
    stranger: Visitor,
    cashier: Cashier,
    sandbox: Sandbox,
    switch: dict[str, object],
    headers: tuple[dict[str, str], dict[str, str]],
) -> None:
    checkout = cashier.buy(buyer)
    sandbox.http.put("/_settings", json={f"{cashier.pg}_webhook_url": f"{sandbox.url}/nobody"}).raise_for_status()
    sandbox.switch(**switch)
    for amount, its in zip((4_000, 5_000), headers, strict=True):
        sandbox.http.post(f"/{cashier.pg}/_cancel/{checkout.order_id}", json={"amount": amount}).raise_for_status()
        body = sandbox.http.get("/_webhooks").json()[-1]["body"]
        breathe(house, checkout.order_id)
        assert stranger.post(f"/webhooks/{cashier.pg}", content=body, headers=its).status_code == 200
    assert [(row.repeats, row.forged) for row in webhooks(house)] == [(1, False)]
    assert all(row.handled_at for row in webhooks(house))
    assert house.payment(checkout.order_id).refunded_amount == sandbox.ledger(checkout.order_id)["refunded"] == 9_000


def test_a_flood_of_different_webhooks_asks_the_pg_once_a_breath(
    house: House, buyer: Visitor, stranger: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.open(buyer, cashier.order(buyer))
    for number in range(20):
        assert stranger.post("/webhooks/toss", json=word(checkout, balanceAmount=number)).status_code == 200
    assert sandbox.ledger(checkout.order_id)["find_calls"] == 1
    assert len([row for row in webhooks(house) if row.handled_at is None]) == 19

    breathe(house, checkout.order_id)
    house.run(reconciler.reconcile, house.till)
    assert sandbox.ledger(checkout.order_id)["find_calls"] == 2


def test_a_webhook_that_comes_while_the_pg_is_asked_asks_nothing_by_itself_and_stays_due(
    house: House, buyer: Visitor, stranger: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.open(buyer, cashier.order(buyer))
    house.till.stir.clear()
    sandbox.fault("find", "delay", seconds=1.5)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(stranger.post, "/webhooks/toss", json=word(checkout))
        while not sandbox.ledger(checkout.order_id)["find_calls"]:
            pass
        breathe(house, checkout.order_id)
        for number in range(3):
            house.visitor().post("/webhooks/toss", json=word(checkout, balanceAmount=number))
        assert not first.done()
        assert not house.till.stir.is_set(), "the reconciler need not hurry before the answer"
        assert first.result().status_code == 200
    assert sandbox.ledger(checkout.order_id)["find_calls"] == 1
    assert [row.handled_at for row in webhooks(house)][1:] == [None] * 3
    due = house.payment(checkout.order_id).next_check_at
    assert due
    assert due <= now()
    assert house.till.stir.is_set()
    house.run(reconciler.reconcile, house.till)
    assert all(row.handled_at for row in webhooks(house))


def test_a_payment_keeps_so_many_webhooks_and_the_next_one_is_news_all_the_same(
    house: House, buyer: Visitor, stranger: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.buy(buyer)
    lie = {"secret": "ps_forged", "status": "CANCELED"}
    for number in range(inbox.MOST + 2):
        stranger.post("/webhooks/toss", json=word(checkout, balanceAmount=number, **lie))
    assert len(webhooks(house)) == inbox.MOST
    assert (webhooks(house)[-1].repeats, webhooks(house)[-1].forged) == (2, True)
    assert sandbox.ledger(checkout.order_id)["find_calls"] == 0

    for number in (1, 2):  # the second within a breath of the first
        stranger.post("/webhooks/toss", json=word(checkout, balanceAmount=number))
        assert len(webhooks(house)) == inbox.MOST
        assert sandbox.ledger(checkout.order_id)["find_calls"] == 1
    last, payment = webhooks(house)[-1], house.payment(checkout.order_id)
    assert (last.repeats, last.forged, last.handled_at) == (4, False, None)
    assert payment.checked_at
    assert payment.checked_at < last.received_at, "the question before it is no answer to it"
    breathe(house, checkout.order_id)
    house.run(reconciler.reconcile, house.till)
    assert sandbox.ledger(checkout.order_id)["find_calls"] == 2


def test_a_webhook_with_another_secret_is_forged_and_asks_nothing(
    house: House, buyer: Visitor, stranger: Visitor, admin: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.buy(buyer)
    lie = word(checkout, status="CANCELED", balanceAmount=0, secret="ps_forged")
    assert stranger.post("/webhooks/toss", json=lie).status_code == 200
    assert [row.forged for row in webhooks(house)] == [True]
    assert sandbox.ledger(checkout.order_id)["find_calls"] == 0
    assert house.payment(checkout.order_id).status == "completed"
    assert_page(admin.get("/admin/webhooks"), "위조")


def test_a_lie_with_no_secret_is_looked_up_and_changes_nothing(
    house: House, buyer: Visitor, stranger: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.buy(buyer)
    stranger.post("/webhooks/toss", json=word(checkout, status="CANCELED", balanceAmount=0))
    assert sandbox.ledger(checkout.order_id)["find_calls"] == 1
    assert house.payment(checkout.order_id).status == "completed"
    assert house.refunds(checkout.order_id) == []


def test_a_cancellation_in_the_pg_s_console_is_noticed(
    house: House, buyer: Visitor, stranger: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.buy(buyer)
    answer = sandbox.http.post(
        f"/toss/v1/payments/{checkout.payment_key}/cancel", auth=("test_sk_sandbox", ""), json={"cancelReason": "콘솔"}
    )
    body = {"eventType": "PAYMENT_STATUS_CHANGED", "createdAt": "x", "data": answer.json()}
    stranger.post("/webhooks/toss", json=body)
    assert house.payment(checkout.order_id).status == "refunded"


def test_news_of_what_our_own_call_did_spares_the_pg_a_question(
    house: House, buyer: Visitor, stranger: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.buy(buyer)
    secret = house.payment(checkout.order_id).pg_secret
    stranger.post("/webhooks/toss", json=word(checkout, secret=secret))
    assert sandbox.ledger(checkout.order_id)["find_calls"] == 0
    assert webhooks(house)[0].handled_at


@pytest.mark.parametrize(("seconds", "answered"), [(-1, False), (1, True)])
def test_a_webhook_is_answered_only_by_a_question_that_came_after_it(
    house: House, buyer: Visitor, stranger: Visitor, cashier: Cashier, seconds: int, answered: bool
) -> None:
    """Meanwhile somebody else has asked, too, and hears nothing."""
    checkout = cashier.buy(buyer)
    for amount in (1, 2):  # the second within a breath of the first
        stranger.post("/webhooks/toss", json=word(checkout, balanceAmount=amount))
    told, payment = webhooks(house)[1], house.payment(checkout.order_id)
    assert told.handled_at is None

    async def asked_again(session: AsyncSession) -> None:
        (await find(session, checkout.order_id)).checked_at = told.received_at + timedelta(seconds=5)

    house.change(asked_again)
    said = Receipt(
        status="paid",
        order_id=checkout.order_id,
        transaction_id=payment.pg_transaction_id,
        paid=payment.amount,
        asked=told.received_at + timedelta(seconds=seconds),
    )
    house.run(receipts.write, house.till, checkout.order_id, said, "reconciler")
    assert bool(webhooks(house)[1].handled_at) is answered
    assert (house.payment(checkout.order_id).next_check_at is None) is answered, "the reconciler looks after it"


def test_an_unknown_order_is_neither_stored_nor_asked_about(house: House, stranger: Visitor, sandbox: Sandbox) -> None:
    unknown = Checkout("A" * 24)
    assert stranger.post("/webhooks/toss", json=word(unknown)).status_code == 200
    assert webhooks(house) == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"eventType":"x"}', b'{"eventType":"x","data":[]}'])
def test_a_body_that_cannot_be_read_is_refused(house: House, stranger: Visitor, body: bytes) -> None:
    answer = stranger.post("/webhooks/toss", content=body)
    if answer.status_code != 200:
        assert_problem(answer, 400, "BAD_REQUEST")
    assert webhooks(house) == []


def test_a_body_in_other_letters_than_utf_8_is_refused(
    house: House, buyer: Visitor, stranger: Visitor, cashier: Cashier
) -> None:
    body = json.dumps(word(cashier.order(buyer)))
    for encoding in ("utf-16", "utf-16-le", "utf-32"):
        assert_problem(stranger.post("/webhooks/toss", content=body.encode(encoding)), 400, "BAD_REQUEST")
    assert webhooks(house) == []


@pytest.mark.parametrize(
    ("database_url", "at"), [("sqlite", "portone_v1"), ("postgresql", "portone_v1")], indirect=True
)
def test_a_nul_in_a_body_is_kept_as_what_every_database_can_keep(
    house: House, buyer: Visitor, stranger: Visitor, cashier: Cashier
) -> None:
    order_id = cashier.order(buyer).order_id
    answer = stranger.post("/webhooks/portone_v1", content=f"imp_uid=imp_1\0&merchant_uid={order_id}".encode())
    assert answer.status_code == 200
    assert webhooks(house)[0].body == f"imp_uid=imp_1\ufffd&merchant_uid={order_id}"


def test_a_webhook_that_was_stored_before_we_died_is_handled_by_the_reconciler(
    house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.authenticate(buyer)
    sandbox.fault("confirm", "reset", when="after")
    buyer.get(checkout.back)
    toss = house.till.gateways["toss"]
    assert house.run(inbox.receive, house.till, toss, {}, json.dumps(word(checkout)).encode())
    house.run(reconciler.reconcile, house.till)
    assert house.payment(checkout.order_id).status == "completed"


def test_an_operator_has_a_webhook_acted_on_again(
    house: House, buyer: Visitor, stranger: Visitor, admin: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.open(buyer, cashier.order(buyer))
    stranger.post("/webhooks/toss", json=word(checkout))
    assert_page(admin.get("/admin/webhooks"), "처리함", "다시 처리")
    breathe(house, checkout.order_id)
    answer = admin.post(f"/admin/webhooks/{webhooks(house)[0].id}")
    assert answer.headers["location"] == "/admin/webhooks"
    assert sandbox.ledger(checkout.order_id)["find_calls"] == 2
    assert_page(admin.post("/admin/webhooks/999"), status=404)
