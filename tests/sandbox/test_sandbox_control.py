import ast
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import sandbox
from sandbox import create_app
from tests.sandbox.shop import CLIENT, ORDER, SECRET, Ear, Shop, refusal, until

HOME = Path(sandbox.__file__).parent


def test_the_home_page_explains_and_lists(shop: Shop) -> None:
    shop.paid()
    shop.paid(orderId="order-0002", method="VIRTUAL_ACCOUNT")
    page = shop.http.get("/").text
    assert '<html lang="ko">' in page
    assert ORDER in page
    assert "입금 처리" in page
    assert shop.http.get("/healthz").json() == {"status": "ok"}


MOONLIGHT = """
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

class Books:
    name, calls, aliases = "moonlight", ("confirm",), {}

    def __init__(self, world):
        world.gateways[self.name] = self

    def entries(self):
        return []

    def sweep(self):
        pass

    dump = load = reset = sweep

async def confirm(request):
    return PlainTextResponse("paid")

routes = Mount("/moonlight", routes=[Route("/confirm", confirm, methods=["POST"])])
"""


def test_a_pretend_pg_needs_nothing_but_its_own_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "moonlight").mkdir()
    (tmp_path / "moonlight" / "__init__.py").write_text(MOONLIGHT)
    monkeypatch.setattr(sandbox, "__path__", [*sandbox.__path__, str(tmp_path)])
    with TestClient(create_app()) as http:
        assert http.post("/moonlight/confirm").text == "paid"
        assert http.put("/_faults/moonlight/confirm", json={"kind": "reset"}).status_code == 200
        assert http.post("/toss/v1/payments/confirm").status_code == 401
    sys.modules.pop("sandbox.moonlight")


def test_a_receipt_can_be_read(shop: Shop) -> None:
    url = shop.find(shop.paid()).json()["receipt"]["url"]
    assert "₩9,900" in shop.http.get(url).text
    assert shop.http.get("/toss/receipt/redirection?transactionId=nothing").status_code == 404


def test_settings_take_keys_and_never_show_secrets(shop: Shop) -> None:
    secrets = {
        "toss_keys": f"{CLIENT}:{SECRET}",
        "portone_api_secret": "hush-one",
        "portone_webhook_secrets": "whsec_aHVzaA==",
    }
    shown = shop.put("/_settings", secrets | {"toss_webhook_url": "http://127.0.0.1:1/"})
    assert {"toss_webhook_url": "http://127.0.0.1:1/", "toss_client_keys": [CLIENT]}.items() <= shown.items()
    assert not [secret for secret in (SECRET, "hush-one", "whsec_") if secret in str(shown)]
    assert shop.http.put("/_settings", json={"colour": "red"}).status_code == 422
    assert shop.http.put("/_settings", json={"toss_keys": "half"}).status_code == 422
    assert shop.http.put("/_settings", json={"portone_webhook_secrets": "not-one"}).status_code == 422


def test_the_environment_registers_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_TOSS_KEYS", f"{CLIENT}:{SECRET}, test_ck_two:test_sk_two")
    with TestClient(create_app()) as client:
        shop = Shop(client)
        assert client.get("/_settings").json()["toss_client_keys"] == [CLIENT, "test_ck_two"]
        assert shop.paid()
        assert refusal(shop.find("any", secret="test_sk_three")) == (401, "UNAUTHORIZED_KEY")


@pytest.mark.parametrize(
    "wrong", [{"colour": "red"}, {"order_lookup": "oldest"}, {"webhook_copies": "two"}, {"secret_on_aborted": 1}, []]
)
def test_a_switch_takes_only_what_it_knows(shop: Shop, wrong: Any) -> None:
    before = shop.http.get("/_switches").json()
    assert shop.http.put("/_switches", json=wrong).status_code == 422
    assert shop.http.get("/_switches").json() == before


def test_the_readme_lists_every_switch_and_control(shop: Shop) -> None:
    readme = (HOME / "README.md").read_text()
    missing = [switch["name"] for switch in shop.http.get("/_switches").json() if f"`{switch['name']}`" not in readme]
    assert missing == []


def test_the_clock_moves_only_by_numbers(shop: Shop) -> None:
    assert shop.put("/_clock", {"advance_seconds": 90})["advanced_seconds"] == 90
    assert shop.http.put("/_clock", json={"advance_seconds": "soon"}).status_code == 422


def test_forgetting_forgets_everything(shop: Shop, ear: Ear) -> None:
    shop.put("/_settings", {"toss_webhook_url": ear.url})
    shop.paid()
    shop.put("/_faults/toss/find", {"kind": "status"})
    shop.turn(order_lookup="newest")
    shop.wait(100)
    assert shop.http.delete("/_state").status_code == 204
    assert shop.http.get("/_ledger").json() == {"orders": {}, "charged": 0, "refunded": 0}
    assert shop.http.get("/_faults").json() == {}
    assert shop.http.get("/_webhooks").json() == []
    assert shop.http.get("/_settings").json()["toss_webhook_url"] == ""
    assert shop.http.get("/_clock").json()["advanced_seconds"] == 0
    assert all(switch["value"] == switch["default"] for switch in shop.http.get("/_switches").json())
    assert shop.http.get(f"/_ledger/{ORDER}").status_code == 404


def test_a_state_file_survives_a_restart_and_holds_no_secret_key(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    with TestClient(create_app(path)) as client:
        shop = Shop(client)
        key = shop.authenticated()
        shop.turn(order_lookup="newest")
        shop.wait(60)
        first = shop.confirm(key, idem="k1")
        kept = path.read_text()  # written before the answer, not at the end
    assert json.loads(kept)["gateways"]["toss"]["payments"][0]["charged"] == 9900
    assert SECRET not in kept
    with TestClient(create_app(path)) as client:
        shop = Shop(client)
        assert shop.confirm(key, idem="k1").content == first.content
        assert shop.find(key).json() == first.json()
        assert shop.ledger()["confirms"] == 1
        assert client.get("/_clock").json()["advanced_seconds"] == 60
        rows = client.get("/toss/v1/transactions?startDate=2020-01-01&endDate=2100-01-01", auth=(SECRET, "")).json()
        assert len(rows) == 1


def test_an_unheard_webhook_survives_a_restart(tmp_path: Path, ear: Ear) -> None:
    path = tmp_path / "state.json"
    ear.says = [500]
    with TestClient(create_app(path)) as client:
        shop = Shop(client)
        shop.put("/_settings", {"toss_webhook_url": ear.url})
        shop.paid()
        until(lambda: client.get("/_webhooks").json()[0]["next_at"])
    with TestClient(create_app(path)) as client:
        Shop(client).wait(61)
        until(lambda: client.get("/_webhooks").json()[0]["state"] == "success")
    assert len(ear.heard) == 2


def test_the_sandbox_knows_nothing_of_the_app() -> None:
    for path in HOME.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] == "app"], path
