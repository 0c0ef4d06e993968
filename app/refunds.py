"""Giving money back: reserve, ask the PG, write its answer. One key is one refund, however often it is pressed."""

from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta
from functools import partial

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.clock import now
from app.folder import Folder, change
from app.gateways import Cancellation, Declined, Gateway, InDoubt, Receipt, RefundAccount, gateway_label
from app.models import OPEN_REFUND, Payment, Refund, RefundStatus
from app.seal import seal, unseal
from app.till import Refused, Till, Wait, find

IN_DOUBT = "앞선 환불의 결과를 확인하고 있습니다. 결과가 나온 뒤 다시 환불해 주세요."
KEY_REUSED = "같은 요청 키로 이미 다른 금액이나 사유의 환불을 요청했습니다. 그 환불의 결과를 확인해 주세요."
TWO_PEOPLE = "한 결제에서 ₩{:,}을 넘는 환불은 다른 사람의 승인이 있어야 합니다."
UNREACHABLE = "{}의 키가 설정되어 있지 않아 환불하지 않았습니다. 키를 설정한 뒤 다시 환불해 주세요."
UNDELIVERABLE = "undeliverable"
"""The key of the refund that we owe because we cannot deliver: asked for until the PG holds nothing of it."""


async def refund(
    till: Till,
    order_id: str,
    *,
    amount: int | None,
    reason: str,
    key: str,
    by: str,
    account: RefundAccount | None = None,
    shown: int | None = None,
    approved: bool = False,
) -> tuple[Payment, Refund]:
    """Give `amount` won back, or all that is left. One `key` is one refund, however often it is pressed.

    A deposit needs the `account` it goes back to; anything else takes none. `shown` is what was left, in won, when
    somebody decided on it; `approved` says that two people did. Raises Refused: not refundable, more than is left, a
    wrong account, no longer what was shown (STALE), not one person's decision (APPROVAL_REQUIRED), nobody to ask for it
    (GATEWAY_NOT_CONFIGURED), or a key that was used for something else.
    """

    def reserve_it(folder: Folder) -> tuple[Payment, Refund | None, bool]:
        """The refund, and whether it is new; none while another one is under way."""
        payment = folder.payment
        if known := next((entry for entry in folder.refunds if entry.key == key), None):
            return payment, known, False
        wanted = _refundable(payment, amount, folder.open_refund, shown)
        if folder.open_refund:
            return payment, None, False
        gateway_of(till, payment)
        sealed = sealed_for(till, payment, account)
        if not approved and 0 < till.approval_above < payment.refunded_amount + wanted:
            raise Refused("APPROVAL_REQUIRED", TWO_PEOPLE.format(till.approval_above), 403)
        return payment, reserve(folder, wanted, reason, key, by, sealed), True

    wait = Wait(till.patience)
    while True:
        payment, entry, new = await change(till, order_id, reserve_it)
        if entry is not None:
            break
        if not await wait.again():
            raise Refused("REFUND_IN_DOUBT", IN_DOUBT)
    if new:
        return await send(till, payment, entry)
    if amount not in (None, entry.amount) or reason != entry.reason:
        raise Refused("KEY_REUSED", KEY_REUSED)
    return await _refund_answer(till, order_id, entry)


def _refundable(payment: Payment, amount: int | None, before: Refund | None, shown: int | None) -> int:
    """Whole won to give back, once `before`, a refund that is under way, is over. Raises Refused."""
    if before and before.status == RefundStatus.IN_DOUBT:
        raise Refused("REFUND_IN_DOUBT", IN_DOUBT)
    if shown not in (None, payment.remaining):
        raise Refused("STALE", f"그 사이 남은 금액이 ₩{payment.remaining:,}으로 바뀌었습니다.")
    if not payment.refundable:
        raise Refused("NOT_REFUNDABLE", "환불할 수 있는 상태가 아닙니다. 새로고침해서 상태를 확인해 주세요.")
    if (amount or 0) > payment.remaining:
        raise Refused("TOO_MUCH", f"환불할 수 있는 금액은 ₩{payment.remaining:,}입니다.")
    return payment.remaining if amount is None else amount


def gateway_of(till: Till, payment: Payment) -> Gateway:
    """Who is asked to give it back. Raises Refused when its keys are gone: nothing may be reserved then."""
    if gateway := till.gateways.get(payment.gateway):
        return gateway
    raise Refused("GATEWAY_NOT_CONFIGURED", UNREACHABLE.format(gateway_label(payment.gateway)), 502)


def sealed_for(till: Till, payment: Payment, account: RefundAccount | None) -> str | None:
    """The account of a deposit, encrypted. Raises Refused when it is missing, of no use, or not asked for."""
    if not payment.needs_account:
        if account:
            raise Refused("ACCOUNT_NOT_NEEDED", "결제한 수단으로 돌려주는 결제입니다. 환불 계좌를 빼 주세요.", 422)
        return None
    gateway = gateway_of(till, payment)
    if account is None:
        raise Refused(
            "ACCOUNT_REQUIRED",
            "입금받은 결제라 환불받을 계좌가 필요합니다. 은행, 계좌번호, 예금주를 입력해 주세요.",
            422,
        )
    if account.bank not in gateway.banks:
        raise Refused("UNKNOWN_BANK", f"환불할 수 없는 은행입니다. 쓸 수 있는 은행: {', '.join(gateway.banks)}", 422)
    return seal(gateway.settings, account)


def account_of(till: Till, payment: Payment, entry: Refund) -> RefundAccount | None:
    """Where an open refund of a deposit goes. Raises Declined when SECRET_KEY has changed: it can be typed again."""
    if entry.account_sealed is None:
        return None
    if account := unseal(till.gateway_for(payment).settings, entry.account_sealed):
        return account
    raise Declined("ACCOUNT_UNREADABLE", "환불 계좌를 읽을 수 없습니다. 계좌를 다시 입력해 환불해 주세요.")


def reserve(folder: Folder, amount: int, reason: str, key: str, by: str, account_sealed: str | None = None) -> Refund:
    """Under the payment's lock, so that no race can give back more than was paid."""
    payment = folder.payment
    assert payment.id is not None, "a payment with money is stored"
    payment.refunded_amount += amount
    # Should we die before the PG answers, the reconciler comes back to it.
    soon = now() + timedelta(seconds=folder.till.settle_after)
    payment.next_check_at, payment.awaiting_answer = soon, True
    entry = Refund(
        payment_id=payment.id, key=key, amount=amount, reason=reason, requested_by=by, account_sealed=account_sealed
    )
    folder.add(entry)
    folder.add(payment.tell("refund_requested", by, amount=amount, note=reason))
    return entry


async def send(till: Till, payment: Payment, entry: Refund, *, repeat: bool = False) -> tuple[Payment, Refund]:
    """Ask the PG to give it back, and write the answer. Safe to repeat: the PG knows the refund by its key.

    A "not now" to a repeat says nothing of the first request, which may still be on its way; nor does any "no" to a
    new attempt, before the PG's book was looked into.
    """
    try:
        gateway = till.gateway_for(payment)
        left = payment.remaining + entry.amount
        receipt = await gateway.cancel(payment, entry, left, account_of(till, payment, entry))
    except Declined as no:
        # What cannot be delivered must not be kept: after a no, the book says what there is to give back (`settle`).
        stays_owed = entry.key == UNDELIVERABLE or (repeat and no.why != "declined")
        if stays_owed:
            return await _close(till, payment, entry, RefundStatus.IN_DOUBT, code=no.code, bound=True)
        shown = await _shown(till, gateway, payment, entry) if entry.attempt else None
        status = RefundStatus.DONE if shown else RefundStatus.FAILED
        return await _close(till, payment, entry, status, code=no.code, message=no.message, receipt=shown)
    except InDoubt as silence:
        return await _close(till, payment, entry, RefundStatus.IN_DOUBT, code=silence.code, bound=silence.bound)
    return await _close(till, payment, entry, RefundStatus.DONE, receipt=receipt)


async def _shown(till: Till, gateway: Gateway, payment: Payment, entry: Refund) -> Receipt | None:
    """The PG's book when it shows this refund. Raises InDoubt."""
    receipt = await gateway.find(payment)
    async with till.db.read() as session:
        strange = unclaimed(await _refunds(session, payment), receipt)
    return receipt if any(given.amount == entry.amount for given in strange) else None


async def _close(
    till: Till,
    payment: Payment,
    entry: Refund,
    status: RefundStatus,
    *,
    code: str | None = None,
    message: str | None = None,
    receipt: Receipt | None = None,
    bound: bool = False,
) -> tuple[Payment, Refund]:
    def write(folder: Folder) -> tuple[Payment, Refund]:
        ours = folder.refund(entry.id)
        if ours.status in OPEN_REFUND:  # else someone has heard the answer before us
            close(folder, ours, status, code=code, message=message, receipt=receipt, bound=bound)
        return folder.payment, ours

    return await change(till, payment.order_id, write)


def close(
    folder: Folder,
    entry: Refund,
    status: RefundStatus,
    *,
    code: str | None = None,
    message: str | None = None,
    receipt: Receipt | None = None,
    bound: bool = False,
) -> None:
    """What became of a refund that is under way: its money is given back, free again, or still reserved."""
    payment = folder.payment
    if receipt:
        mine = [given for given in unclaimed(folder.refunds, receipt) if given.amount == entry.amount]
        if mine:
            entry.pg_transaction_id = mine[-1].transaction_id
        else:  # it says yes, and its own book does not show it
            status, code = RefundStatus.IN_DOUBT, "REFUND_NOT_SHOWN"
    entry.attempt += bound
    if entry.status == status:
        return
    entry.status, entry.failure_code, entry.failure_message = status, code, message
    if status not in OPEN_REFUND:
        entry.account_sealed = None
    folder.add(payment.tell(f"refund_{status}", entry.requested_by, amount=entry.amount, note=code))
    if status == RefundStatus.FAILED:
        payment.refunded_amount -= entry.amount
    elif status == RefundStatus.DONE:
        entry.done_at = now()
        _take_back(folder)
    if status == RefundStatus.IN_DOUBT:
        payment.check_later()
    payment.awaiting_answer = status == RefundStatus.IN_DOUBT
    folder.rest()


def unclaimed(entries: Iterable[Refund], receipt: Receipt) -> list[Cancellation]:
    """What the PG gave back that none of our finished refunds stands for."""
    claimed = {entry.pg_transaction_id for entry in entries if entry.status == RefundStatus.DONE}
    return [given for given in receipt.canceled if given.transaction_id not in claimed]


def _take_back(folder: Folder) -> None:
    """Once everything is given back, the purchase goes in the same transaction."""
    payment = folder.payment
    done = [entry for entry in folder.refunds if entry.status == RefundStatus.DONE]
    if sum(entry.amount for entry in done) < payment.paid_amount:
        return
    folder.add(payment.move("refunded", done[-1].requested_by, refunded_at=now()))
    revoke(folder)


def revoke(folder: Folder) -> None:
    if folder.purchase and folder.purchase.revoked_at is None:
        folder.purchase.revoked_at = now()


async def _refunds(session: AsyncSession, payment: Payment) -> Sequence[Refund]:
    query = select(Refund).where(col(Refund.payment_id) == payment.id)
    return (await session.exec(query.order_by(col(Refund.id)))).all()


async def under_way(session: AsyncSession, payment: Payment) -> list[int | None]:
    """The ids of the refunds that wait for an answer: one, or none."""
    return [entry.id for entry in await _refunds(session, payment) if entry.status in OPEN_REFUND]


async def _refund_answer(till: Till, order_id: str, entry: Refund) -> tuple[Payment, Refund]:
    """What became of a refund that was asked for before."""
    wait = Wait(till.patience)
    while True:
        async with till.db.read() as session:
            payment = await find(session, order_id)
            entry = await session.get_one(Refund, entry.id)
        if entry.status != RefundStatus.REQUESTED or not await wait.again():
            return payment, entry


async def settle(
    till: Till, payment: Payment, receipt: Receipt, asked_for: Collection[int | None], actor: str
) -> Payment:
    """Refunds without an answer: found among what the PG gave back, else asked for again.

    `asked_for`: what was under way when the PG wrote the receipt; of what came later it says nothing.
    What the PG gave back without us (in its own console) becomes a refund of ours, so that the books agree.
    """
    async with till.db.read() as session:
        ours = await _refunds(session, payment)
    entries = [entry for entry in ours if entry.status in OPEN_REFUND and entry.id in asked_for]
    strange = unclaimed(ours, receipt)
    for entry in entries:
        found = next((given for given in strange if given.amount == entry.amount), None)
        if found:
            strange.remove(found)
            payment, _ = await _close(till, payment, entry, RefundStatus.DONE, receipt=receipt)
        elif entry.key == UNDELIVERABLE and 0 < receipt.left < entry.amount:
            payment = await _owe_less(till, payment, entry, receipt, actor)
        elif receipt.status in ("paid", "canceled") and entry.amount > receipt.left:
            payment, _ = await _close(till, payment, entry, RefundStatus.FAILED, code="NOTHING_LEFT")
        else:
            payment, _ = await send(till, payment, entry, repeat=True)
    for given in strange:
        payment = await _adopt(till, payment, given, receipt, actor)
    return payment


async def _owe_less(till: Till, payment: Payment, entry: Refund, receipt: Receipt, actor: str) -> Payment:
    """A part of what we cannot deliver went back without us: only what the PG still holds is asked for, next time."""

    def owe_less(folder: Folder) -> Payment:
        ours = folder.refund(entry.id)
        if ours.status in OPEN_REFUND and receipt.left < ours.amount:
            folder.payment.refunded_amount -= ours.amount - receipt.left
            ours.amount, ours.attempt = receipt.left, ours.attempt + 1  # another amount is another request
            for given in unclaimed(folder.refunds, receipt):  # in the same transaction: all of it is going back
                _enter(folder, given, receipt, actor)
        return folder.payment

    return await change(till, payment.order_id, owe_less)


async def _adopt(till: Till, payment: Payment, given: Cancellation, receipt: Receipt, actor: str) -> Payment:
    return await change(till, payment.order_id, partial(_enter, given=given, receipt=receipt, actor=actor))


def _enter(folder: Folder, given: Cancellation, receipt: Receipt, actor: str) -> Payment:
    """What the PG gave back without us becomes a refund of ours."""
    payment = folder.payment
    claimed = given not in unclaimed(folder.refunds, receipt)
    if claimed or payment.remaining < given.amount or not payment.refundable:
        return payment
    assert payment.id is not None, "a payment with money is stored"
    payment.refunded_amount += given.amount
    folder.add(
        Refund(
            payment_id=payment.id,
            key=f"pg-{given.transaction_id}",
            amount=given.amount,
            reason="PG에서 취소됨",
            status=RefundStatus.DONE,
            requested_by=actor,
            pg_transaction_id=given.transaction_id,
            done_at=now(),
        )
    )
    folder.add(payment.tell("refund_done", actor, amount=given.amount, note="PG에서 취소됨"))
    _take_back(folder)
    folder.rest()
    return payment
