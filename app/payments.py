"""Taking money: open the PG's window, come back, confirm.

Every verb has the same three phases: write the intent and commit; ask the PG with no transaction open; write the
answer and commit. A process that dies in between leaves a row that says what was asked; `app.settlement` finishes it.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta

from sqlalchemy.exc import IntegrityError

from app import receipts
from app.clock import now
from app.folder import Folder, change
from app.gateways import Declined, Handed, InDoubt, Redirect, Window
from app.models import Payment, Status
from app.orders import OWNED
from app.till import BREATH, Refused, Till, Wait, look_up

log = logging.getLogger(__name__)

LONGEST_ID = 200  # letters of a PG's transaction id (pg/toss.md §3.1)
ANOTHER_WAY = "결제를 시작하지 않았습니다. 잠시 뒤 다시 하거나 다른 결제수단을 골라 주세요."


# ── the window ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def open_window(till: Till, payment: Payment, return_url: str) -> Redirect | Window:
    """What the browser does next; the same page of the PG again while it stays open. Raises Refused: no PG to go to."""
    if open_already := _window(payment):
        return open_already
    gateway, circuit = till.gateway_for(payment), till.circuits[payment.gateway]
    try:
        step = await gateway.start(payment, return_url)
    except InDoubt as silence:
        circuit.silent()
        log.warning("%s: %s", gateway.name, silence)
        raise Refused("PG_SILENT", f"{gateway.label}에서 답이 없습니다. {ANOTHER_WAY}", 502) from silence
    except Declined as no:
        circuit.answered()
        raise Refused(no.code, gateway.sentence(no.code), 402) from no
    circuit.answered()
    if step.transaction_id or step.until or gateway.charges_in_window:
        return await _keep_window(till, payment.order_id, step)
    return step


def _window(payment: Payment) -> Redirect | Window | None:
    """The PG's page that is open already."""
    if payment.pg_window is None:
        return None
    until = datetime.fromisoformat(payment.pg_window["until"])
    kind = Redirect if "url" in payment.pg_window else Window
    return kind(**payment.pg_window | {"until": until}) if until > now() else None


async def _keep_window(till: Till, order_id: str, step: Redirect | Window) -> Redirect | Window:
    """What the PG calls this payment, before the browser can come back from there.

    Of two pages opened at one moment the first is kept, and everybody goes there: only its way back is understood.
    Raises Refused: while the PG was asked the payment has ended, and in a window of it money would move unheard.
    """

    def keep(folder: Folder) -> Redirect | Window:
        payment = folder.payment
        if payment.status != Status.PENDING:
            raise Refused("ALREADY_OVER", "그 사이 끝난 주문입니다. 구매 내역을 확인하고 다시 주문해 주세요.")
        if open_already := _window(payment):
            return open_already
        payment.pg_transaction_id = step.transaction_id or payment.pg_transaction_id
        if step.until:
            payment.pg_window = asdict(step) | {"until": step.until.isoformat()}
        return step

    return await change(till, order_id, keep)


# ── confirm ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def come_back(till: Till, order_id: str, query: Mapping[str, str]) -> Payment:
    """The PG sent the buyer back with this query: confirm, or write down why not. Raises Refused."""
    payment = await look_up(till, order_id)
    gateway = till.gateway_for(payment)
    handed = gateway.handed(query)
    if handed.code and gateway.charges_in_window:
        payment = await _look(till, order_id)
    if handed.code and payment.status == Status.PENDING:
        return await _turn_back(till, order_id, handed.code)
    if not handed.code and (handed.transaction_id or handed.token):
        return await confirm(till, order_id, handed, payment)
    return payment


async def confirm(till: Till, order_id: str, handed: Handed, payment: Payment | None = None) -> Payment:
    """Take the money once, however often and from wherever this is called; everyone gets the same answer.

    `payment`: as it was read a moment ago. Raises Refused when what the browser brings does not fit our row: another
    order, amount or transaction.
    """
    if payment is None:
        payment = await look_up(till, order_id)
    _compare(payment, handed)
    charged = till.gateway_for(payment).charges_in_window and not handed.token
    ours = await _claim(till, order_id, handed, charged) if payment.status == Status.PENDING else None
    if ours is None:
        payment = await _answer(till, order_id)
        _compare(payment, handed)
        if charged and not payment.paid_amount:
            return await _look(till, order_id)
        ours = await _bring(till, order_id, handed.token) if handed.token else None
    return await ask_to_confirm(till, ours, "buyer") if ours else payment


async def _look(till: Till, order_id: str) -> Payment:
    """Money may have moved without us: what does the PG say? Asked at most every few seconds."""

    def lease(folder: Folder) -> tuple[Payment, bool]:
        payment = folder.payment
        payment.awaiting_answer = True
        if payment.checked_at and now() < (again := payment.checked_at + BREATH):
            payment.next_check_at = min(payment.next_check_at or again, again)  # the last look was too early
            return payment, False
        payment.checked_at = now()
        payment.next_check_at = payment.next_check_at or now() + timedelta(seconds=till.settle_after)
        return payment, True

    payment, ours = await change(till, order_id, lease)
    if not ours:
        return payment
    try:
        receipt = await till.gateway_for(payment).find(payment)
    except InDoubt as silence:
        log.warning("%s: PG에 물었으나 답이 없습니다 (%s)", order_id, silence.code)
        return payment
    return await receipts.write(till, order_id, receipt, "buyer")


def _compare(payment: Payment, handed: Handed) -> None:
    if any(len(given) > LONGEST_ID for given in (handed.transaction_id, handed.token) if given):
        raise Refused("TRANSACTION_MISMATCH", "결제 거래번호가 올바르지 않습니다. 결제하지 않았습니다.", 400)
    strange = handed.order_id not in (None, payment.order_id)
    if strange and payment.unsettled:
        raise Refused("ORDER_MISMATCH", "다른 주문의 결제입니다. 결제하지 않았습니다.", 400)
    if handed.amount not in (None, str(payment.amount)):
        raise Refused("AMOUNT_MISMATCH", "결제창의 금액이 주문 금액과 다릅니다. 결제하지 않았습니다.", 400)
    known = (payment.pg_transaction_id, handed.transaction_id), (payment.pg_token, handed.token)
    if strange or any(ours and theirs and ours != theirs for ours, theirs in known):
        raise Refused("TRANSACTION_MISMATCH", "이 주문은 다른 결제로 이미 처리되었습니다.")


async def _claim(till: Till, order_id: str, handed: Handed, charged: bool) -> Payment | None:
    """Commit that we are about to ask. None: someone was faster, or we need not ask: the prompt is theirs already.

    What was `charged` is asked about even then, to be given back. Raises Refused while another window is asking.
    """

    def claim(folder: Folder) -> Payment | None:
        payment = folder.payment
        if payment.status != Status.PENDING:
            return None
        if not charged and folder.owned:
            folder.add(payment.move("canceled", "buyer", failure_code="ALREADY_OWNED", failure_message=OWNED))
            folder.rest()
            return None
        soon = now() + timedelta(seconds=till.settle_after)
        asked = {"claimed_at": now(), "next_check_at": soon, "awaiting_answer": True, "pg_token": handed.token}
        transaction_id = handed.transaction_id or payment.pg_transaction_id
        folder.add(payment.move("claimed", "buyer", pg_transaction_id=transaction_id, **asked))
        return payment

    try:
        return await change(till, order_id, claim)
    except IntegrityError as error:  # uq_payment_in_flight
        if charged:
            return None
        raise Refused(
            "IN_FLIGHT", "다른 창에서 이 프롬프트의 결제를 확인하고 있습니다. 이 결제는 진행하지 않았습니다."
        ) from error


async def _bring(till: Till, order_id: str, token: str) -> Payment | None:
    """The permission to take the money comes only after we have asked in vain without it. None: nothing new."""

    def bring(folder: Folder) -> Payment | None:
        payment = folder.payment
        known = payment.status != Status.IN_DOUBT or payment.pg_token is not None
        if known or folder.owned:
            return None
        payment.pg_token, payment.claimed_at, payment.awaiting_answer = token, now(), True
        payment.next_check_at = now() + timedelta(seconds=till.settle_after)
        return payment

    return await change(till, order_id, bring)


async def ask_to_confirm(till: Till, payment: Payment, actor: str, *, repeat: bool = False) -> Payment:
    """A "not now" to a repeat says nothing of the first request, which may still be on its way."""
    try:
        receipt = await till.gateway_for(payment).confirm(payment)
    except Declined as no:
        if repeat and no.why != "declined":
            return await _doubt(till, payment.order_id, InDoubt(no.code, no.message, answered=True), actor)
        return await _decline(till, payment.order_id, no, actor)
    except InDoubt as silence:
        return await _doubt(till, payment.order_id, silence, actor)
    return await receipts.write(till, payment.order_id, receipt, actor)


async def _answer(till: Till, order_id: str) -> Payment:
    """What became of a call that someone else has made; still `confirming` when patience runs out."""
    wait = Wait(till.patience)
    while True:
        payment = await look_up(till, order_id)
        if payment.status != Status.CONFIRMING or not await wait.again():
            return payment


async def _turn_back(till: Till, order_id: str, code: str) -> Payment:
    """The PG's window ended without an approval. Nothing was asked of the PG, so nothing can have been taken."""

    def turn_back(folder: Folder) -> Payment:
        payment = folder.payment
        if payment.status == Status.PENDING:
            gateway = till.gateway_for(payment)
            kind = "canceled" if code in gateway.canceled_codes else "declined"
            sentence = gateway.sentence(code)
            folder.add(payment.move(kind, "buyer", failure_code=code, failure_message=sentence))
            folder.rest()
        return payment

    return await change(till, order_id, turn_back)


async def _decline(till: Till, order_id: str, no: Declined, actor: str) -> Payment:
    def decline(folder: Folder) -> Payment:
        payment = folder.payment
        if payment.can("declined"):
            sentence = till.gateway_for(payment).sentence(no.code)
            folder.add(payment.move("declined", actor, failure_code=no.code, failure_message=sentence))
            payment.awaiting_answer = False
            payment.pg_token = None  # spent, or never good: who brings another one is told how the payment has ended
            folder.rest()
        return payment

    return await change(till, order_id, decline)


async def _doubt(till: Till, order_id: str, silence: InDoubt, actor: str) -> Payment:
    def doubt(folder: Folder) -> Payment:
        payment = folder.payment
        if payment.can("doubted"):
            folder.add(payment.move("doubted", actor, failure_code=silence.code))
            payment.check_later()
        elif payment.status == Status.IN_DOUBT and silence.answered:
            # The PG's newest word: whether it may be asked to confirm again can hang on it.
            payment.failure_code, payment.failure_message = silence.code, None
        payment.awaiting_answer = payment.unsettled and not silence.answered
        return payment

    return await change(till, order_id, doubt)
