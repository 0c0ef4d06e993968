"""The example of docs/adding-a-gateway.md, put beside the other gateways and bought with: it is all that is needed."""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx
from starlette.config import Config

from app import gateways, reconciler
from app.config import ROOT, Settings, read_settings
from app.gateways import Gateway, load
from tests import story
from tests.conftest import Cashier, Checkout, House, Visitor
from tests.fragments import assert_page, assert_row_redrawn
from tests.sandboxes import Sandbox
from tests.test_money import long_ago

API = "https://api.moonlight.example"
KEYS = {"MOONLIGHT_SECRET_KEY": "moon-secret", "MOONLIGHT_API_URL": API}


@contextmanager
def moonlight_beside_the_others(folder: Path) -> Iterator[None]:
    """`app/gateways/moonlight.py`, for so long."""
    text = (ROOT / "docs" / "adding-a-gateway.md").read_text(encoding="utf-8")
    (code,) = re.findall("^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    (folder / "moonlight.py").write_text(code, encoding="utf-8")
    gateways.__path__.append(str(folder))
    try:
        yield
    finally:
        gateways.__path__.remove(str(folder))
        Gateway.registry[:] = [kind for kind in Gateway.registry if kind.name != "moonlight"]
        sys.modules.pop("app.gateways.moonlight", None)
        vars(gateways).pop("moonlight", None)


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    """With its keys, which config.py does not know."""
    with moonlight_beside_the_others(tmp_path):
        yield replace(settings, source=Config(environ=KEYS))


@dataclass
class Moon:
    """The PG, by the words of the document's first paragraph."""

    payments: dict[str, dict[str, Any]] = field(default_factory=dict)
    silent: bool = False
    cloudy: bool = False

    def answer(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer moon-secret"
        _, _, number, verb = [*request.url.path.split("/"), "", ""][:4]
        asked = json.loads(request.content or "{}")
        if request.method == "POST" and not number:
            number = f"moon-{len(self.payments) + 1}"
            page = {"id": number, "url": f"https://moonlight.example/pay/{number}"}
            opened = {"order_id": asked["order_id"], "amount": asked["amount"], "status": "ready", "cancels": []}
            self.payments[number] = page | opened
        if not (payment := self.payments.get(number)):
            return httpx.Response(404, json={"code": "NOT_FOUND"})
        if verb == "confirm" and payment["status"] == "ready":
            if self.cloudy:
                payment["status"] = "failed"
                return httpx.Response(402, json={"code": "NO_MOON"})
            assert asked == {"order_id": payment["order_id"], "amount": payment["amount"]}
            payment["status"] = "paid"
        if verb == "cancel":
            left = payment["amount"] - sum(one["amount"] for one in payment["cancels"])
            if asked["left"] != left or asked["amount"] > left:
                return httpx.Response(409, json={"code": "LESS_LEFT"})
            payment["cancels"].append({"id": f"back-{len(payment['cancels'])}", "amount": asked["amount"]})
            payment["status"] = "canceled" if asked["amount"] == left else "paid"
        if self.silent:
            raise httpx.ReadTimeout("no answer", request=request)
        return httpx.Response(200, json=payment)


@pytest.fixture
def moon() -> Iterator[Moon]:
    moon = Moon()
    with respx.mock(using="httpx", assert_all_called=False) as pg:
        pg.route(host="127.0.0.1").pass_through()
        pg.route(url__startswith=f"{API}/payments").mock(side_effect=moon.answer)
        yield moon


class MoonCashier(Cashier):
    """The order form leads straight to the PG's page; the buyer comes back with its number."""

    method = "moonlight"

    def __init__(self, sandbox: Sandbox, moon: Moon) -> None:
        super().__init__(sandbox)
        self.moon = moon

    def order(self, visitor: Visitor, prompt_id: int = story.PROMPT, **changed: str) -> Checkout:
        number = self.post(visitor, prompt_id, **changed).rpartition("/")[2]
        order_id = str(self.moon.payments[number]["order_id"])
        return Checkout(order_id, number, f"/payments/{order_id}/return?id={number}")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_example_of_the_document_quits_is_declined_buys_and_refunds(
    house: House, buyer: Visitor, admin: Visitor, sandbox: Sandbox, moon: Moon
) -> None:
    shop = MoonCashier(sandbox, moon)
    assert_page(buyer.get(f"/payments/new?prompt_id={story.PROMPT}"), "달빛페이", "달 밝은 밤에 바로")
    quit_it, declined, bought = (shop.order(buyer) for _ in range(3))
    buyer.get(f"{quit_it.path}/return?code=QUIT")
    assert_page(buyer.get(quit_it.path), "결제하지 않았습니다", "달빛페이에서 결제를 그만두었습니다")
    moon.cloudy = True
    buyer.get(declined.back)
    assert_page(buyer.get(declined.path), "결제되지 않았습니다", "달이 뜨지 않아")
    moon.cloudy = False

    moon.silent = True
    buyer.get(bought.back)
    assert house.payment(bought.order_id).status == "in_doubt"
    moon.silent = False
    long_ago(house, bought.order_id)
    told = buyer.post("/webhooks/moonlight", json={"order_id": bought.order_id})
    assert told.status_code == 200
    house.run(reconciler.reconcile, house.till)
    assert_page(buyer.get(bought.path), "결제가 끝났습니다", story.BODY)

    part = shop.refund(admin, bought, amount="3000")
    assert_row_redrawn(part, bought.order_id, "일부 환불", status="completed")
    assert_row_redrawn(shop.refund(admin, bought), bought.order_id, "환불 완료", status="refunded")
    assert [one["amount"] for one in moon.payments[bought.payment_key]["cancels"]] == [3_000, 7_000]


def test_the_example_leaves_nothing_behind(tmp_path: Path) -> None:
    keys = read_settings(KEYS)
    with moonlight_beside_the_others(tmp_path):
        assert "moonlight" in load(keys, httpx.AsyncClient())
    assert "moonlight" not in load(keys, httpx.AsyncClient())
