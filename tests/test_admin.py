"""An operator looks at payments, filters them, and gives money back."""

from datetime import UTC, datetime

import pytest
import time_machine
from sqlmodel.ext.asyncio.session import AsyncSession

from app import render
from app.clock import KST
from app.till import find
from tests import story
from tests.conftest import Cashier, House, Visitor
from tests.fragments import (
    assert_form_again,
    assert_fragment,
    assert_notice,
    assert_page,
    assert_row_redrawn,
    one,
    soup,
    words,
)
from tests.sandboxes import Sandbox


def listed(html: str) -> list[str]:
    """The order ids of the rows, from the top."""
    return [str(row["id"]).removeprefix("payment-") for row in soup(html).select("tr[data-status]")]


def dated(house: House, order_id: str, moment: datetime) -> None:
    async def date(session: AsyncSession) -> None:
        (await find(session, order_id)).created_at = moment.astimezone(UTC)

    house.change(date)


def test_the_table_has_a_caption_and_a_row_for_every_payment(buyer: Visitor, admin: Visitor, cashier: Cashier) -> None:
    done, open_ = cashier.buy(buyer), cashier.order(buyer, story.DISCOUNTED)
    page = assert_page(admin.get("/admin/payments"), "결제 완료", "결제 대기", "b***@example.com")
    assert words(one(str(page), "table caption")) == "결제 목록"
    assert listed(str(page)) == [open_.order_id, done.order_id]
    assert one(str(page), f"#payment-{done.order_id}")["data-status"] == "completed"


def test_an_empty_table_says_so(admin: Visitor) -> None:
    assert_page(admin.get("/admin/payments"), "맞는 결제가 없습니다")


def test_filters_narrow_the_list_and_the_url_says_what_is_on_screen(
    house: House, buyer: Visitor, member: Visitor, admin: Visitor, cashier: Cashier
) -> None:
    done, open_ = cashier.buy(buyer), cashier.order(member, story.DISCOUNTED)
    for query, expected in (
        ("status=completed", [done]),
        ("status=pending", [open_]),
        ("status=refunded", []),
        ("payment_method=card", [open_, done]),
        ("payment_method=transfer", []),
        ("q=김찐", [open_, done]),  # the name typed in the form
        ("q=member@", [open_]),
        ("q=MEMBER@EXAMPLE", [open_]),
        (f"q={done.order_id}", [done]),
        (f"q={done.order_id[:8]}", [done]),
        ("q=%25", []),
        ("sort=created_at", [done, open_]),
        ("sort=amount", [open_, done]),
        ("sort=-amount", [done, open_]),
    ):
        wanted = [checkout.order_id for checkout in expected]
        assert listed(admin.get(f"/admin/payments?{query}").text) == wanted, query
        assert listed(assert_fragment(admin.part("GET", f"/admin/payments?{query}")).decode()) == wanted, query


def test_what_is_chosen_is_a_step_back_and_what_is_typed_is_none(admin: Visitor) -> None:
    def asked(query: str, *, at: str) -> tuple[str | None, str | None]:
        here = {"HX-Current-URL": f"http://testserver/admin/payments{at}"}
        answer = admin.part("GET", f"/admin/payments?{query}", headers=here)
        return answer.headers.get("hx-push-url"), answer.headers.get("hx-replace-url")

    chosen = "/admin/payments?status=completed"
    assert asked("q=&status=completed&sort=", at="") == (chosen, None)
    assert asked("status=completed", at="?status=failed&q=#payment-rows") == (chosen, None)
    assert asked("q=k&status=completed", at="?status=completed") == (None, f"{chosen}&q=k")
    assert asked("q=&status=completed", at="?q=kim&status=completed") == (None, chosen)
    assert asked("q=&status=", at="?from=never") == ("/admin/payments", None)


def test_one_press_takes_every_condition_away(admin: Visitor) -> None:
    for query in ("status=completed", "q=kim", "attention=any", "sort=amount"):
        assert one(admin.get(f"/admin/payments?{query}").text, "a.clear")["href"] == "/admin/payments"
    for query in ("", "cursor=last"):
        assert not soup(admin.get(f"/admin/payments?{query}").text).select("a.clear"), query


def test_dates_are_days_in_korea(house: House, buyer: Visitor, admin: Visitor, cashier: Cashier) -> None:
    late, early = cashier.order(buyer), cashier.order(buyer)
    dated(house, late.order_id, datetime(2026, 3, 1, 23, 59, 59, tzinfo=KST))
    dated(house, early.order_id, datetime(2026, 3, 2, 0, 0, 0, tzinfo=KST))
    assert listed(admin.get("/admin/payments?from=2026-03-01&to=2026-03-01").text) == [late.order_id]
    assert listed(admin.get("/admin/payments?from=2026-03-02").text) == [early.order_id]
    assert listed(admin.get("/admin/payments?to=2026-03-01").text) == [late.order_id]
    assert_page(admin.get("/admin/payments?from=2026-03-02&to=2026-03-02"), "03-02 00:00")


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        (datetime(2026, 12, 31, 14, 59, tzinfo=UTC), "26-12-31 23:59"),
        (datetime(2026, 12, 31, 15, 0, tzinfo=UTC), "01-01 00:00"),
    ],
)
def test_a_date_of_another_year_says_which(moment: datetime, said: str) -> None:
    with time_machine.travel(datetime(2027, 1, 1, tzinfo=KST), tick=False):
        assert render.kst_short(moment) == said


def test_a_filter_that_makes_no_sense_is_told_and_kept(admin: Visitor) -> None:
    answer = admin.get("/admin/payments?from=2026-03-02&to=2026-03-01&q=김")
    page = assert_page(answer, "시작일이 종료일보다 늦습니다", status=422)
    assert one(str(page), "#search")["value"] == "김"
    for text in ("맞는 결제가 없습니다", "살펴볼 결제가 없습니다", "내보내기"):
        assert text not in words(page), "nobody has looked"
    assert_page(admin.get("/admin/payments?cursor=nonsense"), "이어 보기 주소가 올바르지 않습니다", status=422)


def test_pages_follow_a_cursor_that_new_payments_do_not_shift(
    buyer: Visitor, admin: Visitor, cashier: Cashier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.routes.admin.PAGE", 2)
    orders = [cashier.order(buyer).order_id for _ in range(5)][::-1]
    page = admin.get("/admin/payments").text
    assert listed(page) == orders[:2]
    cashier.order(buyer)
    following = admin.part("GET", str(one(page, "#more a")["hx-get"])).text
    assert listed(following) == orders[2:4]
    assert listed(admin.get(str(one(following, "#more a")["href"])).text) == orders[4:]


def test_the_refund_form_opens_in_a_row_of_its_own(buyer: Visitor, admin: Visitor, cashier: Cashier) -> None:
    checkout = cashier.buy(buyer)
    url = f"/admin/payments/{checkout.order_id}/refunds/new"
    fragment = assert_fragment(admin.part("GET", url), "환불 금액", "환불 사유", "환불하기", "남은 금액 ₩10,000")
    assert fragment.select_one(f"tr#refund-{checkout.order_id}")
    assert_page(admin.get(url), "환불 금액", "환불하기")


def test_a_wrong_refund_keeps_what_was_typed(buyer: Visitor, admin: Visitor, cashier: Cashier) -> None:
    checkout = cashier.buy(buyer)
    answer = cashier.refund(admin, checkout, amount="천원", reason="광고와 다름", key="k")
    assert_form_again(answer, "amount", "1원 이상의 숫자로", amount="천원", reason="광고와 다름", key="k")
    answer = cashier.refund(admin, checkout, amount="10001", reason="단순변심")
    assert_form_again(answer, "amount", "환불할 수 있는 금액은 ₩10,000입니다", status=409, amount="10001")
    answer = cashier.refund(admin, checkout, amount="100", reason=" ")
    assert_form_again(answer, "reason", "환불 사유를", amount="100")


def test_a_stale_refund_form_says_who_was_faster_and_keeps_the_reason(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.buy(buyer)
    url = f"/admin/payments/{checkout.order_id}/refunds"
    form = admin.part("GET", f"{url}/new").text
    stale = {str(field["name"]): str(field["value"]) for field in soup(form).select("input")} | {
        "reason": "광고와 다름"
    }
    assert stale["amount"] == "10,000"
    cashier.refund(admin, checkout, amount="3000")
    answer = admin.part("POST", url, data=stale)
    sentence = "그 사이 최관리가 ₩3,000 환불함 · 남은 금액 ₩7,000"
    assert_form_again(answer, "amount", sentence, status=409, reason="광고와 다름", amount="7,000")
    assert sandbox.ledger(checkout.order_id)["refunded"] == 3000
    typed = admin.part("POST", url, data=stale | {"amount": "500"})
    assert_form_again(typed, "amount", sentence, status=409, reason="광고와 다름", amount="500", remaining="7000")
    assert admin.part("POST", url, data=stale | {"amount": "500", "remaining": "7000"}).status_code == 200
    assert admin.part("POST", url, data=stale | {"amount": "500"}).status_code == 200, "one key is one refund"
    assert sandbox.ledger(checkout.order_id)["refunded"] == 3500


def test_the_refund_form_says_how_the_money_goes_back_by_the_way_it_came(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier
) -> None:
    checkout = cashier.buy(buyer)
    for method, sentence in (
        ("card", "카드는 3~4영업일 안에 취소됩니다."),
        ("kakao", "머니나 포인트는 낸 곳으로 돌아갑니다."),
        ("transfer", "결제한 계좌로 돌아갑니다."),
        ("mobile", "통신 요금에서 빠집니다."),
        ("of_tomorrow", "결제한 수단으로 돌아갑니다."),
    ):

        async def pay_by(session: AsyncSession, method: str = method) -> None:
            (await find(session, checkout.order_id)).payment_method = method

        house.change(pay_by)
        form = admin.part("GET", f"/admin/payments/{checkout.order_id}/refunds/new")
        assert sentence in words(one(form.text, ".after")), method


def test_every_page_of_the_console_leads_to_the_others_and_says_where_one_is(
    buyer: Visitor, admin: Visitor, cashier: Cashier
) -> None:
    paid = cashier.buy(buyer).order_id
    for url, here, exactly in (
        ("/admin", "개요", "page"),
        ("/admin/payments", "결제", "page"),
        (f"/admin/payments/{paid}", "결제", "true"),
        (f"/admin/payments/{paid}/refunds/new", "결제", "true"),
        ("/admin/approvals", "기다리는 환불", "page"),
        ("/admin/bulk-refunds", "일괄 환불", "page"),
        ("/admin/reconciliation", "대사", "page"),
        ("/admin/webhooks", "받은 웹훅", "page"),
    ):
        page = admin.get(url).text
        assert len(soup(page).select("#menu a")) == 6, url
        current = one(page, "#menu [aria-current]")
        assert (words(current), current["aria-current"]) == (here, exactly), url
        assert words(one(page, ".top-links [aria-current]")) == "결제 관리", url
    for url in ("/admin/views", "/admin/nowhere"):
        assert soup(admin.get(url).text).select("#menu"), url
    assert not soup(admin.get("/").text).select("#menu"), "the shop is no part of it"
    assert not soup(buyer.get("/admin").text).select("#menu"), "nor is it shown to others"


def test_an_error_leads_an_operator_to_the_list_and_a_buyer_to_the_shop(buyer: Visitor, admin: Visitor) -> None:
    for visitor, address in ((admin, "/admin/payments"), (buyer, "/")):
        page = assert_page(visitor.get("/nowhere"), status=404)
        assert one(str(page), ".outcome a")["href"] == address


def test_a_proposed_reason_stands_in_the_form(buyer: Visitor, admin: Visitor, cashier: Cashier) -> None:
    checkout = cashier.buy(buyer)
    form = admin.part("GET", f"/admin/payments/{checkout.order_id}/refunds/new?reason=중복결제").text
    assert one(form, "input[name=reason]")["value"] == "중복결제"


@pytest.mark.parametrize(("who", "subject"), [("김수", "김수가"), ("박남", "박남이"), ("관리자 B", "관리자 B가")])
def test_a_name_gets_the_particle_that_fits(who: str, subject: str) -> None:
    assert render.subject(who) == subject


def test_a_refund_works_without_htmx_too(buyer: Visitor, admin: Visitor, cashier: Cashier) -> None:
    checkout = cashier.buy(buyer)
    url = f"/admin/payments/{checkout.order_id}"
    wrong = admin.post(f"{url}/refunds", data={"amount": "0", "reason": "오류", "key": "k"})
    assert_form_again(wrong, "amount", "1원 이상의", reason="오류")
    answer = admin.post(f"{url}/refunds", data={"amount": "", "reason": "오류", "key": "k"})
    assert answer.headers["location"] == url
    assert_page(admin.get(url), "환불 완료", "전액 환불되어")


def test_the_timeline_tells_who_did_what_and_when(buyer: Visitor, admin: Visitor, cashier: Cashier) -> None:
    checkout = cashier.buy(buyer)
    assert_row_redrawn(cashier.refund(admin, checkout, amount="3000"), checkout.order_id, status="completed")
    page = assert_page(admin.get(f"/admin/payments/{checkout.order_id}"), "남은 금액 ₩7,000")
    told = [words(entry) for entry in page.select(".timeline li")]
    assert len(told) == 5
    assert "주문했습니다" in told[0]
    assert "구매자" in told[0]
    assert "결제가 승인되어" in told[2]
    assert "환불을 요청했습니다 · ₩3,000 · 단순변심" in told[3]
    assert "admin@example.com" in told[3]
    assert all(entry[:2] == "20" for entry in told), "each says when"


def test_an_unknown_order_is_a_notice_in_the_table_and_a_page_elsewhere(admin: Visitor) -> None:
    url = "/admin/payments/aaaaaaaaaaaaaaaaaaaaaaaa/refunds/new"
    assert_notice(admin.part("GET", url), "그런 주문이 없습니다", status=404)
    assert_page(admin.get(url), "그런 주문이 없습니다", status=404)


def test_the_file_opens_in_excel_with_korean_intact_and_runs_no_formula(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier
) -> None:
    cashier.order(buyer, buyer_name="=HYPERLINK(1)")
    done = cashier.buy(buyer)
    answer = admin.get("/admin/payments.csv?status=completed")
    assert answer.content.startswith(b"\xef\xbb\xbf")
    lines = answer.text.removeprefix("\ufeff").splitlines()
    assert lines[0].startswith("주문번호,시각(KST),상태")
    assert len(lines) == 2
    assert lines[1].startswith(done.order_id)
    assert ",'=HYPERLINK(1)," in admin.get("/admin/payments.csv").text
