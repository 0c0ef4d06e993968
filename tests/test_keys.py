"""No key of any PG, and nothing that gives a right to money, is in a page, a log, a row, an error or a repr."""

import base64
import logging
import traceback
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession
from standardwebhooks import Webhook as Signer

from app import exchanges, reconciler
from app.clock import now
from app.config import Settings, read_settings
from app.exchanges import Exchange
from app.gateways import Declined, InDoubt
from app.models import Event, Payment, Purchase, Refund, Webhook
from app.till import find
from tests import story
from tests.conftest import CASHIERS, Cashier, Checkout, House, Visitor
from tests.sandboxes import Sandbox
from tests.test_money import long_ago

OWN_COLUMNS = {
    "pg_token",  # a confirm that got no answer is repeated with it
    "pg_secret",  # a webhook is held against it
    "body",  # a webhook, as it came
    "pg_window",  # the steps of the window page, looked into as such
}
SIGNS = [base64.b64encode(f"UNMISTAKABLE-webhook-secret-{number}".encode()).decode() for number in (1, 2)]
SECRETS = {
    "secret_key": "UNMISTAKABLEsecretkeyofthehouse0123456789",
    "toss_secret_key": "test_sk_UNMISTAKABLEtoss",
    "kakaopay_secret_key": "DEV" + "UNMISTAKABLEKAKAO" * 2 + "KKK",
    "portone_api_secret": "UNMISTAKABLEportone",
    "portone_webhook_secret": f"whsec_{SIGNS[0]},whsec_{SIGNS[1]}",
    "portone_v1_imp_key": "UNMISTAKABLEimpkey",  # also the end of every access_token that the sandbox gives
    "portone_v1_imp_secret": "UNMISTAKABLEimpsecret",
}
PUBLIC = {  # only for the window page, which hands them to the PG's SDK; what names a store (its id, a cid) is no key
    "toss_client_key": "test_ck_UNMISTAKABLEclient",
    "portone_channel_key": "channel-key-UNMISTAKABLE",
    "portone_v1_channel_key": "channel-key-v1-UNMISTAKABLE",
}


@pytest.fixture
def settings(settings: Settings, sandbox: Sandbox) -> Settings:
    """Every PG at once."""
    return read_settings(
        CASHIERS["portone"].keys(sandbox.url)
        | CASHIERS["portone_v1"].keys(sandbox.url)
        | {name.upper(): key for name, key in (PUBLIC | SECRETS).items()}
        | {
            "KAKAOPAY_CID": settings.kakaopay_cid,
            "DATABASE_URL": settings.database_url,
            "BASE_URL": settings.base_url,
            "TOSS_API_URL": settings.toss_api_url,
            "TOSS_SDK_URL": settings.toss_sdk_url,
            "KAKAOPAY_API_URL": settings.kakaopay_api_url,
            "PG_TIMEOUT": "5",
            "RECONCILE_EVERY": "0",
        }
    )


@dataclass
class Eyes:
    """Everything that anybody could read, place by place."""

    caplog: pytest.LogCaptureFixture
    pages: list[str] = field(default_factory=list)
    windows: list[str] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    reprs: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)

    def watch(self, visitor: Visitor) -> Visitor:
        visitor.event_hooks["response"].append(self.read)
        return visitor

    def read(self, response: httpx.Response) -> None:
        """What the browser gets, and the line that uvicorn writes about it."""
        response.read()
        request = response.request
        answered = self.windows if request.url.path.endswith("/window") else self.pages
        answered.append(f"{response.status_code} {response.headers} {response.text}")
        line = "127.0.0.1:1", request.method, request.url.raw_path.decode(), "1.1", response.status_code
        logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', *line)

    @property
    def logs(self) -> list[str]:
        """Without what the browsers of this test say of their own calls."""
        lines = [f"{record.getMessage()} {record.exc_text or ''}" for record in self.caplog.records]
        return [line for line in lines if "http://testserver/" not in line]

    def places(self, needles: set[str]) -> set[str]:
        """Where any of these can be read."""
        its = {name: getattr(self, name) for name in ("pages", "windows", "logs", "rows", "errors", "reprs")}
        return {name for name, texts in its.items() if any(needle in text for needle in needles for text in texts)}

    def look_into(self, house: House) -> None:
        """Every row there is, as it stands now."""
        house.run(exchanges.write, house.till)
        for kind in (Payment, Event, Refund, Purchase, Webhook, Exchange):
            rows = house.rows(select(kind))
            assert rows, f"no {kind.__name__} to look at"
            self.rows += [str(row.model_dump(exclude=OWN_COLUMNS)) for row in rows]
            self.reprs += [repr(row) for row in rows if kind is not Webhook]
        payments = house.rows(select(Payment))
        self.windows += [str(payment.pg_window) for payment in payments]
        self.tokens |= {token for payment in payments for token in (payment.pg_token, payment.pg_secret) if token}
        its: list[Any] = [house.settings, house.till, *house.till.gateways.values()]
        self.reprs += [text for it in its for text in (repr(it), str(it))]


@pytest.fixture
def eyes(caplog: pytest.LogCaptureFixture) -> Eyes:
    """Not the driver of the database, which at DEBUG repeats every statement with its values."""
    for name in ("app", "httpx", "uvicorn.access"):
        caplog.set_level(logging.DEBUG, name)
    return Eyes(caplog)


def tell(house: House, visitor: Visitor, checkout: Checkout) -> None:
    """A webhook of each kind about this order: signed, forged, and of another shape."""
    gateway = house.payment(checkout.order_id).gateway
    words = {"orderId": checkout.order_id, "secret": "ps_of_another", "merchant_uid": checkout.order_id}
    told = {"type": "Transaction.Paid", "data": {"paymentId": checkout.order_id}} | words
    body = httpx.Request("POST", "http://it", json=told).content
    at = now()
    for secret in (*SIGNS, base64.b64encode(b"somebody else's").decode()):
        headers = {
            "webhook-id": f"{checkout.order_id}-{secret[-4:]}",
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Signer(secret).sign(f"{checkout.order_id}-{secret[-4:]}", at, body.decode()),
        }
        visitor.post(f"/webhooks/{gateway}", content=body, headers=headers)


def fail(house: House, eyes: Eyes, cashier: Cashier, checkout: Checkout) -> None:
    """What the gateway itself raises, with all that it was raised from."""
    payment = house.payment(checkout.order_id)
    gateway = house.till.gateways[payment.gateway]
    for kind in ("reset", "status", "html", "half_body"):
        cashier.fault("find", kind)
        try:
            house.run(gateway.find, payment)
        except (InDoubt, Declined) as error:
            eyes.errors += [*traceback.format_exception(error), repr(error), repr(error.__cause__)]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_key_and_no_token_can_be_read_anywhere(house: House, eyes: Eyes, sandbox: Sandbox) -> None:
    buyer, admin, stranger = (eyes.watch(house.visitor(who)) for who in (story.BUYER, story.ADMIN, None))
    for kind in CASHIERS.values():
        cashier = kind(sandbox)
        declined = cashier.authenticate(buyer, button="over-limit")
        buyer.get(declined.back)
        silent = cashier.authenticate(buyer)
        for name in ("pg_token", "paymentToken"):
            eyes.tokens |= {it.back.partition(f"{name}=")[2].partition("&")[0] for it in (declined, silent)}
        cashier.fault("confirm", "reset", when="after")
        buyer.get(silent.back)
        stranger.get(f"{silent.back}x")
        tell(house, stranger, silent)
        long_ago(house, silent.order_id)
        house.run(reconciler.reconcile, house.till)
        assert house.payment(silent.order_id).status == "completed"
        cashier.fault("cancel", "status", status=500)
        cashier.refund(admin, silent, amount="3000")
        for checkout in (declined, silent):
            buyer.get(checkout.path)
            buyer.part("GET", checkout.path)
            buyer.get(f"/api/payment/{checkout.order_id}")
            admin.get(f"/admin/payments/{checkout.order_id}")
        fail(house, eyes, cashier, silent)
        long_ago(house, silent.order_id)
        house.run(reconciler.reconcile, house.till)
        cashier.refund(admin, silent)
        assert house.payment(silent.order_id).status == "refunded"
    for path in ("/admin/payments", "/admin/payments.csv", "/api/admin/payments", "/admin/webhooks"):
        admin.get(path)
    eyes.look_into(house)
    said = {exchange.verb for exchange in house.rows(select(Exchange)) if exchange.answer}
    assert said == {"start", "confirm", "cancel", "find"}
    assert any('id="answer-' in page for page in eyes.pages), "what the PGs answered was looked at, too"

    eyes.tokens.discard("")
    secret = {
        *SECRETS.values(),
        *SIGNS,
        *eyes.tokens,
        base64.b64encode(f"{SECRETS['toss_secret_key']}:".encode()).decode(),
    }
    assert len(eyes.tokens) >= 4, "KakaoPay's and PortOne's permissions, and the secrets of Toss's payments"
    assert eyes.places(secret) == set()
    assert eyes.places(set(PUBLIC.values())) == {"windows"}
    plant(house, eyes, silent, SECRETS["toss_secret_key"])
    assert eyes.places(secret) == {"pages", "logs", "rows", "errors", "reprs"}


def plant(house: House, eyes: Eyes, checkout: Checkout, key: str) -> None:
    """What must be found: a page that repeats it, a careless log line, note, error and repr."""
    eyes.watch(house.visitor()).get("/", params={"q": key})
    logging.getLogger("app.gateways.toss").debug("asked with %s", key)

    async def note(session: AsyncSession) -> None:
        session.add((await find(session, checkout.order_id)).tell("refund_requested", "system", note=key))

    house.change(note)
    eyes.look_into(house)
    eyes.errors.append(repr(InDoubt("CODE", key)))
