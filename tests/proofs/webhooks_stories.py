"""What can happen to one payment at a PG while we hear nothing of it, and the webhooks that tell of it."""

import random
from collections.abc import Sequence

from app import payments
from app.models import User
from sandbox.webhooks import Delivery
from tests import story
from tests.proofs.world_house import House
from tests.proofs.world_stage import Act

MOST = 6  # webhooks about one payment whose every order is tried
Story = tuple[str, ...]

# In the PG's order. "part" and "rest" are cancels in the PG's own console.
STORIES: tuple[Story, ...] = (
    ("aborted",),
    ("expired",),
    ("done",),
    ("done", "rest"),
    *(("done", *("part",) * parts, *end) for parts in range(1, 6) for end in ((), ("rest",)) if parts + len(end) < 6),
    ("waiting", "deposit"),
)
METHODS = {
    "toss": ("card", "virtual_account"),
    "portone": ("portone", "portone_virtual_account"),
    "portone_v1": ("portone_v1", ""),
}


def told_of(pg: str, told: Story) -> int:
    """How many webhooks tell this story."""
    if pg == "toss":
        return len(told) * (2 if "waiting" in told else 1)  # of an account Toss tells in two words
    if pg == "portone":
        return 0 if "expired" in told else 1 + len(told)  # the window too; of its end nobody tells
    return 0 if {"aborted", "expired", "waiting"} & set(told) else len(told)


def stories(pg: str) -> list[Story]:
    return [told for told in STORIES if 0 < told_of(pg, told) <= MOST]


async def happen(its: House, user: User, pg: str, told: Sequence[str]) -> tuple[str, list[Delivery]]:
    """The PG's truth comes about: the answer of our confirm is lost, or the browser never comes back."""
    card, account = METHODS[pg]
    payment = await its.order(user, story.PROMPT, account if "waiting" in told else card)
    door = its.doors[pg]
    key = await door.open(its.till, payment)
    for event in told:
        if event == "aborted":
            door.press(key, "reject" if pg == "toss" else "abort")
        elif event == "expired":
            its.toss.close(its.toss.payments[key], "EXPIRED", "EXPIRED_PAYMENT")
        elif event == "deposit":
            door.bank(payment.order_id, random.Random(0))
        elif event in ("part", "rest"):
            door.console(payment.order_id, 1000 if event == "part" else None)
        else:
            back = door.press(key, "authenticate")
            if pg == "toss":
                act = Act("confirm", payments.come_back(its.till, payment.order_id, back))
                while await act.advance("lost" if act.where == "confirm: after" else ""):
                    pass
    return payment.order_id, [it for it in its.letters() if it.order_id == payment.order_id]


def resigned(its: House, told: Delivery, seconds: float) -> dict[str, str]:
    """PortOne's headers as it would have written them so many seconds ago."""
    its.clock.shift(-seconds)
    headers = its.doors["portone"].headers(told)
    its.clock.shift(seconds)
    return headers
