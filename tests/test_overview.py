"""What each day brought, exact to the won, whatever happened, and drawn without looking at a payment."""

from datetime import timedelta

import pytest
import time_machine
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app import audit
from app.clock import KST, now
from app.daily import COUNTS, Daily
from app.models import Status
from app.till import find
from tests import story
from tests.conftest import Cashier, House, Visitor
from tests.fragments import assert_fragment, assert_page, one, words


def totals(house: House) -> dict[str, int]:
    rows: list[Daily] = house.rows(select(Daily))
    return {name: count for name in COUNTS if (count := sum(getattr(row, name) for row in rows))}


def broken(house: House) -> list[str]:
    async def look() -> list[str]:
        async with house.till.db.read() as session:
            return [found.rule for found in await audit.audit(session)]

    rules: list[str] = house.run(look)
    return rules


def test_every_change_is_counted_in_the_transaction_that_makes_it(
    house: House, buyer: Visitor, other: Visitor, admin: Visitor, cashier: Cashier
) -> None:
    paid = cashier.buy(buyer)
    assert totals(house) == {"created": 1, "completed": 1, "gross": 10_000}
    cashier.refund(admin, paid, amount="3000")
    cashier.refund(admin, paid)
    left = cashier.order(other, story.DISCOUNTED)
    other.get(f"{left.path}/return?code=USER_CANCEL")
    declined = cashier.order(other)
    other.get(f"{declined.path}/return?code=REJECT_CARD_COMPANY")
    assert totals(house) == {
        "created": 3,
        "completed": 1,
        "failed": 1,
        "abandoned": 1,
        "gross": 10_000,
        "refunds": 2,
        "refunded": 10_000,
    }
    assert broken(house) == []


def test_what_is_rolled_back_was_never_counted(house: House, buyer: Visitor, cashier: Cashier) -> None:
    checkout = cashier.order(buyer)
    before = totals(house)

    async def fail(session: AsyncSession) -> None:
        payment = await find(session, checkout.order_id)
        session.add(payment.move("canceled", "buyer"))
        await session.flush()
        raise InterruptedError

    with pytest.raises(InterruptedError):
        house.change(fail)
    assert totals(house) == before
    assert house.payment(checkout.order_id).status == Status.PENDING


def test_the_audit_finds_a_day_that_was_miscounted(house: House, buyer: Visitor, cashier: Cashier) -> None:
    cashier.buy(buyer)
    assert broken(house) == []

    async def miscount(session: AsyncSession) -> None:
        for row in (await session.exec(select(Daily))).all():
            row.gross += 1

    house.change(miscount)
    assert broken(house) == ["날마다의 합계가 기록과 같다"]


def test_a_day_ends_at_midnight_in_korea(house: House, buyer: Visitor, cashier: Cashier) -> None:
    last = now().astimezone(KST).replace(hour=23, minute=59, second=59, microsecond=0) - timedelta(days=1)
    with time_machine.travel(last, tick=False):
        cashier.order(house.visitor(story.BUYER))
    with time_machine.travel(last + timedelta(seconds=1), tick=False):
        cashier.order(house.visitor(story.BUYER))
    rows = house.rows(select(Daily).order_by(col(Daily.day)))
    assert [(row.day, row.created) for row in rows] == [(last.date(), 1), (last.date() + timedelta(days=1), 1)]
    assert broken(house) == []


def test_the_overview_says_what_came_in_what_went_back_and_what_is_left(
    buyer: Visitor, other: Visitor, admin: Visitor, cashier: Cashier
) -> None:
    cashier.refund(admin, cashier.buy(buyer), amount="3000")
    declined = cashier.order(other)
    other.get(f"{declined.path}/return?code=REJECT_CARD_COMPANY")
    page = assert_page(admin.get("/admin"), "오늘", "최근 7일", "최근 30일")
    today = words(one(str(page), "section[aria-labelledby=span-1]"))
    for text in ("결제 1건 ₩10,000", "환불 1건 −₩3,000", "순매출 ₩7,000", "승인율 50.0%"):
        assert text in today
    assert len(page.select("svg g")) == 30
    days = [str(time["datetime"]) for time in page.select(".chart-words time")]
    assert days == [f"{now().astimezone(KST) - timedelta(days=back):%Y-%m-%d}" for back in (29, 0)]
    assert "결제 환불 가장 높은 막대 ₩10,000" in words(one(str(page), ".chart-words:has(.chart-key)"))
    assert "카드" in words(one(str(page), "table:has(caption:-soup-contains('결제수단'))"))
    assert not page.select("[style]"), "the policy forbids it"
    assert_fragment(admin.part("GET", "/admin"), "순매출 ₩7,000")


def test_an_empty_shop_has_an_overview_too(admin: Visitor) -> None:
    assert_page(admin.get("/admin"), "승인율 —", "아직 결제가 없습니다.", "살펴볼 결제가 없습니다.")
