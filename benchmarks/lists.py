"""The operator's list over HTTP: ours, and Django's admin over the very same table."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import httpx
from sqlmodel import select

from app.db import Database
from app.models import Payment
from benchmarks import files, servers
from benchmarks.ground import Ground, Made, run
from benchmarks.servers import Server
from benchmarks.timing import Timings, Visitor

ROUNDS = 3
MORE = {
    "e-mail part `minsu`": "/admin/payments?q=minsu",
    "phone tail": "/admin/payments?q=-5678",
    "name and status": "/admin/payments?q=%EB%AF%BC%EC%88%98&status=refunded",
    "status, method, 30 days": "/admin/payments?status=failed&payment_method=card&period=30d",
    "amount range": "/admin/payments?amount_from=20000&amount_to=25000",
    "largest first, 7 days": "/admin/payments?sort=-amount&period=7d",
    "counts of the tabs": "/admin/payments/counts",
    "overview": "/admin",
    "JSON, 50 payments": "/api/admin/payments",
}
Found = Mapping[str, Timings]
"""By scene."""


@dataclass(frozen=True)
class Few:
    found: Found
    files: list[files.File]


@dataclass(frozen=True)
class Lists:
    rows: int
    made: Made
    found: Mapping[str, Found]
    """By who was asked."""
    own: Found
    """Django as shipped, over a table of its own."""
    growth: Mapping[int, Found]
    more: Found
    files: list[files.File]


def measure_few(ground: Ground, few: int, kinds: Sequence[str]) -> Few:
    """Ours alone, and all of it as these kinds of files."""
    url = ground.made[few].url
    with servers.ours(url) as us:
        operator = operator_of_ours(us)
        found = interleaved({"ours": (asking_us(operator), 20)}, scenes(an_order(url), few), ROUNDS)["ours"]
        return Few(found, [files.download(operator, kind, few) for kind in kinds])


def measure(ground: Ground, rows: int, growth: Mapping[int, Few], kinds: Sequence[str]) -> Lists:
    """Ours and Django's admin over the same table, and all of it as these kinds of files."""
    made = ground.made[rows]
    wanted = scenes(an_order(made.url), rows)
    with servers.ours(made.url) as us, servers.django(made.url) as django:
        operator = operator_of_ours(us)
        askers = {
            "ours": (asking_us(operator), 30),
            "Django, tuned": (asking_django(operator_of_django(django, "tuned"), "tuned"), 3),
            "Django, as shipped": (asking_django(operator_of_django(django, "shipped"), "shipped"), 1),
        }
        found = interleaved(askers, wanted, ROUNDS)
        own = own_table(made.url, operator_of_django(django, "own"), wanted)
        more = {name: Timings() for name in MORE}
        for name, path in MORE.items():
            operator.ask(path, 40, more[name])
        taken_out = [files.download(operator, kind, rows) for kind in kinds]
    grown = {count: few.found for count, few in growth.items()} | {rows: found["ours"]}
    return Lists(
        rows, made, found, own, grown, more, [file for few in growth.values() for file in few.files] + taken_out
    )


def an_order(url: str) -> str:
    """The number of one that is neither new nor old."""

    async def read() -> str:
        db = Database(url)
        async with db.read() as session:
            middle = (await session.exec(select(Payment.order_id).offset(4_000).limit(1))).one()
        await db.close()
        return middle

    return asyncio.run(read())


@dataclass(frozen=True)
class Scene:
    name: str
    ours: str
    django: str


def scenes(order_id: str, rows: int) -> list[Scene]:
    return [
        Scene("first page", "", ""),
        Scene("status filter", "status=failed", "status__exact=failed"),
        Scene("order number", f"q={order_id}", f"q={order_id}"),
        Scene("two-syllable name", "q=%EB%AF%BC%EC%88%98", "q=%EB%AF%BC%EC%88%98"),
        Scene("name nobody has", "q=%EC%98%81%ED%9D%AC", "q=%EC%98%81%ED%9D%AC"),
        Scene("last page", "cursor=last", f"p={-(-rows // 50)}"),
    ]


def own_table(url: str, visitor: Visitor, wanted: Sequence[Scene]) -> Found:
    """Each once: it takes seconds. Only where the table that it shares with us spares it a sort."""
    run("benchmarks.peers.django_admin", "own", BENCH_DATABASE=url)
    found = {scene.name: Timings() for scene in wanted if scene.name in ("first page", "status filter")}
    for scene in wanted:
        if scene.name in found:
            visitor.ask(f"/own/peers/ownpayment/?{scene.django}", 1, found[scene.name])
    return found


def operator_of_ours(server: Server) -> Visitor:
    with httpx.Client(base_url=server.url) as client:
        data = {"email": "admin@example.com", "password": "admin-demo-pass"}
        client.post("/login", data=data)
        return Visitor(server, {"Cookie": f"session={client.cookies['session']}"})


def operator_of_django(server: Server, site: str) -> Visitor:
    with httpx.Client(base_url=server.url) as client:
        form = client.get(f"/{site}/login/")
        token = re.findall(r'csrfmiddlewaretoken" value="([^"]+)"', form.text)[0]
        data = {"username": "operator", "password": "operator-bench-pass", "csrfmiddlewaretoken": token}
        client.post(f"/{site}/login/", data=data)
        return Visitor(server, {"Cookie": f"sessionid={client.cookies['sessionid']}"})


Ask = Callable[[Scene, int, Timings], None]


def interleaved(askers: dict[str, tuple[Ask, int]], wanted: list[Scene], rounds: int) -> dict[str, dict[str, Timings]]:
    """Every scene of everyone in turn, a few rounds; what warms up is not counted. The number is how often a round."""
    found = {name: {scene.name: Timings() for scene in wanted} for name in askers}
    for scene in wanted:
        for ask, times in askers.values():
            ask(scene, min(2, times), Timings())
    for _ in range(rounds):
        for scene in wanted:
            for name, (ask, times) in askers.items():
                ask(scene, times, found[name][scene.name])
    return found


def asking_us(visitor: Visitor) -> Ask:
    def ask(scene: Scene, times: int, into: Timings) -> None:
        visitor.ask(f"/admin/payments?{scene.ours}", times, into)

    return ask


def asking_django(visitor: Visitor, site: str) -> Ask:
    def ask(scene: Scene, times: int, into: Timings) -> None:
        visitor.ask(f"/{site}/peers/payment/?{scene.django}", times, into)

    return ask
