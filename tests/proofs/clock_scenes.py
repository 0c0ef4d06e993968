"""What clocks could do at PortOne, whose window takes the money, or hands us a token that lives for minutes."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from sqlmodel import col, select

from app import payments
from app.models import Payment, User
from tests import story
from tests.conftest import CASHIERS
from tests.proofs import gates
from tests.proofs.crash_scenes import PRICE, Facts, Scene, Stage, confirm, reconcile, refund
from tests.proofs.world_house import BACK


async def order(stage: Stage, at: str) -> Payment:
    async with stage.till.db.read() as session:
        user = (await session.exec(select(User).where(col(User.email) == story.BUYER))).one()
    return await gates.order(stage.till, at, user)


async def authenticated(stage: Stage, at: str, payment: Payment | None = None) -> Facts:
    payment = payment or await order(stage, at)
    step = await payments.open_window(stage.till, payment, BACK.format(payment.order_id))
    async with gates.outside(stage.pg.url) as pg:
        return {"order_id": payment.order_id, "back": (await gates.walk(pg, at, step))[1]}


async def half_back(stage: Stage, at: str) -> Facts:
    facts = await authenticated(stage, at)
    await confirm(stage, facts)
    return facts | {"amount": 3000}


def doubted(call: str, when: str, at: str) -> Callable[[Stage], Awaitable[Facts]]:
    """A confirm, or the refund of a part, whose answer got lost after or before its effect."""

    async def prepare(stage: Stage) -> Facts:
        facts = await (authenticated if call == "confirm" else half_back)(stage, at)
        stage.pg.fault(CASHIERS[at].confirm if call == "confirm" else call, "reset", gates.pg_of(at), when=when)
        await (confirm if call == "confirm" else refund)(stage, facts)
        await stage.time_passes()
        return facts

    return prepare


PORTONE: Mapping[str, Scene] = {
    **{f"{at}, paid": Scene(partial(authenticated, at=at), confirm, PRICE, 0) for at in gates.WAYS[2:]},
    **{f"{at}, part": Scene(partial(half_back, at=at), refund, PRICE, 3000) for at in ("portone", "portone_v1")},
    **{f"{at}, taken": Scene(doubted("confirm", "after", at), reconcile, PRICE, 0) for at in gates.WAYS[2:]},
    "portone_confirm, not taken": Scene(doubted("confirm", "before", "portone_confirm"), reconcile, PRICE, 0),
    **{
        f"{at}, part {when}": Scene(doubted("cancel", when, at), reconcile, PRICE, 3000)
        for at in ("portone", "portone_v1")
        for when in ("before", "after")
    },
}
