"""What people type: a sentence beside the field that is wrong, and nothing typed is lost."""

import unicodedata
from typing import Any

import pytest
from sqlalchemy import update
from sqlmodel import col, select

from app.models import Payment, Prompt, User
from tests import story
from tests.conftest import ORDER, Cashier, Checkout, House, Visitor
from tests.fragments import PARTIAL, assert_form_again, assert_page, assert_refused_form, one, soup, words
from tests.sandboxes import Sandbox

NEW = {"email": "new@example.com", "password": "quite a long one", "name": "새손님", "phone": "010-2222-3333"}
PAGE: dict[str, str] = {}
NFD = unicodedata.normalize("NFD", "김찐부부")


@pytest.fixture
def paid(buyer: Visitor, cashier: Cashier) -> Checkout:
    return cashier.buy(buyer)


def order_form(**changed: str) -> dict[str, str]:
    return ORDER | {"prompt_id": str(story.PROMPT), "amount": "10000"} | changed


def without(form: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in form.items() if key != name}


# ── login and register ───────────────────────────────────────────────────────────────────────────────────────────────


def test_login_says_what_is_missing_and_keeps_the_email(stranger: Visitor) -> None:
    form = {"email": "김@example.com", "password": "a secret word", "next": "/purchases"}
    answer = stranger.post("/login", data=form | {"password": ""})
    assert_form_again(answer, "password", "비밀번호를 입력해 주세요", email=form["email"], next="/purchases")
    answer = stranger.post("/login", data=form | {"email": " "})
    assert_form_again(answer, "email", "이메일을 입력해 주세요", next="/purchases", password="")
    assert form["password"] not in answer.text
    answer = stranger.post("/login", data=form)
    assert_refused_form(answer, "이메일 또는 비밀번호가 맞지 않습니다", status=422)
    assert one(answer.text, "input[name=email]")["value"] == form["email"]
    assert form["password"] not in answer.text
    for name in ("email", "password"):
        assert_form_again(stranger.post("/login", data=without(form, name)), name, "입력해 주세요")


REGISTER = (
    ("email", "", "이메일 주소를 확인"),
    ("email", "not an address", "이메일 주소를 확인"),
    ("email", "two@at@example.com", "이메일 주소를 확인"),
    ("email", "a" * 65 + "@example.com", "이메일 주소를 확인"),
    ("email", "a@" + "b" * 260 + ".com", "이메일 주소를 확인"),
    ("email", story.BUYER, "이미 가입된 이메일"),
    ("email", story.BUYER.upper(), "이미 가입된 이메일"),
    ("password", "", "8자 이상"),
    ("password", "short", "8자 이상"),
    ("password", "x" * 201, "8자 이상 200자 이하"),
    ("password", "aaaaaaaaaaaa", "너무 쉬운"),
    ("password", "Password", "너무 쉬운"),
    ("name", "", "이름을 50자"),
    ("name", "  ", "이름을 50자"),
    ("name", "김" * 51, "이름을 50자"),
    ("name", "김\x07찐", "쓸 수 없는 문자"),
    ("name", "김\ufffe찐", "쓸 수 없는 문자"),
    ("name", "김\U0010ffff찐", "쓸 수 없는 문자"),
    ("name", "김\ufdd0찐", "쓸 수 없는 문자"),
    ("phone", "12345", "휴대폰 번호를"),
    ("phone", "010-1234-5678-9999", "휴대폰 번호를"),
    ("phone", "전화없음", "휴대폰 번호를"),
)


def test_register_says_what_is_wrong_beside_the_field_and_keeps_the_rest(house: House, stranger: Visitor) -> None:
    for field, value, sentence in REGISTER:
        form = NEW | {field: value, "next": "/payments/new?prompt_id=2"}
        answer = stranger.post("/register", data=form)
        kept: dict[str, Any] = {name: typed for name, typed in form.items() if name != "password"}
        assert_form_again(answer, field, sentence, password="", **kept)
        assert len(soup(answer.text).select('[aria-invalid="true"]')) == 1, "only what is wrong is marked"
        assert form["password"] not in answer.text or not value, "a password is never sent back"
        assert "set-cookie" not in answer.headers
    assert not house.rows(select(User).where(col(User.email) == NEW["email"]))


def test_a_form_that_cannot_be_read_is_told_in_korean(stranger: Visitor) -> None:
    no_boundary = {"Content-Type": "multipart/form-data"}
    too_many = {"Content-Type": "application/x-www-form-urlencoded"}
    for headers, body in ((no_boundary, b"x"), (too_many, b"&".join(b"a%d=1" % n for n in range(1100)))):
        answer = stranger.post("/login", content=body, headers=headers)
        assert_page(answer, "요청을 읽을 수 없습니다. 다시 시도해 주세요.", status=400)


def test_register_marks_every_wrong_field_at_once(stranger: Visitor) -> None:
    answer = stranger.post("/register", data={"email": "x", "password": "x", "name": "", "phone": "x"})
    for field in ("email", "password", "name", "phone"):
        assert_form_again(answer, field, "해 주세요" if field != "phone" else "예: 010-1234-5678")


def test_what_is_typed_comes_back_as_text_and_not_as_html(stranger: Visitor) -> None:
    nasty = "\"><script>alert(1)</script>'{{ 7*7 }}"
    answer = stranger.post("/register", data=NEW | {"email": nasty, "name": nasty, "next": nasty})
    assert_form_again(answer, "email", "이메일 주소를 확인", email=nasty, name=nasty, next=nasty)
    assert "<script>alert" not in answer.text
    assert "49" not in one(answer.text, "input[name=name]")["value"]


PHONES = (
    ("010-1234-5678", "01012345678"),
    ("01012345678", "01012345678"),
    ("010 1234 5678", "01012345678"),
    ("(02) 123-4567", "021234567"),
    ("031-123-4567", "0311234567"),
    ("０１０－１２３４－５６７８", "01012345678"),
    ("0１０-1234-567８", "01012345678"),
    ("+82 10-1234-5678", "01012345678"),
    ("", ""),
)


def test_phone_numbers_are_taken_as_koreans_and_their_browsers_write_them(house: House) -> None:
    stored = {}
    for number, (typed, _) in enumerate(PHONES):
        email = f"phone{number}@example.com"
        house.visitor().post("/register", data=NEW | {"email": email, "phone": typed})
        stored[typed] = house.rows(select(User.phone).where(col(User.email) == email))
    assert stored == {typed: [expected] for typed, expected in PHONES}


def test_korean_names_are_stored_in_one_form(house: House, stranger: Visitor, admin: Visitor) -> None:
    """A Mac sends the letters in pieces (NFD); who searches for the name finds it all the same."""
    assert len(NFD) > len("김찐부부")
    stranger.post("/register", data=NEW | {"name": f"  {NFD} "})
    assert house.rows(select(User.name).where(col(User.email) == NEW["email"])) == ["김찐부부"]
    answer = stranger.post("/payments", data=order_form(buyer_name=NFD))
    assert answer.status_code == 303
    for word in ("찐부", unicodedata.normalize("NFD", "찐부")):
        found = assert_page(admin.get("/admin/payments", params={"q": word})).select("tr[data-status]")
        assert len(found) == 1, word


def test_the_summary_of_a_refused_form_leads_to_every_wrong_field_in_their_order(
    stranger: Visitor, buyer: Visitor
) -> None:
    for form, wrong in (
        (stranger.post("/register", data={"email": "x", "password": "x", "name": "", "phone": "x"}), list(NEW)),
        (buyer.post("/payments", data={"prompt_id": "1"}), ["payment_method", "buyer_name", "buyer_phone", "agree"]),
    ):
        summary = soup(form.text).select('.is-summary[role="alert"][tabindex="-1"][autofocus] a')
        assert [link["href"] for link in summary] == [f"#{name}" for name in wrong]
        for link, name in zip(summary, wrong, strict=True):
            assert one(form.text, f"#{name}")["name"] == name
            assert words(link) == words(one(form.text, f"#{name}-error"))


# ── order ────────────────────────────────────────────────────────────────────────────────────────────────────────────


ORDERS = (
    ("buyer_name", "", "이름을 50자"),
    ("buyer_name", "김" * 51, "이름을 50자"),
    ("buyer_phone", "", "휴대폰 번호를"),
    ("buyer_phone", "112", "휴대폰 번호를"),
    ("agree", "", "동의해 주세요"),
    ("agree", "yes", "동의해 주세요"),
    ("payment_method", "", "결제수단을 골라"),
)


def test_the_order_says_what_is_wrong_beside_the_field(house: House, buyer: Visitor) -> None:
    for asked in (PAGE, PARTIAL):
        for field, value, sentence in ORDERS:
            form = order_form(**{field: value})
            answer = buyer.post("/payments", data=form if value else without(form, field), headers=asked)
            lost = (field, "payment_method", "agree")
            kept: dict[str, Any] = {name: typed for name, typed in form.items() if name not in lost}
            assert_form_again(answer, field, sentence, **kept)
            assert bool(soup(answer.text).html) == (asked is PAGE)
            ticked = soup(answer.text).select('input[name="agree"][checked]')
            assert bool(ticked) == (field != "agree"), "the tick is kept, and never set by us"
    assert house.rows(select(Payment)) == []


def test_a_fresh_order_form_is_filled_in_but_nothing_is_ticked(buyer: Visitor) -> None:
    page = buyer.get("/payments/new?prompt_id=1")
    assert one(page.text, "input[name=buyer_name]")["value"] == "김찐"
    assert one(page.text, "input[name=buyer_phone]")["value"] == "01012345678"
    assert not one(page.text, "input[name=agree]").has_attr("checked")
    assert one(page.text, "input[name=amount]")["value"] == "10000"


def test_a_payment_method_we_do_not_have_is_refused(house: House, buyer: Visitor) -> None:
    for asked in (PAGE, PARTIAL):
        answer = buyer.post("/payments", data=order_form(payment_method="bitcoin", buyer_name="박구매"), headers=asked)
        assert_refused_form(answer, "쓸 수 없는 결제수단", status=422)
        assert one(answer.text, "input[name=buyer_name]")["value"] == "박구매"
    assert house.rows(select(Payment)) == []


def test_a_price_that_changed_since_the_page_was_drawn_is_asked_about(house: House, buyer: Visitor) -> None:
    async def raise_price(session: Any) -> None:
        await session.exec(update(Prompt).where(col(Prompt.id) == story.PROMPT).values(price=12_000))

    house.change(raise_price)
    form = order_form(buyer_name="박구매", buyer_phone="010-9999-8888")
    for asked in (PAGE, PARTIAL):
        answer = buyer.post("/payments", data=form, headers=asked)
        assert_refused_form(answer, "₩10,000 → ₩12,000", status=400)
        assert one(answer.text, "input[name=amount]")["value"] == "12000", "the next press agrees to the new price"
        assert one(answer.text, "input[name=buyer_name]")["value"] == "박구매"
        assert one(answer.text, "input[name=buyer_phone]")["value"] == "010-9999-8888"
    assert house.rows(select(Payment)) == []
    assert buyer.post("/payments", data=form | {"amount": "12000"}).status_code == 303
    assert house.rows(select(Payment.amount)) == [12_000]


def test_what_is_owned_already_is_not_sold_again(house: House, buyer: Visitor, paid: Checkout) -> None:
    for asked in (PAGE, PARTIAL):
        answer = buyer.post("/payments", data=order_form(), headers=asked)
        assert_refused_form(answer, "이미 보유한 프롬프트", status=409)
    assert len(house.rows(select(Payment))) == 1
    assert buyer.get("/payments/new?prompt_id=1").headers["location"] == "/prompts/1"


def test_a_prompt_that_is_not_there_cannot_be_ordered(buyer: Visitor) -> None:
    for prompt_id in ("", "0", "-1", "99", "x", "1e3", "99999999999", "²"):
        assert_page(buyer.get("/payments/new", params={"prompt_id": prompt_id}), "찾는 페이지가 없습니다", status=404)
        assert_page(buyer.post("/payments", data=order_form(prompt_id=prompt_id)), "찾는 페이지", status=404)


# ── refund ───────────────────────────────────────────────────────────────────────────────────────────────────────────


REFUNDS = (
    ("amount", "0", "1원 이상의 숫자", 422),
    ("amount", "-1000", "1원 이상의 숫자", 422),
    ("amount", "만원", "1원 이상의 숫자", 422),
    ("amount", "1000.5", "1원 이상의 숫자", 422),
    ("amount", "1.000", "1원 이상의 숫자", 422),
    ("amount", "10,001", "₩10,000", 409),
    ("amount", "99999999999", "1원 이상의 숫자", 422),
    ("reason", "", "환불 사유를", 422),
    ("reason", "가" * 201, "환불 사유를", 422),
)


def test_the_refund_form_says_what_is_wrong_beside_the_field(
    house: House, admin: Visitor, sandbox: Sandbox, paid: Checkout
) -> None:
    for asked in (PAGE, PARTIAL):
        for field, value, sentence, status in REFUNDS:
            form: dict[str, Any] = {"amount": "3,000", "reason": "고객 요청", "key": "k" * 32} | {field: value}
            answer = admin.post(f"/admin/payments/{paid.order_id}/refunds", data=form, headers=asked)
            assert_form_again(answer, field, sentence, status=status, **form)
            assert bool(soup(answer.text).html) == (asked is PAGE)
    assert house.refunds(paid.order_id) == []
    assert sandbox.ledger(paid.order_id)["cancel_calls"] == 0


def test_an_amount_is_taken_as_people_write_it(house: House, admin: Visitor, paid: Checkout) -> None:
    taken = {}
    for number, typed in enumerate(("₩1,000", "1,000원", " 1000 ", "１０００", "１，０００원", "￦1,000")):
        form = {"amount": typed, "reason": "고객 요청", "key": f"key-{number}"}
        taken[typed] = admin.post(f"/admin/payments/{paid.order_id}/refunds", data=form).status_code
    assert taken == dict.fromkeys(taken, 303)
    assert {entry.amount for entry in house.refunds(paid.order_id)} == {1_000}


def test_a_refund_form_that_lost_its_key_says_so(house: House, admin: Visitor, paid: Checkout) -> None:
    answer = admin.post(f"/admin/payments/{paid.order_id}/refunds", data={"reason": "고객 요청"})
    assert answer.status_code == 422
    assert "환불 화면을 다시 열어 주세요" in answer.text
    assert house.refunds(paid.order_id) == []


def test_what_cannot_be_refunded_any_more_says_so(admin: Visitor, cashier: Cashier, paid: Checkout) -> None:
    assert cashier.refund(admin, paid).status_code == 200
    for headers in ({}, PARTIAL):
        form = {"reason": "고객 요청", "key": "another"}
        answer = admin.post(f"/admin/payments/{paid.order_id}/refunds", data=form, headers=headers)
        assert answer.status_code == 409
        assert "환불할 수 있는 상태가 아닙니다" in answer.text


# ── the admin's filter ───────────────────────────────────────────────────────────────────────────────────────────────


FILTERS: tuple[tuple[dict[str, str], str], ...] = (
    ({"from": "2026-02-30"}, "시작일을"),
    ({"to": "tomorrow"}, "종료일을"),
    ({"from": "2026-02-02", "to": "2026-02-01"}, "시작일이 종료일보다 늦습니다"),
    ({"status": "lost"}, "상태를 목록에서"),
    ({"sort": "buyer_name"}, "정렬 기준을"),
    ({"q": "x" * 101}, "검색어를 100자"),
    ({"cursor": "bm9uc2Vuc2U"}, "처음부터 다시"),
)


def test_a_filter_that_cannot_be_read_says_why_and_stays_as_it_was_typed(admin: Visitor) -> None:
    for asked in (PAGE, PARTIAL):
        for query, sentence in FILTERS:
            answer = admin.get("/admin/payments", params={"payment_method": "card"} | query, headers=asked)
            assert_refused_form(answer, sentence, status=422)
            if asked is PARTIAL:
                continue
            assert one(answer.text, "#payment_method option[selected]:not([value=''])")["value"] == "card"
            for name in {"from", "to", "q"} & set(query):
                assert one(answer.text, f'input[name="{name}"]')["value"] == query[name]


def test_a_filter_with_the_wrong_field_marks_it_for_screen_readers(admin: Visitor) -> None:
    answer = admin.get("/admin/payments", params={"from": "2026-02-30"})
    typed: dict[str, Any] = {"from": "2026-02-30"}
    assert_form_again(answer, "from", "시작일을", **typed)


def test_the_live_and_the_csv_of_a_wrong_filter_say_one_sentence(admin: Visitor) -> None:
    for url in ("/admin/payments.csv", "/admin/payments/live"):
        answer = admin.get(url, params={"from": "2026-02-30", "after": "0"})
        page = assert_page(answer, "시작일을", status=422)
        assert "{'" not in str(page), "a Python dict is not a sentence"
