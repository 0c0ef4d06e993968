"""What clocks may not do: close an order too early, charge it too late, or put a payment into the wrong day."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from itertools import product
from typing import TYPE_CHECKING

from time_machine import escape_hatch

from app.clock import KST
from app.filters import Filter
from app.models import Payment
from app.search import search
from app.sweep import sweep
from app.till import find
from tests.proofs import gates
from tests.proofs.crash_scenes import Facts, attempt, confirm

if TYPE_CHECKING:
    from tests.proofs.clock import Trial


async def payment_of(trial: "Trial", facts: Facts) -> Payment:
    async with trial.stage.till.db.read() as session:
        return await find(session, facts["order_id"])


async def expect(trial: "Trial", what: str, facts: Facts, status: str) -> None:
    trial.counts["expiries asked for"] += 1
    payment = await payment_of(trial, facts)
    if payment.status != status:
        trial.wrong[f"{what}: {payment.status}, not {status}"] = [payment.order_id]


async def expiry(trial: "Trial") -> None:
    """An order is closed when the PG says so, or does not know it after the window: never by our clock alone."""
    for lookup in ("visible", "not_found"):
        await trial.stage.clear()
        trial.stage.pg.switch(lookup_before_confirm=lookup)
        payment = await trial.stage.order()
        trial.both(24)
        facts = await trial.stage.authenticated(payment=payment)
        trial.both(9)
        for jump in (600, -1200, 1200, -600):
            trial.clock.shift(jump)
            await trial.ask_everyone()
            await expect(trial, f"{lookup}: minute 33, then {jump:+} s", facts, "pending")
        await confirm(trial.stage, facts)
        await expect(trial, f"{lookup}: back in time", facts, "completed")


async def too_late(trial: "Trial") -> None:
    """Whoever comes back to a closed order is not charged."""
    for lookup in ("visible", "not_found"):
        await trial.stage.clear()
        trial.stage.pg.switch(lookup_before_confirm=lookup)
        facts = await trial.stage.authenticated()
        trial.both(50)
        await trial.ask_everyone()
        await expect(trial, f"{lookup}: too late", facts, "expired")
        await confirm(trial.stage, facts)
        await expect(trial, f"{lookup}: back too late", facts, "expired")
        if trial.stage.pg.ledger(facts["order_id"])["confirm_calls"]:
            trial.wrong[f"{lookup}: asked for the money of a closed order"] = [facts["order_id"]]


async def silence(trial: "Trial") -> None:
    """A PG that says nothing for days closes nothing."""
    facts = await trial.stage.authenticated()
    trial.stage.pg.fault("find", "status", status=503, times=None)
    for minutes in (10, 50, 180, 3 * 24 * 60):
        trial.both(minutes)
        await trial.ask_everyone()
        await expect(trial, f"silent for {minutes} minutes", facts, "pending")


async def late_charge(trial: "Trial") -> None:
    """We ask late, the PG is slow and hides what it works on, and our clock jumps over the end of the window."""
    payment = await trial.stage.order()
    trial.both(28)
    facts = await trial.stage.authenticated(payment=payment)
    trial.both(9)
    trial.stage.pg.switch(lookup_before_confirm="not_found")
    trial.stage.pg.fault("confirm", "delay", seconds=3)
    await attempt(confirm, trial.stage, facts)
    trial.clock.shift(600)
    await trial.ask_everyone()
    trial.counts["closed while the PG worked on it"] += not (await payment_of(trial, facts)).unsettled
    await asyncio.sleep(3)
    await trial.must_rest("a charge after our window", "confirm", facts)


async def late_window(trial: "Trial") -> None:
    """Where the window takes the money, it may do so long after we closed the order: money comes first."""
    for at in ("portone", "portone_v1"):
        await trial.stage.clear()
        payment = await trial.stage.order(at=at)
        step = await trial.stage.opened(payment)
        trial.both(33)
        for jump in (600, -1200, 1200, -600):
            trial.clock.shift(jump)
            await trial.ask_everyone()
            await expect(trial, f"{at}: minute 33, then {jump:+} s", {"order_id": payment.order_id}, "pending")
        trial.both(20)
        await trial.ask_everyone()
        await expect(trial, f"{at}: nobody came", {"order_id": payment.order_id}, "expired")
        facts = await trial.stage.authenticated(payment=payment, at=at, step=step)
        await confirm(trial.stage, facts)  # within a breath of our last look
        await trial.ask_everyone()
        await expect(trial, f"{at}: paid after all", facts, "completed")


async def silence_after(trial: "Trial") -> None:
    """The window has taken the money, and nobody says so for days."""
    for at in ("portone", "portone_v1"):
        await trial.stage.clear()
        facts = await trial.stage.authenticated(at=at)
        trial.stage.pg.fault("find", "status", at, status=503, times=None)
        for minutes in (10, 50, 3 * 24 * 60):
            trial.both(minutes)
            await trial.ask_everyone()
            await expect(trial, f"{at}: silent for {minutes} minutes", facts, "pending")
        trial.stage.pg.http.delete("/_faults").raise_for_status()
        await trial.ask_everyone()
        await expect(trial, f"{at}: speaks again", facts, "completed")


async def midnight(trial: "Trial") -> None:
    """23:59:59 and 00:00:00 in Seoul are two days, in the list and in the sweep, even when the PG's clock is late."""
    for at, behind in product(gates.PGS, (0, 2)):
        await trial.stage.clear()
        await _midnight(trial, at, behind)


async def _midnight(trial: "Trial", at: str, behind: int) -> None:
    stage, second = trial.stage, timedelta(seconds=1)
    last = datetime.now(KST).replace(hour=23, minute=59, second=59, microsecond=0)
    trial.clock.move_to(last)
    stage.pg.advance(last.timestamp() - escape_hatch.time.time() - behind)
    one = await stage.order(at=at)
    trial.clock.move_to(last + second)
    two = await stage.order(at=at)
    await confirm(stage, await stage.authenticated(payment=one, at=at))
    for order_id, day in ((one.order_id, last.date()), (two.order_id, (last + second).date())):
        trial.counts["days looked at"] += 1
        async with stage.till.db.read() as session:
            page = await search(session, Filter.model_validate({"from": day, "to": day}), 50)
        if [row.order_id for row in page.payments] != [order_id]:
            trial.wrong[f"{at}, {day}: the list"] = [row.order_id for row in page.payments]
        since = datetime.combine(day, datetime.min.time(), KST)
        found = await sweep(stage.till, since, since + timedelta(days=1) - second)
        if found.differences:
            trial.wrong[f"{at}, {day}: the sweep"] = [f"{one.bucket} {one.order_id}" for one in found.differences]


Story = Callable[["Trial"], Awaitable[None]]
ALL: tuple[Story, ...] = (expiry, too_late, silence, silence_after, late_charge, late_window, midnight)
