"""Refunds of many payments at once: looked over, started, killed, taken up again, each payment given back once."""

import asyncio
import contextlib
import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app import bulk
from app.clock import now
from app.config import ROOT, Settings
from app.desk import BulkRow
from app.gateways import Declined
from app.models import Payment, Prompt, Refund
from app.reconciler import reconcile
from app.till import Till, find
from tests import story
from tests.conftest import Cashier, Checkout, House, Visitor
from tests.fragments import assert_form_again, assert_fragment, assert_notice, assert_page, one, soup, words
from tests.sandboxes import Sandbox

DEATHS = ("3", "7w", "9", "5w", "10", "6w", "4", "8", "5w", "6")  # the point at which each worker dies
one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Nobody works beside the test."""

    async def rest(_till: Till) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(bulk, "keep_working", rest)
    return settings


@pytest.fixture
def bought(house: House, buyer: Visitor, cashier: Cashier) -> list[Checkout]:
    """Ten purchases of ₩1,000 to ₩10,000."""

    async def stock(session: AsyncSession) -> None:
        for number in range(1, 11):
            session.add(
                Prompt(
                    id=100 + number,
                    title=f"프롬프트 {number}",
                    category="글쓰기",
                    summary="-",
                    preview="-",
                    body="-",
                    price=1_000 * number,
                )
            )

    house.change(stock)
    return [cashier.buy(buyer, 100 + number) for number in range(1, 11)]


def draw_up(operator: Visitor, checkouts: list[Checkout]) -> str:
    """Through the form around the table; answers the job's address."""
    data = {"order_id": [checkout.order_id for checkout in checkouts]}
    answer = operator.post("/admin/bulk-refunds/new", data=data)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def start(operator: Visitor, url: str) -> None:
    total = str(one(operator.get(url).text, "input[name=total]")["value"])
    answer = operator.post(f"{url}/start", data={"reason": "광고와 다름", "total": total})
    assert answer.headers["location"] == url


def outcomes(operator: Visitor, url: str) -> list[str]:
    return [str(line["data-outcome"]) for line in soup(operator.get(url).text).select("tr[data-outcome]")]


@one_database
def test_before_anything_is_given_back_one_sees_how_much_and_what_not(
    house: House, buyer: Visitor, operator: Visitor, cashier: Cashier, bought: list[Checkout], sandbox: Sandbox
) -> None:
    cashier.refund(operator, bought[0])
    cashier.refund(operator, bought[9], amount="4000")
    sandbox.fault("cancel", "reset", when="after")
    cashier.refund(operator, bought[1], amount="500")
    pending = cashier.order(buyer, story.DISCOUNTED)
    waiting = cashier.order(buyer, story.DISCOUNTED, payment_method="virtual_account")
    waiting = cashier.press(cashier.open(buyer, waiting))
    buyer.get(waiting.back)
    declined = cashier.order(buyer)
    buyer.get(f"{declined.path}/return?code=REJECT_CARD_COMPANY")
    url = draw_up(operator, [*bought, pending, waiting, declined])
    page = assert_page(operator.get(url), "8건 = ₩48,000", "5건은 제외", "이미 전액 환불되었습니다")
    for text in ("앞선 환불의 결과를 확인하고 있습니다", "8건 ₩48,000 환불하기", "김*"):
        assert text in words(page)
    for checkout, why in (
        (pending, "아직 결제하지 않은 주문입니다"),
        (waiting, "아직 입금되지 않았습니다"),
        (declined, "결제에 실패해 받은 돈이 없습니다"),
    ):
        line = one(str(page), f"tr[data-outcome]:has(a[href$='{checkout.order_id}'])")
        assert why in words(line)
        assert words(one(str(line), ".money")) == "–"
    assert sandbox.total()["refunded"] == 5_500, "nothing has moved yet"

    assert_form_again(operator.post(f"{url}/start", data={"reason": "", "total": "48000"}), "reason", "환불 사유를")
    other = operator.part("POST", f"{url}/start", data={"reason": "오류", "total": "47000"})
    assert_notice(other, "확인한 금액과 다릅니다", status=409)
    assert_page(operator.post("/admin/bulk-refunds/new", data={}), "골라 주세요", status=422)


def test_what_is_no_order_number_is_not_looked_for(operator: Visitor, buyer: Visitor, cashier: Cashier) -> None:
    order_id, url = cashier.buy(buyer).order_id, "/admin/bulk-refunds/new"
    odd = ["\0" * 24, "A" * 23 + "\0", order_id + "\n", "가" * 24]
    assert_page(operator.post(url, data={"order_id": odd}), "골라 주세요", status=422)
    assert_page(operator.get(operator.post(url, data={"order_id": [*odd, order_id]}).headers["location"]), "1건 =")


@one_database
def test_what_has_changed_meanwhile_is_told_and_only_what_failed_is_tried_again(
    house: House, operator: Visitor, cashier: Cashier, bought: list[Checkout], sandbox: Sandbox
) -> None:
    changed, declined, silent, *good = bought
    url = draw_up(operator, bought)
    cashier.refund(operator, changed, amount="100")
    sandbox.fault("cancel", "code", code="NOT_CANCELABLE_PAYMENT", order_id=declined.order_id)
    start(operator, url)
    start_again = operator.post(f"{url}/start", data={"reason": "오류", "total": "55000"})
    assert start_again.status_code == 303, "pressed twice, started once"
    assert_fragment(operator.part("GET", url), "10건 중 0건")

    house.run(bulk.work, house.till)
    assert outcomes(operator, url) == ["refused", "failed", *["done"] * 8]
    assert_page(operator.get(url), "10건 중 10건", "남은 금액이 ₩900으로", "실패한 2건만 다시 하기", "광고와 다름")
    assert operator.part("GET", url).headers["hx-redirect"] == url, "the watching page is shown the end"

    operator.post(f"{url}/retry")
    house.run(bulk.work, house.till)
    assert outcomes(operator, url) == ["refused", *["done"] * 9]
    for checkout in (declined, silent, *good):
        assert [entry.status for entry in house.refunds(checkout.order_id)][-1] == "done"
        assert sandbox.ledger(checkout.order_id)["refunded"] == house.payment(checkout.order_id).amount
    assert len(house.refunds(good[0].order_id)) == 1, "what was done is not tried again"

    result = operator.get(f"{url}/result.csv")
    assert result.content.startswith(b"\xef\xbb\xbf")
    lines = result.text.removeprefix("\ufeff").splitlines()
    assert len(lines) == 11
    assert lines[1].startswith(f"{changed.order_id},1000,환불하지 않음,그 사이")
    assert_page(operator.get("/admin/bulk-refunds"), "광고와 다름", "operator@example.com", "끝남")


@one_database
def test_payments_that_nobody_can_be_asked_about_are_left_alone_and_tried_again_with_the_keys_back(
    house: House, operator: Visitor, bought: list[Checkout], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = draw_up(operator, bought)
    start(operator, url)
    with monkeypatch.context() as lost:
        lost.delitem(house.till.gateways, "toss")
        house.run(bulk.work, house.till)
        assert outcomes(operator, url) == ["refused"] * 10
        assert_page(operator.get(url), "토스페이먼츠의 키가 설정되어 있지 않아 환불하지 않았습니다")
        assert_page(
            operator.get(draw_up(operator, bought)), "10건은 제외", "토스페이먼츠의 키가 설정되어 있지 않습니다"
        )
    assert house.rows(select(Refund)) == []
    operator.post(f"{url}/retry")
    house.run(bulk.work, house.till)
    assert outcomes(operator, url) == ["done"] * 10


@one_database
def test_all_that_a_filter_leaves_is_picked_also_below_the_screen_and_nothing_that_comes_later(
    house: House, buyer: Visitor, operator: Visitor, cashier: Cashier, bought: list[Checkout], monkeypatch: Any
) -> None:
    query = "q=%EA%B9%80%EC%B0%90&amount_from=3000&cursor=last"
    listed = one(operator.get(f"/admin/payments?{query}").text, "a[data-pick=all]")
    button = one(assert_fragment(operator.part("GET", str(listed["hx-get"])), "8건 모두 미리 보기").decode(), "button")
    page = assert_page(operator.get(str(listed["href"])), "8건 모두 미리 보기")
    assert one(str(page), "form#bulk button[name=matching]")["value"] == button["value"], "without a script, too"

    ticked = {"order_id": bought[0].order_id, "matching": str(button["value"])}
    url = operator.post("/admin/bulk-refunds/new", data=ticked).headers["location"]
    later = cashier.buy(buyer, story.DISCOUNTED)
    page = assert_page(operator.get(url), "8건 = ₩52,000")
    for checkout in (bought[0], bought[1], later):
        assert checkout.order_id not in str(page)
    assert_fragment(operator.part("GET", str(listed["hx-get"])), "9건 모두 미리 보기")

    monkeypatch.setattr(bulk, "SHOWN", 3)
    assert_page(operator.get(url), "처음 3건입니다. 8건 모두 CSV로")
    monkeypatch.setattr(bulk, "MOST", 8)
    assert_fragment(operator.part("GET", str(listed["hx-get"])), "8건을 넘어 한 번에 고를 수 없습니다")
    answer = operator.part("POST", "/admin/bulk-refunds/new", data=ticked)
    assert_notice(answer, "8건을 넘어 한 번에 고를 수 없습니다", status=422)
    assert_notice(operator.part("POST", "/admin/bulk-refunds/new", data={"matching": "from=x"}), "시작일을", status=422)
    assert_fragment(operator.part("GET", "/admin/bulk-refunds/matching?q=없는사람"), "조건에 맞는 결제가 없습니다")


def test_a_job_killed_ten_times_gives_every_payment_back_once(
    house: House, operator: Visitor, bought: list[Checkout], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at every payment: in turn before the PG was asked, and after it has answered."""
    monkeypatch.setattr(bulk, "LEASE", timedelta(0))  # the next worker need not wait for the dead one's
    monkeypatch.setattr(bulk, "AT_ONCE", 1)
    declined = bought[3]
    sandbox.fault("cancel", "code", code="NOT_CANCELABLE_PAYMENT", order_id=declined.order_id)
    url = draw_up(operator, bought)
    start(operator, url)
    gateway = house.till.gateways["toss"]
    ask, asked = gateway.cancel, list[str]()

    async def killed() -> None:
        """A worker, until it speaks to the PG."""
        dead = asyncio.Event()

        async def cancel(payment: Payment, entry: Refund, *words: Any) -> None:
            asked.append(payment.order_id)
            if len(asked) % 2:
                with contextlib.suppress(Declined):
                    await ask(payment, entry, *words)
            dead.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(gateway, "cancel", cancel)
        worker = asyncio.create_task(bulk.work(house.till))
        await dead.wait()
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)

    for _ in range(10):
        house.run(killed)
    assert asked == [checkout.order_id for checkout in bought], "nobody is asked about twice"
    monkeypatch.setattr(gateway, "cancel", ask)
    house.run(bulk.work, house.till)
    assert outcomes(operator, url) == ["requested"] * 10
    assert_one_outcome_each(house, bought, declined, sandbox)


@one_database
def test_a_process_killed_ten_times_in_the_middle_of_a_job_leaves_every_payment_one_outcome(
    house: House, operator: Visitor, bought: list[Checkout], sandbox: Sandbox
) -> None:
    """Real processes: nothing of them is closed or rolled back."""
    sandbox.fault("cancel", "code", code="NOT_CANCELABLE_PAYMENT", order_id=bought[3].order_id)
    url = draw_up(operator, bought)
    start(operator, url)
    its = {"DATABASE_URL": house.settings.database_url, "TOSS_API_URL": f"{sandbox.url}/toss"}
    keys = {"TOSS_CLIENT_KEY": "test_ck_sandbox", "TOSS_SECRET_KEY": "test_sk_sandbox"}
    command = [sys.executable, "-m", "tests.bulk_deaths", *DEATHS]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | its | keys, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    died = done.stdout.splitlines()
    assert died.pop() == "done"
    assert len(died) == 10
    assert {"before a commit", "after a commit"} < set(died), "some died on the way to the PG, or from there"
    assert_one_outcome_each(house, bought, bought[3], sandbox)
    assert_page(operator.get(url), "10건 중 10건", "환불 완료 9건", "실패 1건")


def assert_one_outcome_each(house: House, bought: list[Checkout], declined: Checkout, sandbox: Sandbox) -> None:
    """The reconciler hears what became of the refunds whose answer nobody heard."""

    async def all_due(session: AsyncSession) -> None:
        await session.exec(update(Payment).where(col(Payment.next_check_at).is_not(None)).values(next_check_at=now()))

    house.change(all_due)
    house.run(reconcile, house.till)
    rows = house.rows(select(BulkRow, Refund).join(Refund, col(Refund.id) == col(BulkRow.refund_id)))
    assert len(rows) == len(bought)
    assert {refund.status for _, refund in rows} == {"done", "failed"}
    for checkout in bought:
        assert len(house.refunds(checkout.order_id)) == 1, "one outcome"
        given = house.payment(checkout.order_id).amount if checkout is not declined else 0
        assert sandbox.ledger(checkout.order_id)["refunded"] == given


@one_database
def test_large_refunds_and_bank_accounts_are_not_for_the_crowd(
    house: House, operator: Visitor, bought: list[Checkout]
) -> None:
    async def by_transfer(session: AsyncSession) -> None:
        (await find(session, bought[0].order_id)).payment_method = "virtual_account"

    house.change(by_transfer)
    till = replace(house.till, approval_above=5_000)
    job = house.run(bulk.draw_up, till, [checkout.order_id for checkout in bought], "operator@example.com")
    page = assert_page(operator.get(f"/admin/bulk-refunds/{job.id}"), "4건 = ₩14,000", "6건은 제외")
    why = [words(reason) for reason in page.select(".reasons li")]
    assert sorted(why) == [
        "두 번째 사람의 승인이 있어야 하는 금액입니다 5건",
        "환불받을 계좌를 한 건씩 입력해야 합니다 1건",
    ]
    assert words(one(str(page), "tbody")).count("두 번째 사람의 승인이") == 5
