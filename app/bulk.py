"""Refunds of many payments at once: drawn up, looked over, started. A job that is killed is taken up again.

Each row's refund has a key made of the row's id, so that a row taken up twice is one refund.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from operator import itemgetter
from typing import Any

from sqlalchemy import String, case, cast, insert, or_, update
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app import refunds
from app.beside import keep_on
from app.clock import now
from app.desk import BulkJob, BulkRow
from app.gateways import gateway_label
from app.models import OPEN_REFUND, Payment, Refund, RefundStatus, Status
from app.till import Refused, Till

MOST = 5000  # payments of one job
CHUNK = 500  # payments looked at in one go, so that others have their turn
SHOWN = 200  # rows on the job's page; the file has them all
AT_ONCE = 4  # refunds that are out to the PGs at one time
PAUSE = 1.0  # seconds between two looks for a job
LEASE = timedelta(seconds=30)
"""How long a worker is taken to be at it. Should two be at it, each row is still one refund."""
FAILED = ("failed", "refused")
NOTHING_IN = {
    Status.PENDING: "아직 결제하지 않은 주문입니다",
    Status.CONFIRMING: "결제 결과를 확인하고 있습니다",
    Status.IN_DOUBT: "결제 결과를 확인하고 있습니다",
    Status.WAITING: "아직 입금되지 않았습니다",
    Status.COMPLETED: "환불할 금액이 남아 있지 않습니다",
    Status.FAILED: "결제에 실패해 받은 돈이 없습니다",
    Status.CANCELED: "결제하지 않고 취소된 주문입니다",
    Status.EXPIRED: "결제하지 않고 기한이 지난 주문입니다",
    Status.REFUNDED: "이미 전액 환불되었습니다",
}
"""Why there is nothing to give back."""


@dataclass(frozen=True)
class Line:
    """One payment of a job with what became of it."""

    row: BulkRow
    payment: Payment
    refund: Refund | None

    @property
    def outcome(self) -> str:
        """excluded, waiting, refused, or how its refund stands: requested, done, failed, in_doubt."""
        if self.row.excluded:
            return "excluded"
        if self.refund:
            return str(self.refund.status)
        return "refused" if self.row.refused else "waiting"

    @property
    def why(self) -> str:
        no = self.refund if self.refund and self.refund.status == RefundStatus.FAILED else None
        return self.row.excluded or self.row.refused or (no and (no.failure_message or no.failure_code)) or ""


@dataclass(frozen=True)
class Tally:
    count: int = 0
    won: int = 0


@dataclass(frozen=True)
class Report:
    job: BulkJob
    tallies: Mapping[str, Tally]
    """By outcome, in the words of `Line.outcome`."""
    why_not: Mapping[str, int]
    """How many payments are excluded for each reason."""

    def of(self, *outcomes: str) -> Tally:
        found = [self.tallies.get(outcome, Tally()) for outcome in outcomes]
        return Tally(sum(tally.count for tally in found), sum(tally.won for tally in found))

    @property
    def wanted(self) -> Tally:
        return self.of(*(outcome for outcome in self.tallies if outcome != "excluded"))

    @property
    def failed(self) -> Tally:
        """What may be tried again: the PG or we have said no. What is in doubt may not."""
        return self.of(*FAILED)


async def draw_up(till: Till, order_ids: Sequence[str], by: str) -> BulkJob:
    """A job that nobody has started: every payment with all that is left of it, or with why not. Raises Refused.

    What is in it is settled here: a payment that comes later is no part of it, whatever it was picked by.
    """
    picked = sorted(set(order_ids))
    if not 0 < len(picked) <= MOST:
        raise Refused("PICKED", f"환불할 결제를 1건 이상 {MOST:,}건 이하로 골라 주세요.", 422)
    rows = [row for start in range(0, len(picked), CHUNK) for row in await _rows(till, picked[start : start + CHUNK])]
    if not rows:
        raise Refused("PICKED", "고른 결제를 찾지 못했습니다. 목록에서 다시 골라 주세요.", 422)
    rows.sort(key=itemgetter("payment_id"))
    async with till.db.write() as session:
        session.add(job := BulkJob(by=by))
        await session.flush()
        await session.exec(insert(BulkRow), params=[row | {"job_id": job.id} for row in rows])
    return job


async def _rows(till: Till, order_ids: Sequence[str]) -> list[dict[str, Any]]:
    async with till.db.read() as session:
        payments = (await session.exec(select(Payment).where(col(Payment.order_id).in_(order_ids)))).all()
        ids = [payment.id for payment in payments]
        open_ = select(Refund.payment_id).where(col(Refund.payment_id).in_(ids), col(Refund.status).in_(OPEN_REFUND))
        busy = set((await session.exec(open_)).all())
    return [
        {"payment_id": it.id, "amount": it.remaining, "tries": 0, "excluded": _why_not(till, it, it.id in busy)}
        for it in payments
    ]


def _why_not(till: Till, payment: Payment, busy: bool) -> str | None:
    if busy:
        return "앞선 환불의 결과를 확인하고 있습니다"
    if not payment.refundable:
        return NOTHING_IN[payment.status]
    if payment.gateway not in till.gateways:
        return f"{gateway_label(payment.gateway)}의 키가 설정되어 있지 않습니다"
    if payment.needs_account:
        return "환불받을 계좌를 한 건씩 입력해야 합니다"
    if 0 < till.approval_above < payment.paid_amount:
        return "두 번째 사람의 승인이 있어야 하는 금액입니다"
    return None


async def start(till: Till, job_id: int, *, reason: str, total: int, by: str) -> None:
    """Start what was looked over: `total` won. Pressed twice, it is started once. Raises Refused."""
    async with till.db.write() as session:
        job = await _job(session, job_id, lock=True)
        if job.started_at:
            return
        if (await _report(session, job)).wanted.won != total or not total:
            raise Refused("STALE", "확인한 금액과 다릅니다. 화면을 다시 열어 확인해 주세요.")
        job.reason, job.by, job.started_at = reason, by, now()


async def retry(till: Till, job_id: int) -> None:
    """Try again what failed, and nothing else: each with a key of its own. Raises Refused."""
    async with till.db.write() as session:
        job = await _job(session, job_id, lock=True)
        failed = (await session.exec(_lines(job_id).where(OUTCOME.in_(FAILED)))).all()
        if not job.finished_at or not failed:
            return
        for row, _, _ in failed:
            row.tries, row.refund_id, row.refused = row.tries + 1, None, None
        job.finished_at = None


async def report(till: Till, job_id: int) -> Report:
    """Raises Refused 404."""
    async with till.db.read() as session:
        return await _report(session, await _job(session, job_id))


async def lines(till: Till, job_id: int, most: int | None = None) -> list[Line]:
    """Every row, or the first ones."""
    async with till.db.read() as session:
        rows = (await session.exec(_lines(job_id).order_by(col(BulkRow.id)).limit(most))).all()
    return [Line(*row) for row in rows]


async def jobs(till: Till) -> Sequence[BulkJob]:
    """The started ones, the newest first."""
    query = select(BulkJob).where(col(BulkJob.started_at).is_not(None)).order_by(col(BulkJob.id).desc())
    async with till.db.read() as session:
        return (await session.exec(query.limit(100))).all()


async def _job(session: AsyncSession, job_id: int, *, lock: bool = False) -> BulkJob:
    query = select(BulkJob).where(col(BulkJob.id) == job_id)
    job = (await session.exec(query.with_for_update() if lock else query)).one_or_none()
    if job is None:
        raise Refused("NOT_FOUND", "그런 일괄 환불이 없습니다.", 404)
    return job


OUTCOME = case(
    (col(BulkRow.excluded).is_not(None), "excluded"),
    (col(Refund.id).is_not(None), cast(col(Refund.status), String)),
    (col(BulkRow.refused).is_not(None), "refused"),
    else_="waiting",
)
"""`Line.outcome`, as the database says it."""


async def _report(session: AsyncSession, job: BulkJob) -> Report:
    counted = select(OUTCOME, func.count(), func.sum(BulkRow.amount)).select_from(BulkRow)
    counted = counted.outerjoin(Refund, col(Refund.id) == col(BulkRow.refund_id))
    found = (await session.exec(counted.where(col(BulkRow.job_id) == job.id).group_by(OUTCOME))).all()
    reasons = select(BulkRow.excluded, func.count()).where(col(BulkRow.job_id) == job.id)
    excluded = (await session.exec(reasons.where(col(BulkRow.excluded).is_not(None)).group_by(BulkRow.excluded))).all()
    why_not = {str(why): count for why, count in excluded}
    return Report(job, {outcome: Tally(count, int(won)) for outcome, count, won in found}, why_not)


def _lines(job_id: int) -> Any:
    query = (
        select(BulkRow, Payment, Refund)
        .select_from(BulkRow)
        .join(Payment, col(Payment.id) == col(BulkRow.payment_id))
        .outerjoin(Refund, col(Refund.id) == col(BulkRow.refund_id))
    )
    return query.where(col(BulkRow.job_id) == job_id)


# ── the worker ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def keep_working(till: Till) -> None:
    """Runs beside the app for ever, and takes up at its start what was left."""
    await keep_on(partial(work, till), "일괄 환불을 잇지 못했습니다. 다시 합니다", PAUSE)


async def work(till: Till) -> None:
    """Carry on with every job that is started and not finished."""
    till = replace(till, patience=0)  # whose answer is lost is told as it stands; the reconciler follows it up
    while job := await _take(till):
        while rows := await _next(till, job):
            await asyncio.gather(*(_give_back(till, job, row, order_id) for row, order_id in rows))


async def _take(till: Till) -> BulkJob | None:
    free = or_(col(BulkJob.leased_until).is_(None), col(BulkJob.leased_until) < now())
    query = select(BulkJob).where(col(BulkJob.started_at).is_not(None), col(BulkJob.finished_at).is_(None), free)
    async with till.db.read() as session:
        if (await session.exec(query.limit(1))).first() is None:
            return None
    async with till.db.write() as session:
        job = (await session.exec(query.order_by(col(BulkJob.id)).limit(1).with_for_update(skip_locked=True))).first()
        if job:
            job.leased_until = now() + LEASE
    return job


async def _next(till: Till, job: BulkJob) -> Sequence[tuple[BulkRow, str]]:
    """A few rows without an outcome. When there is none left, the job is finished."""
    query = (
        select(BulkRow, Payment.order_id)
        .join(Payment, col(Payment.id) == col(BulkRow.payment_id))
        .where(
            col(BulkRow.job_id) == job.id,
            col(BulkRow.excluded).is_(None),
            col(BulkRow.refused).is_(None),
            col(BulkRow.refund_id).is_(None),
        )
    )
    async with till.db.write() as session:
        rows = (await session.exec(query.order_by(col(BulkRow.id)).limit(AT_ONCE))).all()
        now_ = now()
        change = {"leased_until": now_ + LEASE} if rows else {"leased_until": None, "finished_at": now_}
        await session.exec(update(BulkJob).where(col(BulkJob.id) == job.id).values(**change))
    return rows


async def _give_back(till: Till, job: BulkJob, row: BulkRow, order_id: str) -> None:
    outcome: dict[str, object]
    try:
        _, entry = await refunds.refund(
            till, order_id, amount=row.amount, reason=job.reason, key=row.key, by=job.by, shown=row.amount
        )
        outcome = {"refund_id": entry.id}
    except Refused as no:
        outcome = {"refused": str(no)}
    async with till.db.write() as session:
        this = (col(BulkRow.id) == row.id, col(BulkRow.tries) == row.tries)
        await session.exec(update(BulkRow).where(*this).values(**outcome))
