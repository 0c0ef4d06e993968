"""What a gateway is: one file that speaks to one PG. It gets a Payment, returns a Receipt, and sees no request."""

import asyncio
import functools
import importlib
import pkgutil
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, ClassVar, Literal

import httpx

from app.clock import now
from app.config import Settings
from app.models import Payment, Refund
from app.spoken import VERBS, Ear, heard, listening

Standing = Literal["open", "authenticated", "waiting", "paid", "canceled", "failed", "expired", "absent"]
Why = Literal["declined", "try_again", "configuration"]


@dataclass(frozen=True)
class Cancellation:
    """Money the PG has given back: whole won, and the PG's id of that movement."""

    transaction_id: str
    amount: int


@dataclass(frozen=True)
class Account:
    """Where a virtual account waits for the money, until `due` (UTC)."""

    bank: str
    number: str
    holder: str
    due: datetime | None = None


@dataclass(frozen=True)
class RefundAccount:
    """Where a paid virtual account is given back to. It must never be logged, and is no part of any repr."""

    bank: str = field(repr=False)
    number: str = field(repr=False)
    holder: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What the PG says of one order. `paid` is whole won taken in `currency`, whatever was given back later."""

    status: Standing
    order_id: str
    transaction_id: str | None = None
    paid: int = 0
    currency: str = "KRW"
    canceled: tuple[Cancellation, ...] = ()
    secret: str | None = None
    receipt_url: str | None = None
    account: Account | None = None
    code: str | None = None
    message: str | None = None
    asked: datetime = field(default_factory=now, compare=False)
    """When the PG was asked (UTC): of what has happened since it may say nothing."""

    @property
    def left(self) -> int:
        """Whole won that the PG still holds of what it took."""
        return self.paid - sum(given.amount for given in self.canceled)


@dataclass(frozen=True)
class Redirect:
    """The browser goes to the PG by itself, until `until` (UTC) to the same page however often it asks."""

    url: str
    mobile_url: str | None = None
    transaction_id: str | None = None
    until: datetime | None = None

    def for_browser(self, user_agent: str) -> str:
        return self.mobile_url if self.mobile_url and re.search("Mobi|Android", user_agent) else self.url


RETURN = "@return"


@dataclass(frozen=True)
class Window:
    """The browser loads the PG's SDK and walks these steps: `[["TossPayments", key], ["payment", {...}], ...]`.

    A name with a dot begins anew at the SDK: `["PortOne.requestPayment", {...}]`. The word RETURN stands for a callback
    that takes what it is told to the return URL. Until `until` (UTC) the same steps serve again.
    """

    script: str
    steps: list[list[Any]]
    transaction_id: str | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Handed:
    """What the PG handed the browser on its way back. None of it is believed; it is compared with our row."""

    transaction_id: str | None = None
    order_id: str | None = None
    amount: str | None = None
    code: str | None = None
    token: str | None = field(default=None, repr=False)
    """A permission, good for once, to take the money."""


@dataclass(frozen=True)
class Heard:
    """Whom a webhook is about, and what proves that the PG knows that payment."""

    order_id: str
    secret: str | None = None
    transmission_id: str | None = None
    given_back: int | None = None
    """Whole won it says went back; None when it does not say, or tells of anything but settled money."""


@dataclass(frozen=True)
class Movement:
    """One line of the PG's own book: whole won in, or (negative) back."""

    order_id: str
    transaction_id: str
    amount: int
    at: datetime


class Declined(Exception):
    """A definite no: nothing was taken, or nothing given back."""

    def __init__(self, code: str, message: str, why: Why = "declined") -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.why = code, message, why


class InDoubt(Exception):
    """No usable answer: the money may or may not have moved.

    `answered`: the PG did speak, and not of an error of its own (5xx): it is asked again in pauses that grow, and not
    every few seconds like one that keeps silent.
    `bound`: it will answer the same to the same idempotency key for as long as it keeps it.
    """

    def __init__(self, code: str, message: str = "", *, answered: bool = False, bound: bool = False) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.answered, self.bound = code, message, answered, bound


class Forged(Exception):
    """A webhook that its PG did not send."""


@dataclass(frozen=True)
class Method:
    """A way to pay as the buyer sees it. `mark` stands in for a logo, in the colours of `brand` (app.css: `is-…`)."""

    label: str
    hint: str = ""
    brand: str = "plain"
    mark: str = ""


@dataclass(frozen=True)
class Gateway(ABC):
    """Subclassing registers. An instance exists only when its keys are configured."""

    settings: Settings
    client: httpx.AsyncClient = field(repr=False)
    ear: Ear = field(default_factory=Ear, repr=False, compare=False)

    name: ClassVar[str]
    label: ClassVar[str]
    methods: ClassVar[Mapping[str, Method]]
    hands: ClassVar[str]
    """The name in the return query of what the PG calls the payment."""
    charges_in_window: ClassVar[bool] = False
    """Money moves before we confirm: what the browser says on its way back is checked with the PG first."""
    keeps_book: ClassVar[bool] = True
    """The PG lists its movements by date; without a list the sweep asks about each of our rows."""
    redirects: ClassVar[bool] = False
    """Its window is a page of its own that any browser can open; others are opened by a script."""
    tells: ClassVar[bool] = True
    """The PG sends webhooks: it is noticed when none come in any more."""
    place: ClassVar[int] = 9
    """Where its methods stand in the order form: lower first."""
    banks: ClassVar[tuple[str, ...]] = ()
    """Whose accounts a deposit can go back to, in Korean; empty where there are no virtual accounts."""
    canceled_codes: ClassVar[frozenset[str]] = frozenset()
    """The codes by which the PG's window says that the buyer closed it."""
    request_id_in: ClassVar[str] = ""
    """The header by which the PG's own people find a call again, where there is one."""
    registry: ClassVar[list[type["Gateway"]]] = []

    def __init_subclass__(cls) -> None:
        Gateway.registry.append(cls)
        for verb in VERBS:
            if speak := vars(cls).get(verb):
                setattr(cls, verb, heard(verb, _dated(speak)))

    @classmethod
    @abstractmethod
    def configured(cls, settings: Settings) -> bool:
        """Are its keys there?"""

    @property
    @abstractmethod
    def origins(self) -> tuple[str, ...]:
        """Hosts that its window page needs in the CSP."""

    @abstractmethod
    async def start(self, payment: Payment, return_url: str) -> Redirect | Window:
        """What the browser does next. May ask the PG. Raises Declined, InDoubt: nothing has begun then."""

    @abstractmethod
    def handed(self, query: Mapping[str, str]) -> Handed:
        """Read the query the buyer comes back with."""

    @abstractmethod
    async def confirm(self, payment: Payment) -> Receipt:
        """Take the money of `payment.pg_transaction_id`, our amount. Raises Declined, InDoubt. Safe to repeat."""

    @abstractmethod
    async def cancel(
        self, payment: Payment, refund: Refund, left: int, account: RefundAccount | None = None
    ) -> Receipt:
        """Give `refund.amount` back. Raises Declined, InDoubt. Safe to repeat for one refund.

        `left`: whole won that, by our books, the PG holds before this refund. If it holds another sum, it must refuse.
        """

    async def withdraw(self, payment: Payment) -> Receipt:
        """Close the account of a payment that waits for its deposit. Raises Declined, InDoubt."""
        raise Declined("NOT_SUPPORTED", "이 결제수단은 입금 전 취소를 할 수 없습니다.")

    @abstractmethod
    async def find(self, payment: Payment) -> Receipt:
        """The PG's truth; status `absent` when it has never heard of the order. Raises InDoubt."""

    @abstractmethod
    def hear(self, headers: Mapping[str, str], body: bytes) -> Heard | None:
        """A webhook: whose is it? None when it is not about a payment. Raises Forged."""

    def movements(self, since: datetime, until: datetime) -> AsyncIterator[Movement]:
        """All the money this PG moved for us in this time, for the sweep. Raises Declined, InDoubt."""
        raise NotImplementedError(f"{self.name} keeps no book")

    @abstractmethod
    def sentence(self, code: str) -> str:
        """A failure in a buyer's words, with the next step."""


def _dated(speak: Callable[..., Any]) -> Callable[..., Any]:
    """The same verb, whose receipt says when it was asked for."""

    @functools.wraps(speak)
    async def dated(self: Any, *words: Any, **more: Any) -> Any:
        asked = now()
        answer = await speak(self, *words, **more)
        return replace(answer, asked=asked) if isinstance(answer, Receipt) else answer

    return dated


def method_label(payment_method: str) -> str:
    """What people call a method, also one whose gateway has lost its keys; its own name when its file is gone."""
    known = (kind.methods[payment_method] for kind in Gateway.registry if payment_method in kind.methods)
    return next((method.label for method in known), payment_method)


def gateway_label(name: str) -> str:
    return next((kind.label for kind in Gateway.registry if kind.name == name), name)


BOOK_SECONDS = 60.0
"""How long a page of a PG's book may take (pg/toss.md §2.1, pg/portone.md §2)."""


async def call(
    client: httpx.AsyncClient, method: str, url: str, *, seconds: float | None = None, least: float = 0, **options: Any
) -> tuple[int, Any]:
    """One call to a PG, within `seconds` or PG_TIMEOUT, and never less than `least`: its status and its JSON.

    Raises InDoubt when there is no readable answer: TIMEOUT, NO_ANSWER, UNREADABLE.
    """
    limits = [limit for limit in (seconds, client.timeout.read) if limit is not None]
    limit = max(min(limits), least)
    timeout = httpx.Timeout(limit, connect=client.timeout.connect)
    with listening(method, url) as said:
        try:
            async with asyncio.timeout(limit):  # of the whole call: httpx counts each read anew
                response = await client.request(method, url, timeout=timeout, **options)
            said.status, said.headers = response.status_code, response.headers
            said.answer = response.json()
        except (ValueError, RecursionError) as error:
            raise unreadable() from error
        except Exception as error:  # whatever broke on the way, the PG may have heard us
            late = isinstance(error, TimeoutError | httpx.TimeoutException)
            what = f"PG의 응답을 받지 못했습니다 ({type(error).__name__})."
            raise InDoubt("TIMEOUT" if late else "NO_ANSWER", what) from error
    return response.status_code, said.answer


def won(amount: Any) -> int:
    """Whole won as a PG writes them, `10000` or `10000.0`. Raises ValueError for anything else."""
    if isinstance(amount, bool) or not isinstance(amount, int | float) or amount % 1:  # of inf and nan: nan
        raise ValueError(f"not whole won: {amount!r}")
    return int(amount)


WINDOW_CLOSED = "결제창을 닫아 결제하지 않았습니다. 원할 때 다시 결제할 수 있습니다."
SELLER_AT_FAULT = "판매자의 결제 설정에 문제가 있어 결제하지 못했습니다. 판매자에게 알려 주세요."
NOT_APPROVED = "결제가 승인되지 않았습니다. 결제되지 않았으니 다른 결제수단으로 다시 결제해 주세요."
"""Of every PG: what a buyer is told of a code that says no more."""


def unreadable() -> InDoubt:
    return InDoubt("UNREADABLE", "PG의 응답을 읽을 수 없습니다.")


def lookup_seconds(payment: Payment) -> float | None:
    """How long one may take: short at first, for one that hangs holds up what waits for the PG to speak again."""
    return 5.0 if payment.checks < 4 else None


def load(settings: Settings, client: httpx.AsyncClient) -> dict[str, Gateway]:
    """Every configured gateway by its name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    kinds = sorted(Gateway.registry, key=lambda kind: (kind.place, kind.name))
    return {kind.name: kind(settings, client) for kind in kinds if kind.configured(settings)}
