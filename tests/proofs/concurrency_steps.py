"""Two verbs in every order that their steps allow: at each stop of one the other runs from beginning to end."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from app import inbox, payments, refunds, settlement
from app.clock import now
from app.models import User
from app.reconciler import reconcile
from app.till import Refused
from tests.proofs import gates
from tests.proofs.books import compare
from tests.proofs.report import Report
from tests.proofs.world_house import House, frozen, house, one_thread
from tests.proofs.world_stage import Act

STEPS = 16  # more than any verb has
PASSES = 40


@dataclass
class Scene:
    house: House
    at: str
    order_id: str
    back: dict[str, str]


# ── where a payment can stand when two of them meet ──────────────────────────────────────────────────────────────────


async def fresh(its: House, at: str, user: User) -> Scene:
    """The buyer comes back from the window."""
    async with gates.inside(its) as pg:
        return Scene(its, at, *await gates.authenticated(its.till, pg, at, user))


async def claimed(its: House, at: str, user: User) -> Scene:
    """We died before we asked."""
    scene = await fresh(its, at, user)
    act = Act("confirm", payments.come_back(its.till, scene.order_id, scene.back))
    while await act.advance() and not act.where.endswith(": before"):
        pass
    await act.die()
    return scene


async def charged(its: House, at: str, user: User) -> Scene:
    """The PG took it, and its answer got lost."""
    scene = await fresh(its, at, user)
    act = Act("confirm", payments.come_back(its.till, scene.order_id, scene.back))
    while await act.advance("lost" if act.where.endswith(": after") else ""):
        pass
    return scene


async def paid(its: House, at: str, user: User) -> Scene:
    scene = await fresh(its, at, user)
    await payments.come_back(its.till, scene.order_id, scene.back)
    return scene


async def refunding(its: House, at: str, user: User, lost: str = "cancel: after") -> Scene:
    """A part went back, and the answer got lost."""
    scene = await paid(its, at, user)
    words = {"amount": 3000, "reason": "변심", "key": "first", "by": "admin"}
    act = Act("refund", refunds.refund(its.till, scene.order_id, **words))  # type: ignore[arg-type]
    while await act.advance("lost" if act.where == lost else ""):
        pass
    return scene


async def unsent(its: House, at: str, user: User) -> Scene:
    """A part was to go back, and never reached the PG."""
    return await refunding(its, at, user, "cancel: before")


SCENES: dict[str, Callable[[House, str, User], Awaitable[Scene]]] = {
    it.__name__: it for it in (fresh, claimed, charged, paid, refunding, unsent)
}

# ── who meets ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _hear(scene: Scene) -> None:
    """At a PG that tells nothing nobody comes."""
    till, number = scene.house.till, random.getrandbits(32)
    if (told := gates.told(scene.at, scene.order_id, scene.back, number)) is None:
        return
    if order_id := await inbox.receive(till, till.gateways[gates.pg_of(scene.at)], {}, told):
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
    "turn back": lambda scene: payments.come_back(
        scene.house.till, scene.order_id, gates.CLOSED[gates.pg_of(scene.at)]
    ),
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
        gates.pass_time(scene.house, max((payment.next_check_at - now()).total_seconds(), 0) + 1)
        await reconcile(scene.house.till)
    return False


Meeting = tuple[str, str, str, str]
"""Where, in what scene, who is stopped, and who runs through meanwhile."""


def meetings(seed: int, ways: Sequence[str]) -> list[Meeting]:
    """Every one of them, the PGs by turns. Once paid, PortOne is one PG, whoever took the money."""
    scenes = list(product(SCENES, VERBS, VERBS))
    random.Random(seed).shuffle(scenes)
    every = [(at, *scene) for scene, at in product(scenes, ways)]
    alike = {("portone_confirm", scene) for scene in ("paid", "refunding", "unsent")}
    return [it for it in every if it[:2] not in alike and not (it[0] == "kakaopay" and "webhook" in it)]


async def _all(url: str, seed: int, wanted: Sequence[Meeting], among: int | None, name: str, report: Report) -> None:
    dice = random.Random(seed)
    met, names = 0, dict[str, str]()
    with frozen(seed) as clock:
        async with house(url, clock=clock, patience=-1, **gates.keys(gates.INSIDE)) as its:
            await its.people(len(wanted) * STEPS, 0)
            users = iter(await its.buyers())
            for at, scene_name, one, other in wanted:
                for step in range(STEPS) if among is None else [dice.randrange(among)]:
                    scene = await SCENES[scene_name](its, at, next(users))
                    names[scene.order_id] = f"{name}, {at}, {scene_name}: {other} at step {step} of {one}"
                    gates.pass_time(its, 61 if "reconcile" in (one, other) else dice.choice((0, 3)))
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
            books = await compare(its.db, gates.whole_ledger(its))
    for kind, orders in books.wrong().items():
        report.wrong.setdefault(kind, []).extend(names.get(it, it) for it in orders)
    report.counts["interleavings"] = report.counts.get("interleavings", 0) + met


def interleave(
    url: str, seed: int, wanted: Sequence[Meeting], name: str, report: Report, among: int | None = None
) -> None:
    """Stopped at every step, or at one of the first `among`."""
    with one_thread():
        asyncio.run(_all(url, seed, wanted, among, name, report))
