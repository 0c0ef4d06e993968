"""The PG's book against ours: four buckets, and the way to mend them."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app import audit, settlement
from app.clock import KST, now
from app.daily import Daily
from app.models import Event, Payment, Purchase, Refund, Status
from app.sweep import Bucket, Sweep, sweep
from app.till import find
from tests import story
from tests.conftest import Cashier, House, Visitor
from tests.fragments import assert_page, words
from tests.sandboxes import Sandbox


def swept(house: House) -> Sweep:
    found: Sweep = house.run(sweep, house.till, now() - timedelta(hours=1), now() + timedelta(minutes=1))
    return found


def today() -> str:
    return f"{now().astimezone(KST):%Y-%m-%d}"


def test_equal_books_have_no_difference(
    house: House, buyer: Visitor, member: Visitor, admin: Visitor, cashier: Cashier
) -> None:
    cashier.refund(admin, cashier.buy(buyer), amount="3000")
    cashier.refund(admin, cashier.buy(member))
    cashier.buy(member, story.DISCOUNTED)
    cashier.order(buyer, story.DISCOUNTED)
    found = swept(house)
    assert (found.orders, list(found.differences)) == (3, [])


@pytest.mark.parametrize(
    ("database_url", "at"), [("sqlite", "portone"), ("sqlite", "portone_v1")], indirect=["database_url"]
)
def test_what_a_window_took_after_we_had_closed_the_order_is_found(
    house: House, buyer: Visitor, cashier: Cashier
) -> None:
    """And nobody told: no webhook, and the browser never came back."""
    checkout = cashier.authenticate(buyer)

    async def close(session: AsyncSession) -> None:
        payment = await find(session, checkout.order_id)
        payment.status, payment.next_check_at = Status.EXPIRED, None
        payment.created_at -= timedelta(minutes=90)

    house.change(close)
    found = swept(house)
    assert [(it.bucket, it.order_id) for it in found.differences] == [(Bucket.STATES, checkout.order_id)]
    house.run(settlement.settle, house.till, checkout.order_id, story.ADMIN)
    assert house.payment(checkout.order_id).status == "completed"
    assert list(swept(house).differences) == []


def test_each_kind_of_difference_lands_in_its_bucket(
    house: House, buyer: Visitor, member: Visitor, other: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    lost, forgotten, partly, good = (
        cashier.buy(buyer),
        cashier.buy(member),
        cashier.buy(other),
        cashier.buy(member, story.DISCOUNTED),
    )
    invented = cashier.order(buyer, story.DISCOUNTED)
    sandbox.http.post(
        f"/toss/v1/payments/{partly.payment_key}/cancel",
        auth=("test_sk_sandbox", ""),
        json={"cancelReason": "콘솔", "cancelAmount": 500},
    ).raise_for_status()

    async def break_books(session: AsyncSession) -> None:
        gone = await find(session, lost.order_id)
        for table in (Event, Purchase, Refund):
            for row in (await session.exec(select(table).where(col(table.payment_id) == gone.id))).all():
                await session.delete(row)
        await session.delete(gone)
        (await find(session, forgotten.order_id)).status = "in_doubt"  # type: ignore[assignment]
        (await find(session, forgotten.order_id)).paid_amount = 0
        fiction = await find(session, invented.order_id)
        fiction.status, fiction.paid_amount, fiction.completed_at = "completed", 9_900, now()  # type: ignore[assignment]

    house.change(break_books)
    found = swept(house)
    assert {difference.order_id: difference.bucket for difference in found.differences} == {
        lost.order_id: Bucket.ONLY_PG,
        forgotten.order_id: Bucket.STATES,
        partly.order_id: Bucket.AMOUNTS,
        invented.order_id: Bucket.ONLY_HERE,
    }
    assert good.order_id not in {difference.order_id for difference in found.differences}


def test_the_page_shows_the_buckets_and_mends_one_with_a_click(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.buy(buyer)
    sandbox.http.post(
        f"/toss/v1/payments/{checkout.payment_key}/cancel", auth=("test_sk_sandbox", ""), json={"cancelReason": "콘솔"}
    ).raise_for_status()
    url = f"/admin/reconciliation?from={today()}&to={today()}"
    page = assert_page(admin.get(url), "1건이 다릅니다", "금액이 다름", "PG 기준으로 맞추기")
    form = page.select_one("form[action^='/admin/reconciliation/']")
    assert form
    assert admin.post(str(form["action"])).headers["location"] == f"/admin/payments/{checkout.order_id}"
    assert house.payment(checkout.order_id).status == "refunded"
    assert_page(admin.get(url), "모두 같습니다")
    assert story.BODY not in buyer.get(f"/prompts/{story.PROMPT}").text


def test_a_pg_that_keeps_its_book_shut_is_told_and_nothing_is_claimed(
    house: House, admin: Visitor, sandbox: Sandbox
) -> None:
    sandbox.fault("transactions", "status", status=500)
    page = assert_page(admin.get(f"/admin/reconciliation?from={today()}"), "거래 내역을 보여 주지 않습니다", status=422)
    assert "모두 같습니다" not in words(page)
    assert_page(admin.get("/admin/reconciliation?from=2026-01-01&to=2026-12-31"), "31일 안으로", status=422)
    assert_page(admin.get("/admin/reconciliation"), "맞춰 보기")


@pytest.mark.parametrize(("database_url", "at"), [("sqlite", "toss"), ("sqlite", "portone")], indirect=True)
def test_a_pg_may_take_its_time_over_its_book(house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox) -> None:
    """Longer than PG_TIMEOUT, which is for what a buyer waits for."""
    cashier.buy(buyer)
    sandbox.fault("transactions", "delay", cashier.pg, seconds=house.settings.pg_timeout + 0.2)
    found = swept(house)
    assert (found.orders, list(found.differences)) == (1, [])


def test_many_movements_are_read_page_after_page(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.gateways.toss.PAGE", 2)
    checkout = cashier.buy(buyer)
    for _ in range(5):
        cashier.refund(admin, checkout, amount="1000")
    assert list(swept(house).differences) == []


def findings(house: House) -> list[str]:
    async def run() -> list[str]:
        async with house.till.db.read() as session:
            return [finding.rule for finding in await audit.audit(session)]

    rules: list[str] = house.run(run)
    return rules


def test_the_books_of_an_ordinary_day_are_right(
    house: House, buyer: Visitor, member: Visitor, admin: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    cashier.refund(admin, cashier.buy(buyer), amount="3000")
    cashier.refund(admin, cashier.buy(member))
    cashier.order(buyer, story.DISCOUNTED)
    declined = cashier.authenticate(member, story.DISCOUNTED, button="over-limit")
    member.get(declined.back)
    silent = cashier.authenticate(buyer, story.DISCOUNTED)
    sandbox.fault("confirm", "reset", when="after")
    buyer.get(silent.back)
    assert findings(house) == []


def test_every_rule_of_the_audit_can_be_broken(house: House, buyer: Visitor, admin: Visitor, cashier: Cashier) -> None:
    checkout = cashier.buy(buyer)
    cashier.refund(admin, checkout, amount="3000")
    broken: dict[str, dict[type, dict[str, object]]] = {
        "환불 합계가 예약된 금액과 같다": {Payment: {"refunded_amount": 2000}},
        "환불 합계가 받은 금액을 넘지 않는다": {Refund: {"amount": 10_001}},
        "돈을 받은 결제만 완료나 환불이다": {Payment: {"status": "failed"}},
        "완료된 결제는 프롬프트를 열었거나 전액을 돌려주는 중이다": {Purchase: {"revoked_at": now()}},
        "열린 프롬프트에는 완료된 결제가 있다": {Payment: {"status": "expired"}},
        "주문과 다른 금액으로는 프롬프트를 열지 않는다": {Payment: {"paid_amount": 9_000}},
        "환불 완료는 받은 돈을 모두 돌려준 것이다": {Payment: {"status": "refunded"}},
        "끝나지 않은 것은 다시 물을 때가 정해져 있다": {Refund: {"status": "in_doubt"}},
        "끝난 환불에는 PG의 거래번호가 있다": {Refund: {"pg_transaction_id": None}},
        "돈이 움직인 결제에는 PG의 거래번호가 있다": {Payment: {"pg_transaction_id": None}},
        "모든 상태 변화는 정해진 길이다": {Event: {"kind": "expired"}},
        "기록은 끊기지 않는다": {Event: {"before": "waiting"}},
        "마지막 기록이 지금 상태다": {Payment: {"status": "canceled"}},
        "날마다의 합계가 기록과 같다": {Daily: {"gross": 1}},
    }
    assert findings(house) == []
    for rule, changes in broken.items():
        before = _change(house, changes)
        assert rule in findings(house), rule
        _change(house, before)
        assert findings(house) == [], f"{rule} was not mended"
    assert set(audit.rules()) == set(broken), "every rule is broken once"


def _change(house: House, changes: dict[type, dict[str, object]]) -> dict[type, dict[str, object]]:
    """Write these columns into the last row of each table; answers what stood there."""
    before: dict[type, dict[str, object]] = {}

    async def write(session: AsyncSession) -> None:
        for table, facts in changes.items():
            rows: Any = select(table).order_by(getattr(table, "id", text("1")))
            row = (await session.exec(rows)).all()[2 if table is Event else -1]  # the third event is "completed"
            before[table] = {name: getattr(row, name) for name in facts}
            for name, value in facts.items():
                setattr(row, name, value)

    house.change(write)
    return before
