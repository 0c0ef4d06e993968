"""Saved views: a filter with a name, shared by everybody who works here."""

from urllib.parse import parse_qs, urlsplit

import pytest

from app.routes import views
from tests import story
from tests.conftest import Cashier, House, Visitor
from tests.fragments import assert_form_again, assert_fragment, assert_notice, assert_page, one, soup, words

one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def save(visitor: Visitor, name: str, query: str) -> object:
    """Through the form above the table, as htmx posts it."""
    page = visitor.get(f"/admin/payments?{query}").text
    form = one(page, "#views form")
    data = {"query": str(one(str(form), "[name=query]")["value"]), "view": name}
    return visitor.part("POST", str(form["hx-post"]), data=data)


def chips(html: str) -> dict[str, str]:
    return {words(chip): str(chip["href"]) for chip in soup(html).select(".chip")}


def test_a_filter_with_a_name_is_one_press_away_for_everyone(
    house: House, buyer: Visitor, operator: Visitor, admin: Visitor, cashier: Cashier
) -> None:
    done = cashier.buy(buyer)
    cashier.order(buyer, story.DISCOUNTED)
    saved = assert_fragment(save(operator, "최근 완료", "status=completed&period=7d&cursor=last"), "저장했습니다")  # type: ignore[arg-type]
    assert words(one(str(saved), ".chip[aria-current]")) == "최근 완료"
    address = chips(admin.get("/admin/payments").text)["최근 완료"]
    assert parse_qs(urlsplit(address).query) == {"status": ["completed"], "period": ["7d"]}, "no dates, no place"
    page = assert_page(admin.get(address))
    assert [row["id"] for row in page.select("tr[data-status]")] == [f"payment-{done.order_id}"]
    assert words(one(str(page), ".chip[aria-current]")) == "최근 완료"
    assert words(one(admin.part("GET", address).text, ".chip[aria-current]")) == "최근 완료"


@one_database
def test_one_s_own_name_gets_the_new_filter_and_another_s_is_left_alone(operator: Visitor, admin: Visitor) -> None:
    save(operator, "큰 결제", "amount_from=50000")
    save(admin, "환불", "status=refunded")
    again = save(operator, "큰 결제", "amount_from=100000")
    assert_fragment(again, "‘큰 결제’ 보기를 새 조건으로 바꾸었습니다")  # type: ignore[arg-type]
    assert chips(admin.get("/admin/payments").text)["큰 결제"].endswith("?amount_from=100000")
    taken = save(operator, "환불", "status=failed")
    assert_form_again(taken, "view", "admin@example.com님이 저장한 보기입니다", status=409, view="환불")  # type: ignore[arg-type]
    assert_fragment(save(admin, "큰 결제", "amount_from=70000"), "새 조건으로")  # type: ignore[arg-type]


@one_database
def test_a_view_is_thrown_away_by_who_saved_it_or_an_owner(viewer: Visitor, operator: Visitor, admin: Visitor) -> None:
    save(viewer, "내 것", "status=failed")
    save(operator, "남의 것", "status=failed")
    page = assert_page(viewer.get("/admin/views"), "결제 실패", "operator@example.com")
    (own,) = page.select("td form")
    (address,) = [str(form["action"]) for form in soup(operator.get("/admin/views").text).select("td form")]
    assert_notice(viewer.part("POST", address), "저장한 사람이나 소유자만", status=403)
    assert viewer.post(str(own["action"])).headers["location"] == "/admin/views"
    assert admin.post(address).headers["location"] == "/admin/views"
    assert_page(admin.get("/admin/views"), "저장한 보기가 없습니다")
    assert not chips(admin.get("/admin/payments").text)


@one_database
def test_a_filter_is_told_as_people_say_it(admin: Visitor) -> None:
    every = {
        "status=completed&payment_method=card&gateway=toss": "결제 완료 · 카드·간편결제 · 토스페이먼츠",
        "q=김&period=7d&sort=-amount": "‘김’ 검색 · 최근 7일 · 금액 큰 순",
        "period=today&from=2026-03-01": "2026-03-01 – 지금",
        "attention=stuck&amount_from=1000&amount_to=50000": "멈춘 결제 · ₩1,000 이상 · ₩50,000 이하",
        "": "모든 결제",
    }
    for query, said in every.items():
        assert_page(admin.get(f"/admin/payments/export?{query}"), f"조건 {said}")
        assert_page(admin.get(f"/admin/bulk-refunds/matching?{query}"), said)


@one_database
def test_what_cannot_be_saved_says_why_and_keeps_the_name(admin: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "/admin/views/new"
    for data, sentence in (
        ({"view": "모두", "query": ""}, "저장할 조건이 없습니다"),
        ({"view": "모두", "query": "from=2026-03-02&to=2026-03-01"}, "시작일이 종료일보다 늦습니다"),
        ({"view": "가" * 31, "query": "status=failed"}, "30자 이하로"),
    ):
        answer = admin.part("POST", url, data=data)
        assert answer.status_code == 422
        assert sentence in answer.text
    assert not soup(admin.get("/admin/payments").text).select("#views form"), "nothing to save yet"
    without_a_script = admin.post(url, data={"view": "실패", "query": "status=failed"})
    assert_page(without_a_script, "‘실패’ 보기를 저장했습니다", "결제 실패")
    assert "보기 정리" in words(assert_page(admin.get("/admin/payments")))
    assert "보기 정리" not in words(assert_page(admin.get("/admin/views"))), "one is there already"
    monkeypatch.setattr(views, "MOST", 1)
    full = admin.part("POST", url, data={"view": "또", "query": "status=failed"})
    assert_form_again(full, "view", "지워 주세요", status=409, view="또")
