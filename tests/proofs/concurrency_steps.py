"""Two verbs in every order that their steps allow: at each stop of one the other runs from beginning to end."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from itertools import product
from typing import Any

from app import inbox, payments, refunds, settlement
from app.clock import now
from app.models import User
from app.reconciler import reconcile
from app.till import Refused
from tests.proofs.books import compare
from tests.proofs.report import Report
from tests.proofs.world_house import House, frozen, house, one_thread
from tests.proofs.world_stage import Act

STEPS = 16  # more than any verb has
PASSES = 40


@dataclass
class Scene:
    house: House
    order_id: str
    back: dict[str, str]


# ── where a payment can stand when two of them meet ──────────────────────────────────────────────────────────────────


async def fresh(its: House, user: User) -> Scene:
    """The buyer comes back from the window."""
    return Scene(its, *await its.authenticated(user))


async def claimed(its: House, user: User) -> Scene:
    """We died before we asked."""
    scene = await fresh(its, user)
    act = Act("confirm", payments.come_back(its.till, scene.order_id, scene.back))
    while await act.advance() and act.where != "confirm: before":
        pass
    await act.die()
    return scene


async def charged(its: House, user: User) -> Scene:
    """The PG took it, and its answer got lost."""
    scene = await fresh(its, user)
    act = Act("confirm", payments.come_back(its.till, scene.order_id, scene.back))
    while await act.advance("lost" if act.where == "confirm: after" else ""):
        pass
    return scene


async def paid(its: House, user: User) -> Scene:
    scene = await fresh(its, user)
    await payments.come_back(its.till, scene.order_id, scene.back)
    return scene


async def refunding(its: House, user: User, lost: str = "cancel: after") -> Scene:
    """A part went back, and the answer got lost."""
    scene = await paid(its, user)
    words = {"amount": 3000, "reason": "변심", "key": "first", "by": "admin"}
    act = Act("refund", refunds.refund(its.till, scene.order_id, **words))  # type: ignore[arg-type]
    while await act.advance("lost" if act.where == lost else ""):
        pass
    return scene


async def unsent(its: House, user: User) -> Scene:
    """A part was to go back, and never reached the PG."""
    return await refunding(its, user, "cancel: before")


SCENES: dict[str, Callable[[House, User], Awaitable[Scene]]] = {
    it.__name__: it for it in (fresh, claimed, charged, paid, refunding, unsent)
}

# ── who meets ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _hear(scene: Scene) -> None:
    till = scene.house.till
    told = f'{{"orderId": "{scene.order_id}", "at": "{random.random()}"}}'
    if order_id := await inbox.receive(till, till.gateways["toss"], {}, told.encode()):
        await inbox.look(till, order_id)


def _refund(scene: Scene, amount: int | None, key: str) -> Coroutine[Any, Any, Any]:
    return refunds.refund(scene.house.till, scene.order_id, amount=amount, reason="변심", key=key, by="admin")


VERBS: dict[str, Callable[[Scene], Coroutine[Any, Any, Any]]] = {
    "confirm": lambda scene: payments.come_back(scene.house.till, scene.order_id, scene.back),
    "refund part": lambda scene: _refund(scene, 3000, "part"),
    "refund all": lambda scene: _refund(scene, None, "all"),
    "refund again": lambda scene: _refund(scene, 3000, "first"),
    "settle": lambda scene: settlement.settle(scene.house.till, scene.order_id, "operator"),
    "webhook": _hear,
    "reconcile": lambda scene: reconcile(scene.house.till),
    "turn back": lambda scene: payments.come_back(scene.house.till, scene.order_id, {"code": "USER_CANCEL"}),
}


async def meet(scene: Scene, one: str, other: str, step: int) -> bool:
    """`one` is stopped after `step` steps, and `other` runs through. False: `one` has fewer steps."""
    act = Act(one, VERBS[one](scene))
    on = True
    for _ in range(step):
        on = on and await act.advance()
    if not on:
        with contextlib.suppress(Refused):
            act.result()
        return False
    with contextlib.suppress(Refused):
        await VERBS[other](scene)
    with contextlib.suppress(Refused):
        await act.finish()
    return True


async def rest(scene: Scene) -> bool:
    """The PG answers, time passes: does it come to rest?"""
    for _ in range(PASSES):
        payment = await scene.house.payment(scene.order_id)
        if payment.next_check_at is None:
            return True
        scene.house.pass_time(max((payment.next_check_at - now()).total_seconds(), 0) + 1)
        await reconcile(scene.house.till)
    return False


async def _all(url: str, seed: int, most: int | None, name: str, report: Report) -> None:
    dice = random.Random(seed)
    wanted = list(product(SCENES, VERBS, VERBS))
    dice.shuffle(wanted)
    met, names = 0, dict[str, str]()
    with frozen(seed) as clock:
        async with house(url, clock=clock) as its:
            await its.people(2 * most if most else len(wanted) * STEPS, 0)
            users = iter(await its.buyers())
            for scene_name, one, other in wanted:
                for step in range(STEPS):
                    scene = await SCENES[scene_name](its, next(users))
                    names[scene.order_id] = f"{name}, {scene_name}: {other} at step {step} of {one}"
                    its.pass_time(61 if "reconcile" in (one, other) else dice.choice((0, 3)))
                    try:
                        whole = await meet(scene, one, other, step)
                        if not await rest(scene):
                            report.wrong.setdefault("never at rest", []).append(names[scene.order_id])
                    except Exception as error:
                        report.wrong.setdefault("an exception", []).append(f"{names[scene.order_id]}: {error!r}")
                        continue
                    if not whole:
                        break
                    met += 1
                if most and met >= most:
                    break
            books = await compare(its.db, dict(its.ledger()))
    for kind, orders in books.wrong().items():
        report.wrong.setdefault(kind, []).extend(names.get(it, it) for it in orders)
    report.counts["interleavings"] = report.counts.get("interleavings", 0) + met


def interleave(url: str, seed: int, most: int | None, name: str, report: Report) -> None:
    """All of them, or the first in the order of the seed until `most` have met."""
    with one_thread():
        asyncio.run(_all(url, seed, most, name, report))
