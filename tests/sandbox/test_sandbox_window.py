import json
import re
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.sandbox.shop import ORDER, Shop, refusal


def query(url: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(url).query)


def told(answer: Any) -> Any:
    """What the iframe tells the SDK."""
    found = re.search(r'data-told="([^"]*)"', answer.text)
    assert found
    return json.loads(unescape(found[1]))


def test_the_window_is_a_korean_page_of_plain_forms(shop: Shop) -> None:
    page = shop.http.get(f"/toss/_window/{shop.open()}").text
    assert '<html lang="ko">' in page
    assert "테스트 결제창(샌드박스) — 실제로 결제되지 않습니다" in page
    assert "₩9,900" in page
    assert "면접 프롬프트 모음" in page
    buttons = re.findall(r"<button[^>]*>([^<]+)</button>", page)
    assert buttons[0] == "결제 승인"
    assert {"토스페이", "한도초과로 거절", "잔액부족으로 거절", "정지된 카드로 거절", "카드사 인증 거절"} <= set(
        buttons
    )
    assert {"결제 중단", "인증만 하고 돌아가지 않기", "창 닫기"} <= set(buttons)
    assert "style=" not in page


def test_authentication_leads_to_the_success_url_with_its_own_query_kept(shop: Shop) -> None:
    key = shop.open()
    answer = shop.http.post(f"/toss/_window/{key}/authenticate", data={"card": "41"})
    assert answer.status_code == 303
    assert query(answer.headers["location"]) == [
        ("kept", "1"),
        ("paymentType", "NORMAL"),
        ("orderId", ORDER),
        ("paymentKey", key),
        ("amount", "9900"),
    ]
    assert shop.find(key).json()["status"] == "IN_PROGRESS"


def test_a_double_click_authenticates_once(shop: Shop) -> None:
    key = shop.open()
    first, second = shop.act(key, "authenticate").json(), shop.act(key, "authenticate").json()
    assert first == second


def test_the_payment_type_is_a_switch(shop: Shop) -> None:
    shop.turn(payment_type_in_redirect=False)
    assert "paymentType" not in shop.act(shop.open(), "authenticate").json()["redirect"]


@pytest.mark.parametrize(("action", "code"), [("reject", "REJECT_CARD_COMPANY"), ("abort", "PAY_PROCESS_ABORTED")])
def test_a_decline_at_the_window_leads_to_the_fail_url(shop: Shop, action: str, code: str) -> None:
    key = shop.open()
    redirect = shop.act(key, action).json()["redirect"]
    assert redirect.startswith("https://shop.example/fail?kept=1&")
    found = dict(query(redirect))
    assert (found["code"], found["orderId"]) == (code, ORDER)
    assert re.search("[가-힣]", found["message"])
    assert shop.find(key).json()["status"] == "ABORTED"


def test_closing_a_whole_page_leads_to_the_fail_url_without_the_order(shop: Shop) -> None:
    key = shop.open()
    found = dict(query(shop.act(key, "close").json()["redirect"]))
    assert found == {
        "kept": "1",
        "code": "PAY_PROCESS_CANCELED",
        "message": "사용자에 의해 결제가 취소되었습니다.",
    }
    assert shop.find(key).json()["status"] == "READY"


def test_spaces_in_the_message_are_a_switch(shop: Shop) -> None:
    assert "+" in shop.act(shop.open(), "close").json()["redirect"]
    shop.turn(redirect_encoding="percent")
    redirect = shop.act(shop.open(), "close").json()["redirect"]
    assert "%20" in redirect
    assert "+" not in redirect


def test_closing_an_iframe_tells_the_sdk_and_nobody_else(shop: Shop) -> None:
    key = shop.open(windowTarget="iframe")
    message = told(shop.http.post(f"/toss/_window/{key}/close"))
    assert message["tossPayments"] == key
    assert message["error"] == {"code": "USER_CANCEL", "message": "취소되었습니다."}
    assert message["redirect"] is None
    assert shop.find(key).json()["status"] == "READY"


def test_an_iframe_asks_the_page_around_it_to_go(shop: Shop) -> None:
    key = shop.open(windowTarget="iframe")
    message = told(shop.http.post(f"/toss/_window/{key}/authenticate"))
    assert message["redirect"].startswith("https://shop.example/return?kept=1&paymentType=NORMAL")


def test_the_iframe_speaks_only_to_the_page_that_opened_it(shop: Shop) -> None:
    shop.http.headers["origin"] = "http://shop.example:8000"
    key = shop.open(windowTarget="iframe")
    page = shop.http.post(f"/toss/_window/{key}/authenticate").text
    assert 'data-opener="http://shop.example:8000"' in page


def test_without_urls_the_promise_answers(shop: Shop) -> None:
    key = shop.open(windowTarget="iframe", successUrl=..., failUrl=...)
    message = told(shop.http.post(f"/toss/_window/{key}/authenticate"))
    expected = {"paymentKey": key, "orderId": ORDER, "amount": {"currency": "KRW", "value": 9900}}
    assert message["result"] == expected


def test_a_buyer_may_authenticate_and_never_return(shop: Shop) -> None:
    key = shop.open()
    answer = shop.http.post(f"/toss/_window/{key}/stay")
    assert answer.headers["location"] == f"/toss/_window/{key}"
    page = shop.http.get(f"/toss/_window/{key}").text
    assert "쇼핑몰로 돌아가지 않았습니다" in page
    assert shop.find(key).json()["status"] == "IN_PROGRESS"
    assert shop.act(key, "authenticate").json()["redirect"]


def test_an_expired_window_is_over(shop: Shop) -> None:
    key = shop.open()
    shop.wait(1801)
    assert shop.http.get(f"/toss/_window/{key}").status_code == 410
    assert refusal(shop.act(key, "authenticate")) == (404, "NOT_FOUND_PAYMENT_SESSION")
    assert shop.http.get("/toss/_window/nowhere").status_code == 404


def test_an_order_name_cannot_break_the_page(shop: Shop) -> None:
    page = shop.http.get(f"/toss/_window/{shop.open(orderName='<script>alert(1)</script>')}").text
    assert "<script>alert" not in page


def test_direct_mode_leaves_one_choice(shop: Shop) -> None:
    key = shop.open(card={"flowMode": "DIRECT", "easyPay": "NAVERPAY"})
    page = shop.http.get(f"/toss/_window/{key}").text
    assert "<h2>네이버페이</h2>" in page
    assert "카드 선택" not in page
    assert "토스페이</button>" not in page
    shop.act(key, "authenticate")
    paid = shop.confirm(key).json()
    assert (paid["method"], paid["easyPay"]["provider"], paid["card"]) == ("간편결제", "네이버페이", None)


@pytest.mark.parametrize(
    ("method", "says", "silent"),
    [
        ("CARD", "카드 선택", "은행 선택"),
        ("TRANSFER", "출금할 은행 선택", "정지된 카드로 거절"),
        ("VIRTUAL_ACCOUNT", "가상계좌 발급", "잔액부족으로 거절"),
        ("MOBILE_PHONE", "통신사 선택", "카드사 인증 거절"),
    ],
)
def test_every_method_has_a_window_of_its_own(shop: Shop, method: str, says: str, silent: str) -> None:
    page = shop.http.get(f"/toss/_window/{shop.open(method=method)}").text
    assert says in page
    assert silent not in page
    assert "승인 중 시스템 오류" in page


def test_merchant_pages_may_call_from_another_origin(shop: Shop) -> None:
    preflight = shop.http.options("/toss/_open", headers={"access-control-request-method": "POST"})
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert "content-type" in preflight.headers["access-control-allow-headers"]
    assert shop.ask(amount=1).headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"clientKey": "ck_test"}, "INVALID_CLIENT_KEY"),
        ({"clientKey": "test_gck_x1y2z3"}, "NOT_SUPPORTED_WIDGET_KEY"),
        ({"customerKey": "a"}, "INVALID_CUSTOMER_KEY"),
        ({"customerKey": "한글"}, "INVALID_CUSTOMER_KEY"),
        ({"customerKey": "test_sk_oops"}, "INSECURE_KEY_USAGE"),
        ({"method": "CASH"}, "NOT_SUPPORTED_METHOD"),
        ({"method": ...}, "INVALID_PARAMETERS"),
        ({"amount": ...}, "INVALID_PARAMETERS"),
        ({"amount": 9900}, "INVALID_PARAMETERS"),
        ({"amount": {"currency": "KRW", "value": "9900"}}, "INVALID_AMOUNT_VALUE"),
        ({"amount": {"currency": "KRW", "value": None}}, "INVALID_AMOUNT_VALUE"),
        ({"amount": {"currency": "WON", "value": 9900}}, "INVALID_AMOUNT_CURRENCY"),
        ({"amount": {"currency": "KRW", "value": -1}}, "BELOW_ZERO_AMOUNT"),
        ({"orderId": "short"}, "INVALID_PARAMETERS"),
        ({"orderId": "한글주문번호입니다"}, "INVALID_PARAMETERS"),
        ({"orderName": ""}, "INVALID_PARAMETERS"),
        ({"orderName": "가" * 101}, "INVALID_PARAMETERS"),
        ({"successUrl": "/return"}, "INCORRECT_SUCCESS_URL_FORMAT"),
        ({"failUrl": "/fail"}, "INCORRECT_FAIL_URL_FORMAT"),
        ({"failUrl": ...}, "INCORRECT_FAIL_URL_FORMAT"),
        ({"customerMobilePhone": "010-1234-5678"}, "INVALID_PARAMETERS"),
        ({"windowTarget": "popup"}, "INVALID_PARAMETERS"),
        ({"metadata": {f"k{number}": "v" for number in range(6)}}, "INVALID_METADATA"),
        ({"metadata": {"a[0]": "v"}}, "INVALID_METADATA"),
        ({"colour": "red"}, "INVALID_PARAMETERS"),
        ({"flowMode": "DIRECT"}, "V1_METHOD_NOT_SUPPORTED"),
        ({"card": {"flowMode": "DIRECT"}}, "INVALID_FLOW_MODE_PARAMETERS"),
        ({"card": {"colour": "red"}}, "INVALID_PARAMETERS"),
        (
            {"card": {"cardInstallmentPlan": 2, "maxCardInstallmentPlan": 3}},
            "INVALID_CARD_INSTALLMENT_PLANS_WITH_MAX_AND_SINGLE",
        ),
        ({"method": "VIRTUAL_ACCOUNT", "virtualAccount": {"validHours": 2161}}, "EXCEED_MAX_VALID_HOURS"),
        ({"method": "VIRTUAL_ACCOUNT", "virtualAccount": {"validHours": "24"}}, "INVALID_PARAMETERS"),
        ({"method": "TRANSFER", "transfer": {"validHours": 24}}, "INVALID_PARAMETERS"),
        ({"method": "TRANSFER", "transfer": {"cashReceipt": {"type": "주세요"}}}, "INVALID_CASH_RECEIPT_INFO"),
        ({"method": "MOBILE_PHONE", "mobilePhone": {"mobileCarriers": ["MCI"]}}, "NOT_SUPPORTED_CARRIER"),
    ],
)
def test_the_sdk_refuses_a_wrong_request_with_its_own_code(shop: Shop, wrong: dict[str, Any], code: str) -> None:
    assert shop.ask(**wrong).json()["code"] == code
    assert shop.http.get("/_ledger").json()["orders"] == {}


def test_v1_asks_in_korean_with_a_bare_number(shop: Shop) -> None:
    key = shop.open(sdk="v1", method="카드", amount=9900, cardInstallmentPlan=0)
    shop.act(key, "authenticate")
    assert shop.confirm(key).json()["method"] == "카드"
    assert shop.ask(sdk="v1", method="카드", amount={"currency": "KRW", "value": 1}).status_code == 400
