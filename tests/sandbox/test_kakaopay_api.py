"""The pretend KakaoPay's server, field by field (pg/kakaopay.md)."""

import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from sandbox.clock import KST
from tests.sandbox.kakao import BUYER, ORDER, SECRET, Kakao, code_of
from tests.sandbox.shop import Shop

# The order of real answers, §6 and §8
APPROVED = """
aid tid cid sid partner_order_id partner_user_id item_name item_code payload quantity amount payment_method_type
card_info sequential_payment_methods created_at approved_at
""".split()
CANCELED = """
tid cid status partner_order_id partner_user_id payment_method_type item_name item_code aid quantity amount
canceled_amount cancel_available_amount approved_cancel_amount created_at approved_at canceled_at payload
""".split()


@pytest.fixture
def kakao(shop: Shop) -> Kakao:
    return Kakao(shop.http)


def test_ready_gives_a_tid_and_three_pages(kakao: Kakao) -> None:
    answer = kakao.ready()
    told = answer.json()
    assert answer.headers["content-type"] == "application/json;charset=UTF-8"
    page = r"http://testserver/kakaopay/mockup/bridge/{}/pg/one-time/payment/[0-9a-f]{{64}}"
    for name, kind in {"pc": "pc", "mobile": "mobile-web", "app": "mobile-app"}.items():
        assert re.fullmatch(page.format(kind), told[f"next_redirect_{name}_url"])
    assert told["android_app_scheme"].startswith("kakaotalk://kakaopay/pg?url=http://testserver/")
    opened = datetime.fromisoformat(told["created_at"])
    assert opened.tzinfo is None, "Korean time without an offset"
    assert abs(opened.replace(tzinfo=KST).timestamp() - time.time()) < 5
    assert re.fullmatch("T[0-9a-f]{19}", told["tid"])
    assert int(told["tid"][1:8], 16) == int(opened.replace(tzinfo=KST).timestamp()) & 0xFFFFFFF


def test_the_same_order_gets_a_new_tid_each_time(kakao: Kakao) -> None:
    tids = [kakao.open(), kakao.open()]
    assert len(set(tids)) == 2
    assert kakao.ledger()["payments"] == tids


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"cid": ...}, -2),
        ({"cid": "XX0ONETIME"}, -731),
        ({"partner_order_id": ...}, -2),
        ({"partner_order_id": "가" * 101}, -2),
        ({"partner_user_id": ""}, -2),
        ({"item_name": "가" * 101}, -2),
        ({"item_code": "가" * 101}, -2),
        ({"quantity": ...}, -2),
        ({"quantity": "한 개"}, -2),
        ({"total_amount": None}, -2),
        ({"total_amount": True}, -2),
        ({"total_amount": 99.5}, -2),
        ({"total_amount": 0}, -2),
        ({"total_amount": -5}, -2),
        ({"tax_free_amount": ...}, -2),
        ({"tax_free_amount": 9901}, -722),
        ({"vat_amount": 9901}, -722),
        ({"approval_url": "/return"}, -2),
        ({"approval_url": "https://shop.example/" + "a" * 240}, -2),
        ({"cancel_url": ...}, -2),
        ({"fail_url": "ftp://shop.example/"}, -2),
        ({"payment_method_type": "COIN"}, -2),
        ({"install_month": 13}, -2),
        ({"available_cards": ["SHINHAN", "VISA"]}, -2),
        ({"use_share_installment": "yes"}, -2),
        ({"custom_json": "[]"}, -2),
        ({"cid_secret": "a" * 25}, -2),
        ({"total_amount": 2_000_001}, -797),
    ],
)
def test_a_wrong_ready_opens_nothing(kakao: Kakao, wrong: dict[str, Any], code: int) -> None:
    assert code_of(kakao.ready(**wrong)) == (400, code)
    assert kakao.http.get("/_ledger").json()["orders"] == {}


def test_numbers_may_be_strings_as_in_the_official_samples(kakao: Kakao) -> None:
    tid = kakao.paid(total_amount="2200", vat_amount="200", tax_free_amount="0", quantity="1")
    assert kakao.order(tid).json()["amount"]["total"] == 2200
    assert kakao.cancel(tid, "1100", cancel_available_amount="2200").json()["approved_cancel_amount"]["vat"] == 100


def test_an_unknown_cid_is_an_invalid_parameter_in_words(kakao: Kakao) -> None:
    assert kakao.ready(cid="XX0ONETIME").json()["error_message"] == "invalid param(cid has invalid value)"


@pytest.mark.parametrize(
    ("domains", "status"),
    [
        ("https://shop.example", 200),
        ("http://localhost:8000, https://*.example", 200),
        ("http://shop.example", 400),
        ("https://shop.example:8443", 400),
    ],
)
def test_urls_lie_on_a_registered_domain(kakao: Kakao, domains: str, status: int) -> None:
    kakao.turn(registered_domains=domains)
    answer = kakao.ready()
    assert answer.status_code == status
    assert answer.json().get("error_code", -799) == -799


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", (400, -400)),
        (f"SECRET_KEY {SECRET[:-1]}", (401, -401)),
        (f"KakaoAK {SECRET}", (401, -401)),
        (f"SECRET_KEY {SECRET.lower()}", (401, -401)),
        (f"DEV_SECRET_KEY {'PRD' + SECRET[3:]}", (401, -401)),
        (f"DEV_SECRET_KEY {SECRET}", (400, -2)),
        (f"SECRET_KEY {'PRD' + SECRET[3:]}", (400, -2)),
    ],
)
def test_the_secret_key_comes_first(kakao: Kakao, header: str, expected: tuple[int, int]) -> None:
    headers = {"authorization": header} if header else {}
    assert code_of(kakao.http.post("/kakaopay/online/v1/payment/ready", json={}, headers=headers)) == expected


def test_what_is_not_there_is_minus_404(kakao: Kakao) -> None:
    headers = {"authorization": f"SECRET_KEY {SECRET}"}
    assert code_of(kakao.http.get("/kakaopay/online/v1/payment/order", headers=headers)) == (404, -404)
    assert code_of(kakao.ask("subscription")) == (404, -404)
    assert code_of(kakao.http.post("/kakaopay/v1/payment/ready", headers=headers)) == (404, -404)
    assert code_of(kakao.http.get("/kakaopay/online/v1/payment/order")) == (400, -400)


def test_approve_charges_and_has_no_status(kakao: Kakao) -> None:
    tid, token = kakao.authenticated()
    assert re.fullmatch("[0-9a-f]{20}", token)
    assert kakao.ledger()["charged"] == 0
    told = kakao.approve(tid, token, payload="우리 것").json()
    assert list(told) == APPROVED
    assert re.fullmatch("A[0-9a-f]{19}", told["aid"])
    assert (told["tid"], told["partner_order_id"], told["partner_user_id"]) == (tid, ORDER, BUYER)
    assert told["amount"] == {
        "total": 9900,
        "tax_free": 0,
        "vat": 900,
        "point": 0,
        "discount": 0,
        "green_deposit": 0,
    }
    assert told["card_info"]["kakaopay_purchase_corp_code"] == "701"
    assert told["payload"] == "우리 것"
    assert told["sid"] is None
    assert kakao.ledger() == {
        "gateway": "kakaopay",
        "payment_key": tid,
        "status": "SUCCESS_PAYMENT",
        "charged": 9900,
        "refunded": 0,
        "confirms": 1,
        "cancels": [],
        "confirm_calls": 1,
        "cancel_calls": 0,
        "find_calls": 0,
        "payments": [tid],
    }


def test_money_has_no_card(kakao: Kakao) -> None:
    tid = kakao.open(payment_method_type="MONEY")
    told = kakao.approve(tid, kakao.token(tid, method="CARD")).json()
    assert (told["payment_method_type"], told["card_info"]) == ("MONEY", None)


def test_fields_without_a_value_may_be_left_out(kakao: Kakao) -> None:
    kakao.turn(absent_fields="omit")
    tid = kakao.open()
    told = kakao.approve(tid, kakao.token(tid, method="MONEY")).json()
    assert list(told) == [name for name in APPROVED if name in told]
    assert {"sid", "payload", "item_code", "card_info"}.isdisjoint(told)
    order = kakao.order(tid).json()
    assert {"canceled_at", "selected_card_info"}.isdisjoint(order)
    assert "payload" not in order["payment_action_details"][0]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"tid": ...}, -2),
        ({"tid": "T0000000000000000000"}, -721),
        ({"cid": "XX0ONETIME"}, -731),
        ({"partner_order_id": "order-9999"}, -706),
        ({"partner_user_id": "user-2"}, -707),
        ({"pg_token": "0" * 20}, -708),
        ({"pg_token": ...}, -2),
        ({"total_amount": 1}, -725),
        ({"payload": "가" * 201}, -2),
    ],
)
def test_a_wrong_approve_charges_nothing_and_spoils_nothing(kakao: Kakao, wrong: dict[str, Any], code: int) -> None:
    tid, token = kakao.authenticated()
    sent = {"tid": tid, "pg_token": token} | wrong
    assert code_of(kakao.approve(sent.pop("tid"), sent.pop("pg_token"), **sent)) == (400, code)
    assert kakao.ledger()["charged"] == 0
    assert kakao.approve(tid, token).status_code == 200


def test_approve_may_go_without_the_amount(kakao: Kakao) -> None:
    assert kakao.approve(*kakao.authenticated(), total_amount=...).status_code == 200


def test_approve_checks_in_the_order_of_the_sheet(kakao: Kakao) -> None:
    """Everything is wrong at once, and is put right one by one (§12.6)."""
    tid = kakao.open()
    good = {"cid": "TC0ONETIME", "partner_order_id": ORDER, "partner_user_id": BUYER, "total_amount": 9900}
    bad: dict[str, Any] = {"cid": "XX", "partner_order_id": "x", "partner_user_id": "x", "total_amount": 1}
    seen = [code_of(kakao.approve("T0", "x", **bad))[1], code_of(kakao.approve(tid, "x", **bad))[1]]
    bad["cid"] = good["cid"]
    seen.append(code_of(kakao.approve(tid, "x", **bad))[1])
    token = kakao.token(tid, decline="LACK_BALANCE")
    for name in ("partner_order_id", "partner_user_id"):
        seen.append(code_of(kakao.approve(tid, "x", **bad))[1])
        bad[name] = good[name]
    seen.append(code_of(kakao.approve(tid, "x", **bad))[1])
    seen.append(code_of(kakao.approve(tid, token, **bad))[1])
    seen.append(code_of(kakao.approve(tid, token, **good))[1])
    assert seen == [-721, -731, -701, -706, -707, -708, -725, -780]


def test_another_order_of_the_checks_is_a_switch(kakao: Kakao) -> None:
    tid, _ = kakao.authenticated()
    kakao.turn(approve_checks="tid,token,amount,ids,authenticated,approved,expired,cid")
    assert code_of(kakao.approve(tid, "x", cid="XX", partner_order_id="x")) == (400, -708)


def test_an_approved_payment_is_not_approved_again(kakao: Kakao) -> None:
    tid, token = kakao.authenticated()
    assert kakao.approve(tid, token).status_code == 200
    assert code_of(kakao.approve(tid, token)) == (400, -702)
    kakao.wait(3600)
    assert code_of(kakao.approve(tid, token)) == (400, -702)
    assert kakao.ledger()["charged"] == 9900


@pytest.mark.parametrize(("seconds", "expected"), [(898, 200), (901, 400)])
def test_a_payment_lives_for_15_minutes(kakao: Kakao, seconds: int, expected: int) -> None:
    tid, token = kakao.authenticated()
    kakao.wait(seconds)
    answer = kakao.approve(tid, token)
    assert answer.status_code == expected
    assert answer.json().get("error_code", -723) == -723
    assert kakao.status(tid) == ("SUCCESS_PAYMENT" if expected == 200 else "AUTH_PASSWORD")


@pytest.mark.parametrize("shown", ["QUIT_PAYMENT", "FAIL_PAYMENT"])
def test_what_order_says_of_an_expired_payment_is_a_switch(kakao: Kakao, shown: str) -> None:
    tid = kakao.open()
    kakao.wait(901)
    assert kakao.status(tid) == "READY"
    kakao.turn(expired_order_status=shown)
    assert kakao.status(tid) == shown
    kakao.turn(expired_order_status="-721")
    assert code_of(kakao.order(tid)) == (400, -721)


def test_a_declined_payment_has_failed_and_says_why(kakao: Kakao) -> None:
    tid, token = kakao.authenticated("no-balance")
    answer = kakao.approve(tid, token)
    assert answer.json() == {
        "error_code": -780,
        "error_message": "approval failure!",
        "extras": {"method_result_code": "LACK_BALANCE", "method_result_message": "잔액이 부족합니다."},
    }
    assert kakao.status(tid) == "FAIL_PAYMENT"
    assert code_of(kakao.approve(tid, token)) == (400, -783)
    assert kakao.ledger()["charged"] == 0


def test_a_locked_user_may_try_again(kakao: Kakao) -> None:
    tid, token = kakao.authenticated("user-locked")
    assert kakao.approve(tid, token).json()["extras"]["method_result_code"] == "USER_LOCKED"
    assert kakao.status(tid) == "AUTH_PASSWORD"
    assert kakao.approve(tid, token).status_code == 200


def test_a_bank_that_is_late_pays_in_the_end(kakao: Kakao) -> None:
    tid, token = kakao.authenticated("bank-unknown")
    assert kakao.approve(tid, token).json()["extras"]["method_result_code"] == "BANK_FIRM_UNKNOWN"
    assert code_of(kakao.approve(tid, token)) == (400, -785)
    for action in ("quit", "authenticate"):
        assert code_of(kakao.act(tid, action)) == (400, -783), "the page is over"
    kakao.wait(1190)
    assert (kakao.status(tid), kakao.ledger()["charged"]) == ("AUTH_PASSWORD", 0)
    kakao.wait(11)
    assert (kakao.status(tid), kakao.ledger()["charged"]) == ("SUCCESS_PAYMENT", 9900)
    assert code_of(kakao.approve(tid, token)) == (400, -702)


def test_order_tells_the_truth_about_a_paid_one(kakao: Kakao) -> None:
    tid = kakao.paid()
    told = kakao.order(tid).json()
    assert told["status"] == "SUCCESS_PAYMENT"
    assert told["amount"] == told["cancel_available_amount"]
    assert set(told["canceled_amount"].values()) == {0}
    assert told["selected_card_info"] == {
        "card_bin": "111111",
        "install_month": 0,
        "card_corp_name": "신한",
        "interest_free_install": "N",
    }
    (action,) = told["payment_action_details"]
    assert (action["payment_action_type"], action["amount"]) == ("PAYMENT", 9900)
    assert told["approved_at"] == action["approved_at"]


def test_actions_may_lack_their_amounts(kakao: Kakao) -> None:
    kakao.turn(action_amounts="missing")
    (action,) = kakao.order(kakao.paid("MONEY")).json()["payment_action_details"]
    assert {"amount", "payment_method_type", "green_deposit"}.isdisjoint(action)


def test_an_unpaid_order_may_be_bare(kakao: Kakao) -> None:
    tid = kakao.open()
    assert kakao.order(tid).json()["cancel_available_amount"]["total"] == 0
    kakao.turn(unpaid_order="bare", absent_fields="omit")
    assert {"amount", "payment_action_details", "approved_at"}.isdisjoint(kakao.order(tid).json())


def test_order_needs_the_tid_and_its_cid(kakao: Kakao) -> None:
    kakao.turn(cids="TC0ONETIME,TC0OTHER01")
    tid = kakao.open()
    assert code_of(kakao.order("T0000000000000000000")) == (400, -721)
    assert code_of(kakao.order(tid, cid="TC0OTHER01")) == (400, -731)
    assert code_of(kakao.order(..., partner_order_id=ORDER)) == (400, -2)  # type: ignore[arg-type]


def test_a_part_and_then_the_rest_go_back(kakao: Kakao) -> None:
    tid = kakao.paid(total_amount=1_100_000)
    told = kakao.cancel(tid, 1_100, payload="변심").json()
    assert list(told) == CANCELED
    assert told["status"] == "PART_CANCEL_PAYMENT"
    assert told["approved_cancel_amount"]["vat"] == 100
    assert told["canceled_amount"]["total"] == 1_100
    assert (told["cancel_available_amount"]["total"], told["cancel_available_amount"]["vat"]) == (1_098_900, 99_900)
    rest = kakao.cancel(tid, 1_098_900, cancel_available_amount=1_098_900).json()
    assert (rest["status"], rest["cancel_available_amount"]["total"]) == ("CANCEL_PAYMENT", 0)
    assert [(it["payment_action_type"], it["amount"]) for it in kakao.order(tid).json()["payment_action_details"]] == [
        ("PAYMENT", 1_100_000),
        ("CANCEL", 1_100),
        ("CANCEL", 1_098_900),
    ]
    assert code_of(kakao.cancel(tid, 1)) == (400, -784)
    assert [cancel["amount"] for cancel in kakao.ledger()["cancels"]] == [1_100, 1_098_900]


@pytest.mark.parametrize(
    ("amount", "more", "code"),
    [
        (9_901, {}, -711),
        (0, {}, -2),
        ("많이", {}, -2),
        (1_000, {"cancel_tax_free_amount": ...}, -2),
        (1_000, {"cancel_tax_free_amount": 500}, -722),
        (1_000, {"cancel_vat_amount": 901}, -722),
        (9_900, {"cancel_vat_amount": 899}, -722),
        (1_000, {"cancel_available_amount": 9_000}, -722),
        (1_000, {"cid": "XX"}, -731),
        (1_000, {"tid": "T0000000000000000000"}, -721),
    ],
)
def test_a_wrong_cancel_changes_nothing(kakao: Kakao, amount: object, more: dict[str, Any], code: int) -> None:
    tid = kakao.paid()
    asked = {"cid": "TC0ONETIME", "tid": tid, "cancel_amount": amount, "cancel_tax_free_amount": 0} | more
    assert code_of(kakao.ask("cancel", **asked)) == (400, code)
    assert kakao.status(tid) == "SUCCESS_PAYMENT"
    assert kakao.ledger()["refunded"] == 0


def test_more_than_is_left_is_minus_710(kakao: Kakao) -> None:
    tid = kakao.paid()
    kakao.cancel(tid, 5_000)
    assert code_of(kakao.cancel(tid, 5_000)) == (400, -710)


def test_the_vat_of_all_parts_is_the_vat_of_the_whole(kakao: Kakao) -> None:
    """Half of ₩10,000 twice: 455 twice is one won more than the 909 of the whole."""
    tid = kakao.paid(total_amount=10_000)
    kakao.cancel(tid, 5_000)
    assert code_of(kakao.cancel(tid, 5_000)) == (400, -722)
    assert kakao.cancel(tid, 5_000, cancel_vat_amount=454).json()["status"] == "CANCEL_PAYMENT"


def test_what_was_not_paid_cannot_be_canceled(kakao: Kakao) -> None:
    assert code_of(kakao.cancel(kakao.open(), 100)) == (400, -784)


def test_a_deposit_forbids_partial_cancels(kakao: Kakao) -> None:
    tid = kakao.paid(green_deposit=300)
    assert kakao.cancel(tid, 5_000).json()["extras"]["method_result_code"] == "1015"
    assert kakao.cancel(tid, 9_900).status_code == 200


@pytest.mark.parametrize(
    ("switch", "asked", "expected"),
    [
        ({"dev_key_may_approve": False}, "approve", (401, -401)),
        ({"common_status": "400"}, "nowhere", (400, -404)),
        ({"invalid_param_code": "-722"}, "ready", (400, -722)),
        ({"payment_limit": 0}, "dear", (200, 0)),
        ({"approve_again_code": "-783"}, "twice", (400, -783)),
        ({"user_locked_status": "FAIL_PAYMENT"}, "locked", (400, -783)),
        ({"wrong_cancel_vat_code": "-781"}, "vat", (400, -781)),
        ({"wrong_cancel_available_code": "-784"}, "available", (400, -784)),
        ({"unregistered_domain_code": "-2", "registered_domains": "https://other.example"}, "domain", (400, -2)),
        ({"wrong_cid_code": "-2"}, "cid", (400, -2)),
    ],
)
def test_what_the_sheet_leaves_open_is_a_switch(
    kakao: Kakao, switch: dict[str, Any], asked: str, expected: tuple[int, int]
) -> None:
    kakao.turn(**switch)

    def again(action: str) -> Any:
        tid, token = kakao.authenticated(action)
        kakao.approve(tid, token)
        return kakao.approve(tid, token)

    asking: dict[str, Callable[[], Any]] = {
        "approve": lambda: kakao.approve(*kakao.authenticated()),
        "nowhere": lambda: kakao.ask("dance"),
        "ready": lambda: kakao.ready(quantity=...),
        "dear": lambda: kakao.ready(total_amount=5_000_000),
        "twice": lambda: again("authenticate"),
        "locked": lambda: again("user-locked"),
        "vat": lambda: kakao.cancel(kakao.paid(), 9_900, cancel_vat_amount=1),
        "available": lambda: kakao.cancel(kakao.paid(), 9_900, cancel_available_amount=1),
        "domain": kakao.ready,
        "cid": lambda: kakao.ready(cid="XX"),
    }
    answer = asking[asked]()
    assert (answer.status_code, answer.json().get("error_code", 0)) == expected


def test_the_words_of_an_error_are_a_switch(kakao: Kakao) -> None:
    kakao.turn(error_message="something else")
    assert kakao.order("T0").json()["error_message"] == "something else"
