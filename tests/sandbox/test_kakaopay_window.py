"""The pretend KakaoPay's waiting page, its accidents, and what it keeps."""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from starlette.testclient import TestClient

from sandbox import create_app
from tests.sandbox.kakao import ORDER, SECRET, SHOP, Kakao, code_of
from tests.sandbox.shop import Shop

LOST = (httpx.RemoteProtocolError, httpx.ReadError)


@pytest.fixture
def kakao(shop: Shop) -> Kakao:
    return Kakao(shop.http)


@pytest.fixture
def wire(live: Shop) -> Kakao:
    """Over real sockets."""
    return Kakao(live.http)


@pytest.mark.parametrize("kind", ["pc", "mobile", "app"])
def test_the_waiting_page_is_a_korean_page_of_plain_forms(kakao: Kakao, kind: str) -> None:
    told = kakao.ready().json()
    page = kakao.http.get(told[f"next_redirect_{kind}_url"]).text
    assert '<html lang="ko">' in page
    assert "테스트 결제창(샌드박스) — 실제로 결제되지 않습니다" in page
    assert "₩9,900" in page
    assert "면접 프롬프트 모음" in page
    assert '<svg class="code"' in page
    assert re.search(r'<meta http-equiv="refresh" content="(900|899)">', page)
    assert re.search(r"1[45]분 \d+초 안에", page)
    buttons = re.findall(r"<button[^>]*>([^<]+)</button>", page)
    assert buttons[:2] == ["카드로 결제", "카카오페이머니로 결제"]
    assert {"비밀번호(PIN) 틀림", "결제 취소", "인증만 하고 돌아가지 않기", "시간 만료"} <= set(buttons)
    assert {"한도초과로 거절", "잔액부족으로 거절", "다른 거래 진행 중"} <= set(buttons)
    assert "style=" not in page
    assert kakao.status(told["tid"]) == "OPEN_PAYMENT"


def test_one_way_to_pay_leaves_one_button(kakao: Kakao) -> None:
    page = kakao.http.get(f"/kakaopay/_window/{kakao.open(payment_method_type='MONEY')}").text
    assert "카드로 결제" not in page
    assert "카카오페이머니로 결제" in page


def test_a_press_leads_to_the_approval_url_with_its_own_query_kept(kakao: Kakao) -> None:
    tid = kakao.open()
    answer = kakao.http.post(f"/kakaopay/_window/{tid}/authenticate", data={"method": "MONEY"})
    assert answer.status_code == 303
    query = parse_qsl(urlsplit(answer.headers["location"]).query)
    assert [name for name, _ in query] == ["kept", "pg_token"]
    assert kakao.status(tid) == "AUTH_PASSWORD"
    assert kakao.approve(tid, query[1][1]).json()["payment_method_type"] == "MONEY"


def test_a_double_click_brings_the_same_token(kakao: Kakao) -> None:
    tid = kakao.open()
    assert kakao.token(tid) == kakao.token(tid)


@pytest.mark.parametrize(
    ("action", "url", "status", "code"),
    [
        ("quit", f"{SHOP}?code=quit", "QUIT_PAYMENT", -783),
        ("wrong-pin", f"{SHOP}?code=fail", "FAIL_AUTH_PASSWORD", -783),
        ("expire", f"{SHOP}?code=fail", "READY", -723),
    ],
)
def test_an_end_without_payment_leads_back(kakao: Kakao, action: str, url: str, status: str, code: int) -> None:
    tid = kakao.open()
    assert kakao.act(tid, action).json()["redirect"] == url
    assert kakao.status(tid) == status
    assert code_of(kakao.approve(tid, "x")) == (400, code)
    assert kakao.ledger()["charged"] == 0


def test_an_ended_page_is_over(kakao: Kakao) -> None:
    tid = kakao.open()
    kakao.act(tid, "quit")
    assert kakao.http.get(f"/kakaopay/_window/{tid}").status_code == 410
    assert code_of(kakao.act(tid, "authenticate")) == (400, -783)
    assert kakao.http.post(f"/kakaopay/_window/{tid}/authenticate").status_code == 410
    assert kakao.http.get("/kakaopay/_window/T0").status_code == 404
    assert kakao.http.post("/kakaopay/_window/T0/quit").status_code == 404


def test_after_15_minutes_the_page_leads_to_the_fail_url(kakao: Kakao) -> None:
    tid = kakao.open()
    kakao.wait(901)
    assert kakao.http.get(f"/kakaopay/_window/{tid}").headers["location"] == f"{SHOP}?code=fail"
    assert kakao.act(tid, "authenticate").json()["redirect"] == f"{SHOP}?code=fail"
    assert kakao.ledger()["status"] == "EXPIRED"


def test_a_buyer_may_authenticate_and_never_return(kakao: Kakao) -> None:
    tid = kakao.open()
    answer = kakao.http.post(f"/kakaopay/_window/{tid}/stay")
    assert answer.headers["location"] == f"/kakaopay/_window/{tid}"
    assert "쇼핑몰로 돌아가지 않았습니다" in kakao.http.get(f"/kakaopay/_window/{tid}").text
    assert kakao.approve(tid, kakao.token(tid)).status_code == 200


def test_what_the_sheet_leaves_open_about_returning_is_a_switch(kakao: Kakao) -> None:
    kakao.turn(return_query="reason=quit", return_fragment="naive", pg_token_length=64, pg_token_letters="alnum")
    assert kakao.act(kakao.open(), "quit").json()["redirect"] == f"{SHOP}?code=quit&reason=quit"
    tid = kakao.open(approval_url=f"{SHOP}#top")
    redirect = kakao.act(tid, "authenticate").json()["redirect"]
    assert re.fullmatch(re.escape(SHOP) + r"#top\?pg_token=[0-9A-Za-z]{64}", redirect)
    kakao.turn(return_fragment="last")
    assert kakao.act(tid, "authenticate").json()["redirect"].endswith("#top")
    kakao.turn(registered_domains="https://other.example", domain_check="ready_and_return")
    assert code_of(kakao.act(tid, "authenticate")) == (400, -799)


def test_an_item_name_cannot_break_the_page(kakao: Kakao) -> None:
    page = kakao.http.get(f"/kakaopay/_window/{kakao.open(item_name='<script>alert(1)</script>')}").text
    assert "<script>alert" not in page


def test_the_home_page_leads_to_open_windows(kakao: Kakao) -> None:
    tid = kakao.open()
    assert f'href="/kakaopay/_window/{tid}"' in kakao.http.get("/").text


# ── accidents ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["timeout", "reset", "half_body"])
@pytest.mark.parametrize(("when", "charged"), [("before", 0), ("after", 9900)])
def test_a_lost_answer_charges_only_after_the_effect(wire: Kakao, kind: str, when: str, charged: int) -> None:
    tid, token = wire.authenticated()
    wire.put("/_faults/kakaopay/approve", {"kind": kind, "when": when, "seconds": 0.1})
    with pytest.raises(LOST):
        wire.approve(tid, token)
    assert wire.ledger()["charged"] == charged
    assert wire.approve(tid, token).json().get("error_code") == (-702 if charged else None)


@pytest.mark.parametrize(
    ("status", "when", "charged"), [(500, "after", 9900), (503, "after", 9900), (500, "before", 0)]
)
def test_a_server_error_says_nothing_about_the_charge(kakao: Kakao, status: int, when: str, charged: int) -> None:
    tid, token = kakao.authenticated()
    kakao.put("/_faults/kakaopay/approve", {"kind": "status", "status": status, "when": when})
    assert kakao.approve(tid, token).status_code == status
    assert kakao.ledger()["charged"] == charged


@pytest.mark.parametrize(
    ("generic", "own"), [("start", "ready"), ("confirm", "approve"), ("find", "order"), ("cancel", "cancel")]
)
def test_faults_know_the_words_that_all_pgs_share(kakao: Kakao, generic: str, own: str) -> None:
    tid = kakao.paid()
    shown = kakao.put(f"/_faults/kakaopay/{generic}", {"kind": "status", "status": 502, "order_id": ORDER})
    assert list(shown) == [f"kakaopay/{own}"]
    assert kakao.ask(own, tid=tid, partner_order_id=ORDER).status_code == 502


def test_a_code_on_order_is_answered_and_a_decline_ends_the_payment(kakao: Kakao) -> None:
    tid, token = kakao.authenticated()
    kakao.put("/_faults/kakaopay/approve", [{"kind": "code", "code": "-785"}, {"kind": "code", "code": "-780:8521"}])
    assert code_of(kakao.approve(tid, token)) == (400, -785)
    assert kakao.status(tid) == "AUTH_PASSWORD"
    assert kakao.approve(tid, token).json()["extras"]["method_result_code"] == "8521"
    assert kakao.status(tid) == "FAIL_PAYMENT"
    for call in ("ready", "order"):
        kakao.put(f"/_faults/kakaopay/{call}", {"kind": "code", "code": "-429"})
        assert code_of(kakao.ask(call, tid=tid)) == (429, -429)


def test_a_refund_can_be_refused_after_it_was_made(kakao: Kakao) -> None:
    tid = kakao.paid()
    kakao.put("/_faults/kakaopay/cancel", {"kind": "code", "code": "-781:6666", "when": "after"})
    assert kakao.cancel(tid, 1_000).json()["extras"]["method_result_code"] == "6666"
    assert kakao.ledger()["refunded"] == 1_000


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_delayed_lookup_is_late(wire: Kakao, when: str) -> None:
    tid = wire.paid()
    wire.put("/_faults/kakaopay/order", {"kind": "delay", "seconds": 0.2, "when": when})
    began = time.monotonic()
    assert wire.status(tid) == "SUCCESS_PAYMENT"
    assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize("call", ["approve", "cancel"])
def test_two_at_once_are_one_and_a_refusal(wire: Kakao, call: str) -> None:
    tid, token = (wire.paid(), "") if call == "cancel" else wire.authenticated()
    wire.put(f"/_faults/kakaopay/{call}", {"kind": "delay", "seconds": 0.2, "times": 2})
    ask = partial(wire.approve, tid, token) if token else partial(wire.cancel, tid, 9_900)
    with ThreadPoolExecutor() as pool:
        answers = [it.result() for it in [pool.submit(ask) for _ in range(2)]]
    assert sorted(answer.status_code for answer in answers) == [200, 400]
    assert {answer.json().get("error_code") for answer in answers} == {None, -785}
    assert (wire.ledger()["confirms"], wire.ledger()["refunded"]) == (1, 0 if call == "approve" else 9_900)


# ── what is kept ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_state_file_survives_a_restart_and_holds_no_secret_key(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    with TestClient(create_app(path), follow_redirects=False) as client:
        kakao = Kakao(client)
        tid, token = kakao.authenticated()
        paid = kakao.paid(partner_order_id="order-0002")
        kakao.cancel(paid, 900)
        before = kakao.order(paid).json()
        kept = path.read_text()  # written before the answer, not at the end
    assert len(json.loads(kept)["gateways"]["kakaopay"]["payments"]) == 2
    assert SECRET not in kept
    with TestClient(create_app(path), follow_redirects=False) as client:
        kakao = Kakao(client)
        assert kakao.order(paid).json() == before
        assert kakao.approve(tid, token).status_code == 200
        assert client.delete("/_state").status_code == 204
        assert client.get("/_ledger").json()["orders"] == {}
