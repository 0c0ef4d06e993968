"""PortOne's window and browser SDK in the sandbox (pg/portone.md §6)."""

import json
import re
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.sandbox.portone_shop import PAYMENT, PortOneShop
from tests.sandbox.shop import Shop
from tests.sandbox.test_sandbox_sdk import needs_node, play


def query(told: dict[str, Any]) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(told["redirect"]).query))


@pytest.mark.parametrize(
    ("more", "button"),
    [
        ({}, "결제 승인"),
        ({"payMethod": "EASY_PAY"}, "결제 승인"),
        ({"payMethod": "TRANSFER"}, "결제 승인"),
        ({"payMethod": "VIRTUAL_ACCOUNT", "virtualAccount": {"accountExpiry": {"validHours": 1}}}, "계좌 발급"),
    ],
)
def test_the_window_is_a_korean_page_of_plain_forms(portone: PortOneShop, more: dict[str, Any], button: str) -> None:
    page = portone.http.get(f"/portone/_window/{portone.open(**more)}").text
    buttons = re.findall(r"<button[^>]*>([^<]+)</button>", page)
    assert buttons[0] == button
    assert {"한도초과로 거절", "결제만 하고 돌아가지 않기", "창 닫기"} <= set(buttons)
    assert "₩9,900" in page
    assert '<html lang="ko">' in page
    assert "style=" not in page


def test_the_redirect_names_the_payment_and_keeps_the_shops_own_query(portone: PortOneShop) -> None:
    told = portone.pay()
    expected = {"kept": "1", "paymentId": PAYMENT, "transactionType": "PAYMENT", "txId": told["paymentKey"]}
    assert query(told) == expected
    portone.turn(portone_return_key="payment_id", portone_return_query="minimal")
    assert query(portone.pay(paymentId="order0002")) == {"kept": "1", "payment_id": "order0002"}


def test_a_form_redirects_and_a_frame_tells_the_page_around_it(portone: PortOneShop) -> None:
    answer = portone.http.post(f"/portone/_window/{portone.open()}/authenticate", data={"card": "BC_CARD"})
    assert (answer.status_code, answer.headers["location"][:27]) == (303, "https://shop.example/return")
    assert portone.payment().json()["method"]["card"]["issuer"] == "BC_CARD"
    key = portone.open(paymentId="order0002", windowTarget="iframe", redirectUrl=..., forceRedirect=...)
    page = portone.http.post(f"/portone/_window/{key}/authenticate").text
    message = json.loads(unescape(re.findall(r'data-told="([^"]*)"', page)[0]))
    assert (message["portone"], message["redirect"]) == (key, None)
    assert message["result"]["paymentId"] == "order0002"


def test_a_second_press_ends_as_the_first_did(portone: PortOneShop) -> None:
    key = portone.open()
    assert portone.act(key, "authenticate").json() == portone.act(key, "authenticate").json()
    assert portone.act(key, "close").json() == portone.act(key, "authenticate").json(), "closing takes nothing back"
    assert portone.ledger(PAYMENT)["confirms"] == 1


def test_a_buyer_may_pay_and_never_return(portone: PortOneShop) -> None:
    key = portone.open()
    answer = portone.http.post(f"/portone/_window/{key}/stay")
    assert answer.headers["location"] == f"/portone/_window/{key}"
    assert "쇼핑몰로 돌아가지 않았습니다" in portone.http.get(f"/portone/_window/{key}").text
    assert portone.ledger(PAYMENT)["charged"] == 9900
    assert query(portone.act(key, "return").json())["paymentId"] == PAYMENT


def test_a_window_that_is_over_says_so(portone: PortOneShop) -> None:
    key = portone.open()
    portone.act(key, "over-limit")
    assert portone.http.get(f"/portone/_window/{key}").status_code == 410
    assert portone.act(key, "authenticate").json()["code"] == "InvalidEntityState"
    assert portone.http.get("/portone/_window/nowhere").status_code == 404
    assert portone.act("nowhere", "authenticate").json()["code"] == "TransactionNotFound"


def test_an_order_name_cannot_break_the_page(portone: PortOneShop) -> None:
    page = portone.http.get(f"/portone/_window/{portone.open(orderName='<script>alert(1)</script>')}").text
    assert "<script>alert" not in page


def test_a_kakaopay_channel_takes_only_easy_pay(portone: PortOneShop) -> None:
    portone.turn(portone_pg="KAKAOPAY")
    assert portone.ask().json()["code"] == "BadRequest"
    portone.pay(payMethod="EASY_PAY")
    assert portone.payment().json()["method"]["provider"] == "KAKAOPAY"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"storeId": ...}, "BadRequest"),
        ({"channelKey": ...}, "BadRequest"),
        ({"channelGroupId": "group"}, "BadRequest"),
        ({"paymentId": "한글주문번호"}, "BadRequest"),
        ({"paymentId": "a" * 65}, "BadRequest"),
        ({"orderName": ""}, "BadRequest"),
        ({"totalAmount": "9900"}, "BadRequest"),
        ({"totalAmount": 0}, "BadRequest"),
        ({"currency": "WON"}, "BadRequest"),
        ({"redirectUrl": "/return"}, "BadRequest"),
        ({"redirectUrl": ...}, "BadRequest"),
        ({"noticeUrls": "https://shop.example"}, "BadRequest"),
        ({"windowType": {"pc": "TAB"}}, "BadRequest"),
        ({"customer": "김찐"}, "BadRequest"),
        ({"payMethod": "VIRTUAL_ACCOUNT"}, "BadRequest"),
        ({"payMethod": "VIRTUAL_ACCOUNT", "virtualAccount": {"accountExpiry": {"dueDate": "soon"}}}, "BadRequest"),
    ],
)
def test_a_wrong_request_throws_before_any_window(portone: PortOneShop, wrong: dict[str, Any], code: str) -> None:
    answer = portone.ask(**wrong)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert portone.http.get("/_ledger").json()["orders"] == {}


def test_merchant_pages_may_call_from_another_origin(portone: PortOneShop) -> None:
    preflight = portone.http.options("/portone/_open", headers={"access-control-request-method": "POST"})
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert portone.ask(totalAmount=0).headers["access-control-allow-origin"] == "*"


@needs_node
def test_the_sdk_behaves_as_the_sheet_says(live: Shop) -> None:
    assert play(live, "/portone/v2/browser-sdk.js", "portone_page.mjs") == {
        "no request": "BadRequest",
        "no such store": "StoreNotFound",
        "no such channel": "ChannelNotFound",
        "a method it does not know": "BadRequest",
        "thrown errors say what they are": ["BadRequest", "mine-0001", "PAYMENT", "PaymentError", True],
        "thrown errors are never redirected": [],
        "a phone leaves the page": True,
        "forceRedirect navigates the top page": [True, ["http://shop.example/return?paymentId=p"], 0, 0],
        "the promise answers": {"paymentId": "p", "transactionType": "PAYMENT"},
        "escape tells PortOne": "PAY_PROCESS_CANCELED",
    }
