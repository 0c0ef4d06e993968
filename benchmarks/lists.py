"""The operator's list over HTTP: ours, and Django's admin over the very same table."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from benchmarks.servers import Server
from benchmarks.timing import Timings, Visitor


@dataclass(frozen=True)
class Scene:
    name: str
    ours: str
    django: str | None


def scenes(order_id: str, rows: int) -> list[Scene]:
    return [
        Scene("first page", "", ""),
        Scene("status filter", "status=failed", "status__exact=failed"),
        Scene("order number", f"q={order_id}", f"q={order_id}"),
        Scene("two-syllable name", "q=%EB%AF%BC%EC%88%98", "q=%EB%AF%BC%EC%88%98"),
        Scene("name nobody has", "q=%EC%98%81%ED%9D%AC", "q=%EC%98%81%ED%9D%AC"),
        Scene("last page", "cursor=last", f"p={-(-rows // 50)}"),
    ]


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


def interleaved(
    askers: dict[str, tuple[Ask, int]], wanted: list[Scene], rounds: int = 3
) -> dict[str, dict[str, Timings]]:
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
