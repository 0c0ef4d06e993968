"""Whatever is sent, and by whomever: it is never our fault (5xx), and no stack trace gets out."""

import base64
import json
from collections.abc import Sequence
from typing import Any, TypeVar

import pytest
from starlette.routing import Mount, Route

from app import streams
from app.main import FORM_LIMIT
from app.routes import routes
from tests import story
from tests.conftest import Cashier, Checkout, House, Visitor

Shot = TypeVar("Shot")

FORM = {"content-type": "application/x-www-form-urlencoded"}
JSON = {"content-type": "application/json"}
NOBODYS_ORDER = "Z" * 24

UGLY_WORDS = (
    "\x00",
    "a\x00b",
    "\ud800",  # percent-encoded as CESU bytes below: nobody's UTF-8
    "💥" * 40,
    "%_\\",
    "' OR 1=1 --",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "-1",
    "0",
    "1" + "0" * 30,
    "9" * 5000,
    "1e999",
    "nan",
    "inf",
    "١٢٣",
    "true",
    "null",
    "{}",
    "\r\nSet-Cookie: a=b",
    "{{ 7 * 7 }}",
    "ﷺ" * 60,
    "İ" * 120,
    "x" * 3000,
)


def cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


CURSORS = (
    "=",
    "a",
    "AAAA",
    "한글",
    "//8",
    cursor("\x00|\x00"),
    cursor("nan|1"),
    cursor("inf|1"),
    cursor("1e5|1"),
    cursor("1|nan"),
    cursor("10000|"),
    cursor("|"),
    cursor("10000|-1"),
    cursor("10000|99999999999999999999"),
    cursor(f"{10**30}|1"),
    cursor(f"-{10**30}|1"),
    cursor("2147483647|2147483647"),
    cursor("-2147483648|1"),
    cursor("2026-01-01|1"),
    cursor("2026-01-01T00:00:00|1"),
    cursor("0001-01-01T00:00:00+00:00|1"),
    cursor("0001-01-01T00:00:00+23:59|1"),
    cursor("9999-12-31T23:59:59.999999+00:00|1"),
    cursor("9999-12-31T23:59:59.999999-23:59|1"),
    cursor("99999-01-01T00:00:00+00:00|1"),
    cursor("2026-01-01T00:00:00+00:00|1|2"),
)
DATES = (
    "0001-01-01",
    "9999-12-31",
    "9999-12-30",
    "0000-00-00",
    "10000-01-01",
    "2026-02-30",
    "2026-1-1",
    "-2026-01-01",
    "0",
    "-1",
    "1e400",
    "99999999999999999999",
    "-62135596800",
    "253402300799",
    "2026-01-01T00:00:00",
    "어제",
)
LIST_QUERIES = (
    *({"sort": "-created_at", "cursor": it} for it in CURSORS),
    *({"sort": "amount", "cursor": it} for it in CURSORS[::3]),
    *({("from", "to")[number % 2]: date} for number, date in enumerate(DATES)),
    {"to": "0001-01-01"},
    {"from": "0001-01-01"},
    {"to": "9999-12-31"},
    {"from": "0001-01-01", "to": "0001-01-01"},
    {"from": "9999-12-31", "to": "9999-12-31"},
    *({"q": word} for word in UGLY_WORDS[:10] if word != "\ud800"),
    *({"status": word, "payment_method": word, "sort": word} for word in ("\x00", "💥", "pending'", "x" * 300)),
    *({"limit": word} for word in ("0", "-1", "201", "9" * 50, "٣", "\x00", "1.5", "")),
    *({"after": word} for word in ("0", "-1", "2147483648", "9" * 15, "9" * 400, "٣", "\x00", "")),
)
QUERIES = (
    *(
        {"q": word, "category": word, "prompt_id": word, "next": word, "code": word, "paymentKey": word, "amount": word}
        for word in (word.replace("\ud800", "?") for word in UGLY_WORDS)
    ),
    {"code": "\x00"},
    {"code": "x" * 5000},
    {"paymentKey": "\x00", "orderId": "", "amount": ""},
    "q=a&q=b&prompt_id=1&prompt_id=2&next=/a&next=//b&code=1&code=2",
    "%ff=%fe&q=%ed%a0%80&next=%ed%a0%80&code=%c0%80",
    "&&&===;;;",
    "q=" + "a" * 20_000,
)
HEADERS: tuple[dict[str, str | bytes], ...] = (
    {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Current-URL": "http://["},
    {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Current-URL": "//evil.example\\@"},
    {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Current-URL": b"\xff\xfe\x80"},
    {"HX-Request-Type": "x" * 8000, "HX-Target": "'\"><script>", "HX-Trigger": "\\", "HX-Boosted": "maybe"},
    {"Referer": "http://["},
    {"Referer": "javascript:alert(1)"},
    {"Referer": "http://testserver:99999999/"},
    {"Origin": "http://["},
    {"Origin": "null"},
    {"Origin": "http://testserver:port"},
    {"Sec-Fetch-Site": "💥".encode()},
    {"Host": "["},
    {"Host": "[::1"},
    {"Host": "a b\\c"},
    {"Host": ""},
    {"Host": "testserver:port"},
    {"Last-Event-ID": "-1"},
    {"Last-Event-ID": "999999999999999"},
    {"Last-Event-ID": b"\xb2\xb3"},
    {"Authorization": "Bearer"},
    {"Authorization": b"Bearer \xff\x01"},
    {"Authorization": "Basic ="},
    {"Cookie": b"session=\xff\xfe; session=null; =; ;;"},
    {"Cookie": "session=" + "A" * 6000},
    {"Cookie": f"session={base64.b64encode(b'{}').decode()}.AAAA.AAAA"},
    {"Accept-Encoding": "gzip;q=nan, *;q=-1", "Accept": "/", "Accept-Language": "\\"},
    {"If-Modified-Since": "yesterday", "If-None-Match": '"', "Range": "bytes=5-1,-,99999999999999999999-"},
    {"If-Modified-Since": "Mon, 01 Jan 10000 00:00:00 GMT", "Range": "lines=1-2"},
    {"X-Forwarded-For": "'", "X-Forwarded-Proto": "gopher", "Forwarded": "for=\\"},
)
DEEP = b"[" * 100_000
BODIES: tuple[tuple[dict[str, str], bytes], ...] = (
    ({}, b"\x00\xff"),
    ({"content-type": "\\"}, b"a=b"),
    (FORM, b""),
    (FORM, b"\xff\xfe=\xff&%ff=%00&&&==;"),
    (FORM, b"&".join(b"a%d=1" % n for n in range(1100))),
    (FORM | {"content-type": "application/x-www-form-urlencoded; charset=nonsense"}, b"email=%ff"),
    ({"content-type": "multipart/form-data"}, b"x"),
    ({"content-type": "multipart/form-data; boundary="}, b"--\r\n"),
    ({"content-type": "multipart/form-data; boundary=x"}, b"--x\r\nContent-Disposition: form-data\r\n\r\n--x--"),
    ({"content-type": "multipart/form-data; boundary=x"}, b'--x\r\nContent-Disposition: form-data; name="email"\r\n'),
    (
        {"content-type": "multipart/form-data; boundary=x; charset=nonsense"},
        b'--x\r\nContent-Disposition: form-data; name="email"; filename="\x00"\r\n\r\n\xff\r\n--x--\r\n',
    ),
    (JSON, b""),
    (JSON, b"\xff\xfe"),
    (JSON, b"\xef\xbb\xbf{}"),
    (JSON, DEEP),
    (JSON, b'{"a":' * 20_000),
    (JSON, b'{"data":' * 900 + b"1" + b"}" * 900),
    (JSON, b"1" * 5000),
    (JSON, b"NaN"),
    (JSON, b"[]"),
    (JSON, b'"eventType"'),
    (JSON, b'["eventType", "data"]'),
    (JSON, b'{"eventType": 1, "data": null}'),
    (JSON, b"x" * (FORM_LIMIT + 1)),
)
FIELDS = {
    "email": "someone@example.com",
    "password": "a long password",
    "name": "김찐",
    "phone": "010-1234-5678",
    "prompt_id": "1",
    "payment_method": "card",
    "buyer_name": "김찐",
    "buyer_phone": "010-1234-5678",
    "agree": "on",
    "amount": "10000",
    "reason": "단순변심",
    "key": "k",
    "next": "/",
    "everywhere": "on",
}
ODD_VALUES: tuple[Any, ...] = (
    *(word for word in UGLY_WORDS),
    None,
    True,
    -1,
    0,
    10**30,
    -(10**30),
    1.5,
    1e308,
    float("nan"),
    float("inf"),
    [],
    {},
    [1],
    {"a": {"b": []}},
)
EMAILS = ("İ" * 60 + "@" + "İ" * 180 + ".com", "a@b.c\x00o", "@", "a" * 300 + "@example.com", "김@한국.한국")


@pytest.fixture(autouse=True)
def _streams_end_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LIFETIME", 0.01)


class Battery:
    """Fires at the app as one person after the other, and remembers every answer that is our fault."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.fired, self.faults = 0, set[str]()
        self.turn = int(house.settings.database_url.startswith("sqlite"))  # half of it for each database
        self.become(None)

    def become(self, email: str | None) -> str | None:
        self.who = email or "anonymous"
        self.visitor = self.house.visitor(email)
        self.visitor.headers["Accept-Encoding"] = "identity"  # compressing costs more than everything else here
        self.session = dict(self.visitor.cookies)
        return email

    def share(self, shots: Sequence[Shot]) -> Sequence[Shot]:
        """A sixth of the shots for each person on each database: every door still meets all of them."""
        hands = [(who, database) for database in ("postgresql", "sqlite") for who in PEOPLE]
        database = self.house.settings.database_url.partition(":")[0]
        mine = (None if self.who == "anonymous" else self.who, database)
        return shots[hands.index(mine) :: len(hands)]

    def some(self, values: Sequence[Shot], number: int) -> Sequence[Shot]:
        """PostgreSQL, the stricter one, meets every value in every field; SQLite each of them in every third field."""
        return values[number % 3 :: 3] if self.turn else values

    def fire(self, method: str, url: str, **options: Any) -> None:
        self.fired += 1
        self.house.door.app_state["throttle"].storage.reset()
        self.visitor.cookies.clear()
        self.visitor.cookies.update(self.session)
        shot = f"{self.who}: {method} {url} {str(options)[:160]}"
        try:
            answer = self.visitor.request(method, url, **options)
        except Exception as error:  # it would have been a 500
            self.faults.add(f"{shot} -> {type(error).__name__}: {str(error)[:120]}")
            return
        if answer.status_code >= 500 or "Traceback" in answer.text or "sqlalche.me" in answer.text:
            self.faults.add(f"{shot} -> {answer.status_code} {answer.text[-120:]}")

    def assert_unharmed(self) -> None:
        assert self.fired > 10
        assert not self.faults, f"{len(self.faults)} of {self.fired}:\n" + "\n".join(sorted(self.faults))


PEOPLE = (None, story.BUYER, story.ADMIN)


@pytest.fixture
def checkout(buyer: Visitor, cashier: Cashier) -> Checkout:
    return cashier.buy(buyer)


def doors(order_id: str) -> list[tuple[str, str]]:
    """Every method of every URL, with a real order in it."""
    found = []
    for route in routes:
        if isinstance(route, Mount):
            found.append(("GET", f"{route.path}/app.js"))
            continue
        assert isinstance(route, Route)
        path = route.path.replace("{order_id:order_id}", order_id).replace("{id:id}", "1").replace("{gateway}", "toss")
        found += [(method, path) for method in sorted((route.methods or set()) - {"HEAD"})]
    return found


def without_surrogates(value: Any) -> Any:
    return value.replace("\ud800", "\ufffd") if isinstance(value, str) else value


def test_no_header_breaks_an_answer(house: House, checkout: Checkout) -> None:
    battery = Battery(house)
    for who in map(battery.become, PEOPLE):
        for method, url in doors(checkout.order_id):
            if url.startswith(("/static", "/healthz", "/readyz", "/api/openapi")) and who:
                continue
            everything = (who, url) in (
                (None, "/purchases"),
                (None, "/payments"),
                (story.ADMIN, "/admin/payments/live"),
            )
            for headers in HEADERS if everything else battery.share(HEADERS):
                battery.fire(method, url, headers=headers)
    battery.assert_unharmed()


def test_no_query_breaks_an_answer(house: House, checkout: Checkout, buyer: Visitor, cashier: Cashier) -> None:
    battery = Battery(house)
    for who in map(battery.become, PEOPLE):
        for method, url in doors(checkout.order_id):
            if method != "GET" or url.startswith(("/static", "/healthz", "/readyz", "/api/openapi")):
                continue
            lists = who == story.ADMIN and url.endswith(("/payments", "/live", ".csv", "/reconciliation"))
            for query in (*battery.share(QUERIES), *LIST_QUERIES[battery.turn :: 2 if lists else 120]):
                battery.fire(method, url, params=query)
    battery.become(None)
    for query in battery.some(QUERIES, 0):
        pending = cashier.order(buyer, prompt_id=story.DISCOUNTED)
        battery.fire("GET", f"{pending.path}/return", params=query)
    battery.assert_unharmed()


def test_no_body_breaks_an_answer(house: House, checkout: Checkout) -> None:
    battery = Battery(house)
    for who in map(battery.become, PEOPLE):
        for method, url in doors(checkout.order_id):
            if method != "POST":
                continue
            for headers, body in BODIES if (who, url) == (None, "/login") else battery.share(BODIES):
                battery.fire(method, url, headers={"Idempotency-Key": "k"} | headers, content=body)
    battery.assert_unharmed()


def test_no_field_of_a_form_breaks_an_answer(house: House, checkout: Checkout) -> None:
    forms = (
        (None, "/login", "email password next"),
        (None, "/register", "email password name phone next"),
        (story.BUYER, "/payments", "prompt_id payment_method buyer_name buyer_phone agree amount"),
        (story.BUYER, "/logout", "everywhere"),
        (story.ADMIN, f"/admin/payments/{checkout.order_id}/refunds", "amount reason key"),
    )
    battery = Battery(house)
    for who, url, names in forms:
        battery.become(who)
        for number, name in enumerate(names.split()):
            for word in map(without_surrogates, UGLY_WORDS[number % 2 :: 2]):
                battery.fire("POST", url, data=FIELDS | {name: word})
    for email in EMAILS:
        battery.fire("POST", "/login", data=FIELDS | {"email": email})
        battery.fire("POST", "/register", data=FIELDS | {"email": email})
    battery.assert_unharmed()


def test_no_field_of_a_json_body_breaks_an_answer(house: House, checkout: Checkout) -> None:
    order = {"prompt_id": 2, "payment_method": "card", "buyer_name": "김", "buyer_phone": "0101234567"}
    handed = {"order_id": checkout.order_id, "pg_transaction_id": checkout.payment_key}
    calls: tuple[tuple[str, str, dict[str, Any]], ...] = (
        (story.BUYER, "/api/payment/prepare", order),
        (story.BUYER, "/api/payment/complete", handed),
        (story.ADMIN, f"/api/payment/{checkout.order_id}/refund", {"reason": "단순변심", "amount": 1}),
    )
    battery = Battery(house)
    for who, url, body in calls:
        battery.become(who)
        for number, name in enumerate((*body, "amount", "surprise")):
            for value in battery.some(ODD_VALUES, number):
                content = json.dumps(body | {name: value})
                battery.fire("POST", url, content=content, headers=JSON | {"Idempotency-Key": "k"})
    battery.assert_unharmed()


def test_no_idempotency_key_breaks_an_answer(house: House, checkout: Checkout) -> None:
    battery = Battery(house)
    battery.become(story.ADMIN)
    keys: tuple[str | bytes, ...] = (
        *("", " ", "\t", "x" * 100, "x" * 101, "x" * 20_000, "'; --", "%00", "\\"),
        *(b"\xff\xfe", b"\xc2\xa0", b"\x7f", b"a\x00b", "열쇠".encode()),
    )
    for key in keys:
        battery.fire(
            "POST",
            f"/api/payment/{checkout.order_id}/refund",
            json={"reason": "단순변심", "amount": 1},
            headers={"Idempotency-Key": key},
        )
    battery.assert_unharmed()


def test_no_webhook_breaks_an_answer(house: House, checkout: Checkout) -> None:
    battery = Battery(house)
    for value in (*ODD_VALUES, checkout.order_id, NOBODYS_ORDER):
        known = {
            "orderId": checkout.order_id,
            "secret": value,
            "status": value,
            "totalAmount": value,
            "balanceAmount": 1,
        }
        for payment in ({"orderId": value}, known):
            for event in ({"eventType": "PAYMENT_STATUS_CHANGED", "data": payment}, payment, {"eventType": value}):
                battery.fire("POST", "/webhooks/toss", content=json.dumps(event), headers=JSON)
    battery.assert_unharmed()


def test_no_path_breaks_an_answer(house: House) -> None:
    paths = (
        *("/%00", "/static/%00", "/static/..%2f..%2fapp%2fmain.py", "/static/" + "a" * 5000, "/static/%ff", "/static/"),
        *(
            "/static/vendor",
            "/prompts/0",
            "/prompts/999999999",
            "/prompts/9999999999",
            "/prompts/-1",
            "/prompts/%D9%A3",
        ),
        *("/payments/%00", f"/payments/{NOBODYS_ORDER}", f"/payments/{'a' * 33}", "/payments/" + "가" * 24),
        *(f"/payments/{NOBODYS_ORDER}/return?paymentKey=x", f"/payments/{NOBODYS_ORDER}/window"),
        *(f"/admin/payments/{NOBODYS_ORDER}", f"/admin/payments/{NOBODYS_ORDER}/refunds/new", "/admin/payments/"),
        *(f"/api/payment/{NOBODYS_ORDER}", "/api/", "/api/payment/", "/webhooks/%00", "/webhooks/없음", "/webhooks/"),
        *("//evil.example", "//evil.example/", "/%2f%2fevil.example/", "/\\evil.example/", "/login/", "/.env", "/%"),
    )
    battery = Battery(house)
    for _who in map(battery.become, PEOPLE):
        for path in paths:
            for method in ("GET", *battery.share(("HEAD", "POST", "OPTIONS", "PROPFIND", "PUT", "TRACE"))):
                battery.fire(method, f"http://testserver{path}")
    battery.assert_unharmed()


def test_search_takes_wildcards_as_letters(house: House, admin: Visitor, buyer: Visitor, cashier: Cashier) -> None:
    for name in ("백%분", "백_분", "백\\분", "백/분", "백분"):
        cashier.order(buyer, buyer_name=name)

    def found(word: str) -> list[str]:
        answer = admin.get("/api/admin/payments", params={"q": word})
        assert answer.status_code == 200, answer.text
        return [payment["buyer_name"] for payment in answer.json()["payments"]]

    for letter in "%_\\/":
        assert found(letter) == [f"백{letter}분"]
    assert len(found("백")) == 5
