"""Choosing how to pay: the cards, their order, which one is chosen already, and every way through Toss."""

from collections.abc import Mapping
from typing import cast

import pytest
from bs4 import BeautifulSoup
from sqlmodel.ext.asyncio.session import AsyncSession

from app.circuit import SILENCES
from app.gateways import Gateway, Method
from app.gateways.kakaopay import KakaoPay
from app.gateways.portone import PortOne
from app.gateways.portone_v1 import PortOneV1
from app.gateways.toss import Toss
from app.till import find
from tests import story
from tests.conftest import Cashier, Checkout, House, Visitor
from tests.fragments import assert_fragment, assert_page, one, soup, words
from tests.sandboxes import Sandbox

SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ORDER_FORM = f"/payments/new?prompt_id={story.DISCOUNTED}"


def chosen(page: BeautifulSoup) -> str:
    """The card that is ticked when the form opens."""
    return str(one(str(page), "input[name=payment_method][checked]")["value"])


def bought(visitor: Visitor, cashier: Cashier, method: str, prompt_id: int = story.PROMPT) -> Checkout:
    checkout = cashier.press(cashier.open(visitor, cashier.order(visitor, prompt_id, payment_method=method)))
    assert visitor.get(checkout.back).status_code == 303
    return checkout


@pytest.mark.parametrize(
    ("database_url", "at", "more"),
    [("sqlite", "toss", {}), ("sqlite", "portone", PortOne.methods), ("sqlite", "portone_v1", PortOneV1.methods)],
    indirect=["database_url", "at"],
)
def test_every_method_is_a_card_named_by_its_label(house: House, buyer: Visitor, more: Mapping[str, Method]) -> None:
    page = assert_page(buyer.get(ORDER_FORM), "3일 안에 입금")
    cards = page.select(".method")
    assert [str(card.input and card.input["value"]) for card in cards] == [*Toss.methods, *KakaoPay.methods, *more]
    for card in cards:
        assert card.input
        method = house.till.methods[str(card.input["value"])]
        assert words(one(str(page), f"#{card.input['aria-labelledby']}")) == method.label
        assert words(one(str(page), f"#{card.input['aria-describedby']}")) == method.hint
        mark = one(str(card), ".method-mark")
        assert words(mark) == method.mark != ""
        assert mark["aria-hidden"] == "true"
        assert f"is-{method.brand}" in card["class"]
    assert chosen(page) == "card"


@SQLITE
def test_the_form_remembers_how_the_buyer_paid_last_on_any_device(
    house: House, buyer: Visitor, other: Visitor, cashier: Cashier
) -> None:
    bought(buyer, cashier, "naverpay")
    cashier.order(buyer, story.DISCOUNTED, payment_method="mobile")  # never paid
    elsewhere = house.visitor(story.BUYER)
    assert chosen(assert_fragment(elsewhere.part("GET", ORDER_FORM))) == "naverpay"
    assert chosen(assert_page(other.get(ORDER_FORM))) == "card"


@SQLITE
def test_a_method_that_is_gone_is_neither_offered_nor_chosen_and_keeps_its_name(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier
) -> None:
    checkout = bought(buyer, cashier, "tosspay")

    async def gone(session: AsyncSession) -> None:
        (await find(session, checkout.order_id)).payment_method = "cheque"

    assert "토스페이먼츠 · 토스페이" in words(soup(admin.get(f"/admin{checkout.path}").text))
    house.change(gone)
    page = assert_page(buyer.get(ORDER_FORM))
    assert chosen(page) == "card"
    assert "토스페이먼츠 · cheque" in words(soup(admin.get(f"/admin{checkout.path}").text))


@SQLITE
@pytest.mark.parametrize("method", [method for method in Toss.methods if method != "virtual_account"])
def test_a_buyer_pays_by_every_method_and_reads_at_once(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, sandbox: Sandbox, method: str
) -> None:
    checkout = bought(buyer, cashier, method)
    assert_page(buyer.get(checkout.path), "결제가 끝났습니다", story.BODY)
    assert house.payment(checkout.order_id).payment_method == method
    shown = sandbox.http.get(f"/toss/v1/payments/{checkout.payment_key}", auth=("test_sk_sandbox", "")).json()
    said = {"card": "카드", "tosspay": "간편결제", "naverpay": "간편결제", "transfer": "계좌이체", "mobile": "휴대폰"}
    assert shown["method"] == said[method]
    assert (shown["easyPay"] or {}).get("provider") == {"tosspay": "토스페이", "naverpay": "네이버페이"}.get(method)
    for amount in ("3000", ""):
        assert cashier.refund(admin, checkout, amount=amount).status_code == 200
    assert sandbox.ledger(checkout.order_id)["refunded"] == 10_000
    assert house.payment(checkout.order_id).status == "refunded"
    soon = {"transfer": "결제한 계좌로", "mobile": "휴대폰 요금에서"}.get(method, "카드라면 카드사에 따라")
    assert_page(buyer.get(checkout.path), "₩10,000을 돌려드렸습니다", soon)


@SQLITE
@pytest.mark.parametrize("method", Toss.methods)
@pytest.mark.parametrize(
    ("button", "status"), [("close", "canceled"), ("abort", "failed"), ("system-error", "in_doubt")]
)
def test_every_window_can_end_badly_and_nothing_is_taken(
    house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox, method: str, button: str, status: str
) -> None:
    checkout = cashier.press(cashier.open(buyer, cashier.order(buyer, payment_method=method)), button)
    buyer.get(checkout.back)
    assert house.payment(checkout.order_id).status == status
    assert sandbox.ledger(checkout.order_id)["charged"] == 0
    assert house.purchases(checkout.order_id) == []


@SQLITE
def test_a_gateway_without_keys_is_not_offered_and_keeps_its_labels(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier
) -> None:
    checkout = bought(buyer, cashier, "transfer")
    cast(dict[str, object], house.till.gateways).clear()
    assert_page(buyer.get(ORDER_FORM), "지금은 쓸 수 있는 결제수단이 없습니다")
    assert words(one(admin.get("/admin/payments").text, f"#payment-{checkout.order_id} .how")) == "계좌이체"
    assert_page(admin.get(f"/admin{checkout.path}"), "토스페이먼츠 · 계좌이체")


@SQLITE
def test_a_silent_pg_is_shown_and_cannot_be_chosen_and_another_one_is(
    house: House, buyer: Visitor, cashier: Cashier
) -> None:
    bought(buyer, cashier, "naverpay")
    for _ in range(SILENCES):
        house.till.circuits["toss"].silent()
    form = {"prompt_id": str(story.DISCOUNTED), "payment_method": "naverpay", "agree": "on"}
    again = buyer.part("POST", "/payments", data=form)
    for page in (assert_page(buyer.get(ORDER_FORM)), assert_fragment(again, status=422)):
        assert chosen(page) == "kakao"
        silent = page.select(".method:has(:disabled)")
        assert len(silent) == len(Toss.methods)
        assert all("잠시 이용할 수 없음" in words(card) for card in silent)
        assert page.select_one("#pay")

    for _ in range(SILENCES):
        house.till.circuits["kakaopay"].silent()
    page = assert_page(buyer.get(ORDER_FORM), "지금은 결제사가 답하지 않습니다")
    assert not page.select("#pay, input[checked]")
    house.till.circuits["toss"].answered()
    assert chosen(assert_page(buyer.get(ORDER_FORM))) == "naverpay"


@SQLITE
def test_who_has_no_javascript_is_told_by_which_methods_it_goes_on(house: House, buyer: Visitor) -> None:
    hint = words(one(buyer.get(ORDER_FORM).text, "noscript"))
    assert hint == "자바스크립트가 꺼져 있으면 이 결제수단만 쓸 수 있습니다: 카카오페이"
    del cast(dict[str, object], house.till.gateways)["kakaopay"]
    assert "자바스크립트가 있어야 열립니다" in words(one(buyer.get(ORDER_FORM).text, "noscript"))


@SQLITE
def test_who_came_in_an_apps_own_browser_is_told_of_the_way_out(buyer: Visitor) -> None:
    phone = "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Mobile Safari/537.36"
    for sign, app in (
        ("KAKAOTALK 25.9.1", "카카오톡"),
        ("NAVER(inapp; search; 1)", "네이버"),
        ("Instagram 400", "인스타"),
    ):
        page = assert_page(buyer.get(ORDER_FORM, headers={"User-Agent": f"{phone} {sign}"}), "다른 브라우저로 열기")
        assert app in words(page)
    assert "다른 브라우저로 열기" not in words(assert_page(buyer.get(ORDER_FORM, headers={"User-Agent": phone})))


@SQLITE
def test_the_gateways_most_buyers_look_for_come_first(house: House) -> None:
    kinds = sorted(Gateway.registry, key=lambda kind: kind.place)
    assert [kind.name for kind in kinds[:2]] == ["toss", "kakaopay"]
    assert list(house.till.methods) == [*Toss.methods, *KakaoPay.methods]
